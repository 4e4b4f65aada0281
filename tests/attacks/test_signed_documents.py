"""Forged and malformed bundles, statements and keys: the reason that `hps verify` gives.

The numbers are those of docs/explanation/attacks.md.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hps.digest import Digest
from hps.errors import ConfigError
from hps.trust.bundle import BUNDLE_TYPE
from hps.trust.dsse import pae
from hps.trust.encoding import to_base64
from hps.trust.policy import Policy
from hps.trust.predicates import PAYLOAD_TYPE, PROVENANCE, SBOM, SIGNATURE, STATEMENT_TYPE
from hps.trust.verification import verify_file
from tests.trust.signed import (
    BUILDER,
    KEY,
    SECOND,
    STRANGER,
    check,
    codes,
    policy,
    sign_bytes,
    trusting,
)

DATA = b"data"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
REFUSED = {"predicate-missing"}
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
REVOCATION = "https://example.org/revocation/v1"


def statement(**changes: Any) -> dict[str, Any]:
    found = {
        "_type": STATEMENT_TYPE,
        "subject": [{"digest": {"sha256": Digest.of(DATA).hex}}],
        "predicateType": SIGNATURE,
        "predicate": {},
        **changes,
    }
    return {key: value for key, value in found.items() if value is not None}


def bundle(
    payload: bytes,
    *,
    signed: bytes | None = None,
    signature: bytes | None = None,
    kind: str = PAYLOAD_TYPE,
) -> dict[str, Any]:
    """A bundle whose hint names KEY, with what is signed or the signature exchanged."""
    made = KEY.sign(pae(kind, payload) if signed is None else signed)
    return {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": to_base64(bytes.fromhex(KEY.public.fingerprint))}
        },
        "dsseEnvelope": {
            "payload": to_base64(payload),
            "payloadType": kind,
            "signatures": [{"sig": to_base64(made if signature is None else signature)}],
        },
    }


def good() -> dict[str, Any]:
    return bundle(json.dumps(statement()).encode())


def judged(
    tmp_path: Path, document: dict[str, Any] | bytes, trusted: Policy | None = None
) -> set[str]:
    """The codes for a file with this bundle."""
    path = tmp_path / "file"
    path.write_bytes(DATA)
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    (tmp_path / "file.sigstore.json").write_bytes(data)
    return codes([verify_file(path, check(trusted))])


def test_the_bundle_that_everything_here_begins_with_is_good(tmp_path: Path) -> None:
    assert not judged(tmp_path, good())


# 2: freshness


def test_2_a_statement_that_has_ended(tmp_path: Path) -> None:
    ended = statement(predicate={"hps": {"expires": "2025-12-31T00:00:00Z"}})
    found = judged(tmp_path, bundle(json.dumps(ended).encode()))
    assert found == REFUSED | {"expired"}


# 3: mix and match


def test_3_the_bundle_of_another_file(tmp_path: Path) -> None:
    one = sign_bytes(tmp_path / "one", b"one")
    two = sign_bytes(tmp_path / "two", b"two")
    (tmp_path / "one.sigstore.json").replace(tmp_path / "two.sigstore.json")
    assert codes([verify_file(two, check())]) == REFUSED | {"subject-mismatch"}
    assert codes([verify_file(one, check())]) == {"unsigned"}


# 5: endless data


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 1_000_000,
        b'{"a":' * 500 + b"1" + b"}" * 500,
        json.dumps(statement(predicate={"a": json.loads("[" * 70 + "]" * 70)})).encode(),
        json.dumps(statement(subject=[{"digest": {"sha256": "0" * 64}}] * 100_000)).encode(),
    ],
    ids=["unclosed", "deep", "deep predicate", "1e5 subjects"],
)
def test_5_documents_that_are_deep_or_list_too_much(tmp_path: Path, payload: bytes) -> None:
    assert judged(tmp_path, bundle(payload)) == REFUSED | {"document-malformed"}
    assert judged(tmp_path, payload) == REFUSED | {"document-malformed"}


def test_5_a_bundle_of_ten_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = sign_bytes(tmp_path / "file", DATA)
    with (tmp_path / "file.sigstore.json").open("r+b") as file:
        file.truncate(10 << 30)  # sparse: it takes no room
    assert codes([verify_file(path, check())]) == {"limit-exceeded"}


def test_5_too_many_log_entries(tmp_path: Path) -> None:
    document = good()
    document["verificationMaterial"]["tlogEntries"] = [{}] * 1000
    assert judged(tmp_path, document) == REFUSED | {"document-malformed"}


# 6: thresholds


def test_6_one_signature_twice_in_an_envelope(tmp_path: Path) -> None:
    document = good()
    document["dsseEnvelope"]["signatures"] *= 2
    assert judged(tmp_path, document) == REFUSED | {"document-malformed"}


def test_6_two_signatures_with_one_key_id(tmp_path: Path) -> None:
    document = good()
    (one,) = document["dsseEnvelope"]["signatures"]
    document["dsseEnvelope"]["signatures"] = [{**one, "keyid": "a"}, {**one, "keyid": "a"}]
    assert judged(tmp_path, document) == REFUSED | {"document-malformed"}


def test_6_a_key_id_changes_nothing(tmp_path: Path) -> None:
    document = good()
    document["dsseEnvelope"]["signatures"][0]["keyid"] = "key of somebody else"
    assert not judged(tmp_path, document)


def test_6_the_twin_of_a_signature_is_no_second_key(tmp_path: Path) -> None:
    payload = json.dumps(statement()).encode()
    r, s = decode_dss_signature(KEY.sign(pae(PAYLOAD_TYPE, payload)))
    twin = bundle(payload, signature=encode_dss_signature(r, ORDER - s))
    assert not judged(tmp_path, twin), "it is as good as the other"
    two = policy('[[require]]\npredicate = "signature"\nthreshold = 2', a=KEY, b=SECOND)
    assert judged(tmp_path, twin, two) == {"threshold"}


def test_6_one_of_two(tmp_path: Path) -> None:
    two = policy('[[require]]\npredicate = "signature"\nthreshold = 2', a=KEY, b=SECOND)
    assert judged(tmp_path, good(), two) == {"threshold"}


@pytest.mark.parametrize(
    "text",
    [
        '[[require]]\npredicate = "signature"\nthreshold = 0',
        '[[require]]\npredicate = "signature"\nthreshold = -1',
        '[[require]]\npredicate = "signature"\nthreshold = 3',
        '[[require]]\npredicate = "signature"\nkeys = ["a", "a"]\nthreshold = 2',
        '[[require]]\npredicate = "signature"\nkeys = ["nobody"]',
        f"[keys.c]\nrole = 'king'\npublic = '''{STRANGER.public.pem.decode()}'''",
        f"[keys.c]\npublic = '''{KEY.public.pem.decode()}'''",
    ],
    ids=["0", "-1", "3 of 2", "twice", "unknown key", "unknown role", "two names"],
)
def test_6_policies_that_cannot_be(text: str) -> None:
    with pytest.raises(ConfigError):
        policy(text, a=KEY, b=SECOND)


# 7: other keys


def test_7_the_key_of_somebody_else(tmp_path: Path) -> None:
    path = sign_bytes(tmp_path / "file", DATA, key=STRANGER)
    assert codes([verify_file(path, check())]) == REFUSED | {"key-untrusted"}


def test_7_a_hint_that_names_a_trusted_key(tmp_path: Path) -> None:
    payload = json.dumps(statement()).encode()
    forged = bundle(payload, signature=STRANGER.sign(pae(PAYLOAD_TYPE, payload)))
    assert judged(tmp_path, forged) == REFUSED | {"signature-invalid"}


def test_7_a_key_inside_the_bundle_is_not_used(tmp_path: Path) -> None:
    payload = json.dumps(statement()).encode()
    forged = bundle(payload, signature=STRANGER.sign(pae(PAYLOAD_TYPE, payload)))
    key = {"rawBytes": to_base64(STRANGER.public.der)}
    forged["verificationMaterial"]["publicKey"] = key
    assert judged(tmp_path, forged) == REFUSED | {"document-malformed"}
    forged["verificationMaterial"] = {"certificate": key}
    assert judged(tmp_path, forged) == REFUSED | {"key-untrusted"}


def test_7_a_key_of_another_role(tmp_path: Path) -> None:
    roles = (
        "[keys.rebuilder]\nrole = 'rebuild'\n"
        f"public = '''{SECOND.public.pem.decode()}'''\n"
        "[[require]]\npredicate = 'signature'"
    )
    path = sign_bytes(tmp_path / "file", DATA, key=SECOND)
    found = codes([verify_file(path, check(policy(roles, release=KEY)))])
    assert found == REFUSED | {"predicate-not-allowed"}


# 8: other kinds of statement


@pytest.mark.parametrize("kind", [TEST_RESULT, REVOCATION, "", "signature"])
def test_8_a_statement_of_another_kind_is_no_signature(tmp_path: Path, kind: str) -> None:
    path = sign_bytes(tmp_path / "file", DATA, predicate_type=kind)
    assert codes([verify_file(path, check())]) == REFUSED | {"predicate-not-allowed"}


def test_8_a_kind_that_the_key_may_sign_is_still_no_signature(tmp_path: Path) -> None:
    path = sign_bytes(tmp_path / "file", DATA, predicate_type=SBOM)
    assert codes([verify_file(path, check())]) == REFUSED


def test_8_provenance_of_another_builder(tmp_path: Path) -> None:
    asked = policy(f'[[require]]\npredicate = "provenance"\nbuilders = ["{BUILDER}"]', a=KEY)
    for builder in ("urn:evil", BUILDER + "/", BUILDER.upper(), 1, None, {"id": BUILDER}):
        said = {"runDetails": {"builder": {"id": builder}}}
        path = sign_bytes(tmp_path / "file", DATA, predicate_type=PROVENANCE, predicate=said)
        found = codes([verify_file(path, check(asked))])
        assert found == REFUSED | {"builder-not-allowed"}, builder


# 9: JSON


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"predicate":', '"predicate": {"x": 1}, "predicate":'),
        lambda text: text.replace('"_type":', '"_type": "x", "_type":'),
        lambda text: text.replace("{}", '{"a": NaN}'),
        lambda text: text.replace("{}", '{"a": Infinity}'),
        lambda text: text.replace("{}", '{"a": 1.0}'),
        lambda text: text.replace("{}", '{"a": 1e3}'),
        lambda text: text.replace("{}", '{"a": 9007199254740993}'),
        lambda text: text.replace("{}", '{"a": "\\ud800"}'),
        lambda text: text.replace("{}", '{"\\udfff": 1}'),
        lambda text: "\ufeff" + text,
        lambda text: text + " {}",
        lambda text: text + "\0",
        lambda text: text.replace("{}", "{} // why"),
        lambda text: text.replace("{}", "{},"),
        lambda text: text.replace('"', "'"),
        lambda text: text.replace("{}", '{"a": "\n"}'),
        lambda text: text.replace("{}", "[]"),
        lambda text: text.replace("{}", "null"),
        lambda text: text.replace('"subject": [', '"subject": [null, '),
        lambda text: text.replace('"predicate":', '"extra": 1, "predicate":'),
        lambda _: "null",
        lambda _: "",
    ],
)
def test_9_json_that_readers_disagree_about(tmp_path: Path, change: Callable[[str], str]) -> None:
    payload = change(json.dumps(statement()))
    for data in (payload.encode(), payload.encode("utf-16"), payload.encode("utf-8") + b"\xff"):
        assert judged(tmp_path, bundle(data)) == REFUSED | {"document-malformed"}


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"mediaType":', '"mediaType": "x", "mediaType":'),
        lambda text: text.replace('"payload":', '"payload": "", "payload":'),
        lambda text: text.replace('"hint":', '"hint": 1.0, "other":'),
        lambda text: "\ufeff" + text,
        lambda text: text + text,
        lambda text: text.replace('"mediaType":', '"extra": [], "mediaType":'),
        lambda text: text.replace("v0.3", "v0.4"),
        lambda text: text.replace('"dsseEnvelope":', '"messageSignature": {}, "dsseEnvelope":'),
    ],
)
def test_9_bundles_that_readers_disagree_about(
    tmp_path: Path, change: Callable[[str], str]
) -> None:
    text = change(json.dumps(good()))
    assert judged(tmp_path, text.encode()) == REFUSED | {"document-malformed"}


@pytest.mark.parametrize(
    "digest",
    [
        {"sha256": Digest.of(DATA).hex.upper()},
        {"sha512": "0" * 128},
        {"sha1": "0" * 40},
        {},
        {"sha256": ""},
        {"sha256": None},
        Digest.of(DATA).hex,
    ],
)
def test_9_subjects_without_a_proper_sha256(tmp_path: Path, digest: Any) -> None:
    said = json.dumps(statement(subject=[{"digest": digest}])).encode()
    assert judged(tmp_path, bundle(said)) == REFUSED | {"document-malformed"}


# 10: base64


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text[:8] + "\r\n" + text[8:],
        lambda text: text.rstrip("=") if text.endswith("=") else text + "=",
        lambda text: text[:-1] + "*",
        lambda text: text + "AA==",
        lambda text: text.replace("+", "-").replace("/", "_") + "-",
        lambda text: text[: len(text) // 4 * 4 - 4] + "QR==",
        lambda text: "\u0410" + text,
        lambda _: 7,
        lambda _: None,
    ],
)
@pytest.mark.parametrize("field", ["payload", "sig"])
def test_10_base64_that_has_another_text_for_the_same_bytes(
    tmp_path: Path, field: str, change: Callable[[str], Any]
) -> None:
    document = good()
    envelope = document["dsseEnvelope"]
    place = envelope if field == "payload" else envelope["signatures"][0]
    place[field] = change(place[field])
    assert judged(tmp_path, document) - {"signature-invalid"} in (
        REFUSED | {"document-malformed"},
        REFUSED,  # proper base64, and other bytes: then the signature is none
    )
    assert judged(tmp_path, document) != REFUSED


# 11: what is signed


PAYLOAD = json.dumps(statement()).encode()
N = len(PAYLOAD)
T = PAYLOAD_TYPE.encode()


@pytest.mark.parametrize(
    "signed",
    [
        PAYLOAD,
        T + PAYLOAD,
        b"DSSEv1 %d %s %d %s" % (len(T) + 1, T, N, PAYLOAD),
        b"DSSEv1 %d %s %d %s" % (len(T), T, N - 1, PAYLOAD),
        b"DSSEv1 %d %s %d %s" % (len(T), T, N + 1, PAYLOAD),
        b"DSSEv1 %d %s %d%s" % (len(T), T, N, PAYLOAD),
        b"DSSEv1 %d %s  %d %s" % (len(T), T, N, PAYLOAD),
        b"DSSEv1 %d %s %d %s" % (N, PAYLOAD, len(T), T),
        b"DSSEv2 %d %s %d %s" % (len(T), T, N, PAYLOAD),
        b"DSSEv1 0%d %s %d %s" % (len(T), T, N, PAYLOAD),
        b"DSSEv1 %d %s %d %s\n" % (len(T), T, N, PAYLOAD),
        b"DSSEv1" + len(T).to_bytes(8, "little") + T + N.to_bytes(8, "little") + PAYLOAD,
        to_base64(PAYLOAD).encode(),
    ],
)
def test_11_something_else_is_signed_than_the_encoding_says(tmp_path: Path, signed: bytes) -> None:
    assert judged(tmp_path, bundle(PAYLOAD, signed=signed)) == REFUSED | {"signature-invalid"}


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/vnd.in-toto+json ",
        "Application/vnd.in-toto+json",
        "",
        "tüp",
        "a\0b",
    ],
)
def test_11_a_payload_of_another_type(tmp_path: Path, kind: str) -> None:
    assert judged(tmp_path, bundle(PAYLOAD, kind=kind)) == REFUSED | {"document-malformed"}
    swapped = good()
    swapped["dsseEnvelope"]["payloadType"] = kind
    assert judged(tmp_path, swapped) == REFUSED | {"signature-invalid"}


# 12: algorithms


def public(key: Any) -> str:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


@pytest.mark.parametrize(
    "pem",
    [
        public(rsa.generate_private_key(65537, 2048)),
        public(ed25519.Ed25519PrivateKey.generate()),
        public(ec.generate_private_key(ec.SECP384R1())),
        public(ec.generate_private_key(ec.SECP256K1())),
        # An Ed25519 key of small order, under which forgeries verify.
        "-----BEGIN PUBLIC KEY-----\n"
        + to_base64(bytes.fromhex("302a300506032b6570032100") + b"\1" + bytes(31))
        + "\n-----END PUBLIC KEY-----\n",
    ],
    ids=["RSA", "Ed25519", "P-384", "secp256k1", "small order"],
)
def test_12_keys_of_other_algorithms(pem: str) -> None:
    with pytest.raises(ConfigError) as error:
        Policy.parse(f"version = 1\n[keys.a]\npublic = '''{pem}'''".encode(), "p", str.encode)
    assert "keys.a.public" in str(error.value)


def raw(signature: bytes) -> bytes:
    r, s = decode_dss_signature(signature)
    return r.to_bytes(32) + s.to_bytes(32)


@pytest.mark.parametrize(
    "sign",
    [
        lambda message: KEY._key.sign(message, ec.ECDSA(hashes.SHA384())),
        lambda message: KEY._key.sign(message, ec.ECDSA(hashes.SHA512())),
        lambda message: ed25519.Ed25519PrivateKey.generate().sign(message),
        lambda message: raw(KEY.sign(message)),
        lambda message: KEY.sign(message) + b"\0",
        lambda message: b"\x30\x81" + KEY.sign(message)[1:],
        lambda _: encode_dss_signature(0, 0),
        lambda _: encode_dss_signature(1, 0),
        lambda _: encode_dss_signature(ORDER, ORDER),
        lambda _: bytes(64),
        lambda _: b"",
    ],
)
def test_12_signatures_of_other_algorithms(tmp_path: Path, sign: Callable[[bytes], bytes]) -> None:
    forged = bundle(PAYLOAD, signature=sign(pae(PAYLOAD_TYPE, PAYLOAD)))
    assert judged(tmp_path, forged) == REFUSED | {"signature-invalid"}


def message_signature(algorithm: str, digest: bytes, signature: bytes) -> dict[str, Any]:
    document = good()
    del document["dsseEnvelope"]
    document["messageSignature"] = {
        "messageDigest": {"algorithm": algorithm, "digest": to_base64(digest)},
        "signature": to_base64(signature),
    }
    return document


def test_12_the_algorithm_is_not_taken_from_the_bundle(tmp_path: Path) -> None:
    digest = bytes.fromhex(Digest.of(DATA).hex)
    assert not judged(tmp_path, message_signature("SHA2_256", digest, KEY.sign(DATA)))
    for algorithm in ("SHA2_512", "none", "", "sha2_256"):
        forged = message_signature(algorithm, digest, KEY.sign(DATA))
        assert judged(tmp_path, forged) == REFUSED | {"document-malformed"}


def test_12_a_digest_in_the_bundle_that_is_not_that_of_the_file(tmp_path: Path) -> None:
    other = bytes.fromhex(Digest.of(b"other").hex)
    forged = message_signature("SHA2_256", other, KEY.sign(b"other"))
    assert judged(tmp_path, forged) == REFUSED | {"signature-invalid"}


# 13: the same text in other bytes


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(SIGNATURE, SIGNATURE.replace("/", "\\/")),
        lambda text: text.replace("sigstore", "\\u0073igstore"),
        lambda text: text.replace(": ", ":"),
        lambda text: json.dumps(dict(reversed(json.loads(text).items()))),
        lambda text: text + "\n",
    ],
)
def test_13_a_payload_that_was_written_anew(tmp_path: Path, change: Callable[[str], str]) -> None:
    text = PAYLOAD.decode()
    assert change(text) != text
    document = good()
    document["dsseEnvelope"]["payload"] = to_base64(change(text).encode())
    assert judged(tmp_path, document) == REFUSED | {"signature-invalid"}


def test_13_line_ends_that_were_changed(tmp_path: Path) -> None:
    path = sign_bytes(tmp_path / "text", b"a\nb\n")
    path.write_bytes(b"a\r\nb\r\n")
    assert codes([verify_file(path, check())]) == REFUSED | {"subject-mismatch"}


# 38: keys of the policy


@pytest.mark.parametrize(
    "pem",
    [
        KEY.pem(None).decode(),
        KEY.pem(b"secret").decode(),
        KEY.public.pem.decode() + SECOND.public.pem.decode(),
        KEY.public.pem.decode().replace("PUBLIC KEY", "CERTIFICATE"),
        KEY.public.pem.decode().replace("PUBLIC KEY", "RSA PUBLIC KEY"),
        KEY.public.pem.decode().replace("M", "*", 1),
        "hello -----BEGIN",
    ],
    ids=["private", "encrypted", "two", "certificate", "PKCS#1", "damaged", "text"],
)
def test_38_a_policy_with_something_else_than_a_public_key(pem: str) -> None:
    with pytest.raises(ConfigError):
        Policy.parse(f"version = 1\n[keys.a]\npublic = '''{pem}'''".encode(), "p", str.encode)


def test_38_a_policy_without_keys_accepts_nothing(tmp_path: Path) -> None:
    empty = Policy.parse(b"version = 1", "p", str.encode)
    assert "key-untrusted" in judged(tmp_path, good(), empty)
    assert not judged(tmp_path, good(), trusting(STRANGER, KEY))
