"""Attachments on their way into a repository: blobs first, then manifests, then what lists them."""

import io
from collections.abc import Sequence

from hps import canonical
from hps.digest import Blob, Digest
from hps.errors import PublishError
from hps.oci.attachment import Attachment, fallback_tag
from hps.oci.image import INDEX_TYPE
from hps.oci.registry import ManifestDocument, WritableRegistry


def push_attachment(registry: WritableRegistry, attachment: Attachment) -> None:
    """Push the blobs and the manifest of an attachment, to its tag if it has one.

    What the tag named before is replaced: where others write to it too, use `update`.

    Raises:
        PublishError: the registry refused something.
        IntegrityError: the registry says that it keeps other bytes.
    """
    for data in attachment.blobs:
        registry.upload(Blob(Digest.of(data), len(data)), lambda data=data: io.BytesIO(data))  # type: ignore[misc] # mypy infers no type for a default of a lambda
    registry.put(ManifestDocument(attachment.media_type, attachment.manifest), attachment.tag)


def push_tagged(registry: WritableRegistry, attachment: Attachment) -> None:
    """Push what cosign keeps at a tag; signatures of others that are there stay beside ours.

    Args:
        registry: the repository of the subject.
        attachment: a manifest with a tag, one layer for each signature or attestation.

    Raises:
        PublishError: the registry refused something, or others keep changing the tag.
        IntegrityError: the registry says that it keeps other bytes.
        MalformedError: what is there cannot be read.
    """
    if attachment.tag is None:
        raise ValueError("an attachment without a tag")
    for data in attachment.blobs:
        registry.upload(Blob(Digest.of(data), len(data)), lambda data=data: io.BytesIO(data))  # type: ignore[misc] # mypy infers no type for a default of a lambda
    ours = ManifestDocument(attachment.media_type, attachment.manifest)
    registry.update(attachment.tag, lambda before: _merged_layers(registry, before, ours))


def _merged_layers(
    registry: WritableRegistry, before: ManifestDocument | None, ours: ManifestDocument
) -> ManifestDocument:
    """The layers of both manifests; one of them as it is if it has all."""
    if before is None or before.is_index:
        return ours
    there, added = before.as_json(), ours.as_json()
    missing = [layer for layer in added["layers"] if layer not in there["layers"]]
    if not missing:
        return before
    if all(layer in added["layers"] for layer in there["layers"]):
        return ours
    layers = [*there["layers"], *missing]
    # Readers compare the number of layers with that of diff_ids; payloads are not packed.
    config = canonical.dumps(
        {
            "architecture": "",
            "os": "",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [str(one["digest"]) for one in layers]},
        }
    )
    blob = Blob(Digest.of(config), len(config))
    registry.upload(blob, lambda: io.BytesIO(config))
    named = {**added["config"], "digest": str(blob.digest), "size": blob.size}
    document = {**added, "config": named, "layers": layers}
    return ManifestDocument(ours.media_type, canonical.dumps(document))


def push_referrers(
    registry: WritableRegistry, subject: Digest, referrers: Sequence[Attachment]
) -> None:
    """Push manifests that speak of a subject, and see to it that they are found.

    Where the referrers API does not list them afterwards, they are added to the index at the
    fallback tag (distribution specification 1.1, "Pushing manifests with subject").

    Args:
        registry: the repository of the subject.
        subject: what they speak of.
        referrers: without a tag of their own.

    Raises:
        PublishError: the registry refused something, or others keep changing the index.
        IntegrityError: the registry says that it keeps other bytes.
    """
    for each in referrers:
        push_attachment(registry, each)
    listed: set[Digest] = set()
    for kind in {each.artifact_type for each in referrers}:
        found = registry.referrers(subject, kind)
        listed |= {descriptor.digest for descriptor in found.descriptors}
    missing = [each for each in referrers if each.digest not in listed]
    if missing:
        registry.update(fallback_tag(subject), lambda before: merged_index(before, missing))


def merged_index(
    before: ManifestDocument | None, referrers: Sequence[Attachment]
) -> ManifestDocument:
    """The index at a fallback tag with these referrers in it; entries of others stay.

    Raises:
        PublishError: the tag names something else than an index.
    """
    if before is not None and not before.is_index:
        raise PublishError(
            "the tag for referrers names something else than an index",
            expected=INDEX_TYPE,
            got=before.media_type,
            hint="remove the tag if nobody needs it",
        )
    found = {} if before is None else before.as_json()
    ours = {str(each.digest): each.descriptor() for each in referrers}
    others = [
        entry
        for entry in found.get("manifests", [])
        if not (isinstance(entry, dict) and entry.get("digest") in ours)
    ]
    listed = others + [ours[digest] for digest in sorted(ours)]
    present = found.get("manifests", [])
    if before is not None and all(each in present for each in ours.values()):
        return before  # in whatever order and with whatever bytes it was written
    document = {**found, "schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": listed}
    return ManifestDocument(INDEX_TYPE, canonical.dumps(document))
