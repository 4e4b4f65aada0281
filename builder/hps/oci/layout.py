"""The OCI image layout on disk: written whole, read with suspicion.

Follows the OCI image specification 1.1, image-layout.md. A `manifest.json` beside it lets Docker
20.10 load the same files with the same image ID.
"""

import errno
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from hps import canonical
from hps.digest import Blob, Digest
from hps.errors import (
    BlobMissingError,
    BuildError,
    IntegrityError,
    StoreCorruptError,
    UsageError,
)
from hps.oci.directory import replacing
from hps.oci.image import (
    LAYER_TYPE,
    MANIFEST_TYPE,
    REFERENCE_ANNOTATION,
    Image,
    docker_manifest,
    index,
)

PIECE = 1 << 20  # bytes read or written at once
_DOCUMENT_LIMIT = 4 << 20  # what registries accept for a manifest
_FICLONE = 0x40049409  # ioctl_ficlone(2)
_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES}

BlobPath = Callable[[Digest], Path]


def documents(images: Sequence[Image]) -> dict[str, bytes]:
    """All files of a layout that are not layers: path to content.

    Raises:
        ValueError: two images carry one reference.
    """
    found = {
        "oci-layout": canonical.dumps({"imageLayoutVersion": "1.0.0"}),
        "index.json": index(images),
        "manifest.json": docker_manifest(images),
    }
    for image in images:
        found[blob_name(image.image_id)] = image.config
        found[blob_name(image.digest)] = image.manifest
    return found


def layers(images: Iterable[Image]) -> tuple[Blob, ...]:
    """The layers of all images, each once, sorted by digest."""
    found = {layer.digest: layer for image in images for layer in image.layers}
    return tuple(found[digest] for digest in sorted(found))


def blob_name(digest: Digest) -> str:
    """Where a blob lies in a layout."""
    return f"blobs/sha256/{digest.hex}"


def write_layout(destination: Path, images: Sequence[Image], blob_path: BlobPath) -> None:
    """Write a layout, or replace one; the old one stays until the new one is whole.

    Layers are hard-linked from the store where that is possible, else cloned, else copied and
    hashed on the way.

    Args:
        destination: a folder; made with its parents.
        images: with distinct references.
        blob_path: where the verified blob of a layer lies.

    Raises:
        UsageError: the destination is something else than a layout or an empty folder.
        BlobMissingError: a layer is not in the store.
        StoreCorruptError: a layer has other bytes or another size than announced.
        BuildError: the files cannot be written.
    """
    contents = documents(images)
    _refuse_foreign(destination)
    try:
        with replacing(destination) as folder:
            (folder / "blobs" / "sha256").mkdir(parents=True)
            for name, data in contents.items():
                _write(folder / name, data)
            for layer in layers(images):
                _place(blob_path(layer.digest), folder / blob_name(layer.digest), layer)
            _sync_folders(folder)
    except OSError as error:
        raise BuildError(
            f"the image layout {destination} cannot be written: {error.strerror or error}",
            hint="make room or choose another folder; what was there before is unchanged",
        ) from error


def read_layout(folder: Path) -> tuple[Image, ...]:
    """The images of a layout, in the order of its index; layers are not opened.

    Raises:
        UsageError: there is no layout, or it holds something else than image manifests.
        IntegrityError: a document is damaged or contradicts another.
    """
    if not (folder / "oci-layout").is_file():
        raise UsageError(
            f"{folder} is not an OCI image layout", hint="`hps build` writes one for each target"
        )
    _parse(_Version, folder / "oci-layout", _read_document(folder / "oci-layout"))
    path = folder / "index.json"
    found = _parse(_Index, path, _read_document(path))
    return tuple(_read_image(folder, entry) for entry in found.manifests)


