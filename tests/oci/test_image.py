import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.digest import Blob, Digest
from hps.errors import ConfigError
from hps.oci.image import (
    LAYER_TYPE,
    Image,
    assemble,
    docker_manifest,
    image_config,
    image_reference,
    manifest,
)
from hps.oci.index import index
from tests.oci.images import settings

LAYERS = [Blob(Digest.of(b"one"), 3), Blob(Digest.of(b"second"), 6)]
FULL = {
    "user": {"name": "triton", "uid": 1234, "gid": 77},
    "entrypoint": ["/usr/bin/python3", "-m", "server"],
    "command": ["--port", "8000"],
    "environment": {"PATH": "/bin", "LANG": "C.UTF-8", "GREETING": "grüß=dich"},
    "working-directory": "/home/hps",
    "ports": [8002, 8000],
    "labels": {"b": "2", "a": "1"},
}


def image(reference: str | None = "demo:cpu", platform: str = "linux/amd64") -> Image:
    return assemble(reference, settings(**FULL), LAYERS, platform=platform, epoch=0)


def test_config_says_all_that_hps_toml_says() -> None:
    config = image_config(settings(**FULL), LAYERS, platform="linux/amd64", epoch=86400)
    entry = {"created": "1970-01-02T00:00:00Z", "created_by": "hps build"}
    assert json.loads(config) == {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-02T00:00:00Z",
        "config": {
            "User": "1234:77",
            "Env": ["GREETING=grüß=dich", "LANG=C.UTF-8", "PATH=/bin"],
            "Entrypoint": ["/usr/bin/python3", "-m", "server"],
            "Cmd": ["--port", "8000"],
            "WorkingDir": "/home/hps",
            "ExposedPorts": {"8000/tcp": {}, "8002/tcp": {}},
            "Labels": {"a": "1", "b": "2"},
        },
        "history": [entry, entry],
        "rootfs": {"type": "layers", "diff_ids": [str(layer.digest) for layer in LAYERS]},
    }


def test_config_leaves_out_what_is_empty() -> None:
    config = json.loads(image_config(settings(), [], platform="linux/amd64", epoch=0))
    assert config["config"] == {"User": "1000:1000", "WorkingDir": "/"}
    assert config["history"] == []


def test_arm64_has_an_explicit_variant() -> None:
    config = json.loads(image_config(settings(), LAYERS, platform="linux/arm64", epoch=0))
    assert (config["os"], config["architecture"], config["variant"]) == ("linux", "arm64", "v8")


def test_known_digests() -> None:
    """The bytes are a promise to every lock that exists: a change needs a new layout version."""
    assert str(image().image_id) == (
        "sha256:33044db0a571783834b026efe18176f878570fb3180cf6ed1b565f512510ec01"
    )
    assert str(image().digest) == (
        "sha256:43220fb19085c556f74df42ba66498426f5a17bd425aa6c1ffeeade8edc9103c"
    )


@given(st.permutations(sorted(FULL["environment"].items())), st.permutations([8000, 8002]))  # type: ignore[attr-defined]
def test_order_in_hps_toml_does_not_matter(
    environment: list[tuple[str, str]], ports: list[int]
) -> None:
    shuffled = settings(**{**FULL, "environment": dict(environment), "ports": ports})
    assert image_config(shuffled, LAYERS, platform="linux/amd64", epoch=0) == image().config


def test_manifest_describes_uncompressed_layers() -> None:
    made = json.loads(manifest(b"{}", LAYERS))
    assert made["config"]["digest"] == str(Digest.of(b"{}"))
    assert made["config"]["size"] == 2
    assert made["layers"] == [
        {"mediaType": LAYER_TYPE, "digest": str(layer.digest), "size": layer.size}
        for layer in LAYERS
    ]


def test_index_is_sorted_and_names_images() -> None:
    one, two = image("demo:a"), image("demo:b", "linux/arm64")
    assert index([two, one]) == index([one, two])
    entries = json.loads(index([two, one]))["manifests"]
    assert [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in entries] == [
        "demo:a",
        "demo:b",
    ]
    assert entries[1]["platform"] == {"architecture": "arm64", "os": "linux", "variant": "v8"}


def test_index_without_a_name_has_no_annotation() -> None:
    assert "annotations" not in json.loads(index([image(None)]))["manifests"][0]
    assert json.loads(docker_manifest([image(None)]))[0]["RepoTags"] == []


def test_one_reference_cannot_name_two_images() -> None:
    with pytest.raises(ValueError, match="two images are called demo:cpu"):
        index([image(), image(platform="linux/arm64")])


def test_docker_manifest_points_into_the_layout() -> None:
    (entry,) = json.loads(docker_manifest([image()]))
    assert entry["Config"] == f"blobs/sha256/{image().image_id.hex}"
    assert entry["Layers"] == [f"blobs/sha256/{layer.digest.hex}" for layer in LAYERS]
    assert entry["RepoTags"] == ["demo:cpu"]


@pytest.mark.parametrize("name", ["hps", "a.b", "a_b", "a__b", "a---b", "0"])
def test_references_docker_takes(name: str) -> None:
    assert image_reference(name, "rc-cpu") == f"{name}:rc-cpu"


@pytest.mark.parametrize("name", ["a..b", "a___b", "a.-b", "Upper", "ü", ""])
def test_references_docker_refuses(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name an image"):
        image_reference(name, "cpu")
