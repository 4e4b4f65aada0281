"""Models in registries: what hps writes, what others write, and what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps import canonical
from hps.digest import Blob, Digest
from hps.model import artifact, donefile
from hps.model.archive import Form
from hps.model.artifact import TITLE, Layer
from hps.oci.image import MANIFEST_TYPE
from hps.oci.registry import check_document

BLOB = Blob(Digest.of(b"data"), 4)
OTHER = Blob(Digest.of(b"more"), 4)
IMAGE_LAYER = "application/vnd.oci.image.layer.v1.tar"


def read(data: bytes) -> tuple[Layer, ...]:
    return artifact.read(check_document("m", MANIFEST_TYPE, data).as_json())


def layer(
    media_type: str, title: str | None = None, blob: Blob = BLOB, *, unpack: bool = False
) -> dict[str, Any]:
    annotations = {} if title is None else {TITLE: title}
    if unpack:
        annotations["io.deis.oras.content.unpack"] = "true"
    return {
        "mediaType": media_type,
        "digest": str(blob.digest),
        "size": blob.size,
        "annotations": annotations,
    }


def manifest(*layers: dict[str, Any]) -> dict[str, Any]:
    config = layer("application/vnd.oci.empty.v1+json")
    return {"schemaVersion": 2, "config": config, "layers": list(layers)}


def test_a_folder_comes_back_in_bytewise_order() -> None:
    layers = [Layer("weights/höhe", BLOB), Layer("a", OTHER), Layer("B", BLOB)]
    data = artifact.write(layers, {artifact.SEQUENCE: "7"})
    assert [each.path for each in read(data)] == ["B", "a", "weights/höhe"]
    assert set(read(data)) == set(layers)
    assert data == artifact.write(reversed(layers), {artifact.SEQUENCE: "7"})


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("name", ["ocr.tar.gz", "ocr"])
def test_an_archive_comes_back_without_a_path(form: Form, name: str) -> None:
    assert read(artifact.write_packed(form, name, BLOB, {})) == (Layer("", BLOB),)


def test_what_is_written_is_what_the_page_says() -> None:
    document = json.loads(artifact.write([Layer("a/b", BLOB)], {}))
    assert document["artifactType"] == "application/vnd.hps.model.v1"
    assert document["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert document["layers"] == [
        {
            "mediaType": "application/vnd.hps.model.file.v1",
            "digest": str(BLOB.digest),
            "size": 4,
            "annotations": {"org.opencontainers.image.title": "a/b"},
        }
    ]


def test_one_file_that_looks_like_an_archive_stays_a_file() -> None:
    data = artifact.write([Layer("model.tar", BLOB)], {})
    assert read(data) == (Layer("model.tar", BLOB),)


@pytest.mark.parametrize(
    ("found", "path"),
    [
        (layer(IMAGE_LAYER, "m.tar"), ""),
        (layer(IMAGE_LAYER, "M.TAR.GZ"), ""),
        (layer("application/octet-stream", "m.zip"), ""),
        (layer(f"{IMAGE_LAYER}+gzip", "folder", unpack=True), ""),
        (layer(f"{IMAGE_LAYER}+gzip"), ""),
        (layer("application/x-tar"), ""),
        (layer("application/vnd.docker.image.rootfs.diff.tar.gzip"), ""),
        (layer(IMAGE_LAYER, "weights.bin"), "weights.bin"),
        (layer("text/plain", "a/b"), "a/b"),
    ],
)
def test_what_others_push_is_understood(found: dict[str, Any], path: str) -> None:
    assert artifact.read(manifest(found)) == (Layer(path, BLOB),)


def test_archives_beside_each_other_are_files() -> None:
    found = artifact.read(manifest(layer(IMAGE_LAYER, "b.tar"), layer(IMAGE_LAYER, "a.tar", OTHER)))
    assert found == (Layer("a.tar", OTHER), Layer("b.tar", BLOB))


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (manifest(), "no layers"),
        (manifest(layer("application/json")), "no org.opencontainers.image.title"),
        (manifest(layer(IMAGE_LAYER), layer(IMAGE_LAYER)), "no org.opencontainers.image.title"),
        (manifest(layer(IMAGE_LAYER, "a"), layer(IMAGE_LAYER, "")), "layer 1"),
        (manifest(layer(artifact.FILE_TYPE)), "no org.opencontainers.image.title"),
        (
            manifest(layer(IMAGE_LAYER, "a"), layer(IMAGE_LAYER, "b", unpack=True)),
            "beside other layers",
        ),
        (
            manifest(layer(artifact.ARCHIVE_TYPES[Form.ZIP], "a"), layer(IMAGE_LAYER, "b")),
            "beside other layers",
        ),
        ({"schemaVersion": 2, "layers": [layer(IMAGE_LAYER, "a")]}, "config"),
        (manifest({**layer(IMAGE_LAYER, "a"), "digest": "md5:0"}), "digest"),
        (manifest({**layer(IMAGE_LAYER, "a"), "size": -1}), "size"),
        (manifest({**layer(IMAGE_LAYER, "a"), "annotations": {TITLE: 7}}), "title"),
        ([], "manifest"),
    ],
)
def test_what_is_no_model_is_refused(document: object, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        artifact.read(document)


def test_donefiles_made_of_layers_are_understood() -> None:
    packed = donefile.read(artifact.checksums([Layer("", BLOB)]))
    assert packed.archive_digest("") == BLOB.digest
    folder = donefile.read(artifact.checksums([Layer("a/b", BLOB), Layer("höhe", OTHER)]))
    assert {each.path: each.digest for each in folder.checksums} == {
        "a/b": BLOB.digest,
        "höhe": OTHER.digest,
    }
    assert donefile.read(artifact.checksums([Layer("a\nb", BLOB)])) == donefile.Hint()


def test_names_that_no_model_may_have_are_not_written() -> None:
    for names in (["../a"], ["a", "A"], ["a", "a/b"], [""], []):
        with pytest.raises(ValueError, match=r"path|at least one file"):
            artifact.write([Layer(name, BLOB) for name in names], {})
    with pytest.raises(ValueError, match="path"):
        artifact.write_packed(Form.TAR, "a/../b", BLOB, {})


def test_more_than_a_manifest_can_name_is_not_written() -> None:
    layers = [Layer(f"{'x' * 250}/{'y' * 250}/{number}", BLOB) for number in range(9_000)]
    with pytest.raises(ValueError, match="pack it"):
        artifact.write(layers, {})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["config", "layers", "mediaType", "digest", "size", "annotations"]),
                inner,
            )
        ),
        max_leaves=20,
    )
)
def test_whatever_comes_is_read_or_refused(value: Any) -> None:
    document = {"schemaVersion": 2, **value} if isinstance(value, dict) else value
    try:
        found = artifact.read(document)
    except ValueError:
        return
    assert canonical.dumps([each.path for each in found])
