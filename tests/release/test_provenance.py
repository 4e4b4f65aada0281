"""Provenance: complete, canonical, and the same wherever the same was built."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps import __version__, canonical
from hps.build.image import build
from hps.build.workbench import artifacts
from hps.config.target import ImageSettings
from hps.digest import Blob, Digest
from hps.errors import UsageError
from hps.lock import text
from hps.lock.purl import purl
from hps.lock.records import Lock, LockedFile
from hps.oci.image import Image, assemble
from hps.release.provenance import BUILD_TYPE, provenance
from tests.build.laboratory import Laboratory, copy_store
from tests.build.test_sbom import target
from tests.lock.test_text import HEX, lock

BUILDER = "https://builds.example.org/main"
LOCK = lock().model_copy(update={"targets": (target(),)})
TREES = Blob(Digest.of(b"trees"), 5)


def image(locked: Lock = LOCK, *more: Blob, settings: ImageSettings | None = None) -> Image:
    layers = [Blob(one.digest, one.size) for one in locked.targets[0].layers]
    return assemble(
        "lab:cpu", settings or ImageSettings(), [*layers, *more], platform="linux/amd64", epoch=0
    )


def said(locked: Lock = LOCK, made: Image | None = None, builder: str = BUILDER) -> dict[str, Any]:
    return provenance(locked, locked.targets[0], made or image(locked), builder=builder)


def dependencies(predicate: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = predicate["buildDefinition"]["resolvedDependencies"]
    return found


def test_every_lock_entry_is_one_dependency() -> None:
    listed = dependencies(said())
    locked = {(purl(one), one.sha256) for one in artifacts(LOCK.targets[0])}
    found = [(one["uri"], one["digest"]["sha256"]) for one in listed if "uri" in one]
    assert Counter(found) == Counter(locked)
    others = [one for one in listed if "uri" not in one]
    sealed = Digest.of(text.write(LOCK)).hex
    assert others == [{"name": "hps.lock", "digest": {"sha256": sealed}}]


def test_each_dependency_says_its_roles() -> None:
    roles = {
        one["name"]: one["annotations"]["roles"] for one in dependencies(said()) if "uri" in one
    }
    assert roles["setuptools-1.0-py3-none-any.whl"] == ["build-requirement", "wheel"]
    assert roles["t.tgz"] == ["archive"]
    assert roles["w.bin"] == ["file"]


def test_the_trees_are_a_dependency_by_their_layer() -> None:
    (one,) = (one for one in dependencies(said(made=image(LOCK, TREES))) if one["name"] == "trees")
    assert one["digest"] == {"sha256": TREES.digest.hex}


def test_the_fields_that_the_specification_asks_for() -> None:
    predicate = said(made=image(settings=ImageSettings(environment={"A": "é"}, ports=(80,))))
    assert set(predicate) == {"buildDefinition", "runDetails"}
    definition = predicate["buildDefinition"]
    assert set(definition) == {
        "buildType", "externalParameters", "internalParameters", "resolvedDependencies"
    }  # fmt: skip
    assert definition["buildType"] == BUILD_TYPE == "urn:hps:build:v1"
    assert definition["externalParameters"]["target"] == "cpu"
    assert definition["externalParameters"]["image"]["Env"] == ["A=é"]
    assert definition["externalParameters"]["inputs"] == [list(one) for one in target().inputs]
    assert definition["internalParameters"]["functions"] == {"wheels": 1}
    assert predicate["runDetails"] == {"builder": {"id": BUILDER, "version": {"hps": __version__}}}


@pytest.mark.parametrize("builder", ["urn:uuid:1", "https://e.example.org/a?b#c", "tag:me,2026:x"])
def test_builders(builder: str) -> None:
    assert said(builder=builder)["runDetails"]["builder"]["id"] == builder


@pytest.mark.parametrize(
    "builder", ["", "me", ":x", "urn:", "a b:c", "x:\n", "x:\x1b[0m", "x:é", "x:" + "y" * 3000]
)
def test_what_is_no_builder(builder: str) -> None:
    with pytest.raises(UsageError, match="URI"):
        said(builder=builder)


def test_an_image_of_something_else_is_not_vouched_for() -> None:
    other = assemble("lab:cpu", ImageSettings(), [TREES], platform="linux/amd64", epoch=0)
    for made in (other, image(LOCK, TREES, TREES)):
        with pytest.raises(ValueError, match="not the one that the lock says"):
            said(made=made)
    with pytest.raises(ValueError, match="another target"):
        provenance(LOCK, lock().targets[0], image(), builder=BUILDER)


def test_another_lock_is_another_provenance() -> None:
    assert said(LOCK.model_copy(update={"source_date_epoch": 1})) != said()


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(TEXT, TEXT, st.integers(0, 2**33), st.lists(st.tuples(TEXT, TEXT), max_size=3))
def test_it_is_canonical_whatever_the_lock_holds(
    name: str, to: str, epoch: int, inputs: list[tuple[str, str]]
) -> None:
    """No floats, only ASCII keys, no times: `canonical.dumps` refuses the first two."""
    file = LockedFile.model_construct(file=name, to=to, sha256=HEX, size=1)
    one = target().model_copy(update={"files": (file,), "inputs": tuple(inputs)})
    locked = LOCK.model_copy(update={"targets": (one,), "source_date_epoch": epoch})
    predicate = said(locked)
    data = canonical.dumps(predicate)
    assert json.loads(data) == predicate
    assert not {"startedOn", "finishedOn", "invocationId", "metadata"} & _keys(predicate)


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(_keys(one) for one in value.values()))
    return set().union(*(_keys(one) for one in value)) if isinstance(value, list) else set()


def test_two_builds_in_two_folders_say_the_same(lab: Laboratory, tmp_path: Path) -> None:
    elsewhere = tmp_path / "far" / "away"
    elsewhere.mkdir(parents=True)
    shutil.copytree(
        lab.folder, elsewhere / "checkout", ignore=shutil.ignore_patterns(".hps", "hps.lock")
    )
    turned = lab.lock_path.read_bytes().replace(b"\n", b"\r\n")  # as some checkouts do
    (elsewhere / "checkout" / "hps.lock").write_bytes(turned)
    copy_store(lab.store, elsewhere / "store")
    shutil.rmtree(elsewhere / "store" / "traces")
    other = Laboratory(elsewhere / "checkout", elsewhere / "store", lab.index, lab.environment)
    both = []
    for one in (lab, other):
        made = build(one.open(), "cpu")
        predicate = provenance(one.lock, one.target, made.image, builder=BUILDER)
        both.append(canonical.dumps(predicate))
        assert not any(str(place) in both[-1].decode() for place in (one.folder, one.store))
    assert both[0] == both[1]
    assert len(dependencies(json.loads(both[0]))) == 2 + len(
        {(purl(one), one.sha256) for one in artifacts(lab.target)}
    )
