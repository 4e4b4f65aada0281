"""Repositories of manifests and blobs: the port, and what must hold for each manifest.

Adapters: `registry_client` (a registry) and `layout_registry` (a folder). OCI distribution
specification 1.1; OCI image specification 1.1, manifest.md and image-index.md.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, BinaryIO, Protocol

from hps import canonical
from hps.digest import Blob, Digest
from hps.errors import LimitError, MalformedError
from hps.oci.documents import DOCUMENT_LIMIT, Descriptor
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE
from hps.store.foreign_text import printable

DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_TYPES = frozenset({MANIFEST_TYPE, DOCKER_MANIFEST_TYPE})
INDEX_TYPES = frozenset({INDEX_TYPE, DOCKER_INDEX_TYPE})

MANIFEST_DEPTH = 32  # arrays and objects within each other
REFERRERS_LIMIT = 100  # referrers of one subject that are looked at

# Fields by which readers tell the kinds of documents apart; `blobs` is that of artifact manifests.
_TELLING = {"manifests", "config", "layers", "blobs", "fsLayers"}
# What clients wrote into descriptors of referrers before the specification said what belongs there.
_UNSPECIFIC = frozenset({None, "application/vnd.oci.empty.v1+json"})


@dataclass(frozen=True, slots=True)
class ManifestDocument:
    """A manifest or index whose bytes have been checked."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> Digest:
        """Of the bytes."""
        return Digest.of(self.data)

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests."""
        return self.media_type in INDEX_TYPES

    def as_json(self) -> dict[str, Any]:
        """The value; `check_document` has seen that it is an object."""
        value = canonical.loads(self.data, max_bytes=DOCUMENT_LIMIT, max_depth=MANIFEST_DEPTH)
        return dict(value)


@dataclass(frozen=True, slots=True)
class Referrers:
    """What says that it speaks of a subject: claims, until each manifest has been read.

    Args:
        descriptors: each digest once; those of the wanted artifact type first.
        left_out: there are more than hps looks at.
    """

    descriptors: tuple[Descriptor, ...] = ()
    left_out: bool = False


class Registry(Protocol):
    """One repository, for reading. What it gives has been compared with its digest."""

    @property
    def name(self) -> str:
        """The repository as the user gave it, for messages."""

    def manifest(self, wanted: Digest | str) -> ManifestDocument:
        """A manifest or index by digest or by tag.

        Raises:
            NotFoundError: there is none.
            FetchError: it could not be had.
            IntegrityError: other bytes than the digest says, or no proper manifest.
        """

    def stream(
        self, blob: Blob, sink: Callable[[bytes], object], restart: Callable[[], object]
    ) -> None:
        """Hand a blob to `sink` in pieces; the digest is compared at the end, so that the sink
        must not be trusted before this returns. Raises as `manifest`.

        Args:
            blob: digest and size; both must hold.
            sink: takes the pieces.
            restart: makes the sink forget what it has.
        """  # noqa: D205 - one sentence, and it must be read

    def read(self, blob: Blob, limit: int) -> bytes:
        """A small blob in memory; raises as `manifest`.

        Raises:
            LimitError: it says of itself that it has more than `limit` bytes.
        """

    def referrers(self, subject: Digest, artifact_type: str | None = None) -> Referrers:
        """The manifests that speak of another, at most REFERRERS_LIMIT.

        Args:
            subject: what they speak of.
            artifact_type: only these, and those whose type is not said.

        Raises:
            FetchError: they could not be listed; having none is no error.
            IntegrityError: the list is larger than a manifest may be.
        """

    def abandon(self) -> None:
        """End what other threads are doing with it; nothing works with it any more."""


class Placed(StrEnum):
    """How a blob came to be where it was wanted."""

    THERE = "there"  # it was there already
    MOUNTED = "mounted"  # the registry had it in another repository
    SENT = "sent"


class WritableRegistry(Registry, Protocol):
    """One repository, for writing too."""

    def has(self, blob: Blob) -> bool:
        """Whether a blob is there, in its whole size; raises as `manifest`."""

    def upload(
        self,
        blob: Blob,
        content: Callable[[], BinaryIO],
        *,
        mounts: Sequence[str] = (),
        sent: Callable[[int], object] = lambda _: None,
    ) -> Placed:
        """Put a blob there, unless it is.

        Args:
            blob: digest and size.
            content: opens the bytes, which can be sought; hashed as they are sent.
            mounts: repositories of the same registry that may have the blob.
            sent: is called with how many bytes are there; the number may fall.

        Raises:
            PublishError: the registry refused it.
            IntegrityError: the content is not the blob, or the registry says that it keeps other
                bytes.
        """

    def put(self, document: ManifestDocument, tag: str | None = None) -> None:
        """Put a manifest there, under its digest or a tag; what it names must be there already.

        Raises:
            PublishError: the registry refused it.
            IntegrityError: the registry says that it keeps other bytes.
        """

    def update(
        self, tag: str, change: Callable[[ManifestDocument | None], ManifestDocument]
    ) -> ManifestDocument:
        """Change what a tag names, on top of what others did meanwhile; gives what it names now.

        Args:
            tag: need not exist.
            change: makes the new document from the present one; called again when somebody else
                was faster, so it must add what is missing and nothing twice.

        Raises:
            PublishError: the registry refused, or others keep changing the tag.
        """


def check_limit(blob: Blob, limit: int, name: str) -> None:
    """Refuse a blob that is larger than what it should be can be.

    Args:
        blob: as somebody described it.
        limit: bytes.
        name: of where it lies, for the message.

    Raises:
        LimitError: it is.
    """
    if blob.size > limit:
        raise LimitError(
            f"the blob {blob.digest} of {name} is too large for what it should be",
            expected=f"at most {limit} bytes",
            got=f"{blob.size} bytes",
        )


def check_document(name: str, media_type: str, data: bytes) -> ManifestDocument:
    """A manifest or index whose shape and types agree.

    One document that two readers take for different things is an attack (CVE-2021-41190), so the
    media type of the transport, the one inside, and the fields must say the same.

    Args:
        name: for messages.
        media_type: as the transport has it; parameters are left out.
        data: the bytes.

    Raises:
        MalformedError: they do not agree, or it is no strict JSON.
    """
    media_type = media_type.partition(";")[0].strip().lower()
    document = ManifestDocument(media_type, data)
    if media_type not in MANIFEST_TYPES | INDEX_TYPES:
        raise _fault(
            name, "the type of an image manifest or index", printable(media_type) or "none"
        )
    try:
        value = canonical.loads(data, max_bytes=DOCUMENT_LIMIT, max_depth=MANIFEST_DEPTH)
    except ValueError as error:
        raise _fault(name, "strict JSON", printable(str(error))) from error
    if not isinstance(value, dict) or value.get("schemaVersion") != 2:  # noqa: PLR2004 - the only one
        raise _fault(name, "schemaVersion 2", "something else")
    inside = value.get("mediaType", media_type)
    if inside != media_type:
        raise _fault(name, f"mediaType {media_type}", printable(str(inside)))
    fields = {"manifests": list} if document.is_index else {"config": dict, "layers": list}
    for key, kind in fields.items():
        if not isinstance(value.get(key), kind):
            raise _fault(name, f"the fields of {media_type}", f"no proper {key}")
    if foreign := sorted(value.keys() & (_TELLING - fields.keys())):
        raise _fault(name, f"the fields of {media_type} and no others", ", ".join(foreign))
    return document


def select_referrers(
    entries: Iterable[object], artifact_type: str | None, limit: int = REFERRERS_LIMIT
) -> Referrers:
    """Choose from what indexes list: each digest once, the wanted type first, at most `limit`.

    An entry that cannot be read is passed over: a stranger who may push must not be able to hide
    a good one behind it.
    """
    exact: dict[Digest, Descriptor] = {}
    unspecific: dict[Digest, Descriptor] = {}
    for entry in entries:
        try:
            found = Descriptor.from_json(entry, "entry")
        except ValueError:
            continue
        if found.media_type not in MANIFEST_TYPES:
            continue
        if artifact_type is None or found.artifact_type == artifact_type:
            exact.setdefault(found.digest, found)
        elif found.artifact_type in _UNSPECIFIC:
            unspecific.setdefault(found.digest, found)
    rest = [each for digest, each in unspecific.items() if digest not in exact]
    chosen = (*exact.values(), *rest)
    return Referrers(chosen[:limit], left_out=len(chosen) > limit)


def _fault(name: str, expected: str, got: str) -> MalformedError:
    return MalformedError(
        f"{name} is not an image manifest or index that hps can trust",
        expected=expected,
        got=got,
        hint="do not use it; ask who published it",
    )
