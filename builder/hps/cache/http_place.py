"""A plain HTTP server as a place of a shared cache: GET, HEAD and, where it takes it, PUT.

RFC 9110, sections 9.3.1 to 9.3.4. Credentials are those of the user's netrc file; proxies and
certificate bundles are those of the environment.
"""

import base64
import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn, TypeVar

import requests

from hps.cache.place import ReadOnlyError
from hps.digest import Blob, Digest
from hps.errors import FetchError, NotFoundError, PublishError
from hps.store import url as address
from hps.store.cancellation import Cancellation
from hps.store.http import Http
from hps.store.retry import Deadlines
from hps.store.sending import publishing
from hps.store.transfer import Sink
from hps.store.transport import Call, Transport, announced_length, raise_if_passing, said

_DONE = frozenset({200, 201, 204})
_MISSING = frozenset({404, 410})
# What servers answer that serve files and nothing else, or take them from others only.
_READ_ONLY = frozenset({401, 403, 405, 501})
_HINT = "the work can be done without a cache: --no-cache"

_Result = TypeVar("_Result")


class HttpPlace:
    """See `hps.cache.place.Place`.

    A PUT that was cut off may leave a part of a file on servers that write in place. A part has
    another size, so that the next who pushes replaces it and nobody takes it for the whole.

    Args:
        base: address of the folder.
        deadlines: of each request.
    """

    def __init__(self, base: str, deadlines: Deadlines) -> None:
        self._base = base
        self._deadlines = deadlines
        self._http = Http(deadlines)
        self._transport = Transport()
        self._work = Cancellation()

    @property
    def name(self) -> str:
        """See `Place`."""
        return address.redact(self._base)

    def read(self, document: str, limit: int) -> bytes | None:
        """See `Place`."""
        url = self._document(document)
        try:
            return self._http.page(url, "application/json", limit, self._work).body
        except NotFoundError:
            return None

    def prepare(self) -> None:
        """See `Place`; a server makes its own folders."""

    def write(self, document: str, data: bytes, names: tuple[Blob, ...] = ()) -> None:
        """See `Place`."""
        del names  # a server collects nothing
        blob = Blob(Digest.of(data), len(data))
        self._put(self._document(document), "application/json", blob, lambda: io.BytesIO(data))

    def has(self, blob: Blob) -> bool:
        """See `Place`."""
        call = Call(url=self._blob(blob), method="HEAD")

        def attempt() -> bool:
            with self._asked(call) as response:
                if response.status_code in _MISSING:
                    return False
                if response.status_code == requests.codes.ok:
                    return announced_length(response) == blob.size
                raise_if_passing(response)
                raise FetchError(f"cannot fetch {call.title}: {said(response)}", hint=_HINT)

        return self._persist(call, attempt)

    def upload(self, blob: Blob, content: Path) -> bool:
        """See `Place`."""
        with publishing():
            if self.has(blob):
                return False
        self._put(self._blob(blob), "application/octet-stream", blob, lambda: content.open("rb"))
        return True

    def stream(self, blob: Blob, sink: Sink, restart: Callable[[], object]) -> None:
        """See `Place`; what was interrupted is carried on where the server has strong ETags."""
        self._http.stream(
            self._blob(blob),
            sink,
            limit=blob.size,
            exact=True,
            restart=restart,
            cancellation=self._work,
        )

    def abandon(self) -> None:
        """See `Place`."""
        self._work.cancel()

    def close(self) -> None:
        """See `Place`."""
        self._http.close()
        self._transport.close()

    def _document(self, name: str) -> str:
        return address.join(self._base, *f"{name}.json".split("/"))

    def _blob(self, blob: Blob) -> str:
        return address.join(self._base, "v1", "blobs", "sha256", blob.digest.hex)

    def _put(self, url: str, kind: str, blob: Blob, content: Callable[[], BinaryIO]) -> None:
        digest = base64.b64encode(bytes.fromhex(blob.digest.hex)).decode()
        # RFC 9530: who checks it finds a broken copy.
        headers = {"Content-Type": kind, "Repr-Digest": f"sha-256=:{digest}:"}

        def attempt() -> None:
            with content() as body:
                sent = body if blob.size else b""
                call = Call(url=url, method="PUT", headers=headers, body=sent)
                with self._asked(call) as response:
                    if response.status_code not in _DONE:
                        _refuse(response, call)

        with publishing():
            self._persist(Call(url=url, method="PUT"), attempt)

    def _persist(self, call: Call, attempt: Callable[[], _Result]) -> _Result:
        return self._transport.persist(call, attempt, self._deadlines, self._work, hint=_HINT)

    @contextlib.contextmanager
    def _asked(self, call: Call) -> Iterator[requests.Response]:
        with self._transport.open(call, self._deadlines, self._work) as (_, response):
            yield response


def _refuse(response: requests.Response, call: Call) -> NoReturn:
    kind = ReadOnlyError if response.status_code in _READ_ONLY else PublishError
    if kind is PublishError:
        raise_if_passing(response)
    raise kind(
        f"cannot send {call.title}: {said(response)}",
        hint="a server that takes PUT there, or credentials for it in your netrc file; servers "
        "without PUT are filled another way: push to a folder, and let the server show it",
    )
