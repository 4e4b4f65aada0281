"""A verified generation is put where a server reads it: the very files that were hashed.

On one file system each file gets a second name (link(2)): no byte is copied, so none can differ.
Across file systems it is copied, brought to the disk, and read again. Nothing is ever written
below a name that a server reads: whoever calls renames the whole directory when it is done.
"""

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from hps.monitor.disk import DiskError, explained
from hps.monitor.server import Fault, ServerError
from hps.monitor.tree import remove_tree
from hps.store.filesystem import PIECE, sync_folder

_BYTE_CODE = "__pycache__"
# The other file system, a file system without links, too many names, or fs.protected_hardlinks.
_UNLINKABLE = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}
)


@contextlib.contextmanager
def disk_faults() -> Iterator[None]:
    """Turn what the disk refuses into a ServerError, as the port of servers promises."""
    try:
        yield
    except DiskError as error:
        raise ServerError(
            Fault.DISK, error.message, expected=error.expected, got=error.got, hint=error.hint
        ) from error


def place_tree(
    source: Path, target: Path, *, without: Collection[str] = (), byte_code: bool = True
) -> None:
    """Make `target` hold what `source` holds; whatever was there goes away.

    The top stays writable for its owner, the folders below it are read-only, files keep their
    modes.

    Args:
        source: a generation: files and folders, nothing else.
        target: a name that no server reads yet.
        without: names at the top that are left out.
        byte_code: False: Python, also as root, is kept from writing its byte code in there.

    Raises:
        ServerError: DISK; UNFIT: it holds something else, or a copy is not what was copied.
    """
    with disk_faults():
        remove_tree(target)
        with explained("write", target):
            target.mkdir(mode=0o755)
            _place(source, target, frozenset(without), byte_code)
            sync_folder(target)


def is_placed(source: Path, target: Path, *, without: Collection[str] = ()) -> bool:
    """Whether `target` holds the files of `source`, and none besides.

    Python's byte code does not count: a server may have made it; nor what keeps it out.

    Raises:
        ServerError: DISK.
    """
    with disk_faults(), explained("read", target):
        if not target.is_dir() or target.is_symlink():
            return False
        return _is_same(source, target, frozenset(without))


def _place(source: Path, target: Path, without: frozenset[str], byte_code: bool) -> None:
    with os.scandir(source) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    names = [entry.name for entry in entries]
    if not byte_code and _BYTE_CODE not in names and any(one.endswith(".py") for one in names):
        # Where a file has the name of its folder, Python does without it (PEP 3147).
        (target / _BYTE_CODE).touch(mode=0o444)
    for entry in entries:
        if entry.name in without:
            continue
        inner = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            inner.mkdir(mode=0o755)
            _place(Path(entry.path), inner, frozenset(), byte_code)
            sync_folder(inner)
            inner.chmod(0o555)
        elif entry.is_file(follow_symlinks=False):
            _place_file(Path(entry.path), inner)
        else:
            raise _strange(Path(entry.path))


def _place_file(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _UNLINKABLE:
            raise
        _copy_file(source, target)


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("xb") as written:
        while piece := read.read(PIECE):
            written.write(piece)
        written.flush()
        os.fchmod(written.fileno(), stat.S_IMODE(os.fstat(read.fileno()).st_mode))
        os.fsync(written.fileno())
    if _digest(source) != _digest(target):
        raise ServerError(
            Fault.DISK,
            f"{target} is not what was copied from {source}",
            hint="look at the disk and its memory; it is tried again by itself",
        )


def _is_same(source: Path, target: Path, without: frozenset[str]) -> bool:
    names = [
        {entry.name: entry for entry in os.scandir(folder) if entry.name not in without}
        for folder in (source, target)
    ]
    ours, theirs = names
    if _BYTE_CODE not in ours:
        theirs.pop(_BYTE_CODE, None)
    if ours.keys() != theirs.keys():
        return False
    for name, one in ours.items():
        other = theirs[name]
        if one.is_dir(follow_symlinks=False):
            if not other.is_dir(follow_symlinks=False):
                return False
            if not _is_same(Path(one.path), Path(other.path), frozenset()):
                return False
        elif not _is_same_file(one, other):
            return False
    return True


def _is_same_file(one: "os.DirEntry[str]", other: "os.DirEntry[str]") -> bool:
    if not other.is_file(follow_symlinks=False):
        return False
    states = one.stat(follow_symlinks=False), other.stat(follow_symlinks=False)
    if os.path.samestat(*states):
        return True
    if states[0].st_size != states[1].st_size:
        return False
    return _digest(Path(one.path)) == _digest(Path(other.path))


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _strange(path: Path) -> ServerError:
    return ServerError(
        Fault.UNFIT,
        f"{path} is neither a file nor a directory",
        hint="nothing but the monitor may write to its folder; publish the model again",
    )
