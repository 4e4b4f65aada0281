"""Realising steps: each derivation once, inputs first, as many at a time as there are cores."""

import concurrent.futures
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hps.derivation.record import Derivation, Step
from hps.derivation.sandbox import Sandbox
from hps.digest import Blob, Digest
from hps.errors import BuildInterruptedError, NotReproducibleError
from hps.store.blobs import Store
from hps.store.traces import Traces

Outputs = Mapping[str, Blob]


class Progress(Protocol):
    """What a build tells while it runs; the CLI draws it, tests record it."""

    def started(self, label: str) -> None:
        """A step began to be made."""
        ...

    def finished(self, label: str, *, made: bool) -> None:
        """A step is there: made now, or known from its trace."""
        ...


class Silent:
    """Progress that tells nobody."""

    def started(self, label: str) -> None:
        """See Progress."""

    def finished(self, label: str, *, made: bool) -> None:
        """See Progress."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What an executor may touch: the store, a sandbox, and the wish to stop."""

    store: Store
    sandbox: Sandbox
    cancelled: threading.Event

    def checked(self, sink: Callable[[bytes], object]) -> Callable[[bytes], object]:
        """A sink that stops at the next piece when the build was interrupted."""

        def write(piece: bytes) -> object:
            if self.cancelled.is_set():
                raise BuildInterruptedError("the build was interrupted")
            return sink(piece)

        return write


Executor = Callable[[Derivation, Workshop], Outputs]


class Lender(Protocol):
    """What others say that derivations came out as; asked where nothing was made here.

    What it says leads from one derivation to the next. Used as bytes are only outputs of steps
    that it lends, because something else proves them.
    """

    def get(self, derivation: Digest) -> Outputs | None:
        """What somebody who is trusted says, if anybody does."""
        ...

    def lends(self, step: Step, outputs: Outputs) -> bool:
        """Whether these outputs of a step may be used in place of making it."""
        ...


@dataclass(frozen=True, slots=True)
class Survey:
    """What is there, what has to be made (inputs first), and which artifacts that needs.

    `known` are the outputs of all steps that traces know, whether their bytes are there or not.
    """

    there: Mapping[Step, Outputs]
    known: Mapping[Step, Outputs]
    make: tuple[Step, ...]
    artifacts: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class _Told:
    """What a trace says, and whether it is somebody else's."""

    outputs: Outputs
    lent: bool


