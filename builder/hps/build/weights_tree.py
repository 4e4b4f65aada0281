"""Weights that are mounted: a read-only folder in the store, verified before each use."""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from hps import canonical
from hps.build.healing import healing
from hps.build.workbench import Workbench
from hps.digest import Digest
from hps.errors import IntegrityError, StoreError, UsageError
from hps.lock.records import LockedTarget, LockedWeights, WeightsFile

DOMAIN = "hps-weights-v1"
_PIECE = 1 << 20


def tree_name(files: Sequence[WeightsFile]) -> Digest:
    """What the tree of a set of weights is called in the store: a digest of all its files."""
    rows = sorted([file.path, file.sha256, file.size] for file in files)
    return canonical.digest(rows, domain=DOMAIN)


def weights_tree(bench: Workbench, locked: LockedTarget, name: str) -> Path:
    """The folder of a set of weights as it is locked; made when it is not there.

    Every file is hashed each time. A folder that was changed is made again.

    Raises:
        UsageError: there are no such weights.
        FetchError: what it is made of is missing.
        IntegrityError: an archive does not hold what the lock says.
        StoreError: the store cannot be written.
    """
    weights = next((one for one in locked.weights if one.name == name), None)
    if weights is None:
        raise UsageError(f"hps.lock has no weights {name} for {locked.name}", hint="hps lock")
    files = locked.files_of(name)
    digest = tree_name(files)
    found = bench.store.tree(digest)
    if found is not None:
        fault = first_fault(found, files)
        if fault is None:
            return found
        bench.progress.note(f"the weights {name} in the store were changed ({fault}): made again")
        bench.store.filesystem.remove_tree(found)

    def work(_: bool) -> None:
        bench.fetch(locked.name, [weights.archive] if weights.archive else files)
        with bench.store.session(), bench.store.new_tree(digest) as folder:
            _fill(bench, weights, files, folder)

    healing(bench, work)
    made = bench.store.tree(digest)
    if made is None:  # pragma: no cover - new_tree has just put it there
        raise AssertionError(f"no tree of {digest}")
    return made


def first_fault(folder: Path, files: Sequence[WeightsFile]) -> str | None:
    """The first thing in which a folder differs from what is locked, or None."""
    wanted = {file.path: file for file in files}
    for path, mode in _walk(folder):
        if path not in wanted:
            return f"{path} is not locked"
        if not stat.S_ISREG(mode):
            return f"{path} is no file"
        file = wanted.pop(path)
        if (folder / path).lstat().st_size != file.size:
            return f"{path} has another size"
        with (folder / path).open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != file.sha256:
                return f"{path} has another digest"
    return f"{min(wanted)} is missing" if wanted else None


def _walk(folder: Path) -> Iterator[tuple[str, int]]:
    """Every path that is no folder, with its mode."""
    waiting = [folder]
    while waiting:
        for entry in os.scandir(waiting.pop()):
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            else:
                yield path.relative_to(folder).as_posix(), path.lstat().st_mode


def _fill(
    bench: Workbench, weights: LockedWeights, files: Sequence[WeightsFile], folder: Path
) -> None:
    # The user of a container is another one than who runs hps, whatever the umask.
    for path in sorted({folder, *((folder / file.path).parent for file in files)}):
        _make_readable(folder, path)
    if weights.archive is None:
        for file in files:
            with bench.store.open(file.digest) as reader:
                _write(file, reader, folder)
        return
    from hps.build.writing import scratch  # noqa: PLC0415 - what reads archives loads slowly
    from hps.layer.weights import read_archive, relative  # noqa: PLC0415

    archive = weights.archive
    with scratch(bench.store) as spool:
        path = bench.store.path(archive.digest)
        entries = read_archive(path, archive.file, weights.name, spool)
        inside = {
            relative(entry, weights.root or ""): entry for entry in entries if entry.kind == "file"
        }
        _check_same(archive.file, inside, files)
        for file in files:
            opened = inside[file.path].open
            if opened is not None:
                with closing(opened()) as reader:
                    _write(file, reader, folder)


def _make_readable(top: Path, folder: Path) -> None:
    """Make a folder below `top`, and its parents, such that everybody may read it."""
    try:
        for path in reversed([folder, *folder.parents]):
            if path.is_relative_to(top):
                path.mkdir(exist_ok=True)
                path.chmod(0o755)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made: {error.strerror}") from error


def _check_same(archive: str, inside: Mapping[str, object], files: Sequence[WeightsFile]) -> None:
    wanted = {file.path for file in files}
    if wanted != inside.keys():
        raise IntegrityError(
            f"{archive} does not hold the files that hps.lock says",
            details=tuple(sorted(wanted ^ inside.keys())[:10]),
            hint="hps.lock was tampered with: take it back from your history, or hps lock",
        )


def _write(file: WeightsFile, reader: BinaryIO, folder: Path) -> None:
    """One file of the folder, which nobody may write; raises IntegrityError for other bytes."""
    place = folder / file.path
    hasher = hashlib.sha256()
    try:
        with place.open("xb") as written:
            while piece := reader.read(_PIECE):
                hasher.update(piece)
                written.write(piece)
        place.chmod(0o444)
    except OSError as error:
        raise StoreError(
            f"the weights file {file.name} cannot be written: {error.strerror}",
            hint="make room on the disk of the store (`hps store collect`)",
        ) from error
    if hasher.hexdigest() != file.sha256:
        raise IntegrityError(
            f"{file.name} is not what hps.lock says",
            expected=file.digest,
            got=f"sha256:{hasher.hexdigest()}",
            hint="hps.lock was tampered with: take it back from your history, or hps lock",
        )
