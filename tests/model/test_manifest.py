"""Manifests: signed, read, and refused when they are not what somebody trusted has signed."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps import canonical
from hps.digest import Digest
from hps.errors import KeyUnusableError, LimitError, MalformedError
from hps.model import manifest
from hps.model.manifest import LARGEST, MOST_SIGNATURES, Signed, key_hint, root_digest
from hps.model.probe import Probe
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import Bundle
from hps.trust.dsse import Envelope, pae
from hps.trust.encoding import to_base64, unbase64
from hps.trust.file_key import FileKey
from hps.trust.predicates import MODEL, PAYLOAD_TYPE, SIGNATURE
from hps.trust.statement import About, Statement
from tests.model.releases import KEY, SECOND, STRANGER, release, signer, trusted

RELEASE = release(
    version="1.0",
    probe=Probe({"x": {"datatype": "FP32", "shape": [1], "data": [0.5]}}, {}),
    runtime={"paddlex": "3.7.2"},
)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256


def payload() -> dict[str, Any]:
    found = json.loads(manifest.statement_of(RELEASE).as_bytes())
    assert isinstance(found, dict)
    return found


def signed(document: Any, key: FileKey = KEY, kind: str = PAYLOAD_TYPE) -> bytes:
    """A manifest over any JSON, or any bytes."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Bundle(Envelope.sign(kind, data, key), key_hint(key.public)).as_bytes()


def foreign() -> dict[str, Any]:
    """A payload as model_signing writes it."""
    found = payload()
    del found["predicate"]["hps"]
    found["predicate"]["serialization"]["ignore_paths"] = [".git", "model.sig", ".gitignore"]
    return found


def test_what_is_signed_comes_back() -> None:
    document = manifest.sign(RELEASE, signer())
    assert manifest.read([document], [trusted()]) == Signed(RELEASE, (trusted(),))
    assert manifest.sign(RELEASE, signer()) == document


def test_it_is_what_model_signing_asks_for() -> None:
    """See also test_model_signing, with the real one."""
    bundle = json.loads(manifest.sign(RELEASE, signer()))
    assert bundle["verificationMaterial"] == {"publicKey": {"hint": Digest.of(KEY.public.pem).hex}}
    said = json.loads(unbase64(bundle["dsseEnvelope"]["payload"]))
    assert said["predicate"]["serialization"] == {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": ["model.sig"],
    }
    raw = manifest.raw_digests(RELEASE)
    assert said["subject"] == [{"name": "ocr", "digest": {"sha256": Digest.of(raw).hex}}]
    assert [one["name"] for one in said["predicate"]["resources"]] == [
        "config.json",
        "run.sh",
        "weights/a/b",
        "weights/a-b",
        "weights/ä",
    ]


def test_nobody_else_signed_it() -> None:
    document = manifest.sign(RELEASE, signer())
    assert manifest.read([document], [trusted(STRANGER)]) == Signed(None, strange=1)
    assert manifest.read([document], []) == Signed(None, strange=1)
    assert manifest.read([], [trusted()]) == Signed(None)


def test_the_hint_selects_no_key() -> None:
    bundle = json.loads(manifest.sign(RELEASE, signer(STRANGER)))
    bundle["verificationMaterial"]["publicKey"]["hint"] = key_hint(KEY.public)
    assert manifest.read([json.dumps(bundle).encode()], [trusted()]).release is None


def test_two_signers_are_two_bundles_over_one_statement() -> None:
    documents = [manifest.sign(RELEASE, signer(key)) for key in (KEY, SECOND, STRANGER)]
    keys = [trusted(), trusted(SECOND, "second")]
    found = manifest.read(documents, keys)
    assert found == Signed(RELEASE, tuple(keys), strange=1)


def test_one_key_is_counted_once() -> None:
    document = manifest.sign(RELEASE, signer())
    twin = json.loads(document)
    signature = twin["dsseEnvelope"]["signatures"][0]
    signature["sig"] = to_base64(_other_half(unbase64(signature["sig"])))
    assert twin != json.loads(document)
    found = manifest.read([document, document, json.dumps(twin).encode()], [trusted()])
    assert found.keys == (trusted(),)
    assert found.strange == 0


def _other_half(signature: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import (
        decode_dss_signature,
        encode_dss_signature,
    )

    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, ORDER - s)


