"""A source that sends too slowly is given up, whatever it sends."""

import time
from collections.abc import Iterable, Iterator

from hps.monitor.source import Patience, SourceError, Trouble
from hps.store.retry import Deadlines, Pace


def paced(pieces: Iterable[bytes], patience: Patience, name: str) -> Iterator[bytes]:
    """Hand pieces on for as long as enough of them come.

    Args:
        pieces: each as soon as it may count, however small.
        patience: its minimum rate counts.
        name: of the source, for errors.

    Raises:
        SourceError: STALLED.
    """
    rate = patience.minimum_rate
    pace = Pace(Deadlines(minimum_rate=rate, rate_window=patience.rate_window), time.monotonic())
    for piece in pieces:
        yield piece
        if pace.is_too_slow(len(piece), time.monotonic()):
            raise SourceError(
                Trouble.STALLED,
                f"{name} sends too slowly",
                expected=f"{rate} bytes a second and more",
            )
