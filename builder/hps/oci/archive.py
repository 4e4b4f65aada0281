"""An image layout as one tar: for `docker load`, skopeo's `oci-archive:`, and copying by hand.

POSIX.1-2001 pax interchange format; members sorted, root's, with one fixed time, so that the
same images give the same bytes.
"""

import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from hps.digest import Blob, Digest
from hps.errors import BlobMissingError, BuildError, StoreCorruptError
from hps.oci.attachment import Attachment
from hps.oci.image import Image
from hps.oci.index import ImageIndex
from hps.oci.layout import PIECE
from hps.oci.layout_contents import Layout, blob_name, documents, layers
from hps.store import whole_file

BlobPlace = Callable[[Digest], Path | BinaryIO]

_FOLDERS = ("blobs/", "blobs/sha256/")


def archive_pieces(
    images: Sequence[Image],
    blob_path: BlobPlace,
    *,
    epoch: int,
    attachments: Sequence[Attachment] = (),
    indexes: Sequence[ImageIndex] = (),
) -> Iterator[bytes]:
    """The archive in pieces of at most 1 MiB; memory does not grow with the image.

    Args:
        images: with distinct references.
        blob_path: where the verified blob of a layer lies, or its bytes, opened.
        epoch: seconds since 1970, the time of every member.
        attachments: what speaks of the images and indexes.
        indexes: with their images, which need not be among `images`.

    Raises:
        BlobMissingError: a layer is missing.
        StoreCorruptError: a layer has another size than announced.
        ValueError: two images carry one reference.
    """
    layout = Layout(tuple(images), tuple(attachments), tuple(indexes))
    contents = documents(layout)
    blobs = {blob_name(layer.digest): layer for layer in layers(layout.all_images)}
    for name in sorted({*_FOLDERS, *contents, *blobs}):
        if name in contents:
            data = contents[name]
            yield _header(name, len(data), epoch) + data + _padding(len(data))
        elif name in blobs:
            layer = blobs[name]
            yield _header(name, layer.size, epoch)
            yield from _blob_pieces(blob_path(layer.digest), layer)
            yield _padding(layer.size)
        else:
            yield _header(name, 0, epoch)
    yield bytes(2 * tarfile.BLOCKSIZE)


def write_archive(
    destination: Path | BinaryIO,
    images: Sequence[Image],
    blob_path: BlobPlace,
    *,
    epoch: int,
    attachments: Sequence[Attachment] = (),
    indexes: Sequence[ImageIndex] = (),
) -> None:
    """Write the archive to a stream, or to a file that appears only when it is whole.

    Raises:
        BlobMissingError: a layer is missing.
        StoreCorruptError: a layer has another size than announced.
        BuildError: the file or stream cannot be written.
    """
    pieces = archive_pieces(
        images, blob_path, epoch=epoch, attachments=attachments, indexes=indexes
    )
    try:
        if isinstance(destination, Path):
            _write_file(destination, pieces)
        else:
            for piece in pieces:
                destination.write(piece)
    except OSError as error:
        name = destination if isinstance(destination, Path) else "stream"
        raise BuildError(
            f"the image archive ({name}) cannot be written: {error.strerror or error}",
            hint="make room or choose another place",
        ) from error


def _write_file(destination: Path, pieces: Iterator[bytes]) -> None:
    with whole_file.replacing(destination) as writer:
        for piece in pieces:
            writer.write(piece)


def _header(name: str, size: int, epoch: int) -> bytes:
    member = tarfile.TarInfo(name.rstrip("/"))
    member.size = size
    member.mtime = epoch
    member.mode = 0o644
    if name.endswith("/"):
        member.type = tarfile.DIRTYPE
        member.mode = 0o755
    return member.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _blob_pieces(found: Path | BinaryIO, layer: Blob) -> Iterator[bytes]:
    """Exactly as many bytes as the header has promised."""
    try:
        reader = found.open("rb") if isinstance(found, Path) else found
    except FileNotFoundError as error:
        raise BlobMissingError(
            f"the layer {layer.digest} is missing", hint="`hps build` makes it again"
        ) from error
    with reader:
        if isinstance(found, Path) and (got := os.fstat(reader.fileno()).st_size) != layer.size:
            raise StoreCorruptError(
                f"the blob {layer.digest} has another size than the image says",
                expected=layer.size,
                got=got,
                hint="run `hps store verify`, then `hps build` again",
            )
        left = layer.size
        while left and (piece := reader.read(min(PIECE, left))):
            left -= len(piece)
            yield piece
        if left:
            raise StoreCorruptError(f"the blob {layer.digest} became shorter while it was read")
