"""The transitions of an update, as data: what is done next, and what comes of it. Pure.

An update is where it has got to (`Phase`) and what is to be done now (`Step`); what comes of the
step (`Outcome`) says where it goes from there. `hps.monitor.update` applies the table, and
docs/reference/model-update.md shows it.
"""

from collections.abc import Mapping
from enum import StrEnum

from hps.archive.refusal import ArchiveError
from hps.errors import HpsError, IntegrityError, UnsafeArchiveError
from hps.model.refusal import Reason
from hps.monitor.pulled import PullError
from hps.monitor.server import Fault, ServerError
from hps.monitor.source import SourceError, Trouble


class Phase(StrEnum):
    """How far an update has got, or how it ended; what `status` and `history` show."""

    DETECTED = "detected"
    PULLED = "pulled"
    VERIFIED = "verified"
    STAGED = "staged"
    LOADED = "loaded"
    PROBED = "probed"
    LIVE = "live"
    REFUSED = "refused"  # its content is not let in; no server has seen it
    ROLLED_BACK = "rolled-back"  # a server has seen it, and the old one serves
    QUARANTINED = "quarantined"  # a server did not come to an end with it; it answers nobody


class Step(StrEnum):
    """What is to be done now."""

    NOTHING = "nothing"  # the update is over
    WAIT = "wait"  # never in the table: a step that may not begin yet
    PULL = "pull"
    VERIFY = "verify"
    STAGE = "stage"
    INSPECT = "inspect"
    LOAD = "load"
    ASK = "ask"  # whether the server has it: nobody knows what became of the last step
    PROBE = "probe"
    ACTIVATE = "activate"
    WITHDRAW = "withdraw"


class Outcome(StrEnum):
    """What came of a step, or what came from outside before it began."""

    DONE = "done"
    SAME = "same"  # pulled, and it is what is live
    LISTED = "listed"  # pulled, and it was refused before
    CONTENT = "content"  # it fails for what it is: it would fail again
    BROKEN = "broken"  # its bytes are wrong: by the way they took, or at the source
    PASSING = "passing"  # it fails for what is around it: it is tried again
    GONE = "gone"  # the source offers it no longer, or this host has lost what was pulled
    UNKNOWN = "unknown"  # no answer in time: it may be done, or be going on
    HANGS = "hangs"  # the server will never be done with it
    PRESENT = "present"  # asked: the server has it
    PENDING = "pending"  # asked: not yet, and there is time left
    ABSENT = "absent"  # asked: the server does not have it
    OVERDUE = "overdue"  # no answer, and no time left
    ANEW = "anew"  # it is to be loaded afresh: it was live, and fails since the server lost it
    NEWER = "newer"  # the source offers something else, while this one waits
    HOLD = "hold"  # an operator: the live one is to stay
    REFUSE = "refuse"  # an operator: not this one


Place = tuple[Phase, Step]
# None: the update is forgotten, as if it had not been seen. A failure that a row does not name is
# taken as passing.
Row = Mapping[Outcome, Place | None]

_RETRY_PULL = (Phase.REFUSED, Step.PULL)
_REFUSED = (Phase.REFUSED, Step.NOTHING)
_ROLLED_BACK = (Phase.ROLLED_BACK, Step.NOTHING)
_UNDO = (Phase.ROLLED_BACK, Step.WITHDRAW)
_STUCK = (Phase.QUARANTINED, Step.WITHDRAW)
_ANEW = (Phase.STAGED, Step.WITHDRAW)
_ASK = (Phase.STAGED, Step.ASK)
_BEGIN = (Phase.DETECTED, Step.PULL)
_ASK_ACTIVE = (Phase.PROBED, Step.ASK)


def _pull(here: Place) -> Row:
    return {
        Outcome.DONE: (Phase.PULLED, Step.VERIFY),
        Outcome.SAME: None,
        Outcome.GONE: None,
        Outcome.LISTED: _REFUSED,
        Outcome.CONTENT: _REFUSED,
        Outcome.BROKEN: _RETRY_PULL,
        Outcome.PASSING: here,
        Outcome.NEWER: _BEGIN,
        Outcome.REFUSE: _REFUSED,
    }


def _prepare(here: Place, done: Place) -> Row:
    return {
        Outcome.DONE: done,
        Outcome.CONTENT: _REFUSED,
        Outcome.BROKEN: _RETRY_PULL,
        Outcome.PASSING: here,
        Outcome.GONE: None,
        Outcome.NEWER: _BEGIN,
        Outcome.REFUSE: _REFUSED,
    }


