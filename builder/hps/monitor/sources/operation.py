"""One operation of a source: bounded in time, and ended by `close` from another thread."""

import contextlib
import threading
from collections.abc import Iterator

from hps.monitor.source import SourceError, Trouble
from hps.store.cancellation import Cancellation, Cancelled


class Operations:
    """The operations of one source, one at a time.

    Args:
        name: of the source, for errors.
        total: seconds that one operation may take.
    """

    def __init__(self, name: str, total: float) -> None:
        self._name = name
        self._total = total
        self._closed = threading.Event()
        self._guard = threading.Lock()
        self._running: Cancellation | None = None

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def close(self) -> bool:
        """End the operation that runs; every later one is refused.

        Returns:
            Whether one was running; it then has to clean up behind itself.
        """
        with self._guard:
            self._closed.set()
            if self._running is None:
                return False
            self._running.cancel()
            return True

    @contextlib.contextmanager
    def one(self) -> Iterator[Cancellation]:
        """Run one operation; what fails because it was called off says so.

        Raises:
            SourceError: STALLED after `total` seconds, UNREACHABLE when it is or was closed.
        """
        work = Cancellation()
        with self._guard:
            if self.is_closed:
                raise self._ended()
            self._running = work
        timer = threading.Timer(self._total, work.cancel)
        timer.daemon = True
        timer.start()
        try:
            yield work
        except (Cancelled, SourceError):
            if _is_off(work):
                raise self._ended() from None
            raise
        finally:
            timer.cancel()
            with self._guard:
                self._running = None

    def _ended(self) -> SourceError:
        if self.is_closed:
            return SourceError(Trouble.UNREACHABLE, f"{self._name} was closed")
        return SourceError(
            Trouble.STALLED, f"{self._name} took too long", expected=f"at most {self._total:g} s"
        )


def _is_off(work: Cancellation) -> bool:
    try:
        work.check()
    except Cancelled:
        return True
    return False
