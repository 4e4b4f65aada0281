"""Filling shared caches from a project, and asking them without building."""

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from hps.build.expectations import expectations
from hps.build.graph import Graph
from hps.build.proof import check_functions, check_plan
from hps.build.redistribution import held_steps, leaving
from hps.build.sharing import Asked, Chosen, Sharing
from hps.build.workbench import Workbench
from hps.cache.documents import Parcel
from hps.cache.patience import GivenUpError, PatientCache
from hps.cache.pull import Pull, ordered
from hps.cache.push import Push, Pushed
from hps.digest import Digest
from hps.errors import FetchError
from hps.lock.records import LockedTarget
from hps.lock.stale import fresh_target
from hps.store.request import Event
from hps.trust.authorised import AuthorisedSigner


@dataclass(frozen=True, slots=True)
class Offered:
    """What a cache could give for a target.

    Args:
        outputs: how many the lock proves.
        believed: steps whose traces are there and count.
        whole: those whose bytes are there too.
        wire: bytes that would travel.
        plain: what they are unpacked.
    """

    target: str
    cache: PatientCache
    outputs: int
    believed: int
    whole: int
    wire: int
    plain: int


def planned(bench: Workbench, name: str) -> tuple[LockedTarget, Graph]:
    """A locked target and its steps.

    Raises:
        LockError: there is no lock, it is stale, or of another hps.
    """
    lock = bench.project.require_lock()
    locked = fresh_target(lock, name, bench.project.inputs(name))
    graph = Graph(locked, bench.project.target(name), lock.source_date_epoch)
    check_functions(lock)
    check_plan(locked, graph.layers)
    return locked, graph


def push(
    bench: Workbench,
    name: str,
    chosen: Chosen,
    signer: AuthorisedSigner,
    *,
    watching: Callable[[Sequence[tuple[str, int]]], Callable[[Event], None]],
    include: Collection[str] = (),
    again: bool = False,
) -> Pushed:
    """Share what was made here for a target.

    Args:
        bench: the tools.
        name: of the target, for one platform.
        chosen: the cache.
        signer: of the traces.
        watching: told what may be sent (name, bytes); gives what takes events.
        include: names of what may not be redistributed, and goes all the same.
        again: send outputs even when the cache says that it has them.

    Raises:
        as `hps.cache.push.Push.run`.
    """
    locked, graph = planned(bench, name)
    steps = [layer.step for layer in graph.layers]
    held = held_steps(ordered(steps), leaving(bench.project.config, locked, include))
    sharing = _sharing(bench)
    place = sharing.place(chosen)
    try:
        with bench.store.session():
            return Push(bench.store, place, signer, again=again).run(
                steps,
                proved=expectations(bench.store, locked, graph),
                held=held,
                lent=sharing.received.get,
                watching=watching,
            )
    finally:
        place.close()


def pull(bench: Workbench, name: str) -> Asked:
    """Bring what caches have of a target into the store; makes nothing.

    Raises:
        FetchError: there is no cache that could be asked.
    """
    locked, graph = planned(bench, name)
    with bench.store.session():
        sharing = _sharing(bench)
        steps = [layer.step for layer in graph.layers]
        proved = expectations(bench.store, locked, graph)
        asked = sharing.ask(name, steps, proved, sharing.caches())
    if asked is None:
        raise _nobody()
    return asked


def look(bench: Workbench, name: str) -> list[Offered]:
    """What each cache could give for a target, whatever the store has; fetches no output.

    Raises:
        FetchError: there is no cache that could be asked.
    """
    locked, graph = planned(bench, name)
    proved = expectations(bench.store, locked, graph)
    steps = [layer.step for layer in graph.layers]
    sharing = _sharing(bench)
    if not (caches := sharing.caches()):
        raise _nobody()
    found = []
    for cache in caches:
        cache.begin()
        traces = Pull(bench.store, sharing.received, [cache], proved, local=False).find(steps)
        sizes: dict[Digest, int] = {}
        whole = wire = 0
        for outputs in traces.values():
            present: list[Parcel] = []
            with contextlib.suppress(GivenUpError):
                parcels = [cache.parcel(blob) for blob in outputs.values()]
                present += [one for one in parcels if one is not None and cache.has(one)]
            whole += len(present) == len(outputs)
            wire += sum(one.wire.size for one in present)
            sizes |= {one.plain.digest: one.plain.size for one in present}
        found.append(
            Offered(name, cache, len(steps), len(traces), whole, wire, sum(sizes.values()))
        )
    return found


def _sharing(bench: Workbench) -> Sharing:
    if bench.sharing is None:
        raise _nobody()
    return bench.sharing


def _nobody() -> FetchError:
    return FetchError(
        "there is no shared cache that can be asked",
        expected="[cache.NAME] with `url` and `keys` in hps.toml, or --cache",
        hint="docs/how-to/share-a-cache.md",
    )
