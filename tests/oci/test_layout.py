import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hps import canonical
from hps.digest import Digest
from hps.errors import BlobMissingError, IntegrityError, StoreCorruptError, UsageError
from hps.oci.image import Image, assemble
from hps.oci.layout import check_layout, read_layout, write_layout
from tests.oci.images import Blobs, settings, small_image


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def layout(tmp_path: Path, blobs: Blobs) -> Path:
    write_layout(tmp_path / "layout", [small_image(blobs)], blobs.path)
    return tmp_path / "layout"


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_is_written_is_read(layout: Path, blobs: Blobs) -> None:
    assert read_layout(layout) == (small_image(blobs),)
    assert check_layout(layout) == (small_image(blobs),)


def test_every_blob_lies_under_its_digest(layout: Path) -> None:
    found = list((layout / "blobs" / "sha256").iterdir())
    assert len(found) == 4
    for path in found:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def test_two_writes_give_the_same_bytes(tmp_path: Path, layout: Path, blobs: Blobs) -> None:
    write_layout(tmp_path / "again", [small_image(blobs)], blobs.path)
    assert tree(tmp_path / "again") == tree(layout)


def test_layers_are_links_to_the_store(layout: Path, blobs: Blobs) -> None:
    for layer in small_image(blobs).layers:
        assert (layout / "blobs" / "sha256" / layer.digest.hex).samefile(blobs.path(layer.digest))


