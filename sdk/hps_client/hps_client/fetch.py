"""Fetches a file of an answer from the URL where the server put it."""

from __future__ import annotations

from typing import Optional, Tuple
from urllib.parse import urljoin, urlsplit

from hps_client.address import Address
from hps_client.call import Call
from hps_client.connection import Connection
from hps_client.errors import ConnectionFailed, InvalidAnswer
from hps_client.http_transport import tls_context
from hps_client.transport import Settings

_REDIRECTS = 5
_OK = 200
_MOVED = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}


def fetch(url: str, *, timeout: Optional[float], limit: int) -> bytes:
    """The bytes of a URL. No header of the client goes with it: the URL is its own permission.

    Args:
        url: http or https.
        timeout: Seconds in all, redirects included.
        limit: Most bytes to take.

    Raises:
        InvalidAnswer: the URL cannot be used, or leads to more than the limit.
        ConnectionFailed: its server cannot be reached or refuses.
        DeadlineExceeded: it took too long.
    """
    call = Call(timeout)
    secure = False
    for _ in range(_REDIRECTS + 1):
        address, path = _parts(url, secure=secure)
        secure = address.tls
        connection = Connection(address, tls_context(Settings(address)))
        try:
            connection.open(call, 10.0)
            status, headers, body = connection.exchange(
                "GET", path, headers={}, body=[], call=call, limit=limit
            )
        finally:
            connection.close()
        if status == _OK:
            return body
        if status not in _MOVED:
            raise ConnectionFailed(
                f"{address} answers {status} for a file of the answer",
                "URLs of files expire: save results at once",
                sent=True,
                answered=True,
            )
        url = urljoin(url, headers.get("Location") or "")
    raise InvalidAnswer(f"a file of the answer is redirected more than {_REDIRECTS} times", "")


def _parts(url: str, *, secure: bool) -> Tuple[Address, str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidAnswer(f"a file of the answer has a broken URL: {error}", "") from error
    if parts.scheme not in _PORTS or not host or (secure and parts.scheme == "http"):
        raise InvalidAnswer(f"a file of the answer has the URL {url[:100]!r}", "not fetched")
    port = _PORTS[parts.scheme] if port is None else port
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(parts.scheme, host, port), path
