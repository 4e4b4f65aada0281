"""Indexes: of an image layout, and of the images of one name for several platforms. No I/O.

OCI image specification 1.1, image-index.md and annotations.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hps import canonical
from hps.digest import Digest
from hps.oci.attachment import Attachment, signature_subject
from hps.oci.image import (
    INDEX_TYPE,
    REFERENCE_ANNOTATION,
    Image,
    descriptor,
    image_order,
    platform_fields,
)

# By these cosign finds its way in a layout (sigstore/cosign, pkg/oci/layout).
KIND_ANNOTATION = "kind"
_IMAGE_KIND = "dev.cosignproject.cosign/image"
_INDEX_KIND = "dev.cosignproject.cosign/imageIndex"
_SIGNATURES_KIND = "dev.cosignproject.cosign/sigs"


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """An image index, and the images that it lists, in its order.

    Args:
        reference: NAME:TAG, or None for one that carries no name.
        data: its bytes.
        images: none of them needs a reference.
        media_type: of the index; those of others may have Docker's.
    """

    reference: str | None
    data: bytes
    images: tuple[Image, ...]
    media_type: str = INDEX_TYPE

    @property
    def digest(self) -> Digest:
        """The digest of the index: the name under which registries know it."""
        return Digest.of(self.data)


def platform_index(reference: str | None, images: Iterable[Image]) -> ImageIndex:
    """One image for several platforms, canonical JSON (image-index.md), sorted by platform.

    Raises:
        ValueError: no image, or two for one platform: clients would take the first.
    """
    ordered = tuple(sorted(images, key=lambda image: image.platform))
    platforms = [image.platform for image in ordered]
    if not platforms or len(set(platforms)) != len(platforms):
        raise ValueError(f"an index has one image for each platform, not {platforms}")
    entries = [
        {
            **descriptor(image.media_type, image.digest, len(image.manifest)),
            "platform": platform_fields(image.platform),
        }
        for image in ordered
    ]
    data = canonical.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries})
    return ImageIndex(reference, data, ordered)


def index(
    images: Iterable[Image],
    attachments: Sequence[Attachment] = (),
    indexes: Sequence[ImageIndex] = (),
) -> bytes:
    """`index.json`, canonical JSON: indexes and images by reference, then attachments by tag.

    Raises:
        ValueError: two of them carry one reference.
    """
    signed = bool(attachments)
    ordered = sorted(images, key=image_order)
    by_name = sorted(indexes, key=lambda one: (one.reference or "", one.digest.hex))
    _check_names([*(one.reference for one in by_name), *(image.reference for image in ordered)])
    entries = [_index_entry(one, signed=signed) for one in by_name]
    entries += [_image_entry(image, signed=signed) for image in ordered]
    others = sorted(attachments, key=lambda one: (one.tag or "", one.digest.hex))
    entries += [_attachment_entry(attachment) for attachment in others]
    return canonical.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries})


def _check_names(names: Sequence[str | None]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two images are called {name}")
        if name is not None:
            seen.add(name)


def _image_entry(image: Image, *, signed: bool) -> dict[str, Any]:
    entry = descriptor(image.media_type, image.digest, len(image.manifest))
    entry["platform"] = platform_fields(image.platform)
    return _annotated(entry, image.reference, _IMAGE_KIND if signed else None)


def _index_entry(one: ImageIndex, *, signed: bool) -> dict[str, Any]:
    entry = descriptor(one.media_type, one.digest, len(one.data))
    return _annotated(entry, one.reference, _INDEX_KIND if signed else None)


def _annotated(entry: dict[str, Any], reference: str | None, kind: str | None) -> dict[str, Any]:
    annotations = {} if reference is None else {REFERENCE_ANNOTATION: reference}
    if kind is not None:
        annotations[KIND_ANNOTATION] = kind
    return {**entry, "annotations": annotations} if annotations else entry


def _attachment_entry(attachment: Attachment) -> dict[str, Any]:
    entry = attachment.descriptor()
    if attachment.tag is not None:
        annotations = {**attachment.annotations, REFERENCE_ANNOTATION: attachment.tag}
        if signature_subject(attachment.tag) is not None:
            annotations[KIND_ANNOTATION] = _SIGNATURES_KIND
        entry["annotations"] = annotations
    return entry
