"""What a difference is called: the layer, the path, the setting."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hps.archive.paths import Limits
from hps.build.image import Built, BuiltBase
from hps.build.proof import BuiltLayer
from hps.digest import Blob, Digest
from hps.errors import NotReproducibleError
from hps.layer.index import IndexLine
from hps.layer.tar_reader import members
from hps.oci.image import Image, assemble, manifest
from hps.release.claimed import Claimed
from hps.release.rebuild_difference import difference, first_path
from tests.lock.test_base_image import BASE as LOCKED_BASE
from tests.lock.test_base_image import LAYER
from tests.oci.images import Blobs, layer_tar, settings

LOWER, UPPER = {"a": b"1", "b": b"2"}, {"srv/main": b"3"}
BLOB = Blob(Digest.of(b"index"), 5)
NAMES = ("debian-00", "trees")


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def image(blobs: Blobs, *layers: Mapping[str, bytes], **fields: Any) -> Image:
    added = [blobs.add(layer_tar(one)) for one in layers]
    return assemble("app:1", settings(**fields), added, platform="linux/amd64", epoch=0)


def built(made: Image) -> Built:
    layers = tuple(
        BuiltLayer(name, blob, Blob(Digest.of(name.encode()), 1), name != "trees")
        for name, blob in zip(NAMES, made.layers, strict=True)
    )
    return Built("cpu", made, settings(), layers, (), Path("gone"), changed=True, rooted=True)


def lines(files: Mapping[str, bytes]) -> list[IndexLine]:
    """The index of `layer_tar`."""
    found = members(io.BytesIO(layer_tar(files)), "layer", packed=1, limits=Limits())
    return [
        IndexLine(
            one.path,
            one.kind,
            one.mode,
            one.size,
            Digest.of(one.reader.read()).hex if one.reader else one.link,
            "owner",
        )
        for one in found
    ]


def told(blobs: Blobs, got: Image, *, at_hand: bool = True) -> NotReproducibleError:
    place = blobs.path if at_hand else None
    claimed = Claimed("the image", got.manifest, got.config, (), place)
    contents = {"debian-00": LOWER, "trees": UPPER}
    return difference(
        built(image(blobs, LOWER, UPPER)), claimed, lambda layer: lines(contents[layer.name])
    )


def test_the_layer_and_the_path(blobs: Blobs) -> None:
    expected, got = image(blobs, LOWER, UPPER), image(blobs, {"a": b"1", "b": b"!"}, UPPER)
    error = told(blobs, got)
    assert error.exit_code == 7
    assert error.message == "layer debian-00 of the image is not what hps.lock gives"
    assert error.expected == str(expected.layers[0].digest)
    assert error.got == str(got.layers[0].digest)
    assert error.details == ("first path that differs: /b",)
    assert "hps build --check" in str(error)


def test_the_layer_of_the_projects_own_files(blobs: Blobs) -> None:
    error = told(blobs, image(blobs, LOWER, {"srv/main": b"!"}))
    assert "layer trees" in error.message
    assert "check out the commit of the image" in str(error)


def test_further_layers_are_named(blobs: Blobs) -> None:
    error = told(blobs, image(blobs, {"a": b"!", "b": b"2"}, {"srv/main": b"!"}))
    assert "further layers that differ: trees" in error.details


def test_layers_that_are_missing_or_too_many(blobs: Blobs) -> None:
    less = told(blobs, image(blobs, LOWER))
    assert less.message == "the image has no layer trees"
    assert less.got == "no such layer"
    more = told(blobs, image(blobs, LOWER, UPPER, {"x": b"1"}))
    assert "a layer that hps.lock does not give" in more.message
    assert more.expected == "no such layer"


def test_a_base_image_comes_first(blobs: Blobs) -> None:
    """Its layers are not ours: another base is told, and ours are counted from behind it."""
    base = LOCKED_BASE.model_copy(
        update={
            "layers": tuple(
                LAYER.model_copy(update={"diff_id": Digest.of(layer_tar(one)).hex})
                for one in ({"base": b"1"}, {"base": b"2"})
            )
        }
    )
    over = replace(built(image(blobs, LOWER, UPPER)), base=BuiltBase(base, BLOB))

    def compared(*layers: Mapping[str, bytes]) -> NotReproducibleError:
        got = image(blobs, *layers)
        claimed = Claimed("the image", got.manifest, got.config, (), blobs.path)
        contents = {"debian-00": LOWER, "trees": UPPER}
        return difference(over, claimed, lambda layer: lines(contents[layer.name]))

    same = compared({"base": b"1"}, {"base": b"2"}, LOWER, {"srv/main": b"!"})
    assert same.message == "layer trees of the image is not what hps.lock gives"
    other = compared({"base": b"1"}, {"base": b"!"}, LOWER, UPPER)
    assert other.message == "the image lies over another base image than hps.lock says"
    assert other.expected == str(Digest.of(layer_tar({"base": b"2"})))
    assert compared({"base": b"1"}).got == "no such layer"


def test_a_layer_that_is_elsewhere(blobs: Blobs) -> None:
    error = told(blobs, image(blobs, {"a": b"!"}, UPPER), at_hand=False)
    assert "layer debian-00" in error.message
    assert error.details == ("its bytes are not here: which path differs cannot be said",)


@pytest.mark.parametrize("data", [b"no tar at all" * 100, b"", layer_tar(LOWER)[:700]])
def test_a_layer_that_cannot_be_read(blobs: Blobs, data: bytes) -> None:
    blob = blobs.add(data)
    first = image(blobs, LOWER, UPPER)
    layers = [blob, first.layers[1]]
    got = assemble("app:1", settings(), layers, platform="linux/amd64", epoch=0)
    (line,) = told(blobs, got).details
    assert "cannot be read" in line or "missing" in line


def test_a_setting(blobs: Blobs) -> None:
    error = told(blobs, image(blobs, LOWER, UPPER, entrypoint=["/bin/\x1bevil"]))
    assert "its configuration is not" in error.message
    (line,) = error.details
    assert line.startswith("config.Entrypoint: expected nothing, got ")
    assert "\x1b" not in str(error)


def test_the_manifest_alone(blobs: Blobs) -> None:
    made = image(blobs, LOWER, UPPER)
    other = replace(made, manifest=made.manifest + b"\n")
    error = told(blobs, other)
    assert (error.expected, error.got) == (str(made.digest), str(other.digest))
    assert "layers and configuration are the same" in error.details[0]


def test_a_configuration_that_is_none(blobs: Blobs) -> None:
    made = image(blobs, LOWER, UPPER)
    other = replace(made, config=b"{}", manifest=manifest(b"{}", made.layers))
    error = told(blobs, other)
    assert error.got == str(other.digest)
    assert "OCI image specification" in error.details[0]


@pytest.mark.parametrize(
    ("files", "path"),
    [
        ({"a": b"1", "b": b"2"}, None),
        ({"a": b"1", "b": b"3"}, "/b"),
        ({"a": b"1", "b": b"22"}, "/b"),
        ({"a": b"1"}, "/b (missing)"),
        ({"a": b"1", "b": b"2", "c": b"3"}, "/c (additional)"),
        ({"a": b"1", "aa": b"1", "b": b"2"}, "/aa, where /b should be"),
    ],
)
def test_the_first_path(files: Mapping[str, bytes], path: str | None) -> None:
    assert _first(lines(LOWER), layer_tar(files)) == path


def test_modes_and_links_count() -> None:
    expected = lines(LOWER)
    changed = [replace(expected[0], mode=0o644), *expected[1:]]
    assert _first(changed, layer_tar(LOWER)) == "/a"
    links = [IndexLine("l", "symlink", 0o755, 0, "a", "owner")]
    assert _first(links, layer_tar({}, links={"l": "a"})) is None
    assert _first(links, layer_tar({}, links={"l": "b"})) == "/l"


def _first(expected: Sequence[IndexLine], tar: bytes) -> str | None:
    found = members(io.BytesIO(tar), "layer", packed=len(tar), limits=Limits())
    return first_path(expected, found)
