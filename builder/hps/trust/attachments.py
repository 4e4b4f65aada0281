"""Signed statements as manifests beside an image: what `cosign verify` and skopeo look for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hps.oci.attachment import Attachment, Subject, fallback_index, referrer
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE, Image
from hps.oci.index import ImageIndex
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import BUNDLE_TYPE, Bundle
from hps.trust.predicates import SIGNATURE
from hps.trust.simple_signing import SimpleSignature, signature_manifest
from hps.trust.statement import About, Statement

CONTENT_ANNOTATION = "dev.sigstore.bundle.content"
PREDICATE_ANNOTATION = "dev.sigstore.bundle.predicateType"


@dataclass(frozen=True, slots=True)
class Claim:
    """What is to be said of an image, before it is signed."""

    predicate_type: str
    predicate: Mapping[str, Any]


def sign_image(
    subject: Subject, reference: str, claims: Sequence[Claim], signer: AuthorisedSigner
) -> tuple[Attachment, ...]:
    """Sign an image and what is said of it.

    Args:
        subject: a manifest or an index. The signature of an index covers no manifest below it:
            each is signed by a call of its own.
        reference: registry, name and tag under which Podman and skopeo may use the image.
        claims: further statements about it, such as provenance.
        signer: the key; it must be allowed to sign images and every claim.

    Returns:
        One referrer for the signature and for each claim, the index that lists them where a
        registry has no API for it, and the older signature.
    """
    all_claims = (Claim(SIGNATURE, {}), *claims)
    bundles = [bundle_referrer(subject, claim, signer) for claim in all_claims]
    older = SimpleSignature.sign(subject.digest, reference, signer)
    return (
        *bundles,
        fallback_index(subject.digest, bundles),
        signature_manifest(subject.digest, [older]),
    )


def sign_index(
    index: ImageIndex,
    reference: str,
    claims: Callable[[Image], Sequence[Claim]],
    signer: AuthorisedSigner,
) -> tuple[Attachment, ...]:
    """Sign an index and each image of it; raises as `sign_image`.

    Args:
        index: of one image for several platforms.
        reference: registry, name and tag of the index; that is how its images are asked for too.
        claims: what is to be said of an image; of the index nothing is said but the signature.
        signer: the key; it must be allowed to sign images and every claim.
    """
    subject = Subject(INDEX_TYPE, index.digest, len(index.data))
    found = list(sign_image(subject, reference, (), signer))
    for image in {image.digest: image for image in index.images}.values():
        subject = Subject(MANIFEST_TYPE, image.digest, len(image.manifest))
        found += sign_image(subject, reference, claims(image), signer)
    return tuple(found)


def bundle_referrer(subject: Subject, claim: Claim, signer: AuthorisedSigner) -> Attachment:
    """One signed statement about an image, as a referrer that carries a bundle."""
    statement = Statement((About("", subject.digest),), claim.predicate_type, claim.predicate)
    bundle = Bundle.sign(statement, signer).as_bytes()
    annotations = {
        CONTENT_ANNOTATION: "dsse-envelope",
        PREDICATE_ANNOTATION: claim.predicate_type,
    }
    return referrer(subject, BUNDLE_TYPE, bundle, annotations)
