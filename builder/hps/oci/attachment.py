"""Manifests that speak of an image: signatures and attestations, laid beside it or pushed after it.

OCI image specification 1.1, manifest.md ("subject"), and distribution specification 1.1,
"Referrers tag schema" for registries that have no referrers API.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hps import canonical
from hps.digest import Digest
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE

EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"
_TAG = re.compile(r"sha256-[0-9a-f]{64}(?:\.[a-z]{1,16})?")


@dataclass(frozen=True, slots=True)
class Subject:
    """The descriptor of a manifest or index that others speak of."""

    media_type: str
    digest: Digest
    size: int  # in bytes

    def as_json(self) -> dict[str, Any]:
        """As it stands in a referrer's `subject`."""
        return {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}


@dataclass(frozen=True, slots=True)
class Attachment:
    """A manifest that is not an image, and the small blobs that it names.

    Args:
        manifest: its bytes.
        media_type: of the manifest: an image manifest, or an index.
        blobs: configuration and layers; all of them are small enough to be held in memory.
        artifact_type: what kind of document it carries, for descriptors; None for a legacy one.
        annotations: of the manifest, repeated in indexes that list it.
        subject: of what it speaks; None where only its tag says so.
        tag: the name under which a registry keeps it; None where only its subject leads to it.
    """

    manifest: bytes
    media_type: str = MANIFEST_TYPE
    blobs: tuple[bytes, ...] = ()
    artifact_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    subject: Digest | None = None
    tag: str | None = None

    @property
    def digest(self) -> Digest:
        """The digest of the manifest."""
        return Digest.of(self.manifest)

    def digests(self) -> tuple[Digest, ...]:
        """Of the manifest and of all blobs that it names."""
        return (self.digest, *(Digest.of(blob) for blob in self.blobs))

    def descriptor(self) -> dict[str, Any]:
        """As an index lists it (descriptor.md)."""
        found: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": len(self.manifest),
        }
        if self.artifact_type is not None:
            found["artifactType"] = self.artifact_type
        if self.annotations:
            found["annotations"] = dict(self.annotations)
        return found


def referrer(
    subject: Subject, artifact_type: str, document: bytes, annotations: Mapping[str, str]
) -> Attachment:
    """A manifest with `subject` that carries one document as its only layer (manifest.md)."""
    manifest = canonical.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": artifact_type,
            "config": {
                "mediaType": EMPTY_TYPE,
                "digest": str(Digest.of(EMPTY)),
                "size": len(EMPTY),
            },
            "layers": [
                {
                    "mediaType": artifact_type,
                    "digest": str(Digest.of(document)),
                    "size": len(document),
                }
            ],
            "subject": subject.as_json(),
            "annotations": dict(annotations),
        }
    )
    return Attachment(
        manifest,
        blobs=(EMPTY, document),
        artifact_type=artifact_type,
        annotations=annotations,
        subject=subject.digest,
    )


def fallback_tag(subject: Digest) -> str:
    """The tag of the index of referrers (distribution specification 1.1, referrers tag schema)."""
    return f"sha256-{subject.hex}"


def is_attachment_tag(tag: str) -> bool:
    """Whether a tag is that of an attachment: `sha256-<hex>`, with `.sig` or another ending."""
    return _TAG.fullmatch(tag) is not None


def tag_subject(tag: str) -> Digest | None:
    """Of what the attachment at a tag `sha256-<hex>` with any ending speaks; None for others."""
    if not is_attachment_tag(tag):
        return None
    return Digest(tag.removeprefix("sha256-").partition(".")[0])


def signature_subject(tag: str) -> Digest | None:
    """What the older signatures at a tag `sha256-<hex>.sig` are of; None for another tag."""
    return tag_subject(tag) if tag.endswith(".sig") else None


def attestation_tag(subject: Digest) -> str:
    """The tag at which cosign 2 keeps attestations of a subject."""
    return f"sha256-{subject.hex}.att"


def attestation_subject(tag: str) -> Digest | None:
    """What the older attestations at a tag `sha256-<hex>.att` speak of; None for another tag."""
    return tag_subject(tag) if tag.endswith(".att") else None


def fallback_index(subject: Digest, referrers: Iterable[Attachment]) -> Attachment:
    """The index that lists the referrers of a subject where no referrers API does."""
    listed = sorted((one.descriptor() for one in referrers), key=lambda one: str(one["digest"]))
    manifest = canonical.dumps(
        {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": listed},
    )
    return Attachment(manifest, media_type=INDEX_TYPE, tag=fallback_tag(subject))
