"""The port `Registry`: a real registry, mirrors of one, and a layout give the same answers."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hps.digest import Blob, Digest
from hps.errors import FetchError, IntegrityError, LimitError, MalformedError, NotFoundError
from hps.oci.attachment import Attachment, fallback_tag
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE
from hps.oci.layout_registry import LayoutRegistry
from hps.oci.reference import Reference
from hps.oci.registry_client import RegistryClient
from hps.store.retry import Deadlines
from tests.oci.registry_contract import (
    CONFIG,
    KIND,
    LAYER,
    Content,
    LayoutPlace,
    MirroredPlace,
    Place,
    ServerPlace,
    blob_of,
)
from tests.oci.registry_server import RegistryServer

PATIENT = Deadlines(first_delay=0.001, longest_delay=0.01)
CONTENT = Content.make()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer.start(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(params=["registry", "layout", "mirrored"])
def place(
    request: pytest.FixtureRequest, server: RegistryServer, tmp_path: Path
) -> Iterator[Place]:
    if request.param == "layout":
        yield LayoutPlace(tmp_path / "layout", LayoutRegistry)
        return
    name = request.node.name.partition("[")[0].replace("_", "-")
    reference = Reference.parse(f"{server.host}/contract/{name}")
    with RegistryClient(reference, environment={}, home=tmp_path, deadlines=PATIENT) as client:
        filled = ServerPlace(client, server.blob_path)
        if request.param == "registry":
            yield filled
            return
        empty = replace(reference, repository="nobody/pushes-here")
        with RegistryClient(empty, environment={}, home=tmp_path, deadlines=PATIENT) as mirror:
            yield MirroredPlace(filled, mirror)


def test_manifests_are_found_by_tag_and_digest(place: Place) -> None:
    registry = place.fill(CONTENT)
    found = registry.manifest("1.0")
    assert (found.media_type, found.data) == (MANIFEST_TYPE, CONTENT.image.manifest)
    assert registry.manifest(CONTENT.image.digest) == found
    index = registry.manifest(fallback_tag(CONTENT.image.digest))
    assert index.is_index
    assert index.media_type == INDEX_TYPE


def test_blobs_come_in_pieces_and_whole(place: Place) -> None:
    registry = place.fill(CONTENT)
    pieces: list[bytes] = []
    registry.stream(blob_of(LAYER), pieces.append, pieces.clear)
    assert [len(each) for each in pieces] == [1 << 20, len(LAYER) - (1 << 20)]
    assert b"".join(pieces) == LAYER
    assert registry.read(blob_of(CONFIG), len(CONFIG)) == CONFIG


def test_referrers_are_listed_and_filtered(place: Place) -> None:
    registry = place.fill(CONTENT)
    first, second, other = (each.digest for each in CONTENT.referrers)
    found = registry.referrers(CONTENT.image.digest, KIND)
    assert {each.digest for each in found.descriptors} == {first, second}
    assert {each.artifact_type for each in found.descriptors} == {KIND}
    assert not found.left_out
    everything = registry.referrers(CONTENT.image.digest)
    assert {each.digest for each in everything.descriptors} == {first, second, other}
    assert registry.referrers(Digest.of(b"another")).descriptors == ()


def test_what_is_not_there_is_told(place: Place) -> None:
    registry = place.fill(CONTENT)
    for wanted in ("none", Digest.of(b"none")):
        with pytest.raises(NotFoundError) as caught:
            registry.manifest(wanted)
        assert registry.name in caught.value.message
    with pytest.raises(NotFoundError):
        registry.read(Blob(Digest.of(b"none"), 4), 10)


@pytest.mark.parametrize("size", [0, len(CONFIG) - 1, len(CONFIG) + 1])
def test_a_blob_of_another_size_is_refused(place: Place, size: int) -> None:
    registry = place.fill(CONTENT)
    with pytest.raises(IntegrityError, match="wrong size"):
        registry.read(Blob(Digest.of(CONFIG), size), 1000)
    with pytest.raises(LimitError):
        registry.read(blob_of(CONFIG), len(CONFIG) - 1)


def test_a_damaged_blob_is_refused(place: Place) -> None:
    registry = place.fill(CONTENT)
    path = place.path(Digest.of(LAYER))
    path.write_bytes(b"!" + LAYER[1:])
    with pytest.raises(IntegrityError) as caught:
        registry.stream(blob_of(LAYER), lambda _: None, lambda: None)
    assert caught.value.expected == str(Digest.of(LAYER))
    path.write_bytes(LAYER)  # the registry shares blobs between repositories


# --- layouts only --------------------------------------------------------------------------------


@pytest.fixture
def layout(tmp_path: Path) -> LayoutPlace:
    made = LayoutPlace(tmp_path / "layout", LayoutRegistry)
    made.fill(CONTENT)
    return made


def test_a_damaged_manifest_of_a_layout_is_refused(layout: LayoutPlace) -> None:
    path = layout.path(CONTENT.image.digest)
    path.write_bytes(CONTENT.image.manifest.replace(b"layers", b"Layers"))
    for wanted in ("1.0", CONTENT.image.digest):
        with pytest.raises(IntegrityError, match="not what was promised"):
            LayoutRegistry(layout.folder).manifest(wanted)


def test_one_name_for_two_things_is_refused(layout: LayoutPlace) -> None:
    twice = Attachment(CONTENT.referrers[0].manifest, tag="1.0")
    layout.list([CONTENT.image, twice])
    with pytest.raises(MalformedError, match="twice"):
        LayoutRegistry(layout.folder).manifest("1.0")
    layout.list([CONTENT.image, CONTENT.image])
    assert LayoutRegistry(layout.folder).manifest("1.0").data == CONTENT.image.manifest


def test_a_broken_referrer_of_a_layout_hides_no_other(layout: LayoutPlace) -> None:
    layout.list([CONTENT.image, *CONTENT.referrers])
    layout.path(CONTENT.referrers[0].digest).write_bytes(b"{")
    layout.path(CONTENT.referrers[2].digest).unlink()
    found = LayoutRegistry(layout.folder).referrers(CONTENT.image.digest)
    assert [each.digest for each in found.descriptors] == [CONTENT.referrers[1].digest]


def test_a_layout_that_leads_out_of_itself_is_refused(layout: LayoutPlace, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(CONFIG)
    path = layout.path(Digest.of(CONFIG))
    path.unlink()
    path.symlink_to(outside)
    with pytest.raises(FetchError, match="cannot be read"):
        LayoutRegistry(layout.folder).read(blob_of(CONFIG), 1000)


def test_a_layout_with_a_type_lie_is_refused(layout: LayoutPlace) -> None:
    layout.list([Attachment(CONTENT.image.manifest, media_type=INDEX_TYPE, tag="1.0")])
    with pytest.raises(MalformedError):
        LayoutRegistry(layout.folder).manifest("1.0")
    with pytest.raises(MalformedError, match="is not an image manifest"):
        LayoutRegistry(layout.folder).manifest(Digest.of(CONFIG))  # a blob that is no manifest


def test_an_index_of_a_layout_has_its_limits(layout: LayoutPlace) -> None:
    path = layout.folder / "index.json"
    layout.list([CONTENT.image] * 1001)
    with pytest.raises(LimitError, match="lists too much"):
        LayoutRegistry(layout.folder)
    path.write_text(json.dumps({"schemaVersion": 2, "manifests": [1]}))
    with pytest.raises(MalformedError):
        LayoutRegistry(layout.folder)
    path.unlink()
    with pytest.raises(IntegrityError):
        LayoutRegistry(layout.folder)
