"""Looks after one model: looks at its source, does what is due, writes down what came of it.

One thread a model. Everything that is decided is decided in `hps.monitor.update` and
`hps.monitor.sighting`; what is here is the order of section 4 of the design: state into the
journal, ownership checked, step done, event told.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hps.errors import HpsError, UsageError
from hps.monitor.events import Due, Event, Failed, Moment, Offered, Rules, Served
from hps.monitor.history import Happened, Past, Release, entry_of, requests, updates
from hps.monitor.journal import Journal, highest_fence
from hps.monitor.logs import Log
from hps.monitor.look import Look
from hps.monitor.metrics import Metrics
from hps.monitor.operator import Answer, Asked, Desk, refusal
from hps.monitor.ownership import Ownership, owned
from hps.monitor.pulse import Pulse
from hps.monitor.recorded import JOURNAL, LOCK
from hps.monitor.sighting import News, Pace, Watch, judge
from hps.monitor.source import SourceError, Trouble
from hps.monitor.state import State
from hps.monitor.status import Mishap, ModelStatus, Observed
from hps.monitor.steps import Steps
from hps.monitor.transitions import Phase, Step
from hps.monitor.update import advance, due, recover

_TICK = 0.5  # seconds between two looks at what operators ask for
_ROUTINE = 15.0  # seconds between two questions to the server, while nothing is done
_SLOWEST_STEP = 7 * 3600.0  # a step that takes longer than this is taken for dead
_FAILED_LOOKS = 300.0  # seconds that no wait after failed looks exceeds


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
    pace: Pace
    max_age: float | None = None


class Runner:
    """One model, until it is told to end.

    Args:
        name: in the settings.
        folder: where its state is.
        steps: its hands.
        terms: how it is looked after.
        metrics, pulse, stop: shared by all models.
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
        self._folder, self._steps, self._terms = folder, steps, terms
        self._metrics, self._pulse, self._stop = metrics, pulse, stop
        self._log = Log(name)
        self._desk = Desk(folder)
        self._state = State()
        self._written: object = None
        self._watch = Watch()
        self._next_look = self._next_question = 0.0
        self._failed_looks = 0
        self._looked_once = False
        self._guard = threading.Lock()
        self._history: tuple[Past, ...] = ()
        self._seen = Observed(steps.source.name, steps.server.name, max_age=terms.max_age)
        self._due = Due(Step.NOTHING)

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
            self._take_over(journal, ownership)
            while not self._stop.is_set():
                self._pulse.beat(self.name, _SLOWEST_STEP)
                if self._round(journal, ownership):
                    continue
                if once and self._looked_once:
                    break
                self._stop.wait(self._idle())
        self._pulse.stop(self.name)

    def status(self) -> ModelStatus:
        """How it stands; for other threads."""
        with self._guard:
            until = self._due.until
            return ModelStatus.of(
                self.name,
                self._state,
                self._history,
                observed=self._seen,
                waiting=self._due.waiting,
                until=None if until is None else time.time() + until - time.monotonic(),
            )

    def _take_over(self, journal: Journal, ownership: Ownership) -> None:
        if journal.last is not None:
            self._state = State.from_json(journal.last.state)
        self._state = recover(self._state, _moment(), self._terms.rules)
        self._steps.generations.keep_only(self._state.retained)
        self._steps.generations.clean([self._state.staging])
        self._desk.open(time.time())
        self._write(journal, ownership, Happened.STARTED)
        self._log.info("started", f"watching {self._steps.source.name}", fence=ownership.fence)

    def _round(self, journal: Journal, ownership: Ownership) -> bool:
        """Do what is to be done now; says whether something was."""
        self._answer_requests(journal, ownership)
        with self._guard:
            self._due = due(self._state, time.monotonic(), self._terms.rules)
        if self._due.step not in {Step.NOTHING, Step.WAIT}:
            self._step(journal, ownership)
            return True
        if time.monotonic() >= self._next_look:
            self._look(journal, ownership)
            return True
        if time.monotonic() >= self._next_question:
            self._question(journal, ownership)
            return True
        return False

    def _step(self, journal: Journal, ownership: Ownership) -> None:
        due_ = self._due
        ownership.check()
        began = time.monotonic()
        event = self._steps.do(due_, self._state)
        self._metrics.step(self.name, due_.step, time.monotonic() - began)
        if isinstance(event, Failed) and self._stop.is_set():
            return  # it was cut off: the next monitor finds the journal as it is
        happened = Happened.STEP
        if isinstance(event, Failed):
            happened = Happened.FAILED
            self._mishap(event.reason, event.detail)
            self._log.warning(
                "step-failed",
                f"{due_.step} of generation {due_.number}: {event.detail}",
                reason=event.reason,
            )
        else:
            self._log.debug("step", f"{due_.step} of generation {due_.number}")
        release = self._release() if due_.step is Step.VERIFY else None
        before = self._state
        self._tell(journal, ownership, event, happened, release)
        if self._state.live != before.live and self._state.live is not None:
            self._went_live()

    def _went_live(self) -> None:
        live = self._state.live
        number = 0 if live is None else live.number
        self._seen_now(mishap=None, serving=True)
        row = self._history[0].release if self._history else None
        if row is not None and row.verified in {"", "nothing"}:
            self._log.warning("live-unverified", f"generation {number} is live; nobody signed it")
        self._log.info("live", f"generation {number} is live", generation=number)
        self._steps.generations.keep_only(self._state.retained)

    def _look(self, journal: Journal, ownership: Ownership) -> None:
        now = time.monotonic()
        try:
            donefile = self._steps.source.donefile()
            model = () if donefile is None else self._steps.source.model()
        except SourceError as error:
            self._look_failed(error)
            return
        self._failed_looks = 0
        self._watch, sighting = judge(
            self._watch,
            self._state.last_mark,
            Look(donefile, model),
            now=now,
            today=time.time(),
            pace=self._terms.pace,
        )
        self._metrics.looked(self.name, sighting.news)
        self._next_look = time.monotonic() + (sighting.again or self._interval())
        self._looked_once = sighting.news is not News.SETTLING
        seen = time.time()
        self._seen_now(looked=seen, news=str(sighting.news), next_look=self._next_look_at())
        if sighting.to_be_pulled and sighting.mark is not None:
            self._log.info("offered", "the source offers something new")
            self._tell(journal, ownership, Offered(sighting.mark), Happened.OFFERED)

    def _look_failed(self, error: SourceError) -> None:
        self._failed_looks += 1
        self._metrics.looked(self.name, error.trouble)
        known = error.trouble is Trouble.MISSING  # the donefile came, the model has not yet
        wait = self._terms.rules.retry.delay(self._failed_looks, random.random(), after=error.after)  # noqa: S311 - spreads looks
        wait = max(self._interval(), min(wait, _FAILED_LOOKS)) if not known else self._interval()
        self._next_look = time.monotonic() + wait
        self._looked_once = True
        self._mishap(str(error.trouble), error.message)
        self._seen_now(looked=time.time(), news="failed", next_look=self._next_look_at())
        self._log.warning("look-failed", error.message, reason=str(error.trouble))

    def _question(self, journal: Journal, ownership: Ownership) -> None:
        self._next_question = time.monotonic() + _ROUTINE
        try:
            numbers = self._steps.server.live()
        except HpsError as error:
            self._seen_now(serving=None)
            self._log.debug("server-away", error.message)
            return
        live = self._state.live
        self._seen_now(serving=None if live is None else live.number in numbers)
        self._tell(journal, ownership, Served(tuple(numbers)), Happened.SERVED)

    def _answer_requests(self, journal: Journal, ownership: Ownership) -> None:
        for asked in self._desk.pending(requests(journal.history())):
            try:
                before = self._state
                self._advance(asked.request)
            except UsageError as error:
                self._desk.answer(asked, refusal(error))
                continue
            self._write(journal, ownership, Happened.OPERATOR, asked=asked)
            self._metrics.told(self.name, before, asked.request, self._state)
            self._desk.answer(asked, Answer(done=True, text=f"{asked.wish} is taken up"))
            self._log.info("operator", f"{asked.by}: {asked.wish}", why=asked.why)

    def _tell(
        self,
        journal: Journal,
        ownership: Ownership,
        event: Event,
        happened: Happened,
        release: Release | None = None,
    ) -> None:
        before = self._state
        self._advance(event)
        self._metrics.told(self.name, before, event, self._state)
        self._write(journal, ownership, happened, release)

    def _advance(self, event: Event) -> None:
        after = advance(self._state, event, _moment(), self._terms.rules)
        with self._guard:
            self._state = after

    def _write(
        self,
        journal: Journal,
        ownership: Ownership,
        happened: Happened,
        release: Release | None = None,
        asked: Asked | None = None,
    ) -> None:
        """Write the state down, when it says something new."""
        state = self._state.as_json()
        if state == self._written and asked is None:
            return
        entry = entry_of(
            happened,
            self._state,
            release=release,
            by="" if asked is None else asked.by,
            request="" if asked is None else asked.id,
        )
        update = self._state.update
        number = 0 if update is None else update.number
        journal.append(entry, state, update=number, time=time.time(), fence=ownership.fence)
        self._written = state
        with self._guard:
            self._history = updates(journal.history())
        if update is not None and update.phase is Phase.VERIFIED:
            self._seen_now(verified=time.time())

    def _release(self) -> Release | None:
        examined = self._steps.prepared.examined
        return None if examined is None else examined.row

    def _mishap(self, reason: str, detail: str) -> None:
        self._seen_now(mishap=Mishap(time.time(), reason, detail))

    def _seen_now(self, **changed: object) -> None:
        with self._guard:
            known = {name: getattr(self._seen, name) for name in Observed.__dataclass_fields__}
            self._seen = Observed(**{**known, **changed})

    def _interval(self) -> float:
        chance = random.uniform(-1, 1)  # noqa: S311 - spreads looks, guards nothing
        return self._terms.interval * (1 + self._terms.jitter * chance)

    def _next_look_at(self) -> float:
        return time.time() + self._next_look - time.monotonic()

    def _idle(self) -> float:
        times = [self._next_look, self._next_question]
        if self._due.until is not None:
            times.append(self._due.until)
        return min(_TICK, max(0.01, min(times) - time.monotonic()))


def guarded(runner: Runner, failed: Callable[[HpsError], object], *, once: bool) -> None:
    """Run until told to end; what ends it otherwise is handed on."""
    try:
        runner.run(once=once)
    except HpsError as error:
        failed(error)


def _moment() -> Moment:
    return Moment(time.monotonic(), random.random())  # noqa: S311 - spreads retries
