"""HTTP, bounded in time and size; the caller verifies as it reads.

How one request is made is in `transport`. Proxies, netrc and certificate bundles come from the
environment, as for pip. Follows RFC 9110 (semantics).
"""

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn, Self
from urllib.parse import urlsplit

import requests

from hps.errors import FetchError, NotFoundError
from hps.store import local_file
from hps.store import url as address
from hps.store.cancellation import Cancellation
from hps.store.network import Network
from hps.store.retry import Deadlines
from hps.store.transfer import Sink, Transfer
from hps.store.transport import (
    AgainError,
    Call,
    Transport,
    announced_length,
    is_chunked,
    pieces,
    raise_if_passing,
    said,
)

_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


@dataclass(frozen=True, slots=True)
class Page:
    """A small document: its bytes, media type, and its address after redirects."""

    body: bytes
    media_type: str
    url: str


class Http:
    """Fetches over http, https and file; safe to use from many threads.

    Args:
        deadlines: of each fetch.
        network: what a tool's settings add to the environment.
    """

    def __init__(self, deadlines: Deadlines | None = None, network: Network | None = None) -> None:
        self._deadlines = deadlines or Deadlines()
        self._network = network or Network()
        self._transport = Transport(network=self._network)
        self._lock = threading.Lock()
        self._logins: dict[tuple[str, str, int], tuple[str, str] | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._transport.close()

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

    def asks_keyring(self, url: str) -> bool:
        """Whether the keyring may be asked who we are: an address with its password needs none."""
        return self._network.keyring is not None and urlsplit(url).password is None

    def with_credentials(self, url: str) -> str:
        """The address with the credentials that the keyring gave for it, if it was asked."""
        if self._network.keyring is None or urlsplit(url).scheme not in {"http", "https"}:
            return url
        with self._lock:
            known = self._logins.get(address.origin(url))
        return url if known is None else address.with_userinfo(url, *known)

    def _log_in(self, url: str) -> bool:
        """Ask the keyring, once for each server; whether there is something new to try."""
        keyring, place = self._network.keyring, address.origin(url)
        if keyring is None or not self.asks_keyring(url):
            return False
        with self._lock:
            if place in self._logins:
                return False
            self._logins[place] = found = keyring.credentials(url)
        return found is not None

    def get(self, url: str, accept: str, limit: int) -> bytes:
        """The body of a small document; raises as `stream` does."""
        return self.page(url, accept, limit).body

    def _persist(
        self,
        transfer: Transfer,
        headers: Mapping[str, str],
        deadlines: Deadlines,
        cancellation: Cancellation,
    ) -> None:
        def attempt() -> None:
            asked = self.with_credentials(transfer.url)
            call = Call(url=asked, headers={**headers, **transfer.range_headers()})
            with self._transport.open(call, deadlines, cancellation) as (url, response):
                refused = response.status_code == requests.codes.unauthorized
                same = address.origin(url) == address.origin(call.url)
                if not (refused and same and self._log_in(transfer.url)):
                    receive(transfer, url, response, deadlines, cancellation)
                    return
            attempt()  # now as somebody

        self._transport.persist(
            Call(url=transfer.url),
            attempt,
            deadlines,
            cancellation,
            hint="try again later, or use another mirror (docs/how-to/mirrors.md); "
            "behind a proxy set HTTPS_PROXY",
        )


def receive(
    transfer: Transfer,
    url: str,
    response: requests.Response,
    deadlines: Deadlines,
    cancellation: Cancellation,
) -> None:
    """Read the answer of `url` into the transfer; raises as `Http.stream`, and AgainError."""
    _begin(transfer, response)
    transfer.location = url
    transfer.media_type = response.headers.get("Content-Type", "")
    for piece in pieces(response.raw, transfer.title, deadlines):
        cancellation.check()
        transfer.add(piece)
    cancellation.check()  # a body that ends with its connection looks whole when it was shut
    framed = is_chunked(response) or transfer.total is not None
    if not framed and not transfer.received:  # `http.client` takes a head that was cut off as whole
        raise AgainError("the answer ended before its first byte, and announced no length")
    if not transfer.is_complete(framed=framed):
        raise AgainError(f"the answer ended after {transfer.received} bytes")


def _begin(transfer: Transfer, response: requests.Response) -> None:
    """Judge status and announced size (RFC 9110, sections 15 and 14.4)."""
    status = response.status_code
    if status == requests.codes.ok:
        transfer.begin(announced_length(response), etag=response.headers.get("ETag"))
        return
    if status == requests.codes.partial and transfer.range_headers():
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found and int(found[1]) == transfer.received and int(found[2]) + 1 == int(found[3]):
            rest = int(found[3]) - transfer.received
            transfer.begin(rest, etag=response.headers.get("ETag"), offset=transfer.received)
            return
        transfer.etag = None
        raise AgainError("the server sent another range than was asked for")
    if status == requests.codes.requested_range_not_satisfiable:
        transfer.etag = None
        raise AgainError("the server refused to carry on")
    _refuse(response, transfer.title)


def _refuse(response: requests.Response, title: str) -> NoReturn:
    raise_if_passing(response)
    status = response.status_code
    if status in {requests.codes.not_found, requests.codes.gone}:
        raise NotFoundError(
            f"{title} does not exist: {said(response)}",
            hint="the mirror may have dropped it; try another one",
        )
    if status == requests.codes.proxy_authentication_required:
        raise FetchError(
            f"cannot fetch {title}: the proxy wants to know who asks: {said(response)}",
            hint="put user and password into the address of the proxy, as in "
            "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT (docs/how-to/mirrors.md)",
        )
    credentials = status in {requests.codes.unauthorized, requests.codes.forbidden}
    raise FetchError(
        f"cannot fetch {title}: {said(response)}",
        hint="put the credentials for this host into your netrc file or your keyring"
        if credentials
        else "check the address, or use another mirror",
    )
