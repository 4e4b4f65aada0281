"""The bill as a document: valid, complete, the same whatever the order."""

import json
import random
from collections import Counter
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from hps import canonical
from hps.build.licences import Licence
from hps.build.sbom import Said, document, entries, reference
from hps.lock.purl import purl
from hps.lock.records import (
    Artifact,
    BaseProject,
    LockedArchive,
    LockedFile,
    LockedPipeline,
    LockedTarget,
    LockedWeights,
    WeightsFile,
)
from tests.lock.test_base_image import BASE as IMAGE
from tests.lock.test_text import HEX, lock

BASE = lock().targets[0]
DEB, WHEEL, SDIST = BASE.debs[0], BASE.wheels[0], BASE.sdists[0]
OTHER = HEX[::-1]
VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)  # made once: it reads three schemas


def target() -> LockedTarget:
    """One of every kind, some of them twice."""
    wheels = [
        WHEEL.model_copy(update={"name": "app", "via": ("app.in",)}),
        WHEEL.model_copy(update={"name": "lib", "via": ("app", "jieba", "lib")}),
        SDIST.build[0],  # what builds the sdist is in the image too
    ]
    return BASE.model_copy(
        update={
            "wheels": tuple(wheels),
            "sdists": (SDIST.model_copy(update={"via": ("app",)}),),
            "build_debs": (DEB.model_copy(update={"name": "gcc", "via": ("hps.toml",)}),),
            "archives": (LockedArchive(name="tool", file="t.tgz", sha256=HEX, size=1),),
            "files": tuple(
                LockedFile(file="w.bin", sha256=OTHER, size=1, to=to) for to in ("/a", "/b")
            ),
        }
    )


def check_valid(made: dict[str, Any]) -> None:
    fault = VALIDATOR.validate_str(canonical.dumps(made).decode())
    assert fault is None, fault


def bill(one: LockedTarget | None = None, said: Said | None = None) -> dict[str, Any]:
    made = document("lab:cpu", one or target(), said or Said(), hps="1.0")
    check_valid(made)
    return made


