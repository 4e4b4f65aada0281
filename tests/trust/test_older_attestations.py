"""Attestations as cosign 2 keeps them: envelopes at the tag sha256-<hex>.att."""

import json
from pathlib import Path
from typing import Any

import pytest

from hps import canonical
from hps.digest import Digest
from hps.oci.attachment import Attachment, attestation_tag
from hps.oci.image import MANIFEST_TYPE
from hps.trust.dsse import ENVELOPE_TYPE, Envelope
from hps.trust.file_key import FileKey
from hps.trust.predicates import OLDER_STATEMENT_TYPE, PAYLOAD_TYPE, PROVENANCE
from hps.trust.verification import verify_layout
from tests.trust.signed import KEY, STRANGER, Signed, check, codes, policy

WANTED = '[[require]]\npredicate = "provenance"'


def envelope(about: Digest, key: FileKey = KEY, **fields: Any) -> dict[str, Any]:
    statement = {
        "_type": OLDER_STATEMENT_TYPE,
        "subject": [{"name": "demo", "digest": {"sha256": about.hex}}],
        "predicateType": PROVENANCE,
        "predicate": {},
    }
    made = Envelope.sign(PAYLOAD_TYPE, canonical.dumps(statement), key).as_json()
    return {**made, **fields}


def kept(about: Digest, *documents: bytes, media_type: str = ENVELOPE_TYPE) -> Attachment:
    """The manifest at the tag, with a layer for each document."""

    def descriptor(kind: str, data: bytes) -> dict[str, Any]:
        return {"mediaType": kind, "digest": str(Digest.of(data)), "size": len(data)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor("application/vnd.oci.image.config.v1+json", b"{}"),
        "layers": [descriptor(media_type, one) for one in documents],
    }
    return Attachment(
        canonical.dumps(manifest), blobs=(b"{}", *documents), tag=attestation_tag(about)
    )


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return Signed.make(tmp_path, key=None)


def found(signed: Signed, folder: Path, attachment: Attachment, key: FileKey = KEY) -> set[str]:
    layout = signed.layout(folder / "layout", attachment)
    return codes(verify_layout(layout, check(policy(WANTED, release=key))))


def test_it_counts(signed: Signed, tmp_path: Path) -> None:
    about = signed.image.digest
    layout = signed.layout(tmp_path / "layout", kept(about, json.dumps(envelope(about)).encode()))
    (verdict,) = verify_layout(layout, check(policy(WANTED, release=KEY)))
    assert verdict.good, verdict
    assert [one.form for one in verdict.accepted] == ["attestation"]


def test_a_good_one_counts_beside_a_bad_one(signed: Signed, tmp_path: Path) -> None:
    about = signed.image.digest
    good = json.dumps(envelope(about)).encode()
    assert not found(signed, tmp_path, kept(about, b"{}", good))


def test_what_is_tampered_with_does_not_count(signed: Signed, tmp_path: Path) -> None:
    about = signed.image.digest
    good = envelope(about)
    other = envelope(Digest.of(b"another image"))
    swapped = {**good, "payload": other["payload"]}
    for number, (document, code) in enumerate(
        [
            (swapped, "key-untrusted"),
            (other, "subject-mismatch"),
            (envelope(about, STRANGER), "key-untrusted"),
            ({**good, "payloadType": "text/plain"}, "key-untrusted"),
            ({**good, "signatures": []}, "document-malformed"),
            ({**good, "signatures": good["signatures"] * 2}, "document-malformed"),
            ({**good, "more": 1}, "document-malformed"),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        attachment = kept(about, json.dumps(document).encode())
        assert found(signed, folder, attachment) == {"predicate-missing", code}, document


def test_a_layer_of_another_type_does_not_count(signed: Signed, tmp_path: Path) -> None:
    about = signed.image.digest
    data = json.dumps(envelope(about)).encode()
    attachment = kept(about, data, media_type="application/json")
    assert found(signed, tmp_path, attachment) == {"predicate-missing", "document-malformed"}


def test_one_of_another_image_is_extra(signed: Signed, tmp_path: Path) -> None:
    about = Digest.of(b"another image")
    attachment = kept(about, json.dumps(envelope(about)).encode())
    assert "blob-extra" in found(signed, tmp_path, attachment)
