"""What is known of one model on one host: what is live, what is under way, what was refused. Pure.

One record of it stands in every line of the journal (`hps.monitor.journal`), so that the last
line alone says where to carry on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from hps.model.policy import Known
from hps.monitor.sighting import Mark
from hps.monitor.transitions import ENDS, TABLE, Phase, Place, Step
from hps.oci.shape import fields, items, text

_MOST_BARRED = 128  # contents that are remembered as refused; the oldest are forgotten
_MOST_KEPT = 10_000
_HIGHEST = 2**53 - 1
_PLACES = frozenset({*TABLE, *ENDS})


class Cause(StrEnum):
    """Why an update is made."""

    SOURCE = "source"  # the source offers it
    OPERATOR = "operator"  # a person rolls back to it
    REVIVAL = "revival"  # it is live, and the server has lost it


@dataclass(frozen=True, slots=True)
class Kept:
    """A generation that was live once, or is.

    Args:
        number: of the generation.
        identity: of its content, as the pull said.
    """

    number: int
    identity: str


@dataclass(frozen=True, slots=True)
class Barred:
    """Content that is not let in again.

    Args:
        number: of the update that it failed in.
        identity: of the content.
        reason: code.
    """

    number: int
    identity: str
    reason: str


@dataclass(frozen=True, slots=True)
class Update:
    """One update, under way or over.

    Args:
        number: of the generation that it is about.
        cause: why it is made.
        phase: how far it has got.
        step: what is to be done now.
        mark: of the sighting that it began with; None when no source is involved.
        identity: of its content, once pulled.
        reason: the code of what went wrong last, or made it end as it did.
        detail: the same for people, one line.
        known: what the verification said to remember once it is live.
        approved: an operator has let it go live.
        committed: it may answer requests already, so that it is only carried on, never undone.
        repeated: how often in a row the very same wrong bytes were pulled.
        failures: in this process, since the last progress; not kept.
        due: when the step may begin, on the clock of `advance`; not kept.
        deadline: until when a load that nobody knows of may take, on that clock; not kept.
    """

    number: int
    cause: Cause
    phase: Phase
    step: Step
    mark: Mark | None = None
    identity: str | None = None
    reason: str | None = None
    detail: str = ""
    known: Known | None = None
    approved: bool = False
    committed: bool = False
    repeated: int = 0
    failures: int = field(default=0, compare=False)
    due: float = field(default=0.0, compare=False)
    deadline: float | None = field(default=None, compare=False)

    @property
    def place(self) -> Place:
        """Where it stands in the table of transitions."""
        return self.phase, self.step

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self.step is Step.NOTHING

    @property
    def staged(self) -> bool:
        """Whether its generation lies on the disk, and may be in a server."""
        return self.phase in _STAGED

    def as_json(self) -> dict[str, Any]:
        """For the journal: all that a new process can use."""
        return {
            "number": self.number,
            "cause": str(self.cause),
            "phase": str(self.phase),
            "step": str(self.step),
            "mark": None if self.mark is None else self.mark.as_json(),
            "identity": self.identity,
            "reason": self.reason,
            "detail": self.detail,
            "known": None if self.known is None else self.known.as_json(),
            "approved": self.approved,
            "committed": self.committed,
            "repeated": self.repeated,
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read what `as_json` gave; raises ValueError."""
        found = fields(value, "update", _UPDATE)
        update = cls(
            number=_whole(found["number"], "update.number"),
            cause=Cause(text(found["cause"], "update.cause")),
            phase=Phase(text(found["phase"], "update.phase")),
            step=Step(text(found["step"], "update.step")),
            mark=None if found["mark"] is None else Mark.from_json(found["mark"]),
            identity=_maybe_text(found["identity"], "update.identity"),
            reason=_maybe_text(found["reason"], "update.reason"),
            detail=text(found["detail"], "update.detail"),
            known=None if found["known"] is None else Known.from_json(found["known"]),
            approved=_truth(found["approved"], "update.approved"),
            committed=_truth(found["committed"], "update.committed"),
            repeated=_whole(found["repeated"], "update.repeated"),
        )
        if update.place not in _PLACES:
            raise ValueError(f"an update is never {update.phase} with {update.step} to be done")
        return update


_STAGED = frozenset(
    {
        Phase.STAGED,
        Phase.LOADED,
        Phase.PROBED,
        Phase.LIVE,
        Phase.ROLLED_BACK,
        Phase.QUARANTINED,
    }
)
_UPDATE = (
    "number",
    "cause",
    "phase",
    "step",
    "mark",
    "identity",
    "reason",
    "detail",
    "known",
    "approved",
    "committed",
    "repeated",
)


