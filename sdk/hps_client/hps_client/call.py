"""One call under way: until when it may last, and how somebody else ends it."""

from __future__ import annotations

import math
import threading
import time
import uuid
from typing import Any, Callable, Optional

from hps_client.errors import CallCancelled, DeadlineExceeded, InvalidInput

_MICROSECONDS = 1_000_000
_LONGEST = 1_000_000


class Call:
    """The deadline, the name and the emergency brake of one call, retries included.

    The time-out is in seconds. Safe for threads: `cancel` comes from another one.
    """

    def __init__(self, seconds: Optional[float], request_id: Optional[str] = None) -> None:
        self.seconds = checked_seconds(seconds)
        self.request_id = request_id or str(uuid.uuid4())
        self._end = None if self.seconds is None else time.monotonic() + self.seconds
        self._lock = threading.Lock()
        self._stop: Optional[Callable[[], None]] = None
        self._cancelled = threading.Event()

    def remaining(self, at_most: Optional[float] = None) -> Optional[float]:
        """Seconds that are left, or None for no limit.

        Raises:
            DeadlineExceeded: none is left.
            CallCancelled: `cancel` was called.
        """
        if self._cancelled.is_set():
            raise CallCancelled("the call was cancelled", "")
        if self._end is None:
            return at_most
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.exceeded()
        return left if at_most is None else min(left, at_most)

    def microseconds(self) -> Optional[int]:
        """What is left, in the unit of Triton's `timeout` parameter."""
        left = self.remaining()
        return None if left is None else max(1, int(left * _MICROSECONDS))

    def exceeded(self) -> DeadlineExceeded:
        """The error for a call that took too long."""
        return DeadlineExceeded(
            f"no answer within {self.seconds:g} seconds [request {self.request_id}]",
            "give the call a longer timeout= in seconds, or send less at once",
        )

    def pause(self, seconds: float) -> None:
        """Wait between two attempts.

        Raises:
            DeadlineExceeded: the pause would end after the deadline.
            CallCancelled: `cancel` was called, before or during the pause.
        """
        left = self.remaining()
        if left is not None and left <= seconds:
            raise self.exceeded()
        self._cancelled.wait(seconds)
        self.remaining()

    def attach(self, stop: Optional[Callable[[], None]]) -> None:
        """Say what ends the step under way; None when there is nothing to end.

        Raises:
            CallCancelled, DeadlineExceeded: it is too late.
        """
        with self._lock:
            self._stop = stop
        if stop is not None:
            self.remaining()

    def cancel(self) -> None:
        """End the call from another thread: its socket is shut down, the server notices."""
        self._cancelled.set()
        with self._lock:  # held while stopping: after attach(None) the socket may serve another
            if self._stop is not None:
                self._stop()


def checked_seconds(seconds: Any) -> Optional[float]:
    """A time-out as a float.

    Raises:
        InvalidInput: it is not a positive, finite number.
    """
    if seconds is None:
        return None
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not number or not math.isfinite(seconds) or seconds <= 0:
        raise InvalidInput(
            f"the time-out {seconds!r} is not a positive number of seconds",
            "write timeout=30 for thirty seconds, None for no limit",
        )
    if seconds > _LONGEST:  # sockets count milliseconds in 32 bits
        raise InvalidInput(
            f"the time-out {seconds!r} is longer than {_LONGEST} seconds",
            "is it in seconds? The client can have timeout=None for no limit",
        )
    return float(seconds)
