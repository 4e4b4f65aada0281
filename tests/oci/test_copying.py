"""Copying between all kinds of places: what comes out is what went in."""

import dataclasses
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from hps import canonical
from hps.digest import Digest
from hps.errors import (
    FetchError,
    HpsError,
    IntegrityError,
    NotFoundError,
    PublishError,
    UsageError,
)
from hps.oci.archive import write_archive
from hps.oci.attachment import Attachment, fallback_tag
from hps.oci.image import MANIFEST_TYPE, Image, ImageLayer, assemble, manifest
from hps.oci.index import platform_index
from hps.oci.layout import check_layout, write_layout
from hps.oci.layout_reading import open_layout
from hps.oci.packing import GZIP_TYPE, ZSTD_TYPE
from hps.oci.reference import Reference
from hps.oci.registry import DOCKER_MANIFEST_TYPE, ManifestDocument, Placed
from hps.oci.registry_push import push_attachment, push_tagged
from tests.oci.copy_lab import KIND, CopyLab, Silence, files_below, note, older
from tests.oci.images import layer_tar, settings, small_image
from tests.oci.registry_server import RegistryServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer.start(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def lab(tmp_path: Path) -> CopyLab:
    return CopyLab(tmp_path)


@pytest.fixture
def place(server: RegistryServer, request: pytest.FixtureRequest) -> str:
    """A repository of its own in the registry."""
    name = "".join(each if each.isalnum() else "-" for each in request.node.name.lower())
    return f"docker://{server.host}/copy/{name.strip('-').replace('--', '-')}"


def attachments(lab: CopyLab, folder: Path, image: Image) -> set[Digest]:
    """What a layout has beside an image, without the list of referrers."""
    found = open_layout(folder).attachments
    return {one.digest for one in found if one.tag != fallback_tag(image.digest)}


def expected_attachments(image: Image) -> set[Digest]:
    return {note(image).digest, older(image.digest, b"ours").digest}


@pytest.mark.parametrize("between", ["registry", "layout", "oci-archive"])
def test_an_image_arrives_with_its_digest_and_all_that_speaks_of_it(
    lab: CopyLab, place: str, between: str, tmp_path: Path
) -> None:
    image = lab.signed_image()
    through = {
        "registry": f"{place}:1.0",
        "layout": f"oci:{tmp_path}/between:demo:cpu",
        "oci-archive": f"oci-archive:{tmp_path}/between.tar:demo:cpu",
    }[between]
    there = lab.copy(f"oci:{lab.layout}", through)
    assert there.root == image.digest
    assert set(there.attachments) == expected_attachments(image)
    back = lab.copy(through, f"oci:{tmp_path}/back:demo:cpu")
    assert back.root == image.digest
    (found,) = check_layout(tmp_path / "back")
    assert found == image
    assert attachments(lab, tmp_path / "back", image) == expected_attachments(image)
    assert back.notes == ()


def test_an_image_of_hps_comes_back_from_dockers_archive(lab: CopyLab, tmp_path: Path) -> None:
    image = lab.signed_image()
    there = lab.copy(f"oci:{lab.layout}", f"docker-archive:{tmp_path}/a.tar:demo:cpu")
    assert there.root == image.digest
    lab.copy(f"docker-archive:{tmp_path}/a.tar", f"oci:{tmp_path}/back:demo:cpu")
    (found,) = check_layout(tmp_path / "back")
    assert found == image


def test_the_second_push_sends_nothing(lab: CopyLab, place: str) -> None:
    lab.signed_image()
    first = lab.copy(f"oci:{lab.layout}", f"{place}:1.0")
    assert {how for _, how in first.parts} == {Placed.SENT}
    second = lab.copy(f"oci:{lab.layout}", f"{place}:1.1")
    assert {how for _, how in second.parts} == {Placed.THERE}
    assert second.sum(Placed.SENT) == 0


def test_what_the_registry_has_elsewhere_is_mounted(lab: CopyLab, place: str) -> None:
    lab.signed_image()
    lab.copy(f"oci:{lab.layout}", f"{place}:1.0")
    repository = Reference.parse(f"{place}:1.0".removeprefix("docker://")).repository
    named = lab.copy(f"oci:{lab.layout}", f"{place}-named:1.0", mounts=("no/such", repository))
    assert {how for _, how in named.parts} == {Placed.MOUNTED}
    known = lab.copy(f"{place}:1.0", f"{place}-known:1.0")
    assert {how for _, how in known.parts} == {Placed.MOUNTED}
    assert not (lab.folder / "store" / "blobs").exists() or not list(lab.store.list_blobs())


def test_a_dry_run_changes_nothing(lab: CopyLab, place: str, tmp_path: Path) -> None:
    image = lab.signed_image()
    before = list(files_below(tmp_path))
    asked = lab.copy(f"oci:{lab.layout}", f"{place}:1.0", dry=True)
    assert asked.dry
    assert asked.sum(Placed.SENT) == sum(part.size for part, _ in asked.parts) > 0
    assert asked.as_json()["bytes"]["sent"] == asked.sum(Placed.SENT)
    with pytest.raises(NotFoundError):
        lab.copy(f"{place}:1.0", f"oci:{tmp_path}/x")
    lab.copy(f"oci:{lab.layout}", f"{place}:1.0")
    asked = lab.copy(f"oci:{lab.layout}", f"{place}:1.0", dry=True)
    assert asked.sum(Placed.SENT) == 0
    for goal in ("oci:{}/a", "oci-archive:{}/a.tar", "docker-archive:{}/a.tar:a:b"):
        found = lab.copy(f"{place}:1.0", goal.format(tmp_path), dry=True)
        assert found.root == image.digest
    assert {name.partition("/")[0] for name in files_below(tmp_path)} - {"store"} == {
        name.partition("/")[0] for name in before
    } - {"store"}


def test_the_tag_moves_last_and_what_it_was_is_told(lab: CopyLab, place: str) -> None:
    old = lab.signed_image()
    lab.copy(f"oci:{lab.layout}", f"{place}:1.0")
    new = lab.signed_image(command=["new"])
    asked = lab.copy(f"oci:{lab.layout}", f"{place}:1.0", dry=True)
    assert (asked.before, asked.root) == (old.digest, new.digest)
    assert lab.copy(f"oci:{lab.layout}", f"{place}:1.0").before == old.digest
    assert lab.copy(f"oci:{lab.layout}", f"{place}:1.0").before is None
    with pytest.raises(UsageError, match="the name of something else"):
        lab.copy(f"oci:{lab.layout}", f"{place}@{old.digest}")
    assert lab.copy(f"oci:{lab.layout}", f"{place}@{new.digest}").root == new.digest
    with pytest.raises(UsageError, match="under which tag"):
        lab.copy(f"oci:{lab.layout}", place)


def test_signatures_of_others_stay(lab: CopyLab, place: str, tmp_path: Path) -> None:
    """Two people sign one image; each pushes a layout that has his own signature alone."""
    image = lab.signed_image()
    reference = Reference.parse(f"{place}:1.0".removeprefix("docker://"))
    theirs = older(image.digest, b"theirs")
    with lab.connect(reference) as registry:
        push_tagged(registry, theirs)
        push_attachment(registry, note(image, "theirs"))
    lab.copy(f"oci:{lab.layout}", f"{place}:1.0")
    lab.copy(f"oci:{lab.layout}", f"{place}:1.0")  # and nothing is there twice
    with lab.connect(reference) as registry:
        merged = registry.manifest(str(theirs.tag)).as_json()
        config = json.loads(registry.read(_blob(merged["config"]), 1 << 20))
    payloads = [str(Digest.of(one)) for one in (b"theirs", b"ours")]
    assert [one["digest"] for one in merged["layers"]] == payloads
    assert config["rootfs"]["diff_ids"] == payloads
    lab.copy(f"{place}:1.0", f"oci:{tmp_path}/back:demo:cpu")
    check_layout(tmp_path / "back")
    assert older(image.digest, b"ours").digest not in attachments(lab, tmp_path / "back", image)


def _blob(named: dict[str, object]) -> ImageLayer:
    return ImageLayer(Digest.parse(str(named["digest"])), int(str(named["size"])))


def test_an_image_may_travel_alone(lab: CopyLab, place: str, tmp_path: Path) -> None:
    lab.signed_image()
    lab.copy(f"oci:{lab.layout}", f"{place}:1.0", attachments=False)
    lab.copy(f"{place}:1.0", f"oci:{tmp_path}/back:demo:cpu")
    assert open_layout(tmp_path / "back").attachments == ()


def test_junk_beside_an_image_is_left_behind(lab: CopyLab, place: str, tmp_path: Path) -> None:
    """Anybody who may push can lay something there; the image arrives all the same."""
    image = lab.signed_image()
    lab.copy(f"oci:{lab.layout}", f"{place}:1.0")
    reference = Reference.parse(f"{place}:1.0".removeprefix("docker://"))
    other = note(small_image(lab.blobs, "other:x", command=["x"]))
    with lab.connect(reference) as registry:
        push_attachment(registry, Attachment(image.manifest, tag=f"sha256-{image.digest.hex}.att"))
        push_attachment(registry, other)
        tag = fallback_tag(image.digest)

        def lie(before: ManifestDocument | None) -> ManifestDocument:
            assert before is not None
            value = before.as_json()
            value["manifests"].append({**other.descriptor(), "artifactType": KIND})
            return ManifestDocument(before.media_type, canonical.dumps(value))

        registry.update(tag, lie)
    moved = lab.copy(f"{place}:1.0", f"oci:{tmp_path}/back:demo:cpu")
    assert moved.root == image.digest
    assert expected_attachments(image) <= set(moved.attachments)
    assert any("speaks of something else" in one for one in moved.notes)


# --- packed layers and documents of others ---------------------------------------------------------


def packed_image(lab: CopyLab, *, docker: bool = False) -> Image:
    """Layers as others pack them; with Docker's documents or with those of OCI."""
    tars = [layer_tar({f"etc/{n}": bytes([n]) * 100_000}) for n in range(3)]
    packed = [gzip.compress(tars[0], mtime=0), zstandard.compress(tars[1]), tars[2]]
    types = [GZIP_TYPE, ZSTD_TYPE, "application/vnd.oci.image.layer.v1.tar"]
    if docker:
        packed[1] = gzip.compress(tars[1], mtime=0)
        types = ["application/vnd.docker.image.rootfs.diff.tar.gzip"] * 2
        types.append("application/vnd.docker.image.rootfs.diff.tar")
    layers = [
        ImageLayer(lab.blobs.add(data).digest, len(data), kind, Digest.of(tar))
        for data, kind, tar in zip(packed, types, tars, strict=True)
    ]
    layers[2] = dataclasses.replace(layers[2], uncompressed=None)
    image = assemble("demo:packed", settings(), layers, platform="linux/amd64", epoch=0)
    if not docker:
        return image
    value = json.loads(manifest(image.config, layers))
    value["mediaType"] = DOCKER_MANIFEST_TYPE
    value["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
    return dataclasses.replace(
        image, manifest=json.dumps(value, indent=3).encode(), media_type=DOCKER_MANIFEST_TYPE
    )


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_packed_layers_stay_as_they_are(
    lab: CopyLab, place: str, tmp_path: Path, docker: bool
) -> None:
    image = packed_image(lab, docker=docker)
    write_layout(lab.layout, [image], lab.blobs.path)
    lab.copy(f"oci:{lab.layout}", f"{place}:1.0")
    lab.copy(f"{place}:1.0", f"oci-archive:{tmp_path}/a.tar:demo:packed")
    lab.copy(f"oci-archive:{tmp_path}/a.tar", f"oci:{tmp_path}/back:demo:packed")
    (found,) = check_layout(tmp_path / "back")
    assert found == image


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_docker_gets_what_it_can_unpack(lab: CopyLab, tmp_path: Path, docker: bool) -> None:
    image = packed_image(lab, docker=docker)
    write_layout(lab.layout, [image], lab.blobs.path)
    lab.copy(f"oci:{lab.layout}", f"docker-archive:{tmp_path}/a.tar:demo:packed")
    lab.copy(f"docker-archive:{tmp_path}/a.tar", f"oci:{tmp_path}/back:demo:packed")
    (found,) = check_layout(tmp_path / "back")
    assert found.image_id == image.image_id
    assert found.media_type == MANIFEST_TYPE
    kinds = [layer.media_type for layer in found.layers]
    plain = "application/vnd.oci.image.layer.v1.tar"
    assert kinds == ([GZIP_TYPE, GZIP_TYPE, plain] if docker else [GZIP_TYPE, plain, plain])
    assert [one.diff_id for one in found.layers] == [one.diff_id for one in image.layers]


def test_an_index_is_copied_as_a_whole_or_by_platform(
    lab: CopyLab, place: str, tmp_path: Path
) -> None:
    images = [
        dataclasses.replace(
            assemble(
                None,
                settings(command=[one]),
                [lab.blobs.add(layer_tar({one: b"x"}))],
                platform=f"linux/{one}",
                epoch=0,
            ),
        )
        for one in ("amd64", "arm64")
    ]
    index = platform_index("demo:all", images)
    beside = [note(one) for one in images]
    write_layout(lab.layout, [], lab.blobs.path, beside, [index])
    moved = lab.copy(f"oci:{lab.layout}", f"{place}:1.0")
    assert moved.root == index.digest
    assert set(moved.attachments) == {one.digest for one in beside}
    lab.copy(f"{place}:1.0", f"oci:{tmp_path}/back:demo:all")
    layout = open_layout(tmp_path / "back")
    assert layout.indexes[0].digest == index.digest
    assert {image.digest for image in layout.all_images} == {image.digest for image in images}
    arm = lab.copy(f"{place}:1.0", f"oci:{tmp_path}/arm:demo:arm", platform="linux/arm64")
    (amd,) = (one for one in images if one.platform == "linux/amd64")
    assert arm.root != amd.digest
    assert arm.root in {image.digest for image in images}
    with pytest.raises(UsageError, match="0 images for linux/riscv64"):
        lab.copy(f"{place}:1.0", f"oci:{tmp_path}/x:demo:x", platform="linux/riscv64")
    one = lab.copy(
        f"{place}:1.0", f"docker-archive:{tmp_path}/d.tar:demo:amd", platform="linux/amd64"
    )
    assert one.root == amd.digest


def test_a_layout_keeps_what_it_has(lab: CopyLab, place: str, tmp_path: Path) -> None:
    first = lab.signed_image()
    lab.copy(f"oci:{lab.layout}", f"oci:{tmp_path}/many:one:1")
    second = small_image(lab.blobs, "other:x", command=["x"])
    write_layout(tmp_path / "second", [second], lab.blobs.path)
    lab.copy(f"oci:{tmp_path}/second", f"oci:{tmp_path}/many:two:2")
    found = {one.reference: one.digest for one in check_layout(tmp_path / "many")}
    assert found == {"one:1": first.digest, "two:2": second.digest}
    assert attachments(lab, tmp_path / "many", first) == expected_attachments(first)
    moved = lab.copy(f"oci:{tmp_path}/second", f"oci:{tmp_path}/many:one:1")
    assert moved.before == first.digest
    found = {one.reference: one.digest for one in check_layout(tmp_path / "many")}
    assert found == {"one:1": second.digest}
    assert open_layout(tmp_path / "many").attachments == ()
    with pytest.raises(UsageError, match="not an OCI image layout"):
        lab.copy(f"oci:{tmp_path}/none", f"{place}:1.0")


def test_of_several_images_one_has_to_be_named(lab: CopyLab, tmp_path: Path) -> None:
    images = [small_image(lab.blobs, f"demo:{n}", command=[n]) for n in ("a", "b")]
    write_layout(lab.layout, images, lab.blobs.path)
    write_archive(tmp_path / "a.tar", images, lab.blobs.path, epoch=0)
    for transport in ("oci-archive", "docker-archive"):
        with pytest.raises(UsageError, match="holds 2 images") as caught:
            lab.copy(f"{transport}:{tmp_path}/a.tar", f"oci:{tmp_path}/x")
        assert "demo:a, demo:b" in str(caught.value.expected)
        for image in images:
            name = f"{transport}:{tmp_path}/a.tar:{image.reference}"
            assert lab.copy(name, f"oci:{tmp_path}/{transport}:x").root == image.digest
    by_digest = f"oci:{lab.layout}@{images[1].digest}"
    assert lab.copy(by_digest, f"oci:{tmp_path}/digest").root == images[1].digest


# --- damage and bad places -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "goal", ["registry", "oci:{}/x", "oci-archive:{}/x.tar", "docker-archive:{}/x.tar:a:b"]
)
@pytest.mark.parametrize("fault", ["flipped", "shorter", "longer", "missing"])
def test_a_damaged_layer_arrives_nowhere(
    lab: CopyLab, place: str, tmp_path: Path, goal: str, fault: str
) -> None:
    image = lab.signed_image()
    path = lab.layout / "blobs" / "sha256" / image.layers[1].digest.hex
    data = path.read_bytes()
    path.unlink()
    changed = {"flipped": b"!" + data[1:], "shorter": data[:-1], "longer": data + b"!"}
    if fault in changed:
        path.write_bytes(changed[fault])
    there = f"{place}:1.0" if goal == "registry" else goal.format(tmp_path)
    with pytest.raises((IntegrityError, FetchError, PublishError)) as caught:
        lab.copy(f"oci:{lab.layout}", there)
    assert caught.value.exit_code in {4, 5}
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "x.tar").exists()
    if goal == "registry":
        with pytest.raises(NotFoundError):
            lab.copy(there, f"oci:{tmp_path}/x")


