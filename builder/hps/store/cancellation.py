"""Ending fetches that run in other threads, also while they wait for a silent server."""

import contextlib
import socket
import threading
from collections.abc import Iterator


class Cancelled(Exception):  # noqa: N818 - nothing went wrong, the user said stop
    """The fetch was called off; never reaches the user."""


class Cancellation:
    """Called off once, by one thread; watched by any number of others."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()

    def cancel(self) -> None:
        """Wake every sleeper and end every read at once."""
        self._event.set()
        with self._lock:
            for each in self._sockets:
                shut(each)

    def check(self) -> None:
        """Raise Cancelled if it was called off."""
        if self._event.is_set():
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Wait; raise Cancelled when it is called off meanwhile."""
        if self._event.wait(seconds):
            raise Cancelled

    @contextlib.contextmanager
    def watching(self, connection: socket.socket) -> Iterator[None]:
        """Shut the connection when this is called off, so that a blocked read returns."""
        with self._lock:
            self._sockets.add(connection)
        try:
            # Called off between the caller's last check and the line above: nobody else shuts it.
            self.check()
            yield
        finally:
            with self._lock:
                self._sockets.discard(connection)


def shut(connection: socket.socket) -> None:
    """End both directions without closing: another thread may still be reading."""
    with contextlib.suppress(OSError):  # the peer was faster
        connection.shutdown(socket.SHUT_RDWR)
