"""Reading an image layout with suspicion, from a folder or from an archive.

OCI image specification 1.1, image-layout.md. Documents are read and compared with their digests
first, layers are hashed last: nobody should wait for gigabytes that nobody has signed.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

from hps.digest import Blob, Digest
from hps.errors import LimitError, MalformedError, UsageError
from hps.oci.attachment import Attachment, is_attachment_tag
from hps.oci.documents import (
    Descriptor,
    DockerManifest,
    Index,
    Manifest,
    Version,
    parse,
    read_blob,
    read_document,
)
from hps.oci.image import (
    INDEX_TYPE,
    MANIFEST_TYPE,
    REFERENCE_ANNOTATION,
    Image,
    docker_manifest,
)
from hps.oci.image_reading import read_image, read_manifest
from hps.oci.index import ImageIndex
from hps.oci.layout_contents import Layout, blob_name, documents, layers
from hps.oci.layout_files import FolderFiles, LayoutFiles
from hps.oci.registry import INDEX_TYPES, MANIFEST_TYPES, check_document
from hps.store.foreign_text import printable

_PIECE = 1 << 20  # bytes hashed at once
MOST_ENTRIES = 200  # of one index, and blobs of one attachment
ATTACHMENT_LIMIT = 64 << 20  # bytes of all blobs of one attachment; a large SBOM has a few

Watch = Callable[[int], object]


def open_layout(source: Path | LayoutFiles) -> Layout:
    """The images and indexes of a layout and what speaks of them; layers are not opened.

    Args:
        source: a folder, or the files of an archive.

    Raises:
        UsageError: there is no layout, or it holds something else than images and indexes.
        IntegrityError: a document is damaged or contradicts another.
    """
    files = _files(source)
    if "oci-layout" not in files.names():
        raise UsageError(
            f"{files.root} is not an OCI image layout",
            hint="`hps build` writes one for each target",
        )
    _parse_version(files)
    path = files.root / "index.json"
    found = parse(Index, path, read_document(path, opener=files.open))
    if len(found.manifests) > MOST_ENTRIES:
        raise LimitError(
            f"{path} lists too much", expected=f"at most {MOST_ENTRIES}", got=len(found.manifests)
        )
    attachments = [entry for entry in found.manifests if is_attachment(entry)]
    others = [entry for entry in found.manifests if not is_attachment(entry)]
    _check_names(path, others)
    indexes = [entry for entry in others if entry.media_type in INDEX_TYPES]
    return Layout(
        tuple(_read_image(files, one) for one in others if one.media_type not in INDEX_TYPES),
        tuple(_read_attachment(files, entry) for entry in attachments),
        _read_indexes(files, indexes),
    )


def open_images(source: Path | LayoutFiles) -> Layout:
    """A layout that holds images and no index of images; otherwise as `open_layout`."""
    files = _files(source)
    layout = open_layout(files)
    if layout.indexes:
        raise UsageError(
            f"{files.root} holds an index of several images",
            expected="an image",
            hint="copy one platform of it with another tool, and use that",
        )
    return layout


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


def layout_faults(
    source: Path | LayoutFiles, layout: Layout, *, watch: Watch | None = None, hashed: bool = True
) -> list[Fault]:
    """Compare the files of a layout with what its documents name, and hash every blob.

    Args:
        source: a folder, or the files of an archive.
        layout: as it was read from there.
        watch: called with a number of bytes after each piece, from several threads; what it
            raises ends the work.
        hashed: False compares names and sizes only.

    Raises:
        IntegrityError: a folder cannot be listed, or `manifest.json` cannot be read.
    """
    files = _files(source)
    contents = documents(layout)
    expected = {layer.digest.hex: layer.size for layer in layers(layout.all_images)}
    expected |= {
        Digest.of(data).hex: len(data)
        for name, data in contents.items()
        if name.startswith("blobs/")
    }
    known = {*contents, *(blob_name(Digest(name)) for name in expected)}
    extra = sorted(set(files.names()) - known)
    faults = [Fault("extra", name, "nothing names it") for name in extra]
    # Largest first: the last one to end should be a small one.
    blobs = [Blob(Digest(name), size) for name, size in expected.items()]
    blobs.sort(key=lambda blob: (-blob.size, blob.digest))
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing frees the interpreter's lock
        try:
            found = list(pool.map(lambda blob: _blob_fault(files, blob, watch, hashed), blobs))
        finally:
            pool.shutdown(cancel_futures=True)
    faults += sorted((fault for fault in found if fault), key=lambda fault: fault.path)
    return faults + _docker_faults(files, layout.all_images)


def _files(source: Path | LayoutFiles) -> LayoutFiles:
    return FolderFiles(source) if isinstance(source, Path) else source


def _parse_version(files: LayoutFiles) -> None:
    path = files.root / "oci-layout"
    parse(Version, path, read_document(path, opener=files.open))


def is_attachment(entry: Descriptor) -> bool:
    """Whether what an index lists is no image, but speaks of one."""
    tag = entry.annotations.get(REFERENCE_ANNOTATION, "")
    return entry.artifact_type is not None or is_attachment_tag(tag)


def _check_names(path: Path, entries: Iterable[Descriptor]) -> None:
    """Of two images with one name, two readers would take different ones."""
    seen: set[str] = set()
    for entry in entries:
        name = entry.annotations.get(REFERENCE_ANNOTATION)
        if name in seen:
            raise MalformedError(f"{path} gives the name {printable(str(name))!r} twice")
        if name is not None:
            seen.add(name)


def _read_indexes(files: LayoutFiles, entries: Iterable[Descriptor]) -> tuple[ImageIndex, ...]:
    """Each image is read once, whichever indexes list it."""
    read: dict[tuple[Digest, int], Image] = {}
    found: list[ImageIndex] = []
    listed = 0
    for entry in entries:
        data, children = _read_index(files, entry)
        listed += len(children)
        if listed > MOST_ENTRIES:
            raise LimitError(
                f"the indexes of {files.root} list too much",
                expected=f"at most {MOST_ENTRIES} images",
                got=listed,
            )
        for child in children:
            if (child.digest, child.size) not in read:
                image = replace(_read_image(files, child), reference=None)
                read[child.digest, child.size] = image
        images = tuple(read[child.digest, child.size] for child in children)
        name = entry.annotations.get(REFERENCE_ANNOTATION)
        found.append(ImageIndex(name, data, images, entry.media_type))
    return tuple(found)


def _read_index(files: LayoutFiles, entry: Descriptor) -> tuple[bytes, tuple[Descriptor, ...]]:
    path = files.root / blob_name(entry.digest)
    data = read_blob(path, entry, opener=files.open)
    check_document(str(path), entry.media_type, data)
    children = parse(Index, path, data).manifests
    for child in children:
        if child.media_type in INDEX_TYPES:
            raise MalformedError(
                f"{path} lists something else than images",
                expected=MANIFEST_TYPE,
                got=child.media_type,
            )
    return data, children


def _read_image(files: LayoutFiles, entry: Descriptor) -> Image:
    path = files.root / blob_name(entry.digest)
    if entry.media_type not in MANIFEST_TYPES:
        raise UsageError(
            f"{files.root} holds something else than an image",
            expected=MANIFEST_TYPE,
            got=entry.media_type,
            hint="copy one platform of it with another tool, and use that",
        )
    document = check_document(
        str(path), entry.media_type, read_blob(path, entry, opener=files.open)
    )
    config = read_manifest(path, document).config
    config_path = files.root / blob_name(config.digest)
    config_bytes = read_blob(config_path, config, opener=files.open)
    return read_image(path, document, config_bytes, entry.annotations.get(REFERENCE_ANNOTATION))


def _read_attachment(files: LayoutFiles, entry: Descriptor) -> Attachment:
    path = files.root / blob_name(entry.digest)
    data = read_blob(path, entry, opener=files.open)
    tag = entry.annotations.get(REFERENCE_ANNOTATION)
    if entry.media_type == INDEX_TYPE:
        parse(Index, path, data)
        return Attachment(data, INDEX_TYPE, tag=tag)
    manifest = parse(Manifest, path, data)
    named = (manifest.config, *manifest.layers)
    if len(named) > MOST_ENTRIES or sum(one.size for one in named) > ATTACHMENT_LIMIT:
        raise LimitError(
            f"{path} names too much",
            expected=f"at most {MOST_ENTRIES} blobs with {ATTACHMENT_LIMIT} bytes",
            got=f"{len(named)} blobs with {sum(one.size for one in named)} bytes",
        )
    blobs = [
        read_blob(
            files.root / blob_name(one.digest), one, limit=ATTACHMENT_LIMIT, opener=files.open
        )
        for one in named
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


def _blob_fault(files: LayoutFiles, blob: Blob, watch: Watch | None, hashed: bool) -> Fault | None:
    name = blob_name(blob.digest)
    try:
        with files.open(files.root / name) as reader:
            got = reader.seek(0, os.SEEK_END)
            if got != blob.size:
                return Fault("damaged", name, f"{got} bytes instead of {blob.size}")
            if not hashed:
                return None
            reader.seek(0)
            actual = _digest(reader, watch)
    except FileNotFoundError:
        return Fault("missing", name, "missing")
    except OSError as error:
        return Fault("damaged", name, f"cannot be read: {error.strerror or error}")
    if actual == blob.digest:
        return None
    return Fault("damaged", name, f"damaged, its digest is {actual}")


def _digest(reader: BinaryIO, watch: Watch | None) -> Digest:
    hasher = hashlib.sha256()
    buffer = memoryview(bytearray(_PIECE))
    while count := reader.readinto(buffer):  # type: ignore[attr-defined]  # readers have it
        hasher.update(buffer[:count])
        if watch is not None:
            watch(count)
    return Digest(hasher.hexdigest())


def _docker_faults(files: LayoutFiles, images: Iterable[Image]) -> list[Fault]:
    """Docker follows manifest.json where others follow index.json: both must say the same."""
    if "manifest.json" not in files.names():
        return []
    path = files.root / "manifest.json"
    data = b'{"images":' + read_document(path, opener=files.open) + b"}"
    got = {(item.config, item.layers) for item in parse(DockerManifest, path, data).images}
    expected = {
        (str(item["Config"]), tuple(item["Layers"]))
        for item in json.loads(docker_manifest(tuple(images)))
    }
    if got == expected:
        return []
    return [Fault("damaged", "manifest.json", "names other images than index.json")]
