"""One blob on its way into a registry: asked for, mounted, or sent in pieces.

OCI distribution specification 1.1, "Checking if content exists in the registry", "Mounting a blob
from another repository" and "Pushing a blob in chunks". What the registry says that it has decides
where the next piece begins; a registry that has forgotten an upload gets a new one.
"""

import contextlib
import hashlib
import io
import re
import time
from collections.abc import Callable, Sequence
from typing import BinaryIO, TypeVar, cast
from urllib.parse import quote, urlencode, urljoin, urlsplit

import requests

from hps.digest import Blob
from hps.errors import FetchError, IntegrityError, PublishError
from hps.oci.registry import Placed
from hps.oci.registry_connection import Connection, DeniedError
from hps.store import url as address
from hps.store.foreign_text import printable
from hps.store.retry import Pace
from hps.store.sending import PIECE, Sent
from hps.store.transport import AgainError, Call, SlowError, announced_length

SMALL = 4 << 20  # bytes that are sent at once, from memory
CHUNK = 32 << 20  # bytes of one request; what a break costs, and a round trip for each
_LARGEST_CHUNK = 1 << 30  # bytes; a registry may ask for larger chunks than ours, up to this
_MOUNTS = 3  # repositories that are tried; each attempt is a request
_BEGINNINGS = 4  # uploads of one blob, when the registry forgets them
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,15})")
_LOST = frozenset({404, 416})  # what a registry answers that has forgotten, or has other bytes

Content = Callable[[], BinaryIO]
_Answer = TypeVar("_Answer")