def test_trusted_keys_that_signed_different_releases_are_a_contradiction() -> None:
    documents = [
        manifest.sign(RELEASE, signer()),
        manifest.sign(replace(RELEASE, sequence=8), signer(SECOND)),
    ]
    with pytest.raises(MalformedError, match="two different"):
        manifest.read(documents, [trusted(), trusted(SECOND, "second")])
    assert manifest.read(documents, [trusted()]) == Signed(RELEASE, (trusted(),), strange=1)


def test_a_key_of_another_role_signs_no_release() -> None:
    with pytest.raises(KeyUnusableError, match="may not sign"):
        manifest.sign(RELEASE, signer(role="build"))


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": None},
        {"sequence": 0},
        {"name": "../ocr"},
        {"files": tuple(reversed(RELEASE.files))},
        {"files": ()},
        {"issued": RELEASE.expires},
        {"version": "a\nb"},
    ],
)
def test_what_no_reader_would_take_is_not_signed(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        manifest.sign(replace(RELEASE, **changes), signer())


def test_a_manifest_of_another_tool_is_an_unsequenced_release() -> None:
    found = manifest.read([signed(foreign())], [trusted()]).release
    assert found is not None
    assert not found.sequenced
    assert found.name == "ocr"
    assert [(one.path, one.digest) for one in found.files] == [
        (one.path, one.digest) for one in RELEASE.files
    ]
    assert {one.size for one in found.files} == {None}


def _resource(said: dict[str, Any], **changes: Any) -> None:
    said["predicate"]["resources"][0].update(changes)


def _without_a_file(said: dict[str, Any]) -> None:
    """All of it fits, but for the record."""
    said["predicate"]["resources"].pop()
    _rehash(said)


def _rehash(said: dict[str, Any]) -> None:
    digests = [Digest(one["digest"]) for one in said["predicate"]["resources"]]
    said["subject"][0]["digest"]["sha256"] = root_digest(digests).hex


def _renamed(said: dict[str, Any]) -> None:
    """The root digest covers no names."""
    _resource(said, name="config.yaml")


def _swapped(said: dict[str, Any]) -> None:
    resources = said["predicate"]["resources"]
    resources[0], resources[1] = resources[1], resources[0]
    _rehash(said)


def _twice(said: dict[str, Any]) -> None:
    resources = said["predicate"]["resources"]
    resources.insert(0, resources[0])
    _rehash(said)


CHANGES: list[Callable[[dict[str, Any]], object]] = [
    lambda said: said.update(predicateType=SIGNATURE),
    lambda said: said.update(_type="https://in-toto.io/Statement/v2"),
    lambda said: said.update(more=1),
    lambda said: said.pop("subject"),
    lambda said: said["subject"].append(said["subject"][0]),
    lambda said: said["subject"][0]["digest"].update(sha256="0" * 64),
    lambda said: said["subject"][0].update(name="other"),
    lambda said: said["predicate"].pop("serialization"),
    lambda said: said["predicate"].pop("resources"),
    lambda said: said["predicate"].update(more=1),
    lambda said: said["predicate"]["serialization"].update(method="shards"),
    lambda said: said["predicate"]["serialization"].update(hash_type="blake2"),
    lambda said: said["predicate"]["serialization"].update(allow_symlinks=True),
    lambda said: said["predicate"]["serialization"].update(allow_symlinks=0),
    lambda said: said["predicate"]["serialization"].update(ignore_paths=["weights"]),
    lambda said: said["predicate"]["serialization"].pop("ignore_paths"),
    lambda said: said["predicate"]["resources"].pop(),
    lambda said: _resource(said, algorithm="md5"),
    lambda said: _resource(said, digest="00"),
    lambda said: _resource(said, name="../config.json"),
    lambda said: _resource(said, name="model.sig"),
    lambda said: _resource(said, more=1),
    _without_a_file,
    _renamed,
    _swapped,
    _twice,
    lambda said: said["predicate"]["hps"].update(sequence=0),
    lambda said: said["predicate"]["hps"]["files"].pop(),
    lambda said: said["predicate"].update(hps=None),
    lambda said: said["predicate"].update(hps={}),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_statement_that_contradicts_itself_is_refused(
    change: Callable[[dict[str, Any]], object],
) -> None:
    said = payload()
    change(said)
    with pytest.raises(MalformedError):
        manifest.read([signed(said)], [trusted()])


@pytest.mark.parametrize(
    "change",
    [
        _swapped,
        _twice,
        lambda said: _resource(said, name="run.sh"),
        lambda said: _resource(said, name="weights"),
        lambda said: _resource(said, name="Weights/x"),
        lambda said: said["subject"][0].update(name="a\nb"),
        lambda said: said["subject"][0].update(name="x" * 201),
        lambda said: said["predicate"].update(resources=[]),
    ],
)
def test_a_statement_of_another_tool_is_held_to_the_same(
    change: Callable[[dict[str, Any]], object],
) -> None:
    said = foreign()
    change(said)
    with pytest.raises(MalformedError):
        manifest.read([signed(said)], [trusted()])


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": 1, "a": 2}',
        json.dumps(payload()).replace('"sequence": 7', '"sequence": 7.0').encode(),
        json.dumps(payload()).replace('"sequence": 7', '"sequence": NaN').encode(),
        json.dumps(payload()).replace('"sequence": 7', '"sequence": 7, "sequence": 8').encode(),
        json.dumps(payload()).replace('"sequence": 7', f'"sequence": {2**53}').encode(),
        b"\xef\xbb\xbf" + json.dumps(payload()).encode(),
        json.dumps(payload()).encode() + b"{}",
        json.dumps(payload()).encode("utf-16"),
        b"[" * 100_000,
        b"",
    ],
)
def test_bytes_that_two_readers_see_differently_are_refused_though_signed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        manifest.read([signed(data)], [trusted()])


