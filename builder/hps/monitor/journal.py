"""The journal of one model: a folder with a file of JSON lines, each on the disk before it counts.

Every line holds a record and its own checksum. The last line alone says where to carry on; the
others are the history. A process that is killed, or a power loss, can only damage the line that
was being written: it is cut off when the journal is opened. Anything else that is damaged is an
error, because a monitor that forgot its floors could be rolled back by an attacker; `repair`
keeps what is whole.
"""

import contextlib
import itertools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from hps import canonical
from hps.digest import Digest
from hps.errors import HpsError
from hps.monitor.disk import DiskError, explained
from hps.oci.shape import fields, text
from hps.store.filesystem import sync_folder

RECORDS = "records.jsonl"
_COMPACT = "records.compact"  # a new file that was not yet renamed
_LONGEST_LINE = 1 << 20  # bytes; an honest record has a few thousand
_LARGEST = 256 << 20  # bytes of a file that is read at all
_RECORDS_AN_UPDATE = 32  # on average; an update that failed for days is not kept in every detail
_COMPACT_FROM = 4 << 20  # bytes


class JournalError(HpsError):
    """The journal of a model is damaged, or somebody else writes it."""

    reference = "journal-damaged"
    exit_code = 8


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
        check = Digest.of(canonical.dumps(record))
        return canonical.dumps({"check": str(check), "record": record}) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Record":
        """Read a line without its end; raises ValueError for one that is damaged."""
        found = fields(canonical.loads(line, max_bytes=_LONGEST_LINE), "line", ("check", "record"))
        record = fields(found["record"], "record", _FIELDS)
        if str(Digest.of(canonical.dumps(record))) != found["check"]:
            raise ValueError("the checksum does not fit")
        for name in ("number", "fence", "update"):
            if type(record[name]) is not int:
                raise ValueError(f"{name} is no number")
        if not isinstance(record["entry"], dict):
            raise ValueError("entry is no object")  # noqa: TRY004 - one kind of fault
        if not isinstance(record["state"], dict | None):
            raise ValueError("state is no object")  # noqa: TRY004 - one kind of fault
        return cls(**{**record, "time": text(record["time"], "time")})


_FIELDS = ("number", "time", "fence", "update", "entry", "state")