class Scheduler:
    """Realises graphs of steps against a store and its traces.

    Args:
        workshop: handed to every executor.
        traces: known facts: derivation, outputs.
        executors: by kind of step; asked for when the first step has to be made, because they
            bring in all that can read an archive.
        workers: how many steps at a time.
        progress: told of each step.
        again: make every step even when a trace knows it, and compare (`--check`).
        lender: asked where `traces` knows nothing. What is made here is not compared with what it
            says, and replaces it.
    """

    def __init__(
        self,
        workshop: Workshop,
        traces: Traces,
        executors: Callable[[], Mapping[str, Executor]],
        *,
        workers: int,
        progress: Progress | None = None,
        again: bool = False,
        lender: Lender | None = None,
    ) -> None:
        self._workshop = workshop
        self._traces = traces
        self._executors = executors
        self._workers = workers
        self._progress = progress or Silent()
        self._again = again
        self._lender = lender

    def survey(self, steps: Iterable[Step], *, doubted: Collection[Step] = ()) -> "Survey":
        """What has to be made for these steps to be there, and which artifacts that needs.

        A step that its trace knows is there when its outputs are; its inputs are then not looked
        for, so a collected input of a kept output costs nothing.

        Args:
            steps: that are asked for.
            doubted: steps that are made even when a trace knows them, and compared with it.
        """
        known: dict[Step, _Told | None] = {}

        def look(step: Step) -> _Told | None:
            if step not in known:
                inputs = {need: look(need) for need in _needs(step)}
                found = {need: told.outputs for need, told in inputs.items() if told is not None}
                known[step] = (
                    self._known(_resolve(step, found)) if _names_all(step, found) else None
                )
            return known[step]

        asked = list(steps)
        order = _ordered(asked)
        wanted = set(asked)
        there: dict[Step, Outputs] = {}
        artifacts: dict[Digest, None] = {}
        for step in reversed(order):
            if step not in wanted:
                continue
            told = look(step)
            believed = not self._again and step not in doubted
            if told is not None and believed and self._is_usable(step, told):
                there[step] = told.outputs
                continue
            wanted |= _needs(step)
            artifacts |= {one: None for one in step.inputs.values() if isinstance(one, Digest)}
        make = tuple(step for step in order if step in wanted and step not in there)
        all_known = {step: it.outputs for step, it in known.items() if it is not None}
        return Survey(there, all_known, make, tuple(artifacts))

    def realise(
        self, steps: Iterable[Step], *, doubted: Collection[Step] = ()
    ) -> dict[Step, Outputs]:
        """Make the steps and what they need; returns the outputs of all that was looked at.

        Args:
            steps: that are asked for.
            doubted: as in `survey`.

        Raises:
            NotReproducibleError: what was made is not what its trace says.
            the first error of an executor, after the steps that were running have stopped.
            KeyboardInterrupt: likewise.
        """
        survey = self.survey(steps, doubted=doubted)
        done = dict(survey.there)
        for step in done:
            self._progress.finished(step.label, made=False)
        running: dict[concurrent.futures.Future[Outputs], Step] = {}
        waiting = list(survey.make)
        pool = concurrent.futures.ThreadPoolExecutor(self._workers, thread_name_prefix="step")
        try:
            while waiting or running:
                ready = [step for step in waiting if _needs(step) <= done.keys()]
                for step in ready:
                    believed = not self._again and step not in doubted
                    running[pool.submit(self._one, step, _resolve(step, done), believed)] = step
                waiting = [step for step in waiting if step not in set(ready)]
                finished, _ = concurrent.futures.wait(
                    running, return_when=concurrent.futures.FIRST_COMPLETED
                )
                for future in finished:
                    done[running.pop(future)] = future.result()
        except BaseException:
            self._workshop.cancelled.set()
            self._workshop.sandbox.close()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return done

    def _one(self, step: Step, derivation: Derivation, believed: bool) -> Outputs:
        told = self._known(derivation)
        if told is not None and believed and self._is_usable(step, told):
            self._progress.finished(derivation.label, made=False)
            return told.outputs  # an input came out as it was before: early cut-off
        if self._workshop.cancelled.is_set():
            raise BuildInterruptedError("the build was interrupted")
        self._progress.started(derivation.label)
        made = self._executors()[derivation.kind](derivation, self._workshop)
        known = self._traces.get(derivation.digest)
        if known is not None:
            _compare(derivation, known, made, self._traces.path(derivation.digest))
        self._traces.put(derivation.digest, _record(derivation), made)
        self._progress.finished(derivation.label, made=True)
        return made

    def _known(self, derivation: Derivation) -> "_Told | None":
        own = self._traces.get(derivation.digest)
        if own is not None:
            return _Told(own, lent=False)
        lent = self._lender.get(derivation.digest) if self._lender else None
        return None if lent is None else _Told(lent, lent=True)

    def _is_usable(self, step: Step, told: "_Told") -> bool:
        if told.lent and not (self._lender and self._lender.lends(step, told.outputs)):
            return False
        return self._all_there(told.outputs)

    def _all_there(self, outputs: Outputs) -> bool:
        return all(self._workshop.store.has(blob.digest) for blob in outputs.values())


def _ordered(steps: Iterable[Step]) -> list[Step]:
    """Every step of the graph, inputs before those who need them; costly ones tend to be first."""
    order: dict[Step, None] = {}
    open_: set[Step] = set()

    def visit(step: Step) -> None:
        if step in order:
            return
        if step in open_:
            raise AssertionError(f"a step needs itself: {step.label}")
        open_.add(step)
        for needed in sorted(_needs(step), key=lambda one: one.label):
            visit(needed)
        open_.discard(step)
        order[step] = None

    for step in steps:
        visit(step)
    return list(order)


def _needs(step: Step) -> set[Step]:
    return {value[0] for value in step.inputs.values() if isinstance(value, tuple)}


def _names_all(step: Step, found: Mapping[Step, Outputs]) -> bool:
    """Whether all inputs are known; what others say may leave an output out."""
    taken = [value for value in step.inputs.values() if isinstance(value, tuple)]
    return all(name in found.get(need, {}) for need, name in taken)


def _resolve(step: Step, done: Mapping[Step, Outputs]) -> Derivation:
    inputs: dict[str, Digest] = {}
    for role, value in step.inputs.items():
        inputs[role] = value if isinstance(value, Digest) else done[value[0]][value[1]].digest
    return Derivation(step.kind, step.label, inputs, step.parameters)


def _record(derivation: Derivation) -> dict[str, object]:
    return {
        "kind": derivation.kind,
        "inputs": {role: str(digest) for role, digest in derivation.inputs.items()},
        "parameters": derivation.parameters,
    }


def _compare(derivation: Derivation, known: Outputs, made: Outputs, trace: Path) -> None:
    differing: Sequence[str] = sorted(
        name for name in known.keys() | made.keys() if known.get(name) != made.get(name)
    )
    if differing:
        name = differing[0]
        raise NotReproducibleError(
            f"{derivation.label}: made again from the same inputs, it came out different",
            expected=known.get(name),
            got=made.get(name),
            details=(f"derivation {derivation.digest}", f"outputs that differ: {differing}"),
            hint="it depends on more than its inputs, or somebody wrote into the store; to forget "
            f"what it gave before, remove {trace}",
        )
