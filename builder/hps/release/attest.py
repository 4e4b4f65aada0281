"""Signing what a build proved: its signature, where it came from, and what is in it."""

from collections.abc import Sequence

from hps import canonical
from hps.build.image import Attest, Proved
from hps.build.platforms import AttestIndex
from hps.build.sbom_step import SBOM_LIMIT
from hps.config.platforms import base_name
from hps.oci.attachment import Attachment, Subject
from hps.oci.image import MANIFEST_TYPE, Image
from hps.oci.index import ImageIndex
from hps.release.provenance import provenance
from hps.trust.attachments import Claim, sign_image, sign_index
from hps.trust.authorised import AuthorisedSigner
from hps.trust.predicates import PROVENANCE, SBOM


def attesting(signer: AuthorisedSigner, reference: str | None) -> Attest:
    """What `hps.build.image.build` calls to sign an image.

    Nothing that is signed changes between two builds of one lock with one key, so an image that
    is built again comes with the same bytes beside it (a key in a token may sign differently).

    Args:
        signer: may sign signatures, provenance and SBOMs.
        reference: registry and name, for clients that hold an image to its name; without a tag
            the target becomes one. None: the image's own name.
    """

    def attest(proved: Proved) -> tuple[Attachment, ...]:
        image = proved.image
        subject = Subject(MANIFEST_TYPE, image.digest, len(image.manifest))
        name = image.reference or str(image.digest)
        return sign_image(
            subject,
            _name(reference, name, proved.target.name),
            _claims(proved, signer),
            signer,
        )

    return attest


def attesting_index(signer: AuthorisedSigner, reference: str | None) -> AttestIndex:
    """What `hps.build.platforms.build_group` calls to sign an index and each of its images.

    An image has the same beside it as when it is built alone. Arguments as in `attesting`.
    """

    def attest(index: ImageIndex, proofs: Sequence[Proved]) -> tuple[Attachment, ...]:
        by_image = {one.image.digest: one for one in proofs}

        def claims(image: Image) -> Sequence[Claim]:
            return _claims(by_image[image.digest], signer)

        name = index.reference or str(index.digest)
        return sign_index(index, _name(reference, name, proofs[0].target.name), claims, signer)

    return attest


def _claims(proved: Proved, signer: AuthorisedSigner) -> tuple[Claim, ...]:
    made = provenance(proved.lock, proved.target, proved.image, builder=signer.builder_id)
    return (
        Claim(PROVENANCE, made),
        Claim(SBOM, canonical.loads(proved.sbom, max_bytes=SBOM_LIMIT)),
    )


def _name(reference: str | None, own: str, target: str) -> str:
    if reference and ":" not in reference.rpartition("/")[2]:
        return f"{reference}:{base_name(target)}"
    return reference or own
