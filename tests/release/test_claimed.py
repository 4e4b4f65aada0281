"""What an image says of itself: enough to know what to build, never more."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hps import canonical
from hps.derivation.emulation import host_platform
from hps.digest import Digest
from hps.errors import IntegrityError, LockError, UsageError
from hps.oci.archive import write_archive
from hps.oci.attachment import Attachment, Subject, fallback_index, referrer
from hps.oci.image import MANIFEST_TYPE, Image
from hps.oci.index import platform_index
from hps.oci.layout import write_layout
from hps.oci.layout_registry import LayoutRegistry
from hps.release.claimed import (
    Claimed,
    Origin,
    claimed_archive,
    claimed_in_registry,
    claimed_layout,
)
from hps.release.provenance import BUILD_TYPE
from hps.trust.attachments import PREDICATE_ANNOTATION, Claim, bundle_referrer, sign_image
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import BUNDLE_TYPE, Bundle
from hps.trust.file_key import FileKey
from hps.trust.predicates import PROVENANCE, ROLES, SBOM
from hps.trust.statement import About, Statement
from tests.oci.images import Blobs, small_image

KEY = AuthorisedSigner(FileKey.generate(), ROLES["build"])
IMAGE = Digest.of(b"manifest")
LOCK, OTHER = Digest.of(b"lock"), Digest.of(b"another lock")


def predicate(target: object = "cpu", lock: object = LOCK.hex, **more: object) -> dict[str, Any]:
    external = {"target": target, "lock": {"digest": {"sha256": lock}}}
    return {"buildDefinition": {"buildType": BUILD_TYPE, "externalParameters": external} | more}


def bundle(
    said: Mapping[str, Any], kind: str = PROVENANCE, about: Digest = IMAGE, key: Any = KEY
) -> Bundle:
    return Bundle.sign(Statement((About("", about),), kind, said), key)


def claimed(*bundles: Bundle) -> Claimed:
    return Claimed("here", b"manifest", b"{}", bundles)


def test_target_and_lock_are_taken_from_provenance() -> None:
    found = claimed(bundle(predicate()))
    assert found.origins() == (Origin("cpu", LOCK),)
    assert found.target(LOCK, None) == "cpu"
    assert found.target(LOCK, "cpu") == "cpu"


def test_several_builders_say_it_once() -> None:
    stranger = AuthorisedSigner(FileKey.generate(), ROLES["rebuild"])
    found = claimed(bundle(predicate()), bundle(predicate(), key=stranger))
    assert found.origins() == (Origin("cpu", LOCK),)


def test_another_lock_is_told_with_both_digests() -> None:
    with pytest.raises(LockError) as caught:
        claimed(bundle(predicate())).target(OTHER, None)
    assert (caught.value.expected, caught.value.got) == (str(LOCK), str(OTHER))
    assert "check out the commit of the image" in str(caught.value)


def test_one_lie_does_not_hinder_a_rebuild() -> None:
    found = claimed(bundle(predicate(lock=OTHER.hex)), bundle(predicate()))
    assert found.target(LOCK, None) == "cpu"
    twice = claimed(bundle(predicate("gpu")), bundle(predicate()))
    with pytest.raises(UsageError, match="several targets: gpu, cpu"):
        twice.target(LOCK, None)
    assert twice.target(LOCK, "cpu") == "cpu"


def test_without_provenance_the_target_must_be_named() -> None:
    with pytest.raises(UsageError, match="nothing beside here says") as caught:
        claimed().target(LOCK, None)
    assert caught.value.hint == "name it: --target NAME"
    assert claimed().target(LOCK, "cpu") == "cpu"


def test_another_target_than_the_one_that_is_named() -> None:
    with pytest.raises(UsageError, match="another target") as caught:
        claimed(bundle(predicate())).target(LOCK, "gpu")
    assert caught.value.expected == "cpu"


def test_a_name_that_moves_the_cursor_is_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        claimed(bundle(predicate("\x1b[2Jcpu"))).target(LOCK, "gpu")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "found",
    [
        bundle(predicate(), SBOM),
        bundle(predicate(), about=Digest.of(b"another image")),
        bundle(predicate(buildType="https://example.org/other")),
        bundle(predicate(target=7)),
        bundle(predicate(target=None)),
        bundle(predicate(lock="f" * 63)),
        bundle(predicate(lock=["f" * 64])),
        bundle(predicate(externalParameters=[])),
        bundle({"buildDefinition": "text"}),
        bundle({"buildDefinition": None}),
        bundle({}),
    ],
)
def test_what_is_no_provenance_of_this_image_says_nothing(found: Bundle) -> None:
    assert claimed(found).origins() == ()


# --- where it comes from -------------------------------------------------------------------------


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def image(blobs: Blobs) -> Image:
    return small_image(blobs)


def subject(image: Image) -> Subject:
    return Subject(MANIFEST_TYPE, image.digest, len(image.manifest))


def signed(image: Image) -> tuple[Attachment, ...]:
    return sign_image(subject(image), "app:1", [Claim(PROVENANCE, predicate())], KEY)


def test_layout_archive_and_registry_say_the_same(
    tmp_path: Path, image: Image, blobs: Blobs
) -> None:
    write_layout(tmp_path / "layout", [image], blobs.path, signed(image))
    write_archive(tmp_path / "image.tar", [image], blobs.path, epoch=0, attachments=signed(image))
    for found in (
        claimed_layout(tmp_path / "layout"),
        claimed_archive(tmp_path / "image.tar"),
        claimed_in_registry(LayoutRegistry(tmp_path / "layout"), image.digest),
        claimed_in_registry(LayoutRegistry(tmp_path / "layout"), str(image.reference)),
    ):
        assert found.digest == image.digest
        assert found.config == image.config
        assert found.diff_ids == tuple(layer.digest for layer in image.layers)
        assert found.origins() == (Origin("cpu", LOCK),)


def test_a_broken_referrer_hides_no_other(tmp_path: Path, image: Image, blobs: Blobs) -> None:
    kinds = {PREDICATE_ANNOTATION: PROVENANCE}
    broken = [
        referrer(subject(image), BUNDLE_TYPE, text, kinds | {"n": str(number)})
        for number, text in enumerate((b"{", b"[]", b"\xff", b"[" * 10_000))
    ]
    good = bundle_referrer(subject(image), Claim(PROVENANCE, predicate()), KEY)
    elsewhere = bundle_referrer(
        replace(subject(image), digest=Digest.of(b"another")), Claim(PROVENANCE, predicate()), KEY
    )
    listed = [*broken, elsewhere, good]
    index = fallback_index(image.digest, listed)
    write_layout(tmp_path / "layout", [image], blobs.path, [*listed, index])
    for found in (
        claimed_layout(tmp_path / "layout"),
        claimed_in_registry(LayoutRegistry(tmp_path / "layout"), image.digest),
    ):
        assert found.origins() == (Origin("cpu", LOCK),)
    # A registry need not have what it lists, nor the bytes that it promises.
    missing, damaged = (
        tmp_path / "layout" / "blobs" / "sha256" / Digest.of(one.blobs[1]).hex for one in broken[:2]
    )
    missing.unlink()
    damaged.write_bytes(b"{}")
    found = claimed_in_registry(LayoutRegistry(tmp_path / "layout"), image.digest)
    assert found.origins() == (Origin("cpu", LOCK),)


def test_a_damaged_layer_is_found_before_anything_is_built(
    tmp_path: Path, image: Image, blobs: Blobs
) -> None:
    write_layout(tmp_path / "layout", [image], blobs.path, signed(image))
    path = tmp_path / "layout" / "blobs" / "sha256" / image.layers[0].digest.hex
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(b"!" + data[1:])
    with pytest.raises(IntegrityError) as caught:
        claimed_layout(tmp_path / "layout")
    assert any(image.layers[0].digest.hex in line for line in caught.value.details)


def test_one_image_is_one_image(tmp_path: Path, image: Image, blobs: Blobs) -> None:
    other = replace(image, reference="other:1", manifest=image.manifest + b"\n")
    write_layout(tmp_path / "layout", [image, other], blobs.path)
    with pytest.raises(UsageError, match="holds 2 images"):
        claimed_layout(tmp_path / "layout")
    index = fallback_index(image.digest, signed(image)[:1])
    write_layout(tmp_path / "layout", [image], blobs.path, [*signed(image)[:1], index])
    with pytest.raises(UsageError, match="index of several images"):
        claimed_in_registry(LayoutRegistry(tmp_path / "layout"), str(index.tag))


def test_of_an_index_one_image_is_built_again(tmp_path: Path, image: Image, blobs: Blobs) -> None:
    """This machine's, unless another is named; both are there in a registry by their digest."""
    ours = replace(image, reference=None, platform=host_platform())
    config = image.config.replace(b'"amd64"', b'"riscv64"')
    manifest = image.manifest.replace(
        image.image_id.hex.encode(), Digest.of(config).hex.encode()
    ).replace(f'"size":{len(image.config)}'.encode(), f'"size":{len(config)}'.encode())
    other = replace(ours, platform="linux/riscv64", config=config, manifest=manifest)
    index = platform_index("app:1", [ours, other])
    write_layout(tmp_path / "layout", [], blobs.path, signed(ours), [index])
    found = claimed_layout(tmp_path / "layout")
    assert (found.digest, found.origins()) == (ours.digest, (Origin("cpu", LOCK),))
    assert claimed_layout(tmp_path / "layout", "linux/riscv64").digest == other.digest
    with pytest.raises(UsageError, match="no image for linux/ppc64") as caught:
        claimed_layout(tmp_path / "layout", "linux/ppc64")
    assert "linux/riscv64" in str(caught.value.expected)


def test_a_configuration_that_is_none(image: Image) -> None:
    found = Claimed("here", image.manifest, canonical.dumps({"os": "linux"}), ())
    with pytest.raises(IntegrityError, match="OCI image specification"):
        _ = found.diff_ids
