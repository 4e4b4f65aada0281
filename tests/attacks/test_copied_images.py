"""Registries, layouts and archives of strangers that are copied: nothing of theirs shows."""

import dataclasses
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hps import canonical
from hps.digest import Digest
from hps.errors import FetchError, HpsError, IntegrityError, LimitError, MalformedError, UsageError
from hps.oci.archive import write_archive
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE, Image
from hps.oci.layout import check_layout
from hps.store.retry import Deadlines
from tests import servers
from tests.oci.copy_lab import CopyLab
from tests.oci.images import layer_tar, small_image
from tests.servers import Behaviour, HostileServer

HASTY = Deadlines(first_delay=0.001, longest_delay=0.01, idle=0.2, headers=0.4)
BASE = "/v2/team/app"
KIND = "application/vnd.example.note+json"


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.fixture
def lab(tmp_path: Path) -> CopyLab:
    return CopyLab(tmp_path)


@pytest.fixture
def image(lab: CopyLab) -> Image:
    return small_image(lab.blobs)


def document(data: bytes, media_type: str = MANIFEST_TYPE) -> Behaviour:
    return servers.fine(data, media_type=media_type)


def serve(server: HostileServer, lab: CopyLab, image: Image) -> None:
    """An honest repository; tests replace what they need."""
    server.script(f"{BASE}/manifests/1.0", document(image.manifest))
    server.script(f"{BASE}/manifests/{image.digest}", document(image.manifest))
    server.script(f"{BASE}/blobs/{image.image_id}", servers.fine(image.config))
    for layer in image.layers:
        data = lab.blobs.path(layer.digest).read_bytes()
        server.script(f"{BASE}/blobs/{layer.digest}", servers.fine(data))


def pull(lab: CopyLab, server: HostileServer, wanted: str = ":1.0", **wishes: Any) -> None:
    lab.copy(f"docker://{server.host}/team/app{wanted}", f"oci:{lab.folder}/x:x", **wishes)


def refused(lab: CopyLab, server: HostileServer, kind: type[HpsError], wanted: str = ":1.0") -> str:
    with pytest.raises(kind) as caught:
        pull(lab, server, wanted)
    assert not (lab.folder / "x").exists()
    assert not list((lab.folder / "store" / "temporary").glob("*/*"))
    return str(caught.value)


def changed(image: Image, change: Callable[[dict[str, Any]], object]) -> bytes:
    value = json.loads(image.manifest)
    change(value)
    return json.dumps(value).encode()


def test_the_honest_one_arrives(server: HostileServer, lab: CopyLab, image: Image) -> None:
    serve(server, lab, image)
    pull(lab, server)
    assert [one.digest for one in check_layout(lab.folder / "x")] == [image.digest]


