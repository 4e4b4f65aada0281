"""The body of an HTTP answer, in pieces: bounded, patient to a point, and never silently short."""

from collections.abc import Iterator

import requests

from hps.monitor.look import too_large
from hps.monitor.source import Patience
from hps.monitor.sources import http_faults
from hps.store import url as address
from hps.store.cancellation import Cancellation
from hps.store.retry import Deadlines
from hps.store.transport import announced_length, is_chunked, pieces

_HEAD_SECONDS = 60.0
_HELD = 1.0  # seconds after which a piece is handed on though it is not full


def deadlines(patience: Patience) -> Deadlines:
    """The same patience for `hps.store.transport`, and a single attempt: callers try again."""
    return Deadlines(
        connect=patience.connect,
        idle=patience.idle,
        headers=min(_HEAD_SECONDS, patience.total),
        minimum_rate=patience.minimum_rate,
        rate_window=patience.rate_window,
        attempts=1,
    )


def body(
    work: Cancellation,
    response: requests.Response,
    url: str,
    patience: Deadlines,
    *,
    size: int | None,
    most: int,
) -> Iterator[bytes]:
    """The body; short of what was announced, or beyond the cap, it ends by an error.

    Args:
        work: calls it off.
        response: the answer, its body unread.
        url: where it comes from, for errors.
        patience: see `deadlines`.
        size: bytes that are to come, as far as that is known.
        most: the cap, in bytes.
    """
    received = 0
    for piece in pieces(response.raw, address.redact(url), patience, held=_HELD):
        work.check()
        received += len(piece)
        if received > most:
            raise too_large("bytes", most, f"{received} and more")
        yield piece
    work.check()  # a body that ends with its connection looks whole when it was shut
    check_length(response, url, received)
    if size is not None and received < size:  # told by Content-Range or a manifest alone
        raise http_faults.truncated(url, f"{size} bytes", received)


def check_length(response: requests.Response, url: str, received: int) -> None:
    """Refuse less than was announced, and nothing at all from a server that announced nothing.

    `http.client` takes a head whose connection ended for a complete one, and so an answer that
    was cut before its Content-Length for an empty file.
    """
    announced = announced_length(response)
    if announced is not None and received < announced:
        raise http_faults.truncated(url, f"{announced} bytes", received)
    if not received and announced is None and not is_chunked(response):
        raise http_faults.truncated(url, "a length, or a byte", received)
