"""One HTTP request and its answer, repeated while that makes sense; what is in it, others judge.

Only this module, `connections`, `http` and the registry client know `requests`. Follows RFC 9110
(semantics) and RFC 9112 (message framing, section 6.3).
"""

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import IncompleteRead
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

import requests
import urllib3

from hps.errors import FetchError
from hps.store import causes
from hps.store import url as address
from hps.store.cancellation import Cancellation
from hps.store.connections import Exchange, current, new_session
from hps.store.filesystem import PIECE
from hps.store.foreign_text import printable
from hps.store.network import Network
from hps.store.retry import Deadlines, Pace, delay, is_retried, parse_retry_after

_REDIRECTS = 10
_SHORT = 8192  # bytes of a body that cost less than another connection
_BRIEF = 1.0  # seconds that they may cost
_SAFE = frozenset({"GET", "HEAD"})
_REDIRECT_STATUS = frozenset({301, 302, 303, 307, 308})

_Result = TypeVar("_Result")


class AgainError(Exception):
    """This attempt failed in a way that another may not."""

    def __init__(
        self,
        cause: str,
        *,
        retry_after: float | None = None,
        unreachable: bool = False,
        stalled: bool = False,
        answered: bool = False,
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.retry_after = retry_after
        self.unreachable = unreachable
        self.stalled = stalled
        self.answered = answered  # the server itself says so, in a whole answer


class SlowError(FetchError):
    """The server sends, and less than the minimum rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is asked of a server.

    Args:
        url: http or https.
        name: what people call what is asked for; the address itself if empty.
        method: of the request; redirects are followed for GET and HEAD only.
        headers: sent to whatever host a redirect leads to.
        private: headers that are sent to the origin of `url` only.
        authorization: the field of this name; sent to the origin of `url` only.
        body: bytes, or an open file that is sent from where it stands to its end.
        allow: called with each address that a redirect leads to; raises where it may not.
    """

    url: str
    name: str = ""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    private: Mapping[str, str] = field(default_factory=dict, repr=False)
    authorization: str | None = field(default=None, repr=False)
    body: bytes | BinaryIO | None = field(default=None, repr=False)
    allow: Callable[[str], object] = lambda _: None

    @property
    def title(self) -> str:
        """What errors call it."""
        return self.name or address.redact(self.url)

    @property
    def verb(self) -> str:
        """What errors say could not be done."""
        return "fetch" if self.method in _SAFE else "send"


class Transport:
    """Sends calls; safe to use from many threads.

    Each thread borrows a session, so connections are kept alive and never shared.

    Args:
        netrc: whether the credentials of the user's netrc file are sent.
        authority: PEM files of certificates that are trusted beside those of the environment.
        network: what a tool's settings add to the environment.
    """

    def __init__(
        self,
        *,
        netrc: bool = True,
        authority: Path | Sequence[Path] | None = None,
        network: Network | None = None,
    ) -> None:
        self._netrc = netrc
        self._authority = authority
        self._network = network or Network()
        self._idle: deque[requests.Session] = deque()
        self._unreachable: set[tuple[str, str, int]] = set()

    def close(self) -> None:
        """Close all connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def persist(
        self,
        call: Call,
        attempt: Callable[[], _Result],
        deadlines: Deadlines,
        cancellation: Cancellation,
        *,
        hint: str,
    ) -> _Result:
        """Attempt until it works, or it makes no sense to go on.

        A host that could not be reached with all attempts gets a single one from then on: the
        other hundred artifacts shall not wait as long as the first.

        Raises:
            FetchError: every attempt raised AgainError, the last one is its cause; what else one
                raises is passed on.
        """
        host = address.origin(call.url)
        attempts = 1 if host in self._unreachable else deadlines.attempts
        failures: list[str] = []
        last: AgainError | None = None
        for number in range(1, attempts + 1):
            cancellation.check()
            try:
                result = attempt()
            except AgainError as error:
                cancellation.check()
                failures.append(error.cause)
                last = error
                if number < attempts:
                    cancellation.sleep(delay(number, deadlines, error.retry_after))
                elif error.unreachable:
                    self._unreachable.add(host)
            else:
                self._unreachable.discard(host)
                return result
        raise FetchError(
            f"cannot {call.verb} {call.title}: {failures[-1]}",
            got=f"{len(failures)} failed attempt{'s' if len(failures) > 1 else ''}",
            details=tuple(f"attempt {n}: {cause}" for n, cause in enumerate(failures, 1)),
            hint=hint,
        ) from last

    @contextlib.contextmanager
    def open(
        self, call: Call, deadlines: Deadlines, cancellation: Cancellation
    ) -> Iterator[tuple[str, requests.Response]]:
        """Send a call; gives the address after redirects, and the answer with its body unread.

        Raises:
            AgainError: the server could not be reached, or broke off.
            FetchError: TLS failed, or a redirect leads nowhere or where it may not.
            Cancelled: `cancellation` was called off.
        """
        exchange = Exchange(deadlines, cancellation)
        token = current.set(exchange)
        try:
            with (
                self._session() as session,
                exchange.watches,
                self._follow(session, call) as (url, response),
            ):
                yield url, response
        finally:
            current.reset(token)

    @contextlib.contextmanager
    def _session(self) -> Iterator[requests.Session]:
        try:
            session = self._idle.pop()
        except IndexError:
            session = new_session(self._authority, self._network)
        try:
            yield session
        finally:
            self._idle.append(session)

    @contextlib.contextmanager
    def _follow(
        self, session: requests.Session, call: Call
    ) -> Iterator[tuple[str, requests.Response]]:
        """Request, following redirects; `requests` itself would follow them from https to http."""
        url, authorization, private = call.url, call.authorization, call.private
        for _ in range(_REDIRECTS + 1):
            sent = self._send(session, call, url, private, authorization)
            with contextlib.closing(sent) as response:
                location = response.headers.get("Location")
                moved = response.status_code in _REDIRECT_STATUS and location is not None
                if not moved or call.method not in _SAFE:
                    yield url, response
                    _spare(response)
                    return
                _spare(response)
                url = address.redirected(url, location or "")
                call.allow(url)
                if address.origin(url) != address.origin(call.url):
                    # For good: the other host may send us back anywhere.
                    authorization, private = None, {}
        raise FetchError(
            f"cannot {call.verb} {call.title}: more than {_REDIRECTS} redirects, "
            f"the last to {address.redact(url)}",
            hint="the server sends hps in circles; use another mirror",
        )

    def _send(
        self,
        session: requests.Session,
        call: Call,
        url: str,
        private: Mapping[str, str],
        authorization: str | None,
    ) -> requests.Response:
        exchange = current.get()
        headers = {"Accept-Encoding": "identity", **private, **call.headers}
        if authorization is not None:
            headers["Authorization"] = authorization
        try:
            return session.request(
                call.method,
                url,
                headers=headers,
                data=call.body,
                # Without this `requests` replaces the field Authorization by what netrc says.
                auth=None if self._netrc else _as_it_is,
                stream=True,
                allow_redirects=False,
                timeout=(exchange.deadlines.connect, exchange.deadlines.idle),
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            _explain(error, call.name or address.redact(url), exchange)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def pieces(raw: Any, name: str, deadlines: Deadlines, *, held: float = math.inf) -> Iterator[bytes]:
    """The body in pieces of 1 MiB, exactly as sent (a Content-Encoding is never undone).

    `read1` returns after each read of the socket: a read of a whole piece would let a server
    drip a byte at a time for as long as it likes.

    Args:
        raw: the body, unread, as urllib3 has it.
        name: what errors call it.
        deadlines: how slow it may be.
        held: seconds after which a piece is handed out though it is not full.

    Raises:
        AgainError: the body broke off.
        SlowError: the server is too slow.
    """
    buffer = bytearray()
    begun = time.monotonic()
    pace = Pace(deadlines, begun)
    failure: Exception | None = None
    while failure is None:
        try:
            data = raw.read1(PIECE - len(buffer), decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            failure = error
            break
        buffer += data
        if not data:
            break
        now = time.monotonic()
        if len(buffer) == PIECE or now - begun > held:
            yield bytes(buffer)
            buffer.clear()
            begun = now
        if pace.is_too_slow(len(data), now):
            raise SlowError(
                f"gave up on {name}: slower than {deadlines.minimum_rate} bytes per second",
                hint="use another mirror (docs/how-to/mirrors.md)",
            )
    if buffer:
        yield bytes(buffer)
    if failure is not None:
        stalled = _is_stalled(failure)
        raise AgainError(_interrupted(failure, deadlines), stalled=stalled) from failure


def announced_length(response: requests.Response) -> int | None:
    """Content-Length in bytes, where it is the length of the body (RFC 9112, section 6.3)."""
    text = response.headers.get("Content-Length", "")
    readable = text.isdecimal() and len(text) <= 15  # noqa: PLR2004 - digits of a petabyte
    return int(text) if readable and not is_chunked(response) else None


def is_chunked(response: requests.Response) -> bool:
    """Whether the body is framed by chunks."""
    return "chunked" in response.headers.get("Transfer-Encoding", "").lower()


def said(response: requests.Response) -> str:
    """What the server answered, for people."""
    return f"the server answered {response.status_code} {printable(response.reason, 80)}".rstrip()


def raise_if_passing(response: requests.Response) -> None:
    """Raise AgainError for a status that may be better next time."""
    if is_retried(response.status_code):
        wait = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        raise AgainError(said(response), retry_after=wait, answered=True)


def _explain(error: Exception, name: str, exchange: Exchange) -> NoReturn:
    """Turn what `requests` raises into an error of hps, or into another attempt."""
    if exchange.late:
        limit = exchange.deadlines.headers
        cause = f"no complete answer head within {limit:g} s"
        raise AgainError(cause, stalled=True) from error
    if isinstance(error, requests.exceptions.SSLError) and not causes.is_broken_off(error):
        raise _untrusted(name, causes.tls(error)) from error
    if type(error) is OSError and error.errno is None:  # how `requests` reports a missing bundle
        raise _untrusted(name, str(error)) from error
    if isinstance(error, requests.exceptions.ProxyError):
        raise AgainError(f"the proxy refused: {causes.plain(error)}", unreachable=True) from error
    if isinstance(error, requests.exceptions.ConnectTimeout):
        limit = exchange.deadlines.connect
        raise AgainError(f"no connection within {limit:g} s", unreachable=True) from error
    if isinstance(error, requests.exceptions.ReadTimeout):
        cause = f"no answer within {exchange.deadlines.idle:g} s"
        raise AgainError(cause, stalled=True) from error
    if isinstance(error, requests.ConnectionError | urllib3.exceptions.HTTPError | OSError) and (
        not isinstance(error, ValueError)
    ):
        refused = urllib3.exceptions.NewConnectionError
        unreachable = any(isinstance(each, refused) for each in causes.chain(error))
        raise AgainError(causes.plain(error), unreachable=unreachable) from error
    raise FetchError(
        f"cannot fetch {name}: {type(error).__name__}",
        hint="correct the address",
    ) from error


def _untrusted(name: str, why: str) -> FetchError:
    return FetchError(
        f"cannot fetch {name}: TLS failed: {why}",
        hint="if your network signs with an authority of its own, name the file of its "
        "certificate in REQUESTS_CA_BUNDLE or SSL_CERT_FILE (for a registry also --registry-ca)",
    )


def _interrupted(error: Exception, deadlines: Deadlines) -> str:
    if _is_stalled(error):
        return f"the server stalled: no byte within {deadlines.idle:g} s"
    if any(isinstance(each, IncompleteRead) for each in causes.chain(error)):
        return "the answer was truncated"
    return f"the answer broke off: {causes.plain(error)}"


def _is_stalled(error: Exception) -> bool:
    return isinstance(error, urllib3.exceptions.ReadTimeoutError | TimeoutError)


def _spare(response: requests.Response) -> None:
    """Read what is left of a short body: only then the connection serves again (RFC 9112, 9.3)."""
    announced = response.headers.get("Content-Length", "")
    empty = response.request.method == "HEAD"
    if not empty and not (announced.isdecimal() and int(announced) <= _SHORT):
        return
    until = time.monotonic() + _BRIEF  # a server may drip these few bytes for hours
    # What breaks here was not wanted; the connection is dropped with it.
    with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
        while response.raw.read1(_SHORT, decode_content=False) and time.monotonic() < until:
            pass