class BlobUpload:
    """Puts one blob into a repository.

    Args:
        connection: to the registry.
        blob: digest and size.
        content: opens the bytes; must be able to seek.
        mounts: repositories of the same registry that may have it.
        sent: is called with how many bytes the registry has; the number may fall.
        chunk: bytes of one request; blobs of up to SMALL bytes that fit into one go at once.
    """

    def __init__(
        self,
        connection: Connection,
        blob: Blob,
        content: Content,
        *,
        mounts: Sequence[str] = (),
        sent: Sent = lambda _: None,
        chunk: int = CHUNK,
    ) -> None:
        self._connection = connection
        self._blob = blob
        self._content = content
        self._mounts = tuple(mounts)[:_MOUNTS]
        self._sent = sent
        self._name = f"the blob {blob.digest} to {connection.reference.name}"
        self._location: str | None = None
        self._offset = 0
        self._unsure = False  # whether the registry may have got more or less than `_offset`
        self._chunk = chunk
        self._beginnings = 0

    def run(self) -> Placed:
        """See `WritableRegistry.upload`; what fails raises FetchError or PublishError."""
        found = self._persist(self._begin)
        if found is not Placed.SENT:
            return found
        with contextlib.closing(_Bytes(self._blob, self._content)) as body:
            if self._blob.size <= min(SMALL, self._chunk):
                data = body.read_at(0, self._blob.size)
                body.check()
                memory = _Bytes(self._blob, lambda: io.BytesIO(data))
                return self._persist(lambda: self._finish(memory))
            while self._offset < self._blob.size:
                self._advance(body)
            body.check()
            return self._persist(lambda: self._close(body))

    def _persist(self, attempt: Callable[[], _Answer]) -> _Answer:
        return self._connection.persist(self._call("POST", ""), attempt)

    def _advance(self, body: "_Bytes") -> None:
        """Send a chunk; patience begins anew whenever the registry has got some of it."""
        before = self._offset
        try:
            self._persist(lambda: self._step(body))
        except FetchError:
            if self._offset <= before:
                raise

    def _begin(self) -> Placed:
        if self._is_there():
            return Placed.THERE
        for repository in self._mounts:
            with contextlib.suppress(DeniedError):  # then it is sent
                query = urlencode({"mount": str(self._blob.digest), "from": repository})
                if self._start(f"?{query}", also=(repository,)):
                    return Placed.MOUNTED
        if self._location is None:
            self._start("")
        return Placed.SENT

    def _is_there(self) -> bool:
        return is_there(self._connection, self._blob, "pull,push")

    def _start(self, query: str, also: Sequence[str] = ()) -> bool:
        """Begin an upload; true when the registry has taken the blob from another repository."""
        call = self._call("POST", self._connection.address(f"/blobs/uploads/{query}"))
        with self._connection.open(call, "pull,push", also=also) as (_, response):
            if also and response.status_code == requests.codes.created:
                self._compare(response)
                return True
            if response.status_code != requests.codes.accepted:
                raise self._connection.refusal(response, call)
            self._location = self._led(call.url, response)
            self._offset, self._unsure = 0, False
            least = response.headers.get("OCI-Chunk-Min-Length", "")
            if least.isdecimal():
                self._chunk = max(self._chunk, min(int(least[:15]), _LARGEST_CHUNK))
        self._beginnings += 1
        if self._beginnings > _BEGINNINGS:
            raise PublishError(
                f"cannot send {self._name}: the registry keeps forgetting what it was sent",
                got=f"{_BEGINNINGS} uploads",
                hint="tell whoever runs the registry; several copies of it may share no storage",
            )
        return False

    def _step(self, body: "_Bytes") -> None:
        """Send one chunk, from where the registry says that it is."""
        location = self._carried_on()
        end = min(self._offset + self._chunk, self._blob.size)
        call = Call(
            url=location,
            name=self._name,
            method="PATCH",
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Range": f"{self._offset}-{end - 1}",
            },
            body=self._part(body, self._offset, end),
        )
        self._unsure = True
        with self._connection.open(call, "pull,push") as (_, response):
            if response.status_code in _LOST:
                raise AgainError("the registry has lost a part of what it was sent")
            if response.status_code != requests.codes.accepted:
                raise self._connection.refusal(response, call)
            self._location = self._led(call.url, response)
            self._offset = self._taken(response, end, otherwise=end)
            self._unsure = False
        self._sent(self._offset)

    def _part(self, body: "_Bytes", start: int, end: int) -> BinaryIO:
        """A part of the blob as the body of a request; tells how much of it has gone out."""
        return cast("BinaryIO", _Chunk(body, start, end, self._watch(start)))

    def _watch(self, start: int) -> Sent:
        """Tells what goes out of one chunk, and ends what is called off or too slow."""
        deadlines = self._connection.deadlines
        pace = Pace(deadlines, time.monotonic())
        before = start

        def watch(at: int) -> None:
            nonlocal before
            self._connection.cancellation.check()
            if pace.is_too_slow(at - before, time.monotonic()):
                raise SlowError(
                    f"gave up on {self._name}: slower than {deadlines.minimum_rate} bytes per "
                    "second",
                    hint="try again later; what the registry has by then is not sent again",
                )
            before = at
            self._sent(at)

        return watch

    def _close(self, body: "_Bytes") -> Placed:
        """Tell the registry that it has all of it."""
        if self._unsure and self._is_there():
            return Placed.SENT  # the answer to the last attempt was lost, and nothing else
        self._carried_on()
        while self._offset < self._blob.size:
            self._step(body)
        return self._finish(None)

    def _finish(self, whole: "_Bytes | None") -> Placed:
        """Close the upload; with all bytes, unless they are there already."""
        if whole and self._unsure and self._is_there():
            return Placed.SENT
        if self._location is None or (whole and self._unsure):
            self._start("")
        location = self._location or ""
        joint = "&" if urlsplit(location).query else "?"
        call = Call(
            url=f"{location}{joint}digest={quote(str(self._blob.digest), safe='')}",
            name=self._name,
            method="PUT",
            headers={"Content-Type": "application/octet-stream"},
            body=self._part(whole, 0, self._blob.size) if whole and self._blob.size else b"",
        )
        self._unsure = True
        with self._connection.open(call, "pull,push") as (_, response):
            if response.status_code in _LOST:
                raise AgainError("the registry has forgotten the upload")
            if response.status_code != requests.codes.created:
                raise self._connection.refusal(response, call)
            self._compare(response)
        return Placed.SENT

    def _carried_on(self) -> str:
        """Where to send to: the upload as it stands, or a new one where it is lost."""
        if self._location is not None and self._unsure:
            call = self._call("GET", self._location)
            with self._connection.open(call, "pull,push") as (_, response):
                if response.status_code == requests.codes.no_content:
                    self._location = self._led(call.url, response)
                    self._offset = self._taken(response, self._blob.size, otherwise=0)
                    self._unsure = False
                else:
                    self._location = None
        if self._location is None:
            self._start("")
        return self._location or ""

    def _taken(self, response: requests.Response, most: int, *, otherwise: int) -> int:
        """How many bytes the registry says that it has."""
        text = response.headers.get("Range", "")
        if not text:
            return otherwise
        found = _RANGE.fullmatch(text.strip())
        # `0-0` is what registries say of nothing at all, too.
        taken = 0 if found is None or found[1] == "0" else int(found[1]) + 1
        if found is None or taken > most:
            raise PublishError(
                f"cannot send {self._name}: the registry says that it has what was not sent",
                expected=f"at most {most} bytes",
                got=f"Range: {printable(text)}",
                hint="tell whoever runs the registry",
            )
        return taken

    def _led(self, url: str, response: requests.Response) -> str:
        """Where the registry leads the upload: nowhere but to itself."""
        location = response.headers.get("Location", "")
        target = urljoin(url, location)
        if not location or address.origin(target) != address.origin(url):
            raise PublishError(
                f"cannot send {self._name}: the registry leads the upload elsewhere",
                expected=f"an address on {self._connection.reference.host}",
                got=address.redact(target) if location else "no address",
                hint="a proxy in front of the registry must hand on host and scheme",
            )
        return target

    def _compare(self, response: requests.Response) -> None:
        announced = response.headers.get("Docker-Content-Digest")
        if announced is not None and announced != str(self._blob.digest):
            raise IntegrityError(
                f"{self._name}: the registry keeps other bytes than were sent",
                expected=self._blob.digest,
                got=printable(announced),
                hint="do not use this registry before somebody knows why",
            )

    def _call(self, method: str, url: str) -> Call:
        place = url or self._connection.address("/blobs/uploads/")
        return Call(url=place, name=self._name, method=method)