@pytest.mark.parametrize(
    "fault",
    [
        lambda data: servers.fine(b"!" + data[1:]),
        lambda data: servers.fine(data[:-1]),
        lambda data: servers.fine(data + b"!"),
        lambda data: servers.announce(data + b"!" * 1_000_000, len(data)),
        lambda _: servers.endless(),
        lambda _: servers.chunked(b"x" * 3_000_000),
        lambda _: servers.without_length(b"x" * 3_000_000),
        lambda _: servers.garbage(),
        lambda _: servers.redirect("file:///etc/passwd"),
        lambda _: servers.redirect("http://registry.example.org/blob"),
    ],
    ids=[
        *("flipped", "shorter", "longer", "surplus", "endless", "chunked", "closed"),
        *("garbage", "to-a-file", "to-plain-http"),
    ],
)
def test_a_layer_that_is_not_what_was_promised(
    server: HostileServer,
    lab: CopyLab,
    image: Image,
    fault: Callable[[bytes], Behaviour],
    request: pytest.FixtureRequest,
) -> None:
    serve(server, lab, image)
    layer = image.layers[1]
    data = lab.blobs.path(layer.digest).read_bytes()
    server.script(f"{BASE}/blobs/{layer.digest}", fault(data))
    if request.node.callspec.id == "surplus":
        pull(lab, server)  # what lies behind the announced end is never read
        check_layout(lab.folder / "x")
        return
    with pytest.raises((IntegrityError, FetchError)):
        pull(lab, server)
    assert not (lab.folder / "x").exists()
    assert not lab.store.has(layer.digest)
    assert not list((lab.folder / "store" / "temporary").glob("*/*"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda it: it["layers"].append({**it["layers"][0], "size": 1}), "two sizes"),
        (lambda it: it["layers"][0].update(size=-1), "size"),
        (lambda it: it["layers"][0].update(size=2**52), "size"),
        (lambda it: it["layers"][0].update(digest="sha512:" + "0" * 128), "digest"),
        (lambda it: it["layers"][0].update(digest="../../etc/passwd"), "digest"),
        (lambda it: it["layers"].pop(), "number of layers"),
        (lambda it: it["layers"].reverse(), "another diff_id"),
        (lambda it: it.update(manifests=[]), "no others"),
        (lambda it: it.update(mediaType=INDEX_TYPE), "mediaType"),
        (lambda it: it.update(schemaVersion=1), "schemaVersion"),
        (lambda it: it.pop("config"), "config"),
        (lambda it: it["config"].update(mediaType="text/plain"), "is no image"),
    ],
)
def test_manifests_that_no_honest_tool_writes(
    server: HostileServer,
    lab: CopyLab,
    image: Image,
    change: Callable[[dict[str, Any]], object],
    told: str,
) -> None:
    serve(server, lab, image)
    server.script(f"{BASE}/manifests/1.0", document(changed(image, change)))
    assert told in refused(lab, server, HpsError)


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (servers.endless(), IntegrityError),
        (servers.fine(b"[" * 5_000_000, media_type=MANIFEST_TYPE), IntegrityError),
        (servers.fine(b"[" * 100_000, media_type=MANIFEST_TYPE), MalformedError),
        (servers.fine(b"<html>", media_type="text/html"), MalformedError),
        (servers.fine(b"{}", media_type=MANIFEST_TYPE), MalformedError),
        (servers.fine(b"\xff\xfe{}", media_type=MANIFEST_TYPE), MalformedError),
        (servers.fine(b'{"a":1,"a":2}', media_type=MANIFEST_TYPE), MalformedError),
    ],
    ids=["endless", "large", "deep", "page", "empty", "encoding", "twice"],
)
def test_what_is_no_manifest(
    server: HostileServer, lab: CopyLab, behaviour: Behaviour, kind: type[HpsError]
) -> None:
    server.script(f"{BASE}/manifests/1.0", behaviour)
    refused(lab, server, kind)


def test_another_manifest_than_the_digest_says(
    server: HostileServer, lab: CopyLab, image: Image
) -> None:
    serve(server, lab, image)
    other = changed(image, lambda it: it.update(annotations={"a": "b"}))
    server.script(f"{BASE}/manifests/{image.digest}", document(other))
    refused(lab, server, IntegrityError, f"@{image.digest}")


def index(*entries: Mapping[str, Any]) -> bytes:
    value = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": list(entries)}
    return canonical.dumps(value)


def entry(data: bytes, media_type: str = MANIFEST_TYPE, **fields: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(data)), "size": len(data), **fields}


def test_indexes_within_indexes_are_refused(
    server: HostileServer, lab: CopyLab, image: Image
) -> None:
    serve(server, lab, image)
    inner = index(entry(image.manifest))
    server.script(f"{BASE}/manifests/1.0", document(index(entry(inner, INDEX_TYPE)), INDEX_TYPE))
    assert "lists another index" in refused(lab, server, MalformedError)


def test_an_index_that_lies_about_its_images(
    server: HostileServer, lab: CopyLab, image: Image
) -> None:
    serve(server, lab, image)
    lie = index(entry(image.manifest, "application/vnd.docker.distribution.manifest.v2+json"))
    server.script(f"{BASE}/manifests/1.0", document(lie, INDEX_TYPE))
    assert "something else than it says" in refused(lab, server, MalformedError)
    lie = index({**entry(image.manifest), "size": 3})
    server.script(f"{BASE}/manifests/1.0", document(lie, INDEX_TYPE))
    assert "something else than it says" in refused(lab, server, MalformedError)
    inner = index(entry(image.manifest))
    server.script(f"{BASE}/manifests/{Digest.of(inner)}", document(inner, INDEX_TYPE))
    server.script(f"{BASE}/manifests/1.0", document(index(entry(inner)), INDEX_TYPE))
    refused(lab, server, MalformedError)


