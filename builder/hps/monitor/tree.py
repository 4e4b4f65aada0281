"""Directory trees whose names come from outside: made last and read-only, measured, removed.

Everything goes by directory descriptors and one name at a time, never through a link, so that
neither a name nor a swap of directories leads out of the tree.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hps.errors import IntegrityError
from hps.monitor.disk import explained
from hps.store.filesystem import Filesystem

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BY_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 256  # folders; each holds a descriptor while what is below it is looked at
_MOST_SYNCS = 32  # files; beyond that one call for the whole file system is the cheaper one


class StrangeFileError(IntegrityError):
    """A staged directory holds what nobody unpacked: a link, a device, a file with two names."""

    reference = "strange-file"


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a tree holds.

    Args:
        files: how many.
        size: bytes that they take on the disk.
    """

    files: int
    size: int


def seal_tree(top: Path) -> None:
    """Make a tree read-only for everybody and bring it to the disk (fsync(2)).

    Files become 0444, or 0555 where the owner may execute them; directories 0555; the top stays
    writable, because a directory that is read-only cannot be moved to another one.

    Raises:
        StrangeFileError: it holds anything but directories and files with one name.
        DiskError: the disk.
        StoreError: the disk.
    """
    with explained("make read-only", top), _folder(top) as descriptor:
        files = _seal(descriptor, top, 0)
        if files <= _MOST_SYNCS:
            _sync(descriptor, 0)
    if files > _MOST_SYNCS:
        Filesystem().sync_everything(top)


def measure_tree(top: Path) -> Extent:
    """Count a tree; one that is not there holds nothing. Raises DiskError."""
    with explained("measure", top):
        try:
            with _folder(top) as descriptor:
                return _measure(descriptor, 0)
        except FileNotFoundError:
            return Extent(0, 0)


def remove_tree(top: Path) -> None:
    """Remove a tree, also a read-only one; gone is fine, a link is removed itself.

    Raises:
        DiskError: the disk, or rights that this user does not have.
    """
    with explained("remove", top):
        try:
            parent = os.open(top.parent, _FOLDER)
        except FileNotFoundError:
            return
        try:
            _remove(parent, top.name, 0)
        finally:
            os.close(parent)


def _seal(folder: int, place: Path, depth: int) -> int:
    files = 0
    for name, mode in _entries(folder):
        if stat.S_ISDIR(mode):
            with _below(folder, name, depth) as inner:
                files += _seal(inner, place / name, depth + 1)
                os.fchmod(inner, 0o555)
            continue
        if not stat.S_ISREG(mode):
            raise _strange(place / name, "neither a file nor a directory")
        descriptor = os.open(name, _FILE, dir_fd=folder)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                raise _strange(place / name, "not a file with one name")
            os.fchmod(descriptor, 0o555 if found.st_mode & stat.S_IXUSR else 0o444)
        finally:
            os.close(descriptor)
        files += 1
    return files


def _sync(folder: int, depth: int) -> None:
    for name, mode in _entries(folder):
        if stat.S_ISDIR(mode):
            with _below(folder, name, depth) as inner:
                _sync(inner, depth + 1)
            continue
        descriptor = os.open(name, _FILE, dir_fd=folder)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    os.fsync(folder)


def _measure(folder: int, depth: int) -> Extent:
    files = size = 0
    for name, mode in _entries(folder):
        if stat.S_ISDIR(mode):
            with _below(folder, name, depth) as inner:
                found = _measure(inner, depth + 1)
            files, size = files + found.files, size + found.size
            continue
        with contextlib.suppress(FileNotFoundError):  # what is being pulled comes and goes
            files += 1
            size += os.stat(name, dir_fd=folder, follow_symlinks=False).st_blocks * 512
    return Extent(files, size)


def _remove(parent: int, name: str, depth: int) -> None:
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        os.unlink(name, dir_fd=parent)
        return
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        _make_writable(parent, name)
    with _below(parent, name, depth) as folder:
        for inner, _ in _entries(folder):
            _remove(folder, inner, depth + 1)
    os.rmdir(name, dir_fd=parent)


def _make_writable(parent: int, name: str) -> None:
    """As chmod(2), but never through a link: fchmod does not take a descriptor of a mere path."""
    descriptor = os.open(name, _BY_PATH, dir_fd=parent)
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            Path(f"/proc/self/fd/{descriptor}").chmod(0o700)
    finally:
        os.close(descriptor)


def _entries(folder: int) -> list[tuple[str, int]]:
    """Names and modes, in order; the list is whole before the first one is touched."""
    entries = []
    with os.scandir(folder) as found:
        for one in found:
            with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                entries.append((one.name, one.stat(follow_symlinks=False).st_mode))
    return sorted(entries)


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[int]:
    descriptor = os.open(path, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _below(parent: int, name: str, depth: int) -> Iterator[int]:
    if depth > _DEEPEST:
        raise OSError(errno.ELOOP, "directories lie too deep in each other", name)
    descriptor = os.open(name, _FOLDER, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _strange(path: Path, what: str) -> StrangeFileError:
    return StrangeFileError(
        f"{path} is {what}",
        hint="nothing but the monitor may write to its folder; the update begins anew",
    )
