"""A hostile HTTP server with a model on it, and hasty sources that read there."""

import contextlib
import email.utils
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from hps.monitor.source import Caps, Patience
from hps.monitor.sources.credentials import Authorization
from hps.monitor.sources.http import HttpPlace, HttpSource
from tests import servers
from tests.servers import Behaviour, Exchange, HostileServer

# Only for servers that are silent or slow: a busy machine can be silent that long as well.
HASTY = Patience(connect=5.0, idle=0.3, total=2.0, minimum_rate=100_000, rate_window=0.2)
PATIENT = Patience(connect=10.0, idle=10.0, total=60.0)


@dataclass
class HttpLab:
    """Sources are closed in the end."""

    server: HostileServer
    sources: list[HttpSource] = field(default_factory=list)

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> "Iterator[HttpLab]":
        with HostileServer() as server:
            made = cls(server)
            try:
                yield made
            finally:
                for source in made.sources:
                    source.close()

    def source(
        self,
        *,
        base: str = "",
        model: str = "model",
        packed: bool = True,
        patience: Patience = PATIENT,
        caps: Caps | None = None,
        authorization: Authorization | None = None,
    ) -> HttpSource:
        place = HttpPlace(
            base=base or self.server.url,
            model=model,
            donefile="done",
            packed=packed,
            authorization=authorization,
        )
        self.sources.append(HttpSource(place, patience, caps))
        return self.sources[-1]

    def model(self, *gets: Behaviour, head: Behaviour, path: str = "/model") -> None:
        """What GET gets, one after the other, the last one for ever; and HEAD always."""
        left = list(gets)

        def behave(exchange: Exchange) -> None:
            if exchange.command == "HEAD":
                head(exchange)
            else:
                (left.pop(0) if len(left) > 1 else left[0])(exchange)

        self.server.script(path, behave)

    def ranges(self, path: str = "/model") -> list[str | None]:
        """The field Range of each GET of a path so far."""
        return [
            each.headers.get("range")
            for each in self.server.seen
            if each.path == path and each.method == "GET"
        ]


def dated(body: bytes, ago: float, *, etag: str | None = None) -> Behaviour:
    """A proper answer with Last-Modified so many seconds before its Date."""
    changed = email.utils.formatdate(time.time() - ago, usegmt=True)
    return servers.fine(body, etag=etag, headers={"Last-Modified": changed})


def raw(data: bytes) -> Behaviour:
    """Exactly these bytes, and the end of the connection."""
    return servers.garbage(data)


def partial(body: bytes, content_range: str, *, etag: str = '"v1"') -> Behaviour:
    """206 with this Content-Range."""
    return servers.status(206, {"Content-Range": content_range, "ETag": etag}, body)


def endless_fields() -> Behaviour:
    """A head with one field after the other, until the client has enough."""

    def behave(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not exchange.hostile.stopping.is_set():
            exchange.wfile.write(b"X-More: and more\r\n")

    return behave


def endless_line() -> Behaviour:
    """A head with a field that never ends."""

    def behave(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not exchange.hostile.stopping.is_set():
            exchange.wfile.write(b"x" * 65536)

    return behave


def endless_continue() -> Behaviour:
    """One 100 (Continue) after the other."""

    def behave(exchange: Exchange) -> None:
        exchange.close_connection = True
        while not exchange.hostile.stopping.wait(0.001):
            exchange.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    return behave


def dripping_redirect(location: str, pause: float) -> Behaviour:
    """A redirect whose short body comes a byte at a time."""

    def behave(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.head(302, {"Location": location, "Content-Length": "8000"})
        for _ in range(8000):
            exchange.body(b"x")
            if exchange.hostile.stopping.wait(pause):
                return

    return behave
