"""Attacks on model releases: what somebody may try who writes where models are published.

The numbers are those of docs/explanation/attacks.md. The attacker has every release that was ever
published, and keys of his own; not the keys of the policy, nor what the host remembers.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hps.digest import Digest
from hps.errors import MalformedError
from hps.model import donefile, manifest
from hps.model.donefile import Hint
from hps.model.folder import check_folder
from hps.model.folder_manifests import read_manifests
from hps.model.judge import HIGHEST_SEQUENCE, Change, Offer, judge
from hps.model.policy import Allowance, Known, ModelPolicy
from hps.model.release import ModelRelease, ReleaseFile, together
from hps.trust.bundle import Bundle
from hps.trust.dsse import Envelope, pae
from hps.trust.encoding import to_base64, unbase64
from hps.trust.file_key import FileKey
from hps.trust.predicates import PAYLOAD_TYPE, PROVENANCE, SIGNATURE
from tests.model.releases import (
    EXPIRES,
    ISSUED,
    KEY,
    NOW,
    SECOND,
    STRANGER,
    policy,
    release,
    signer,
    trusted,
    write,
)

MODEL = {"config.pbtxt": b"one", "1/model.py": b"code one", "1/weights": b"weights one"}


def publish(
    folder: Path, content: dict[str, bytes] = MODEL, key: FileKey = KEY, **fields: Any
) -> ModelRelease:
    """Write a model and its manifest, over what is there."""
    shutil.rmtree(folder, ignore_errors=True)
    made = release(content, **fields)
    write(folder, content)
    (folder / "model.sig").write_bytes(manifest.sign(made, signer(key)))
    return made


@dataclass
class Host:
    """A host that takes what it finds, when the rules allow it."""

    rules: ModelPolicy = field(default_factory=policy)
    known: Known = field(default_factory=Known)

    def take(
        self, folder: Path, now: datetime = NOW, group: Sequence[ModelRelease] = ()
    ) -> set[str]:
        """Why not; nothing when it is taken."""
        try:
            signed = manifest.read(read_manifests(folder), self.rules.keys)
            offer = Offer(signed, group=group)
        except MalformedError as error:
            offer = Offer(fault=str(error))
        found = judge(offer, self.rules, self.known, now=now)
        if not found.accepted or offer.signed is None or offer.signed.release is None:
            return {one.reason.value for one in found.refusals}
        refusals = check_folder(folder, offer.signed.release.files)
        if not refusals:
            self.known = found.known
        return {one.reason.value for one in refusals}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "ocr"


def test_1_an_older_release_that_is_genuine(place: Path) -> None:
    host = Host()
    publish(place, sequence=7)
    shutil.copytree(place, place.with_name("kept"))
    assert host.take(place) == set()
    publish(place, sequence=8, version="mends a leak")
    assert host.take(place) == set()
    assert host.take(place.with_name("kept")) == {"rollback"}
    assert host.known.sequence == 8


def test_1_another_release_under_the_number_of_the_last(place: Path) -> None:
    host = Host()
    publish(place, sequence=8)
    assert host.take(place) == set()
    publish(place, {**MODEL, "1/weights": b"else"}, sequence=8)
    assert host.take(place) == {"equivocation"}


def test_1_a_manifest_without_a_number_after_numbered_ones(place: Path) -> None:
    """A key signed models with model_signing before it signed releases."""
    host = Host(policy(unsequenced=True))
    publish(place)
    assert host.take(place) == set()
    said = statement(place)
    del said["predicate"]["hps"]
    (place / "model.sig").write_bytes(signed(said))
    assert host.take(place) == {"unsequenced"}
    assert Host(policy(unsequenced=True)).take(place) == set(), "a host that has seen none"


def test_2_a_source_that_stands_still(place: Path) -> None:
    host = Host()
    publish(place)
    assert host.take(place) == set()
    assert host.take(place, EXPIRES - timedelta(seconds=1)) == set()
    assert host.take(place, EXPIRES) == {"expired"}


def test_2_a_clock_that_was_set_back(place: Path) -> None:
    host = Host()
    publish(
        place, sequence=7, issued=ISSUED + timedelta(days=40), expires=EXPIRES + timedelta(days=60)
    )
    assert host.take(place, ISSUED + timedelta(days=41)) == set()
    publish(place, sequence=8)
    assert host.take(place, NOW) == {"clock-behind", "expired"}


def test_3_files_of_two_releases(place: Path) -> None:
    publish(place, sequence=7)
    publish(
        place.with_name("newer"), {**MODEL, "config.pbtxt": b"two", "1/weights": b"weights two"}
    )
    shutil.copy(place / "config.pbtxt", place.with_name("newer") / "config.pbtxt")
    assert Host().take(place.with_name("newer")) == {"digest-mismatch"}


def test_3_models_of_two_releases_of_a_group(place: Path) -> None:
    first, second = (
        together(
            "pipeline", [release(MODEL, name=name, sequence=number) for name in ("det", "ocr")]
        )
        for number in (1, 2)
    )
    write(place, MODEL)
    (place / "model.sig").write_bytes(manifest.sign(second[1], signer()))
    assert Host().take(place, group=[second[0]]) == set()
    assert Host().take(place, group=[first[0]]) == {"group-incomplete"}
    assert Host().take(place) == {"group-incomplete"}


def test_3_another_model_and_another_channel_of_the_same_key(place: Path) -> None:
    publish(place, name="det")
    assert Host().take(place) == {"wrong-model"}
    publish(place, channel="canary")
    assert Host().take(place) == {"wrong-channel"}


def test_4_a_number_that_no_honest_one_can_follow(place: Path) -> None:
    publish(place, sequence=HIGHEST_SEQUENCE + 1)
    assert Host().take(place) == {"fast-forward"}
    host = Host(policy(leap=100), Known(7))
    publish(place, sequence=1000)
    assert host.take(place) == {"fast-forward"}


def test_4_it_is_mended_by_new_keys(place: Path) -> None:
    host = Host()
    publish(place, sequence=HIGHEST_SEQUENCE)
    assert host.take(place) == set()
    publish(place, key=SECOND, sequence=8)
    host.rules = policy(keys=(trusted(SECOND),))
    assert host.take(place) == {"rollback"}
    host.rules = replace(host.rules, forget_with_keys=True)
    assert host.take(place) == set()
    assert host.known.sequence == 8


BIG = b'{"mediaType": "' + b"x" * (17 << 20) + b'"}'


@pytest.mark.parametrize(
    "document",
    [BIG, b"[" * 1_000_000, b'{"a":' * 100_000, b"", b"\0" * 4096, b"{}", b"\x1f\x8b" + b"\0" * 64],
    ids=["large", "deep list", "deep object", "empty", "zeros", "no fields", "gzip"],
)
def test_5_manifests_that_exhaust_a_reader(place: Path, document: bytes) -> None:
    publish(place)
    (place / "model.sig").write_bytes(document)
    assert Host().take(place) == {"manifest-malformed"}


def test_5_more_signatures_than_any_honest_model(place: Path) -> None:
    publish(place)
    for number in range(20):
        shutil.copy(place / "model.sig", place / f"model.k{number}.sig")
    assert Host().take(place) == {"manifest-malformed"}


def test_6_one_key_for_two(place: Path) -> None:
    rules = policy(keys=(trusted(), trusted(SECOND, "second")), threshold=2)
    publish(place)
    shutil.copy(place / "model.sig", place / "model.again.sig")
    assert Host(rules).take(place) == {"threshold-not-met"}
    strange = manifest.sign(release(MODEL), signer(STRANGER))
    (place / "model.again.sig").write_bytes(strange)
    assert Host(rules).take(place) == {"threshold-not-met"}
    (place / "model.again.sig").write_bytes(manifest.sign(release(MODEL), signer(SECOND)))
    assert Host(rules).take(place) == set()


def test_6_a_second_signature_over_something_else(place: Path) -> None:
    rules = policy(keys=(trusted(), trusted(SECOND, "second")), threshold=2)
    publish(place)
    other = manifest.sign(release(MODEL, sequence=6), signer(SECOND))
    (place / "model.second.sig").write_bytes(other)
    assert Host(rules).take(place) == {"manifest-malformed"}


def test_7_another_key_behind_the_same_hint(place: Path) -> None:
    publish(place, key=STRANGER)
    document = json.loads((place / "model.sig").read_bytes())
    document["verificationMaterial"]["publicKey"]["hint"] = manifest.key_hint(KEY.public)
    (place / "model.sig").write_text(json.dumps(document))
    assert Host().take(place) == {"untrusted-key"}


def test_7_a_key_that_comes_with_the_manifest(place: Path) -> None:
    publish(place, key=STRANGER)
    document = json.loads((place / "model.sig").read_bytes())
    raw = {"rawBytes": to_base64(STRANGER.public.der)}
    document["verificationMaterial"] = {"certificate": raw}
    (place / "model.sig").write_text(json.dumps(document))
    assert Host().take(place) == {"untrusted-key"}
    document["verificationMaterial"] = {"publicKey": raw}
    (place / "model.sig").write_text(json.dumps(document))
    assert Host().take(place) == {"manifest-malformed"}


@pytest.mark.parametrize("role", ["build", "rebuild", "file"])
def test_8_a_trusted_key_of_another_role(place: Path, role: str) -> None:
    publish(place)
    assert Host(policy(keys=(trusted(role=role),))).take(place) == {"wrong-role"}


@pytest.mark.parametrize("kind", [SIGNATURE, PROVENANCE, "https://model_signing/Digests/v0.1"])
def test_8_a_statement_of_another_kind(place: Path, kind: str) -> None:
    publish(place)
    (place / "model.sig").write_bytes(signed({**statement(place), "predicateType": kind}))
    assert Host().take(place) == {"manifest-malformed"}


def statement(folder: Path) -> dict[str, Any]:
    envelope = json.loads((folder / "model.sig").read_bytes())["dsseEnvelope"]
    found = json.loads(unbase64(envelope["payload"]))
    assert isinstance(found, dict)
    return found


def signed(said: Any, kind: str = PAYLOAD_TYPE) -> bytes:
    """Whatever a trusted key can be made to sign."""
    data = said if isinstance(said, bytes) else json.dumps(said).encode()
    return Bundle(Envelope.sign(kind, data, KEY)).as_bytes()


ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "a key twice": lambda text: text.replace(
        '"sequence": 7', '"sequence": 7, "sequence": 9'
    ).encode(),
    "a fraction": lambda text: text.replace('"sequence": 7', '"sequence": 7.0').encode(),
    "an exponent": lambda text: text.replace('"sequence": 7', '"sequence": 7e0').encode(),
    "no number": lambda text: text.replace('"sequence": 7', '"sequence": NaN').encode(),
    "a large number": lambda text: text.replace(
        '"sequence": 7', '"sequence": 9007199254740993'
    ).encode(),
    "a truth value": lambda text: text.replace('"sequence": 7', '"sequence": true').encode(),
    "a text": lambda text: text.replace('"sequence": 7', '"sequence": "7"').encode(),
    "a lone surrogate": lambda text: text.replace('"production"', '"\\ud800"').encode(),
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "more behind it": lambda text: text.encode() + b"{}",
    "a comment": lambda text: text.encode() + b"// ok",
    "another encoding": lambda text: text.encode("utf-16"),
    "a digest in capitals": lambda text: text.replace(
        Digest.of(b"one").hex, Digest.of(b"one").hex.upper()
    ).encode(),
    "a field more": lambda text: text.replace(
        '"sequence": 7', '"sequence": 7, "urgent": 1'
    ).encode(),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_9_json_that_two_readers_see_differently(place: Path, name: str) -> None:
    publish(place)
    text = json.dumps(statement(place))
    data = ENCODINGS[name](text)
    assert data != text.encode()
    (place / "model.sig").write_bytes(signed(data))
    assert Host().take(place) == {"manifest-malformed"}


def test_10_base64_with_another_text(place: Path) -> None:
    publish(place)
    document = json.loads((place / "model.sig").read_bytes())
    payload = document["dsseEnvelope"]["payload"]
    for changed in (payload + "\n", payload.rstrip("=") + "====", payload.replace("A", "-", 1)):
        document["dsseEnvelope"]["payload"] = changed
        (place / "model.sig").write_text(json.dumps(document))
        assert Host().take(place) == {"manifest-malformed"}


def test_11_other_bytes_signed_than_the_encoding_says(place: Path) -> None:
    publish(place)
    data = json.dumps(statement(place)).encode()
    right = pae(PAYLOAD_TYPE, data)
    for message in (
        data,
        right + b" ",
        right.replace(b"DSSEv1", b"DSSEV1"),
        pae("", data),
        f"DSSEV1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(data)} {data!r}".encode(),
    ):
        envelope = Envelope(PAYLOAD_TYPE, data, KEY.sign(message))
        (place / "model.sig").write_bytes(Bundle(envelope).as_bytes())
        assert Host().take(place) == {"untrusted-key"}
    (place / "model.sig").write_bytes(signed(data, "application/json"))
    assert Host().take(place) == {"manifest-malformed"}


def test_14_files_that_exchange_their_names(place: Path) -> None:
    """The digest of a release covers no names; the signature does."""
    publish(place)
    one, two = place / "1/model.py", place / "config.pbtxt"
    code, config = one.read_bytes(), two.read_bytes()
    one.write_bytes(config)
    two.write_bytes(code)
    assert Host().take(place) == {"digest-mismatch"}
    said = statement(place)
    resources = said["predicate"]["resources"]
    resources[0]["name"], resources[2]["name"] = resources[2]["name"], resources[0]["name"]
    (place / "model.sig").write_bytes(signed(said))
    assert Host().take(place) == {"manifest-malformed"}


NAMES = [
    "../config.pbtxt",
    "/config.pbtxt",
    "a/../../b",
    "a\\..\\b",
    "C:/a",
    "a\0b",
    "a\x1b[31m",
    "a\u202egnp.exe",
    "CONFIG.PBTXT",
    "1",
    "config.pbtxt/a",
    "model.sig",
    "a\u0308",
    "x" * 300,
    "a/" * 40 + "b",
    "NUL",
    "a.",
    "",
]


@pytest.mark.parametrize("name", NAMES)
def test_16_names_that_a_trusted_key_was_made_to_sign(place: Path, name: str) -> None:
    publish(place)
    more = ReleaseFile(name, Digest.of(b""), 0, 0o644)
    with pytest.raises(ValueError):
        manifest.sign(release(files=(*release(MODEL).files, more)), signer())
    said = statement(place)
    resource = {"name": name, "algorithm": "sha256", "digest": more.digest.hex}
    said["predicate"]["resources"].append(resource)
    said["predicate"]["hps"]["files"].append({"path": name, "mode": "0644", "size": 0})
    digests = [Digest(one["digest"]) for one in said["predicate"]["resources"]]
    said["subject"][0]["digest"]["sha256"] = manifest.root_digest(digests).hex
    (place / "model.sig").write_bytes(signed(said))
    assert Host().take(place) == {"manifest-malformed"}


def _fifo(folder: Path) -> None:
    (folder / "1/weights").unlink()
    os.mkfifo(folder / "1/weights")


def _link(folder: Path) -> None:
    (folder / "1/weights").unlink()
    (folder / "1/weights").symlink_to("/dev/zero")


@pytest.mark.parametrize("change", [_fifo, _link])
def test_17_links_and_pipes_in_the_place_of_files(
    place: Path, change: Callable[[Path], None]
) -> None:
    publish(place)
    change(place)
    assert Host().take(place) == {"unsafe-file"}


DONEFILES = {
    "of Paddle Serving": b"",
    "a time": b"1793534400\n",
    "a page of an error": b"<html><body>404</body></html>",
    "zeros": b"\0" * 65536,
    "large": b"{" + b" " * 70_000,
    "deep": b"[" * 50_000,
    "a path": b'{"hps-donefile":1,"model":"../../etc","channel":"stable","sequence":1,"manifest":{"sha256":"'
    + b"0" * 64
    + b'","size":1}}',
    "a shell": b"$(reboot)\n",
    "a key twice": b'{"hps-donefile":1,"hps-donefile":1}',
}


@pytest.mark.parametrize("name", DONEFILES)
def test_30_donefiles_that_say_nothing_or_too_much(name: str) -> None:
    assert donefile.read(DONEFILES[name]) == Hint()


def test_30_a_donefile_that_lies_changes_no_verdict(place: Path) -> None:
    """It names a release that is not there; what is there is judged by its own manifest."""
    old = publish(place, sequence=6)
    assert donefile.read(donefile.write(replace(old, sequence=9), b"{}")).sequence == 9
    assert Host(known=Known(7, Digest.of(b""))).take(place) == {"rollback"}


EXTRA = ["9999/model.py", "1/model.so", "labels.txt", ".hidden", "2/.keep"]


@pytest.mark.parametrize("name", EXTRA)
def test_31_something_beside_what_was_signed(place: Path, name: str) -> None:
    publish(place)
    write(place, {name: b""})
    assert Host().take(place) == {"set-mismatch"}


def test_31_an_empty_folder_that_a_server_takes_for_a_version(place: Path) -> None:
    publish(place)
    (place / "9999").mkdir()
    assert Host().take(place) == {"set-mismatch"}


def test_34_a_key_that_was_revoked(place: Path) -> None:
    host = Host()
    publish(place)
    assert host.take(place) == set()
    host.rules = policy(revoked=frozenset({KEY.public.fingerprint}))
    assert host.take(place) == {"revoked-key"}


def test_an_operator_is_told_from_an_attacker(place: Path) -> None:
    old = publish(place, sequence=5)
    known = Known(8, Digest.of(b"newer"))
    offer = Offer(manifest.read(read_manifests(place), [trusted()]))
    attack = judge(offer, policy(), known, now=NOW)
    assert [one.reason.value for one in attack.refusals] == ["rollback"]
    word = Allowance(old.identity, "ann", "8 is slow")
    asked = judge(offer, policy(), known, now=NOW, allowance=word)
    assert asked.accepted
    assert asked.change is Change.OPERATOR_ROLLBACK
    assert asked.known == known
