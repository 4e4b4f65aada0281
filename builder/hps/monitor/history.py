"""What the journal tells people: an entry for each record, a row for each update. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from hps.model.release import ModelRelease
from hps.monitor.journal_record import Record
from hps.monitor.state import Cause, State
from hps.monitor.transitions import Phase
from hps.store.foreign_text import printable

_LONGEST_TEXT = 500
_LONGEST_NAME = 100


class Happened(StrEnum):
    """What a record is written for."""

    STARTED = "started"  # a monitor took the model over
    OFFERED = "offered"  # the source shows something new
    STEP = "step"  # a step was done
    FAILED = "failed"  # a step was not done
    SERVED = "served"  # the server said what it serves
    OPERATOR = "operator"  # a person asked for something


@dataclass(frozen=True, slots=True)
class Release:
    """What a generation holds, as its publisher says; empty where nobody said anything.

    Args:
        name: of the model.
        channel: for whom it is.
        sequence: its number among the releases of the model.
        version: for people.
        digest: its identity.
        verified: by what it was let in: `signature`, `checksums`, `nothing`.
    """

    name: str = ""
    channel: str = ""
    sequence: int | None = None
    version: str = ""
    digest: str = ""
    verified: str = ""

    @classmethod
    def of(cls, release: ModelRelease, digest: str, verified: str) -> Self:
        """What a record of a manifest says."""
        return cls(
            release.name, release.channel, release.sequence, release.version, digest, verified
        )

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read what `as_json` gave; what is not understood is left out."""
        found = _Lenient(value)
        return cls(
            found.text("name"),
            found.text("channel"),
            found.number("sequence"),
            found.text("version"),
            found.text("digest"),
            found.text("verified"),
        )

    def as_json(self) -> dict[str, Any]:
        """What is known of it."""
        return _known(
            name=self.name,
            channel=self.channel,
            sequence=self.sequence,
            version=self.version,
            digest=self.digest,
            verified=self.verified,
        )


def entry_of(
    happened: Happened,
    state: State,
    *,
    release: Release | None = None,
    by: str = "",
    request: str = "",
) -> dict[str, Any]:
    """What a record says of an event, for `Journal.append`.

    Args:
        happened: the kind of it.
        state: after it.
        release: what was verified, once that is known.
        by: the person who asked.
        request: the id of what was asked (`hps.monitor.operator`), so that it is done once.
    """
    entry: dict[str, Any] = {"event": str(happened)}
    update = state.update
    if update is not None:
        entry |= _known(
            phase=str(update.phase),
            step=str(update.step),
            cause=str(update.cause),
            reason=update.reason,
            detail=update.detail,
        )
    if release is not None:
        entry["release"] = release.as_json()
    return entry | _known(by=printable(by, _LONGEST_NAME), request=request)


@dataclass(frozen=True, slots=True)
class Past:
    """One update, as its records tell it; the last one may be under way.

    Args:
        number: of the generation.
        cause: why it was made.
        phase: how far it got, or how it ended.
        over: whether nothing is left to do.
        began: RFC 3339, of its first record.
        ended: of its last one.
        reason: the code of what went wrong last.
        detail: the same for people.
        failures: how many of its steps failed.
        by: the person who asked for it.
        release: what it holds.
    """

    number: int
    cause: str
    phase: str
    over: bool
    began: str
    ended: str
    reason: str = ""
    detail: str = ""
    failures: int = 0
    by: str = ""
    release: Release | None = None

    def as_json(self) -> dict[str, Any]:
        """For `/status` and `hps monitor history --json`."""
        return {
            "number": self.number,
            "cause": self.cause,
            "phase": self.phase,
            "over": self.over,
            "began": self.began,
            "ended": self.ended,
            "reason": self.reason or None,
            "detail": self.detail or None,
            "failures": self.failures,
            "by": self.by or None,
            "release": None if self.release is None else self.release.as_json(),
        }


def updates(records: Iterable[Record], most: int | None = None) -> tuple[Past, ...]:
    """The updates that a journal tells of, the newest first."""
    rows: tuple[Past, ...] = ()
    for record in records:
        rows = added(rows, record)[:most]
    return rows


def added(rows: tuple[Past, ...], record: Record) -> tuple[Past, ...]:
    """The updates when one more record is written; reading a whole journal anew is dear."""
    if record.update < 1:
        return rows
    line = _Line.of(record)
    if rows and line.belongs_to(rows[0]):
        return (line.added_to(rows[0]), *rows[1:])
    return (line.begun(), *rows)


def requests(records: Iterable[Record]) -> frozenset[str]:
    """The ids of what operators asked for and was written down as done."""
    found = (_Lenient(record.entry).text("request") for record in records)
    return frozenset(one for one in found if one)


def seconds(time: str) -> float | None:
    """The time of a record in seconds since the epoch; None where it is no time."""
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()


@dataclass(frozen=True, slots=True)
class _Line:
    """A record, read leniently: what an older or newer monitor wrote is shown as far as it goes."""

    record: Record
    found: "_Lenient"
    release: Release | None

    @classmethod
    def of(cls, record: Record) -> Self:
        found = _Lenient(record.entry)
        release = record.entry.get("release")
        return cls(record, found, None if release is None else Release.from_json(release))

    @property
    def over(self) -> bool:
        return self.found.text("step") == "nothing"

    def belongs_to(self, row: Past) -> bool:
        """Numbers come again: when an update is forgotten, rolled back to, or revived."""
        cause = self.found.text("cause")
        same = self.record.update == row.number and cause in ("", row.cause)
        anew = row.over and not self.over
        offered = self.found.text("event") == Happened.OFFERED and row.phase != Phase.DETECTED
        return same and not anew and not offered

    def begun(self) -> Past:
        found = self.found
        return Past(
            self.record.update,
            found.text("cause") or str(Cause.SOURCE),
            found.text("phase"),
            self.over,
            self.record.time,
            self.record.time,
            found.text("reason"),
            found.text("detail"),
            int(found.text("event") == Happened.FAILED),
            found.text("by"),
            self.release,
        )

    def added_to(self, row: Past) -> Past:
        """The row with this record; what comes behind its end (a person's word) changes little."""
        new = self.begun()
        return Past(
            row.number,
            row.cause,
            new.phase or row.phase,
            row.over or new.over,
            row.began,
            row.ended if row.over else new.ended,
            row.reason if row.over else new.reason,
            row.detail if row.over else new.detail,
            row.failures + new.failures,
            new.by or row.by,
            self.release or row.release,
        )


class _Lenient:
    """The members of a JSON object, as far as they are of the right type."""

    def __init__(self, value: object) -> None:
        self._members: Mapping[str, Any] = value if isinstance(value, dict) else {}

    def text(self, key: str) -> str:
        value = self._members.get(key)
        return printable(value, _LONGEST_TEXT) if isinstance(value, str) else ""

    def number(self, key: str) -> int | None:
        value = self._members.get(key)
        return value if type(value) is int else None


def _known(**members: Any) -> dict[str, Any]:
    return {key: value for key, value in members.items() if value not in (None, "")}
