"""Reading ahead in a thread: one core decompresses while the other hashes and writes."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_WAITING = 4  # pieces of 1 MiB that may wait


@contextmanager
def ahead(pieces: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """The same pieces in the same order, made in a thread of their own.

    What the making raises is raised where its piece would have come. When the block ends, the
    thread has ended too, whatever was left.
    """
    waiting: queue.Queue[bytes | BaseException | None] = queue.Queue(_WAITING)
    enough = threading.Event()
    thread = threading.Thread(
        target=_fill, args=(pieces, waiting, enough), name="hps-ahead", daemon=True
    )
    thread.start()
    try:
        yield _drain(waiting)
    finally:
        enough.set()
        while thread.is_alive():
            _empty(waiting)
            thread.join(0.01)


def _fill(
    pieces: Iterator[bytes],
    waiting: "queue.Queue[bytes | BaseException | None]",
    enough: threading.Event,
) -> None:
    try:
        for piece in pieces:
            waiting.put(piece)
            if enough.is_set():
                break
        waiting.put(None)
    except BaseException as error:  # noqa: BLE001 - raised in the reading thread
        waiting.put(error)


def _drain(waiting: "queue.Queue[bytes | BaseException | None]") -> Iterator[bytes]:
    while (piece := waiting.get()) is not None:
        if isinstance(piece, BaseException):
            raise piece
        yield piece


def _empty(waiting: "queue.Queue[bytes | BaseException | None]") -> None:
    try:
        while True:
            waiting.get_nowait()
    except queue.Empty:
        return
