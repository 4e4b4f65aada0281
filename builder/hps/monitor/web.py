"""What the monitor answers over HTTP: metrics, health, how its models stand, and a page of it.

Nothing can be changed this way, and nothing is read from the disk for a request: five addresses
and three small files are all there is, so that no path leads elsewhere. It listens on loopback
unless the settings say otherwise.

The standard library's server does, because little is left for it: a request has a few kilobytes,
no body, and one connection; head and answer each have a deadline for the whole, so that a client
that drips bytes holds a thread for seconds; and connections are counted. Names of hosts in `Host`
that are not ours are refused, or a page of a stranger could read this one through a name that it
makes point here (DNS rebinding).
"""

import contextlib
import http.server
import io
import ipaddress
import json
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib import resources
from typing import Any, cast

from hps.errors import UsageError
from hps.monitor.logs import Log
from hps.monitor.page.render import page
from hps.monitor.status import MonitorStatus
from hps.store.foreign_text import printable

_MOST_CONNECTIONS = 32
_LONGEST_HEAD = 16 << 10  # bytes of request line and fields
_HEAD_TIME, _ANSWER_TIME = 5.0, 20.0  # seconds for the whole of each
_TEXT = "text/plain; charset=utf-8"
# What browsers are told: nothing from elsewhere, no frames, no guesses, no copies.
_SAFE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_FILES = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Views:
    """What can be seen; each is called by many threads.

    Args:
        status: how all models stand.
        late: the loops that stand still (`Pulse.late`).
        metrics: the metrics and their media type, for what `Accept` says.
    """

    status: Callable[[], MonitorStatus]
    late: Callable[[], tuple[str, ...]]
    metrics: Callable[[str], tuple[bytes, str]]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Args:
        code: of HTTP.
        body: of it.
        media_type: of the body.
        fields: further header fields.
    """

    code: HTTPStatus
    body: bytes
    media_type: str = _TEXT
    fields: Mapping[str, str] = field(default_factory=dict)


def reply(target: str, accept: str, views: Views) -> Reply:
    """The answer to GET.

    Args:
        target: of the request line, as it came.
        accept: the field Accept.
        views: what can be seen.
    """
    path = target.partition("?")[0].partition("#")[0]
    if path == "/":
        return Reply(HTTPStatus.OK, page(views.status()).encode(), "text/html; charset=utf-8")
    if path == "/status":
        body = json.dumps(views.status().as_json(), indent=1).encode() + b"\n"
        return Reply(HTTPStatus.OK, body, "application/json")
    if path == "/metrics":
        return Reply(HTTPStatus.OK, *views.metrics(accept))
    if path == "/healthz":
        return _verdict("stands still", views.late())
    if path == "/readyz":
        return _verdict("is not served", views.status().unready)
    return _file(path)


def is_ours(host: str, names: Collection[str]) -> bool:
    """Whether a field Host names this host: an address, localhost, or a name of ours.

    Addresses are taken all: rebinding needs a name that somebody else controls.
    """
    name = host.strip().lower()
    bare, colon, port = name.rpartition(":")
    if colon and port.isdecimal() and (":" not in bare or bare.endswith("]")):
        name = bare
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name[1:-1] if name[:1] + name[-1:] == "[]" else name)
        return True
    return name.removesuffix(".") in {"localhost", *(one.lower() for one in names)}


@contextlib.contextmanager
def served(listen: str, views: Views, *, hosts: Collection[str] = ()) -> Iterator[str]:
    """Answer until the block ends.

    Args:
        listen: HOST:PORT; port 0 takes any.
        views: what can be seen.
        hosts: names of this host, beside its own, by which it may be asked.

    Yields:
        The address of the page.

    Raises:
        UsageError: it cannot listen there.
    """
    host, _, port = listen.rpartition(":")
    try:
        server = _Server(host.removeprefix("[").removesuffix("]"), int(port), views, hosts)
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(
            f"cannot listen on {listen}: {error}",
            hint='name another address with --listen or `listen`; "" for none',
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="web", daemon=True)
    with server:
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()
            server.cut()


def _verdict(what: str, names: tuple[str, ...]) -> Reply:
    if not names:
        return Reply(HTTPStatus.OK, b"ok\n")
    lines = "".join(f"{printable(name)} {what}\n" for name in names)
    return Reply(HTTPStatus.SERVICE_UNAVAILABLE, lines.encode())


def _file(path: str) -> Reply:
    name = path.removeprefix("/")
    if name not in _FILES:
        return Reply(HTTPStatus.NOT_FOUND, b"there is no such page\n")
    body = resources.files("hps.monitor.page").joinpath(name).read_bytes()
    return Reply(HTTPStatus.OK, body, f"{_FILES[name]}; charset=utf-8")


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = _MOST_CONNECTIONS
    daemon_threads = False  # `cut` ends them, `server_close` waits for them

    def __init__(self, host: str, port: int, views: Views, hosts: Collection[str]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.views = views
        own = socket.gethostname()
        self.names = frozenset({own, own.partition(".")[0], *hosts})
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        name = host.decode() if isinstance(host, bytes) else str(host)
        return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            request.setblocking(False)
            with contextlib.suppress(OSError):
                request.send(_BUSY)
            self.shutdown_request(request)
            return
        with self._lock:
            self._open.add(request)
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self._closed(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._closed(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        del request, client_address
        Log().debug("web.failed", "a request was not answered", error=repr(sys.exception()))

    def cut(self) -> None:
        """End all connections."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _closed(self, request: socket.socket) -> None:
        with self._lock:
            self._open.discard(request)
        self._free.release()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        self.connection = self.request
        self.rfile = io.BytesIO(_head(self.connection))
        self.wfile = io.BytesIO()

    def finish(self) -> None:
        answer = cast("io.BytesIO", self.wfile).getvalue()
        self.connection.settimeout(_ANSWER_TIME)  # for all of it: `sendall` counts on
        with contextlib.suppress(OSError):  # the client has gone, or does not read
            self.connection.sendall(answer)

    def do_GET(self) -> None:
        server = cast("_Server", self.server)
        host = self.headers.get_all("Host", [])
        if len(host) > 1 or (not host and self.request_version != "HTTP/1.0"):
            self._answer(Reply(HTTPStatus.BAD_REQUEST, b"one field Host, please\n"))
        elif host and not is_ours(host[0], server.names):
            text = b"this host has another name; `hosts` in [monitor] can tell it\n"
            self._answer(Reply(HTTPStatus.MISDIRECTED_REQUEST, text))
        else:
            self._answer(reply(self.path, self.headers.get("Accept", ""), server.views))

    do_HEAD = do_GET  # noqa: N815 - the base class's naming

    def refuse(self) -> None:
        fields = {"Allow": "GET, HEAD"}
        text = b"nothing can be changed over HTTP: `hps monitor --help`\n"
        self._answer(Reply(HTTPStatus.METHOD_NOT_ALLOWED, text, fields=fields))

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = refuse  # noqa: N815

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """For requests that cannot be parsed; nothing of them is repeated."""
        del message, explain
        status = HTTPStatus(code)
        self._answer(Reply(status, f"{status.phrase}\n".encode()))

    def version_string(self) -> str:
        return "hps"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a probe every second would fill the log."""

    def _answer(self, found: Reply) -> None:
        self.close_connection = True
        self.request_version = "HTTP/1.1"  # else a request that is none gets no status line
        self.send_response(found.code)
        everything = {
            "Content-Type": found.media_type,
            "Content-Length": str(len(found.body)),
            "Connection": "close",
            **_SAFE,
            **found.fields,
        }
        for name, value in everything.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(found.body)


def _head(connection: socket.socket) -> bytes:
    """Request line and fields, with what came behind them; nothing when it is too late or long."""
    data = bytearray()
    until = time.monotonic() + _HEAD_TIME
    while b"\r\n\r\n" not in data and b"\n\n" not in data:
        connection.settimeout(max(0.001, until - time.monotonic()))
        try:
            piece = connection.recv(4096)
        except OSError:  # too late, or gone
            return b""
        data += piece
        if not piece or len(data) > _LONGEST_HEAD:
            return b""
    return bytes(data)
