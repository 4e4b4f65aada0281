"""What files an image layout consists of. No I/O.

OCI image specification 1.1, image-layout.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from hps import canonical
from hps.digest import Blob, Digest
from hps.oci.attachment import Attachment
from hps.oci.image import Image, docker_manifest
from hps.oci.index import index


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