class Journal:
    """The journal, open for the one monitor that owns the model (`hps.monitor.ownership`).

    Opening it removes what a killed process left, so nobody else may be writing it.

    Args:
        folder: made when missing, for this user alone to write.
        keep: of how many updates the records are kept.

    Attributes:
        path: of the file with the records.
        last: the newest record; None in a new journal.
        fence: the highest that ever wrote here.
        cut: bytes of a torn last line that were cut off when it was opened.

    Raises:
        JournalError: it is damaged where no crash could have damaged it.
        DiskError: it cannot be read or made.
    """

    def __init__(self, folder: Path, *, keep: int = 100) -> None:
        self.path = folder / RECORDS
        self._keep = keep
        self.last: Record | None = None
        self.fence = self.cut = 0
        with explained("make", folder):
            if not folder.is_dir():
                folder.mkdir(mode=0o755, parents=True)
            (folder / _COMPACT).unlink(missing_ok=True)  # of a process that was killed
            self._file = _open(self.path)
        try:
            self._read()
            if self.last is None:
                with explained("write", folder):  # the names last before the first record does
                    sync_folder(folder)
                    sync_folder(folder.parent)
        except BaseException:
            self.close()
            raise

    def append(
        self,
        entry: Mapping[str, Any],
        state: Mapping[str, Any],
        *,
        update: int,
        time: float,
        fence: int,
    ) -> Record:
        """Write one record and make it last; when this returns, power may fail.

        Args:
            entry: what happened; text in it is printable, whole numbers are the only ones.
            state: all that is known now.
            update: the generation that it is about; 0 for none.
            time: seconds since the epoch.
            fence: of this monitor.

        Raises:
            JournalError: somebody else has written, or taken the file away.
            DiskError: the disk. The record does not count then, and may be tried again.
        """
        with explained("look at", self.path):
            self._check_alone(fence)
        if self._count > self._most_records or self._size > self._most_bytes:
            with contextlib.suppress(DiskError):  # another time, then
                self.compact()
        number = 1 if self.last is None else self.last.number + 1
        record = Record(number, timestamp(time), fence, update, entry, state)
        line = record.as_line()
        if len(line) > _LONGEST_LINE:
            raise ValueError(f"a record of {len(line)} bytes is none")
        with explained("write", self.path):
            self._write(line)
        self.last, self.fence = record, fence
        self._count += 1
        return record

    def compact(self) -> None:
        """Write the newest records anew, and let the file with all of them go.

        Raises:
            JournalError: it is damaged.
            DiskError: the disk; the file stays as it was.
        """
        records = _latest(self.history(), self._keep)
        data = b"".join(one.as_line() for one in records)
        new = self.path.with_name(_COMPACT)
        with explained("write", self.path):
            descriptor = _write_new(new, data)
            try:
                new.replace(self.path)
            except OSError:
                os.close(descriptor)
                new.unlink(missing_ok=True)
                raise
            os.close(self._file)
            self._file = descriptor
            self._measure(len(data), len(records))
            sync_folder(self.path.parent)

    def history(self) -> tuple[Record, ...]:
        """All records; raises JournalError, DiskError."""
        with explained("read", self.path):
            data = _content(self._file, self.path)
        return _parse(data[: self._size], self.path)[0]

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _measure(self, size: int, count: int) -> None:
        self._size, self._count = size, count
        # Old records are small: twice what is left is reached after as many updates again.
        self._most_bytes = max(_COMPACT_FROM, 2 * size)
        self._most_records = max(_RECORDS_AN_UPDATE * self._keep, 2 * count)

    def _read(self) -> None:
        with explained("read", self.path):
            data = _content(self._file, self.path)
        records, whole = _parse(data, self.path)
        self.cut = len(data) - whole
        if self.cut:
            with explained("cut", self.path):
                os.ftruncate(self._file, whole)
                os.fsync(self._file)
        self.last = records[-1] if records else None
        self.fence = max((one.fence for one in records), default=0)
        self._measure(whole, len(records))

    def _write(self, line: bytes) -> None:
        """Append, or leave the file as it was: half a line would be cut off at the next start."""
        if os.fstat(self._file).st_size != self._size:
            os.ftruncate(self._file, self._size)  # what an append that failed has left
        try:
            _write_all(self._file, line)
            # After a failed fsync nobody knows what is on the disk: the line is written again.
            os.fsync(self._file)
        except OSError:
            with contextlib.suppress(OSError):  # cut by the next append, or at the next start
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)

    def _check_alone(self, fence: int) -> None:
        """Another monitor that was let in by a lock that does not hold is told by its traces."""
        ours = os.fstat(self._file)
        try:
            there = self.path.stat()
        except FileNotFoundError:
            raise _not_alone(self.path, "it was removed") from None
        if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
            raise _not_alone(self.path, "it was replaced")
        grown = ours.st_size > self._size and _holds_a_line(self._file, self._size)
        if ours.st_size < self._size or self.fence > fence or grown:
            raise _not_alone(self.path, "it was written by somebody else")


