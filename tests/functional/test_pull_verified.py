"""`hps pull` where somebody says whom to trust: what nobody trusted has signed never arrives."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hps.oci.layout import check_layout
from hps.oci.layout_reading import open_layout
from tests.oci.copy_lab import files_below
from tests.oci.registry_server import RegistryServer
from tests.trust.signed import KEY, SECOND, STRANGER, Signed, index_layout

POLICY = """\
version = 1
[keys.release]
public = "release.pub"
[[require]]
predicate = "signature"
keys = ["release"]
[[require]]
predicate = "sbom"
"""


@dataclass(frozen=True)
class Desk:
    """Somebody with public keys, a store, a home, and a registry."""

    folder: Path
    host: str

    def run(self, *words: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "HPS_STORE": str(self.folder / "store"),
        }
        done = subprocess.run(
            [sys.executable, "-m", "hps", *words],
            check=False, capture_output=True, text=True, cwd=self.folder, env=environment,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def publish(self, layout: Path, team: str) -> str:
        place = f"{self.host}/{team}/app:1.0"  # of its own: signatures gather beside a digest
        self.run("copy", f"oci:{layout}", f"docker://{place}")
        return place

    def json(self, *words: str) -> Any:
        (found,) = json.loads(self.run(*words, "--json").stdout)
        return found

    def user_policy(self) -> Path:
        """The policy of the user's configuration folder."""
        folder = self.folder / "home" / ".config" / "hps"
        folder.mkdir(parents=True)
        (folder / "release.pub").write_bytes(KEY.public.pem)
        (folder / "policy.toml").write_text(POLICY)
        return folder / "policy.toml"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer.start(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def desk(server: RegistryServer, tmp_path: Path) -> Desk:
    for name, key in (("release", KEY), ("second", SECOND), ("stranger", STRANGER)):
        (tmp_path / f"{name}.pub").write_bytes(key.public.pem)
    return Desk(tmp_path, server.host)


def test_a_good_signature(desk: Desk) -> None:
    signed = Signed.make(desk.folder)
    place = desk.publish(signed.layout(desk.folder / "layout"), "good")
    done = desk.run("pull", place, "--key", "release.pub")
    assert "policy --key release.pub" in done.stderr
    assert "https://sigstore.dev/cosign/sign/v1: key release.pub" in done.stderr
    assert done.stdout == f"{signed.image.digest} oci:app:app:1.0\n"
    assert [one.digest for one in check_layout(desk.folder / "app")] == [signed.image.digest]
    desk.run("pull", place, "--key", "stranger.pub", "--key", "release.pub", "-o", "any")
    told = desk.json("pull", place, "--key", "release.pub", "-o", "b", "--image-only")
    assert told["policy"] == "--key release.pub"
    (verdict,) = told["verdicts"]
    assert verdict["digest"] == told["digest"] == str(signed.image.digest)
    assert told["attachments"] == []  # they were judged and stayed behind
    assert not open_layout(desk.folder / "b").attachments


@pytest.mark.parametrize(
    ("key", "reason"), [(STRANGER, "key-untrusted"), (None, "unsigned")], ids=["wrong", "missing"]
)
def test_a_wrong_and_a_missing_signature(desk: Desk, key: Any, reason: str) -> None:
    signed = Signed.make(desk.folder, key=key, reference="demo:bad")
    place = desk.publish(signed.layout(desk.folder / "layout"), f"bad-{reason}")
    store = [one for one in files_below(desk.folder) if one.startswith("store/blobs")]
    for words in (("--key", "release.pub"), ("--key", "release.pub", "--image-only", "--dry-run")):
        done = desk.run("pull", place, *words, code=5)
        assert "error[not-trusted]" in done.stderr
        assert reason in done.stderr
        assert done.stdout == ""
    assert not (desk.folder / "app").exists()
    assert [one for one in files_below(desk.folder) if one.startswith("store/blobs")] == store
    failed = desk.run("pull", place, "--key", "release.pub", "--json", code=5)
    assert json.loads(failed.stdout)["error"] == "not-trusted"
    # Who asks for nothing gets it, and is told so.
    assert "not verified: no policy says whom to trust" in desk.run("pull", place).stderr


def test_a_policy_that_is_configured(desk: Desk) -> None:
    policy = desk.user_policy()
    good = Signed.make(desk.folder)
    place = desk.publish(good.layout(desk.folder / "layout"), "policy-good")
    assert desk.json("pull", place)["policy"] == str(policy)
    bare = Signed.make(desk.folder, claims=[], reference="demo:bare")
    bare_place = desk.publish(bare.layout(desk.folder / "bare-layout"), "policy-bare")
    done = desk.run("pull", bare_place, "-o", "bare", code=5)
    assert "predicate-missing (https://cyclonedx.org/bom)" in done.stderr
    done = desk.run("pull", bare_place, "-o", "bare", "--key", "release.pub")  # goes before it
    done = desk.run("pull", bare_place, "-o", "other", "--unverified")
    assert "verified" not in done.stderr
    for words in (("--policy", str(policy)), ("--key", "release.pub")):
        assert "contradicts" in desk.run("pull", place, "--unverified", *words, code=2).stderr
    policy.write_text("version = 2\n")
    desk.run("pull", place, "-o", "third", code=2)  # a broken one is no consent
    assert not (desk.folder / "third").exists()


def test_every_image_of_an_index_must_be_signed(desk: Desk) -> None:
    good = Signed.make(desk.folder, command=("one",))
    bad = Signed.make(desk.folder, key=None, command=("two",))
    place = desk.publish(index_layout(desk.folder / "many", [good, bad]), "many")
    done = desk.run("pull", place, "--key", "release.pub", code=5)
    assert f"@{bad.image.digest}: unsigned" in done.stderr
    assert str(good.image.digest) not in done.stderr
    told = desk.json("pull", place, "--key", "release.pub", "--platform", "linux/arch0")
    assert told["digest"] == str(good.image.digest)
    desk.run("pull", place, "--key", "release.pub", "--platform", "linux/arch1", code=5)
