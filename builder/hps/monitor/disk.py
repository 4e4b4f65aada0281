"""What the disk of a serving host refused, in words; and how much room it has."""

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hps.errors import HpsError
from hps.store.filesystem import free_space

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class DiskError(HpsError):
    """The disk of the serving host is full, read-only or out of order; the old model serves on."""

    reference = "disk-unusable"
    exit_code = 8


@dataclass(frozen=True, slots=True)
class Room:
    """What is left on a disk.

    Args:
        size: bytes that this user may still write.
        files: how many files may still be made; None where the file system does not count them.
    """

    size: int
    files: int | None

    @classmethod
    def at(cls, folder: Path) -> "Room":
        """Of the file system that a folder is on; raises DiskError."""
        with explained("ask for the free space of", folder):
            found = os.statvfs(folder)
        # Some file systems make inodes as they are needed, and say 0 of 0.
        files = found.f_favail if found.f_files else None
        return cls(found.f_bavail * found.f_frsize, files)


@contextlib.contextmanager
def explained(doing: str, path: Path) -> Iterator[None]:
    """Turn what the operating system refuses into a DiskError; `doing` is a verb."""
    try:
        yield
    except OSError as error:
        hint = "look at the disk; it is tried again by itself"
        if error.errno in _FULL:
            hint = "make room; it is tried again by itself"
        elif error.errno in _FORBIDDEN:
            hint = "let the user that the monitor runs as write there; it is tried again by itself"
        raise DiskError(
            f"cannot {doing} {path}: {error.strerror or error}", got=free_space(path), hint=hint
        ) from error
