"""The OCI image layout on disk: written whole, read with suspicion.

Follows the OCI image specification 1.1, image-layout.md. A `manifest.json` beside it lets Docker
20.10 load the same files with the same image ID.
"""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hps import canonical
from hps.digest import Blob, Digest
from hps.errors import (
    BlobMissingError,
    BuildError,
    IntegrityError,
    LimitError,
    StoreCorruptError,
    UsageError,
)
from hps.oci.attachment import Attachment, is_attachment_tag
from hps.oci.directory import replacing
from hps.oci.documents import (
    Config,
    Descriptor,
    DockerManifest,
    Index,
    Manifest,
    Version,
    open_regular,
    parse,
    read_blob,
    read_document,
)
from hps.oci.image import (
    INDEX_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    REFERENCE_ANNOTATION,
    Image,
    docker_manifest,
)
from hps.oci.index import index

PIECE = 1 << 20  # bytes read or written at once
MOST_ENTRIES = 200  # of one index, and blobs of one attachment
_ATTACHMENT_LIMIT = 64 << 20  # bytes of all blobs of one attachment; a large SBOM has a few
_FICLONE = 0x40049409  # ioctl_ficlone(2)
_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES}

BlobPath = Callable[[Digest], Path]


@dataclass(frozen=True, slots=True)
class Layout:
    """What an image layout holds: images, and what speaks of them."""

    images: tuple[Image, ...]
    attachments: tuple[Attachment, ...] = ()


def documents(layout: Layout) -> dict[str, bytes]:
    """All files of a layout that are not layers: path to content.

    Raises:
        ValueError: two images carry one reference.
    """
    found = {
        "oci-layout": canonical.dumps({"imageLayoutVersion": "1.0.0"}),
        "index.json": index(layout.images, layout.attachments),
        "manifest.json": docker_manifest(layout.images),
    }
    for image in layout.images:
        found[blob_name(image.image_id)] = image.config
        found[blob_name(image.digest)] = image.manifest
    for attachment in layout.attachments:
        for data in (attachment.manifest, *attachment.blobs):
            found[blob_name(Digest.of(data))] = data
    return found


def layers(images: Iterable[Image]) -> tuple[Blob, ...]:
    """The layers of all images, each once, sorted by digest."""
    found = {layer.digest: layer for image in images for layer in image.layers}
    return tuple(found[digest] for digest in sorted(found))


def blob_name(digest: Digest) -> str:
    """Where a blob lies in a layout."""
    return f"blobs/sha256/{digest.hex}"


def write_layout(
    destination: Path,
    images: Sequence[Image],
    blob_path: BlobPath,
    attachments: Sequence[Attachment] = (),
) -> None:
    """Write a layout, or replace one; the old one stays until the new one is whole.

    Layers are hard-linked from the store where that is possible, else cloned, else copied and
    hashed on the way.

    Args:
        destination: a folder; made with its parents.
        images: with distinct references.
        blob_path: where the verified blob of a layer lies.
        attachments: what speaks of the images.

    Raises:
        UsageError: the destination is something else than a layout or an empty folder.
        BlobMissingError: a layer is not in the store.
        StoreCorruptError: a layer has other bytes or another size than announced.
        BuildError: the files cannot be written.
    """
    contents = documents(Layout(tuple(images), tuple(attachments)))
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
    return open_layout(folder).images


def open_layout(folder: Path) -> Layout:
    """The images of a layout and what speaks of them; layers are not opened.

    Raises:
        UsageError, IntegrityError: as `read_layout`.
    """
    if not (folder / "oci-layout").is_file():
        raise UsageError(
            f"{folder} is not an OCI image layout", hint="`hps build` writes one for each target"
        )
    parse(Version, folder / "oci-layout", read_document(folder / "oci-layout"))
    path = folder / "index.json"
    found = parse(Index, path, read_document(path))
    if len(found.manifests) > MOST_ENTRIES:
        raise LimitError(
            f"{path} lists too much", expected=f"at most {MOST_ENTRIES}", got=len(found.manifests)
        )
    images = [entry for entry in found.manifests if not _is_attachment(entry)]
    attachments = [entry for entry in found.manifests if _is_attachment(entry)]
    return Layout(
        tuple(_read_image(folder, entry) for entry in images),
        tuple(_read_attachment(folder, entry) for entry in attachments),
    )


def _is_attachment(entry: Descriptor) -> bool:
    tag = entry.annotations.get(REFERENCE_ANNOTATION, "")
    return entry.artifact_type is not None or is_attachment_tag(tag)


