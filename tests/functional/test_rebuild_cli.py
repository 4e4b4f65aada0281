"""`hps rebuild`: the same image from artifacts alone, signed by others; or exit code 7."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hps import canonical
from hps.digest import Digest
from hps.lock import text
from hps.lock.records import Lock
from hps.oci.attachment import Attachment
from hps.oci.image import MANIFEST_TYPE, Image, ImageLayer
from hps.oci.image import manifest as make_manifest
from hps.oci.layout import check_layout, read_layout, write_layout
from hps.oci.layout_reading import open_layout
from hps.oci.reference import Reference
from hps.oci.registry_client import RegistryClient
from hps.oci.registry_push import push_attachment, push_referrers
from hps.release.claimed import claimed_in_registry
from hps.trust.bundle import BUNDLE_TYPE, Bundle
from hps.trust.dsse import Envelope
from hps.trust.predicates import PROVENANCE
from hps.trust.public_key import PublicKey
from hps.trust.statement import Statement
from tests.build.laboratory import Laboratory
from tests.oci.registry_server import RegistryServer

pytestmark = pytest.mark.network

REBUILDERS = ("alice", "bob", "carol")


@pytest.fixture
def keys(lab: Laboratory, tmp_path: Path) -> Path:
    """The builder's key `release`, and one for each rebuilder."""
    lab.environment["HPS_KEYS"] = str(tmp_path / "keys")
    lab.run("key", "generate", "release", "--no-passphrase")
    for name in REBUILDERS:
        lab.run("key", "generate", name, "--role", "rebuild", "--no-passphrase")
    return tmp_path / "keys"


@pytest.fixture
def signed(lab: Laboratory, keys: Path, tmp_path: Path) -> Path:
    """The image as its builder gives it away: a layout, signed."""
    lab.run("build", "--key", "release")
    shutil.copytree(lab.layout, tmp_path / "published", copy_function=os.link)
    return tmp_path / "published"


def statements(layout: Path) -> dict[str, dict[str, Any]]:
    """Provenance beside an image, by the name of the builder."""
    found: dict[str, dict[str, Any]] = {}
    for one in open_layout(layout).attachments:
        if one.artifact_type == BUNDLE_TYPE:
            statement = said(one.blobs[1])
            if statement["predicateType"] == PROVENANCE:
                found[statement["predicate"]["runDetails"]["builder"]["id"]] = statement
    return found


def said(bundle: bytes) -> dict[str, Any]:
    content = Bundle.from_bytes(bundle).content
    assert isinstance(content, Envelope)
    Statement.from_bytes(content.payload)
    found: dict[str, Any] = json.loads(content.payload)
    return found


def builder(keys: Path, name: str) -> str:
    found: str = json.loads((keys / f"{name}.json").read_bytes())["builder"]
    return found


def policy(keys: Path, threshold: int) -> Path:
    lines = ["version = 1"]
    for name in REBUILDERS:
        lines += [f"[keys.{name}]", f'public = "{name}.pub"', 'role = "rebuild"']
    lines += ["[[require]]", 'predicate = "provenance"', f"keys = {json.dumps(REBUILDERS)}"]
    path = keys / "policy.toml"
    path.write_text("\n".join([*lines, f"threshold = {threshold}", ""]))
    return path


def tampered(image: Image, layout: Path, to: Path, old: bytes, new: bytes) -> Image:
    """A layout in which a layer has other bytes, and every document says so."""
    blobs = layout / "blobs" / "sha256"
    to.with_suffix(".blobs").mkdir()
    layers, places = [], {}
    for layer in image.layers:
        data = (blobs / layer.digest.hex).read_bytes()
        place = blobs / layer.digest.hex
        if old in data:
            data = data.replace(old, new)
            place = to.with_suffix(".blobs") / Digest.of(data).hex
            place.write_bytes(data)
        layers.append(ImageLayer(Digest.of(data), len(data)))
        places[layers[-1].digest] = place
    config = json.loads(image.config)
    config["rootfs"]["diff_ids"] = [str(layer.digest) for layer in layers]
    made = canonical.dumps(config)
    other = Image(image.reference, image.platform, made, make_manifest(made, layers), tuple(layers))
    assert other.digest != image.digest
    write_layout(to, [other], places.__getitem__)
    return other


