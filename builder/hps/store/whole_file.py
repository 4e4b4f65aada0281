"""A file that is replaced as a whole, or not at all."""

import contextlib
import fcntl
import glob
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hps.store.filesystem import sync_folder


@contextlib.contextmanager
def replacing(destination: Path) -> Iterator[BinaryIO]:
    """Give a new file that takes the place of `destination` when the block ends well.

    Until then the old one stays as it is; when the block raises, the new one is removed. What a
    killed process left beside the destination is removed by the next one. Two at once do not
    disturb each other, and the later one wins.

    Raises:
        OSError: the file cannot be made, written or renamed.
    """
    _remove_stale(destination)
    file = _locked_file(destination)
    partial = Path(file.name)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            partial.replace(destination)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(destination.parent)


def _locked_file(destination: Path) -> BinaryIO:
    """A new file beside the destination, locked for as long as it is open (flock(2))."""
    while True:
        name = f".{destination.name}.{secrets.token_hex(8)}.partial"
        file = destination.with_name(name).open("xb")
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_nlink:
                return file
        file.close()  # another process took it for stale before it was locked


def _remove_stale(destination: Path) -> None:
    for left in destination.parent.glob(f".{glob.escape(destination.name)}.*.partial"):
        # Being written right now, removed by somebody else, or not ours: then it stays.
        with contextlib.suppress(OSError), left.open("rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