def test_unsigned_bytes_are_not_parsed() -> None:
    """A statement of a stranger may be anything: it is not looked at."""
    assert manifest.read([signed(b"[" * 100_000, STRANGER)], [trusted()]).strange == 1


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"[]",
        b"\x00" * 10,
        signed(payload(), kind="application/json"),
        b" " * (LARGEST + 1),
    ],
)
def test_what_is_no_bundle_of_a_statement_is_refused(document: bytes) -> None:
    with pytest.raises(MalformedError):
        manifest.read([document], [trusted()])


def test_a_bare_signature_is_no_manifest() -> None:
    message = {
        "messageDigest": {"algorithm": "SHA2_256", "digest": to_base64(b"\0" * 32)},
        "signature": to_base64(b"\0"),
    }
    document = json.loads(manifest.sign(RELEASE, signer()))
    del document["dsseEnvelope"]
    with pytest.raises(MalformedError):
        manifest.read([json.dumps({**document, "messageSignature": message}).encode()], [trusted()])


def test_there_are_limits() -> None:
    document = manifest.sign(RELEASE, signer())
    with pytest.raises(LimitError):
        manifest.read([document] * (MOST_SIGNATURES + 1), [trusted()])


def test_the_encoding_of_model_signing_0_2_is_not_taken() -> None:
    """Its PAE was faulty; the newer reader falls back to it, hps does not."""
    data = json.dumps(payload()).encode()
    faulty = f"DSSEV1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(data)} {data!r}".encode()
    assert faulty != pae(PAYLOAD_TYPE, data)
    envelope = Envelope(PAYLOAD_TYPE, data, KEY.sign(faulty))
    document = Bundle(envelope, key_hint(KEY.public)).as_bytes()
    assert manifest.read([document], [trusted()]).release is None


@given(st.data())
def test_one_flipped_bit_is_never_a_release(data: st.DataObject) -> None:
    document = bytearray(manifest.sign(RELEASE, signer()))
    place = data.draw(st.integers(0, len(document) - 1))
    document[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = manifest.read([bytes(document)], [trusted()])
    except MalformedError:
        return
    assert found.release in (None, RELEASE)  # the hint may be anything
    if found.release is None:
        assert found.strange == 1


@given(st.binary(max_size=60))
def test_any_signed_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        manifest.read([signed(data)], [trusted()])


def test_a_statement_about_a_file_with_our_predicate_is_no_release() -> None:
    said = Statement((About("x", Digest.of(b"")),), MODEL, {})
    bundle = Bundle.sign(said, AuthorisedSigner(KEY, (MODEL,)))
    with pytest.raises(MalformedError):
        manifest.read([bundle.as_bytes()], [trusted()])


def test_canonical_bytes_are_what_is_signed() -> None:
    said = json.loads(manifest.sign(RELEASE, signer()))
    data = unbase64(said["dsseEnvelope"]["payload"])
    assert canonical.dumps(canonical.loads(data)) == data
