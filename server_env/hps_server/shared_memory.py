"""The regions of shared memory that Triton's Python backend leaves behind.

Each Python process of Triton 2.51 that dies leaves 1 MiB in /dev/shm, which is small in a
container (64 MiB by default). A launcher gives its regions a prefix of their own and holds a lock
on a file of that name. The lock is inherited by the server and by all its children (flock(2): it
belongs to the open file, and falls when the last copy closes), so whoever gets the lock of another
launcher knows that nothing of it is alive any more, also across PID namespaces.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

PREFIX = "hps-server-"
_LOCK = ".lock"


class Regions:
    """The regions of one launcher.

    Args:
        folder: where POSIX shared memory lies, on Linux /dev/shm.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name, self.lock = self._claim()

    def _claim(self) -> "tuple[str, int]":
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        while True:
            name = f"{PREFIX}{secrets.token_hex(4)}"
            lock = os.open(self._folder / (name + _LOCK), flags, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Before it was locked it looked abandoned; another launcher may have removed it.
            if os.fstat(lock).st_nlink:
                return name, lock
            os.close(lock)

    @property
    def prefix(self) -> str:
        """What the names of the regions begin with, for shm-region-prefix-name."""
        return f"{self.name}-"

    def remove(self) -> int:
        """Remove all regions of this launcher, whose processes must be dead; returns how many."""
        removed = _remove(self._folder, self.name)
        os.close(self.lock)
        return removed


def remove_abandoned(folder: Path) -> int:
    """Remove what launchers left that were killed with all their children; returns how many."""
    removed = 0
    for lock in sorted(folder.glob(f"{PREFIX}*{_LOCK}")):
        with contextlib.suppress(OSError):  # of another user, or taken by another launcher just now
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                removed += _remove(folder, lock.name[: -len(_LOCK)])
            finally:
                os.close(descriptor)
    return removed


def _remove(folder: Path, name: str) -> int:
    regions = [path for path in folder.iterdir() if path.name.startswith(f"{name}-")]
    _unlink(regions)
    _unlink([folder / (name + _LOCK)])  # last: while it is there, another launcher can finish this
    return len(regions)


def _unlink(paths: "Iterable[Path]") -> None:
    for path in paths:
        path.unlink(missing_ok=True)
