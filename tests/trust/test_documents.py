"""Statements, envelopes and bundles: what is written is read back, and nothing else is read."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps import canonical
from hps.digest import Digest
from hps.errors import KeyUnusableError, MalformedError
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import Bundle, MessageSignature
from hps.trust.dsse import Envelope, pae
from hps.trust.encoding import to_base64, unbase64
from hps.trust.file_key import FileKey
from hps.trust.predicates import SIGNATURE
from hps.trust.public_key import PublicKey
from hps.trust.simple_signing import SimpleSignature
from hps.trust.statement import About, Statement

KEY = FileKey.generate()
OTHER = FileKey.generate()
SIGNER = AuthorisedSigner(KEY, (SIGNATURE,))
STATEMENT = Statement((About("image", Digest.of(b"image")),), SIGNATURE, {"a": [1, "ü"]})


def no_passphrase() -> bytes:
    raise AssertionError("nobody should ask")


def test_a_signed_statement_comes_back() -> None:
    data = Bundle.sign(STATEMENT, SIGNER).as_bytes()
    read = Bundle.from_bytes(data)
    assert read.verified_by(KEY.public)
    assert not read.verified_by(OTHER.public)
    assert isinstance(read.content, Envelope)
    assert Statement.from_bytes(read.content.payload) == STATEMENT
    assert read.as_bytes() == data


def test_signing_twice_gives_the_same_bytes() -> None:
    assert Bundle.sign(STATEMENT, SIGNER).as_bytes() == Bundle.sign(STATEMENT, SIGNER).as_bytes()


def test_the_signed_bytes_are_those_of_the_specification() -> None:
    # DSSE protocol.md, "Test Vectors".
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("tüp", b"") == "DSSEv1 4 tüp 0 ".encode()


def test_openssl_agrees(tmp_path: Path) -> None:
    public, signature, message = (tmp_path / name for name in ("key.pub", "signature", "message"))
    message.write_bytes(b"hello")
    signature.write_bytes(KEY.sign(b"hello"))
    public.write_bytes(KEY.public.pem)
    verify = ["openssl", "dgst", "-sha256", "-verify", str(public)]
    verify += ["-signature", str(signature), str(message)]
    assert subprocess.run(verify, check=False, capture_output=True).returncode == 0
    message.write_bytes(b"hellO")
    assert subprocess.run(verify, check=False, capture_output=True).returncode != 0


def tampered(change: Any) -> bytes:
    document = json.loads(Bundle.sign(STATEMENT, SIGNER).as_bytes())
    change(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("mediaType"),
        lambda d: d.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2"),
        lambda d: d.update(more=1),
        lambda d: d.update(messageSignature={}),
        lambda d: d.pop("dsseEnvelope"),
        lambda d: d["dsseEnvelope"].update(signatures=[]),
        lambda d: d["dsseEnvelope"]["signatures"].append(d["dsseEnvelope"]["signatures"][0]),
        lambda d: d["dsseEnvelope"]["signatures"][0].update(cert="x"),
        lambda d: d["dsseEnvelope"].update(payload=d["dsseEnvelope"]["payload"] + "\n"),
        lambda d: d["dsseEnvelope"].update(payload=3),
        lambda d: d["dsseEnvelope"].update(payloadType=None),
        lambda d: d.update(verificationMaterial=[]),
        lambda d: d["verificationMaterial"]["publicKey"].update(rawBytes="AA=="),
    ],
)
def test_other_documents_are_not_read(change: Any) -> None:
    with pytest.raises(MalformedError):
        Bundle.from_bytes(tampered(change))


def test_another_payload_type_breaks_the_signature() -> None:
    data = tampered(lambda d: d["dsseEnvelope"].update(payloadType="text/plain"))
    assert not Bundle.from_bytes(data).verified_by(KEY.public)


@pytest.mark.parametrize(
    "text",
    ["QR==", "QQ", "QQ==\n", " QQ==", "Q-==", "_w==", "QQ===", "Q", "é"],
)
def test_base64_has_one_text(text: str) -> None:
    with pytest.raises(ValueError):
        unbase64(text)


@given(st.binary())
def test_base64_comes_back(data: bytes) -> None:
    assert unbase64(to_base64(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'{"a":NaN}',
        b"[1.0]",
        b"[1e3]",
        b"[9007199254740992]",
        b'["\\ud800"]',
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"{}\x00",
        b"{//c\n}",
        b'["\xff"]',
        "{}".encode("utf-16"),
        b"[" * 65 + b"]" * 65,
        b"[" * 100_000 + b"]" * 100_000,
        b"",
    ],
)
def test_json_that_readers_see_differently(data: bytes) -> None:
    with pytest.raises(ValueError):
        canonical.loads(data)


def test_json_that_is_too_long() -> None:
    with pytest.raises(ValueError, match="longer than 4 bytes"):
        canonical.loads(b"[1,2]", max_bytes=4)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text(st.characters(max_codepoint=127)), inner)
        ),
        max_leaves=20,
    )
)
def test_what_is_written_canonically_is_read(value: Any) -> None:
    assert canonical.loads(canonical.dumps(value)) == value


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(_type="https://in-toto.io/Statement/v2"),
        lambda d: d.update(subject=[]),
        lambda d: d.update(extra=1),
        lambda d: d.update(predicate=[]),
        lambda d: d.update(predicateType=7),
        lambda d: d["subject"][0].update(digest={}),
        lambda d: d["subject"][0].update(digest={"sha1": "00" * 20}),
        lambda d: d["subject"][0].update(digest={"sha256": "AB" * 32}),
        lambda d: d["subject"][0].update(digest={"sha256": "00"}),
        lambda d: d["subject"][0].update(unknown=1),
        lambda d: d["subject"][0].pop("digest"),
    ],
)
def test_other_statements_are_not_read(change: Any) -> None:
    document = json.loads(STATEMENT.as_bytes())
    change(document)
    with pytest.raises(MalformedError):
        Statement.from_bytes(json.dumps(document).encode())


def test_a_message_signature_is_over_the_bytes_and_not_over_what_it_claims() -> None:
    digest = Digest.of(b"file")
    bundle = Bundle(MessageSignature(digest, KEY.sign(b"file")))
    assert bundle.verified_by(KEY.public, digest)
    assert not bundle.verified_by(KEY.public, Digest.of(b"other"))
    assert not bundle.verified_by(KEY.public)
    assert not Bundle(MessageSignature(digest, KEY.sign(b"other"))).verified_by(KEY.public, digest)


def test_a_simple_signature_comes_back() -> None:
    made = SimpleSignature.sign(Digest.of(b"image"), "registry.example/app:1", SIGNER)
    read = SimpleSignature.read(made.payload, to_base64(made.signature))
    assert read == made
    assert read.verified_by(KEY.public)
    assert not read.verified_by(OTHER.public)


@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_a_key_comes_back(passphrase: bytes | None) -> None:
    pem = KEY.pem(passphrase)
    read = FileKey.from_pem(pem, lambda: passphrase or no_passphrase())
    assert read.public == KEY.public
    assert PublicKey.from_pem(KEY.public.pem) == KEY.public


def openssl(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


def test_other_keys_are_refused() -> None:
    for kind in (
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        ["genpkey", "-algorithm", "ED25519"],
        ["ecparam", "-name", "prime256v1", "-genkey", "-noout"],
    ):
        with pytest.raises(KeyUnusableError):
            FileKey.from_pem(openssl(*kind), no_passphrase)
    pem = KEY.public.pem
    for wrong in (KEY.pem(None), pem + pem, b"", pem[:-40], b"x" * 10_000, pem + b"more"):
        with pytest.raises(KeyUnusableError):
            PublicKey.from_pem(wrong)
    with pytest.raises(KeyUnusableError, match="passphrase is wrong"):
        FileKey.from_pem(KEY.pem(b"one"), lambda: b"two")
