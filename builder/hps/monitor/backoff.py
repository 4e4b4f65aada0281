"""How long to wait before something is tried again. Pure: chance comes in as an argument."""

from dataclasses import dataclass

_DOUBLINGS = 62  # beyond that only the ceiling counts, and powers of two would overflow


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double from `first` up to `most` seconds, each shortened by chance.

    Args:
        first: seconds after the first failure.
        most: seconds that no wait exceeds.
        jitter: the part of a wait that chance may take away, 0 to 1, so that many hosts which
            failed at one moment do not come back at one moment.
    """

    first: float = 1.0
    most: float = 300.0
    jitter: float = 0.5

    def delay(self, failures: int, draw: float, *, after: float | None = None) -> float:
        """Seconds to wait.

        Args:
            failures: in a row, 1 for the first.
            draw: by chance, from 0 up to 1.
            after: what the other side asked for (Retry-After); no shorter wait than that, as
                far as `most` lets it.
        """
        whole = min(self.most, self.first * 2.0 ** min(max(failures, 1) - 1, _DOUBLINGS))
        own = whole * (1 - self.jitter * draw)
        # A server that says "in a year" is asked again nevertheless.
        return max(own, min(after or 0.0, self.most))
