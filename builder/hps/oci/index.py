"""The index of an image layout: its images and what speaks of them. No I/O.

OCI image specification 1.1, image-index.md and annotations.md.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from hps import canonical
from hps.oci.attachment import Attachment, signature_subject
from hps.oci.image import (
    INDEX_TYPE,
    MANIFEST_TYPE,
    REFERENCE_ANNOTATION,
    Image,
    descriptor,
    image_order,
    platform_fields,
)

# By these cosign finds its way in a layout (sigstore/cosign, pkg/oci/layout).
KIND_ANNOTATION = "kind"
_IMAGE_KIND = "dev.cosignproject.cosign/image"
_SIGNATURES_KIND = "dev.cosignproject.cosign/sigs"


def index(images: Iterable[Image], attachments: Sequence[Attachment] = ()) -> bytes:
    """`index.json`, canonical JSON: images sorted by reference, then attachments by tag.

    Raises:
        ValueError: two images carry one reference.
    """
    entries = [_image_entry(image, signed=bool(attachments)) for image in _ordered(images)]
    others = sorted(attachments, key=lambda one: (one.tag or "", one.digest.hex))
    entries += [_attachment_entry(attachment) for attachment in others]
    return canonical.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries})


def _ordered(images: Iterable[Image]) -> list[Image]:
    ordered = sorted(images, key=image_order)
    names = [image.reference for image in ordered if image.reference is not None]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two images are called {name}")
    return ordered


def _image_entry(image: Image, *, signed: bool) -> dict[str, Any]:
    entry = descriptor(MANIFEST_TYPE, image.digest, len(image.manifest))
    entry["platform"] = platform_fields(image.platform)
    annotations = {} if image.reference is None else {REFERENCE_ANNOTATION: image.reference}
    if signed:
        annotations[KIND_ANNOTATION] = _IMAGE_KIND
    if annotations:
        entry["annotations"] = annotations
    return entry


def _attachment_entry(attachment: Attachment) -> dict[str, Any]:
    entry = attachment.descriptor()
    if attachment.tag is not None:
        annotations = {**attachment.annotations, REFERENCE_ANNOTATION: attachment.tag}
        if signature_subject(attachment.tag) is not None:
            annotations[KIND_ANNOTATION] = _SIGNATURES_KIND
        entry["annotations"] = annotations
    return entry
