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
from hps.model import manifest
from hps.model.folder_manifests import read_manifests
from hps.model.policy import Allowance, ModelPolicy
from hps.model.probe import Probe
from hps.model.refusal import Refusal
from hps.model.release import ModelRelease
from hps.monitor.events import Done, Due, Event, Failed, Served
from hps.monitor.examination import (
    Examined,
    RefusedError,
    examine,
    identity_of,
    lay_out,
)
from hps.monitor.generations import Generations
from hps.monitor.pull import pull
from hps.monitor.pulled import Effort, Pulled
from hps.monitor.server import Generation, Server
from hps.monitor.sighting import Mark
from hps.monitor.source import Caps, Source
from hps.monitor.state import State
from hps.monitor.transitions import Outcome, Step, outcome_of, outcome_of_error
from hps.monitor.tree import remove_tree

_PULLED = "pulled"


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

    def do(self, due: Due, state: State, allowance: Allowance | None = None) -> Event:
        """Do a step, and tell what came of it; only faults of this program are raised."""
        try:
            return self._done(due, state, allowance)
        except RefusedError as error:
            return _refused(due.step, error.refusal)
        except HpsError as error:
            outcome, reason = outcome_of_error(error)
            after = getattr(error, "after", None)
            return Failed(due.step, outcome, reason, _told(error), after)
        except OSError as error:
            return Failed(due.step, Outcome.PASSING, "disk", str(error))

    def _done(self, due: Due, state: State, allowance: Allowance | None) -> Event:
        generation = Generation(due.number, self.generations.path(due.number))
        match due.step:
            case Step.PULL:
                return self._pull(due, state)
            case Step.VERIFY:
                return self._verify(due, state, allowance)
            case Step.STAGE:
                return self._stage(due)
            case Step.INSPECT:
                self.server.inspect(generation)
            case Step.LOAD:
                self.server.load(generation)
            case Step.ASK:
                return Served(self.server.live())
            case Step.PROBE:
                self.server.probe(generation, self._probe(generation.folder))
            case Step.ACTIVATE:
                self._activate(generation, state)
            case Step.WITHDRAW:
                self.server.withdraw(generation)
            case Step.NOTHING | Step.WAIT:
                raise ValueError(f"{due.step} is nothing to be done")
        return Done(due.step)

    def _pull(self, due: Due, state: State) -> Event:
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
        )
        self.counted(pulled.received)
        self.prepared = Prepared(due.number, pulled)
        identity = identity_of(pulled, self.policy, pulled.donefile or b"")
        mark = Mark.of(pulled.before)
        busy = state.busy
        moved = busy is not None and not mark.is_like(busy.mark)
        return Done(Step.PULL, identity, mark if moved else None)

    def _verify(self, due: Due, state: State, allowance: Allowance | None) -> Event:
        pulled = self._held(due).pulled
        if pulled is None:
            return _lost(Step.VERIFY)
        staging = self.generations.staging(due.number)
        tree = lay_out(
            pulled,
            staging,
            top=self.settings.unpacked,
            caps=self.settings.caps,
            watch=self._watch,
        )
        examined = examine(
            tree,
            pulled,
            self.policy,
            state.known,
            now=self.today(),
            allowance=allowance,
            watch=self._watch,
        )
        self.prepared.examined = examined
        return Done(Step.VERIFY, known=examined.known)

    def _stage(self, due: Due) -> Event:
        examined = self._held(due).examined
        if examined is None:
            return _lost(Step.STAGE)
        self.generations.publish(due.number, examined.tree)
        self.generations.discard(due.number)
        return Done(Step.STAGE)

    def _activate(self, generation: Generation, state: State) -> None:
        live = state.live
        old = None if live is None or live.number == generation.number else live.number
        before = None if old is None else Generation(old, self.generations.path(old))
        self.server.activate(generation, before)
        self.generations.point(generation.number)

    def _probe(self, folder: Path) -> Probe | None:
        release = self.release_in(folder)
        return None if release is None else release.probe

    def release_in(self, folder: Path) -> ModelRelease | None:
        """What trusted keys say of a generation; it was verified before it became one."""
        documents = read_manifests(folder)
        return manifest.read(documents, self.policy.keys).release if documents else None

    def _held(self, due: Due) -> Prepared:
        return self.prepared if self.prepared.number == due.number else Prepared(due.number)

    def _watch(self, _: int) -> None:
        if self.stop.is_set():
            raise StoppedError("the monitor is told to end")


class StoppedError(HpsError):
    """The monitor ends; the step is done again by the next one."""

    reference = "stopped"


def _lost(step: Step) -> Failed:
    """What was pulled is not in this process's hands: it is pulled again."""
    return Failed(step, Outcome.BROKEN, "staging-lost", "what was pulled is not there any more")


def _refused(step: Step, refusal: Refusal) -> Failed:
    return Failed(step, outcome_of(refusal.reason), str(refusal.reason), refusal.text)


def _told(error: HpsError) -> str:
    parts = [error.message]
    if error.expected is not None:
        parts.append(f"expected {error.expected}")
    if error.got is not None:
        parts.append(f"got {error.got}")
    return ", ".join(parts)
