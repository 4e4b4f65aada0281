"""From what lies beside an image or a file to evidence: bundles and simple signatures."""

import json
from collections.abc import Iterable, Iterator

from hps.digest import Digest
from hps.errors import MalformedError
from hps.oci.attachment import Attachment, attestation_subject, signature_subject
from hps.trust.bundle import BUNDLE_TYPE, Bundle
from hps.trust.dsse import ENVELOPE_TYPE, Envelope
from hps.trust.judge import Evidence
from hps.trust.simple_signing import PAYLOAD_TYPE, SIGNATURE_ANNOTATION, SimpleSignature


def evidence_of(subject: Digest, attachments: Iterable[Attachment]) -> list[Evidence]:
    """The evidence about one image among all attachments of a layout or repository."""
    found: list[Evidence] = []
    for one in attachments:
        if one.artifact_type == BUNDLE_TYPE and one.subject == subject:
            found += _bundles(one)
        elif one.tag is not None and signature_subject(one.tag) == subject:
            found += _simple(one)
        elif one.tag is not None and attestation_subject(one.tag) == subject:
            found += _attestations(one)
    return found


def bundle_evidence(where: str, data: bytes) -> Evidence:
    """A bundle that may be malformed."""
    try:
        return Evidence(where, Bundle.from_bytes(data), Digest.of(data))
    except MalformedError as error:
        return Evidence(where, error)


def _bundles(attachment: Attachment) -> Iterator[Evidence]:
    where = f"referrer {attachment.digest.short}"
    layers = attachment.blobs[1:]  # the first is the configuration
    if len(layers) != 1:
        text = MalformedError("a referrer carries one bundle", got=f"{len(layers)} layers")
        yield Evidence(where, text)
    for layer in layers[:1]:
        yield bundle_evidence(where, layer)


def _simple(attachment: Attachment) -> Iterator[Evidence]:
    # The manifest was read strictly when the attachment was; only its layers matter here.
    layers = json.loads(attachment.manifest)["layers"]
    for number, (layer, blob) in enumerate(zip(layers, attachment.blobs[1:], strict=True)):
        where = f"signature {number} at {attachment.tag}"
        text = layer.get("annotations", {}).get(SIGNATURE_ANNOTATION)
        if layer["mediaType"] != PAYLOAD_TYPE or not isinstance(text, str):
            fault = MalformedError("no simple signature", got=layer["mediaType"])
            yield Evidence(where, fault)
            continue
        try:
            yield Evidence(where, SimpleSignature.read(blob, text), Digest.of(blob))
        except MalformedError as error:
            yield Evidence(where, error)


def _attestations(attachment: Attachment) -> Iterator[Evidence]:
    """What `cosign attest` of version 2 keeps (sigstore/cosign, specs/ATTESTATION_SPEC.md)."""
    layers = json.loads(attachment.manifest)["layers"]
    for number, (layer, blob) in enumerate(zip(layers, attachment.blobs[1:], strict=True)):
        where = f"attestation {number} at {attachment.tag}"
        if layer["mediaType"] != ENVELOPE_TYPE:
            yield Evidence(where, MalformedError("no attestation", got=layer["mediaType"]))
            continue
        try:
            yield Evidence(where, Bundle(Envelope.from_bytes(blob)), Digest.of(blob), alone=True)
        except MalformedError as error:
            yield Evidence(where, error)
