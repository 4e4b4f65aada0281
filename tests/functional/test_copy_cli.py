"""`hps copy` and `hps pull` as processes: words, data, codes, interruptions."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hps.oci.image import Image
from hps.oci.layout import check_layout
from hps.oci.layout_reading import open_layout
from tests.oci.copy_lab import CopyLab, files_below
from tests.oci.registry_server import Authority, RegistryServer, docker_config
from tests.servers import Exchange, HostileServer, status

WAIT = 60.0  # seconds; a bound, not a measure


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Shell:
    """hps in a folder, with a store and a home of its own."""

    folder: Path
    host: str
    authority: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "HPS_STORE": str(self.folder / "store"),
            "HPS_REGISTRY_CA": str(self.authority),
            "DOCKER_CONFIG": str(self.folder / "docker"),
        }

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "hps", *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, code: int = 0) -> Done:
        process = self.start(*words)
        out, err = process.communicate(timeout=WAIT)
        assert process.returncode == code, err
        return Done(process.returncode, out, err)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[RegistryServer]:
    folder = tmp_path_factory.mktemp("registry")
    with RegistryServer.start(folder, authority=authority, users={"a": "b"}) as running:
        yield running


@pytest.fixture
def shell(server: RegistryServer, authority: Authority, tmp_path: Path) -> Shell:
    docker_config(tmp_path / "docker", server.host, "a", "b")
    return Shell(tmp_path, server.host, authority.path)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return CopyLab(tmp_path).signed_image()


def test_an_image_goes_out_and_comes_back(shell: Shell, image: Image) -> None:
    place = f"{shell.host}/cli/app:1.0"
    done = shell.run("copy", "oci:layout", f"docker://{place}")
    assert done.out == f"{image.digest} docker://{place}\n"
    assert "3 blobs moved" in done.err
    assert "2 signatures and attestations along with it" in done.err
    done = shell.run("pull", place)
    assert done.out == f"{image.digest} oci:app:app:1.0\n"
    (found,) = check_layout(shell.folder / "app")
    assert (found.digest, found.reference) == (image.digest, "app:1.0")
    done = shell.run("pull", f"{shell.host}/cli/app@{image.digest}", "-o", "other")
    assert [one.reference for one in open_layout(shell.folder / "other").images] == [None]
    assert "3 blobs there already" in done.err


def test_json_says_what_moved(shell: Shell, image: Image) -> None:
    goal = f"docker://{shell.host}/cli/json:1.0"
    (asked,) = shell.run("copy", "--dry-run", "oci:layout", goal, "--json").json
    assert asked["dry_run"] is True
    (told,) = shell.run("copy", "oci:layout", goal, "--json").json
    assert told["dry_run"] is False
    assert asked["bytes"] == told["bytes"]
    sizes = {one["digest"]: one["size"] for one in told["blobs"]}
    assert {str(layer.digest): layer.size for layer in image.layers}.items() <= sizes.items()
    assert told["bytes"] == {"there": 0, "mounted": 0, "sent": sum(sizes.values())}
    assert (told["digest"], told["place"], told["before"]) == (str(image.digest), goal, None)
    assert len(told["attachments"]) == 2
    (again,) = shell.run("copy", "oci:layout", goal, "--json").json
    assert {one["placed"] for one in again["blobs"]} == {"there"}


def test_a_packed_image_says_that_it_has_another_digest(shell: Shell, image: Image) -> None:
    goal = f"docker://{shell.host}/cli/packed:1.0"
    done = shell.run("copy", "--compress", "zstd", "oci:layout", goal)
    assert not done.out.startswith(str(image.digest))
    assert f"and not {image.digest}; signatures speak of the old one" in done.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("copy", "oci:none", "oci:x"), 2, "not an OCI image layout"),
        (("copy", "layout", "oci:x"), 2, "names no place of images"),
        (("copy", "dir:layout", "oci:x"), 2, "oci:FOLDER keeps the same bytes"),
        (("copy", "oci:layout"), 2, "Missing argument 'DST'"),
        (("copy", "oci:layout", "docker://HOST/cli/app"), 2, "under which tag"),
        (("pull", "app:1.0"), 2, "hps has no default registry"),
        (("pull", "HOST/cli/none:1.0"), 4, "does not exist"),
        (("pull", "HOST/cli/none"), 2, "neither which tag nor which digest"),
        (("copy", "oci:layout", "docker-daemon:a:b"), 8, "no Docker engine answers"),
    ],
)
def test_mistakes_are_explained(
    shell: Shell, image: Image, words: tuple[str, ...], code: int, told: str
) -> None:
    before = list(files_below(shell.folder))
    environment = os.environ.get("DOCKER_HOST")
    assert environment is None or "docker-daemon:a:b" not in words
    done = shell.run(*(word.replace("HOST", shell.host) for word in words), code=code)
    assert told in done.err
    assert done.out == ""
    kept = [name for name in files_below(shell.folder) if not name.startswith("store")]
    assert kept == before


def test_a_wrong_password_is_told_and_not_shown(shell: Shell, image: Image) -> None:
    docker_config(shell.folder / "docker", shell.host, "a", "very-secret")
    done = shell.run("copy", "oci:layout", f"docker://{shell.host}/cli/app:1.0", code=8)
    assert "401" in done.err
    assert "docker login" in done.err
    assert "very-secret" not in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_push_leaves_no_tag_and_carries_on(
    shell: Shell, image: Image, number: signal.Signals
) -> None:
    """The registry takes some of a layer and then listens to nobody."""
    reached = threading.Event()

    def stuck(exchange: Exchange) -> None:
        reached.set()
        exchange.wait()

    with HostileServer() as mute:
        # What does not exist is 404 by itself; an upload never gets its answer.
        mute.script("/v2/cli/app/blobs/uploads/", stuck)
        process = shell.start("copy", "oci:layout", f"docker://{mute.host}/cli/app:1.0")
        assert reached.wait(WAIT)
        process.send_signal(number)
        out, err = process.communicate(timeout=WAIT)
        assert out == ""
        if number is signal.SIGINT:
            assert process.returncode == 130
            assert "run it again to carry on" in err
        assert not any(one.method == "PUT" for one in mute.seen)
    done = shell.run("copy", "oci:layout", f"docker://{shell.host}/cli/again:1.0")
    assert done.out.startswith(str(image.digest))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_pull_leaves_nothing_and_carries_on(
    shell: Shell, image: Image, number: signal.Signals
) -> None:
    """One layer comes, the other never does; the next pull fetches that one alone."""
    first, second = sorted(image.layers, key=lambda one: one.size)
    reached = threading.Event()
    blobs = shell.folder / "layout" / "blobs" / "sha256"
    store = shell.folder / "store" / "blobs" / "sha256"

    def stuck(exchange: Exchange) -> None:
        reached.set()
        exchange.wait()

    def serve(path: str, data: bytes, kind: str = "application/octet-stream") -> None:
        headers = {"Content-Type": kind, "Content-Length": str(len(data))}
        mute.script(path, status(200, headers, data))

    with HostileServer() as mute:
        base = "/v2/cli/app"
        kind = "application/vnd.oci.image.manifest.v1+json"
        serve(f"{base}/manifests/1.0", image.manifest, kind)
        serve(f"{base}/blobs/{image.image_id}", image.config)
        serve(f"{base}/blobs/{first.digest}", (blobs / first.digest.hex).read_bytes())
        mute.script(f"{base}/blobs/{second.digest}", stuck)
        process = shell.start("pull", f"{mute.host}/cli/app:1.0", "--blobs", "3")
        assert reached.wait(WAIT)
        bound = threading.Event()
        for _ in range(int(WAIT * 20)):
            if (store / first.digest.hex).exists():
                break
            bound.wait(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=WAIT)
        if number is signal.SIGINT:
            assert process.returncode == 130
            assert "nothing is lost" in err
        assert not (shell.folder / "app").exists()
        serve(f"{base}/blobs/{second.digest}", (blobs / second.digest.hex).read_bytes())
        before = mute.count(f"{base}/blobs/{first.digest}")
        shell.run("pull", f"{mute.host}/cli/app:1.0")
        assert mute.count(f"{base}/blobs/{first.digest}") == before
    assert [one.digest for one in check_layout(shell.folder / "app")] == [image.digest]


def test_two_pulls_into_one_layout_lose_nothing(shell: Shell, image: Image) -> None:
    for tag in ("1", "2"):
        shell.run("copy", "oci:layout", f"docker://{shell.host}/cli/two:{tag}")
    both = [
        shell.start("copy", f"docker://{shell.host}/cli/two:{tag}", f"oci:both:two:{tag}")
        for tag in ("1", "2")
    ]
    for process in both:
        _, err = process.communicate(timeout=WAIT)
        assert process.returncode == 0, err
    # One digest under two names: the later one has it.
    assert {one.digest for one in check_layout(shell.folder / "both")} == {image.digest}