def _load(refused: Place) -> Row:
    return {
        Outcome.DONE: (Phase.LOADED, Step.PROBE),
        Outcome.CONTENT: _UNDO,
        Outcome.PASSING: _ASK,
        Outcome.UNKNOWN: _ASK,
        Outcome.HANGS: _STUCK,
        Outcome.GONE: None,
        Outcome.NEWER: _BEGIN,
        Outcome.REFUSE: refused,
    }


TABLE: Mapping[Place, Row] = {
    (Phase.DETECTED, Step.PULL): _pull((Phase.DETECTED, Step.PULL)),
    (Phase.REFUSED, Step.PULL): _pull(_RETRY_PULL),
    (Phase.PULLED, Step.VERIFY): _prepare(
        (Phase.PULLED, Step.VERIFY), (Phase.VERIFIED, Step.STAGE)
    ),
    (Phase.VERIFIED, Step.STAGE): _prepare(
        (Phase.VERIFIED, Step.STAGE), (Phase.STAGED, Step.INSPECT)
    ),
    (Phase.STAGED, Step.INSPECT): _prepare((Phase.STAGED, Step.INSPECT), (Phase.STAGED, Step.LOAD)),
    (Phase.STAGED, Step.LOAD): _load(_REFUSED),
    (Phase.STAGED, Step.ASK): {
        Outcome.PRESENT: (Phase.LOADED, Step.PROBE),
        Outcome.PENDING: _ASK,
        Outcome.ABSENT: _ANEW,
        Outcome.OVERDUE: _STUCK,
        Outcome.PASSING: _ASK,
        Outcome.HOLD: _ANEW,
        Outcome.REFUSE: _UNDO,
    },
    (Phase.STAGED, Step.WITHDRAW): {
        Outcome.DONE: (Phase.STAGED, Step.LOAD),
        Outcome.PASSING: _ANEW,
        Outcome.HANGS: _STUCK,
        Outcome.REFUSE: _UNDO,
    },
    (Phase.LOADED, Step.PROBE): {
        Outcome.DONE: (Phase.PROBED, Step.ACTIVATE),
        Outcome.CONTENT: _UNDO,
        Outcome.PASSING: _ASK,
        Outcome.UNKNOWN: _ASK,
        Outcome.OVERDUE: _STUCK,
        Outcome.HANGS: _STUCK,
        Outcome.ANEW: _ANEW,
        Outcome.HOLD: _ANEW,
        Outcome.REFUSE: _UNDO,
    },
    (Phase.PROBED, Step.ACTIVATE): {
        Outcome.DONE: (Phase.LIVE, Step.NOTHING),
        Outcome.CONTENT: _UNDO,
        Outcome.PASSING: _ASK_ACTIVE,
        Outcome.ANEW: _ANEW,
        Outcome.HOLD: _ANEW,
        Outcome.REFUSE: _UNDO,
    },
    # It may answer requests already, and the old one may be gone: from here only forward.
    (Phase.PROBED, Step.ASK): {
        Outcome.PRESENT: (Phase.PROBED, Step.ACTIVATE),
        Outcome.ABSENT: (Phase.STAGED, Step.LOAD),
        Outcome.PASSING: _ASK_ACTIVE,
    },
    (Phase.ROLLED_BACK, Step.WITHDRAW): {Outcome.DONE: _ROLLED_BACK, Outcome.PASSING: _UNDO},
    # Whether it or the server is to blame is not known: it is loaded once more, much later.
    (Phase.QUARANTINED, Step.WITHDRAW): {
        Outcome.DONE: (Phase.QUARANTINED, Step.LOAD),
        Outcome.PASSING: _STUCK,
        Outcome.REFUSE: _UNDO,
    },
    (Phase.QUARANTINED, Step.LOAD): _load(_ROLLED_BACK),
}
# Where an update may be when nothing is left to do.
ENDS = (_REFUSED, (Phase.LIVE, Step.NOTHING), _ROLLED_BACK)

