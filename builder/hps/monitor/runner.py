"""Looks after one model: looks at its source, does what is due, writes down what came of it.

One thread a model. Everything that is decided is decided in `hps.monitor.update` and
`hps.monitor.sighting`; what is here is the order of section 4 of the design: state into the
journal, ownership checked, step done, event told. Whatever ends a run, the next one carries on from
the journal, in this process or in another one.
"""

import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hps.errors import HpsError, UsageError
from hps.monitor.deadlines import IDLE, Deadlines
from hps.monitor.events import Due, Event, Failed, Offered, Rules, Served
from hps.monitor.examination import NOTHING
from hps.monitor.history import Happened, Past
from hps.monitor.journal import Journal, highest_fence
from hps.monitor.logs import SECRETS, Log
from hps.monitor.lookout import Lookout, Rhythm
from hps.monitor.metrics import Metrics
from hps.monitor.operator import Answer, Asked, Desk, refusal
from hps.monitor.ownership import owned
from hps.monitor.pulse import Pulse
from hps.monitor.recorded import JOURNAL, LOCK, verified_at
from hps.monitor.recording import Recording
from hps.monitor.sighting import Pace
from hps.monitor.source import SourceError
from hps.monitor.state import State
from hps.monitor.status import Mishap, ModelStatus, Observed
from hps.monitor.steps import Steps
from hps.monitor.transitions import Phase, Step
from hps.monitor.update import OPERATOR, due

_TICK = 0.5  # seconds between two looks at what operators ask for
_ROUTINE = 15.0  # seconds between two questions to the server, while nothing is done
_DESK_PAUSE = 60.0  # seconds until requests are looked at again after they could not be read
_NOT_SERVED = 8  # exit code: nothing is live, or what was offered was undone
_REFUSED = 5


@dataclass(frozen=True, slots=True)
class Terms:
    """How one model is looked after.

    Args:
        interval: seconds between two looks.
        jitter: the part of it that chance may add or take away.
        rules: of updates.
        pace: of sightings.
        max_age: seconds without newly verified metadata that are too long.
    """

    interval: float
    jitter: float
    rules: Rules
    pace: Pace = field(default_factory=Pace)
    max_age: float | None = None


@dataclass(frozen=True, slots=True)
class _Shown:
    """What other threads see; replaced as a whole by the one thread that looks after the model."""

    observed: Observed
    state: State = field(default_factory=State)
    history: tuple[Past, ...] = ()
    due: Due = field(default_factory=lambda: Due(Step.NOTHING))


