"""Signing what a build proved: its signature, where it came from, and what is in it."""

from hps import canonical
from hps.build.image import Attest, Proved
from hps.build.sbom_step import SBOM_LIMIT
from hps.oci.attachment import Attachment, Subject
from hps.oci.image import MANIFEST_TYPE
from hps.release.provenance import provenance
from hps.trust.attachments import Claim, sign_image
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
        made = provenance(proved.lock, proved.target, image, builder=signer.builder_id)
        claims = (
            Claim(PROVENANCE, made),
            Claim(SBOM, canonical.loads(proved.sbom, max_bytes=SBOM_LIMIT)),
        )
        name = reference or image.reference or str(image.digest)
        if reference and ":" not in reference.rpartition("/")[2]:
            name = f"{reference}:{proved.target.name}"
        return sign_image(subject, name, claims, signer)

    return attest