def is_there(connection: Connection, blob: Blob, actions: str = "pull") -> bool:
    """Ask once whether a repository has a blob, in its whole size.

    Raises:
        AgainError: it may be better next time.
        FetchError: the registry does not say.
    """
    name = f"the blob {blob.digest} of {connection.reference.name}"
    call = Call(url=connection.address(f"/blobs/{blob.digest}"), name=name, method="HEAD")
    with connection.open(call, actions) as (_, response):
        if response.status_code == requests.codes.ok:
            # Another size: the registry has a damaged one, and gets a whole one.
            return announced_length(response) == blob.size
        if response.status_code != requests.codes.not_found:
            raise connection.refusal(response, call)
    return False


class _Bytes:
    """The bytes of a blob, read from anywhere, each hashed once and in order."""

    def __init__(self, blob: Blob, content: Content) -> None:
        self._blob = blob
        self._file = content()
        self._hash = hashlib.sha256()
        self._hashed = 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read_at(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes; raises IntegrityError."""
        try:
            self._file.seek(offset)
            data = self._file.read(size)
        except OSError as error:
            raise self._changed(error.strerror or str(error)) from error
        if len(data) != size:
            raise self._changed(f"{offset + len(data)} bytes")
        if offset <= self._hashed < offset + size:
            self._hash.update(memoryview(data)[self._hashed - offset :])
            self._hashed = offset + size
        return data

    def check(self) -> None:
        """Compare all bytes with the digest; raises IntegrityError."""
        while self._hashed < self._blob.size:  # what the registry had already
            self.read_at(self._hashed, min(PIECE, self._blob.size - self._hashed))
        if self._hash.hexdigest() != self._blob.digest.hex:
            raise self._changed(f"sha256:{self._hash.hexdigest()}")
        self._file.seek(self._blob.size)
        if self._file.read(1):
            raise self._changed("more bytes")

    def _changed(self, got: str) -> IntegrityError:
        return IntegrityError(
            f"the blob {self._blob.digest} is damaged, or was changed while it was sent",
            expected=f"{self._blob.digest}, {self._blob.size} bytes",
            got=got,
            hint="build, pull or copy the image again",
        )


class _Chunk:
    """A part of a blob as the body of a request.

    `requests` asks for its length and reads it; it can begin again, because a token can expire
    between two chunks.
    """

    def __init__(self, body: _Bytes, start: int, end: int, watch: Sent) -> None:
        self._body = body
        self._start = start
        self._end = end
        self._at = start
        self._watch = watch

    def __len__(self) -> int:
        return self._end - self._start

    def seek(self, offset: int) -> int:
        """Begin again, or further on."""
        self._at = self._start + offset
        return offset

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        left = self._end - self._at
        data = self._body.read_at(self._at, left if size < 0 else min(size, left))
        self._at += len(data)
        self._watch(self._at)
        return data
