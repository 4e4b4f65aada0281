"""hps copies, other programs read; other programs write, hps copies: skopeo, umoci, Docker."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from hps.digest import Digest
from hps.oci.image import MANIFEST_TYPE, Image, assemble
from hps.oci.layout import check_layout, read_layout, write_layout
from hps.oci.packing import GZIP_TYPE, ZSTD_TYPE
from hps.oci.registry import DOCKER_MANIFEST_TYPE
from tests.interop.test_oci_readers import run
from tests.oci.copy_lab import CopyLab
from tests.oci.images import busybox, layer_tar, settings
from tests.oci.registry_server import Authority, RegistryServer, docker_config

USER, PASSWORD = "builder", "correct horse"
HELLO = b"#!/bin/sh\necho hello from $NAME\n"


@dataclass(frozen=True)
class Town:
    """A registry with TLS and a password, and a lab that has both."""

    registry: RegistryServer
    authority: Authority
    folder: Path

    def lab(self, folder: Path) -> CopyLab:
        config = docker_config(self.folder / "home", self.registry.host, USER, PASSWORD)
        environment = {"DOCKER_CONFIG": str(config)}
        return CopyLab(folder, authority=self.authority.path, environment=environment)

    def place(self, name: str) -> str:
        return f"docker://{self.registry.host}/{name}"

    def skopeo(self, *words: str | Path) -> str:
        """skopeo, as the same user."""
        certificates = self.folder / "certificates"
        certificates.mkdir(exist_ok=True)
        (certificates / "ca.crt").write_bytes(self.authority.path.read_bytes())
        verb, *rest = words
        inspects = verb in {"inspect", "list-tags"}
        sides = [""] if inspects else ["src-", "dest-"]
        options: list[str | Path] = []
        for side in sides:
            options += [f"--{side}cert-dir", certificates, f"--{side}creds", f"{USER}:{PASSWORD}"]
        return run("skopeo", "--insecure-policy", str(verb), *options, *rest)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    authority = Authority.make(folder)
    users = {USER: PASSWORD}
    with RegistryServer.start(folder / "registry", authority=authority, users=users) as registry:
        yield Town(registry, authority, folder)


@pytest.fixture
def lab(town: Town, tmp_path: Path) -> CopyLab:
    return town.lab(tmp_path)


@pytest.fixture
def image(lab: CopyLab) -> Image:
    # Layers of their own for each test: skopeo remembers what it has packed, and sends that.
    mine = str(lab.folder).encode()
    files = [{"bin/busybox": busybox(), "of": mine}, {"opt/hello": HELLO, "opt/of": mine}]
    links = [{"bin/sh": "busybox"}, {}]
    tars = [layer_tar(each, links=more) for each, more in zip(files, links, strict=True)]
    layers = [lab.blobs.add(tar) for tar in tars]
    config = settings(entrypoint=["/bin/sh", "/opt/hello"], environment={"NAME": "hps"})
    found = assemble("demo:busybox", config, layers, platform="linux/amd64", epoch=0)
    write_layout(lab.layout, [found], lab.blobs.path)
    return found


def unpacked(folder: Path, name: str, bundle: Path) -> Path:
    """The root of an image as umoci unpacks it."""
    arguments = [] if os.geteuid() == 0 else ["--rootless"]
    run("umoci", "unpack", *arguments, "--image", f"{folder}:{name}", bundle)
    return bundle / "rootfs"


def test_skopeo_and_umoci_read_what_hps_pushed(
    town: Town, lab: CopyLab, image: Image, tmp_path: Path
) -> None:
    place = town.place("read/app:1.0")
    lab.copy(f"oci:{lab.layout}", place)
    found = json.loads(town.skopeo("inspect", place))
    assert found["Digest"] == str(image.digest)
    assert found["Layers"] == [str(layer.digest) for layer in image.layers]
    town.skopeo("copy", "--preserve-digests", place, f"oci:{tmp_path}/theirs:x")
    (copied,) = check_layout(tmp_path / "theirs")
    assert copied.digest == image.digest
    lab.copy(place, f"oci:{tmp_path}/ours:x")
    root = unpacked(tmp_path / "ours", "x", tmp_path / "bundle")
    assert (root / "bin/busybox").read_bytes() == busybox()


OTHERS = {
    "gzip": (["--format", "oci", "--dest-compress-format", "gzip"], MANIFEST_TYPE, GZIP_TYPE),
    "zstd": (["--format", "oci", "--dest-compress-format", "zstd"], MANIFEST_TYPE, ZSTD_TYPE),
    "docker": (
        ["--format", "v2s2"],
        DOCKER_MANIFEST_TYPE,
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_hps_reads_what_skopeo_pushed(
    town: Town,
    lab: CopyLab,
    image: Image,
    tmp_path: Path,
    kind: str,
) -> None:
    options, media_type, layer_type = OTHERS[kind]
    place = town.place(f"written/{options[-1]}:1.0")
    town.skopeo("copy", "--dest-compress", *options, f"oci:{lab.layout}:demo:busybox", place)
    digest = Digest.parse(json.loads(town.skopeo("inspect", place))["Digest"])
    moved = lab.copy(place, f"oci:{tmp_path}/back:x")
    assert moved.root == digest != image.digest
    (found,) = check_layout(tmp_path / "back")
    assert {layer.media_type for layer in found.layers} == {layer_type}
    assert [one.diff_id for one in found.layers] == [one.digest for one in image.layers]
    assert found.media_type == media_type
    # Docker's archive has the same image as hps laid it out: the tars are the same.
    lab.copy(place, f"docker-archive:{tmp_path}/d.tar:demo:back")
    inside = json.loads(run("skopeo", "inspect", "--config", f"docker-archive:{tmp_path}/d.tar"))
    assert inside["rootfs"]["diff_ids"] == [str(layer.digest) for layer in image.layers]
    if media_type == MANIFEST_TYPE:
        run("skopeo", "--insecure-policy", "copy", f"oci:{tmp_path}/back:x", f"dir:{tmp_path}/dir")


def test_archives_are_those_of_skopeo(lab: CopyLab, image: Image, tmp_path: Path) -> None:
    copy = ("skopeo", "--insecure-policy", "copy")
    source = f"oci:{lab.layout}:demo:busybox"
    run(*copy, "--preserve-digests", source, f"oci-archive:{tmp_path}/theirs.tar:a:b")
    lab.copy(f"oci-archive:{tmp_path}/theirs.tar:a:b", f"oci:{tmp_path}/one:x")
    assert read_layout(tmp_path / "one")[0].digest == image.digest
    run(*copy, source, f"docker-archive:{tmp_path}/docker.tar:a:b")
    lab.copy(f"docker-archive:{tmp_path}/docker.tar:a:b", f"oci:{tmp_path}/two:x")
    (found,) = check_layout(tmp_path / "two")
    assert [one.diff_id for one in found.layers] == [one.digest for one in image.layers]
    lab.copy(source, f"oci-archive:{tmp_path}/ours.tar:a:b")
    run(*copy, "--preserve-digests", f"oci-archive:{tmp_path}/ours.tar:a:b", f"dir:{tmp_path}/d")
    assert Digest.of((tmp_path / "d" / "manifest.json").read_bytes()) == image.digest


# --- a real Docker engine --------------------------------------------------------------------------


@pytest.fixture
def engine(docker_host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[docker.DockerClient]:
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    client = docker.DockerClient(base_url=docker_host)
    yield client
    client.close()


def test_an_engine_gives_back_what_it_got(
    town: Town, lab: CopyLab, image: Image, engine: docker.DockerClient, tmp_path: Path
) -> None:
    moved = lab.copy(f"oci:{lab.layout}", "docker-daemon:copied/app:1.0")
    assert moved.image_id == str(image.image_id)
    output = engine.containers.run("copied/app:1.0", remove=True, network_mode="none")
    assert output == b"hello from hps\n"
    place = town.place("daemon/app:1.0")
    assert lab.copy("docker-daemon:copied/app:1.0", place).root == image.digest
    assert lab.copy(f"docker-daemon:{image.image_id}", f"oci:{tmp_path}/b:x").root == image.digest
    (found,) = check_layout(tmp_path / "b")
    assert found.layers == image.layers
    assert not any((lab.folder / "store" / "temporary").glob("*/*"))


def test_an_engine_gets_what_registries_have(
    town: Town, lab: CopyLab, image: Image, engine: docker.DockerClient
) -> None:
    """Packed by skopeo with zstd, which Docker 20.10 cannot unpack, and with gzip."""
    for packing in ("zstd", "gzip"):
        place = town.place(f"packed/{packing}:1.0")
        words = ["--dest-compress", "--dest-compress-format", packing, "--format", "oci"]
        town.skopeo("copy", *words, f"oci:{lab.layout}:demo:busybox", place)
        moved = lab.copy(place, f"docker-daemon:packed/{packing}:1.0")
        assert moved.image_id == str(engine.images.get(f"packed/{packing}:1.0").id)
        assert moved.attachments == ()
        output = engine.containers.run(f"packed/{packing}:1.0", remove=True, network_mode="none")
        assert output == b"hello from hps\n"


def test_docker_push_and_pull_meet_hps(
    town: Town, lab: CopyLab, image: Image, engine: docker.DockerClient, tmp_path: Path
) -> None:
    login = {"username": USER, "password": PASSWORD}
    host = town.registry.host
    lab.copy(f"oci:{lab.layout}", f"docker-daemon:{host}/docker/app:1.0")
    lines = engine.api.push(
        f"{host}/docker/app", "1.0", auth_config=login, stream=True, decode=True
    )
    pushed = [line["aux"]["Digest"] for line in lines if "aux" in line]
    moved = lab.copy(town.place("docker/app:1.0"), f"oci:{tmp_path}/back:x")
    assert pushed == [str(moved.root)]
    (found,) = check_layout(tmp_path / "back")
    assert found.image_id == image.image_id
    lab.copy(f"oci:{lab.layout}", town.place("hps/app:1.0"))
    pulled = engine.images.pull(f"{host}/hps/app", "1.0", auth_config=login)
    assert pulled.id == str(image.image_id)
    assert f"{host}/hps/app@{image.digest}" in pulled.attrs["RepoDigests"]


def test_the_archive_of_docker_save_is_read(
    lab: CopyLab, image: Image, engine: docker.DockerClient, tmp_path: Path
) -> None:
    """Two images that share a layer: Docker saves it once, and a link."""
    other = assemble(
        "demo:other", settings(), image.layers[:1] * 2, platform="linux/amd64", epoch=0
    )
    write_layout(tmp_path / "other", [other], lab.blobs.path)
    lab.copy(f"oci:{lab.layout}", "docker-daemon:saved/one:1")
    lab.copy(f"oci:{tmp_path}/other", "docker-daemon:saved/two:2")
    archive = tmp_path / "saved.tar"
    run("docker", "save", "--output", archive, "saved/one:1", "saved/two:2")
    for name, wanted in (("saved/one:1", image), ("saved/two:2", other)):
        moved = lab.copy(f"docker-archive:{archive}:{name}", f"oci:{tmp_path}/layout:{name}")
        assert moved.root == wanted.digest
    assert len(check_layout(tmp_path / "layout")) == 2


def test_what_an_engine_does_not_have_is_told(
    lab: CopyLab, engine: docker.DockerClient, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match="Docker has no image no/such:1"):
        lab.copy("docker-daemon:no/such:1", f"oci:{tmp_path}/x")
    assert not (tmp_path / "x").exists()
