"""From a tag to manifest, configuration and layers: what is taken, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hps import canonical
from hps.build.base_resolve import Listed, choose, resolve_base
from hps.digest import Digest
from hps.errors import (
    FetchError,
    HpsError,
    IntegrityError,
    MalformedError,
    NotFoundError,
    ResolutionError,
)
from hps.lock.base_image import BaseName
from hps.oci.documents import Descriptor
from hps.oci.image import INDEX_TYPE, LAYER_TYPE, MANIFEST_TYPE
from hps.oci.registry import DOCKER_INDEX_TYPE, DOCKER_MANIFEST_TYPE
from hps.oci.registry_client import RegistryClient
from tests import servers
from tests.build.base_lab import BaseImage, Packed
from tests.layer.packages import Part, tar_bytes
from tests.oci.registry_lab import connect, registry, server
from tests.servers import HostileServer

__all__ = ["registry", "server"]

TAR = tar_bytes([Part("etc/hostname", b"base\n")])
IMAGE = BaseImage((Packed.of(TAR, "+gzip"), Packed.of(TAR + bytes(512), "+zstd")))
NAME = BaseName("hub", "team/app", "1.0")
PATH = "/v2/team/app"


def serve(
    server: HostileServer, image: BaseImage, tag: str = "1.0", *, indexed: bool = True
) -> None:
    """What a registry would answer about an image."""
    index, manifest = image.index(), image.manifest
    named = index if indexed else manifest
    answers = {
        f"/manifests/{tag}": (named.data, named.media_type),
        f"/manifests/{index.digest}": (index.data, index.media_type),
        f"/manifests/{manifest.digest}": (manifest.data, manifest.media_type),
    }
    answers |= {
        f"/blobs/{Digest.of(data)}": (data, "application/octet-stream") for data in image.blobs()
    }
    for path, (body, media_type) in answers.items():
        server.script(f"{PATH}{path}", servers.fine(body, media_type=media_type))


def locked(registry: RegistryClient, name: BaseName = NAME, platform: str = "linux/amd64") -> Any:
    return resolve_base(registry, name, platform)[0]


@pytest.mark.parametrize("docker", [False, True])
@pytest.mark.parametrize("indexed", [False, True])
def test_an_image_is_resolved(
    server: HostileServer, registry: RegistryClient, docker: bool, indexed: bool
) -> None:
    image = BaseImage((Packed.of(TAR, "+gzip"),) if docker else IMAGE.layers, docker=docker)
    serve(server, image, indexed=indexed)
    found, config = resolve_base(registry, NAME, "linux/amd64")
    assert config == image.config
    assert found.index == (image.index().digest.hex if indexed else None)
    assert found.manifest == image.manifest.digest.hex
    assert found.manifest_size == len(image.manifest.data)
    assert [(one.digest, one.size, one.media_type) for one in found.layers] == [
        (Digest.of(one.data), len(one.data), one.media_type) for one in image.layers
    ]  # Docker's types have become those of the same packing
    assert [one.file for one in found.layers][:1] == ["app-1.tar.gz"]
    assert found.reference == f"hub/team/app:1.0@{found.named}"


def test_a_digest_needs_no_tag(server: HostileServer, registry: RegistryClient) -> None:
    serve(server, IMAGE, tag="other")
    name = BaseName("hub", "team/app", None, IMAGE.manifest.digest)
    assert locked(registry, name).index is None


def test_a_tag_that_moves_meanwhile_changes_nothing(
    server: HostileServer, registry: RegistryClient
) -> None:
    """The tag is asked once; from then on everything goes by digest."""
    serve(server, IMAGE)
    other = BaseImage((Packed.of(b"other"),))
    moved = servers.fine(other.index().data, media_type=other.index().media_type)
    first = servers.fine(IMAGE.index().data, media_type=IMAGE.index().media_type)
    server.script(f"{PATH}/manifests/1.0", first, moved)
    assert locked(registry).manifest == IMAGE.manifest.digest.hex
    assert [one.path for one in server.seen].count(f"{PATH}/manifests/1.0") == 1


def test_an_image_that_is_replaced_and_removed_meanwhile_is_told(
    server: HostileServer, registry: RegistryClient
) -> None:
    serve(server, IMAGE)
    server.script(f"{PATH}/manifests/{IMAGE.manifest.digest}", servers.status(404))
    with pytest.raises(NotFoundError, match=str(IMAGE.manifest.digest)):
        locked(registry)


def listed(*platforms: str) -> list[Listed]:
    return [
        Listed(Descriptor(MANIFEST_TYPE, Digest.of(str(number).encode()), 1), platform)
        for number, platform in enumerate(platforms)
    ]


@pytest.mark.parametrize(
    ("platforms", "wanted", "chosen"),
    [
        (("linux/arm64", "linux/amd64"), "linux/amd64", 1),
        (("linux/amd64", "linux/amd64"), "linux/amd64", 0),
        (("linux/amd64/v3", "linux/amd64"), "linux/amd64", 1),
        (("linux/amd64/v1",), "linux/amd64", 0),
        (("linux/arm/v7", "linux/arm64/v8"), "linux/arm64", 1),
        (("unknown/unknown", "linux/arm64"), "linux/arm64", 1),
    ],
)
def test_the_first_that_fits(platforms: tuple[str, ...], wanted: str, chosen: int) -> None:
    assert choose(listed(*platforms), wanted, "x").digest == Digest.of(str(chosen).encode())


@pytest.mark.parametrize(
    ("platforms", "told"),
    [
        ((), "none that says what it runs on"),
        (("linux/s390x", "windows/amd64", "unknown/unknown"), "linux/s390x, windows/amd64"),
        (("linux/amd64/v3",), "linux/amd64/v3"),  # runs on newer machines only
    ],
)
def test_no_image_for_the_platform(platforms: tuple[str, ...], told: str) -> None:
    with pytest.raises(ResolutionError) as caught:
        choose(listed(*platforms), "linux/amd64", "hub/os:1")
    assert caught.value.got == told


def test_a_configuration_for_another_platform(
    server: HostileServer, registry: RegistryClient
) -> None:
    serve(server, BaseImage(IMAGE.layers, architecture="arm64"), indexed=False)
    with pytest.raises(ResolutionError) as caught:
        locked(registry)
    assert (caught.value.expected, caught.value.got) == ("linux/amd64", "linux/arm64")


def changed(change: Callable[[dict[str, Any]], object]) -> tuple[bytes, str]:
    """The manifest of the image with something else in it."""
    document = IMAGE.manifest.as_json()
    change(document)
    return canonical.dumps(document), document["mediaType"]


FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
REFUSED: list[tuple[Callable[[dict[str, Any]], object], type[HpsError], str]] = [
    (
        lambda one: one["layers"][0].update(urls=["https://example.org/layer"]),
        ResolutionError,
        "foreign layer",
    ),
    (lambda one: one["layers"][0].update(mediaType=FOREIGN), ResolutionError, "foreign layer"),
    (
        lambda one: one["layers"][1].update(
            mediaType=LAYER_TYPE.replace("layer.v1", "layer.nondistributable.v1")
        ),
        ResolutionError,
        "foreign layer",
    ),
    (
        lambda one: one["layers"][0].update(mediaType=f"{LAYER_TYPE}+encrypted"),
        ResolutionError,
        "packed in a way",
    ),
    (
        lambda one: one["config"].update(mediaType="application/vnd.example+json"),
        ResolutionError,
        "no image",
    ),
    (lambda one: one["layers"].clear(), ResolutionError, "0 layers"),
    (lambda one: one["layers"].extend(one["layers"] * 70), ResolutionError, "142 layers"),
    (lambda one: one["layers"].pop(), MalformedError, "contradict"),
    (lambda one: one["layers"][0].update(size=-1), MalformedError, "does not follow"),
    (lambda one: one["layers"][0].update(digest="md5:1"), MalformedError, "does not follow"),
    (lambda one: one["layers"].append(7), MalformedError, "does not follow"),
]


@pytest.mark.parametrize(("change", "kind", "told"), REFUSED)
def test_manifests_that_are_refused(
    server: HostileServer,
    registry: RegistryClient,
    change: Callable[[dict[str, Any]], object],
    kind: type[HpsError],
    told: str,
) -> None:
    serve(server, IMAGE)
    data, media_type = changed(change)
    server.script(f"{PATH}/manifests/1.0", servers.fine(data, media_type=media_type))
    with pytest.raises(kind, match=told):
        locked(registry)


@pytest.mark.parametrize(
    "config",
    [
        b"{}",
        b"not JSON",
        b"[]",
        b'{"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers"}}',
        b'{"architecture": "amd64", "os": "linux", "rootfs": {"type": "x", "diff_ids": []}}',
        b'{"architecture": 1, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}',
        b'{"a": 1, "a": 2}',
    ],
)
def test_configurations_that_are_none(
    server: HostileServer, registry: RegistryClient, config: bytes
) -> None:
    serve(server, IMAGE)
    entry = {"digest": str(Digest.of(config)), "size": len(config)}
    data, media_type = changed(lambda one: one["config"].update(entry))
    server.script(f"{PATH}/manifests/1.0", servers.fine(data, media_type=media_type))
    server.script(f"{PATH}/blobs/{Digest.of(config)}", servers.fine(config))
    with pytest.raises(MalformedError, match="not that of an image"):
        locked(registry)


def test_a_configuration_with_other_bytes(server: HostileServer, registry: RegistryClient) -> None:
    serve(server, IMAGE)
    other = bytes(len(IMAGE.config))
    server.script(f"{PATH}/blobs/{Digest.of(IMAGE.config)}", servers.fine(other))
    with pytest.raises(IntegrityError):
        locked(registry)


def test_a_manifest_of_another_size_than_its_index_says(
    server: HostileServer, registry: RegistryClient
) -> None:
    serve(server, IMAGE)
    index = IMAGE.index().as_json()
    index["manifests"][0]["size"] += 1
    server.script(
        f"{PATH}/manifests/1.0", servers.fine(json.dumps(index).encode(), media_type=INDEX_TYPE)
    )
    with pytest.raises(MalformedError, match="not what its index says"):
        locked(registry)


def test_an_index_in_an_index_is_refused(server: HostileServer, registry: RegistryClient) -> None:
    inner = IMAGE.index()
    outer = IMAGE.index().as_json()
    outer["manifests"][0] |= {"digest": str(inner.digest), "size": len(inner.data)}
    serve(server, IMAGE)
    server.script(
        f"{PATH}/manifests/1.0", servers.fine(json.dumps(outer).encode(), media_type=INDEX_TYPE)
    )
    with pytest.raises(MalformedError, match="not what its index says"):
        locked(registry)


@pytest.mark.parametrize("entry", [7, {}, {"mediaType": MANIFEST_TYPE}, {"platform": 1}])
def test_an_index_with_nonsense(
    server: HostileServer, registry: RegistryClient, entry: object
) -> None:
    index = {"schemaVersion": 2, "mediaType": DOCKER_INDEX_TYPE, "manifests": [entry]}
    data = json.dumps(index).encode()
    server.script(f"{PATH}/manifests/1.0", servers.fine(data, media_type=DOCKER_INDEX_TYPE))
    with pytest.raises(MalformedError, match="index"):
        locked(registry)


def test_the_media_type_of_the_transport_must_agree(
    server: HostileServer, registry: RegistryClient
) -> None:
    data = IMAGE.manifest.data
    server.script(f"{PATH}/manifests/1.0", servers.fine(data, media_type=DOCKER_MANIFEST_TYPE))
    with pytest.raises(MalformedError, match="mediaType"):
        locked(registry)


def test_a_registry_that_is_not_there(tmp_path: Path) -> None:
    with HostileServer() as gone:
        pass
    with connect(gone, folder=tmp_path) as client, pytest.raises(FetchError):
        locked(client)