def test_an_index_of_very_many_is_refused(server: HostileServer, lab: CopyLab) -> None:
    many = index(*(entry(str(number).encode()) for number in range(201)))
    server.script(f"{BASE}/manifests/1.0", document(many, INDEX_TYPE))
    refused(lab, server, LimitError)
    assert len(server.seen) == 1


def test_an_index_that_is_not_whole_names_the_way_out(
    server: HostileServer, lab: CopyLab, image: Image
) -> None:
    serve(server, lab, image)
    there = entry(image.manifest, platform={"os": "linux", "architecture": "amd64"})
    gone = entry(b"gone", platform={"os": "linux", "architecture": "arm64"})
    server.script(f"{BASE}/manifests/1.0", document(index(there, gone), INDEX_TYPE))
    assert "--platform" in refused(lab, server, FetchError)
    pull(lab, server, platform="linux/amd64")
    assert [one.digest for one in check_layout(lab.folder / "x")] == [image.digest]


def test_two_images_for_one_platform_are_not_guessed_between(
    server: HostileServer, lab: CopyLab, image: Image
) -> None:
    serve(server, lab, image)
    platform = {"os": "linux", "architecture": "amd64"}
    both = index(entry(image.manifest, platform=platform), entry(b"evil", platform=platform))
    server.script(f"{BASE}/manifests/1.0", document(both, INDEX_TYPE))
    with pytest.raises(UsageError, match="2 images for linux/amd64"):
        pull(lab, server, platform="linux/amd64")


@pytest.mark.parametrize("which", ["head", "body", "manifest"])
def test_a_silent_registry_is_given_up(
    server: HostileServer, lab: CopyLab, image: Image, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.oci.copy_lab.PATIENT", HASTY)
    serve(server, lab, image)
    layer = f"{BASE}/blobs/{image.layers[1].digest}"
    place, behaviour = {
        "head": (layer, servers.silence()),
        "body": (layer, servers.stall(b"x" * 1000, announced=image.layers[1].size)),
        "manifest": (f"{BASE}/manifests/1.0", servers.silence()),
    }[which]
    server.script(place, behaviour)
    refused(lab, server, FetchError)


def test_attachments_without_measure_stay_behind(
    server: HostileServer, lab: CopyLab, image: Image
) -> None:
    """A stranger lays a manifest beside the image that names a gigabyte, and one of 201 blobs."""
    serve(server, lab, image)
    subject = {"mediaType": MANIFEST_TYPE, "digest": str(image.digest), "size": 1}
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", **entry(b"{}")}
    huge = {**entry(b"x"), "size": 1 << 30}
    many = [entry(str(number).encode()) for number in range(201)]
    listed = []
    for layers in ([huge], many):
        data = canonical.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "artifactType": KIND,
                "config": empty,
                "layers": layers,
                "subject": subject,
            }
        )
        listed.append(entry(data, artifactType=KIND))
        server.script(f"{BASE}/manifests/{Digest.of(data)}", document(data))
    server.script(f"{BASE}/referrers/{image.digest}", document(index(*listed), INDEX_TYPE))
    moved = lab.copy(f"docker://{server.host}/team/app:1.0", f"oci:{lab.folder}/x:x")
    assert moved.attachments == ()
    assert sum("which is too much" in note for note in moved.notes) == 2
    assert not server.count(f"{BASE}/blobs/{Digest.of(b'x')}")


# --- archives --------------------------------------------------------------------------------------


def tar(members: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as writer:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            writer.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            writer.addfile(member)
    return buffer.getvalue()


LAYER = layer_tar({"etc/name": b"demo\n"})


def saved(lab: CopyLab, change: Mapping[str, Any] | None = None, layer: bytes = LAYER) -> bytes:
    """What `docker save` writes, with changes to its manifest.json."""
    config = canonical.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(LAYER))]},
        }
    )
    name = f"{Digest.of(config).hex}.json"
    listed = {"Config": name, "RepoTags": ["a:b"], "Layers": ["one/layer.tar"], **(change or {})}
    members = {name: config, "one/layer.tar": layer, "manifest.json": json.dumps([listed]).encode()}
    (lab.folder / "a.tar").write_bytes(tar(members))
    return config


