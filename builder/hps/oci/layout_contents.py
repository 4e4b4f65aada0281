"""What files an image layout consists of. No I/O.

OCI image specification 1.1, image-layout.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from hps import canonical
from hps.digest import Blob, Digest
from hps.oci.attachment import Attachment
from hps.oci.image import Image, docker_manifest
from hps.oci.index import ImageIndex, index

Named = tuple[Digest, str | None]  # an image or index, and its name in `index.json`


@dataclass(frozen=True, slots=True)
class Layout:
    """What an image layout holds.

    Args:
        images: those that `index.json` lists itself.
        attachments: what speaks of images and indexes.
        indexes: with the images that they list.
    """

    images: tuple[Image, ...]
    attachments: tuple[Attachment, ...] = ()
    indexes: tuple[ImageIndex, ...] = ()

    @property
    def listed(self) -> tuple[Digest, ...]:
        """Of indexes and images that `index.json` lists itself."""
        return (*(one.digest for one in self.indexes), *(one.digest for one in self.images))

    @property
    def names(self) -> tuple[Named, ...]:
        """What `index.json` lists, with the names there."""
        found = [(one.digest, one.reference) for one in self.images]
        return (*found, *((one.digest, one.reference) for one in self.indexes))

    @property
    def subjects(self) -> tuple[Digest, ...]:
        """Of all indexes and images: what an attachment may speak of."""
        return (*(one.digest for one in self.indexes), *(one.digest for one in self.all_images))

    @property
    def all_images(self) -> tuple[Image, ...]:
        """Those of the indexes too; an image is not there again because an index lists it."""
        found = list(self.images)
        seen = {image.digest for image in found}
        for image in (image for one in self.indexes for image in one.images):
            if image.digest not in seen:
                seen.add(image.digest)
                found.append(image)
        return tuple(found)


def documents(layout: Layout) -> dict[str, bytes]:
    """All files of a layout that are not layers: path to content.

    Raises:
        ValueError: two images or indexes carry one reference.
    """
    images = layout.all_images
    found = {
        "oci-layout": canonical.dumps({"imageLayoutVersion": "1.0.0"}),
        "index.json": index(layout.images, layout.attachments, layout.indexes),
        "manifest.json": docker_manifest(images),
    }
    for one in layout.indexes:
        found[blob_name(one.digest)] = one.data
    for image in images:
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