def check_layout(folder: Path) -> tuple[Image, ...]:
    """Read a layout and hash every blob of it.

    Raises:
        UsageError: as `read_layout`.
        IntegrityError: blobs are damaged, missing or not named by any image, or `manifest.json`
            names others than `index.json`; `details` has a line for each.
    """
    layout = open_layout(folder)
    faults = layout_faults(folder, layout)
    if faults:
        raise IntegrityError(
            f"the image layout {folder} is not what its index says",
            hint="remove it and build it again; nothing of it should be used",
            details=tuple(str(fault) for fault in faults),
        )
    return layout.images


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one file of a layout.

    Args:
        kind: damaged, missing or extra.
        path: in the layout.
        text: what was found.
    """

    kind: Literal["damaged", "missing", "extra"]
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


def layout_faults(folder: Path, layout: Layout) -> list[Fault]:
    """Hash every blob of a layout and compare the set of them with what its documents name."""
    expected = {layer.digest.hex: layer.size for layer in layers(layout.images)}
    for name, data in documents(layout).items():
        if name.startswith("blobs/"):
            expected[Digest.of(data).hex] = len(data)
    blobs = folder / "blobs"
    found = {
        path.relative_to(blobs).as_posix() for path in blobs.rglob("*") if not path.is_dir()
    } - {f"sha256/{name}" for name in expected}
    faults = [Fault("extra", f"blobs/{name}", "nothing names it") for name in sorted(found)]
    for name, size in sorted(expected.items()):
        fault = _blob_fault(folder / blob_name(Digest(name)), Digest(name), size)
        faults += [fault] if fault else []
    return faults + _docker_faults(folder, layout.images)


def _read_image(folder: Path, entry: Descriptor) -> Image:
    path = folder / blob_name(entry.digest)
    if entry.media_type != MANIFEST_TYPE:
        raise UsageError(
            f"{folder} holds something else than an image",
            expected=MANIFEST_TYPE,
            got=entry.media_type,
            hint="copy one platform of it with another tool, and use that",
        )
    manifest_bytes = read_blob(path, entry)
    parsed = parse(Manifest, path, manifest_bytes)
    config_path = folder / blob_name(parsed.config.digest)
    config_bytes = read_blob(config_path, parsed.config)
    config = parse(Config, config_path, config_bytes)
    _check_diff_ids(config_path, parsed.layers, config.rootfs.diff_ids)
    parts = (config.os, config.architecture, config.variant)
    return Image(
        reference=entry.annotations.get(REFERENCE_ANNOTATION),
        platform="/".join(part for part in parts if part),
        config=config_bytes,
        manifest=manifest_bytes,
        layers=tuple(Blob(layer.digest, layer.size) for layer in parsed.layers),
    )


def _read_attachment(folder: Path, entry: Descriptor) -> Attachment:
    path = folder / blob_name(entry.digest)
    data = read_blob(path, entry)
    tag = entry.annotations.get(REFERENCE_ANNOTATION)
    if entry.media_type == INDEX_TYPE:
        parse(Index, path, data)
        return Attachment(data, INDEX_TYPE, tag=tag)
    manifest = parse(Manifest, path, data)
    named = (manifest.config, *manifest.layers)
    if len(named) > MOST_ENTRIES or sum(one.size for one in named) > _ATTACHMENT_LIMIT:
        raise LimitError(
            f"{path} names too much",
            expected=f"at most {MOST_ENTRIES} blobs with {_ATTACHMENT_LIMIT} bytes",
            got=f"{len(named)} blobs with {sum(one.size for one in named)} bytes",
        )
    blobs = [
        read_blob(folder / blob_name(one.digest), one, limit=_ATTACHMENT_LIMIT) for one in named
    ]
    return Attachment(
        data,
        entry.media_type,
        tuple(blobs),
        artifact_type=manifest.artifact_type,
        annotations=manifest.annotations,
        subject=manifest.subject.digest if manifest.subject else None,
        tag=tag,
    )


def _check_diff_ids(path: Path, found: Sequence[Descriptor], diff_ids: Sequence[Digest]) -> None:
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


def _blob_fault(path: Path, digest: Digest, size: int) -> Fault | None:
    name = blob_name(digest)
    try:
        with open_regular(path) as reader:
            got = os.fstat(reader.fileno()).st_size
            if got != size:
                return Fault("damaged", name, f"{got} bytes instead of {size}")
            actual = hashlib.file_digest(reader, "sha256").hexdigest()
    except FileNotFoundError:
        return Fault("missing", name, "missing")
    except OSError as error:
        return Fault("damaged", name, f"cannot be read: {error.strerror or error}")
    if actual == digest.hex:
        return None
    return Fault("damaged", name, f"damaged, its digest is sha256:{actual}")


def _docker_faults(folder: Path, images: Sequence[Image]) -> list[Fault]:
    """Docker follows manifest.json where others follow index.json: both must say the same."""
    path = folder / "manifest.json"
    if not path.exists():
        return []
    data = b'{"images":' + read_document(path) + b"}"
    got = {(item.config, item.layers) for item in parse(DockerManifest, path, data).images}
    expected = {
        (str(item["Config"]), tuple(item["Layers"])) for item in json.loads(docker_manifest(images))
    }
    if got == expected:
        return []
    return [Fault("damaged", "manifest.json", "names other images than index.json")]


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
