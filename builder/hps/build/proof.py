"""The proof that an image is the one of its lock: what was planned, and what came out of it.

A lock is read by whoever builds, so it may have been edited: what it repeats is compared as well.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from hps.build.expectations import differing_weights
from hps.build.functions import functions_of
from hps.build.graph import Graph, PlannedLayer
from hps.build.workbench import Workbench
from hps.derivation.record import Step
from hps.derivation.scheduler import Outputs
from hps.digest import Blob, Digest
from hps.errors import LockError, NotReproducibleError
from hps.layer.index import IndexLine, first_difference, read_index
from hps.lock.records import Layer, Lock, LockedTarget, Sdist


@dataclass(frozen=True, slots=True)
class BuiltLayer:
    """One layer of a built image: its name, its tar, its index, and whether the lock knows it."""

    name: str
    blob: Blob
    index: Blob
    locked: bool

    @classmethod
    def of(cls, name: str, outputs: Outputs, *, locked: bool) -> Self:
        """The layer that a step came out as."""
        return cls(name, outputs["layer"], outputs["index"], locked)


def check_facts(bench: Workbench, lock: Lock, locked: LockedTarget) -> None:
    """What a lock repeats of hps.toml must be what the lock's own inputs say (LockError)."""
    config = bench.project.target(locked.name)
    said = (lock.source_date_epoch, locked.platform, locked.python_version)
    meant = (
        bench.project.config.lock.source_date_epoch,
        config.platform,
        config.python_version,
    )
    if said != meant:
        raise LockError(
            f"hps.lock contradicts itself about the target {locked.name}",
            expected=meant,
            got=said,
            hint="it was tampered with: take it back from your history, or hps lock",
        )


def check_functions(lock: Lock) -> None:
    """Compare the versions of the layer functions; raises LockError when they differ."""
    known = functions_of(lock.targets)
    if dict(lock.functions) == known:
        return
    names = sorted(lock.functions.keys() | known.keys())
    raise LockError(
        "hps.lock was made with other layer functions than this hps has",
        details=tuple(
            f"{name}: lock {lock.functions.get(name, 'none')}, hps {known.get(name, 'none')}"
            for name in names
            if lock.functions.get(name) != known.get(name)
        ),
        hint="hps lock, or use the version of hps that made the lock",
    )


def check_plan(locked: LockedTarget, layers: Sequence[PlannedLayer]) -> None:
    """Compare the plan of the lock with the one that its artifacts give.

    Raises:
        LockError: they differ: another version of hps made the lock, or it was tampered with.
    """
    old = [(one.name, one.kind, one.members) for one in locked.layers]
    new = [(one.name, one.kind, one.members) for one in layers]
    if old == new:
        return
    differing = [f"the lock has {one[0]} ({one[1]})" for one in old if one not in new]
    differing += [f"hps makes {one[0]} ({one[1]})" for one in new if one not in old]
    raise LockError(
        f"hps.lock plans other layers for {locked.name} than this hps makes",
        details=tuple(differing[:10]),
        hint="the lock was made by another version of hps: hps lock",
    )


def check_wheels(locked: LockedTarget, graph: Graph, done: Mapping[Step, Outputs]) -> None:
    """Compare the wheels that sdists became with the lock, as far as they were looked at."""
    for sdist in locked.sdists:
        if graph.sdists[sdist.name] in done:
            check_wheel(sdist, done[graph.sdists[sdist.name]])


def check_wheel(sdist: Sdist, outputs: Outputs) -> None:
    """Compare the wheel that an sdist became with the lock; raises NotReproducibleError."""
    if outputs["wheel"].digest.hex != sdist.wheel_sha256:
        raise NotReproducibleError(
            f"{sdist.file} became another wheel than hps.lock says",
            expected=f"sha256:{sdist.wheel_sha256}",
            got=outputs["wheel"].digest,
            hint="its build may depend on the time or the machine: look at its build code, or "
            "choose another version",
        )


def proved_layers(
    bench: Workbench,
    locked: LockedTarget,
    plan: Sequence[PlannedLayer],
    done: Mapping[Step, Outputs],
) -> Iterator[BuiltLayer]:
    """The layers in order, each compared with the lock."""
    for expected, layer in zip(locked.layers, plan, strict=True):
        made = BuiltLayer.of(layer.name, done[layer.step], locked=True)
        if made.blob.digest != expected.digest:
            raise _difference(bench, expected, made)
        if expected.kind == "weights":
            _check_weights(locked, expected, index_lines(bench, made.index.digest))
        yield made


def _check_weights(locked: LockedTarget, layer: Layer, lines: Sequence[IndexLine]) -> None:
    """Compare the files of a layer of weights with those that the lock lists (LockError)."""
    if differing := differing_weights(locked, layer, lines):
        raise LockError(
            f"hps.lock lists other files of the weights {layer.members[0]} than its layer holds",
            details=tuple(sorted(differing)[:10]),
            hint="it was tampered with: take it back from your history, or hps lock",
        )


def _difference(bench: Workbench, expected: Layer, made: BuiltLayer) -> NotReproducibleError:
    lines = index_lines(bench, made.index.digest)
    path = first_difference(base64.b64decode(expected.paths), lines)
    where = f"first path that differs: /{path}" if path else "the paths agree, the tar does not"
    return NotReproducibleError(
        f"layer {expected.name} came out as something else than hps.lock says",
        expected=expected.digest,
        got=made.blob.digest,
        details=(where,),
        hint="`hps build --check` tells whether this machine gives the same twice; if it does, "
        "hps.lock is wrong: hps lock",
    )


def index_lines(bench: Workbench, digest: Digest) -> list[IndexLine]:
    """The index of a layer, from the store."""
    with bench.store.open(digest) as file:
        return list(read_index(file))
