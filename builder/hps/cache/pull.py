"""Asking caches for what steps come out as, before anything is made here.

Only outputs are asked for that the lock proves (`Expectation`). Of all other steps only the traces
are read: they lead from one derivation to the next, and what they say is never used as bytes.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from hps.cache.acceptance import Decision
from hps.cache.expectation import Expectation, Outputs
from hps.cache.patience import GivenUpError, PatientCache
from hps.cache.received import Received
from hps.derivation.record import Derivation, Step
from hps.digest import Blob, Digest
from hps.store import parallel
from hps.store.blobs import Store
from hps.store.cancellation import Cancellation
from hps.store.request import Event

ASKERS = 8  # traces at a time: small, and most of their time is the way there and back
_RECEIVERS = 4  # outputs at a time

Watch = Callable[[Event], None]


@dataclass(slots=True)
class Pulled:
    """What came of asking.

    Args:
        wanted: steps whose outputs the store lacked and the lock proves.
        received: those whose outputs are there now.
        seconds: that all of it took.
        refused: what was found and not used, and why.
    """

    wanted: dict[Step, None] = field(default_factory=dict)
    received: dict[Step, Outputs] = field(default_factory=dict)
    seconds: float = 0.0
    refused: list[str] = field(default_factory=list)

    @property
    def missed(self) -> tuple[Step, ...]:
        """The steps that have to be made here."""
        return tuple(step for step in self.wanted if step not in self.received)


class Pull:
    """One round of asking for the steps of a target.

    Args:
        store: where outputs go; what it has is not asked for.
        received: where traces go.
        caches: in the order in which they are asked.
        expectations: what may be asked for, and must come.
        local: whether what is known here spares asking; without, nothing is kept either.
    """

    def __init__(
        self,
        store: Store,
        received: Received,
        caches: Sequence[PatientCache],
        expectations: Mapping[Step, Expectation],
        *,
        local: bool = True,
    ) -> None:
        self._store = store
        self._received = received
        self._caches = caches
        self._expectations = expectations
        self._local = local
        self._outputs: dict[Step, Outputs | None] = {}
        self._decisions: dict[Step, Decision] = {}
        self._told = Pulled()

    def find(self, steps: Iterable[Step]) -> Mapping[Step, Outputs]:
        """Which of the steps the caches could give; only traces are read.

        What contradicts the lock is left out.
        """
        asked = list(steps)
        self._look(asked)
        return {step: found for step in asked if (found := self._fitting(step)) is not None}

    def run(
        self, steps: Iterable[Step], watching: Callable[[Sequence[tuple[str, int]]], Watch]
    ) -> Pulled:
        """Bring what the steps come out as into the store, as far as caches have it.

        Nothing that a cache does or leaves undone is an error: what is missing afterwards has to
        be made.

        Args:
            steps: that are asked for.
            watching: told what is going to be received (name, bytes); gives what takes events.

        Raises:
            StoreError: the store cannot be written.
        """
        begun = time.monotonic()
        asked = list(steps)
        self._look(asked)
        failed: set[Step] = set()
        while wave := self._wave(asked, failed):
            self._told.wanted |= dict.fromkeys(wave)
            failed |= {step for step in wave if self._fitting(step) is None}
            failed |= self._receive([step for step in wave if step not in failed], watching)
        self._told.seconds = time.monotonic() - begun
        return self._told

    def _look(self, asked: Sequence[Step]) -> None:
        """Find what the steps, and all that lead to them, came out as; inputs first."""
        for step in ordered(asked):
            if (derivation := self._derivation(step)) is not None:
                self._note(step, self._locally(derivation))
        waiting = [
            step
            for step in ordered(step for step in asked if not self._has(step))
            if step not in self._outputs
        ]
        while waiting:
            ready = {step: it for step in waiting if (it := self._derivation(step)) is not None}
            waiting = [step for step in waiting if step not in ready]
            # What stands behind a step that was just found may be known here.
            for step, derivation in ready.items():
                self._note(step, self._locally(derivation))
            unknown = [step for step in ready if step not in self._outputs]
            for step, decision in zip(unknown, self._ask_all(unknown), strict=True):
                if decision is not None:
                    self._believe(step, decision)
            if not ready:
                return

    def _ask_all(self, steps: Sequence[Step]) -> list[Decision | None]:
        if not any(cache.alive for cache in self._caches):
            return [None] * len(steps)
        tasks = [partial(self._ask, step) for step in steps]
        found, _ = parallel.run(
            tasks, workers=ASKERS, notify=lambda _: None, cancellation=_Stopping(self._caches)
        )
        return [found.get(index) for index in range(len(steps))]

    def _ask(self, step: Step, _emit: Callable[[Event], None]) -> Decision | None:
        """The first trace that is believed and does not contradict the lock, which is right."""
        derivation = self._derivation(step)
        for cache in self._caches if derivation is not None else ():
            with contextlib.suppress(GivenUpError):
                decision = cache.trace(derivation.digest) if cache.alive and derivation else None
                if decision is None or decision.outputs is None:
                    continue
                if self._fits(step, decision.outputs):
                    return decision
                cache.refuse(
                    f"{step.label}: {', '.join(decision.signers)} signed another result than "
                    "hps.lock has: it is not reproducible, or one of them is wrong"
                )
        return None

    def _note(self, step: Step, outputs: Outputs | None) -> None:
        if outputs is not None:
            self._outputs[step] = outputs

    def _believe(self, step: Step, decision: Decision) -> None:
        self._note(step, decision.outputs)
        self._decisions[step] = decision
        derivation = self._derivation(step)
        expected = self._expectations.get(step)
        seen = expected is None or expected.check is None
        if self._local and seen and derivation is not None:
            # Nothing more has to be seen: it is a signpost, or digests prove all of it.
            self._received.keep(derivation.digest, decision)

    def _locally(self, derivation: Derivation) -> Outputs | None:
        if not self._local:
            return None
        own = self._store.traces.get(derivation.digest)
        return self._received.get(derivation.digest) if own is None else own

    def _wave(self, asked: Sequence[Step], failed: set[Step]) -> list[Step]:
        """What to fetch now: proved steps that are missing, or those that a failed one needs."""
        found: dict[Step, None] = {}
        waiting, seen = list(asked), set[Step]()
        while waiting:
            step = waiting.pop()
            if step in seen or self._has(step):
                continue
            seen.add(step)
            if step in self._expectations and step not in failed:
                found[step] = None
            else:
                waiting += needs(step)
        return list(found)

    def _has(self, step: Step) -> bool:
        if step in self._told.received:
            return True
        if step in self._decisions:
            return False  # believed, and not yet looked at
        outputs = self._outputs.get(step)
        return outputs is not None and self._all_there(outputs)

    def _fitting(self, step: Step) -> Outputs | None:
        """What a step came out as, if that is what the lock says."""
        outputs = self._outputs.get(step)
        proved = step in self._expectations and outputs is not None
        return outputs if proved and self._fits(step, outputs or {}) else None

    def _fits(self, step: Step, outputs: Outputs) -> bool:
        expected = self._expectations.get(step)
        return expected is None or expected.fits(outputs)

    def _receive(
        self, steps: Sequence[Step], watching: Callable[[Sequence[tuple[str, int]]], Watch]
    ) -> set[Step]:
        """Fetch the outputs of steps, largest first; gives those that could not be had."""
        outputs = {step: found for step in steps if (found := self._fitting(step)) is not None}
        sizes = {
            step: sum(blob.size for blob in found.values() if not self._store.has(blob.digest))
            for step, found in outputs.items()
        }
        order = sorted(outputs, key=lambda step: -sizes[step])
        if not order:
            return set()
        watch = watching([(step.label, sizes[step]) for step in order])
        tasks = [
            partial(self._fetch, step, index, outputs[step]) for index, step in enumerate(order)
        ]
        done, _ = parallel.run(tasks, workers=_RECEIVERS, notify=watch, cancellation=Cancellation())
        got = {order[index] for index, fine in done.items() if fine}
        self._told.received |= {step: outputs[step] for step in order if step in got}
        return set(order) - got

    def _fetch(
        self, step: Step, index: int, outputs: Outputs, emit: Callable[[Event], None]
    ) -> bool:
        emit(Event("start", index))
        fetched = all(self._fetch_one(blob, index, emit) for blob in outputs.values())
        check = self._expectations[step].check
        why = check(outputs) if fetched and check is not None else None
        if why is not None:
            self._told.refused.append(f"{step.label}: {why}")
        if not fetched or why is not None:
            emit(Event("failed", index))
            return False
        decision, derivation = self._decisions.get(step), self._derivation(step)
        if decision is not None and derivation is not None:
            self._received.keep(derivation.digest, decision)
        emit(Event("done", index, sum(blob.size for blob in outputs.values())))
        return True

    def _fetch_one(self, blob: Blob, index: int, emit: Callable[[Event], None]) -> bool:
        if self._store.has(blob.digest):
            return True

        def moved(count: int) -> None:
            emit(Event("bytes" if count >= 0 else "restart", index, abs(count)))

        for cache in self._caches:
            with contextlib.suppress(GivenUpError):
                if cache.alive and cache.receive(blob, self._store, moved):
                    return True
        return False

    def _all_there(self, outputs: Outputs) -> bool:
        return all(self._store.has(blob.digest) for blob in outputs.values())

    def _derivation(self, step: Step) -> Derivation | None:
        """A step with the digests of its inputs, where all of them are known."""
        inputs: dict[str, Digest] = {}
        for role, value in step.inputs.items():
            if isinstance(value, Digest):
                inputs[role] = value
            elif (found := (self._outputs.get(value[0]) or {}).get(value[1])) is not None:
                inputs[role] = found.digest
            else:
                return None
        return Derivation(step.kind, step.label, inputs, step.parameters)


class _Stopping(Cancellation):
    """Calls off what the caches are doing, as nothing of it watches this object."""

    def __init__(self, caches: Sequence[PatientCache]) -> None:
        super().__init__()
        self._caches = caches

    def cancel(self) -> None:
        super().cancel()
        for cache in self._caches:
            cache.stop()


def needs(step: Step) -> list[Step]:
    """The steps whose outputs a step takes, each once."""
    return list(
        dict.fromkeys(value[0] for value in step.inputs.values() if isinstance(value, tuple))
    )


def ordered(steps: Iterable[Step]) -> list[Step]:
    """The steps and all that they need, inputs before those who take them."""
    order: dict[Step, None] = {}
    for step in steps:
        waiting = [(step, False)]
        while waiting:
            one, opened = waiting.pop()
            if opened:
                order[one] = None
            elif one not in order:
                waiting.append((one, True))
                waiting += [(each, False) for each in needs(one)]
    return list(order)
