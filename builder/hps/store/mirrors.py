"""Several places for one thing: in which order they are asked."""

import threading
from collections.abc import Sequence
from typing import Generic, TypeVar

_Place = TypeVar("_Place")


class Mirrors(Generic[_Place]):
    """Places, best first. One that has failed stands behind the others from then on.

    A dead one may take minutes each time, and there are hundreds of files. Safe to use from many
    threads.

    Args:
        places: best first.
        failed: numbers of those that have failed; shared by all who ask the same places.
    """

    def __init__(self, places: Sequence[_Place], failed: set[int] | None = None) -> None:
        self._places = tuple(places)
        self._lock = threading.Lock()
        self._failed = set() if failed is None else failed

    def __len__(self) -> int:
        return len(self._places)

    def in_order(self) -> list[tuple[int, _Place]]:
        """The places with their numbers, in the order in which they are asked now."""
        with self._lock:
            failed = set(self._failed)
        return sorted(enumerate(self._places), key=lambda each: each[0] in failed)

    def failed(self, number: int) -> None:
        """A place could not be asked, or did not answer."""
        with self._lock:
            self._failed.add(number)
