"""A key signs what is on its list, wherever hps signs."""

import pytest

from hps.digest import Digest
from hps.errors import KeyUnusableError
from hps.oci.attachment import Subject
from hps.trust.attachments import Claim, sign_image
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import Bundle
from hps.trust.file_key import FileKey
from hps.trust.predicates import PROVENANCE, ROLES, SBOM, SIGNATURE
from hps.trust.simple_signing import SimpleSignature
from hps.trust.statement import About, Statement

KEY = FileKey.generate()
SUBJECT = Subject("application/vnd.oci.image.manifest.v1+json", Digest.of(b"image"), 5)


def statement(kind: str) -> Statement:
    return Statement((About("image", SUBJECT.digest),), kind, {})


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", [PROVENANCE, SBOM, SIGNATURE, "https://example.org/revoked", ""])
def test_a_role_signs_its_kinds_and_no_other(role: str, kind: str) -> None:
    signer = AuthorisedSigner(KEY, ROLES[role], name="mine")
    if kind in ROLES[role]:
        assert Bundle.sign(statement(kind), signer).verified_by(KEY.public)
        return
    with pytest.raises(KeyUnusableError, match="the key mine may not sign"):
        Bundle.sign(statement(kind), signer)


def test_the_older_signature_is_a_signature() -> None:
    with pytest.raises(KeyUnusableError, match="may not sign"):
        SimpleSignature.sign(
            SUBJECT.digest, "registry.example/app:1", AuthorisedSigner(KEY, ROLES["rebuild"])
        )


def test_one_claim_that_may_not_be_signed_stops_all() -> None:
    signer = AuthorisedSigner(KEY, (SIGNATURE, SBOM))
    assert sign_image(SUBJECT, "registry.example/app:1", [Claim(SBOM, {})], signer)
    with pytest.raises(KeyUnusableError):
        sign_image(SUBJECT, "registry.example/app:1", [Claim(PROVENANCE, {})], signer)


def test_a_builder_without_a_name_is_called_after_its_key() -> None:
    assert AuthorisedSigner(KEY, ()).builder_id == f"urn:hps:builder:{KEY.public.fingerprint}"
    assert AuthorisedSigner(KEY, (), builder="https://ci.example.org").builder_id == (
        "https://ci.example.org"
    )