def check_layout(folder: Path) -> tuple[Image, ...]:
    """Read a layout and hash every blob of it.

    Raises:
        UsageError: as `read_layout`.
        IntegrityError: blobs are damaged, missing or not named by any image, or `manifest.json`
            names others than `index.json`; `details` has a line for each.
    """
    images = read_layout(folder)
    expected = {layer.digest.hex: layer.size for layer in layers(images)}
    for image in images:
        expected[image.image_id.hex] = len(image.config)
        expected[image.digest.hex] = len(image.manifest)
    blobs = folder / "blobs"
    found = {
        path.relative_to(blobs).as_posix() for path in blobs.rglob("*") if not path.is_dir()
    } - {f"sha256/{name}" for name in expected}
    faults = [f"blobs/{name}: no image names it" for name in sorted(found)]
    for name, size in sorted(expected.items()):
        fault = _blob_fault(folder / blob_name(Digest(name)), Digest(name), size)
        faults += [fault] if fault else []
    faults += _docker_faults(folder, images)
    if faults:
        raise IntegrityError(
            f"the image layout {folder} is not what its index says",
            hint="remove it and build it again; nothing of it should be used",
            details=tuple(faults),
        )
    return images


class _Document(BaseModel):
    """Part of a JSON document: unknown fields are allowed by the specification."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


_Digest = Annotated[Digest, PlainValidator(lambda text: Digest.parse(str(text)))]


class _Platform(_Document):
    architecture: str
    os: str
    variant: str | None = None


class _Descriptor(_Document):
    media_type: str = Field(alias="mediaType")
    digest: _Digest
    size: int = Field(ge=0, lt=2**50)
    annotations: dict[str, str] = Field(default_factory=dict)


class _Version(_Document):
    version: Literal["1.0.0"] = Field(alias="imageLayoutVersion")


class _Index(_Document):
    version: Literal[2] = Field(alias="schemaVersion")
    manifests: tuple[_Descriptor, ...]


class _Manifest(_Document):
    version: Literal[2] = Field(alias="schemaVersion")
    config: _Descriptor
    layers: tuple[_Descriptor, ...]


class _RootFs(_Document):
    type: Literal["layers"]
    diff_ids: tuple[_Digest, ...]


class _Config(_Platform):
    rootfs: _RootFs


class _DockerImage(_Document):
    config: str = Field(alias="Config")
    layers: tuple[str, ...] = Field(alias="Layers")


class _DockerManifest(_Document):
    images: tuple[_DockerImage, ...]


_Model = TypeVar("_Model", bound=BaseModel)


def _parse(model: type[_Model], path: Path, data: bytes) -> _Model:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'document'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_context=False)
        ]
        raise IntegrityError(
            f"{path} does not follow the OCI image specification", details=tuple(faults)
        ) from error


def _read_image(folder: Path, entry: _Descriptor) -> Image:
    path = folder / blob_name(entry.digest)
    if entry.media_type != MANIFEST_TYPE:
        raise UsageError(
            f"{folder} holds something else than an image",
            expected=MANIFEST_TYPE,
            got=entry.media_type,
            hint="copy one platform of it with another tool, and use that",
        )
    manifest_bytes = _read_blob(path, entry)
    parsed = _parse(_Manifest, path, manifest_bytes)
    config_path = folder / blob_name(parsed.config.digest)
    config_bytes = _read_blob(config_path, parsed.config)
    config = _parse(_Config, config_path, config_bytes)
    _check_diff_ids(config_path, parsed.layers, config.rootfs.diff_ids)
    parts = (config.os, config.architecture, config.variant)
    return Image(
        reference=entry.annotations.get(REFERENCE_ANNOTATION),
        platform="/".join(part for part in parts if part),
        config=config_bytes,
        manifest=manifest_bytes,
        layers=tuple(Blob(layer.digest, layer.size) for layer in parsed.layers),
    )


def _check_diff_ids(path: Path, found: Sequence[_Descriptor], diff_ids: Sequence[Digest]) -> None:
    if len(found) != len(diff_ids):
        raise IntegrityError(
            f"{path} and the manifest disagree about the number of layers",
            expected=len(diff_ids),
            got=len(found),
        )
    for layer, diff_id in zip(found, diff_ids, strict=True):
        if layer.media_type == LAYER_TYPE and layer.digest != diff_id:
            raise IntegrityError(
                f"{path} gives an uncompressed layer another diff_id than its digest",
                expected=diff_id,
                got=layer.digest,
            )


def _read_blob(path: Path, descriptor: _Descriptor) -> bytes:
    data = _read_document(path)
    if len(data) != descriptor.size or Digest.of(data) != descriptor.digest:
        raise IntegrityError(
            f"{path} is damaged",
            expected=f"{descriptor.digest}, {descriptor.size} bytes",
            got=f"{Digest.of(data)}, {len(data)} bytes",
        )
    return data


def _read_document(path: Path) -> bytes:
    try:
        with _open_regular(path) as reader:
            data = reader.read(_DOCUMENT_LIMIT + 1)
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > _DOCUMENT_LIMIT:
        raise IntegrityError(
            f"{path} is too large", expected=f"at most {_DOCUMENT_LIMIT} bytes", got="more"
        )
    return data


def _open_regular(path: Path) -> BufferedReader:
    """Open a file for reading; a pipe or device in its place must not block or be read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def _blob_fault(path: Path, digest: Digest, size: int) -> str | None:
    name = blob_name(digest)
    try:
        with _open_regular(path) as reader:
            got = os.fstat(reader.fileno()).st_size
            if got != size:
                return f"{name}: {got} bytes instead of {size}"
            actual = hashlib.file_digest(reader, "sha256").hexdigest()
    except FileNotFoundError:
        return f"{name}: missing"
    except OSError as error:
        return f"{name}: cannot be read: {error.strerror or error}"
    return None if actual == digest.hex else f"{name}: damaged, its digest is sha256:{actual}"


