"""How a model stands, in the words of the page and of `hps monitor status`. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from hps.archive.refusal import Reason as ArchiveReason
from hps.model.refusal import Reason
from hps.monitor.history import Past, Release
from hps.monitor.pulled import Cause as PullCause
from hps.monitor.server import Fault
from hps.monitor.sighting import News
from hps.monitor.source import Trouble
from hps.monitor.state import Cause
from hps.monitor.status import ModelStatus
from hps.monitor.transitions import Phase
from hps.monitor.update import OPERATOR


class Mood(StrEnum):
    """How urgent it is."""

    GOOD = "good"
    BUSY = "busy"  # something is under way, or held on purpose
    LOOK = "look"  # a person should look at it; users are served
    BAD = "bad"  # users are not served what is live


@dataclass(frozen=True, slots=True)
class Headline:
    """The state of a model in two or three words."""

    mood: Mood
    words: str


def headline(model: ModelStatus, now: float) -> Headline:
    """The one thing about a model that matters most now."""
    return next(_headlines(model, now))


def _headlines(model: ModelStatus, now: float) -> Iterator[Headline]:
    """All that is true of a model, the most urgent first."""
    pending, refused = model.pending, model.refused
    if model.live is None:
        yield Headline(Mood.BAD, "Nothing is live")
    elif not model.ready:
        known = model.observed.serving is False
        yield Headline(Mood.BAD, "Not served" if known else "Server does not answer")
    if model.approval is not None:
        yield Headline(Mood.LOOK, "Waits for approval")
    if model.is_stale(now):
        yield Headline(Mood.LOOK, "Nothing new for too long")
    if model.observed.mishap is not None:
        yield Headline(Mood.LOOK, "Source in trouble")
    if pending is not None and pending.reason:
        yield Headline(Mood.LOOK, "Update is tried again")
    if pending is None and refused is not None:
        undone = refused.phase != Phase.REFUSED
        yield Headline(Mood.LOOK, "Update undone" if undone else "Update refused")
    if model.held:
        yield Headline(Mood.BUSY, "Held")
    yield Headline(Mood.GOOD, "Live") if pending is None else Headline(Mood.BUSY, "Updating")


def named(release: Release | None) -> str:
    """A release for people: `release 12 (2026.11) of ocr, channel stable`."""
    if release is None or (release.sequence is None and not release.name):
        return "not released under a name"
    number = "" if release.sequence is None else f"release {release.sequence} "
    version = f"({release.version}) " if release.version else ""
    channel = f", channel {release.channel}" if release.channel else ""
    return f"{number}{version}of {release.name}{channel}"


def trusted(release: Release | None) -> str:
    """By what it was let in."""
    return {
        "signature": "signed, and verified",
        "checksums": "checksums hold; nobody signed it",
        "nothing": "not verified: nothing was asked for",
    }.get("" if release is None else release.verified, "")


def news(code: str) -> str:
    """What a look at the source came to."""
    return _NEWS.get(code, code)


def reason(code: str) -> str:
    """A reason code in words; the code itself where there are none."""
    return _REASONS.get(code, code)


def outcome(row: Past) -> str:
    """How an update ended, or how far it is."""
    if not row.over:
        return f"under way: {row.phase}"
    by = f" by {row.by}" if row.by else ""
    if row.phase == Phase.LIVE:
        return {
            str(Cause.OPERATOR): f"rolled back to{by}",
            str(Cause.REVIVAL): "loaded again",
        }.get(row.cause, "went live")
    return "undone" if row.phase == Phase.ROLLED_BACK else row.phase


def lasted(seconds: float) -> str:
    """A time span for people: `4 s`, `3 min`, `2 h`, `5 days`."""
    for most, size, unit in _SPANS:
        if seconds < most:
            return f"{int(max(0.0, seconds) / size)} {unit}"
    return f"{int(seconds / 86400)} days"


_SPANS = ((100.0, 1.0, "s"), (6000.0, 60.0, "min"), (172_800.0, 3600.0, "h"))


_NEWS: dict[str, str] = {
    News.ABSENT: "nothing is offered",
    News.SAME: "nothing new",
    News.NEW: "something new",
    News.CHECK: "looked at more closely",
    News.SETTLING: "looked at again in a moment",
    News.MOVING: "it is being published",
}
_REASONS: dict[str, str] = {
    **{str(one): f"the archive is refused ({one})" for one in ArchiveReason},
    Reason.MALFORMED: "its manifest is missing or contradicts itself",
    Reason.UNSIGNED: "nobody signed it",
    Reason.UNTRUSTED_KEY: "signed by somebody who is not trusted here",
    Reason.WRONG_ROLE: "signed with a key that may not sign models",
    Reason.REVOKED_KEY: "signed with a key that was revoked",
    Reason.THRESHOLD: "too few of the trusted keys have signed it",
    Reason.UNSEQUENCED: "it has no name and number, so it could be an old one",
    Reason.NO_CHECKSUMS: "it comes without checksums",
    Reason.WRONG_MODEL: "it is another model",
    Reason.WRONG_CHANNEL: "it is for another channel",
    Reason.UNFIT_RUNTIME: "it needs another server than this host has",
    Reason.GROUP_INCOMPLETE: "other models of its group are not there yet",
    Reason.ROLLBACK: "it is older than what was live already",
    Reason.EQUIVOCATION: "its number belongs to another release",
    Reason.FAST_FORWARD: "its number leaps ahead",
    Reason.EXPIRED: "it has expired",
    Reason.NOT_YET_VALID: "it was issued in the future, by this host's clock",
    Reason.CLOCK_BEHIND: "this host's clock was set back",
    Reason.SET_MISMATCH: "a file is missing or too much",
    Reason.DIGEST_MISMATCH: "a file is not what was signed",
    Reason.MODE_MISMATCH: "a file has another mode than was signed",
    Reason.UNSAFE_FILE: "it holds a link, a device or a name that no model needs",
    Trouble.UNREACHABLE: "the source cannot be reached",
    Trouble.STALLED: "the source stalls",
    Trouble.REFUSED: "the source does not let this host in",
    Trouble.MISSING: "it is no longer at the source",
    Trouble.MALFORMED: "the source answers what cannot be understood",
    Trouble.TRUNCATED: "fewer bytes came than were announced",
    Trouble.CHANGED: "it was replaced while it was read",
    Trouble.TOO_LARGE: "it is larger than this host takes",
    Trouble.SERVER: "the source has a fault of its own",
    Trouble.UNUSABLE: "what reaches the source is missing here",
    Fault.UNREACHABLE: "the model server cannot be reached",
    Fault.REFUSED: "the model server refused to load it",
    Fault.UNKNOWN: "the model server did not answer in time",
    Fault.HANGS: "the model server will never be done with it",
    Fault.NOT_READY: "it was loaded and does not answer",
    Fault.PROBE: "it answers, and not what was expected",
    Fault.UNFIT: "the model server could not load it",
    Fault.DISK: "the disk of this host",
    PullCause.DISK: "the disk of this host",
    PullCause.DEADLINE: "pulling it took too long",
    PullCause.UNSTEADY: "it kept changing while it was pulled",
    PullCause.STOPPED: "the monitor was stopped",
    OPERATOR: "a person said so",
}
