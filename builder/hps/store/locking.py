"""Locks between processes: flock(2), which the kernel drops when its holder dies, however it dies.

No lock here is found stale by its age or by a process number: what the kernel says holds.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from hps.errors import StoreBusyError
from hps.store.filesystem import explain


@contextlib.contextmanager
def shared(path: Path, *, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold `path` together with others; waits while somebody holds it alone.

    Where no lock file is and none can be made, on a read-only disk or in the folder of somebody
    else, nothing is held. What a collection then removes meanwhile is missed when it is read.

    Args:
        path: of the lock file, made when missing.
        on_wait: called once when there is somebody to wait for.

    Raises:
        StoreError: the lock file cannot be made or opened.
    """
    try:
        descriptor = _open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM} and not path.exists():
            yield
            return
        raise explain(error, "lock", path) from error
    try:
        _lock(descriptor, fcntl.LOCK_SH, path, on_wait)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def exclusive(
    path: Path, *, wait: bool, on_wait: Callable[[], None] | None = None
) -> Iterator[None]:
    """Hold `path` alone.

    Raises:
        StoreBusyError: others hold it and `wait` is False.
        StoreError: the lock file cannot be made or opened.
    """
    try:
        # NFS emulates flock with byte-range locks, which need a writable descriptor.
        descriptor = _open(path, os.O_RDWR)
    except OSError as error:
        raise explain(error, "lock", path) from error
    try:
        if wait:
            _lock(descriptor, fcntl.LOCK_EX, path, on_wait)
        elif not try_lock(descriptor, path):
            raise StoreBusyError(
                f"builds are using the store, {path} is locked",
                hint="try again when they are done, or let it wait with `--wait`",
            )
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, path: Path, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file at once; False when somebody else holds it.

    Raises:
        StoreError: the file system has no locks (some network file systems).
    """
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise explain(error, "lock", path) from error
    return True


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(path, flags | os.O_CLOEXEC | os.O_CREAT, 0o666)


def _lock(descriptor: int, kind: int, path: Path, on_wait: Callable[[], None] | None) -> None:
    if not try_lock(descriptor, path, kind):
        if on_wait is not None:
            on_wait()
        fcntl.flock(descriptor, kind)  # sleeps in the kernel; signals still end the process
