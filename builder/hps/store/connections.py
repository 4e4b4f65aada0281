"""Connections for `http` that watch the clock and can be called off; below `requests`.

urllib3 makes the connections, so nothing can be passed to them: what they need is in `current`.
"""

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from hps.errors import UsageError
from hps.store.cancellation import Cancellation, shut
from hps.store.network import Network
from hps.store.retry import Deadlines


@dataclass(slots=True)
class Exchange:
    """One request and its answer, as the connection below `requests` sees it."""

    deadlines: Deadlines
    cancellation: Cancellation
    watches: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    late: bool = False


_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")

current: ContextVar[Exchange] = ContextVar("exchange")


def new_session(
    authority: Path | Sequence[Path] | None = None, network: Network | None = None
) -> requests.Session:
    """Open a session; proxies, netrc and certificate bundles are those of the environment.

    Args:
        authority: PEM files of certificates that are trusted beside them.
        network: what a tool's settings add to them.

    Raises:
        UsageError: a file cannot be read, or holds no certificate.
    """
    authorities = [authority] if isinstance(authority, Path) else list(authority or ())
    network = network or Network()
    session = _Session(network.proxies)
    session.headers["User-Agent"] = "hps"
    # `requests` reads REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE, which win, by itself; this third name
    # is the one of OpenSSL, uv and pip.
    session.verify = os.environ.get("SSL_CERT_FILE") or network.bundle or True
    session.cert = network.client_certificate
    named = any(os.environ.get(name) for name in _BUNDLES) or network.bundle is not None
    session.mount("https://", _Adapter(_trusting(authorities, system=not named)))
    session.mount("http://", _Adapter())
    return session


class _Session(requests.Session):
    def __init__(self, proxies: Mapping[str, str]) -> None:
        super().__init__()
        self._proxies = proxies  # those of the base class lose against the environment
        self._environment: dict[tuple[str, str], Any] = {}

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """Look for proxies and bundles once for each host, not at every request.

        `requests` reads the whole environment each time: a third of the work of a small request.
        """
        host = urlsplit(url)[:2]
        if host not in self._environment:
            found = super().merge_environment_settings(url, {}, None, None, None)
            self._environment[host] = found
        found = self._environment[host]
        return {
            "proxies": {**found["proxies"], **self._proxies, **(proxies or {})},
            "stream": self.stream if stream is None else stream,
            "verify": found["verify"] if verify is None else verify,
            "cert": self.cert if cert is None else cert,
        }

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow nothing: `requests` would first read the whole body, however large."""


class _Adapter(HTTPAdapter):
    """Uses connections that watch the clock, behind a proxy too."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make pools; urllib3 loads the bundle of the environment into the same context."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Make pools for a proxy."""
        return super().proxy_manager_for(*args, ssl_context=self._context, **kwargs)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        # A pool is of one scheme and makes its connections later, so this is early enough.
        kind = _TlsConnection if pool.scheme == "https" else _PlainConnection
        pool.ConnectionCls = kind  # type: ignore[attr-defined] # ConnectionPool is their base
        return pool


def _trusting(authorities: Sequence[Path], *, system: bool) -> ssl.SSLContext:
    """What is trusted beside the bundle that the environment or `requests` names.

    Args:
        authorities: PEM files.
        system: also what this machine's administrator trusts, as pip does, and uv when asked.
    """
    context = create_urllib3_context()
    if system:
        context.load_default_certs()
    for authority in authorities:
        try:
            context.load_verify_locations(authority)
        except OSError as error:  # ssl.SSLError is one
            why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
            raise UsageError(
                f"the authority {authority} cannot be used: {why}",
                hint="name a PEM file with the certificate of the authority",
            ) from error
    return context


class _PlainConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _watched(super()._new_conn())

    def getresponse(self) -> Any:
        with _head_in_time(self.sock):
            return super().getresponse()


class _TlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _watched(super()._new_conn())

    def getresponse(self) -> Any:
        with _head_in_time(self.sock):
            return super().getresponse()


def _watched(connection: socket.socket) -> socket.socket:
    """A new connection that can be called off from now on, also while TLS shakes hands.

    What TLS wraps it into takes the descriptor away, hence a second one of the same connection.
    """
    exchange = current.get()
    try:
        twin = exchange.watches.enter_context(connection.dup())
        exchange.watches.enter_context(exchange.cancellation.watching(twin))
    except BaseException:  # called off already: nobody else has it yet
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _head_in_time(connection: socket.socket) -> Iterator[None]:
    """Bound the time until the head of an answer is complete; the idle timeout bounds one read.

    From here to the end of the exchange the connection can be called off.
    """
    exchange = current.get()
    exchange.watches.enter_context(exchange.cancellation.watching(connection))

    def expire() -> None:
        exchange.late = True
        shut(connection)

    timer = threading.Timer(exchange.deadlines.headers, expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if exchange.late:  # a head that was cut off by `shut` looks like a complete one
        raise TimeoutError
