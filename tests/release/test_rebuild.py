"""What rebuilders say of an image, and when a policy has enough of them."""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hps.build.image import Built, build
from hps.digest import Digest
from hps.errors import KeyUnusableError
from hps.oci.attach import attach
from hps.oci.attachment import Attachment, Subject, referrer
from hps.oci.image import MANIFEST_TYPE
from hps.oci.layout import write_layout
from hps.release.attest import attesting
from hps.release.claimed import claimed_layout
from hps.release.rebuild import Rebuilt, is_attested, sign
from hps.release.rebuild import referrer as attestation
from hps.trust.attachments import Claim, bundle_referrer
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import BUNDLE_TYPE
from hps.trust.dsse import Envelope
from hps.trust.file_key import FileKey
from hps.trust.policy import Policy
from hps.trust.predicates import PROVENANCE, ROLES
from hps.trust.public_key import PublicKey
from hps.trust.statement import Statement
from hps.trust.verdict import Verdict
from hps.trust.verification import Check, verify_layout
from tests.build.laboratory import Laboratory

pytestmark = pytest.mark.network

RELEASE = AuthorisedSigner(FileKey.generate(), ROLES["build"], "release", "urn:example:release")
ALICE, BOB, CAROL = (
    AuthorisedSigner(FileKey.generate(), ROLES["rebuild"], name, f"urn:example:{name}")
    for name in ("alice", "bob", "carol")
)
REBUILDERS = {"alice": ALICE, "bob": BOB, "carol": CAROL}


