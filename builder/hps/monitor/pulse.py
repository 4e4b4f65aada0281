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

    def beat(self, loop: str, within: float) -> None:
        """A loop lives.

        Args:
            loop: its name.
            within: seconds until it beats again at the latest: more than the deadline of what it
                does next, or it is taken for dead while it works.
        """
        with self._lock:
            self._until[loop] = self._clock() + within

    def stop(self, loop: str) -> None:
        """A loop has come to its end, as it should."""
        with self._lock:
            self._until.pop(loop, None)

    def late(self) -> tuple[str, ...]:
        """The loops that should have been heard of by now, by name."""
        with self._lock:
            now = self._clock()
            return tuple(sorted(name for name, until in self._until.items() if until < now))