# What a new process makes of the place that the journal names last. What was not staged is
# forgotten: the next look finds it again, and its pull goes on with the bytes that are there.
# What a server may have been told is asked about first.
RECOVERY: Mapping[Place, Place | None] = {
    (Phase.DETECTED, Step.PULL): None,
    (Phase.REFUSED, Step.PULL): _RETRY_PULL,
    (Phase.PULLED, Step.VERIFY): None,
    (Phase.VERIFIED, Step.STAGE): None,
    (Phase.STAGED, Step.INSPECT): (Phase.STAGED, Step.INSPECT),
    (Phase.STAGED, Step.LOAD): _ASK,
    (Phase.STAGED, Step.ASK): _ASK,
    (Phase.STAGED, Step.WITHDRAW): _ANEW,
    (Phase.LOADED, Step.PROBE): _ASK,
    (Phase.PROBED, Step.ACTIVATE): _ASK_ACTIVE,
    (Phase.PROBED, Step.ASK): _ASK_ACTIVE,
    (Phase.ROLLED_BACK, Step.WITHDRAW): _UNDO,
    (Phase.QUARANTINED, Step.WITHDRAW): _STUCK,
    (Phase.QUARANTINED, Step.LOAD): _ASK,
    **{end: end for end in ENDS},
}

_TROUBLES = {
    Trouble.UNREACHABLE: Outcome.PASSING,
    Trouble.STALLED: Outcome.PASSING,
    Trouble.REFUSED: Outcome.PASSING,  # credentials are mended at the source or here, not by it
    Trouble.MISSING: Outcome.GONE,
    Trouble.MALFORMED: Outcome.PASSING,
    Trouble.TRUNCATED: Outcome.PASSING,
    Trouble.CHANGED: Outcome.GONE,
    Trouble.TOO_LARGE: Outcome.BROKEN,  # what announces a size may have been broken on the way
    Trouble.SERVER: Outcome.PASSING,
    Trouble.UNUSABLE: Outcome.PASSING,
}
_FAULTS = {
    Fault.UNREACHABLE: Outcome.PASSING,
    Fault.REFUSED: Outcome.CONTENT,
    Fault.UNKNOWN: Outcome.UNKNOWN,
    Fault.HANGS: Outcome.HANGS,
    Fault.NOT_READY: Outcome.CONTENT,
    Fault.PROBE: Outcome.CONTENT,
    Fault.UNFIT: Outcome.CONTENT,
    Fault.DISK: Outcome.PASSING,
}
# What nobody trusted has signed, or what differs from what was signed, may have been changed on
# the way by a faulty network: its bytes are pulled once more. What was signed is what it is;
# only whether it has expired is said by this host's clock, which may be wrong today.
_REASONS = {
    **dict.fromkeys(Reason, Outcome.BROKEN),
    Reason.WRONG_ROLE: Outcome.CONTENT,
    Reason.REVOKED_KEY: Outcome.CONTENT,
    Reason.UNSEQUENCED: Outcome.CONTENT,
    Reason.WRONG_MODEL: Outcome.CONTENT,
    Reason.WRONG_CHANNEL: Outcome.CONTENT,
    Reason.UNFIT_RUNTIME: Outcome.CONTENT,
    Reason.ROLLBACK: Outcome.CONTENT,
    Reason.EQUIVOCATION: Outcome.CONTENT,
    Reason.FAST_FORWARD: Outcome.CONTENT,
    Reason.NOT_YET_VALID: Outcome.PASSING,
    Reason.CLOCK_BEHIND: Outcome.PASSING,
}


def outcome_of(reason: Trouble | Fault | Reason) -> Outcome:
    """How a failure with a reason code is taken."""
    if isinstance(reason, Trouble):
        return _TROUBLES[reason]
    if isinstance(reason, Fault):
        return _FAULTS[reason]
    return _REASONS[reason]


def outcome_of_error(error: HpsError) -> tuple[Outcome, str]:
    """How an error of a step is taken, and its reason code.

    An error that nobody foresaw is taken as passing: whatever is tried again does no harm, and
    what is given up never comes back.
    """
    if isinstance(error, SourceError):
        return outcome_of(error.trouble), str(error.trouble)
    if isinstance(error, ServerError):
        return outcome_of(error.fault), str(error.fault)
    if isinstance(error, PullError):
        return Outcome.PASSING, str(error.cause)
    if isinstance(error, ArchiveError):
        return Outcome.BROKEN, str(error.reason)
    if isinstance(error, (IntegrityError, UnsafeArchiveError)):
        return Outcome.BROKEN, error.reference
    return Outcome.PASSING, error.reference