def test_layers_are_copied_from_another_file_system(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no file system of its own here")
    blobs = Blobs(other / f"hps-test-{os.getpid()}")
    try:
        image = small_image(blobs)
        write_layout(tmp_path / "layout", [image], blobs.path)
        assert check_layout(tmp_path / "layout") == (image,)
        digest = image.layers[0].digest
        damaged = bytes(image.layers[0].size)
        blobs.path(digest).write_bytes(damaged)
        with pytest.raises(StoreCorruptError, match=digest.hex):
            write_layout(tmp_path / "layout", [image], blobs.path)
        assert check_layout(tmp_path / "layout") == (image,)
    finally:
        shutil.rmtree(blobs.folder)


def test_several_images_share_blobs(tmp_path: Path, blobs: Blobs) -> None:
    images = [small_image(blobs, "demo:b", labels={"x": "y"}), small_image(blobs, "demo:a")]
    write_layout(tmp_path / "layout", images, blobs.path)
    assert check_layout(tmp_path / "layout") == (images[1], images[0])
    assert len(list((tmp_path / "layout/blobs/sha256").iterdir())) == 6


def test_a_new_layout_replaces_an_old_one(layout: Path, blobs: Blobs) -> None:
    new = small_image(blobs, labels={"version": "2"})
    write_layout(layout, [new], blobs.path)
    assert check_layout(layout) == (new,)


def test_arm64_is_read_with_its_variant(tmp_path: Path, blobs: Blobs) -> None:
    image = assemble("demo:arm", settings(), [], platform="linux/arm64", epoch=0)
    write_layout(tmp_path / "layout", [image], blobs.path)
    (found,) = check_layout(tmp_path / "layout")
    assert found.platform == "linux/arm64/v8"
    write_layout(tmp_path / "again", [found], blobs.path)
    assert tree(tmp_path / "again") == tree(tmp_path / "layout")


def test_a_missing_layer_leaves_the_old_layout(layout: Path, blobs: Blobs) -> None:
    before = tree(layout)
    image = small_image(blobs)
    blobs.path(image.layers[1].digest).unlink()
    with pytest.raises(BlobMissingError, match=image.layers[1].digest.hex):
        write_layout(layout, [image], blobs.path)
    assert tree(layout) == before


def test_a_short_layer_leaves_the_old_layout(layout: Path, blobs: Blobs) -> None:
    before = tree(layout)
    image = small_image(blobs)
    path = blobs.path(image.layers[1].digest)
    path.unlink()
    path.write_bytes(b"short")
    with pytest.raises(StoreCorruptError, match="has 5 bytes instead of"):
        write_layout(layout, [image], blobs.path)
    assert tree(layout) == before


@pytest.mark.parametrize("make", [lambda path: path.write_text("x"), Path.mkdir])
def test_what_is_no_layout_is_never_replaced(
    tmp_path: Path, blobs: Blobs, make: Callable[[Path], object]
) -> None:
    destination = tmp_path / "home"
    make(destination)
    if destination.is_dir():
        (destination / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="is not an OCI image layout"):
        write_layout(destination, [small_image(blobs)], blobs.path)
    assert destination.is_file() or (destination / "thesis.tex").exists()


def test_an_empty_folder_may_become_a_layout(tmp_path: Path, blobs: Blobs) -> None:
    (tmp_path / "empty").mkdir()
    write_layout(tmp_path / "empty", [small_image(blobs)], blobs.path)
    assert check_layout(tmp_path / "empty") == (small_image(blobs),)


def test_reading_a_folder_that_is_no_layout(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="hps build"):
        read_layout(tmp_path)


@pytest.mark.parametrize("name", ["index.json", "oci-layout", "manifest.json"])
@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff\xfe{}", b"[" * 100_000, b'{"schemaVersion":1}', b"{}" * 99],
    ids=["empty", "half", "list", "null", "utf16", "deep", "version", "twice"],
)
def test_documents_that_are_not_what_they_should_be(layout: Path, name: str, data: bytes) -> None:
    (layout / name).write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        check_layout(layout)
    assert name in str(caught.value)


def test_a_document_larger_than_any_registry_takes(layout: Path) -> None:
    (layout / "index.json").write_bytes(b" " * (5 << 20))
    with pytest.raises(IntegrityError, match="too large"):
        read_layout(layout)


@pytest.mark.parametrize("replace", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/etc")])
def test_documents_that_are_no_files(layout: Path, replace: Callable[[Path], None]) -> None:
    (layout / "index.json").unlink()
    replace(layout / "index.json")
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_layout(layout)


def edit_index(layout: Path, **fields: object) -> None:
    path = layout / "index.json"
    index = json.loads(path.read_bytes())
    index["manifests"][0].update(fields)
    path.write_bytes(canonical.dumps(index))


@pytest.mark.parametrize(
    "digest",
    ["sha256:../../../etc/passwd", "md5:00", "sha256:" + "A" * 64, 5, None, "sha256:" + "0" * 64],
)
def test_digests_that_lead_elsewhere(layout: Path, digest: object) -> None:
    edit_index(layout, digest=digest)
    with pytest.raises(IntegrityError):
        read_layout(layout)


def test_a_wrong_size_in_the_index(layout: Path) -> None:
    edit_index(layout, size=1)
    with pytest.raises(IntegrityError, match="is damaged"):
        read_layout(layout)


@pytest.mark.parametrize("kind", ["manifest.v1+json", "image.index.v1+json"])
def test_what_is_said_to_be_of_another_type(layout: Path, kind: str) -> None:
    edit_index(layout, mediaType=f"application/vnd.oci.{kind}")
    with pytest.raises((UsageError, IntegrityError), match=r"something else|hps can trust"):
        read_layout(layout)


def test_a_config_with_other_layers_than_the_manifest(tmp_path: Path, blobs: Blobs) -> None:
    image = small_image(blobs)
    for layers in (image.layers[:1], image.layers[::-1]):
        config = assemble(None, settings(), layers, platform="linux/amd64", epoch=0).config
        lying = Image("demo:cpu", "linux/amd64", b"", b"", image.layers)
        manifest = json.loads(image.manifest)
        manifest["config"] |= {"digest": str(Digest.of(config)), "size": len(config)}
        lying = Image("demo:cpu", "linux/amd64", config, canonical.dumps(manifest), image.layers)
        write_layout(tmp_path / "layout", [lying], blobs.path)
        with pytest.raises(IntegrityError, match=r"disagree|another diff_id"):
            read_layout(tmp_path / "layout")


def test_check_names_every_fault(layout: Path, blobs: Blobs) -> None:
    image = small_image(blobs)
    folder = layout / "blobs" / "sha256"
    first, second = (folder / layer.digest.hex for layer in image.layers)
    first.unlink()
    data = bytearray(second.read_bytes())
    data[-1] ^= 1
    second.unlink()  # it is the store's own file
    second.write_bytes(data)
    (folder / ("0" * 64)).write_bytes(b"extra")
    (layout / "blobs" / "stray").symlink_to("/etc/passwd")
    edited = json.loads((layout / "manifest.json").read_bytes())
    edited[0]["Config"] = "blobs/sha256/" + "0" * 64
    (layout / "manifest.json").write_text(json.dumps(edited))
    with pytest.raises(IntegrityError) as caught:
        check_layout(layout)
    text = "\n".join(caught.value.details)
    assert f"{first.name}: missing" in text
    assert f"{second.name}: damaged" in text
    assert f"blobs/sha256/{'0' * 64}: nothing names it" in text
    assert "blobs/stray: nothing names it" in text
    assert "manifest.json: names other images" in text
    assert len(caught.value.details) == 5


def test_check_names_a_truncated_layer_and_one_that_is_a_pipe(layout: Path, blobs: Blobs) -> None:
    first, second = (
        layout / "blobs" / "sha256" / layer.digest.hex for layer in small_image(blobs).layers
    )
    first.unlink()
    first.write_bytes(b"short")
    second.unlink()
    os.mkfifo(second)
    with pytest.raises(IntegrityError) as caught:
        check_layout(layout)
    assert any("5 bytes instead of" in fault for fault in caught.value.details)
    assert any("not a regular file" in fault for fault in caught.value.details)
