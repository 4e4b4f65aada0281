"""Doing the steps of an update, for one model: pull, verify, stage, inspect, load, probe, activate.

What is due is decided in `hps.monitor.update`; here it is done, and what came of it is told as an
event. Each step may be done again after a crash, with the same generation.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from hps.config.monitor import WatchedModel
from hps.errors import HpsError
from hps.model.policy import ModelPolicy
from hps.model.probe import Probe
from hps.monitor.disk import DiskError
from hps.monitor.events import Done, Due, Event, Failed, Served
from hps.monitor.examination import (
    Bar,
    Examined,
    RefusedError,
    examine,
    hold_again,
    identity_of,
    lay_out,
    release_in,
)
from hps.monitor.generations import Generations
from hps.monitor.group import examine_group
from hps.monitor.logs import SECRETS
from hps.monitor.pull import pull
from hps.monitor.pulled import Effort, Pulled
from hps.monitor.server import Generation, Server
from hps.monitor.sighting import Mark
from hps.monitor.source import Caps, Source
from hps.monitor.state import State
from hps.monitor.transitions import Outcome, Step, outcome_of, outcome_of_error
from hps.monitor.tree import remove_tree

_PULLED = "pulled"
_PREPARING = frozenset({Step.PULL, Step.VERIFY, Step.STAGE})


@dataclass
class Prepared:
    """What this process has in its hands of the generation under way; a new one pulls again."""

    number: int = 0
    pulled: Pulled | None = None
    examined: Examined | None = None


@dataclass
class Steps:
    """The hands of one model.

    Args:
        settings: of the model.
        policy: whom to trust.
        source: where it is published.
        server: what serves it.
        generations: its folders.
        stop: set when the monitor is to end.
        counted: called with bytes that came over the network.
        today: the clock that people set.
        effort: of pulls; its bounds of time, rate and disk come from the settings.

    Attributes:
        failure: what made the last step fail; None when it was done.
        held: the generation whose bytes this process has held against what was signed, and that
            no server has loaded since.
    """

    settings: WatchedModel
    policy: ModelPolicy
    source: Source
    server: Server
    generations: Generations
    stop: threading.Event
    counted: Callable[[int], object] = lambda _: None
    today: Callable[[], datetime] = lambda: datetime.now(UTC)
    effort: Effort = field(default_factory=Effort)
    prepared: Prepared = field(default_factory=Prepared)
    failure: HpsError | None = None
    held: int = 0

    def do(self, due: Due, state: State, beat: Callable[[], object] = lambda: None) -> Event:
        """Do a step, and tell what came of it; only faults of this program are raised.

        Args:
            due: the step.
            state: of the model.
            beat: called while the step gets on.
        """
        self.failure = None
        try:
            if due.step in _PREPARING:
                return self._prepare(due, state, beat)
            return self._serve(due, state, beat)
        except HpsError as error:
            self.failure = error
            return _failed(due.step, error)
        except OSError as error:
            self.failure = DiskError(str(error))
            self.failure.__cause__ = error
            return _failed(due.step, self.failure)

    def probe_in(self, folder: Path) -> Probe | None:
        """The probe that a generation, or a member of one, brings along."""
        release = release_in(folder, self.policy)
        return None if release is None else release.probe

    def _prepare(self, due: Due, state: State, beat: Callable[[], object]) -> Event:
        """From the source to a generation on this host."""
        if due.step is Step.PULL:
            return self._pull(due, state, beat)
        held = self.prepared if self.prepared.number == due.number else Prepared()
        if due.step is Step.VERIFY and held.pulled is not None:
            held.examined = self._verify(due, held.pulled, state, beat)
            return Done(Step.VERIFY, known=held.examined.known)
        if due.step is Step.STAGE and held.examined is not None:
            self.generations.publish(due.number, held.examined.tree)
            self.generations.discard(due.number)
            self.held = due.number
            return Done(Step.STAGE)
        raise LostError("what was pulled is not in the hands of this process")

    def _serve(self, due: Due, state: State, beat: Callable[[], object]) -> Event:
        """From a generation on this host to the one that answers."""
        generation = Generation(due.number, self.generations.path(due.number))
        if due.step in {Step.INSPECT, Step.LOAD}:
            self._hold_again(generation, beat)
        match due.step:
            case Step.INSPECT:
                self.server.inspect(generation)
            case Step.LOAD:
                self.server.load(generation)
                self.held = 0
            case Step.ASK:
                return Served(self.server.live())
            case Step.PROBE:
                # Of a group each member has its own, which its server asks for (`wiring`).
                alone = not self.settings.members
                probe = self.probe_in(generation.folder) if alone else None
                self.server.probe(generation, probe)
            case Step.ACTIVATE:
                self._activate(generation, state)
            case Step.WITHDRAW:
                self.server.withdraw(generation)
            case _:
                raise ValueError(f"{due.step} is nothing to be done")
        return Done(due.step)

    def _pull(self, due: Due, state: State, beat: Callable[[], object]) -> Event:
        folder = self.generations.staging(due.number) / _PULLED
        if due.afresh:
            remove_tree(folder)
        caps, patience = self.settings.caps, self.settings.patience
        pulled = pull(
            self.source,
            folder,
            caps=Caps(files=caps.files, depth=caps.depth, bytes=caps.bytes),
            effort=replace(
                self.effort,
                total=patience.total,
                minimum_rate=patience.minimum_rate,
                reserve=caps.spare,
            ),
            stop=self.stop,
            progress=lambda _held, _announced: beat(),
        )
        self.counted(pulled.received)
        self.prepared = Prepared(due.number, pulled)
        identity = identity_of(pulled, self.policy, self.settings.members)
        mark = Mark.of(pulled.before)
        busy = state.busy
        moved = busy is not None and not mark.is_like(busy.mark)
        return Done(Step.PULL, identity, mark if moved else None)

    def _hold_again(self, generation: Generation, beat: Callable[[], object]) -> None:
        """Files that were verified a while ago may have been written into since."""
        if not generation.folder.is_dir():
            raise LostError(f"generation {generation.number} was removed from this host")
        if self.held == generation.number:
            return
        members, watch = self.settings.members, self._watch(beat)
        try:
            for folder in [generation.folder / one for one in members] or [generation.folder]:
                hold_again(folder, self.policy, watch)
        except RefusedError as error:
            told = f"generation {generation.number} was changed on this host: {error.message}"
            raise AlteredError(told) from error
        self.held = generation.number

    def _watch(self, beat: Callable[[], object]) -> Callable[[int], object]:
        def watch(_: int) -> None:
            if self.stop.is_set():
                raise StoppedError("the monitor is told to end")
            beat()

        return watch

    def _verify(
        self, due: Due, pulled: Pulled, state: State, beat: Callable[[], object]
    ) -> Examined:
        watch, members = self._watch(beat), self.settings.members
        tree = lay_out(
            pulled,
            self.generations.staging(due.number),
            top=self.settings.unpacked,
            caps=self.settings.caps,
            watch=watch,
        )
        name = getattr(self.settings.source, "model", "").rpartition("/")[2]
        bar = Bar(self.policy, state.known, self.today(), watch, archive=name)
        return examine_group(tree, pulled, bar, members) if members else examine(tree, pulled, bar)

    def _activate(self, generation: Generation, state: State) -> None:
        live = state.live
        old = None if live is None or live.number == generation.number else live.number
        before = None if old is None else Generation(old, self.generations.path(old))
        self.server.activate(generation, before)
        self.generations.point(generation.number)


class StoppedError(HpsError):
    """The monitor ends; the step is done again by the next one."""

    reference = "stopped"


class LostError(HpsError):
    """What was staged on this host is not there any more; it is pulled again."""

    reference = "staging-lost"
    exit_code = 8


class AlteredError(LostError):
    """A generation on this host is not what was verified any more; it is not loaded."""

    reference = "generation-altered"
    exit_code = 5


def _failed(step: Step, error: HpsError) -> Failed:
    if isinstance(error, RefusedError):
        return Failed(step, outcome_of(error.reason), str(error.reason), _told(error))
    if isinstance(error, LostError):
        return Failed(step, Outcome.GONE, error.reference, _told(error))
    if step in _PREPARING and _is_missing(error):
        return Failed(step, Outcome.GONE, LostError.reference, _told(error))
    outcome, reason = outcome_of_error(error)
    return Failed(step, outcome, reason, _told(error), getattr(error, "after", None))


def _is_missing(error: BaseException | None) -> bool:
    """Whether a file that this process had made itself is not there."""
    while error is not None:
        if isinstance(error, FileNotFoundError):
            return True
        error = error.__cause__
    return False


def _told(error: HpsError) -> str:
    parts = [error.message]
    if error.expected is not None:
        parts.append(f"expected {error.expected}")
    if error.got is not None:
        parts.append(f"got {error.got}")
    return SECRETS.hidden(", ".join(parts))
