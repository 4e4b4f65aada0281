"""Whether every loop of the monitor still goes round: for `/healthz` and systemd's watchdog."""

import threading
import time
from collections.abc import Callable


class Pulse:
    """Each loop says that it lives, and until when it will say so again; for many threads.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}
        self._failed: set[str] = set()

    def beat(self, loop: str, within: float) -> None:
        """A loop lives.

        Args:
            loop: its name.
            within: seconds until it beats again at the latest: more than the deadline of what it
                does next, or it is taken for dead while it works.
        """
        with self._lock:
            self._until[loop] = self._clock() + within
            self._failed.discard(loop)

    def fail(self, loop: str) -> None:
        """A loop was ended by a fault; it is begun again, and counts as standing until it beats."""
        with self._lock:
            self._until.pop(loop, None)
            self._failed.add(loop)

    def stop(self, loop: str) -> None:
        """A loop has come to its end, as it should."""
        with self._lock:
            self._until.pop(loop, None)
            self._failed.discard(loop)

    def late(self) -> tuple[str, ...]:
        """The loops that should have been heard of by now, by name: only a new process helps."""
        with self._lock:
            return tuple(sorted(self._late()))

    def standing(self) -> tuple[str, ...]:
        """The loops that do not go round, by name: the late ones, and those that failed."""
        with self._lock:
            return tuple(sorted({*self._late(), *self._failed}))

    def _late(self) -> list[str]:
        now = self._clock()
        return [name for name, until in self._until.items() if until < now]