def load(lab: CopyLab) -> None:
    lab.copy(f"docker-archive:{lab.folder}/a.tar", f"oci:{lab.folder}/x:x")


def test_the_honest_archive_arrives(lab: CopyLab) -> None:
    config = saved(lab)
    load(lab)
    (found,) = check_layout(lab.folder / "x")
    assert found.config == config


@pytest.mark.parametrize(
    "change",
    [
        {"Config": "../../etc/passwd"},
        {"Config": "/etc/passwd"},
        {"Config": "manifest.json"},
        {"Layers": ["../../etc/passwd"]},
        {"Layers": ["/etc/passwd"]},
        {"Layers": []},
        {"Layers": ["one/layer.tar", "one/layer.tar"]},
        {"Layers": "one/layer.tar"},
        {"Layers": ["one"]},
        {"RepoTags": "a:b"},
        {"Config": None},
    ],
)
def test_archives_of_docker_that_lead_astray(lab: CopyLab, change: Mapping[str, Any]) -> None:
    saved(lab, change)
    with pytest.raises((IntegrityError, UsageError)):
        load(lab)
    assert not (lab.folder / "x").exists()


@pytest.mark.parametrize(
    "layer",
    [
        LAYER[:-1] + b"!",
        LAYER + b"x",
        LAYER[:-512],
        gzip.compress(LAYER + b"x"),
        gzip.compress(LAYER)[:-4],
        gzip.compress(bytes(64 << 20)),
        b"BZh91AY&SY" + bytes(100),
        b"\xfd7zXZ\x00" + bytes(100),
        b"",
    ],
    ids=["flipped", "longer", "shorter", "packed", "cut", "bomb", "bzip2", "xz", "empty"],
)
def test_layers_of_dockers_archives_are_their_diff_ids(lab: CopyLab, layer: bytes) -> None:
    saved(lab, layer=layer)
    with pytest.raises(HpsError):
        load(lab)
    assert not (lab.folder / "x").exists()
    assert not list((lab.folder / "store" / "temporary").glob("*/*"))


@pytest.mark.parametrize(
    "target",
    ["/etc/passwd", "../../../etc/passwd", "../two/layer.tar", "layer.tar", "../../a.tar", ""],
)
def test_links_in_archives_lead_to_files_of_the_archive(lab: CopyLab, target: str) -> None:
    members = {"manifest.json": b"[]", "one/layer.tar": LAYER}
    links = {"two/layer.tar": target, "manifest2.json": target}
    (lab.folder / "a.tar").write_bytes(tar(members, links))
    with pytest.raises(MalformedError, match="link to no file"):
        load(lab)


@pytest.mark.parametrize("cut", [0, 100, 512, 1000, 2000])
def test_archives_that_were_cut_off(lab: CopyLab, cut: int) -> None:
    saved(lab)
    path = lab.folder / "a.tar"
    path.write_bytes(path.read_bytes()[:cut])
    for transport in ("docker-archive", "oci-archive"):
        with pytest.raises((IntegrityError, UsageError)):
            lab.copy(f"{transport}:{path}", f"oci:{lab.folder}/x:x")


def test_a_configuration_that_was_exchanged(lab: CopyLab) -> None:
    """Docker names it by its digest, so that this is seen before anything is unpacked."""
    saved(lab)
    path = lab.folder / "a.tar"
    data = path.read_bytes()
    assert data.count(b'"architecture":"amd64"') == 1
    path.write_bytes(data.replace(b'"architecture":"amd64"', b'"architecture":"arm64"'))
    with pytest.raises(IntegrityError, match="damaged"):
        load(lab)


def test_a_second_reader_sees_the_same_image(lab: CopyLab, image: Image) -> None:
    """A layout whose manifest.json and index.json disagree: each transport reads its own."""
    other = dataclasses.replace(small_image(lab.blobs, "b:c", command=["x"]), reference="a:b")
    both = lab.folder / "both.tar"
    write_archive(both, [other], lab.blobs.path, epoch=0)
    assert lab.copy(f"docker-archive:{both}:a:b", f"oci:{lab.folder}/one:x").root == other.digest
    assert lab.copy(f"oci-archive:{both}:a:b", f"oci:{lab.folder}/two:x").root == other.digest
    assert other.digest != image.digest
