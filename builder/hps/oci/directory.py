"""A directory that is replaced as a whole, or not at all."""

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from hps.store.filesystem import sync_folder

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # renameat2(2), Linux 3.15


@contextlib.contextmanager
def replacing(destination: Path) -> Iterator[Path]:
    """Give an empty directory that takes the place of `destination` when the block ends well.

    Until then the old one stays as it is; when the block raises, the new one is removed. What a
    killed process left beside the destination is removed by the next one; two at once do not
    disturb each other, and the later one wins.

    Raises:
        OSError: a directory cannot be made, synced or renamed.
    """
    destination = Path(os.path.realpath(destination))
    destination.parent.mkdir(parents=True, exist_ok=True)
    aside = destination.with_name(f".{destination.name}.old")
    if aside.exists() and not destination.exists():
        aside.rename(destination)  # killed between the two renames of _rename_twice
    _remove_stale(destination)
    partial, lock = _locked_directory(destination)
    try:
        yield partial
        sync_folder(partial)
        _put(partial, destination, aside)
        sync_folder(destination.parent)
    finally:
        # After an exchange this is the old directory.
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


def _locked_directory(destination: Path) -> tuple[Path, int]:
    """A new directory beside the destination, and the descriptor that holds its lock."""
    while True:
        partial = destination.with_name(f".{destination.name}.{secrets.token_hex(8)}.partial")
        partial.mkdir()
        try:
            lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # another process took it for stale before the lock, here or below
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        if partial.exists():
            return partial, lock
        os.close(lock)


def _remove_stale(destination: Path) -> None:
    for left in destination.parent.glob(f".{_escaped(destination.name)}.*.partial"):
        try:
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue  # removed by another process, or not ours
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            continue  # being written right now
        finally:
            os.close(lock)


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _put(new: Path, destination: Path, aside: Path) -> None:
    while True:
        try:
            if not destination.exists():
                new.rename(destination)
            elif not _exchange(new, destination):
                _rename_twice(new, destination, aside)
        except OSError as error:
            # Another process made or moved the destination after we looked: look again.
            if error.errno in (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY) and new.exists():
                continue
            raise
        return


def _exchange(left: Path, right: Path) -> bool:
    """Exchange two names in one step; False where kernel or file system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    names = os.fsencode(left), os.fsencode(right)
    if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(right))


def _rename_twice(new: Path, destination: Path, aside: Path) -> None:
    shutil.rmtree(aside, ignore_errors=True)
    destination.rename(aside)
    new.rename(destination)
    shutil.rmtree(aside, ignore_errors=True)
