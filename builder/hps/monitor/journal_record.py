"""Lines of a journal: records, their checksums, and what is left of a damaged file. Pure."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from hps import canonical
from hps.digest import Digest
from hps.oci.shape import fields, text

LONGEST_LINE = 1 << 20  # bytes; an honest record has a few thousand
_BEGIN, _MIDDLE = b'{"check":"', b'","record":'
_FIELDS = ("number", "time", "fence", "update", "entry", "state")


@dataclass(frozen=True, slots=True)
class Record:
    """One line.

    Args:
        number: counts up by one, without gaps.
        time: when it was written, RFC 3339 in UTC with milliseconds, by this host's clock.
        fence: of the monitor that wrote it (`hps.monitor.ownership`).
        update: the number of the generation that it is about; 0 for none.
        entry: what happened, for people and `history`.
        state: all that is known since (`hps.monitor.state`); dropped from old records.
    """

    number: int
    time: str
    fence: int
    update: int
    entry: Mapping[str, Any]
    state: Mapping[str, Any] | None

    def as_line(self) -> bytes:
        """With its checksum and the line end."""
        record = {
            "number": self.number,
            "time": self.time,
            "fence": self.fence,
            "update": self.update,
            "entry": self.entry,
            "state": self.state,
        }
        written = canonical.dumps(record)
        return _BEGIN + str(Digest.of(written)).encode() + _MIDDLE + written + b"}\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Record":
        """Read a line without its end; raises ValueError for one that is damaged."""
        # The checksum is of the bytes as `as_line` writes them: a monitor of hundreds of models
        # reads some hundred thousand lines before it serves its first look.
        check, middle, rest = line.removeprefix(_BEGIN).partition(_MIDDLE)
        written = rest.removesuffix(b"}")
        if line != _BEGIN + check + middle + written + b"}" or not middle:
            raise ValueError("it is no line of a journal")
        if str(Digest.of(written)).encode() != check:
            raise ValueError("the checksum does not fit")
        record = fields(canonical.loads(written, max_bytes=LONGEST_LINE), "record", _FIELDS)
        for name in ("number", "fence", "update"):
            if type(record[name]) is not int:
                raise ValueError(f"{name} is no number")
        if not isinstance(record["entry"], dict):
            raise ValueError("entry is no object")  # noqa: TRY004 - one kind of fault
        if not isinstance(record["state"], dict | None):
            raise ValueError("state is no object")  # noqa: TRY004 - one kind of fault
        return cls(**{**record, "time": text(record["time"], "time")})


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a file of records holds.

    Args:
        records: the whole ones.
        size: bytes that they take.
        faults: of lines that no crash can have damaged; a torn last line is none.
    """

    records: tuple[Record, ...]
    size: int
    faults: tuple[str, ...]


def parse(data: bytes) -> Parsed:
    """Read a file; only the line that was being written when a process died may be torn."""
    records: list[Record] = []
    faults: list[str] = []
    size = 0
    lines = data.splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        record = whole(line[:-1]) if line.endswith(b"\n") else None
        if record is None:
            if number < len(lines):
                faults.append(f"line {number} is damaged")
            continue
        if records and record.number != records[-1].number + 1:
            faults.append(f"line {number}: record {record.number} follows {records[-1].number}")
        records.append(record)
        size += len(line)
    return Parsed(tuple(records), size, tuple(faults))


def salvage(data: bytes) -> tuple[tuple[Record, ...], int]:
    """The records of a damaged file that are whole, numbered anew, and how many lines are lost.

    The newest keeps its number, so that none is ever used twice. Nothing is lost, and nothing
    numbered anew, where nothing is damaged.
    """
    lines = data.splitlines()
    kept: list[Record] = []
    for line in lines:
        record = whole(line)
        if record is not None and (not kept or record.number > kept[-1].number):
            kept.append(record)
    first = kept[-1].number - len(kept) + 1 if kept else 1
    anew = tuple(replace(one, number=first + place) for place, one in enumerate(kept))
    return anew, len(lines) - len(kept)


def whole(line: bytes) -> Record | None:
    """The record of a line without its end, if it is not damaged."""
    try:
        return Record.from_line(line)
    except ValueError:
        return None


def latest(records: Sequence[Record], updates: int, most: int) -> tuple[Record, ...]:
    """The records of the last updates, `most` at most; the newest of all alone keeps its state."""
    records = records[-most:]
    numbers = list(dict.fromkeys(one.update for one in reversed(records) if one.update))
    kept = set(numbers[:updates])
    if len(numbers) > updates:
        records = list(itertools.dropwhile(lambda one: one.update not in kept, records))
    return (*(replace(one, state=None) for one in records[:-1]), *records[-1:])


def timestamp(time: float) -> str:
    """Seconds since the epoch as RFC 3339 has them, in UTC, with milliseconds."""
    moment = datetime.fromtimestamp(time, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"
