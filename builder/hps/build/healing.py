"""Damaged blobs: the store sets them aside when they are read, and the work is done once more."""

from collections.abc import Callable
from typing import TypeVar

from hps.build.workbench import Workbench
from hps.errors import StoreCorruptError

_ATTEMPTS = 5  # one damaged blob is found at a time; a disk that damages more is given up

T = TypeVar("T")


def healing(bench: Workbench, work: Callable[[bool], T]) -> T:
    """Do work that reads blobs; when one is damaged or missing, do it again.

    Whoever reads a damaged blob sets it aside, so that the next attempt fetches or makes it.

    Args:
        bench: the tools; what happens is told to its progress.
        work: does it and gives the result; told whether a blob was lost in an earlier attempt.

    Raises:
        StoreCorruptError: there was a damaged blob each time.
    """
    for attempt in range(_ATTEMPTS - 1):
        try:
            return work(attempt > 0)
        except StoreCorruptError as error:
            bench.progress.note(f"{error.message}: it is fetched or made again")
    return work(True)
