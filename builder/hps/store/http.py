"""HTTP, bounded in time and size; the caller verifies as it reads.

Only this module and `connections` know `requests`. Proxies, netrc and certificate bundles come
from the environment, as for pip. Follows RFC 9110 (semantics) and RFC 9112 (message framing,
section 6.3).
"""

import contextlib
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import IncompleteRead
from typing import Any, NoReturn, Self

import requests
import urllib3

from hps.errors import FetchError, NotFoundError
from hps.store import causes, local_file
from hps.store import url as address
from hps.store.cancellation import Cancellation
from hps.store.connections import Exchange, current, new_session
from hps.store.filesystem import PIECE
from hps.store.retry import Deadlines, Pace, delay, is_retried, parse_retry_after
from hps.store.transfer import Sink, Transfer

_REDIRECTS = 10
_REDIRECT_STATUS = frozenset({301, 302, 303, 307, 308})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


@dataclass(frozen=True, slots=True)
class Page:
    """A small document: its bytes, media type, and its address after redirects."""

    body: bytes
    media_type: str
    url: str


class _AgainError(Exception):
    """This attempt failed in a way that another may not."""

    def __init__(
        self, cause: str, *, retry_after: float | None = None, unreachable: bool = False
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.retry_after = retry_after
        self.unreachable = unreachable


class Http:
    """Fetches over http, https and file; safe to use from many threads.

    Each thread borrows a session, so connections are kept alive and never shared.
    """

    def __init__(self, deadlines: Deadlines | None = None) -> None:
        self._deadlines = deadlines or Deadlines()
        self._idle: deque[requests.Session] = deque()
        self._unreachable: set[tuple[str, str, int]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def stream(
        self,
        url: str,
        sink: Sink,
        *,
        limit: int,
        restart: Callable[[], object],
        exact: bool = False,
        deadlines: Deadlines | None = None,
        cancellation: Cancellation | None = None,
    ) -> int:
        """Hand the body to `sink` in pieces of at most 1 MiB and return its length in bytes.

        An interrupted download is carried on with Range when the server has a strong ETag;
        otherwise `restart` is called and all bytes come again.

        Args:
            url: http, https or file.
            sink: takes the pieces; what it raises ends the transfer.
            limit: upper bound of the length; its exact value with `exact`.
            restart: makes the sink forget what it has.
            exact: see `limit`.
            deadlines: instead of those of this object.
            cancellation: lets another thread end the transfer.

        Raises:
            NotFoundError: 404 or 410, or no such file.
            FetchError: anything else, after all attempts.
            IntegrityError: more bytes than announced or allowed, or another size than `exact`.
            Cancelled: `cancellation` was called off.
        """
        transfer = Transfer(url, sink, restart, limit, exact)
        cancellation = cancellation or Cancellation()
        if address.split(url).scheme == "file":
            return local_file.stream_file(transfer, cancellation.check)
        self._persist(transfer, {}, deadlines or self._deadlines, cancellation)
        return transfer.received

    def page(
        self, url: str, accept: str, limit: int, cancellation: Cancellation | None = None
    ) -> Page:
        """Fetch a small document into memory; raises as `stream` does."""
        body = bytearray()
        transfer = Transfer(url, body.extend, body.clear, limit)
        if address.split(url).scheme == "file":
            local_file.stream_page(transfer)
        else:
            headers = {"Accept": accept}
            self._persist(transfer, headers, self._deadlines, cancellation or Cancellation())
        return Page(bytes(body), transfer.media_type, transfer.location)

    def get(self, url: str, accept: str, limit: int) -> bytes:
        """The body of a small document; raises as `stream` does."""
        return self.page(url, accept, limit).body

    def _persist(
        self,
        transfer: Transfer,
        headers: dict[str, str],
        deadlines: Deadlines,
        cancellation: Cancellation,
    ) -> None:
        """Attempt until it works, or it makes no sense to go on.

        A host that could not be reached with all attempts gets a single one from then on: the
        other hundred artifacts shall not wait as long as the first.
        """
        host = address.origin(transfer.url)
        attempts = 1 if host in self._unreachable else deadlines.attempts
        failures: list[str] = []
        for attempt in range(1, attempts + 1):
            cancellation.check()
            try:
                self._attempt(transfer, headers, deadlines, cancellation)
            except _AgainError as error:
                cancellation.check()
                failures.append(error.cause)
                if attempt < attempts:
                    cancellation.sleep(delay(attempt, deadlines, error.retry_after))
                elif error.unreachable:
                    self._unreachable.add(host)
            else:
                self._unreachable.discard(host)
                return
        raise FetchError(
            f"cannot fetch {address.redact(transfer.url)}: {failures[-1]}",
            got=f"{len(failures)} failed attempt{'s' if len(failures) > 1 else ''}",
            details=tuple(f"attempt {n}: {cause}" for n, cause in enumerate(failures, 1)),
            hint="try again later, or use another mirror (docs/how-to/mirrors.md); "
            "behind a proxy set HTTPS_PROXY",
        )

    def _attempt(
        self,
        transfer: Transfer,
        headers: dict[str, str],
        deadlines: Deadlines,
        cancellation: Cancellation,
    ) -> None:
        """One request, its redirects, and the body."""
        exchange = Exchange(deadlines, cancellation)
        headers = {"Accept-Encoding": "identity"} | headers | transfer.range_headers()
        token = current.set(exchange)
        try:
            with (
                self._session() as session,
                exchange.watches,
                self._follow(session, transfer.url, headers) as (url, response),
            ):
                _begin(transfer, response)
                transfer.location = url
                transfer.media_type = response.headers.get("Content-Type", "")
                for piece in _pieces(response.raw, url, deadlines):
                    cancellation.check()
                    transfer.add(piece)
                framed = _is_chunked(response) or transfer.total is not None
                if not transfer.is_complete(framed=framed):
                    raise _AgainError(f"the answer ended after {transfer.received} bytes")
        finally:
            current.reset(token)

    @contextlib.contextmanager
    def _session(self) -> Iterator[requests.Session]:
        try:
            session = self._idle.pop()
        except IndexError:
            session = new_session()
        try:
            yield session
        finally:
            self._idle.append(session)

    @contextlib.contextmanager
    def _follow(
        self, session: requests.Session, url: str, headers: dict[str, str]
    ) -> Iterator[tuple[str, requests.Response]]:
        """Request, following redirects; `requests` itself would follow them from https to http."""
        start = url
        for _ in range(_REDIRECTS + 1):
            with contextlib.closing(_request(session, url, headers)) as response:
                location = response.headers.get("Location")
                if response.status_code not in _REDIRECT_STATUS or location is None:
                    yield url, response
                    return
                url = address.redirected(url, location)
        raise FetchError(
            f"cannot fetch {address.redact(start)}: more than {_REDIRECTS} redirects, "
            f"the last to {address.redact(url)}",
            hint="the server sends hps in circles; use another mirror",
        )


def _request(session: requests.Session, url: str, headers: dict[str, str]) -> requests.Response:
    exchange = current.get()
    timeout = (exchange.deadlines.connect, exchange.deadlines.idle)
    try:
        return session.get(
            url, headers=headers, stream=True, allow_redirects=False, timeout=timeout
        )
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        _explain(error, url, exchange)


def _explain(error: Exception, url: str, exchange: Exchange) -> NoReturn:
    """Turn what `requests` raises into an error of hps, or into another attempt."""
    if exchange.late:
        limit = exchange.deadlines.headers
        raise _AgainError(f"no complete answer head within {limit:g} s") from error
    if isinstance(error, requests.exceptions.SSLError) and not causes.is_broken_off(error):
        raise _untrusted(url, causes.tls(error)) from error
    if type(error) is OSError and error.errno is None:  # how `requests` reports a missing bundle
        raise _untrusted(url, str(error)) from error
    if isinstance(error, requests.exceptions.ProxyError):
        raise _AgainError(f"the proxy refused: {causes.plain(error)}", unreachable=True) from error
    if isinstance(error, requests.exceptions.ConnectTimeout):
        limit = exchange.deadlines.connect
        raise _AgainError(f"no connection within {limit:g} s", unreachable=True) from error
    if isinstance(error, requests.exceptions.ReadTimeout):
        raise _AgainError(f"no answer within {exchange.deadlines.idle:g} s") from error
    if isinstance(error, requests.ConnectionError | urllib3.exceptions.HTTPError | OSError) and (
        not isinstance(error, ValueError)
    ):
        refused = urllib3.exceptions.NewConnectionError
        unreachable = any(isinstance(each, refused) for each in causes.chain(error))
        raise _AgainError(causes.plain(error), unreachable=unreachable) from error
    raise FetchError(
        f"cannot fetch {address.redact(url)}: {type(error).__name__}",
        hint="correct the address",
    ) from error


def _untrusted(url: str, why: str) -> FetchError:
    return FetchError(
        f"cannot fetch {address.redact(url)}: TLS failed: {why}",
        hint="if your network signs with an authority of its own, name the file of its "
        "certificate in REQUESTS_CA_BUNDLE or SSL_CERT_FILE",
    )


def _begin(transfer: Transfer, response: requests.Response) -> None:
    """Judge status and announced size (RFC 9110, sections 15 and 14.4)."""
    status = response.status_code
    chunked = _is_chunked(response)
    length = response.headers.get("Content-Length", "")
    announced = int(length) if length.isdecimal() and len(length) <= 15 and not chunked else None  # noqa: PLR2004 - digits of a petabyte
    if status == requests.codes.ok:
        transfer.begin(announced, etag=response.headers.get("ETag"))
        return
    if status == requests.codes.partial and transfer.range_headers():
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found and int(found[1]) == transfer.received and int(found[2]) + 1 == int(found[3]):
            rest = int(found[3]) - transfer.received
            transfer.begin(rest, etag=response.headers.get("ETag"), offset=transfer.received)
            return
        transfer.etag = None
        raise _AgainError("the server sent another range than was asked for")
    if status == requests.codes.requested_range_not_satisfiable:
        transfer.etag = None
        raise _AgainError("the server refused to carry on")
    _refuse(response, transfer.url)


def _refuse(response: requests.Response, url: str) -> NoReturn:
    status = response.status_code
    said = f"the server answered {status} {_plain(response.reason)}".rstrip()
    if is_retried(status):
        wait = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        raise _AgainError(said, retry_after=wait)
    if status in {requests.codes.not_found, requests.codes.gone}:
        raise NotFoundError(
            f"{address.redact(url)} does not exist: {said}",
            hint="the mirror may have dropped it; try another one",
        )
    credentials = status in {requests.codes.unauthorized, requests.codes.forbidden}
    raise FetchError(
        f"cannot fetch {address.redact(url)}: {said}",
        hint="put the credentials for this host into your netrc file"
        if credentials
        else "check the address, or use another mirror",
    )


def _pieces(raw: Any, url: str, deadlines: Deadlines) -> Iterator[bytes]:
    """The body in pieces of 1 MiB, exactly as sent (a Content-Encoding is never undone).

    `read1` returns after each read of the socket: a read of a whole piece would let a server
    drip a byte at a time for as long as it likes.
    """
    buffer = bytearray()
    pace = Pace(deadlines, time.monotonic())
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
        if len(buffer) == PIECE:
            yield bytes(buffer)
            buffer.clear()
        if pace.is_too_slow(len(data), time.monotonic()):
            raise FetchError(
                f"gave up on {address.redact(url)}: "
                f"slower than {deadlines.minimum_rate} bytes per second",
                hint="use another mirror (docs/how-to/mirrors.md)",
            )
    if buffer:
        yield bytes(buffer)
    if failure is not None:
        raise _AgainError(_interrupted(failure, deadlines)) from failure


def _interrupted(error: Exception, deadlines: Deadlines) -> str:
    if isinstance(error, urllib3.exceptions.ReadTimeoutError | TimeoutError):
        return f"the server stalled: no byte within {deadlines.idle:g} s"
    if any(isinstance(each, IncompleteRead) for each in causes.chain(error)):
        return "the answer was truncated"
    return f"the answer broke off: {causes.plain(error)}"


def _is_chunked(response: requests.Response) -> bool:
    return "chunked" in response.headers.get("Transfer-Encoding", "").lower()


def _plain(text: str | None) -> str:
    """What a server wrote, made safe to print."""
    return "".join(each for each in (text or "") if each.isprintable())[:80]