class Forgetful:
    """A key that signs differently each time, as those in tokens do."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public(self) -> PublicKey:
        return PublicKey(
            self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))


@pytest.fixture
def built(lab: Laboratory) -> Built:
    return lab.built()


@pytest.fixture
def layout(lab: Laboratory, built: Built, tmp_path: Path) -> Path:
    """The image, with provenance of its builder and nothing else."""
    image = built.image
    claim = _claim(Rebuilt(built, lab.lock, None), RELEASE)
    theirs = bundle_referrer(_subject(built), claim, RELEASE)
    write_layout(tmp_path / "image", [image], lab.blob, [theirs])
    return tmp_path / "image"


def _subject(built: Built) -> Subject:
    return Subject(MANIFEST_TYPE, built.image.digest, len(built.image.manifest))


def _claim(rebuilt: Rebuilt, signer: AuthorisedSigner) -> Claim:
    content = sign(rebuilt, signer).content
    assert isinstance(content, Envelope)
    return Claim(PROVENANCE, Statement.from_bytes(content.payload).predicate)


def rebuilt(lab: Laboratory, built: Built, layout: Path) -> Rebuilt:
    return Rebuilt(built, lab.lock, claimed_layout(layout))


def policy(threshold: int, keys: Sequence[str] = tuple(REBUILDERS)) -> Policy:
    text = "version = 1\n"
    for name, signer in REBUILDERS.items():
        pem = signer.public.pem.decode()
        text += f"[keys.{name}]\npublic = '''{pem}'''\nrole = \"rebuild\"\n"
    text += '[[require]]\npredicate = "provenance"\n'
    text += f"keys = {json.dumps(list(keys))}\nthreshold = {threshold}\n"
    return Policy.parse(text.encode(), "policy.toml", lambda name: name.encode())


def judged(layout: Path, asked: Policy) -> Verdict:
    (verdict,) = verify_layout(layout, Check(asked, datetime.now(UTC)))
    return verdict


def codes(layout: Path, asked: Policy) -> set[str]:
    return {one.code for one in judged(layout, asked).reasons}


def test_it_is_what_the_builder_says_but_for_the_builder(lab: Laboratory, built: Built) -> None:
    """With the attestation of `hps build` itself on the other side."""
    attested = build(lab.open(), "cpu", attest=attesting(RELEASE, None)).attachments
    (theirs,) = (
        one
        for one in attested
        if one.annotations.get("dev.sigstore.bundle.predicateType") == PROVENANCE
    )
    ours = attestation(Rebuilt(built, lab.lock, None), ALICE)
    one, other = _said(theirs), _said(ours)
    assert one["predicate"]["runDetails"]["builder"].pop("id") == "urn:example:release"
    assert other["predicate"]["runDetails"]["builder"].pop("id") == "urn:example:alice"
    assert one == other
    # With one key and one builder, it is the same to the last byte.
    assert attestation(Rebuilt(built, lab.lock, None), RELEASE) == theirs


def _said(found: Attachment) -> Any:
    envelope = json.loads(found.blobs[1])["dsseEnvelope"]
    return json.loads(base64.b64decode(envelope["payload"]))


def test_two_of_three(lab: Laboratory, built: Built, layout: Path) -> None:
    asked = policy(2)
    assert codes(layout, asked) >= {"threshold"}
    for name, enough in (("alice", False), ("carol", True), ("bob", True)):
        this = rebuilt(lab, built, layout)
        assert attach(layout, this.digest, [attestation(this, REBUILDERS[name])])
        verdict = judged(layout, asked)
        assert verdict.good is enough, verdict
    assert {one.key for one in verdict.accepted} == set(REBUILDERS)
    assert {one.builder for one in verdict.accepted} == {
        signer.builder_id for signer in REBUILDERS.values()
    }


def test_only_the_named_rebuilders_count(lab: Laboratory, built: Built, layout: Path) -> None:
    this = rebuilt(lab, built, layout)
    attach(layout, this.digest, [attestation(this, ALICE), attestation(this, BOB)])
    assert judged(layout, policy(2, ["alice", "bob"])).good
    assert codes(layout, policy(2, ["alice", "carol"])) >= {"threshold"}


def test_one_who_says_it_twice_counts_once(lab: Laboratory, built: Built, layout: Path) -> None:
    this = rebuilt(lab, built, layout)
    bundle = sign(this, ALICE).as_bytes()
    again = referrer(_subject(built), BUNDLE_TYPE, bundle, {"again": "1"})
    other = AuthorisedSigner(ALICE.key, ALICE.predicates, "alice", "urn:example:somebody-else")
    many = [attestation(this, ALICE), again, attestation(this, other)]
    assert attach(layout, this.digest, many)
    verdict = judged(layout, policy(2))
    assert [one.key for one in verdict.accepted] == ["alice"] * 3
    assert {one.code for one in verdict.reasons} >= {"threshold"}


def test_who_attests_another_image_does_not_count(
    lab: Laboratory, built: Built, layout: Path
) -> None:
    this = rebuilt(lab, built, layout)
    claim = _claim(this, CAROL)
    another = Subject(MANIFEST_TYPE, Digest.of(b"another image"), 7)
    bundle = bundle_referrer(another, claim, CAROL).blobs[1]
    beside = referrer(_subject(built), BUNDLE_TYPE, bundle, {})
    attach(layout, this.digest, [attestation(this, ALICE), beside])
    assert codes(layout, policy(2)) >= {"threshold", "subject-mismatch"}
    assert judged(layout, policy(1)).good


def test_said_before(lab: Laboratory, built: Built, layout: Path) -> None:
    this = rebuilt(lab, built, layout)
    assert not is_attested(this, ALICE)
    attach(layout, this.digest, [attestation(this, ALICE)])
    this = rebuilt(lab, built, layout)
    assert is_attested(this, ALICE)
    assert not is_attested(this, BOB)
    assert is_attested(this, RELEASE)


def test_said_before_with_a_key_that_signs_differently_each_time(
    lab: Laboratory, built: Built, layout: Path
) -> None:
    token = AuthorisedSigner(Forgetful(), ROLES["rebuild"], "token")
    this = rebuilt(lab, built, layout)
    one, other = attestation(this, token), attestation(this, token)
    assert one != other
    attach(layout, this.digest, [one])
    assert is_attested(rebuilt(lab, built, layout), token)


def test_a_statement_that_somebody_else_signed_is_not_ones_own(
    lab: Laboratory, built: Built, layout: Path
) -> None:
    this = rebuilt(lab, built, layout)
    forged = AuthorisedSigner(BOB.key, ROLES["rebuild"], "bob", ALICE.builder_id)
    attach(layout, this.digest, [attestation(this, forged)])
    assert not is_attested(rebuilt(lab, built, layout), ALICE)


def test_a_key_for_files_attests_nothing(lab: Laboratory, built: Built, layout: Path) -> None:
    files = AuthorisedSigner(FileKey.generate(), ROLES["file"], "files")
    with pytest.raises(KeyUnusableError, match="may not sign"):
        sign(rebuilt(lab, built, layout), files)


def test_a_rebuilder_signs_nothing_else() -> None:
    assert ROLES["rebuild"] == (PROVENANCE,)