@pytest.mark.slow
def test_who_attests_says_the_same_as_the_builder(
    lab: Laboratory, signed: Path, keys: Path
) -> None:
    before = open_layout(signed)
    done = lab.run("rebuild", str(signed), "--attest", "--key", "alice", "--offline", "--json")
    (told,) = done.json
    assert (told["target"], told["digest"]) == ("cpu", lab.image())
    assert told["same_as"] == str(signed)
    assert told["attested"]["added"]
    assert {"made debian packages", "made layer python", "made wheel crafted"} <= set(
        done.err.splitlines()
    )
    by = statements(signed)
    assert set(by) == {builder(keys, "release"), builder(keys, "alice")}
    theirs, ours = by[builder(keys, "release")], by[builder(keys, "alice")]
    assert theirs["predicate"]["runDetails"]["builder"].pop("id") == builder(keys, "release")
    assert ours["predicate"]["runDetails"]["builder"].pop("id") == builder(keys, "alice")
    assert ours == theirs
    # Everything else is still there, the index of referrers is another one.
    check_layout(signed)
    after = open_layout(signed)
    assert after.images == before.images
    kept = {one.digest for one in before.attachments if one.media_type == MANIFEST_TYPE}
    assert kept < {one.digest for one in after.attachments}
    assert len(after.attachments) == len(before.attachments) + 1
    # Said again, it is the same, and nothing is written.
    again = (signed / "index.json").stat()
    done = lab.run("rebuild", str(signed), "--attest", "--key", "alice")
    assert "said so before" in done.err
    assert done.out == f"{lab.image()} cpu\n"
    assert (signed / "index.json").stat().st_ino == again.st_ino
    assert not list((lab.store / "temporary").iterdir())


@pytest.mark.slow
def test_two_rebuilders_at_once_are_two_of_three(lab: Laboratory, signed: Path, keys: Path) -> None:
    asked = ("verify", str(signed), "--policy", str(policy(keys, 2)))
    assert "threshold" in lab.run(*asked, code=None).out
    at_once = [
        lab.start("rebuild", str(signed), "--attest", "--key", name) for name in ("alice", "bob")
    ]
    for process in at_once:
        lab.finish(process)
    assert set(statements(signed)) == {builder(keys, name) for name in ("release", "alice", "bob")}
    lab.run(*asked)
    assert "threshold" in lab.run(*asked[:-1], str(policy(keys, 3)), code=None).out
    check_layout(signed)


@pytest.mark.slow
def test_another_layer_ends_with_7_and_is_named(lab: Laboratory, tmp_path: Path) -> None:
    (image,) = read_layout(lab.layout)
    other = tampered(image, lab.layout, tmp_path / "evil", b"MADE = True\n", b"MADE = None\n")
    (layer,) = (
        one for one in lab.target.layers if one.digest not in {blob.digest for blob in other.layers}
    )
    assert "--target NAME" in lab.run("rebuild", str(tmp_path / "evil"), code=2).err
    done = lab.run("rebuild", str(tmp_path / "evil"), "--target", "cpu", "--json", code=7)
    assert done.json["error"] == "not-reproducible"
    assert f"layer {layer.name} of" in done.json["message"]
    (got,) = {one.digest for one in other.layers} - {one.digest for one in image.layers}
    assert (done.json["expected"], done.json["got"]) == (str(layer.digest), str(got))
    assert "crafted.py" in done.json["details"][0]
    assert not list((lab.store / "temporary").iterdir())


def test_bytes_that_are_not_those_of_the_manifest(lab: Laboratory, signed: Path) -> None:
    place = signed / "blobs" / "sha256" / lab.target.layers[-1].digest.hex
    data = place.read_bytes()
    place.unlink()
    place.write_bytes(b"!" + data[1:])
    done = lab.run("rebuild", str(signed), code=5)
    assert place.name in done.err
    assert "made " not in done.err


def test_an_image_of_another_lock(lab: Laboratory, signed: Path, tmp_path: Path) -> None:
    kept = lab.lock_path.read_bytes()
    lock = lab.lock
    later = {"source_date_epoch": lock.source_date_epoch + 1}
    lab.lock_path.write_bytes(text.write(Lock(**dict(lock) | later)))
    before, after = Digest.of(kept), Digest.of(lab.lock_path.read_bytes())
    done = lab.run("rebuild", str(signed), code=3)
    assert str(before) in done.err
    assert str(after) in done.err
    assert "check out the commit of the image" in done.err
    (tmp_path / "theirs").write_bytes(kept)
    done = lab.run("rebuild", str(tmp_path / "theirs"), code=3)
    assert str(before) in done.err
    assert str(after) in done.err


