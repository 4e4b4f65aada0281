"""The OCI image layout on disk: written whole, read with suspicion.

Follows the OCI image specification 1.1, image-layout.md. A `manifest.json` beside it lets Docker
20.10 load the same files with the same image ID.
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from hps.digest import Blob, Digest
from hps.errors import (
    BlobMissingError,
    BuildError,
    IntegrityError,
    StoreCorruptError,
    UsageError,
)
from hps.oci.attachment import Attachment
from hps.oci.directory import replacing
from hps.oci.image import Image
from hps.oci.index import ImageIndex
from hps.oci.layout_contents import Layout, blob_name, documents, layers
from hps.oci.layout_reading import layout_faults, open_images
from hps.store.filesystem import sync_folder

PIECE = 1 << 20  # bytes read or written at once
_FICLONE = 0x40049409  # ioctl_ficlone(2)
_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES}

BlobPath = Callable[[Digest], Path]


def write_layout(
    destination: Path,
    images: Sequence[Image],
    blob_path: BlobPath,
    attachments: Sequence[Attachment] = (),
    indexes: Sequence[ImageIndex] = (),
) -> None:
    """Write a layout, or replace one; the old one stays until the new one is whole.

    Layers are hard-linked from the store where that is possible, else cloned, else copied and
    hashed on the way.

    Args:
        destination: a folder; made with its parents.
        images: with distinct references.
        blob_path: where the verified blob of a layer lies.
        attachments: what speaks of the images and indexes.
        indexes: with their images, which need not be among `images`.

    Raises:
        UsageError: the destination is something else than a layout or an empty folder.
        BlobMissingError: a layer is not in the store.
        StoreCorruptError: a layer has other bytes or another size than announced.
        BuildError: the files cannot be written.
    """
    layout = Layout(tuple(images), tuple(attachments), tuple(indexes))
    contents = documents(layout)
    _refuse_foreign(destination)
    try:
        with replacing(destination) as folder:
            (folder / "blobs" / "sha256").mkdir(parents=True)
            for name, data in contents.items():
                _write(folder / name, data)
            for layer in layers(layout.all_images):
                name = blob_name(layer.digest)
                if name not in contents:  # strangers may attach what names a layer
                    _place(blob_path(layer.digest), folder / name, layer)
            sync_folder(folder / "blobs" / "sha256")
            sync_folder(folder / "blobs")
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
    return open_images(folder).images


def check_layout(folder: Path) -> tuple[Image, ...]:
    """Read a layout and hash every blob of it.

    Raises:
        UsageError: as `read_layout`.
        IntegrityError: blobs are damaged, missing or not named by any image, or `manifest.json`
            names others than `index.json`; `details` has a line for each.
    """
    layout = open_images(folder)
    faults = layout_faults(folder, layout)
    if faults:
        raise IntegrityError(
            f"the image layout {folder} is not what its index says",
            hint="remove it and build it again; nothing of it should be used",
            details=tuple(str(fault) for fault in faults),
        )
    return layout.images


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