def test_a_registry_with_other_bytes_is_caught(
    lab: CopyLab, place: str, server: RegistryServer, tmp_path: Path
) -> None:
    image = lab.signed_image(command=["damaged"])
    layer = lab.blobs.add(layer_tar({"only/here": tmp_path.name.encode()}))
    image = assemble("demo:cpu", settings(), [layer], platform="linux/amd64", epoch=0)
    write_layout(lab.layout, [image], lab.blobs.path)
    lab.copy(f"oci:{lab.layout}", f"{place}:1.0")
    path = server.blob_path(layer.digest.hex)
    path.write_bytes(b"!" + path.read_bytes()[1:])
    with pytest.raises(IntegrityError):
        lab.copy(f"{place}:1.0", f"oci:{tmp_path}/x:demo:cpu")
    assert not (tmp_path / "x").exists()
    assert not lab.store.has(layer.digest)


def test_a_pull_carries_on_and_fetches_nothing_twice(
    lab: CopyLab, place: str, server: RegistryServer, tmp_path: Path
) -> None:
    image = lab.signed_image()
    lab.copy(f"oci:{lab.layout}", f"{place}:1.0")
    largest = max(image.layers, key=lambda one: one.size)
    path = server.blob_path(largest.digest.hex)
    data = path.read_bytes()
    path.write_bytes(b"!" + data[1:])
    with pytest.raises(IntegrityError):
        lab.copy(f"{place}:1.0", f"oci:{tmp_path}/x:demo:cpu")
    path.write_bytes(data)
    watch = Silence()
    moved = lab.copy(f"{place}:1.0", f"oci:{tmp_path}/x:demo:cpu", watch)
    assert [part.digest for part, how in moved.parts if how is Placed.SENT] == [largest.digest]
    assert sum(one.count for one in watch.events if one.kind == "bytes") == moved.sum(
        Placed.SENT
    ) + moved.sum(Placed.THERE)
    check_layout(tmp_path / "x")


