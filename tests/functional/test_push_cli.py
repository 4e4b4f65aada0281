"""`hps push TARGET REF`: what was built and signed, and nothing that may not be handed on."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.oci.layout_reading import open_layout
from tests.build.laboratory import Laboratory
from tests.oci.registry_server import RegistryServer

pytestmark = pytest.mark.network


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RegistryServer]:
    with RegistryServer.start(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def keys(lab: Laboratory, tmp_path: Path) -> Path:
    lab.environment["HPS_KEYS"] = str(tmp_path / "keys")
    lab.run("key", "generate", "release", "--no-passphrase")
    return tmp_path / "keys" / "release.pub"


def test_a_signed_image_is_pushed_with_its_signatures(
    lab: Laboratory, keys: Path, server: RegistryServer
) -> None:
    lab.run("build", "--key", "release")
    before = open_layout(lab.layout)
    places = [f"{server.host}/team/app:{tag}" for tag in ("1.0", "stable")]
    done = lab.run("push", "cpu", *places)
    assert done.out.splitlines() == [f"{lab.image()} docker://{place}" for place in places]
    assert open_layout(lab.layout) == before  # nobody had the key at hand, and nothing was lost
    for place in places:
        assert lab.run("verify", place, "--key", str(keys)).out.startswith("good")
    (told,) = lab.run("push", "cpu", places[0], "--json").json
    assert told["bytes"]["sent"] == 0
    assert told["digest"] == lab.image()
    lab.run("pull", places[0], "-o", str(lab.folder / "pulled"))
    assert lab.run("verify", str(lab.folder / "pulled"), "--key", str(keys)).out.startswith("good")


def test_what_is_not_there_is_built_and_signed_as_hps_toml_says(
    lab: Laboratory, keys: Path, server: RegistryServer
) -> None:
    lab.environment["HPS_KEY"] = "release"
    lab.edit("print('serving')", "print('new')", lab.folder / "server" / "main.py")
    old = lab.image()
    place = f"{server.host}/team/app:2.0"
    done = lab.run("push", "cpu", place, "--offline")
    assert lab.image() != old
    assert done.out == f"{lab.image()} docker://{place}\n"
    assert lab.run("verify", place, "--key", str(keys)).out.startswith("good")


def test_an_image_without_a_signature_is_signed_where_a_key_is_named(
    lab: Laboratory, keys: Path, server: RegistryServer
) -> None:
    """What `hps run` leaves has none: nobody may get it unsigned by accident."""
    image, plain = lab.image(), open_layout(lab.layout)
    assert not plain.attachments
    place = f"{server.host}/team/app"
    done = lab.run("push", "cpu", f"{place}:plain")
    assert "the image is not signed (`hps key generate NAME` makes a key)" in done.err
    lab.environment["HPS_KEY"] = "release"
    for words in (("--unsigned",), ("--image-only",), ("--compress", "zstd")):
        done = lab.run("push", "cpu", f"{place}:left", *words)
        assert "not signed" not in done.err  # it was asked for
        assert open_layout(lab.layout) == plain
    done = lab.run("push", "cpu", f"{place}:1.0")
    assert done.out == f"{image} docker://{place}:1.0\n"
    assert lab.run("verify", f"{place}:1.0", "--key", str(keys)).out.startswith("good")
    assert lab.run("verify", str(lab.layout), "--key", str(keys)).out.startswith("good")
    signed = open_layout(lab.layout)
    lab.run("key", "generate", "other", "--no-passphrase")
    lab.environment["HPS_KEY"] = "other"
    lab.run("push", "cpu", f"{place}:1.1")
    assert open_layout(lab.layout) == signed  # the signatures of others stay


def test_a_key_that_cannot_be_used_ends_the_push_of_an_unsigned_image(
    lab: Laboratory, keys: Path, server: RegistryServer
) -> None:
    place = f"{server.host}/team/app:1.0"
    lab.environment["HPS_KEY"] = "nobody"
    done = lab.run("push", "cpu", place, code=2)
    assert "error[key-unusable]" in done.err
    assert "--unsigned" in done.err
    lab.run("pull", place, code=4)
    lab.run("push", "cpu", place, "--unsigned")
    lab.run("pull", place, "-o", str(lab.folder / "pulled"))


def test_a_dry_run_and_packed_layers(lab: Laboratory, server: RegistryServer) -> None:
    place = f"{server.host}/team/app:1.0"
    (asked,) = lab.run("push", "cpu", place, "--dry-run", "--json").json
    assert asked["dry_run"]
    assert asked["bytes"]["sent"] > 0
    lab.run("pull", place, code=4)
    (told,) = lab.run("push", "cpu", place, "--compress", "zstd", "--json").json
    assert told["digest"] != lab.image()
    assert told["bytes"]["sent"] < asked["bytes"]["sent"]
    assert any("another" in note or "and not" in note for note in told["notes"])


def test_what_may_not_be_handed_on_is_named_first(lab: Laboratory, server: RegistryServer) -> None:
    lab.edit('to = "/models/weights.bin"', 'to = "/models/weights.bin"\nredistributable = false')
    lab.run("lock", "--offline", code=None)
    place = f"{server.host}/team/app:1.0"
    done = lab.run("push", "cpu", place, code=None)
    assert done.code != 0
    assert "--include weights.bin" in done.err
    lab.run("pull", place, code=4)
    done = lab.run("push", "cpu", place, "--include", "weights.bin")
    assert "weights.bin" in done.err
    assert done.out.endswith(f"docker://{place}\n")


def test_mistakes_are_told_before_anything_is_built(lab: Laboratory) -> None:
    assert "has no target gpu" in lab.run("push", "gpu", "127.0.0.1:1/a:1", code=2).err
    assert "Missing argument 'REF...'" in lab.run("push", "cpu", code=2).err
    assert "no default registry" in lab.run("push", "cpu", "app:1", code=2).err
    done = lab.run("push", "cpu", "127.0.0.1:1/team/app:1", "--json", code=8)
    assert json.loads(done.out)["error"] == "publish-failed"