@dataclass(frozen=True, slots=True)
class State:
    """Everything that outlives a process, and a little that does not.

    Args:
        update: the one under way, or else the last one.
        live: the generation that answers requests.
        kept: those that were live before and can be rolled back to, the latest last.
        barred: contents that are not let in again, the latest last (the quarantine list).
        highest: the highest number that a generation has ever had; numbers are never given twice
            to what a server may have seen.
        processed: the mark of what was dealt with last.
        known: what is remembered of accepted releases: the floors of number and time.
        held: an operator wants the live generation to stay.
        wanted: the generation that an operator wants back once the update under way is over.
        offer: the newest mark that came while an update was under way; not kept, for the next
            look finds it again.
        ended: the update that the last event brought to its end, also where the next one has
            begun by the same event; not kept.
    """

    update: Update | None = None
    live: Kept | None = None
    kept: tuple[Kept, ...] = ()
    barred: tuple[Barred, ...] = ()
    highest: int = 0
    processed: Mark | None = None
    known: Known = field(default_factory=Known)
    held: bool = False
    wanted: int | None = None
    offer: Mark | None = field(default=None, compare=False)
    ended: Update | None = field(default=None, compare=False)

    @property
    def busy(self) -> Update | None:
        """The update under way."""
        return None if self.update is None or self.update.over else self.update

    @property
    def last_mark(self) -> Mark | None:
        """What the next look is compared with (`sighting.judge`)."""
        if self.offer is not None:
            return self.offer
        busy = self.busy
        return self.processed if busy is None or busy.mark is None else busy.mark

    @property
    def retained(self) -> frozenset[int]:
        """The generations that must stay on the disk; all others may go."""
        numbers = {one.number for one in self.kept}
        if self.live is not None:
            numbers.add(self.live.number)
        if self.wanted is not None:
            numbers.add(self.wanted)
        if self.busy is not None and self.busy.staged:
            numbers.add(self.busy.number)
        return frozenset(numbers)

    @property
    def staging(self) -> int:
        """The number whose staging must stay: of the update under way, or of the next one.

        What a process was pulling when it was killed lies under the number that the next update
        gets (`update.recover`).
        """
        return self.highest + 1 if self.busy is None else self.busy.number

    def reason_against(self, identity: str) -> str | None:
        """Why this content was refused before, if it was."""
        return next((one.reason for one in self.barred if one.identity == identity), None)

    def as_json(self) -> dict[str, Any]:
        """For the journal."""
        return {
            "update": None if self.update is None else self.update.as_json(),
            "live": None if self.live is None else _kept_json(self.live),
            "kept": [_kept_json(one) for one in self.kept],
            "barred": [
                {"number": one.number, "identity": one.identity, "reason": one.reason}
                for one in self.barred
            ],
            "highest": self.highest,
            "processed": None if self.processed is None else self.processed.as_json(),
            "known": self.known.as_json(),
            "held": self.held,
            "wanted": self.wanted,
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read what `as_json` gave; raises ValueError."""
        found = fields(value, "state", _STATE)
        return cls(
            update=None if found["update"] is None else Update.from_json(found["update"]),
            live=None if found["live"] is None else _kept(found["live"]),
            kept=tuple(map(_kept, items(found["kept"], "state.kept", most=_MOST_KEPT))),
            barred=tuple(map(_barred, items(found["barred"], "state.barred", most=_MOST_BARRED))),
            highest=_whole(found["highest"], "state.highest"),
            processed=(None if found["processed"] is None else Mark.from_json(found["processed"])),
            known=Known.from_json(found["known"]),
            held=_truth(found["held"], "state.held"),
            wanted=None if found["wanted"] is None else _whole(found["wanted"], "state.wanted"),
        )


_STATE = ("update", "live", "kept", "barred", "highest", "processed", "known", "held", "wanted")


def with_barred(before: tuple[Barred, ...], new: Barred) -> tuple[Barred, ...]:
    """The list with one more content, the latest last; it stays bounded."""
    others = tuple(one for one in before if one.identity != new.identity)
    return (*others, new)[-_MOST_BARRED:]


def _kept_json(one: Kept) -> Mapping[str, Any]:
    return {"number": one.number, "identity": one.identity}


def _kept(value: object) -> Kept:
    found = fields(value, "generation", ("number", "identity"))
    number = _whole(found["number"], "generation.number")
    return Kept(number, text(found["identity"], "generation.identity"))


def _barred(value: object) -> Barred:
    found = fields(value, "barred", ("number", "identity", "reason"))
    number = _whole(found["number"], "barred.number")
    identity = text(found["identity"], "barred.identity")
    return Barred(number, identity, text(found["reason"], "barred.reason"))


def _whole(value: object, where: str) -> int:
    if not isinstance(value, int) or type(value) is not int or not 0 <= value <= _HIGHEST:
        raise ValueError(f"{where} is not a whole number")
    return value


def _truth(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{where} is not a truth value")  # noqa: TRY004 - one kind of fault
    return value


def _maybe_text(value: object, where: str) -> str | None:
    return None if value is None else text(value, where)