def read(folder: Path) -> tuple[Record, ...]:
    """The records of a journal that a monitor may be writing just now; changes nothing.

    Raises:
        JournalError: it is damaged.
        DiskError: it cannot be read.
    """
    path = folder / RECORDS
    with explained("read", path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return ()
        try:
            data = _content(descriptor, path)
        finally:
            os.close(descriptor)
    return _parse(data, path)[0]


def highest_fence(folder: Path) -> int:
    """The highest fence that ever wrote to a journal, for who is about to own the model.

    Raises:
        JournalError: it is damaged.
        DiskError: it cannot be read.
    """
    return max((one.fence for one in read(folder)), default=0)


def repair(folder: Path) -> tuple[Path | None, int]:
    """Keep the whole records of a damaged journal, and set the damaged file aside.

    What is lost is history. The newest whole record says where to carry on; a person has to look
    whether it is the newest that there was, and that is why no monitor does this by itself.

    Returns:
        Where the damaged file lies now, None if nothing was damaged; and how many lines were lost.

    Raises:
        DiskError: the disk.
    """
    path = folder / RECORDS
    with explained("repair", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            lines = _content(descriptor, path).splitlines()
        finally:
            os.close(descriptor)
        kept = _in_order(record for line in lines if (record := _maybe(line)) is not None)
        if len(kept) == len(lines) and not _has_gaps(kept):
            return None, 0
        aside = _free_name(folder)
        data = b"".join(one.as_line() for one in _renumbered(kept))
        os.close(_write_new(path.with_name(_COMPACT), data))
        aside.hardlink_to(path)  # there is a journal under its name at every moment
        path.with_name(_COMPACT).replace(path)
        sync_folder(folder)
    return aside, len(lines) - len(kept)


def timestamp(time: float) -> str:
    """Seconds since the epoch as RFC 3339 has them, in UTC, with milliseconds."""
    moment = datetime.fromtimestamp(time, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def _open(path: Path, flags: int = 0) -> int:
    flags |= os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        return os.open(path, flags | os.O_CREAT, 0o644)


def _write_new(path: Path, data: bytes) -> int:
    """A new file that is on the disk; its descriptor is for appending. Leaves nothing on errors."""
    descriptor = _open(path, os.O_TRUNC)
    try:
        _write_all(descriptor, data)
        os.fsync(descriptor)
    except BaseException:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _content(descriptor: int, path: Path) -> bytes:
    size = os.fstat(descriptor).st_size
    if size > _LARGEST:
        raise _damaged(path, [f"it has {size} bytes, at most {_LARGEST} are read"])
    pieces, offset = [], 0
    while offset < size:
        piece = os.pread(descriptor, min(1 << 20, size - offset), offset)
        if not piece:
            break
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces)


def _parse(data: bytes, path: Path) -> tuple[tuple[Record, ...], int]:
    """The records, and how many bytes they take; only a last line that is torn is left out."""
    records: list[Record] = []
    faults: list[str] = []
    whole = 0
    lines = data.splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        try:
            record = _line(line, records[-1].number if records else None)
        except ValueError as error:
            if number == len(lines):
                break
            faults.append(f"line {number}: {error}")
            continue
        records.append(record)
        whole += len(line)
    if faults:
        raise _damaged(path, faults)
    return tuple(records), whole


def _line(line: bytes, before: int | None) -> Record:
    if not line.endswith(b"\n"):
        raise ValueError("it has no end")
    record = Record.from_line(line[:-1])
    if before is not None and record.number != before + 1:
        raise ValueError(f"record {record.number} follows {before}")
    return record


def _maybe(line: bytes) -> Record | None:
    try:
        return Record.from_line(line)
    except ValueError:
        return None


def _in_order(records: Iterable[Record]) -> list[Record]:
    found: list[Record] = []
    for one in records:
        if not found or one.number > found[-1].number:
            found.append(one)
    return found


def _has_gaps(records: list[Record]) -> bool:
    return any(new.number != old.number + 1 for old, new in itertools.pairwise(records))


def _renumbered(records: list[Record]) -> list[Record]:
    """Without gaps, and with the number of the last one, so that none is ever used twice."""
    first = records[-1].number - len(records) + 1 if records else 1
    return [replace(one, number=first + place) for place, one in enumerate(records)]


def _latest(records: tuple[Record, ...], updates: int) -> tuple[Record, ...]:
    """The records of the last updates; only the newest of all says where to carry on."""
    records = records[-_RECORDS_AN_UPDATE * updates :]
    numbers = list(dict.fromkeys(one.update for one in reversed(records) if one.update))
    if len(numbers) > updates:
        kept = set(numbers[:updates])
        first = next(place for place, one in enumerate(records) if one.update in kept)
        records = records[first:]
    return (*(replace(one, state=None) for one in records[:-1]), *records[-1:])


def _holds_a_line(descriptor: int, offset: int) -> bool:
    """Whether a whole record follows, rather than what an append of ours left that failed."""
    line = os.pread(descriptor, _LONGEST_LINE, offset).partition(b"\n")[0]
    return _maybe(line) is not None


def _free_name(folder: Path) -> Path:
    number = 1
    while (path := folder / f"records.damaged-{number}").exists():
        number += 1
    return path


def _damaged(path: Path, faults: list[str]) -> JournalError:
    return JournalError(
        f"the journal {path} is damaged, and not by a crash",
        details=tuple(faults[:20]),
        hint="`hps monitor repair` keeps all records that are whole, and the damaged file beside",
    )


def _not_alone(path: Path, how: str) -> JournalError:
    return JournalError(
        f"the journal {path} is not this monitor's any more: {how}",
        hint="let one monitor only run for a model; this one has stopped",
    )
