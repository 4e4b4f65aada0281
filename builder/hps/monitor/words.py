"""How a model stands, in the words of the page and of `hps monitor status`. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from hps.monitor.history import Past, Release
from hps.monitor.reasons import told
from hps.monitor.sighting import News
from hps.monitor.state import Cause
from hps.monitor.status import ModelStatus
from hps.monitor.transitions import Phase


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
        return "without a release number"
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
    return told(code).words


def advice(code: str) -> str:
    """What a person does about a reason; empty where it passes by itself."""
    return told(code).advice


def outcome(row: Past) -> str:
    """How an update ended, or how far it is."""
    if not row.over:
        return doing(row.phase)
    by = f" by {row.by}" if row.by else ""
    if row.phase == Phase.LIVE:
        return {
            str(Cause.OPERATOR): f"rolled back to{by}",
            str(Cause.REVIVAL): "loaded again",
        }.get(row.cause, "went live")
    return "undone" if row.phase == Phase.ROLLED_BACK else row.phase


def doing(phase: str) -> str:
    """What happens to an update that has got so far."""
    return _DOING.get(phase, f"under way: {phase}")


def lasted(seconds: float) -> str:
    """A time span for people: `4 s`, `3 min`, `2 h`, `5 days`."""
    for most, size, unit in _SPANS:
        if seconds < most:
            return f"{int(max(0.0, seconds) / size)} {unit}"
    return f"{int(seconds / 86400)} days"


_DOING: dict[str, str] = {
    Phase.DETECTED: "being pulled",
    Phase.PULLED: "being verified",
    Phase.VERIFIED: "being made ready",
    Phase.STAGED: "ready to be loaded",
    Phase.LOADED: "being probed",
    Phase.PROBED: "being made live",
    Phase.REFUSED: "to be pulled again",
    Phase.ROLLED_BACK: "being undone",
    Phase.QUARANTINED: "set aside: the model server has not let go of it",
}
_SPANS = ((100.0, 1.0, "s"), (6000.0, 60.0, "min"), (172_800.0, 3600.0, "h"))


_NEWS: dict[str, str] = {
    News.ABSENT: "nothing is offered",
    News.SAME: "nothing new",
    News.NEW: "something new",
    News.CHECK: "looked at more closely",
    News.SETTLING: "looked at again in a moment",
    News.MOVING: "it is being published",
}