def test_a_key_that_cannot_sign_is_told_before_anything_is_made(
    lab: Laboratory, signed: Path, keys: Path, tmp_path: Path
) -> None:
    lab.run("key", "generate", "files", "--role", "file", "--no-passphrase")
    before = (signed / "index.json").read_bytes()
    nothing = ("--offline", "--store", str(tmp_path / "nothing"))
    for words, told in (
        (("--attest",), "hps key generate NAME --role rebuild"),
        (("--attest", "--key", "files"), "may not sign"),
        (("--attest", "--key", "nobody"), "there is no key nobody"),
        (("--key", "alice"), "belong to --attest"),
        (("-o", "x"), "belong to --attest"),
        (("--attest", "--key", "alice", "-o", "x"), "lies beside WHAT"),
    ):
        assert told in lab.run("rebuild", str(signed), *words, *nothing, code=2).err
    for what in ("nowhere", "example.org/team/lab", str(tmp_path)):
        lab.run("rebuild", what, *nothing, code=2)
    assert "error[offline-missing]" in lab.run("rebuild", str(signed), *nothing, code=4).err
    assert (signed / "index.json").read_bytes() == before


@pytest.mark.slow
def test_a_lock_alone_and_an_archive_give_a_file(
    lab: Laboratory, keys: Path, tmp_path: Path
) -> None:
    lab.run("rebuild", "--attest", "--key", "alice")
    found = lab.folder / "cpu.rebuild.sigstore.json"
    statement = said(found.read_bytes())
    assert statement["subject"] == [{"digest": {"sha256": lab.image().removeprefix("sha256:")}}]
    assert statement["predicateType"] == PROVENANCE
    lab.run("build", "--key", "release", "-o", str(tmp_path / "image.tar"))
    before = (tmp_path / "image.tar").read_bytes()
    words = ("--attest", "--key", "alice", "-o", str(tmp_path / "said.json"))
    (told,) = lab.run("rebuild", str(tmp_path / "image.tar"), *words, "--json").json
    assert told["same_as"] == str(tmp_path / "image.tar")
    assert (tmp_path / "said.json").read_bytes() == found.read_bytes()
    assert (tmp_path / "image.tar").read_bytes() == before


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RegistryServer]:
    with RegistryServer.start(tmp_path / "registry") as running:
        yield running


def push(layout: Path, reference: Reference) -> None:
    """A layout with one image as a registry has it."""
    found = open_layout(layout)
    (image,) = found.images
    with RegistryClient(reference) as registry:
        for layer in image.layers:
            place = layout / "blobs" / "sha256" / layer.digest.hex
            registry.upload(layer, lambda place=place: place.open("rb"))  # type: ignore[misc] # no type for a default of a lambda
        push_attachment(registry, Attachment(image.manifest, blobs=(image.config,), tag="cpu"))
        referrers = [one for one in found.attachments if one.subject == image.digest]
        push_referrers(registry, image.digest, referrers)


@pytest.mark.slow
def test_an_image_in_a_registry(
    lab: Laboratory, signed: Path, keys: Path, server: RegistryServer, tmp_path: Path
) -> None:
    reference = Reference.parse(f"{server.host}/team/lab:cpu")
    push(signed, reference)
    asked = ("verify", str(reference), "--policy", str(policy(keys, 1)), "--signatures-only")
    lab.run(*asked, code=16 | 32)
    (told,) = lab.run("rebuild", str(reference), "--attest", "--key", "alice", "--json").json
    assert told["same_as"] == str(reference)
    assert told["attested"] == {
        "key": "alice",
        "fingerprint": PublicKey.from_pem((keys / "alice.pub").read_bytes()).fingerprint,
        "builder": builder(keys, "alice"),
        "place": str(reference),
        "added": True,
    }
    lab.run(*asked)
    with RegistryClient(reference) as registry:
        found = claimed_in_registry(registry, "cpu")
    by = [said(one.as_bytes())["predicate"]["runDetails"]["builder"]["id"] for one in found.bundles]
    assert sorted(by) == sorted(builder(keys, name) for name in ("release", "alice"))
    (image,) = read_layout(signed)
    # The same name leads to another image now.
    tampered(image, signed, tmp_path / "evil", b"print('serving')", b"print('leaking')")
    push(tmp_path / "evil", reference)
    done = lab.run("rebuild", str(reference), "--target", "cpu", code=7)
    assert "layer trees of" in done.err


def test_interrupted(lab: Laboratory, signed: Path, keys: Path) -> None:
    before = (signed / "index.json").read_bytes()
    process = lab.start("rebuild", str(signed), "--attest", "--key", "alice")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("made "):
            break
    os.killpg(process.pid, signal.SIGINT)
    lab.finish(process, code=130)
    assert (signed / "index.json").read_bytes() == before
    assert not list((lab.store / "temporary").iterdir())
    assert not list(signed.parent.glob(".published.*.partial"))
