"""Which evidence counts, whether it is enough, and what the verdict says when it is not."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from hps.digest import Digest
from hps.errors import ConfigError, MalformedError
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import Bundle, MessageSignature
from hps.trust.dsse import Envelope
from hps.trust.file_key import FileKey
from hps.trust.judge import MOST_EVIDENCE, Evidence, Judgement, judge
from hps.trust.policy import Policy
from hps.trust.predicates import PROVENANCE, SBOM, SIGNATURE
from hps.trust.simple_signing import SimpleSignature
from hps.trust.statement import About, Statement
from hps.trust.verdict import Reason, Verdict, exit_code

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IMAGE = Digest.of(b"image")
ALL = (SIGNATURE, PROVENANCE, SBOM, "https://example.org/test")
ONE, TWO, STRANGER = (FileKey.generate() for _ in range(3))


def said(
    key: FileKey,
    predicate_type: str = SIGNATURE,
    predicate: Mapping[str, Any] | None = None,
    about: Digest = IMAGE,
) -> Evidence:
    statement = Statement((About("", about),), predicate_type, predicate or {})
    return Evidence("here", Bundle.sign(statement, AuthorisedSigner(key, ALL)))


def built_by(builder: str, key: FileKey = ONE) -> Evidence:
    return said(key, PROVENANCE, {"runDetails": {"builder": {"id": builder}}})


def policy(text: str = "") -> Policy:
    keys = f"""
        version = 1
        {text if text.startswith("unsigned") else ""}
        [keys.one]
        public = '''{ONE.public.pem.decode()}'''
        [keys.two]
        public = '''{TWO.public.pem.decode()}'''
        role = "rebuild"
        predicates = ["provenance", "signature"]
        {"" if text.startswith("unsigned") else text}
    """
    return Policy.parse(keys.encode(), "policy.toml", lambda name: name.encode())


def require(text: str) -> Policy:
    return policy("[[require]]\n" + text)


def decided(asked: Policy, *evidence: Evidence) -> Judgement:
    return judge(evidence, IMAGE, asked, now=NOW)


def codes(judgement: Judgement) -> set[str]:
    return {reason.code for reason in judgement.reasons}


def test_a_signature_of_a_trusted_key_is_enough() -> None:
    found = decided(policy(), said(ONE))
    assert not found.reasons
    assert [(one.key, one.predicate_type) for one in found.accepted] == [("one", SIGNATURE)]


def test_nothing_is_signed() -> None:
    assert codes(decided(policy())) == {"unsigned"}


def test_unsigned_may_be_allowed_but_bad_evidence_is_never() -> None:
    lenient = policy('unsigned = "allow"')
    found = decided(lenient)
    assert not found.reasons
    assert [note.code for note in found.notes] == ["unsigned"]
    assert codes(decided(lenient, said(STRANGER))) == {"predicate-missing", "key-untrusted"}


def test_strangers_and_junk_beside_a_good_signature_change_nothing() -> None:
    junk = Evidence("junk", MalformedError("no bundle", got="x"))
    found = decided(policy(), junk, said(STRANGER), said(ONE, about=Digest.of(b"x")), said(ONE))
    assert not found.reasons
    assert {note.code for note in found.notes} == {
        "document-malformed",
        "key-untrusted",
        "subject-mismatch",
    }


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (said(STRANGER), "key-untrusted"),
        (said(ONE, about=Digest.of(b"other")), "subject-mismatch"),
        (said(TWO, SBOM), "predicate-not-allowed"),
        (said(ONE, "https://example.org/test"), "predicate-not-allowed"),
        (Evidence("x", MalformedError("no", got="x")), "document-malformed"),
        (said(ONE, SIGNATURE, {"hps": {"expires": "2025-12-31T23:59:59Z"}}), "expired"),
        (said(ONE, SIGNATURE, {"hps": {"expires": "2026-01-01T00:00:00Z"}}), "expired"),
        (said(ONE, SIGNATURE, {"hps": {"expires": "tomorrow"}}), "expired"),
        (said(ONE, SIGNATURE, {"hps": {"expires": 9}}), "expired"),
    ],
)
def test_evidence_that_does_not_count_says_why(evidence: Evidence, expected: str) -> None:
    assert codes(decided(policy(), evidence)) == {"predicate-missing", expected}


def test_a_statement_that_ends_later_counts() -> None:
    later = said(ONE, SIGNATURE, {"hps": {"expires": "2026-01-01T00:00:01Z"}})
    assert not decided(policy(), later).reasons


def test_a_statement_of_another_kind_is_no_signature() -> None:
    # cosign takes any statement for one: signing.md of in-toto leaves it to the verifier.
    assert codes(decided(policy(), said(ONE, SBOM))) == {"predicate-missing"}


def test_a_signature_that_names_a_trusted_key_and_is_not_its_own() -> None:
    bundle = said(STRANGER).document
    assert isinstance(bundle, Bundle)
    good = said(ONE).document
    assert isinstance(good, Bundle)
    forged = Evidence("forged", Bundle(bundle.content, good.hint))
    assert "signature-invalid" in codes(decided(policy(), forged))


def test_a_payload_of_another_type() -> None:
    envelope = Envelope.sign("text/plain", b"{}", ONE)
    assert "document-malformed" in codes(decided(policy(), Evidence("x", Bundle(envelope))))


def test_a_signed_payload_that_is_no_statement() -> None:
    envelope = Envelope.sign("application/vnd.in-toto+json", b'{"a":1,"a":2}', ONE)
    assert "document-malformed" in codes(decided(policy(), Evidence("x", Bundle(envelope))))


def test_a_simple_signature_counts_as_a_signature() -> None:
    older = Evidence(
        "x", SimpleSignature.sign(IMAGE, "registry.example/app:1", AuthorisedSigner(ONE, ALL))
    )
    found = decided(policy(), older)
    assert not found.reasons
    assert found.accepted[0].older


def test_a_message_signature_counts_for_the_bytes_it_was_made_over() -> None:
    for data, enough in ((b"image", True), (b"other", False)):
        bundle = Bundle(MessageSignature(Digest.of(data), ONE.sign(data)))
        assert bool(decided(policy(), Evidence("x", bundle)).reasons) is not enough


def test_thresholds_count_keys_and_not_signatures() -> None:
    two = require('predicate = "signature"\nkeys = ["one", "two"]\nthreshold = 2')
    assert not decided(two, said(ONE), said(TWO)).reasons
    assert codes(decided(two, said(ONE), said(ONE), said(ONE))) == {"threshold"}
    older = Evidence("x", SimpleSignature.sign(IMAGE, "r/x:1", AuthorisedSigner(ONE, ALL)))
    assert codes(decided(two, said(ONE), older)) == {"threshold"}
    assert codes(decided(two, said(ONE), said(STRANGER))) == {"threshold", "key-untrusted"}


def test_the_twin_of_a_signature_counts_once() -> None:
    from cryptography.hazmat.primitives.asymmetric.utils import (
        decode_dss_signature,
        encode_dss_signature,
    )

    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    good = said(ONE).document
    assert isinstance(good, Bundle)
    assert isinstance(good.content, Envelope)
    r, s = decode_dss_signature(good.content.signature)
    content = Envelope(
        good.content.payload_type, good.content.payload, encode_dss_signature(r, order - s)
    )
    twin = Evidence("twin", Bundle(content))
    assert not decided(policy(), twin).reasons
    two = require('predicate = "signature"\nkeys = ["one", "two"]\nthreshold = 2')
    assert codes(decided(two, said(ONE), twin)) == {"threshold"}


def test_builders() -> None:
    asked = require('predicate = "provenance"\nbuilders = ["urn:good"]')
    assert not decided(asked, built_by("urn:good")).reasons
    assert codes(decided(asked, built_by("urn:bad"))) == {
        "predicate-missing",
        "builder-not-allowed",
    }
    assert "builder-not-allowed" in codes(decided(asked, said(ONE, PROVENANCE)))


def test_rebuilders_by_number() -> None:
    asked = require('predicate = "provenance"\nkeys = ["one", "two"]\nthreshold = 2')
    assert not decided(asked, built_by("urn:a"), built_by("urn:b", TWO)).reasons
    assert codes(decided(asked, built_by("urn:a"), built_by("urn:b"))) == {"threshold"}


def test_a_key_that_a_requirement_does_not_name_does_not_count() -> None:
    asked = require('predicate = "signature"\nkeys = ["two"]')
    assert codes(decided(asked, said(ONE))) == {"predicate-missing"}


def test_more_evidence_than_is_looked_at() -> None:
    found = decided(policy(), *[said(STRANGER)] * MOST_EVIDENCE, said(ONE))
    assert "limit-exceeded" in codes(found)


def test_a_policy_without_keys_trusts_nobody() -> None:
    empty = Policy.parse(b"version = 1", "p", lambda name: name.encode())
    assert "key-untrusted" in codes(decided(empty, said(ONE)))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "version"),
        ("version = 2", "version"),
        ("version = 1\nextra = 1", "extra"),
        ("version = 1\n[keys.a]\npublic = 'no.pub'", "keys.a.public"),
        ("version = 1\n[keys.a]\npublic = 'x'\nrole = 'king'", "keys.a.role"),
        ("version = 1\n[[require]]\npredicate = 'signature'\nthreshold = 0", "threshold"),
        ("version = 1\n[[require]]\npredicate = 'signature'\nthreshold = -1", "threshold"),
        ("version = 1\n[[require]]\npredicate = 'signature'\nkeys = ['a']", "no key a"),
        ("version = 1\nunsigned = 'maybe'", "unsigned"),
        ("version = '1'", "version"),
        ("version = 1\nversion = 1", "document"),
        ("\xff", "document"),
        ("version = " + "[" * 5000, "document"),
        ("a." * 5000 + "a = 1", "document"),
    ],
)
def test_policies_that_cannot_be(text: str, fault: str) -> None:
    def read(name: str) -> bytes:
        raise FileNotFoundError(name)

    with pytest.raises(ConfigError) as error:
        Policy.parse(text.encode("latin-1"), "policy.toml", read)
    assert error.value.details
    assert fault in str(error.value) or fault == "document"


def test_one_key_under_two_names_is_refused() -> None:
    pem = ONE.public.pem.decode()
    text = f"version = 1\n[keys.a]\npublic = '''{pem}'''\n[keys.b]\npublic = '''{pem}'''"
    with pytest.raises(ConfigError, match="cannot be used") as error:
        Policy.parse(text.encode(), "p", lambda name: name.encode())
    assert error.value.details == ("keys.b: it is the same key as a",)


def test_a_threshold_that_can_never_be_met_is_a_fault() -> None:
    with pytest.raises(ConfigError):
        require('predicate = "signature"\nkeys = ["one", "one"]\nthreshold = 2')


def test_the_exit_code_is_the_sum_of_what_is_wrong() -> None:
    reasons = [Reason("unsigned", "a", ""), Reason("threshold", "b", "")]
    one = Verdict("x", IMAGE, reasons=tuple(reasons))
    two = Verdict("y", IMAGE, reasons=(Reason("blob-extra", "c", ""),))
    assert exit_code([one, two]) == 16 + 64
    assert exit_code([Verdict("z", IMAGE)]) == 0
    assert json.loads(json.dumps(one.as_json()))["verdict"] == "bad"
