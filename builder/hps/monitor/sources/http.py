"""HTTP and HTTPS as a place of models: one file, or a folder that the server lists.

How one request is made is in `hps.store.transport`. Follows RFC 9110 (semantics, conditional and
range requests) and RFC 9111 as far as it concerns a client without a cache.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import requests

from hps.errors import ConfigError, FetchError, UsageError
from hps.monitor.look import agree, too_large
from hps.monitor.source import (
    Caps,
    Donefile,
    Found,
    Patience,
    Reading,
    SourceError,
    Trouble,
)
from hps.monitor.sources import http_faults, http_fields
from hps.monitor.sources.credentials import Authorization
from hps.monitor.sources.http_body import body, check_length, deadlines
from hps.monitor.sources.http_listing import Child, children
from hps.monitor.sources.operation import Operations
from hps.store import url as address
from hps.store.cancellation import Cancellation
from hps.store.transport import (
    AgainError,
    Call,
    SlowError,
    Transport,
    announced_length,
    pieces,
)

_LISTING = 8 << 20  # bytes of a page that lists a folder
_OK, _PARTIAL, _UNMODIFIED = 200, 206, 304
# 403: addresses that are signed for one method, as object stores give them out.
_NO_HEAD = frozenset({403, 405, 501})
_UNSATISFIABLE = 416


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPlace:
    """Where a model is published over HTTP.

    Args:
        base: address of the folder of both; holds no user and no password.
        model: name of the packed model or of the model's folder, below `base`, as it is and not
            as it is written in an address.
        donefile: name likewise.
        packed: the model is one file; else it is a folder that the server lists.
        authorization: how to be let in; without it the user's netrc file is asked, as for curl.
            Shown to the origin of `base` only, whereto redirects may lead.
        authority: PEM file of certificates that are trusted beside those of this machine.
    """

    base: str
    model: str
    donefile: str
    packed: bool = True
    authorization: Authorization | None = field(default=None, repr=False)
    authority: Path | None = None


class HttpSource:
    """See `hps.monitor.source.Source`.

    The donefile is asked for with If-None-Match where its strong ETag is settled, and in full
    elsewhere: If-Modified-Since means "newer" to some servers, which hides an older donefile that
    was put back.
    """

    def __init__(
        self, place: HttpPlace, patience: Patience | None = None, caps: Caps | None = None
    ) -> None:
        _check(place.base)
        self._caps = caps or Caps()
        self._place = place
        self._model = address.join(place.base, place.model)
        self._transport = Transport(netrc=place.authorization is None, authority=place.authority)
        patience = patience or Patience()
        self._deadlines = deadlines(patience)
        self._operations = Operations(self.name, patience.total)
        self._known: Donefile | None = None

    @property
    def name(self) -> str:
        """See `Source`."""
        return address.redact(self._model)

    def close(self) -> None:
        """See `Source`."""
        self._operations.close()
        self._transport.close()

    def donefile(self) -> Donefile | None:
        """See `Source`."""
        url = address.join(self._place.base, self._place.donefile)
        with self._operation() as work:
            known = self._known
            if known is not None:
                headers = {"If-None-Match": known.found.tokens["etag"]}
                with self._ask(work, Call(url=url, headers=headers)) as (_, response):
                    if response.status_code != _UNMODIFIED:
                        return self._donefile(work, response)
                    if _is_same_etag(response, known.found):
                        return known
            self._known = None
            with self._ask(work, Call(url=url)) as (_, response):
                return self._donefile(work, response)

    def model(self) -> tuple[Found, ...]:
        """See `Source`."""
        with self._operation() as work:
            if self._place.packed:
                return (self._find(work, ""),)
            paths = self._list(work)
            if not paths:
                raise SourceError(Trouble.MISSING, f"there is no file in {self.name}")
            return tuple(self._find_listed(work, path) for path in sorted(paths, key=str.encode))

    @contextlib.contextmanager
    def read(self, found: Found, offset: int = 0) -> Iterator[Reading]:
        """See `Source`."""
        url = self._url(found.path)
        fields = http_fields.resume(found, offset) if offset else None
        with self._operation() as work:
            if fields is not None:
                with self._ask(work, Call(url=url, headers=fields)) as (_, response):
                    reading = self._rest(work, response, found, offset)
                    if reading is None and response.status_code == _OK:
                        reading = self._whole(work, response, found)
                    if reading is not None:
                        yield reading
                        return
            with self._ask(work, Call(url=url)) as (_, response):
                if response.status_code != _OK:
                    http_faults.refuse(response, url)
                yield self._whole(work, response, found)

    @contextlib.contextmanager
    def _operation(self) -> Iterator[Cancellation]:
        try:
            with self._operations.one() as work:
                yield work
        finally:
            if self._operations.is_closed:  # the connection was in use when `close` came by
                self._transport.close()

    @contextlib.contextmanager
    def _ask(self, work: Cancellation, call: Call) -> Iterator[tuple[str, requests.Response]]:
        authorization = self._place.authorization
        sent = replace(
            call,
            # A cache on the way shall ask the server (RFC 9111, section 5.2.1.4).
            headers={"Cache-Control": "no-cache", **call.headers},
            authorization=None if authorization is None else authorization.value(),
        )
        title = address.redact(call.url)
        try:
            with self._transport.open(sent, self._deadlines, work) as answer:
                work.check()  # a head that was cut off by `shut` looks like a complete one
                yield answer
        except AgainError as error:
            work.check()
            raise SourceError(
                http_faults.trouble(error), f"cannot read {title}: {error.cause}"
            ) from error
        except SlowError as error:
            raise SourceError(Trouble.STALLED, error.message) from error
        except FetchError as error:
            raise http_faults.lasting(error) from error
        except UsageError as error:  # the authority cannot be used
            raise SourceError(Trouble.UNUSABLE, error.message, hint=error.hint) from error

    def _donefile(self, work: Cancellation, response: requests.Response) -> Donefile | None:
        if response.status_code in http_faults.GONE:
            return None
        url = address.join(self._place.base, self._place.donefile)
        if response.status_code != _OK:
            http_faults.refuse(response, url)
        found = self._found("", url, response)
        content, _ = self._body(work, response, url, self._caps.donefile)
        donefile = Donefile(found, content)
        # Many servers make the ETag from seconds and size: it holds when that second is over.
        settled = "modified" not in found.tokens or (found.age or 0) > found.resolution
        self._known = donefile if settled and "etag" in found.tokens else None
        return donefile

    def _body(
        self, work: Cancellation, response: requests.Response, url: str, most: int
    ) -> tuple[bytes, bool]:
        """The first bytes of a body, and whether these are all."""
        content = bytearray()
        for piece in pieces(response.raw, address.redact(url), self._deadlines):
            work.check()
            content += piece
            if len(content) > most:
                return bytes(content[:most]), False
        work.check()
        check_length(response, url, len(content))
        return bytes(content), True

    def _find_listed(self, work: Cancellation, path: str) -> Found:
        try:
            return self._find(work, path)
        except SourceError as error:
            if error.trouble is not Trouble.MISSING:
                raise
            raise SourceError(
                Trouble.CHANGED, f"the server lists {path!r} and does not have it"
            ) from error

    def _find(self, work: Cancellation, path: str) -> Found:
        """What the server says of one file, without its bytes."""
        url = self._url(path)
        with self._ask(work, Call(url=url, method="HEAD")) as (_, response):
            # Some frameworks answer HEAD with a length of 0, whatever the file has.
            if response.status_code == _OK and announced_length(response) != 0:
                return self._found(path, url, response)
            if response.status_code not in _NO_HEAD and response.status_code != _OK:
                http_faults.refuse(response, url)
        return self._find_by_get(work, path, url)

    def _find_by_get(self, work: Cancellation, path: str, url: str) -> Found:
        with self._ask(work, Call(url=url, headers={"Range": "bytes=0-0"})) as (_, response):
            if response.status_code in {_PARTIAL, _UNSATISFIABLE}:
                size = http_fields.size_in_range(response.headers)
                return http_fields.found(path, response.headers, size)
            if response.status_code != _OK:
                http_faults.refuse(response, url)
            return self._found(path, url, response)

    def _found(self, path: str, url: str, response: requests.Response) -> Found:
        if not http_fields.is_as_stored(response.headers, url):
            raise SourceError(
                Trouble.MALFORMED,
                f"the server encodes {address.redact(url)} though it was asked not to",
                expected="no field Content-Encoding",
                got=repr(response.headers["Content-Encoding"][:80]),
                hint="switch compression off for models at the server",
            )
        return http_fields.found(path, response.headers, announced_length(response))

    def _list(self, work: Cancellation) -> list[str]:
        """The paths of all files below the model's folder, as the server lists them."""
        waiting, files, seen = [""], [], 0
        while waiting:
            folder = waiting.pop()
            for child in self._children(work, folder):
                seen += 1
                if seen > self._caps.files:
                    raise too_large("files and folders", self._caps.files, f"{seen} and more")
                path = f"{folder}{child.name}"
                if not child.is_folder:
                    files.append(path)
                elif path.count("/") >= self._caps.depth:
                    raise too_large("folders below each other", self._caps.depth, path[:200])
                else:
                    waiting.append(f"{path}/")
        return files

    def _children(self, work: Cancellation, folder: str) -> tuple[Child, ...]:
        url = self._url(folder)
        with self._ask(work, Call(url=url, headers={"Accept": "text/html"})) as (at, response):
            if response.status_code != _OK:
                http_faults.refuse(response, url)
            self._found("", url, response)
            page, whole = self._body(work, response, url, _LISTING)
        if not whole:
            raise too_large("entries in one folder", self._caps.files, f"{_LISTING} bytes of them")
        return children(at, page.decode("utf-8", errors="replace"))

    def _url(self, path: str) -> str:
        if self._place.packed:
            return self._model
        return address.join(self._model, *path.split("/")) if path else f"{self._model}/"

    def _rest(
        self, work: Cancellation, response: requests.Response, found: Found, offset: int
    ) -> Reading | None:
        """The rest of a file, if the answer is the rest of this very file (section 15.3.7)."""
        if response.status_code not in {_OK, _PARTIAL, _UNSATISFIABLE}:
            http_faults.refuse(response, self._url(found.path))
        if response.status_code != _PARTIAL:
            return None
        size = http_fields.rest_size(response.headers, offset)
        length = announced_length(response)
        now = http_fields.found(found.path, response.headers, size)
        if size is None or not agree(now, found) or length not in {None, size - offset}:
            return None
        if not http_fields.is_as_stored(response.headers, self._url(found.path)):
            return None
        return Reading(offset, now, self._pieces(work, response, found.path, size - offset))

    def _whole(self, work: Cancellation, response: requests.Response, found: Found) -> Reading:
        now = self._found(found.path, self._url(found.path), response)
        if now.size is not None and now.size > self._caps.bytes:
            raise too_large("bytes", self._caps.bytes, now.size)
        return Reading(0, now, self._pieces(work, response, found.path, now.size))

    def _pieces(
        self, work: Cancellation, response: requests.Response, path: str, size: int | None
    ) -> Iterator[bytes]:
        url, most = self._url(path), self._caps.bytes
        return body(work, response, url, self._deadlines, size=size, most=most)


def _check(base: str) -> None:
    """Refuse an address that holds a secret, or is none of HTTP."""
    try:
        parts = address.split(base)
    except FetchError as error:
        raise ConfigError(error.message, expected=error.expected) from error
    if "@" in parts.netloc:
        raise ConfigError(
            f"the address {address.redact(base)} holds credentials",
            hint="put them into a file or a variable and name that in the settings",
        )
    if parts.scheme == "file" or parts.query or parts.fragment:
        raise ConfigError(
            f"the address {address.redact(base)} is not that of a folder",
            expected="http:// or https://, a host and a path",
        )


def _is_same_etag(response: requests.Response, found: Found) -> bool:
    """Whether a 304 speaks of what was asked about; it may leave the ETag out."""
    etag = response.headers.get("ETag")
    return etag is None or etag.strip().removeprefix("W/") == found.tokens["etag"]