@pytest.mark.parametrize("name", ["notes.txt", "folder"])
def test_what_is_no_image_is_not_replaced(lab: CopyLab, tmp_path: Path, name: str) -> None:
    lab.signed_image()
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    for transport in ("oci", "oci-archive", "docker-archive"):
        with pytest.raises(UsageError):
            lab.copy(f"oci:{lab.layout}", f"{transport}:{tmp_path}/{name}:a:b")
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "folder" / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    ("origin", "goal"),
    [
        ("oci:{}/none", "oci:{}/x"),
        ("oci-archive:{}/none.tar", "oci:{}/x"),
        ("docker-archive:{}/none.tar", "oci:{}/x"),
        ("oci:{}/layout:no:such", "oci:{}/x"),
        ("oci:{}/layout", "oci:{}/layout"),
        ("oci:{}/layout", "oci:{}/x@sha256:" + "0" * 64),
        ("docker-archive:{}/layout/index.json", "oci:{}/x"),
    ],
)
def test_bad_places_are_told(lab: CopyLab, tmp_path: Path, origin: str, goal: str) -> None:
    lab.signed_image()
    with pytest.raises(HpsError) as caught:
        lab.copy(origin.format(tmp_path), goal.format(tmp_path))
    assert caught.value.exit_code in {2, 4, 5}
    assert not (tmp_path / "x").exists()


def test_other_artifacts_go_between_registries(lab: CopyLab, place: str, tmp_path: Path) -> None:
    config = b"{}"
    value = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": "application/vnd.example.chart",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": str(Digest.of(config)),
            "size": 2,
        },
        "layers": [{"mediaType": "text/plain", "digest": str(Digest.of(b"chart")), "size": 5}],
    }
    artifact = Attachment(canonical.dumps(value), blobs=(config, b"chart"), tag="1.0")
    with lab.connect(Reference.parse(f"{place}:1.0".removeprefix("docker://"))) as registry:
        push_attachment(registry, artifact)
    assert lab.copy(f"{place}:1.0", f"{place}-other:1.0").root == artifact.digest
    with pytest.raises(UsageError, match="is no image"):
        lab.copy(f"{place}:1.0", f"oci:{tmp_path}/x:a")
