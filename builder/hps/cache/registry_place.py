"""A repository in a registry as a place of a shared cache.

A document is a manifest with a tag: its first layer is the document, inline too (image
specification 1.1, descriptor.md, `data`), so that it takes one request; the others are the blobs
that it speaks of, because registries collect what no manifest names.
"""

import base64
import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from hps import canonical
from hps.cache.place import ReadOnlyError
from hps.digest import Blob, Digest
from hps.errors import (
    FetchError,
    IntegrityError,
    LimitError,
    MalformedError,
    NotFoundError,
    PublishError,
)
from hps.oci.image import MANIFEST_TYPE
from hps.oci.registry import ManifestDocument
from hps.oci.registry_client import RegistryClient
from hps.oci.registry_connection import DeniedError
from hps.oci.shape import Members, items
from hps.store.transfer import Sink
from hps.trust.encoding import to_base64

ARTIFACT_TYPE = "application/vnd.hps.cache.v1"
DOCUMENT_TYPE = "application/vnd.hps.cache.document.v1+json"
BLOB_TYPE = "application/vnd.hps.cache.blob.v1"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"  # image specification 1.1, manifest.md
_EMPTY = b"{}"
_MOST_LAYERS = 100


class RegistryPlace:
    """See `hps.cache.place.Place`.

    Args:
        connect: makes a client of the repository; each thread has its own, because limits of time
            hold for a whole client.
        seconds: that one document may take.
    """

    def __init__(self, connect: Callable[[], RegistryClient], seconds: float) -> None:
        self._connect = connect
        self._seconds = seconds
        self._own = threading.local()
        self._guard = threading.Lock()
        self._clients: list[RegistryClient] = []
        self._abandoned = False
        self._empty_sent = False
        self.name = self._client.name

    def read(self, document: str, limit: int) -> bytes | None:
        """See `Place`."""
        client = self._client
        with client.within(self._seconds, document):
            try:
                manifest = client.manifest(_tag(document))
            except NotFoundError:
                return None
            blob, data = _inline(manifest, document)
            if blob.size > limit:
                raise LimitError(
                    f"{document} of {self.name} is too large",
                    expected=f"at most {limit} bytes",
                    got=f"{blob.size} bytes",
                )
            return client.read(blob, limit) if data is None else data

    def prepare(self) -> None:
        """See `Place`; a registry makes its own repositories."""

    def write(self, document: str, data: bytes, names: tuple[Blob, ...] = ()) -> None:
        """See `Place`."""
        client = self._client
        own = Blob(Digest.of(data), len(data))
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": _descriptor(_EMPTY_TYPE, Blob(Digest.of(_EMPTY), len(_EMPTY)), _EMPTY),
            "layers": [
                _descriptor(DOCUMENT_TYPE, own, data),
                *(_descriptor(BLOB_TYPE, blob) for blob in names),
            ],
        }
        with _writing():
            for each in (data,) if self._empty_sent else (_EMPTY, data):
                client.upload(Blob(Digest.of(each), len(each)), lambda each=each: io.BytesIO(each))  # type: ignore[misc] # mypy infers no type for a default of a lambda
            self._empty_sent = True
            client.put(ManifestDocument(MANIFEST_TYPE, canonical.dumps(manifest)), _tag(document))

    def has(self, blob: Blob) -> bool:
        """See `Place`."""
        return self._client.has(blob)

    def upload(self, blob: Blob, content: Path) -> bool:
        """See `Place`."""
        client = self._client
        with _writing():
            if client.has(blob):
                return False
            client.upload(blob, lambda: content.open("rb"))
            return True

    def stream(self, blob: Blob, sink: Sink, restart: Callable[[], object]) -> None:
        """See `Place`; a registry names blobs by digest, so that this one is compared as well."""
        self._client.stream(blob, sink, restart)

    def abandon(self) -> None:
        """See `Place`."""
        with self._guard:
            self._abandoned = True
            for client in self._clients:
                client.abandon()

    def close(self) -> None:
        """See `Place`."""
        with self._guard:
            for client in self._clients:
                client.close()

    @property
    def _client(self) -> RegistryClient:
        client: RegistryClient | None = getattr(self._own, "client", None)
        if client is None:
            client = self._own.client = self._connect()
            with self._guard:
                self._clients.append(client)
        if self._abandoned:
            raise FetchError(f"{client.name} was given up")
        return client


def _tag(document: str) -> str:
    """A document's name as a tag, which has at most 128 characters and no slash."""
    return document.replace("/", "-")


def _descriptor(media_type: str, blob: Blob, data: bytes | None = None) -> dict[str, object]:
    found: dict[str, object] = {
        "mediaType": media_type,
        "digest": str(blob.digest),
        "size": blob.size,
    }
    if data is not None:
        found["data"] = to_base64(data)
    return found


def _inline(manifest: ManifestDocument, document: str) -> tuple[Blob, bytes | None]:
    """The document that a manifest carries, and its bytes when they are inside.

    Raises:
        MalformedError: it carries none.
        IntegrityError: the bytes inside are not what the manifest says.
    """
    try:
        layers = items(manifest.as_json()["layers"], "layers", most=_MOST_LAYERS, least=1)
        found = Members(layers[0], "layers.0")
        found.constant("mediaType", DOCUMENT_TYPE)
        blob = Blob(found.digest("digest"), found.whole("size", below=1 << 32))
        text = found.text_or_none("data")
        data = None if text is None else base64.b64decode(text, validate=True)
    except (ValueError, KeyError) as error:
        raise MalformedError(f"the manifest of {document} carries none", got=error) from error
    if data is not None and Blob(Digest.of(data), len(data)) != blob:
        raise IntegrityError(
            f"{document}: the bytes inside its manifest are not what it says",
            expected=blob.digest,
            got=Digest.of(data),
        )
    return blob, data


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Tell who may only read from what failed."""
    try:
        yield
    except PublishError as error:
        if isinstance(error.__cause__, DeniedError):
            raise ReadOnlyError(
                error.message, hint=error.hint, details=error.details, got=error.got
            ) from error
        raise
    except FetchError as error:
        kind = ReadOnlyError if isinstance(error, DeniedError) else PublishError
        raise kind(error.message, hint=error.hint, details=error.details) from error