def component(made: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (one for one in made["components"] if one["name"] == name)
    return dict(found)


def needs(made: dict[str, Any], ref: str) -> list[str]:
    (found,) = (one["dependsOn"] for one in made["dependencies"] if one["ref"] == ref)
    return [one.split("@")[0].split("?")[0].rpartition("/")[2] for one in found]


def test_every_lock_entry_is_one_component() -> None:
    made = bill()
    locked = {(purl(one), one.sha256) for one, _ in entries(target())}
    listed = [(one["purl"], one["hashes"][0]["content"]) for one in made["components"]]
    assert Counter(listed) == Counter(locked)


def test_what_is_only_built_with_is_excluded() -> None:
    made = bill()
    scopes = {one["name"]: one["scope"] for one in made["components"]}
    assert scopes["gcc"] == "excluded"
    assert {name for name, scope in scopes.items() if scope == "required"} == set(scopes) - {"gcc"}
    alone = bill(target().model_copy(update={"wheels": ()}))
    assert component(alone, "setuptools")["scope"] == "excluded"


def test_one_component_has_all_that_its_entries_say() -> None:
    made = bill()
    properties = [(one["name"], one["value"]) for one in component(made, "w.bin")["properties"]]
    assert properties == [
        ("hps:file", "w.bin"), ("hps:path", "/a"), ("hps:path", "/b"), ("hps:role", "file")
    ]  # fmt: skip
    roles = [one["value"] for one in component(made, "setuptools")["properties"]]
    assert {"build-requirement", "wheel"} <= set(roles)


def test_who_needs_whom() -> None:
    made = bill()
    assert set(needs(made, "image")) == {"libc6", "gcc", "tool", "w.bin", "app", "setuptools"}
    assert needs(made, component(made, "app")["bom-ref"]) == ["jieba", "lib"]
    assert needs(made, component(made, "jieba")["bom-ref"]) == ["lib", "setuptools"]
    assert needs(made, component(made, "lib")["bom-ref"]) == []  # it asks for its own extras


def test_every_reference_is_defined_once() -> None:
    made = bill(said=Said(system=("debian", "12")))
    defined = [made["metadata"]["component"]["bom-ref"]]
    defined += [one["bom-ref"] for one in made["components"]]
    assert len(defined) == len(set(defined))
    assert sorted(one["ref"] for one in made["dependencies"]) == sorted(defined)
    used = {ref for one in made["dependencies"] for ref in one["dependsOn"]}
    assert used == set(defined) - {"image"}  # all is reached from the image


def test_licences_sources_and_the_system() -> None:
    said = Said(
        {HEX: (Licence("name", "Own", "why"), Licence("id", "MIT")), OTHER: (Licence("expression", "MIT OR ISC"),)},
        {HEX: "glibc 2.36-9"},
        ("debian", "12"),
    )  # fmt: skip
    made = bill(said=said)
    first, second = component(made, "libc6")["licenses"]
    assert first["license"]["name"] == "Own"
    assert first["license"]["properties"] == [{"name": "hps:note", "value": "why"}]
    assert second["license"] == {"id": "MIT", "acknowledgement": "declared"}
    assert component(made, "w.bin")["licenses"][0]["expression"] == "MIT OR ISC"
    assert {"name": "hps:source-package", "value": "glibc 2.36-9"} in component(made, "libc6")["properties"]  # fmt: skip
    assert component(made, "debian")["type"] == "operating-system"


@given(st.randoms())
def test_the_order_of_the_lock_does_not_matter(order: random.Random) -> None:
    one = target()
    mixed = {
        kind: tuple(order.sample(getattr(one, kind), len(getattr(one, kind))))
        for kind in ("debs", "wheels", "files")
    }
    assert document("i", one.model_copy(update=mixed), Said(), hps="1") == document(
        "i", one, Said(), hps="1"
    )


def test_the_serial_number_is_that_of_the_content() -> None:
    made = bill()
    assert made["serialNumber"] == bill()["serialNumber"]
    assert made["serialNumber"] != bill(said=Said(system=("debian", "12")))["serialNumber"]
    assert "timestamp" not in json.dumps(made)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@settings(max_examples=30, deadline=None)
@given(TEXT, TEXT, st.sampled_from(["name", "expression"]))
def test_any_words_give_a_valid_document(name: str, more: str, kind: Any) -> None:
    wheel = WHEEL.model_copy(update={"name": name, "version": more, "via": (more,)})
    said = Said({wheel.sha256: (Licence(kind, more, name),)})
    check_valid(document(name, target().model_copy(update={"wheels": (wheel,)}), said, hps=more))


@pytest.mark.parametrize("kind", ["debs", "wheels", "sdists", "archives", "files"])
def test_a_target_without_one_kind(kind: str) -> None:
    made = bill(target().model_copy(update={kind: ()}))
    assert made["components"]


def test_a_target_of_nothing() -> None:
    empty: dict[str, tuple[()]] = dict.fromkeys(
        ("debs", "build_debs", "wheels", "sdists", "archives", "files"), ()
    )
    made = bill(target().model_copy(update=empty))
    assert made["components"] == []
    assert made["dependencies"] == [{"ref": "image", "dependsOn": []}]


def test_a_reference_tells_two_files_of_one_version() -> None:
    other = WHEEL.model_copy(update={"sha256": OTHER})
    assert purl(other) == purl(WHEEL)
    assert reference(other) != reference(WHEEL)


def test_weights_are_models_with_files_and_licences() -> None:
    archive = Artifact(file="det_infer.tar", sha256=OTHER, size=9)
    made = bill(
        target().model_copy(
            update={
                "weights": (
                    LockedWeights(name="det", model="M_det", licence="apache-2.0", archive=archive),
                    LockedWeights(name="rec", model="M_rec", licence="of the house"),
                ),
                "weights_files": tuple(
                    WeightsFile(file=file, sha256=HEX, size=1, weights=name, folder="a b")
                    for name in ("det", "rec")
                    for file in ("inference.yml", "inference.json")
                ),
                "pipelines": (
                    LockedPipeline(name="A", delivery="layer", modules=(("X", "det"),)),
                    LockedPipeline(name="B", delivery="mount", modules=(("Y", "rec"),)),
                ),
            }
        )
    )
    detector, recogniser = component(made, "det"), component(made, "rec")
    assert (detector["scope"], recogniser["scope"]) == ("required", "optional")
    assert detector["licenses"] == [{"expression": "Apache-2.0", "acknowledgement": "declared"}]
    assert recogniser["licenses"][0]["license"]["name"] == "of the house"
    assert detector["hashes"][0]["content"] == OTHER
    assert [one["name"] for one in recogniser["components"]] == [
        "a b/inference.json",
        "a b/inference.yml",
    ]
    (image,) = (one for one in made["dependencies"] if one["ref"] == "image")
    assert {"weights:det", "weights:rec"} <= set(image["dependsOn"])


def test_python_packages_of_a_base_image() -> None:
    """What is taken away is gone, what is only hidden is there; who needs whom crosses the two."""
    ours = f"usr/local/lib/python{BASE.python_version}/dist-packages"
    debian = "usr/lib/python3/dist-packages"
    wheels = [
        WHEEL.model_copy(update={"name": "app", "via": ("app.in",)}),
        WHEEL.model_copy(update={"name": "leaf", "via": ("torch",), "sha256": OTHER}),
    ]
    python = (
        BaseProject(name="app", version="0.9", folder=ours),
        BaseProject(name="torch", version="2.0", folder=ours, via=("app",)),
        BaseProject(name="app", version="0.5", folder=debian),
        BaseProject(name="unused", version="1.0", folder=debian),
    )
    base = IMAGE.model_copy(
        update={"interpreter": f"/usr/bin/python{BASE.python_version}", "python": python}
    )
    one = BASE.model_copy(update={"base": base, "wheels": tuple(wheels), "sdists": ()})
    made = bill(one)
    found = {ref for item in made["components"] if (ref := item["bom-ref"]).count("/dist-packages")}
    torch = f"base-image:{ours}/torch"
    assert found == {torch, f"base-image:{debian}/app", f"base-image:{debian}/unused"}
    app, leaf = map(reference, wheels)
    edges = {item["ref"]: item["dependsOn"] for item in made["dependencies"]}
    assert torch in edges[app]
    assert leaf in edges[torch]
    assert app in edges["image"]
    assert leaf not in edges["image"]
    assert found <= set(edges["base-image"])
