"""Other programs read what hps writes: skopeo, umoci, Docker."""

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import docker
import pytest

from hps.digest import Digest
from hps.oci.archive import write_archive
from hps.oci.image import Image
from hps.oci.layout import check_layout, read_layout, write_layout
from tests.oci.images import Blobs, busybox, busybox_image


def run(*argv: str | Path) -> str:
    assert shutil.which(argv[0]), f"{argv[0]} is not installed: apt-get install {argv[0]}"
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def image(blobs: Blobs) -> Image:
    return busybox_image(
        blobs,
        "demo:cpu",
        entrypoint=["/bin/sh", "/opt/hello"],
        environment={"NAME": "hps"},
        labels={"a": "b"},
    )


@pytest.fixture
def layout(tmp_path: Path, blobs: Blobs, image: Image) -> Path:
    write_layout(tmp_path / "layout", [image], blobs.path)
    return tmp_path / "layout"


@pytest.fixture
def archive(tmp_path: Path, blobs: Blobs, image: Image) -> Path:
    write_archive(tmp_path / "image.tar", [image], blobs.path, epoch=0)
    return tmp_path / "image.tar"


def test_skopeo_inspects_the_layout(layout: Path, image: Image) -> None:
    found = json.loads(run("skopeo", "inspect", f"oci:{layout}:demo:cpu"))
    assert found["Digest"] == str(image.digest)
    assert found["Layers"] == [str(layer.digest) for layer in image.layers]
    assert (found["Architecture"], found["Os"]) == ("amd64", "linux")
    assert found["Created"] == "1970-01-01T00:00:00Z"
    assert found["Labels"] == {"a": "b"}
    assert found["Env"] == ["NAME=hps"]


def test_skopeo_copies_the_layout_and_keeps_the_digest(
    tmp_path: Path, layout: Path, image: Image
) -> None:
    copy = tmp_path / "copy"
    run(
        "skopeo",
        "--insecure-policy",
        "copy",
        "--preserve-digests",
        f"oci:{layout}",
        f"oci:{copy}:x",
    )
    (found,) = read_layout(copy)
    assert (found.digest, found.image_id) == (image.digest, image.image_id)
    assert check_layout(copy) == (found,)


def test_skopeo_reads_the_archive(tmp_path: Path, archive: Path, image: Image) -> None:
    found = json.loads(run("skopeo", "inspect", f"oci-archive:{archive}"))
    assert found["Digest"] == str(image.digest)
    found = json.loads(run("skopeo", "inspect", "--config", f"docker-archive:{archive}"))
    assert found["rootfs"]["diff_ids"] == [str(layer.digest) for layer in image.layers]


def test_umoci_unpacks_the_layout(tmp_path: Path, layout: Path) -> None:
    bundle = tmp_path / "bundle"
    arguments = [] if os.geteuid() == 0 else ["--rootless"]
    run("umoci", "unpack", *arguments, "--image", f"{layout}:demo:cpu", bundle)
    root = bundle / "rootfs"
    assert (root / "bin/busybox").read_bytes() == busybox()
    assert (root / "bin/sh").readlink() == Path("busybox")
    assert (root / "opt/hello").stat().st_mode & 0o777 == 0o755
    process = json.loads((bundle / "config.json").read_bytes())["process"]
    assert (process["user"]["uid"], process["user"]["gid"]) == (1000, 1000)


def test_docker_loads_the_archive_with_our_id(
    docker_host: str, archive: Path, image: Image
) -> None:
    client = docker.DockerClient(base_url=docker_host)
    try:
        with archive.open("rb") as reader:
            (loaded,) = client.images.load(reader)
        assert loaded.id == str(image.image_id)
        assert loaded.tags == ["demo:cpu"]
        assert loaded.attrs["RootFS"]["Layers"] == [str(layer.digest) for layer in image.layers]
        printed = client.containers.run("demo:cpu", network_mode="none", remove=True)
        assert printed == b"hello from hps\n"
        saved = b"".join(loaded.save())
    finally:
        client.close()
    assert str(image.image_id).removeprefix("sha256:").encode() in saved


def test_docker_loads_a_layout_that_tar_has_packed(
    docker_host: str, layout: Path, image: Image
) -> None:
    client = docker.DockerClient(base_url=docker_host)
    try:
        packed = subprocess.run(
            ["tar", "-C", layout, "-cf", "-", "."], capture_output=True, check=True
        )
        (loaded,) = client.images.load(packed.stdout)
        assert (loaded.id, loaded.tags) == (str(image.image_id), ["demo:cpu"])
    finally:
        client.close()


def test_docker_keeps_the_bytes_of_layers(
    tmp_path: Path, docker_host: str, archive: Path, image: Image
) -> None:
    """`docker save` gives the same layer tars back: nothing in them is lost on the way."""
    client = docker.DockerClient(base_url=docker_host)
    try:
        with archive.open("rb") as reader:
            (loaded,) = client.images.load(reader)
        with (tmp_path / "saved.tar").open("wb") as writer:
            writer.writelines(loaded.save())
    finally:
        client.close()
    with tarfile.open(tmp_path / "saved.tar") as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        (entry,) = json.load(manifest)
        digests = []
        for name in entry["Layers"]:
            layer = tar.extractfile(name)
            assert layer is not None
            digests.append(Digest.of(layer.read()))
    assert digests == [layer.digest for layer in image.layers]
