"""The files of trained models in PaddleX's layout: out of an archive, or in a folder.

PaddleX's own archives are tars with one folder, NAME_infer. In it lie `inference.yml`, which names
the model, and the model itself: a graph (`inference.json` or `inference.pdmodel`) with
`inference.pdiparams`, or one file of another format (paddlex.inference.models.utils.model_paths,
3.7.2). Nothing but folders and files is let in: a link would make one path mean two files.
"""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hps.archive.paths import Limits
from hps.config.chosen import WEIGHTS_IGNORED
from hps.digest import Digest
from hps.errors import BuildError, UnsafeArchiveError
from hps.layer.archive import archive_entries
from hps.layer.entry import Entry
from hps.layer.tree import tree_entries

# A model has some ten files; the largest of PaddleX's unpacks to less than 20 GB.
LIMITS = Limits(files=10_000, size=64 * 2**30)
DESCRIPTION = "inference.yml"
_DESCRIPTION_LIMIT = 16 << 20
_PARAMETERS = "inference.pdiparams"
_GRAPHS = ("inference.json", "inference.pdmodel")
_MODELS = (".pdiparams", ".pdparams", ".safetensors", ".onnx", ".om")
_TOP = "w"  # entries have paths of an image; this folder stands for where the weights go
_PIECE = 1 << 20
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Found:
    """One file: its path below the folder of the weights, its bytes by digest and size."""

    path: str
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What a set of weights is made of.

    Args:
        root: the folder of an archive that holds everything; "" when there is none.
        files: sorted by path.
        description: the bytes of `inference.yml`, empty when there is none.
    """

    root: str
    files: tuple[Found, ...]
    description: bytes


@dataclass(frozen=True, slots=True)
class _Everything:
    """The copy rule that takes all of an archive (`hps.layer.archive.Rule`)."""

    from_: str = "."
    to: str = f"/{_TOP}"
    executable: bool | None = False
    exclude: Sequence[str] = WEIGHTS_IGNORED


def archive_contents(
    path: Path, file: str, name: str, spool: Path, limits: Limits = LIMITS
) -> Contents:
    """Read an archive of weights.

    Args:
        path: where it lies.
        file: its name, for errors.
        name: of the weights.
        spool: a folder for unpacked contents.
        limits: how much it may hold.

    Raises:
        UnsafeArchiveError: it is damaged, no archive, or holds what none may hold.
        BuildError: it holds no weights.
        StoreError: the spool's disk is full.
    """
    entries = read_archive(path, file, name, spool, limits)
    root = common_root(entry.path for entry in entries if entry.kind == "file")
    return _contents(file, entries, root)


def read_archive(
    path: Path, file: str, name: str, spool: Path, limits: Limits = LIMITS
) -> list[Entry]:
    """Every entry of an archive of weights, below a folder that stands for theirs.

    Raises as `archive_contents`.
    """
    try:
        entries = archive_entries(path, file, name, [_Everything()], 0, spool, limits=limits)
    except UnsafeArchiveError:
        raise
    except BuildError as error:
        if error.details or "copy rule" not in error.message:
            raise
        raise _empty(file) from error
    _only_files(file, entries)
    return [entry for entry in entries if entry.path != _TOP]


def folder_contents(folder: Path, name: str) -> Contents:
    """Read a folder of weights, raising BuildError as `archive_contents` does."""
    entries = tree_entries(folder, f"/{_TOP}", WEIGHTS_IGNORED, owner=name)
    _only_files(str(folder), entries)
    return _contents(str(folder), entries, "")


def relative(entry: Entry, root: str) -> str:
    """The path of an entry below the folder of the weights; "" when it is not below `root`."""
    top = f"{_TOP}/{root}/" if root else f"{_TOP}/"
    return entry.path.removeprefix(top) if entry.path.startswith(top) else ""


def common_root(paths: Iterable[str]) -> str:
    """The one folder that holds all files of an archive, or ""."""
    parts = [path.split("/") for path in paths]
    tops = {one[1] for one in parts}
    return tops.pop() if len(tops) == 1 and all(len(one) > 2 for one in parts) else ""  # noqa: PLR2004 - w, the folder, and more


def _only_files(where: str, entries: Iterable[Entry]) -> None:
    for entry in entries:
        if entry.kind not in {"file", "directory"}:
            raise UnsafeArchiveError(
                f"{where} holds a link: {entry.path.removeprefix(f'{_TOP}/')}",
                expected="files and folders: weights hold nothing else",
                got=f"{entry.kind} to {entry.link}",
            )


def _contents(where: str, entries: Sequence[Entry], root: str) -> Contents:
    found: list[Found] = []
    description = b""
    for entry in entries:
        if entry.kind != "file":
            continue
        path = relative(entry, root)
        if entry.promised is not None and path != DESCRIPTION:
            digest = entry.promised  # of a folder, whose files were hashed when it was listed
        else:
            digest, head = _hashed(entry, keep=path == DESCRIPTION)
            description = head or description
        found.append(Found(path, digest, entry.size))
    check_layout(where, [one.path for one in found])
    return Contents(root, tuple(sorted(found, key=lambda one: one.path.encode())), description)


def _hashed(entry: Entry, *, keep: bool) -> tuple[Digest, bytes]:
    """The digest of a file, and its bytes when they are to be kept and not too many."""
    if entry.open is None:  # pragma: no cover - files of archives and folders can be opened
        raise AssertionError(f"{entry.path} cannot be opened")
    hasher, kept = hashlib.sha256(), bytearray()
    keep = keep and entry.size <= _DESCRIPTION_LIMIT
    with closing(entry.open()) as reader:
        while piece := reader.read(_PIECE):
            hasher.update(piece)
            if keep:
                kept += piece
    return Digest(hasher.hexdigest()), bytes(kept)


def check_layout(where: str, paths: Sequence[str]) -> None:
    """Refuse what PaddleX could load nothing from; raises BuildError."""
    if not paths:
        raise _empty(where)
    there = set(paths)
    told = (*(f"it holds {path}" for path in sorted(there)[:_SHOWN]),)
    told += (f"and {len(there) - _SHOWN} more",) if len(there) > _SHOWN else ()
    if _PARAMETERS in there or there & set(_GRAPHS):
        lacking = [name for name in (DESCRIPTION, _PARAMETERS) if name not in there]
        lacking += [] if there & set(_GRAPHS) else [" or ".join(_GRAPHS)]
        if lacking:
            raise BuildError(
                f"{where} holds half a model: {', '.join(lacking)} is missing", details=told
            )
    elif not any(path.endswith(_MODELS) for path in there):
        raise BuildError(
            f"{where} holds no weights",
            expected=f"PaddleX's layout: {DESCRIPTION}, {_GRAPHS[0]}, {_PARAMETERS}",
            details=told,
            hint="name the folder that PaddleX exported, or an archive of it",
        )


def _empty(where: str) -> BuildError:
    return BuildError(
        f"{where} holds no files",
        expected=f"PaddleX's layout: {DESCRIPTION}, {_GRAPHS[0]}, {_PARAMETERS}",
    )
