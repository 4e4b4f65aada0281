"""How long calls to a registry may take in all, and who ends them."""

import contextlib
import threading
from collections.abc import Iterator

from hps.errors import FetchError
from hps.store.cancellation import Cancellation, Cancelled


class Limits:
    """Limits of wall time: of everything, and of what single threads do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._whole = Cancellation()
        self._limited = False
        self._own = threading.local()  # the limit of what this thread does, see `bounded`
        self._bounded: set[Cancellation] = set()

    @property
    def cancellation(self) -> Cancellation:
        """What ends the calls of this thread."""
        own: Cancellation | None = getattr(self._own, "limit", None)
        return own or self._whole

    def abandon(self) -> None:
        """End the calls of all threads."""
        with self._lock:
            ending = (self._whole, *self._bounded)
        for each in ending:
            each.cancel()

    @contextlib.contextmanager
    def within(self, seconds: float, what: str) -> Iterator[None]:
        """Bound the wall time of everything that is done with this object in the block.

        That is what other threads do, too. Within another limit that one counts.

        Raises:
            FetchError: the time is over.
        """
        with self._lock:
            nested, self._limited = self._limited, True
        if nested:
            yield
            return
        with _ending(self._whole, seconds, what):
            try:
                yield
            finally:
                with self._lock:
                    self._whole, self._limited = Cancellation(), False

    @contextlib.contextmanager
    def bounded(self, seconds: float, what: str) -> Iterator[None]:
        """Bound the wall time of what this thread does in the block; raises as `within`.

        Other threads have limits of their own. Within another limit that one counts.
        """
        if self._limited or getattr(self._own, "limit", None) is not None:
            yield
            return
        own = Cancellation()
        with self._lock:
            whole = self._whole
            self._bounded.add(own)
        self._own.limit = own
        try:
            whole.check()  # called off before this limit was known
            with _ending(own, seconds, what):
                yield
        finally:
            self._own.limit = None
            with self._lock:
                self._bounded.discard(own)

    @contextlib.contextmanager
    def under(self, work: Cancellation) -> Iterator[None]:
        """Let `work` call off what is done in the block; whoever made it bounds the time.

        Raises:
            Cancelled: it was called off.
        """
        with self._lock:
            self._whole, self._limited = work, True
        try:
            yield
        finally:
            with self._lock:
                self._whole, self._limited = Cancellation(), False


@contextlib.contextmanager
def _ending(work: Cancellation, seconds: float, what: str) -> Iterator[None]:
    """Call something off after so long; raises FetchError when that was the reason."""
    late = threading.Event()

    def expire() -> None:
        late.set()
        work.cancel()

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Cancelled as error:
        if not late.is_set():
            raise  # somebody else did it
        raise FetchError(
            f"gave up on {what}: not done within {seconds:g} s",
            hint="the registry is slow, or has more to say than it should; try again later",
        ) from error
    finally:
        timer.cancel()