class Runner:
    """One model, until it is told to end.

    Args:
        name: in the settings.
        folder: where its state is.
        steps: its hands.
        terms: how it is looked after.
        metrics, pulse, stop: shared by all models.

    Attributes:
        failure: what made the last look or step fail; None when it went well.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        steps: Steps,
        terms: Terms,
        *,
        metrics: Metrics,
        pulse: Pulse,
        stop: threading.Event,
    ) -> None:
        self.name = name
        self.failure: HpsError | None = None
        self._folder, self._steps, self._terms = folder, steps, terms
        self._metrics, self._pulse, self._stop = metrics, pulse, stop
        self._deadlines = Deadlines.of(steps.settings)
        self._log = Log(name)
        self._desk = Desk(folder)
        self._next_question = self._next_desk = 0.0
        observed = Observed(
            steps.source.name,
            steps.server.name,
            max_age=terms.max_age,
            members=steps.settings.members,
        )
        self._shown = _Shown(observed)

    def run(self, *, once: bool = False) -> None:
        """Look after the model.

        Args:
            once: end when one look led to nothing more to be done now.

        Raises:
            OwnershipError: another monitor has it, or took it over.
            JournalError, DiskError: its state cannot be read or written.
        """
        self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        journal_folder = self._folder / JOURNAL
        fence = highest_fence(journal_folder)
        with (
            owned(self._folder / LOCK, now=time.time(), at_least=fence) as ownership,
            Journal(journal_folder) as journal,
        ):
            recording = Recording(journal, ownership, self._terms.rules)
            self._take_over(recording, verified_at(journal.history()))
            lookout = Lookout(self._steps.source, self._rhythm())
            while not self._stop.is_set():
                self._pulse.beat(self.name, IDLE)
                if self._round(recording, lookout):
                    continue
                if once and lookout.settled:
                    break
                self._stop.wait(self._idle(lookout))
        self._pulse.stop(self.name)

    def status(self) -> ModelStatus:
        """How it stands; for other threads."""
        shown = self._shown
        until = shown.due.until
        return ModelStatus.of(
            self.name,
            shown.state,
            shown.history,
            observed=shown.observed,
            waiting=shown.due.waiting,
            until=None if until is None else time.time() + until - time.monotonic(),
        )

    def fell(self, error: Exception) -> None:
        """Show what ended a run; for the thread that begins the next one."""
        self._mishap(getattr(error, "reference", "fault"), SECRETS.hidden(_summary(error)))
        self._observe(serving=None)

    @property
    def code(self) -> int:
        """The exit code of a run that looked once: of what failed last, or of how it stands."""
        if self.failure is not None:
            return self.failure.exit_code or _NOT_SERVED
        state = self._shown.state
        ended = state.update
        if ended is not None and ended.over and ended.reason != OPERATOR:
            if ended.phase is Phase.REFUSED:
                return _REFUSED
            if ended.phase is not Phase.LIVE:
                return _NOT_SERVED
        return 0 if state.live is not None else _NOT_SERVED

    def _rhythm(self) -> Rhythm:
        terms = self._terms
        return Rhythm(terms.interval, terms.jitter, terms.pace, terms.rules.retry)

    def _take_over(self, recording: Recording, verified: float | None) -> None:
        self._observe(verified=verified)
        self._desk.open(time.time())
        recording.write(Happened.STARTED)
        self._show(recording)
        self._tidy(recording.state)
        self._log.info("started", f"watching {self._steps.source.name}", fence=recording.fence)

    def _round(self, recording: Recording, lookout: Lookout) -> bool:
        """Do what is to be done now; says whether something was."""
        self._answer_requests(recording)
        now = time.monotonic()
        due_ = due(recording.state, now, self._terms.rules)
        self._shown = replace(self._shown, due=due_)
        if due_.step not in {Step.NOTHING, Step.WAIT}:
            self._step(recording, due_)
        elif lookout.due:
            self._look(recording, lookout)
        elif now >= self._next_question:
            self._question(recording)
        else:
            return False
        return True

    def _step(self, recording: Recording, due_: Due) -> None:
        within = self._deadlines.step(due_.step)
        self._pulse.beat(self.name, within)
        recording.check()
        began = time.monotonic()
        before = recording.state
        event = self._steps.do(due_, before, lambda: self._pulse.beat(self.name, within))
        self._metrics.step(self.name, due_.step, time.monotonic() - began)
        if isinstance(event, Failed):
            if self._stop.is_set():
                return  # it was cut off: the next monitor finds the journal as it is
            self._step_failed(due_, event)
        else:
            self.failure = None
            self._log.debug("step", f"{due_.step} of generation {due_.number}")
        self._tell(
            recording, event, Happened.FAILED if isinstance(event, Failed) else Happened.STEP
        )
        self._step_told(before, recording.state)

    def _step_failed(self, due_: Due, event: Failed) -> None:
        self.failure = self._steps.failure
        self._mishap(event.reason, event.detail)
        self._log.warning(
            "step-failed",
            f"{due_.step} of generation {due_.number}: {event.detail}",
            reason=event.reason,
        )

    def _step_told(self, before: State, after: State) -> None:
        update, ended = after.update, after.ended
        if update is not None and update.phase is Phase.VERIFIED and update != before.update:
            self._observe(verified=time.time())
        if ended is None:
            return
        if ended.phase is Phase.LIVE:
            self._went_live(ended.number)
        else:
            say = self._log.info if ended.reason == OPERATOR else self._log.error
            say(
                "not-live",
                f"generation {ended.number} is {ended.phase}: {ended.detail}",
                reason=ended.reason,
                generation=ended.number,
            )
        self._tidy(after)

    def _went_live(self, number: int) -> None:
        self._observe(mishap=None, serving=True)
        live = self.status().live
        release = None if live is None else live.release
        if self._steps.settings.verification == "none":
            self._log.warning("live-unverified", f'generation {number} is live: verify = "none"')
        elif release is None or release.verified in {"", NOTHING}:
            self._log.warning("live-unverified", f"generation {number} is live; nobody signed it")
        self._log.info("live", f"generation {number} is live", generation=number)

    def _look(self, recording: Recording, lookout: Lookout) -> None:
        self._pulse.beat(self.name, self._deadlines.look)
        try:
            sighting = lookout.look(recording.state.last_mark)
        except SourceError as error:
            if not self._stop.is_set():  # else it was closed under its feet
                self._look_failed(error, lookout)
            return
        if isinstance(self.failure, SourceError):
            self.failure = None
        self._metrics.looked(self.name, sighting.news)
        self._observe(looked=time.time(), news=str(sighting.news), next_look=_as_time(lookout.next))
        if sighting.to_be_pulled and sighting.mark is not None:
            self._log.info("offered", "the source offers something new")
            self._tell(recording, Offered(sighting.mark), Happened.OFFERED)

    def _look_failed(self, error: SourceError, lookout: Lookout) -> None:
        reason, text = str(error.trouble), SECRETS.hidden(error.message)
        self.failure = error
        self._metrics.looked(self.name, error.trouble)
        self._mishap(reason, text)
        self._observe(looked=time.time(), news="failed", next_look=_as_time(lookout.next))
        self._log.warning("look-failed", text, reason=reason)

    def _question(self, recording: Recording) -> None:
        self._next_question = time.monotonic() + _ROUTINE
        self._pulse.beat(self.name, self._deadlines.question)
        try:
            numbers = self._steps.server.live()
        except HpsError as error:
            self._observe(serving=None)
            self._log.debug("server-away", error.message)
            return
        live = recording.state.live
        self._observe(serving=None if live is None else live.number in numbers)
        self._tell(recording, Served(tuple(numbers)), Happened.SERVED)

    def _answer_requests(self, recording: Recording) -> None:
        if time.monotonic() < self._next_desk:
            return
        try:
            if self._desk.is_empty():
                return
            asked = list(self._desk.pending(recording.answered))
        except HpsError as error:  # the model is looked after all the same
            self._next_desk = time.monotonic() + _DESK_PAUSE
            self._mishap(error.reference, error.message)
            self._log.warning("requests-unread", error.message, reason=error.reference)
            return
        for one in asked:
            self._answer(recording, one)

    def _answer(self, recording: Recording, asked: Asked) -> None:
        try:
            before = recording.tell(asked.request, Happened.OPERATOR, asked=asked)
        except UsageError as error:
            self._desk.answer(asked, refusal(error))
            return
        self._told(recording, before, asked.request)
        self._desk.answer(asked, Answer(done=True, text=f"{asked.wish} is taken up"))
        self._log.info("operator", f"{asked.by}: {asked.wish}", why=asked.why)

    def _tell(self, recording: Recording, event: Event, happened: Happened) -> None:
        examined = self._steps.prepared.examined
        verified = happened is Happened.STEP and self._shown.due.step is Step.VERIFY
        row = examined.row if verified and examined is not None else None
        before = recording.tell(event, happened, release=row)
        self._told(recording, before, event)

    def _told(self, recording: Recording, before: State, event: Event) -> None:
        self._metrics.told(self.name, before, event, recording.state)
        self._show(recording)

    def _show(self, recording: Recording) -> None:
        self._shown = replace(self._shown, state=recording.state, history=recording.history)

    def _tidy(self, state: State) -> None:
        """Let go what no state names any more; what cannot be removed now goes another time."""
        generations = self._steps.generations
        try:
            generations.keep_only(state.retained)
            generations.clean([state.staging])
        except HpsError as error:
            self._mishap(error.reference, error.message)
            self._log.warning("not-removed", error.message, reason=error.reference)

    def _mishap(self, reason: str, detail: str) -> None:
        self._observe(mishap=Mishap(time.time(), reason, detail))

    def _observe(self, **changed: Any) -> None:
        observed = replace(self._shown.observed, **changed)
        self._shown = replace(self._shown, observed=observed)

    def _idle(self, lookout: Lookout) -> float:
        times = [lookout.next, self._next_question]
        if self._shown.due.until is not None:
            times.append(self._shown.due.until)
        return min(_TICK, max(0.01, min(times) - time.monotonic()))


def _summary(error: Exception) -> str:
    return error.message if isinstance(error, HpsError) else f"{type(error).__name__}: {error}"


def _as_time(moment: float) -> float:
    """A moment of the monotonic clock, in seconds since the epoch."""
    return time.time() + moment - time.monotonic()