def _docker_faults(folder: Path, images: Sequence[Image]) -> list[str]:
    """Docker follows manifest.json where others follow index.json: both must say the same."""
    path = folder / "manifest.json"
    if not path.exists():
        return []
    data = b'{"images":' + _read_document(path) + b"}"
    got = {(item.config, item.layers) for item in _parse(_DockerManifest, path, data).images}
    expected = {
        (str(item["Config"]), tuple(item["Layers"])) for item in json.loads(docker_manifest(images))
    }
    return [] if got == expected else ["manifest.json: names other images than index.json"]


def _refuse_foreign(destination: Path) -> None:
    if not destination.exists() or (destination / "oci-layout").is_file():
        return
    if destination.is_dir() and not any(destination.iterdir()):
        return
    raise UsageError(
        f"{destination} exists and is not an OCI image layout",
        hint="choose another folder; hps replaces only what it could have written",
    )


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as writer:
        writer.write(data)
        writer.flush()
        os.fsync(writer.fileno())


def _place(source: Path, target: Path, layer: Blob) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError as error:
        raise BlobMissingError(
            f"the layer {layer.digest} is not in the store", hint="`hps build` makes it again"
        ) from error
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        _copy(source, target, layer)
    size = target.stat().st_size
    if size != layer.size:
        raise _corrupt(layer, f"it has {size} bytes instead of {layer.size}")


def _copy(source: Path, target: Path, layer: Blob) -> None:
    with source.open("rb") as reader, target.open("xb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
        except OSError:  # one of many codes: the file systems cannot share blocks
            hasher = hashlib.sha256()
            while piece := reader.read(PIECE):
                hasher.update(piece)
                writer.write(piece)
            if hasher.hexdigest() != layer.digest.hex:
                raise _corrupt(layer, f"its digest is sha256:{hasher.hexdigest()}") from None
        writer.flush()
        os.fsync(writer.fileno())
    target.chmod(0o444)


def _corrupt(layer: Blob, fault: str) -> StoreCorruptError:
    return StoreCorruptError(
        f"the layer {layer.digest} cannot be used: {fault}",
        hint="run `hps store verify`, then `hps build` again: it is made anew",
    )


def _sync_folders(folder: Path) -> None:
    for path in (folder / "blobs" / "sha256", folder / "blobs"):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
