"""A signed image in a layout: what is laid beside it, and that it comes back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hps import canonical
from hps.errors import IntegrityError, UsageError
from hps.oci.archive import write_archive
from hps.oci.attachment import Attachment, Subject, is_attachment_tag, signature_subject
from hps.oci.image import MANIFEST_TYPE, Image, assemble
from hps.oci.index import ImageIndex, platform_index
from hps.oci.layout import check_layout, read_layout, write_layout
from hps.oci.layout_reading import layout_faults, open_layout
from hps.trust.attachments import Claim, sign_image, sign_index
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import Bundle
from hps.trust.file_key import FileKey
from hps.trust.predicates import PROVENANCE, ROLES
from hps.trust.simple_signing import SimpleSignature
from hps.trust.verification import verify_archive, verify_layout
from tests.oci.images import Blobs, layer_tar, settings, small_image
from tests.trust.signed import check, trusting

FILE_KEY = FileKey.generate()
KEY = AuthorisedSigner(FILE_KEY, ROLES["build"])


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def image(blobs: Blobs) -> Image:
    return small_image(blobs)


@pytest.fixture
def attachments(image: Image) -> tuple[Attachment, ...]:
    subject = Subject(MANIFEST_TYPE, image.digest, len(image.manifest))
    return sign_image(subject, "registry.example/app:1", [Claim(PROVENANCE, {"a": 1})], KEY)


@pytest.fixture
def layout(tmp_path: Path, image: Image, blobs: Blobs, attachments: tuple[Attachment, ...]) -> Path:
    write_layout(tmp_path / "layout", [image], blobs.path, attachments)
    return tmp_path / "layout"


def test_what_is_written_is_read(
    layout: Path, image: Image, attachments: tuple[Attachment, ...]
) -> None:
    found = open_layout(layout)
    assert found.images == (image,) == read_layout(layout) == check_layout(layout)
    assert {one.digest: one for one in found.attachments} == {
        one.digest: one for one in attachments
    }


def test_each_statement_is_signed_and_listed_at_the_fallback_tag(
    image: Image, attachments: tuple[Attachment, ...]
) -> None:
    referrers = [one for one in attachments if one.subject == image.digest]
    assert len(referrers) == 2
    for one in referrers:
        assert Bundle.from_bytes(one.blobs[1]).verified_by(KEY.public)
    (index,) = [one for one in attachments if one.tag == f"sha256-{image.digest.hex}"]
    listed = json.loads(index.manifest)["manifests"]
    assert {one["digest"] for one in listed} == {str(one.digest) for one in referrers}
    assert all(one["artifactType"] == referrers[0].artifact_type for one in listed)


def test_the_older_signature(image: Image, attachments: tuple[Attachment, ...]) -> None:
    (older,) = [one for one in attachments if one.tag and signature_subject(one.tag)]
    (layer,) = json.loads(older.manifest)["layers"]
    (annotation,) = layer["annotations"].values()
    read = SimpleSignature.read(older.blobs[1], annotation)
    assert (read.digest, read.reference) == (image.digest, "registry.example/app:1")
    assert read.verified_by(KEY.public)


def test_signing_again_changes_no_byte(image: Image, attachments: tuple[Attachment, ...]) -> None:
    subject = Subject(MANIFEST_TYPE, image.digest, len(image.manifest))
    claims = [Claim(PROVENANCE, {"a": 1})]
    assert sign_image(subject, "registry.example/app:1", claims, KEY) == attachments


def test_faults_of_attachments_are_found(layout: Path, attachments: tuple[Attachment, ...]) -> None:
    blob = layout / "blobs" / "sha256" / attachments[0].digest.hex
    found = open_layout(layout)
    blob.chmod(0o644)
    data = blob.read_bytes()
    blob.write_bytes(data[:-1] + b" ")
    assert [fault.kind for fault in layout_faults(layout, found)] == ["damaged"]
    with pytest.raises(IntegrityError, match="damaged"):
        open_layout(layout)
    blob.unlink()
    assert [fault.kind for fault in layout_faults(layout, found)] == ["missing"]
    with pytest.raises(IntegrityError, match="cannot be read"):
        open_layout(layout)


def test_more_than_any_honest_layout_lists(layout: Path) -> None:
    path = layout / "index.json"
    index = json.loads(path.read_bytes())
    index["manifests"] += [index["manifests"][-1]] * 300
    path.write_bytes(canonical.dumps(index))
    with pytest.raises(IntegrityError, match="lists too much"):
        open_layout(layout)


@pytest.fixture
def index(blobs: Blobs, image: Image) -> ImageIndex:
    """One image for two platforms."""
    layers = [blobs.add(layer_tar({"etc/name": b"arm\n"}))]
    arm = assemble(None, settings(), layers, platform="linux/arm64", epoch=0)
    return platform_index("demo:1", [arm, replace(image, reference=None)])


def signed_index(index: ImageIndex) -> tuple[Attachment, ...]:
    def claims(image: Image) -> list[Claim]:
        return [Claim(PROVENANCE, {"a": image.platform})]

    return sign_index(index, "registry.example/app:1", claims, KEY)


def test_an_index_and_each_image_of_it_are_signed(index: ImageIndex) -> None:
    attachments = signed_index(index)
    said = [
        (one.subject, Bundle.from_bytes(one.blobs[1]).verified_by(KEY.public))
        for one in attachments
        if one.subject is not None
    ]
    intel, arm = (image.digest for image in index.images)
    assert said == [(digest, True) for digest in (index.digest, *[intel] * 2, *[arm] * 2)]
    older = {signature_subject(one.tag) for one in attachments if one.tag is not None} - {None}
    assert older == {index.digest, arm, intel}
    assert signed_index(index) == attachments, "signing again changes no byte"


def test_a_layout_of_an_index_is_read_and_verified(
    tmp_path: Path, index: ImageIndex, blobs: Blobs
) -> None:
    write_layout(tmp_path / "layout", [], blobs.path, signed_index(index), [index])
    (read,) = open_layout(tmp_path / "layout").indexes
    assert (read.reference, read.data) == (index.reference, index.data)
    index_found, *images = verify_layout(tmp_path / "layout", check(trusting(FILE_KEY)))
    assert [one.good for one in (index_found, *images)] == [True] * 3
    assert [one.digest for one in images] == [one.digest for one in index.images]
    with pytest.raises(UsageError, match="an index of several images"):
        read_layout(tmp_path / "layout")


def test_an_archive_of_an_index_is_verified(
    tmp_path: Path, index: ImageIndex, blobs: Blobs
) -> None:
    signed, path = signed_index(index), tmp_path / "image.tar"
    write_archive(path, [], blobs.path, epoch=0, attachments=signed, indexes=[index])
    assert [one.good for one in verify_archive(path, check(trusting(FILE_KEY)))] == [True] * 3


def test_images_that_index_json_lists_too_are_judged_once(
    tmp_path: Path, index: ImageIndex, blobs: Blobs
) -> None:
    """As `oras cp --to-oci-layout` writes it."""
    write_layout(tmp_path / "layout", index.images, blobs.path, signed_index(index), [index])
    verdicts = verify_layout(tmp_path / "layout", check(trusting(FILE_KEY)))
    assert [one.good for one in verdicts] == [True] * 3


def test_an_index_has_one_image_for_each_platform(image: Image) -> None:
    for images in ([], [image, image]):
        with pytest.raises(ValueError, match="one image for each platform"):
            platform_index("demo:1", images)


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        (f"sha256-{'0' * 64}", True),
        (f"sha256-{'0' * 64}.sig", True),
        (f"sha256-{'0' * 63}", False),
        (f"sha256-{'0' * 64}.SIG", False),
        (f"sha256-{'0' * 64}\n", False),
        ("demo:cpu", False),
    ],
)
def test_tags_of_attachments(tag: str, expected: bool) -> None:
    assert is_attachment_tag(tag) is expected
