"""KServe v2 over HTTP/1.1, with nothing but the standard library."""

from __future__ import annotations

import http.client
import os
import re
import ssl
import threading
from typing import List, Optional, Tuple

from hps_client import kserve
from hps_client.call import Call
from hps_client.connection import Connection
from hps_client.errors import ConnectionFailed, InvalidInput, RequestRefused, Unavailable
from hps_client.transport import Settings

_OK = 200
_BUSY = (429, 503)
_HINTS = {
    400: "is the pipeline's name right, and did its model load? See the server's log",
    401: "give token= or headers=",
    403: "these credentials may not do this",
    404: "is the pipeline's name right, and did its model load? See the server's log",
    413: "something between refuses large requests: send a URL, or raise its limit",
    500: "see the server's log",
    502: "something between cannot reach the server",
    504: "something between gave up: raise its time-out",
}
_REFUSED_FOR_NAME = re.compile(r"[^\x21-\x7e]|[():<>@,;\\\"/\[\]?={}]")


class HttpTransport:
    """Keep-alive connections in a pool; each call has one to itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context = tls_context(settings)
        self._lock = threading.Lock()
        self._idle: List[Connection] = []
        self._process = os.getpid()
        self._closed = False
        _check_headers(settings)

    def infer(self, model: str, payload: bytes, call: Call, *, fresh: bool = False) -> bytes:
        """As the port says."""
        if len(payload) > kserve.LARGEST:
            raise InvalidInput(f"the request has {len(payload)} bytes, 4 GiB is the most", "")
        header = kserve.request_header(payload, call.request_id, call.microseconds())
        status, headers, body = self._exchange(
            "POST",
            kserve.path(model),
            [header, kserve.length(payload), payload],
            call,
            fresh=fresh,
        )
        if status != _OK:
            raise _refusal(status, headers, body, model)
        return kserve.answer(body, headers.get(kserve.HEADER_LENGTH))

    def ready(self, model: Optional[str], call: Call) -> bool:
        """As the port says."""
        status, _, _ = self._exchange("GET", kserve.ready_path(model), [], call, fresh=False)
        return status == _OK

    def close(self) -> None:
        """As the port says."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _exchange(
        self, method: str, path: str, body: List[bytes], call: Call, *, fresh: bool
    ) -> Tuple[int, http.client.HTTPMessage, bytes]:
        headers = dict(self._settings.headers)
        if body:
            headers["Content-Type"] = "application/octet-stream"
            headers[kserve.HEADER_LENGTH] = str(len(body[0]))
        connection = self._take(call, fresh=fresh)
        try:
            return connection.exchange(
                method,
                self._settings.address.prefix + path,
                headers=headers,
                body=body,
                call=call,
                limit=self._settings.max_answer_bytes,
            )
        finally:
            self._give_back(connection)

    def _take(self, call: Call, *, fresh: bool) -> Connection:
        while not fresh:
            with self._lock:
                if os.getpid() != self._process:  # a fork shares the sockets of its parent
                    self._idle, self._process = [], os.getpid()
                if not self._idle:
                    break
                connection = self._idle.pop()
            if connection.alive():
                return connection
            connection.close()
        if self._closed:
            raise ConnectionFailed("the client is closed", "make a new Client")
        connection = Connection(self._settings.address, self._context)
        connection.open(call, self._settings.connect_timeout)
        return connection

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            room = len(self._idle) < self._settings.pool and not self._closed
            if connection.open_still and room:
                self._idle.append(connection)
                return
        connection.close()


def tls_context(settings: Settings) -> Optional[ssl.SSLContext]:
    """The trust for an address with TLS, None without.

    Raises:
        InvalidInput: a file of certificates cannot be read.
    """
    if not settings.address.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"the certificates cannot be read: {error}", "ca_file= and cert_file= are PEM files"
        ) from error
    return context


def _check_headers(settings: Settings) -> None:
    for name, value in settings.headers.items():
        bad_value = any(sign in value for sign in "\r\n\0") or not value.isprintable()
        if not name or _REFUSED_FOR_NAME.search(name) or bad_value:
            raise InvalidInput(
                f"header {name!r} has a name or a value that HTTP does not allow", ""
            )


def _refusal(
    status: int, headers: http.client.HTTPMessage, body: bytes, model: str
) -> RequestRefused:
    said = kserve.refusal(body) or http.client.responses.get(status, "no reason")
    message = f"HTTP {status} for model {model}: {said}"
    if status in _BUSY:
        hint = "the server is overloaded or not ready: try later, or send less at once"
        after = _seconds(headers.get("Retry-After"))
        return Unavailable(message, hint, model=model, status=status, retry_after=after)
    return RequestRefused(message, _HINTS.get(status, ""), model=model, status=status)


def _seconds(text: Optional[str]) -> Optional[float]:
    """Retry-After as RFC 9110 10.2.3 has it, without its form as a date."""
    text = (text or "").strip()
    return float(text) if text.isascii() and text.isdigit() else None
