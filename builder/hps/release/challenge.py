"""The proof of reproducibility: an image is built again under other conditions and compared.

Each build is a process of its own, offline, on a store that has the artifacts and nothing made
from them. All of it lies in the workspace of the store, and goes away whatever happens.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hps.build.image import Built, build
from hps.build.workbench import Workbench, artifacts
from hps.errors import BuildError, NotReproducibleError, StoreError
from hps.lock.records import LockedTarget
from hps.release.challenge_compare import LayerDifference, compare
from hps.release.challenge_conditions import (
    Condition,
    Machine,
    Run,
    combined,
    conditions,
    select,
    together,
)
from hps.release.challenge_machine import look
from hps.release.challenge_run import Failed, Made, build_under
from hps.release.challenge_start import code

State = Literal["identical", "different", "failed", "not possible here"]
_MARGIN = 64 << 20  # bytes beyond what is counted


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one condition.

    Args:
        condition: which.
        state: what became of it.
        seconds: that the build took.
        image: its digest; None when there is none, or when a layer was not what the lock says.
        layers: how many layers were compared.
        differences: every layer that differs.
        reason: why it failed or is not possible here.
    """

    condition: Condition
    state: State
    seconds: float = 0.0
    image: str | None = None
    layers: int = 0
    differences: tuple[LayerDifference, ...] = ()
    reason: str = ""

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "condition": self.condition.name,
            "varies": self.condition.varies,
            "combines": list(self.condition.combines),
            "result": self.state,
            "seconds": round(self.seconds, 1),
            "image": self.image,
            "layers": self.layers,
            "layers_identical": self.layers - len(self.differences),
            "differences": [one.as_json() for one in self.differences],
            "reason": self.reason or None,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """A whole challenge.

    Args:
        target: that was built.
        digest: of the image, as the lock says.
        results: one for each condition, in order.
        left_out: conditions that `--together` cannot combine, with the reason.
    """

    target: str
    digest: str
    results: tuple[Result, ...]
    left_out: tuple[Condition, ...] = ()

    def count(self, *states: State) -> int:
        """How many conditions ended so."""
        return sum(one.state in states for one in self.results)

    @property
    def exit_code(self) -> int:
        """7 when one differs, else 6 when one failed or nothing was tried, else 0."""
        if self.count("different"):
            return NotReproducibleError.exit_code
        if self.count("failed") or not self.count("identical"):
            return BuildError.exit_code
        return 0

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "target": self.target,
            "digest": self.digest,
            "identical": self.count("identical"),
            "of": self.count("identical", "different", "failed"),
            "different": self.count("different"),
            "failed": self.count("failed"),
            "not_possible_here": self.count("not possible here"),
            "results": [one.as_json() for one in self.results],
            "left_out": {one.name: one.impossible or one.alone or "" for one in self.left_out},
        }


def challenge(
    bench: Workbench,
    name: str,
    *,
    only: Sequence[str] = (),
    at_once: bool = False,
    pythons: Sequence[Path] = (),
) -> Report:
    """Build an image again under each condition, and compare.

    Args:
        bench: the tools.
        name: of the target.
        only: names of conditions; all when empty.
        at_once: one build under all conditions that can be combined.
        pythons: further interpreters that have what hps needs.

    Raises:
        UsageError: there is no condition of such a name.
        NotReproducibleError: the first build, under no condition, is not what the lock says.
        OfflineError, FetchError: an artifact is missing and cannot be had.
        StoreError: there is no room.
    """
    with bench.store.session(), _folder(bench) as folder:
        machine = look(folder, pythons)
        chosen = select(conditions(machine), only)
        # Laid out here: the project's own layout may be signed, and stays as it is.
        built = build(bench, name, output=folder / "reference")
        locked = _locked(bench, name)
        bench.fetch(name, artifacts(locked))
        _check_room(bench, locked)
        left_out: tuple[Condition, ...] = ()
        if at_once:
            possible = together(chosen)
            left_out = tuple(one for one in chosen if one not in possible)
            chosen = (combined(possible),) if possible else chosen
        work = _Challenge(bench, built, locked, folder, machine)
        results = [work.result(one, n, len(chosen)) for n, one in enumerate(chosen, 1)]
    return Report(built.target, str(built.image.digest), tuple(results), left_out)


def room(locked: LockedTarget) -> int:
    """Bytes that one build needs beside the artifacts; they are freed before the next begins.

    Every layer, each package a second time as files, and the wheels of sdists.
    """
    unpacked = sum(layer.size for layer in locked.layers if layer.kind == "debian")
    return sum(layer.size for layer in locked.layers) + 3 * unpacked + _MARGIN


@dataclass(frozen=True, slots=True)
class _Challenge:
    """What every condition is tried with."""

    bench: Workbench
    built: Built
    locked: LockedTarget
    folder: Path
    machine: Machine

    def result(self, condition: Condition, number: int, of: int) -> Result:
        """Try one condition, and tell."""
        name = f"[{number}/{of}] {condition.name}"
        if condition.impossible is not None:
            self.bench.progress.note(f"{name}: not possible here: {condition.impossible}")
            return Result(condition, "not possible here", reason=condition.impossible)
        self.bench.progress.note(f"{name}: {condition.varies}")
        found = self._try(condition)
        self.bench.progress.note(f"{name}: {found.state}, {found.seconds:.1f} s")
        return found

    def _try(self, condition: Condition) -> Result:
        run = condition.apply(Run(self.machine.python))
        folder = self.folder / "run"
        folder.mkdir()
        folder.chmod(0o755)
        begun = time.monotonic()
        try:
            made = build_under(run, self.bench, self.locked, folder, code(self.folder))
            seconds = time.monotonic() - begun
            if isinstance(made, Failed):
                return Result(condition, "failed", seconds, reason=made.reason)
            return self._compared(condition, made, seconds)
        finally:
            self.bench.store.filesystem.remove_tree(folder)

    def _compared(self, condition: Condition, made: Made, seconds: float) -> Result:
        layers = [
            (one.name, str(one.blob.digest), str(one.index.digest)) for one in self.built.layers
        ]
        digest = str(self.built.image.digest)
        differences = compare(Made(digest, layers, self.bench.store.path), made)
        state: State = "different" if differences or made.image != digest else "identical"
        return Result(condition, state, seconds, made.image, len(layers), differences)


def _locked(bench: Workbench, name: str) -> LockedTarget:
    return next(one for one in bench.project.require_lock().targets if one.name == name)


@contextmanager
def _folder(bench: Workbench) -> Iterator[Path]:
    """A folder in the store's workspace that others may enter; gone with the block."""
    folder = bench.store.workspace.new_path()
    folder.mkdir()
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        bench.store.filesystem.remove_tree(folder)


def _check_room(bench: Workbench, locked: LockedTarget) -> None:
    need, free = room(locked), shutil.disk_usage(bench.store.root).free
    text = f"each build needs up to {need / 1e9:.1f} GB in {bench.store.root}"
    bench.progress.note(f"{text}, {free / 1e9:.1f} GB are free")
    if free < need:
        raise StoreError(
            f"there is no room for a challenge: {text}",
            got=f"{free / 1e9:.1f} GB free",
            hint="hps store collect, or --store on a larger disk",
        )
