"""Referrers laid beside an image that is there already."""

import json
import multiprocessing
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.errors import BuildError, UsageError
from hps.oci.attach import attach
from hps.oci.attachment import Attachment, Subject, fallback_tag, referrer
from hps.oci.image import MANIFEST_TYPE, Image
from hps.oci.layout import check_layout, write_layout
from hps.oci.layout_reading import open_layout
from tests.oci.images import Blobs, small_image

KIND = "application/vnd.example.note+json"
WRITERS = 6


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def image(blobs: Blobs) -> Image:
    return small_image(blobs)


@pytest.fixture
def layout(tmp_path: Path, image: Image, blobs: Blobs) -> Path:
    write_layout(tmp_path / "layout", [image], blobs.path)
    return tmp_path / "layout"


def note(image: Image, text: str) -> Attachment:
    subject = Subject(MANIFEST_TYPE, image.digest, len(image.manifest))
    return referrer(subject, KIND, json.dumps(text).encode(), {"note": text})


def listed(layout: Path, image: Image) -> list[str]:
    """What the index at the fallback tag lists."""
    (index,) = [
        one for one in open_layout(layout).attachments if one.tag == fallback_tag(image.digest)
    ]
    return [entry["digest"] for entry in json.loads(index.manifest)["manifests"]]


def test_one_after_the_other(layout: Path, image: Image) -> None:
    notes = [note(image, text) for text in ("a", "b")]
    for count, one in enumerate(notes, 1):
        assert attach(layout, image.digest, [one])
        assert sorted(listed(layout, image)) == sorted(str(one.digest) for one in notes[:count])
    check_layout(layout)
    assert open_layout(layout).images == (image,)


def test_what_is_there_is_not_added_again(layout: Path, image: Image) -> None:
    attach(layout, image.digest, [note(image, "a")])
    before = (layout / "index.json").stat()
    assert not attach(layout, image.digest, [note(image, "a")])
    after = (layout / "index.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_layers_stay_the_same_files(layout: Path, image: Image) -> None:
    place = layout / "blobs" / "sha256" / image.layers[0].digest.hex
    before = place.stat().st_ino
    attach(layout, image.digest, [note(image, "a")])
    assert place.stat().st_ino == before


def test_other_images_and_what_speaks_of_them_stay(
    tmp_path: Path, image: Image, blobs: Blobs
) -> None:
    other = replace(image, reference="other:1", manifest=image.manifest + b"\n")
    write_layout(tmp_path / "two", [image, other], blobs.path)
    attach(tmp_path / "two", other.digest, [note(other, "other")])
    attach(tmp_path / "two", image.digest, [note(image, "one")])
    check_layout(tmp_path / "two")
    assert {one.digest for one in open_layout(tmp_path / "two").images} == {
        image.digest,
        other.digest,
    }
    for one, text in ((image, "one"), (other, "other")):
        assert listed(tmp_path / "two", one) == [str(note(one, text).digest)]


def test_a_link_to_a_layout(tmp_path: Path, layout: Path, image: Image) -> None:
    (tmp_path / "link").symlink_to(layout)
    assert attach(tmp_path / "link", image.digest, [note(image, "a")])
    assert (tmp_path / "link").is_symlink()
    assert listed(layout, image) == [str(note(image, "a").digest)]


def test_an_image_that_is_no_longer_there(layout: Path, image: Image) -> None:
    before = (layout / "index.json").read_bytes()
    with pytest.raises(BuildError, match="replaced meanwhile") as caught:
        attach(layout, Digest.of(b"before"), [note(image, "a")])
    assert caught.value.got == str(image.digest)
    assert (layout / "index.json").read_bytes() == before


def test_no_layout(tmp_path: Path, image: Image) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="not an OCI image layout"):
        attach(tmp_path / "empty", image.digest, [note(image, "a")])
    assert not list((tmp_path / "empty").iterdir())


def test_several_at_once_lose_nothing(layout: Path, image: Image) -> None:
    context = multiprocessing.get_context("spawn")
    begin = context.Barrier(WRITERS)
    writers = [
        context.Process(target=_add, args=(begin, layout, image, str(number)))
        for number in range(WRITERS)
    ]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    assert [one.exitcode for one in writers] == [0] * WRITERS
    check_layout(layout)
    assert len(listed(layout, image)) == WRITERS
    assert len(open_layout(layout).attachments) == WRITERS + 1


def _add(begin: Barrier, layout: Path, image: Image, text: str) -> None:
    begin.wait()
    attach(layout, image.digest, [note(image, text)])
