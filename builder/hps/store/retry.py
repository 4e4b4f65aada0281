"""When to try again, how long to wait, and when a server is too slow: decisions without I/O."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_RETRIED_4XX = frozenset({408, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How patient fetching is; all times in seconds.

    Args:
        connect: until a connection stands.
        idle: without a single byte.
        headers: until the head of an answer is complete, however slowly it drips.
        minimum_rate: bytes per second, on average over `rate_window`, below which a server is
            given up.
        rate_window: see `minimum_rate`.
        attempts: requests in all, the first included.
        first_delay: before the second attempt; doubles for each further one.
        longest_delay: bound of every wait, also of a server's Retry-After.
    """

    connect: float = 15.0
    idle: float = 30.0
    headers: float = 60.0
    minimum_rate: int = 1024
    rate_window: float = 60.0
    attempts: int = 4
    first_delay: float = 0.5
    longest_delay: float = 30.0


def is_retried(status: int) -> bool:
    """Whether an HTTP status may be better next time (RFC 9110, section 15)."""
    return status >= 500 or status in _RETRIED_4XX  # noqa: PLR2004 - the class of server errors


def delay(attempt: int, deadlines: Deadlines, retry_after: float | None = None) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1).

    Exponential with jitter, so that six workers do not come back in one burst. A server that
    says when to come back is believed up to `longest_delay`.
    """
    if retry_after is not None:
        return min(max(retry_after, 0.0), deadlines.longest_delay)
    jitter = random.uniform(0.5, 1.5)  # noqa: S311 - spreads requests, guards nothing
    return min(deadlines.first_delay * (1 << (attempt - 1)) * jitter, deadlines.longest_delay)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds asked for by Retry-After (RFC 9110, section 10.2.3), or None if unreadable."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds()


class Pace:
    """Watches the rate of one answer over windows of time."""

    def __init__(self, deadlines: Deadlines, now: float) -> None:
        self._deadlines = deadlines
        self._start = now
        self._received = 0

    def is_too_slow(self, received: int, now: float) -> bool:
        """Count `received` more bytes; true when a whole window stayed below the minimum rate."""
        self._received += received
        elapsed = now - self._start
        if elapsed < self._deadlines.rate_window:
            return False
        slow = self._received < self._deadlines.minimum_rate * elapsed
        self._start, self._received = now, 0
        return slow
