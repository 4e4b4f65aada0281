"""The JSON documents of an image layout as they come from outside: read with suspicion.

OCI image specification 1.1: image-layout.md, image-index.md, manifest.md, config.md.
"""

import errno
import os
import stat
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from hps import canonical
from hps.digest import Digest
from hps.errors import IntegrityError, LimitError, MalformedError

DOCUMENT_LIMIT = 4 << 20  # what registries accept for a manifest

Opener = Callable[[Path], BinaryIO]


class Document(BaseModel):
    """Part of a JSON document: unknown fields are allowed by the specification."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


_Digest = Annotated[Digest, PlainValidator(lambda text: Digest.parse(str(text)))]


class Platform(Document):
    """For what machines an image is."""

    architecture: str
    os: str
    variant: str | None = None


class Descriptor(Document):
    """A blob or manifest by digest, size and type (descriptor.md)."""

    media_type: str = Field(alias="mediaType")
    digest: _Digest
    size: int = Field(ge=0, lt=2**50)
    artifact_type: str | None = Field(None, alias="artifactType")
    annotations: dict[str, str] = Field(default_factory=dict)


class Version(Document):
    """The file `oci-layout`."""

    version: Literal["1.0.0"] = Field(alias="imageLayoutVersion")


class Index(Document):
    """An image index, such as `index.json`."""

    version: Literal[2] = Field(alias="schemaVersion")
    manifests: tuple[Descriptor, ...]


class Manifest(Document):
    """An image manifest, also one that carries something else than an image."""

    version: Literal[2] = Field(alias="schemaVersion")
    artifact_type: str | None = Field(None, alias="artifactType")
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    annotations: dict[str, str] = Field(default_factory=dict)


class RootFs(Document):
    """The layers of an image, uncompressed."""

    type: Literal["layers"]
    diff_ids: tuple[_Digest, ...]


class Config(Platform):
    """An image configuration, as far as it is looked at."""

    rootfs: RootFs


class DockerImage(Document):
    """One image of Docker's `manifest.json`."""

    config: str = Field(alias="Config")
    layers: tuple[str, ...] = Field(alias="Layers")


class DockerManifest(Document):
    """Docker's `manifest.json`, a list, wrapped in an object by its reader."""

    images: tuple[DockerImage, ...]


_Model = TypeVar("_Model", bound=BaseModel)


def parse(model: type[_Model], path: Path, data: bytes) -> _Model:
    """Read a document; raises MalformedError with a line for each fault."""
    try:
        canonical.loads(data)  # what two readers could see differently is refused
        return model.model_validate_json(data)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'document'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_context=False)
        ]
        raise MalformedError(
            f"{path} does not follow the OCI image specification", details=tuple(faults)
        ) from error
    except ValueError as error:
        raise MalformedError(f"{path} is not JSON that can be trusted", got=error) from error


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
