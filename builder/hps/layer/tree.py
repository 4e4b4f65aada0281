"""A file or folder of the project as entries, and its identity."""

import hashlib
import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from hps import canonical
from hps.archive.paths import safe
from hps.digest import Digest
from hps.errors import BuildError
from hps.layer.entry import Entry
from hps.layer.merged_usr import merged
from hps.layer.patterns import left_out

_NOFOLLOW = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


def tree_entries(
    root: Path, to: str, exclude: Sequence[str], *, owner: str = "tree"
) -> list[Entry]:
    """The files of a folder, or one file, with the digests that they have now.

    The run bit is the owner's; links that stay inside the folder stay links. A file that changes
    between now and the writing of the layer is an IntegrityError then.

    Args:
        root: a folder, or one file; not a link.
        to: absolute path in the image: the folder's place, or the file's own.
        exclude: see `hps.layer.patterns`.
        owner: whom `hps why` names.

    Returns:
        Entries sorted by path, folders included.

    Raises:
        BuildError: nothing is there, a link leads out, or something is no file, folder or link.
        UnsafeArchiveError: a name is not UTF-8 or holds control characters.
    """
    place = merged(safe(to.lstrip("/"))) if to.strip("/") else ""
    mode = _mode(root)
    if stat.S_ISREG(mode):
        if not place:
            raise BuildError(f"{root} is a file: it cannot be the root of the image")
        return [_file(root, place, owner)]
    if not stat.S_ISDIR(mode):
        raise _odd(root)
    entries = [Entry(place, "directory", owner)] if place else []
    entries += [
        _entry(root, relative, merged(posixpath.join(place, relative)), owner)
        for relative in _walk(root, "", exclude)
    ]
    return sorted(entries, key=lambda entry: entry.path.encode())


def tree_digest(entries: Sequence[Entry]) -> Digest:
    """The identity of a tree: paths, kinds, run bits, contents and link targets.

    Time stamps and owners are no part of it.

    Args:
        entries: from `tree_entries`, in any order.
    """
    rows = [
        [entry.path, entry.kind, entry.executable, str(entry.promised or ""), entry.link]
        for entry in entries
    ]
    return canonical.digest(
        sorted(rows, key=lambda row: str(row[0]).encode()), domain="hps-tree-v1"
    )


def _walk(root: Path, folder: str, exclude: Sequence[str]) -> Iterator[str]:
    for found in sorted(os.scandir(root / folder), key=lambda item: os.fsencode(item.name)):
        relative = posixpath.join(folder, safe(found.name))
        if left_out(relative, exclude):
            continue
        yield relative
        if found.is_dir(follow_symlinks=False):
            yield from _walk(root, relative, exclude)


def _entry(root: Path, relative: str, place: str, owner: str) -> Entry:
    path = root / relative
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        return Entry(place, "directory", owner)
    if stat.S_ISREG(mode):
        return _file(path, place, owner)
    if stat.S_ISLNK(mode):
        return Entry(place, "symlink", owner, link=_inner_link(root, path))
    raise _odd(path)


def _file(path: Path, place: str, owner: str) -> Entry:
    hasher = hashlib.sha256()
    # Not to be fooled by a link or pipe that takes the file's place after it was looked at.
    with os.fdopen(_opened(path), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _odd(path)
        while piece := file.read(1 << 20):
            hasher.update(piece)
        size = file.tell()
    return Entry(
        place,
        "file",
        owner,
        bool(status.st_mode & stat.S_IXUSR),
        size,
        open=lambda: path.open("rb"),
        promised=Digest(hasher.hexdigest()),
    )


def _opened(path: Path) -> int:
    try:
        return os.open(path, _NOFOLLOW)
    except OSError as error:
        raise BuildError(f"{path} cannot be read", got=error.strerror) from error


def _inner_link(root: Path, path: Path) -> str:
    target = os.fsencode(path.readlink()).decode("utf-8", "replace")
    inside = _resolved(path).is_relative_to(root.resolve())
    if target.startswith("/") or not inside or not target.isprintable():
        raise BuildError(
            f"the link {path} leads out of {root}",
            expected="a relative link to something inside",
            got=target,
            hint="copy what it leads to, or leave it out with `exclude`",
        )
    return target


def _resolved(link: Path) -> Path:
    """Where a link leads; the root of all for a circle, so that it is inside nothing."""
    try:
        return link.resolve(strict=True)
    except FileNotFoundError:
        return link.resolve()
    except (OSError, RuntimeError):  # a circle: RuntimeError before Python 3.13
        return Path("/")


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError as error:
        raise BuildError(f"{path} cannot be read", got=error.strerror) from error


def _odd(path: Path) -> BuildError:
    return BuildError(f"{path} is no file, folder or link", hint="leave it out with `exclude`")
