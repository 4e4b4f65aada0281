"""What happens to an update, what is to be done for it, and how patient it is. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from hps.model.policy import Known
from hps.monitor.backoff import Backoff
from hps.monitor.sighting import Mark
from hps.monitor.transitions import Outcome, Step


@dataclass(frozen=True, slots=True)
class Rules:
    """How one model is updated.

    Args:
        approval: an operator must let each generation go live.
        keep: how many earlier generations stay on the disk.
        load_time: seconds that a load without an answer may take before it is given up.
        retry: waits after passing failures.
        repeat: waits before content whose bytes were wrong, and the same each time, is pulled
            once more (somebody may have mended the way that it takes, or the source), and before
            content that a server did not come to an end with is loaded once more.
    """

    approval: bool = False
    keep: int = 2
    load_time: float = 600.0
    retry: Backoff = field(default_factory=Backoff)
    repeat: Backoff = field(default_factory=lambda: Backoff(first=3600.0, most=86_400.0))


@dataclass(frozen=True, slots=True)
class Offered:
    """A look at the source found something to be pulled (`sighting.judge`)."""

    mark: Mark


@dataclass(frozen=True, slots=True)
class Done:
    """The step that was due succeeded.

    Args:
        step: which.
        identity: after PULL: of the content, donefile and policy together, so that the same
            bytes under another policy are judged anew.
        mark: after PULL: of what was really pulled, where the source has changed since the look.
        known: after VERIFY: what the verdict said to remember.
    """

    step: Step
    identity: str = ""
    mark: Mark | None = None
    known: Known | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The step that was due failed.

    Args:
        step: which.
        outcome: how it is taken (`transitions.outcome_of_error`).
        reason: code.
        detail: for people; may come from outside.
        after: seconds that the other side asks to be left alone.
    """

    step: Step
    outcome: Outcome
    reason: str
    detail: str = ""
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """The server said which generations it serves: the answer to ASK, or asked as a routine."""

    numbers: Sequence[int]


class Wish(StrEnum):
    """What an operator can ask for."""

    HOLD = "hold"
    RELEASE = "release"
    APPROVE = "approve"
    REFUSE = "refuse"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Request:
    """An operator asks for something.

    Args:
        wish: what.
        number: the generation that it is about; None: the one at hand, or the one before.
        detail: by whom and why, for the history.
    """

    wish: Wish
    number: int | None = None
    detail: str = ""


Event = Offered | Done | Failed | Served | Request


@dataclass(frozen=True, slots=True)
class Moment:
    """What a pure function cannot know.

    Args:
        now: seconds on a clock that nobody sets (monotonic).
        draw: by chance, from 0 up to 1.
    """

    now: float
    draw: float = 0.0


class Waiting(StrEnum):
    """What a step waits for; what `status` shows."""

    TIME = "back-off"
    RELEASE = "held"
    APPROVAL = "awaiting-approval"


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done now.

    Args:
        step: NOTHING, WAIT, or the step to be done.
        number: of the generation that it is about.
        until: for WAIT: when it may begin; None: an operator says when.
        waiting: for WAIT: what for.
        afresh: for PULL: bytes that are there are not to be built on, for some of them are wrong.
    """

    step: Step
    number: int = 0
    until: float | None = None
    waiting: Waiting | None = None
    afresh: bool = False
