"""How every model of this host stands, as one snapshot. Pure: the runner fills it in.

One snapshot is what `/status`, the page, `/readyz`, the metrics and `hps monitor status` all show,
so that they never disagree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from hps.monitor.events import Waiting
from hps.monitor.history import Past, Release, seconds
from hps.monitor.journal_record import timestamp
from hps.monitor.state import State
from hps.monitor.transitions import Phase
from hps.monitor.update import OPERATOR

EMPTY = "empty"  # state of a model of which nothing was ever offered
STATES = (EMPTY, *map(str, Phase), str(Waiting.RELEASE), str(Waiting.APPROVAL))


@dataclass(frozen=True, slots=True)
class Live:
    """The generation that answers requests.

    Args:
        number: of it.
        identity: of its content.
        since: seconds since the epoch; None where the journal no longer tells.
        release: what its publisher says that it is.
    """

    number: int
    identity: str
    since: float | None = None
    release: Release | None = None

    def as_json(self) -> dict[str, Any]:
        """For `/status`."""
        return {
            "number": self.number,
            "identity": self.identity,
            "since": _time(self.since),
            "release": None if self.release is None else self.release.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Pending:
    """The update that is under way.

    Args:
        number: of the generation.
        cause: why it is made.
        phase: how far it has got.
        step: what is to be done next.
        waiting: what that waits for; None: nothing, it is being done.
        until: seconds since the epoch when it begins; None: when a person says so, or now.
        reason: the code of what went wrong last.
        detail: the same for people.
    """

    number: int
    cause: str
    phase: str
    step: str
    waiting: Waiting | None = None
    until: float | None = None
    reason: str = ""
    detail: str = ""

    def as_json(self) -> dict[str, Any]:
        """For `/status`."""
        return {
            "number": self.number,
            "cause": self.cause,
            "phase": self.phase,
            "step": self.step,
            "waiting": None if self.waiting is None else str(self.waiting),
            "until": _time(self.until),
            "reason": self.reason or None,
            "detail": self.detail or None,
        }


@dataclass(frozen=True, slots=True)
class Mishap:
    """What went wrong outside of an update: a look at the source, a question to the server.

    Args:
        time: seconds since the epoch.
        reason: code.
        detail: for people.
    """

    time: float
    reason: str
    detail: str

    def as_json(self) -> dict[str, Any]:
        """For `/status`."""
        return {"time": _time(self.time), "reason": self.reason, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Observed:
    """What only a running monitor knows of a model; all times in seconds since the epoch.

    Args:
        source: its name, without secrets.
        server: likewise.
        serving: whether the server says that it serves the live generation; None: not asked, or
            no answer.
        looked: when the source was looked at last.
        news: what came of it (`sighting.News`).
        next_look: when it is looked at again.
        verified: when a manifest was verified last.
        max_age: seconds after which that is too long ago.
        mishap: what went wrong last, until it goes well again.
        members: the models that go live together; none where it is one.
    """

    source: str = ""
    server: str = ""
    serving: bool | None = None
    looked: float | None = None
    news: str = ""
    next_look: float | None = None
    verified: float | None = None
    max_age: float | None = None
    mishap: Mishap | None = None
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """How one model stands.

    Args:
        name: as in `[monitor.models.NAME]`.
        state: one of `STATES`: of the update under way, or of the last one.
        observed: what the monitor saw.
        live: what answers requests.
        pending: the update under way.
        held: an operator wants the live generation to stay.
        kept: the generations that can be rolled back to, the latest last.
        history: the last updates, the newest first.
    """

    name: str
    state: str
    observed: Observed
    live: Live | None = None
    pending: Pending | None = None
    held: bool = False
    kept: tuple[int, ...] = ()
    history: tuple[Past, ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        state: State,
        history: Sequence[Past],
        *,
        observed: Observed,
        waiting: Waiting | None = None,
        until: float | None = None,
        most: int = 10,
    ) -> Self:
        """The snapshot of a state.

        Args:
            name: of the model.
            state: as the journal has it.
            history: of all updates, the newest first (`history.updates`).
            observed: what only a running monitor knows.
            waiting: what the update under way waits for (`update.due`).
            until: until when, in seconds since the epoch.
            most: how many updates are shown.
        """
        return cls(
            name=name,
            state=_word(state, waiting),
            observed=observed,
            live=_live(state, history),
            pending=_pending(state, waiting, until),
            held=state.held,
            kept=tuple(one.number for one in state.kept),
            history=tuple(history)[:most],
        )

    @property
    def approval(self) -> int | None:
        """The generation that a person has to let go live."""
        pending = self.pending
        if pending is None or pending.waiting is not Waiting.APPROVAL:
            return None
        return pending.number

    @property
    def ready(self) -> bool:
        """Whether the server says that it serves the live generation."""
        return self.live is not None and self.observed.serving is True

    def age(self, now: float) -> float | None:
        """Seconds since a manifest was verified; None when none ever was."""
        verified = self.observed.verified
        return None if verified is None else max(0.0, now - verified)

    def is_stale(self, now: float) -> bool:
        """Whether nothing new was verified for too long: somebody may hold it back."""
        age, most = self.age(now), self.observed.max_age
        return most is not None and (age is None or age > most)

    @property
    def refused(self) -> Past | None:
        """The newest update that is over, if it was refused or undone, and not by a person."""
        last = next((one for one in self.history if one.over), None)
        if last is None or last.phase not in _BAD_ENDS or last.reason == OPERATOR:
            return None
        return last

    def needs_attention(self, now: float) -> bool:
        """Whether a person should look at it."""
        return (
            not self.ready
            or self.approval is not None
            or self.observed.mishap is not None
            or self.refused is not None
            or self.is_stale(now)
            or (self.pending is not None and bool(self.pending.reason))
        )

    def as_json(self, now: float) -> dict[str, Any]:
        """For `/status` and `hps monitor status --json`."""
        seen = self.observed
        return {
            "name": self.name,
            "state": self.state,
            "ready": self.ready,
            "attention": self.needs_attention(now),
            "source": seen.source,
            "server": seen.server,
            "members": list(seen.members),
            "serving": seen.serving,
            "live": None if self.live is None else self.live.as_json(),
            "pending": None if self.pending is None else self.pending.as_json(),
            "held": self.held,
            "approval": self.approval,
            "kept": list(self.kept),
            "looked": _time(seen.looked),
            "news": seen.news or None,
            "next_look": _time(seen.next_look),
            "verified": _time(seen.verified),
            "stale": self.is_stale(now),
            "error": None if seen.mishap is None else seen.mishap.as_json(),
            "history": [one.as_json() for one in self.history],
        }


_BAD_ENDS = frozenset({Phase.REFUSED, Phase.ROLLED_BACK, Phase.QUARANTINED})


@dataclass(frozen=True, slots=True)
class MonitorStatus:
    """How all models of this host stand at one moment.

    Args:
        host: its name.
        version: of hps.
        started: seconds since the epoch when the monitor began.
        now: and of this snapshot.
        models: in the order of their names.
    """

    host: str
    version: str
    started: float
    now: float
    models: tuple[ModelStatus, ...] = ()

    @property
    def unready(self) -> tuple[str, ...]:
        """The models that their servers do not serve."""
        return tuple(one.name for one in self.models if not one.ready)

    def as_json(self) -> dict[str, Any]:
        """The document of `/status`."""
        return {
            "host": self.host,
            "version": self.version,
            "started": timestamp(self.started),
            "now": timestamp(self.now),
            "ready": not self.unready,
            "models": [one.as_json(self.now) for one in self.models],
        }


def commands(model: ModelStatus) -> Mapping[str, str]:
    """What a person can do about a model: commands of `hps monitor`, by what they do."""
    found: dict[str, str] = {}
    if model.approval is not None:
        found["let it go live"] = f"approve {model.name} --number {model.approval}"
        found["drop it"] = f"refuse {model.name} --number {model.approval}"
    if model.held:
        found["let new generations in again"] = f"release {model.name}"
    return found


def _word(state: State, waiting: Waiting | None) -> str:
    if waiting in {Waiting.RELEASE, Waiting.APPROVAL}:
        return str(waiting)
    if state.held and state.busy is None:
        return str(Waiting.RELEASE)
    if state.update is not None:
        return str(state.update.phase)
    return EMPTY if state.live is None else str(Phase.LIVE)


def _live(state: State, history: Sequence[Past]) -> Live | None:
    live = state.live
    if live is None:
        return None
    went = [one for one in history if one.number == live.number and one.phase == Phase.LIVE]
    release = next((one.release for one in went if one.release is not None), None)
    # A revival, or a rollback, made it live once more; the release was told the first time.
    since = seconds(went[0].ended) if went and went[0].over else None
    return Live(live.number, live.identity, since, release)


def _pending(state: State, waiting: Waiting | None, until: float | None) -> Pending | None:
    update = state.busy
    if update is None:
        return None
    return Pending(
        update.number,
        str(update.cause),
        str(update.phase),
        str(update.step),
        waiting,
        until,
        update.reason or "",
        update.detail,
    )


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else timestamp(seconds)
