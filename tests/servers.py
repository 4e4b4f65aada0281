"""A real HTTP server on 127.0.0.1 that does what it is told, well or badly, path by path.

    with HostileServer() as server:
        server.script("/wheel.whl", status(500), reset(), fine(body))
        Http().get(server.url + "/wheel.whl", ...)
        assert [each.path for each in server.seen] == ["/wheel.whl"] * 3

The first request for a path gets the first behaviour, the second the second; the last one stays.
A path without a script is answered with 404. Nothing sleeps longer than the server lives.
"""

import base64
import contextlib
import email.utils
import http.server
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Seen:
    """One request that arrived; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Behaviour = Callable[["Exchange"], None]


class Exchange(http.server.BaseHTTPRequestHandler):
    """One connection; what behaviours write their answers with."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def hostile(self) -> "HostileServer":
        return cast("_Server", self.server).hostile

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: tests read `HostileServer.seen`."""

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        behaviour = self.hostile.next_behaviour(Seen(self.command, self.path, headers, body))
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # clients may hang up
            behaviour(self)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the base class's naming

    def head(self, code: int, headers: Mapping[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def body(self, data: bytes) -> None:
        if self.command != "HEAD":
            self.wfile.write(data)

    def wait(self, seconds: float | None = None) -> None:
        """Sleep, but never longer than the server lives."""
        self.hostile.stopping.wait(seconds)

    def reset(self) -> None:
        """End the connection with a TCP reset (RST), not with an orderly end."""
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        with contextlib.suppress(OSError):
            self.connection.close()


def fine(
    body: bytes,
    *,
    media_type: str = "application/octet-stream",
    etag: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Behaviour:
    """A proper answer; with an ETag also to Range and If-Range (RFC 9110, 13.1.5 and 14)."""

    def behave(exchange: Exchange) -> None:
        common = {"Content-Type": media_type, **(headers or {})}
        if etag:
            common |= {"ETag": etag, "Accept-Ranges": "bytes"}
        start = _range_start(exchange, etag)
        if start is None:
            exchange.head(200, {**common, "Content-Length": str(len(body))})
            exchange.body(body)
        elif start >= len(body):
            exchange.head(416, {"Content-Length": "0", "Content-Range": f"bytes */{len(body)}"})
        else:
            rest = body[start:]
            span = f"bytes {start}-{len(body) - 1}/{len(body)}"
            exchange.head(206, {**common, "Content-Range": span, "Content-Length": str(len(rest))})
            exchange.body(rest)

    return behave


def _range_start(exchange: Exchange, etag: str | None) -> int | None:
    match = re.fullmatch(r"bytes=(\d+)-", exchange.headers.get("Range", ""))
    if etag is None or match is None or exchange.headers.get("If-Range", etag) != etag:
        return None
    return int(match[1])


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Behaviour:
    """An answer with this status."""

    def behave(exchange: Exchange) -> None:
        exchange.head(code, {"Content-Length": str(len(body)), **(headers or {})})
        exchange.body(body)

    return behave


def redirect(location: str, code: int = 302) -> Behaviour:
    """A redirect."""
    return status(code, {"Location": location})


def reset(after: bytes | None = None, *, announced: int = 0, etag: str | None = None) -> Behaviour:
    """A TCP reset: before any answer, or after some bytes of the body."""

    def behave(exchange: Exchange) -> None:
        if after is not None:
            extra = {"ETag": etag} if etag else {}
            exchange.head(200, {"Content-Length": str(announced or len(after) + 1), **extra})
            exchange.body(after)
            exchange.wait(0.05)  # a reset discards what the client has not read yet
        exchange.reset()

    return behave


def hang_up() -> Behaviour:
    """An orderly end of the connection instead of an answer."""

    def behave(exchange: Exchange) -> None:
        exchange.close_connection = True

    return behave


def stall(after: bytes = b"", *, announced: int = 1 << 20) -> Behaviour:
    """The head and some bytes, then silence."""

    def behave(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.head(200, {"Content-Length": str(announced)})
        exchange.body(after)
        exchange.wait()

    return behave


def silence() -> Behaviour:
    """The request is taken and never answered."""

    def behave(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.wait()

    return behave


def dripping_head(pause: float) -> Behaviour:
    """The head of an answer that never ends, one byte at a time."""

    def behave(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
        while not exchange.hostile.stopping.wait(pause):
            exchange.wfile.write(b"x")

    return behave


def truncate(body: bytes, at: int, *, etag: str | None = None) -> Behaviour:
    """All bytes are announced, the connection ends after `at` of them."""

    def behave(exchange: Exchange) -> None:
        exchange.close_connection = True
        extra = {"ETag": etag} if etag else {}
        exchange.head(200, {"Content-Length": str(len(body)), **extra})
        exchange.body(body[:at])

    return behave


def announce(body: bytes, length: int) -> Behaviour:
    """A body that is longer (or shorter) than its Content-Length says."""

    def behave(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.head(200, {"Content-Length": str(length)})
        exchange.body(body)

    return behave


def without_length(body: bytes) -> Behaviour:
    """A body that ends where the connection ends (RFC 9112, section 6.3, item 8)."""

    def behave(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.head(200, {"Connection": "close"})
        exchange.body(body)

    return behave


def chunked(body: bytes, size: int = 1000, *, whole: bool = True) -> Behaviour:
    """Chunked transfer coding; not `whole`: cut before the last chunk."""

    def behave(exchange: Exchange) -> None:
        exchange.head(200, {"Transfer-Encoding": "chunked"})
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            exchange.body(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if whole:
            exchange.body(b"0\r\n\r\n")
        else:
            exchange.close_connection = True

    return behave


def endless(piece: bytes = b"x" * 65536) -> Behaviour:
    """A body without announced length and without an end."""

    def behave(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.head(200, {"Connection": "close"})
        while exchange.command != "HEAD" and not exchange.hostile.stopping.is_set():
            exchange.body(piece)

    return behave


def dribble(body: bytes, size: int, pause: float) -> Behaviour:
    """A body in small pieces with pauses between them."""

    def behave(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.head(200, {"Content-Length": str(len(body))})
        for start in range(0, len(body), size):
            exchange.body(body[start : start + size])
            if exchange.hostile.stopping.wait(pause):
                return

    return behave


def garbage(data: bytes = b"SSH-2.0-OpenSSH_9.2\r\n") -> Behaviour:
    """Bytes that are no HTTP."""

    def behave(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.wfile.write(data)

    return behave


def guarded(inside: Behaviour, user: str, password: str) -> Behaviour:
    """What one user alone may see, by Basic (RFC 7617)."""
    secret = base64.b64encode(f"{user}:{password}".encode()).decode()

    def behave(exchange: Exchange) -> None:
        if exchange.headers.get("Authorization") == f"Basic {secret}":
            inside(exchange)
        else:
            status(401, headers={"WWW-Authenticate": 'Basic realm="x"'})(exchange)

    return behave


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # `server_close` joins them, so nothing outlives the test
    block_on_close = True
    request_queue_size = 64

    def __init__(self, hostile: "HostileServer", port: int) -> None:
        self.hostile = hostile
        self.open: set[socket.socket] = set()
        self.accepted = 0
        self.guard = threading.Lock()
        super().__init__(("127.0.0.1", port), Exchange)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, peer = super().get_request()
        with self.guard:
            self.accepted += 1
            self.open.add(connection)
        return connection, peer

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.hostile.tls is None:
            super().finish_request(request, client_address)
            return
        with (
            contextlib.suppress(OSError),  # a client that does not trust us ends the handshake
            self.hostile.tls.wrap_socket(request, server_side=True) as wrapped,
        ):
            with self.guard:
                self.open.add(wrapped)
            try:
                super().finish_request(wrapped, client_address)
            finally:
                with self.guard:
                    self.open.discard(wrapped)

    def shutdown_request(self, request: Any) -> None:
        with self.guard:
            self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no fault of the server."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class HostileServer:
    """Serves scripts and folders from a thread of its own; a context manager.

    Args:
        tls: serve https with this context (see `Certificate`).
        port: to listen on, where a free one of the kernel's will not do.
        like: another server whose scripts and folders this one has, too.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        *,
        port: int = 0,
        like: "HostileServer | None" = None,
    ) -> None:
        self.tls = tls
        self.stopping = threading.Event()
        self.seen: list[Seen] = []
        self.fallback: Behaviour | None = None  # for paths without a script, instead of 404
        self._scripts: dict[str, list[Behaviour]] = like._scripts if like else {}
        self._folders: dict[str, Path] = like._folders if like else {}
        self._always: Behaviour | None = None
        self._guard = threading.Lock()
        self._server = _Server(self, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        with self._server.guard:
            for connection in self._server.open:  # idle keep-alive connections
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()

    def script(self, path: str, *behaviours: Behaviour) -> None:
        """What the requests for a path get, one after the other; the last one stays."""
        with self._guard:
            self._scripts[path] = list(behaviours)

    def answer_all(self, behaviour: Behaviour | None) -> None:
        """What every request gets from now on, whatever was scripted; None takes that back."""
        with self._guard:
            self._always = behaviour

    def folder(self, prefix: str, folder: Path) -> None:
        """Serve the files of a folder below a prefix, with ETag and Range; `index.html` for /."""
        with self._guard:
            self._folders[prefix.rstrip("/") + "/"] = folder

    @property
    def connections(self) -> int:
        """How many connections were made."""
        return self._server.accepted

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        with self._guard:
            return sum(each.path == path for each in self.seen)

    def next_behaviour(self, request: Seen) -> Behaviour:
        with self._guard:
            self.seen.append(request)
            if self._always is not None:
                return self._always
            script = self._scripts.get(request.path)
            if script:
                return script.pop(0) if len(script) > 1 else script[0]
            found = self._file(unquote(urlsplit(request.path).path))
            return found or self.fallback or status(404)

    def _file(self, path: str) -> Behaviour | None:
        for prefix, folder in self._folders.items():
            if not path.startswith(prefix) or ".." in path.split("/"):
                continue
            file = folder / path.removeprefix(prefix)
            if file.is_dir():
                file /= "index.html"
            if file.is_file():
                kind = "text/html" if file.suffix == ".html" else "application/octet-stream"
                state = file.stat()
                etag = f'"{state.st_mtime_ns:x}-{state.st_size:x}"'
                changed = email.utils.formatdate(state.st_mtime, usegmt=True)
                return fine(
                    file.read_bytes(),
                    media_type=kind,
                    etag=etag,
                    headers={"Last-Modified": changed},
                )
        return None


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for 127.0.0.1, made by openssl in `folder`."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        made = cls(folder)
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        subprocess.run(
            [
                *command.split(),
                *("-subj", "/CN=hps test", "-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", str(made.key), "-out", str(made.path)),
            ],
            check=True,
            capture_output=True,
        )
        return made

    @property
    def path(self) -> Path:
        return self.folder / "certificate.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    def context(self) -> ssl.SSLContext:
        """For `HostileServer(tls=...)`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path, self.key)
        return context
