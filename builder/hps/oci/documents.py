"""The JSON documents of an image layout as they come from outside: read with suspicion.

OCI image specification 1.1: image-layout.md, image-index.md, manifest.md, config.md.
"""

import errno
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Protocol, Self, TypeVar

from hps import canonical
from hps.digest import Digest
from hps.errors import IntegrityError, LimitError, MalformedError
from hps.oci.image import REFERENCE_ANNOTATION
from hps.oci.shape import Members, text

DOCUMENT_LIMIT = 4 << 20  # what registries accept for a manifest

_LARGEST_BLOB = 2**50  # bytes
_LAYOUT_VERSION = "1.0.0"
_SCHEMA_VERSION = 2

Opener = Callable[[Path], BinaryIO]


class Document(Protocol):
    """What a JSON document says, as far as it is looked at.

    Plain classes, not models: `hps verify` would spend more time on importing those than on
    reading all documents of a layout. Unknown fields are allowed by the specification.
    """

    @classmethod
    def from_json(cls, value: object, where: str) -> Self:
        """Read what `canonical.loads` gave; raises ValueError that begins with `where`."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob or manifest by digest, size and type (descriptor.md)."""

    media_type: str
    digest: Digest
    size: int  # in bytes
    artifact_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str | None:
        """Under which name a layout lists it (annotations.md)."""
        return self.annotations.get(REFERENCE_ANNOTATION)

    @classmethod
    def from_json(cls, value: object, where: str) -> Self:
        """See Document."""
        found = Members(value, where)
        return cls(
            found.text("mediaType"),
            found.digest("digest"),
            found.whole("size", below=_LARGEST_BLOB),
            found.text_or_none("artifactType"),
            found.texts("annotations"),
        )


@dataclass(frozen=True, slots=True)
class Version:
    """The file `oci-layout`."""

    @classmethod
    def from_json(cls, value: object, where: str) -> Self:
        """See Document."""
        Members(value, where).constant("imageLayoutVersion", _LAYOUT_VERSION)
        return cls()


@dataclass(frozen=True, slots=True)
class Index:
    """An image index, such as `index.json`."""

    manifests: tuple[Descriptor, ...]

    @classmethod
    def from_json(cls, value: object, where: str) -> Self:
        """See Document."""
        found = Members(value, where)
        found.constant("schemaVersion", _SCHEMA_VERSION)
        return cls(found.each("manifests", Descriptor.from_json))


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest, also one that carries something else than an image."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str | None = None
    subject: Descriptor | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: object, where: str) -> Self:
        """See Document."""
        found = Members(value, where)
        found.constant("schemaVersion", _SCHEMA_VERSION)
        return cls(
            found.one("config", Descriptor.from_json),
            found.each("layers", Descriptor.from_json),
            found.text_or_none("artifactType"),
            found.one("subject", Descriptor.from_json) if found.has("subject") else None,
            found.texts("annotations"),
        )


@dataclass(frozen=True, slots=True)
class Config:
    """An image configuration, as far as it is looked at."""

    architecture: str
    os: str
    variant: str | None
    diff_ids: tuple[Digest, ...]

    @classmethod
    def from_json(cls, value: object, where: str) -> Self:
        """See Document."""
        found = Members(value, where)
        root = found.one("rootfs", Members)
        root.constant("type", "layers")
        return cls(
            found.text("architecture"),
            found.text("os"),
            found.text_or_none("variant"),
            root.digests("diff_ids"),
        )


@dataclass(frozen=True, slots=True)
class DockerImage:
    """One image of Docker's `manifest.json`."""

    config: str
    layers: tuple[str, ...]
    tags: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: object, where: str) -> Self:
        """See Document."""
        found = Members(value, where)
        tags = found.each("RepoTags", text) if found.has("RepoTags") else ()
        return cls(found.text("Config"), found.each("Layers", text), tags)


@dataclass(frozen=True, slots=True)
class DockerManifest:
    """Docker's `manifest.json`, a list, wrapped in an object by its reader."""

    images: tuple[DockerImage, ...]

    @classmethod
    def from_json(cls, value: object, where: str) -> Self:
        """See Document."""
        return cls(Members(value, where).each("images", DockerImage.from_json))


_Document = TypeVar("_Document", bound=Document)


def parse(kind: type[_Document], path: Path, data: bytes) -> _Document:
    """Read a document; what two readers could see differently is refused.

    Raises:
        MalformedError: it is not strict JSON, or not such a document.
    """
    try:
        value = canonical.loads(data)
    except ValueError as error:
        raise MalformedError(f"{path} is not JSON that can be trusted", got=error) from error
    try:
        return kind.from_json(value, "document")
    except ValueError as error:
        raise MalformedError(
            f"{path} does not follow the OCI image specification", details=(str(error),)
        ) from error


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading; a pipe or device in its place must not block or be read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_blob(
    path: Path,
    descriptor: Descriptor,
    *,
    limit: int = DOCUMENT_LIMIT,
    opener: Opener = open_regular,
) -> bytes:
    """The bytes that a descriptor names; raises IntegrityError for any others."""
    data = read_document(path, limit=limit, opener=opener)
    if len(data) != descriptor.size or Digest.of(data) != descriptor.digest:
        raise IntegrityError(
            f"{path} is damaged",
            expected=f"{descriptor.digest}, {descriptor.size} bytes",
            got=f"{Digest.of(data)}, {len(data)} bytes",
        )
    return data


def read_document(
    path: Path, *, limit: int = DOCUMENT_LIMIT, opener: Opener = open_regular
) -> bytes:
    """A regular file of at most `limit` bytes; raises IntegrityError otherwise."""
    try:
        with opener(path) as reader:
            data = reader.read(limit + 1)
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > limit:
        raise LimitError(f"{path} is too large", expected=f"at most {limit} bytes", got="more")
    return data
