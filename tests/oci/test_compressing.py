"""Packing layers on their way: another digest, the same image, and nothing that was signed."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.errors import IntegrityError, UsageError
from hps.oci.image import LAYER_TYPE
from hps.oci.index import platform_index
from hps.oci.layout import check_layout, write_layout
from hps.oci.layout_reading import open_layout
from hps.oci.packing import GZIP_TYPE, ZSTD_TYPE, unpacked
from hps.oci.registry import DOCKER_MANIFEST_TYPE, Placed
from tests.oci.copy_lab import CopyLab
from tests.oci.registry_server import RegistryServer
from tests.oci.test_copying import packed_image

TYPES = {"gzip": GZIP_TYPE, "zstd": ZSTD_TYPE}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer.start(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def lab(tmp_path: Path) -> CopyLab:
    return CopyLab(tmp_path)


@pytest.mark.parametrize("packing", TYPES)
def test_the_digest_is_another_and_the_image_the_same(
    lab: CopyLab, server: RegistryServer, tmp_path: Path, packing: str
) -> None:
    image = lab.signed_image()
    place = f"docker://{server.host}/packed/{packing}:1.0"
    moved = lab.copy(f"oci:{lab.layout}", place, packing=packing)
    assert moved.root != image.digest
    assert moved.attachments == ()
    assert str(image.digest) in moved.notes[-1]
    assert str(moved.root) in moved.notes[-1]
    assert moved.sum(Placed.SENT) < sum(layer.size for layer in image.layers) / 10
    lab.copy(place, f"oci:{tmp_path}/back:x")
    (found,) = check_layout(tmp_path / "back")
    assert found.image_id == image.image_id
    assert open_layout(tmp_path / "back").attachments == ()
    for new, old in zip(found.layers, image.layers, strict=True):
        assert (new.media_type, new.diff_id) == (TYPES[packing], old.digest)
        path = tmp_path / "back" / "blobs" / "sha256" / new.digest.hex
        with path.open("rb") as file:
            assert sum(map(len, unpacked(file, new, "the layer"))) == old.size
    # What was packed is remembered, and the second time nothing goes.
    again = lab.copy(f"oci:{lab.layout}", place, packing=packing)
    assert again.root == moved.root
    assert again.sum(Placed.SENT) == 0


def test_packing_is_the_same_in_two_stores(tmp_path: Path) -> None:
    labs = [CopyLab(tmp_path / name) for name in ("one", "two")]
    for each in labs:
        each.signed_image()
    digests = {
        each.copy(f"oci:{each.layout}", f"oci:{each.folder}/out:x", packing="zstd").root
        for each in labs
    }
    assert len(digests) == 1


def test_layers_that_are_packed_stay(lab: CopyLab, tmp_path: Path) -> None:
    image = packed_image(lab)
    write_layout(lab.layout, [image], lab.blobs.path)
    lab.copy(f"oci:{lab.layout}", f"oci-archive:{tmp_path}/a.tar:x", packing="gzip")
    lab.copy(f"oci-archive:{tmp_path}/a.tar:x", f"oci:{tmp_path}/back:x")
    (found,) = check_layout(tmp_path / "back")
    assert found.layers[:2] == image.layers[:2]
    assert [one.media_type for one in found.layers] == [GZIP_TYPE, ZSTD_TYPE, GZIP_TYPE]


def test_dockers_manifests_know_gzip_only(lab: CopyLab, tmp_path: Path) -> None:
    image = packed_image(lab, docker=True)
    write_layout(lab.layout, [image], lab.blobs.path)
    with pytest.raises(UsageError, match="knows no zstd"):
        lab.copy(f"oci:{lab.layout}", f"oci:{tmp_path}/x:x", packing="zstd")
    lab.copy(f"oci:{lab.layout}", f"oci:{tmp_path}/x:x", packing="gzip")
    (found,) = check_layout(tmp_path / "x")
    assert found.media_type == DOCKER_MANIFEST_TYPE
    assert {one.media_type for one in found.layers} == {
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
    }


def test_an_index_gets_packed_images(lab: CopyLab, tmp_path: Path) -> None:
    image = dataclasses.replace(lab.signed_image(), reference=None)
    index = platform_index("demo:all", [image])
    write_layout(tmp_path / "all", [], lab.blobs.path, (), [index])
    moved = lab.copy(f"oci:{tmp_path}/all", f"oci:{tmp_path}/x:x", packing="gzip")
    layout = open_layout(tmp_path / "x")
    assert [one.digest for one in layout.indexes] == [moved.root]
    (found,) = layout.all_images
    assert found.image_id == image.image_id
    assert {one.media_type for one in found.layers} == {GZIP_TYPE}


def test_a_damaged_layer_is_not_packed(lab: CopyLab, tmp_path: Path) -> None:
    image = lab.signed_image()
    path = lab.layout / "blobs" / "sha256" / image.layers[1].digest.hex
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1] + b"!")
    with pytest.raises(IntegrityError):
        lab.copy(f"oci:{lab.layout}", f"oci:{tmp_path}/x:x", packing="gzip")
    assert not (tmp_path / "x").exists()
    path.write_bytes(data)
    moved = lab.copy(f"oci:{lab.layout}", f"oci:{tmp_path}/x:x", packing="gzip")
    assert moved.root != image.digest
    assert image.layers[0].media_type == LAYER_TYPE


@pytest.mark.parametrize("goal", ["docker-archive:{}/x.tar:a:b", "docker-daemon:a:b"])
def test_docker_gets_no_packed_layers(lab: CopyLab, tmp_path: Path, goal: str) -> None:
    lab.signed_image()
    with pytest.raises(UsageError, match="never on trial"):
        lab.copy(f"oci:{lab.layout}", goal.format(tmp_path), packing="gzip")
    with pytest.raises(UsageError, match="never on trial"):
        lab.copy(f"oci:{lab.layout}", f"oci:{tmp_path}/x", packing="gzip", dry=True)
