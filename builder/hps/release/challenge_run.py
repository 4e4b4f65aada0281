"""One build of a challenge: its folder, its process, and what became of it."""

import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hps.build.project import CONFIG, LOCK
from hps.build.workbench import Workbench, artifacts
from hps.config.target import Tree
from hps.digest import Digest
from hps.layer.patterns import left_out
from hps.lock.records import LockedTarget
from hps.release.challenge_child import Order
from hps.release.challenge_conditions import Run
from hps.release.challenge_start import CLOCK_INSIDE, EMULATION, clock, command, environment, seen

_GRACE = 15.0  # seconds for a build to end in order
_YEAR = 365 * 86400  # as libfaketime counts
_KEPT_LINES = 20


@dataclass(frozen=True, slots=True)
class Made:
    """What a build came out as.

    Args:
        image: its digest; None when a layer was not what the lock says.
        layers: name, digest of the tar, digest of its index; lowest first.
        blob: where a blob of it lies.
    """

    image: str | None
    layers: Sequence[tuple[str, str, str]]
    blob: Callable[[Digest], Path]


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a build gave nothing to compare."""

    reason: str


def build_under(
    run: Run, bench: Workbench, locked: LockedTarget, folder: Path, modules: Path
) -> Made | Failed:
    """Build a target under a condition; what it makes stays in the folder.

    Args:
        run: the condition.
        bench: whose store has every artifact of the target.
        locked: the target.
        folder: an empty one, on the file system of the store.
        modules: see `challenge_start.code`.
    """
    work = folder / run.work
    lay_out(bench, locked, work, umask=run.umask or 0o022)
    if run.user is not None:
        give_away(folder, work, run.user)
    code, last_lines = _execute(run, locked.name, folder, modules)
    try:
        answer: dict[str, Any] = json.loads((work / "result.json").read_bytes())
    except (OSError, ValueError):
        return Failed(f"the build ended with {code}: {last_lines}")
    if "layers" not in answer:
        return Failed(_reason(answer["error"]))
    blobs = work / "store" / "blobs" / "sha256"
    layers = [(name, tar, index) for name, tar, index in answer["layers"]]
    return Made(answer["image"], layers, lambda digest: blobs / digest.hex)


def lay_out(bench: Workbench, locked: LockedTarget, work: Path, *, umask: int) -> None:
    """Copy what a build reads of a project, and link a store that has artifacts alone."""
    blobs = work / "store" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for digest in {artifact.digest for artifact in artifacts(locked)}:
        _link(bench.store.path_unread(digest), blobs / digest.hex)
    config = bench.project.target(locked.name)
    for name in (CONFIG, LOCK, *config.python.requirements):
        _copy(bench.project.root / name, work / "project" / name, umask)
    for tree in config.trees:
        _copy_tree(bench.project.root, tree, work / "project", umask)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def _copy(source: Path, target: Path, umask: int) -> None:
    """A file as somebody with that umask would have checked it out, now."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    run_bit = source.stat().st_mode & stat.S_IXUSR
    target.chmod((0o777 if run_bit else 0o666) & ~umask)


def _copy_tree(root: Path, tree: Tree, project: Path, umask: int) -> None:
    source = root / tree.from_
    if source.is_file():
        _copy(source, project / tree.from_, umask)
        return

    def without(folder: str, names: Iterable[str]) -> list[str]:
        below = Path(folder).relative_to(source)
        return [name for name in names if left_out((below / name).as_posix(), tree.exclude)]

    shutil.copytree(
        source,
        project / tree.from_,
        symlinks=True,
        ignore=without,
        copy_function=lambda one, other: _copy(Path(one), Path(other), umask),
        dirs_exist_ok=True,
    )


def give_away(folder: Path, work: Path, user: int) -> None:
    """Make another user the owner of a run; blobs are read by all, and stay whose they are."""
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        if path.is_dir() or path.is_relative_to(work / "project"):
            os.chown(path, user, user, follow_symlinks=False)


def _execute(run: Run, target: str, folder: Path, modules: Path) -> tuple[int, str]:
    """Run the build to its end; its exit code and its last words."""
    line = command(run, folder, json.dumps(asdict(_order(run, target, folder))))
    words = folder / "stderr"
    with words.open("wb") as stderr:
        process = subprocess.Popen(
            line,
            env=environment(modules, run.python) | dict(run.environment),
            cwd=folder / run.work,
            umask=-1 if run.umask is None else run.umask,
            stdin=subprocess.PIPE,  # the child ends when it is closed
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,  # Ctrl-C reaches the parent alone
        )
        code = _wait(process)
    lines = words.read_text(errors="replace").strip().splitlines()
    return code, "\n".join(lines[-_KEPT_LINES:])


def _wait(process: "subprocess.Popen[bytes]") -> int:
    try:
        return process.wait()
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _order(run: Run, target: str, folder: Path) -> Order:
    work = seen(run, folder)
    inside: Mapping[str, str] = clock(run, CLOCK_INSIDE) if run.clock else {}
    if run.emulator:
        inside = {**inside, **EMULATION}
    return Order(
        target=target,
        project=str(work / "project"),
        store=str(work / "store"),
        output=str(work / "layout"),
        result=str(work / "result.json"),
        processors=sorted(run.processors or ()),
        files={CLOCK_INSIDE: run.clock_library} if run.clock else {},
        environment=inside,
        clock=time.time() + int(run.clock[:-1]) * _YEAR if run.clock else 0.0,
    )


def _reason(error: Mapping[str, Any]) -> str:
    lines = [f"error[{error['error']}]: {error['message']}", *error["details"]]
    lines += [f"{word}: {error[word]}" for word in ("expected", "got", "hint") if error[word]]
    return "\n".join(lines)
