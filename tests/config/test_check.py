"""Rules between values: each with what breaks it and what just does not."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.config.check import faults
from hps.config.fault import spelled
from tests.config.documents import config

WHEEL = {"name": "w", "wheel": "x==1", "copy": [{"from": "a", "to": "/a"}]}
FILE = {"name": "f", "file": "x.tar", "path": "x.tar", "copy": [{"from": "a", "to": "/a"}]}


def found(
    target: Mapping[str, Any], sources: Mapping[str, Any] | None = None
) -> list[tuple[str, str]]:
    below: dict[str, Any] = {} if target.keys() & {"debian", "base"} else {"debian": {}}
    document = {"targets": {"cpu": {**below, **target}}}
    if sources is not None:
        document["sources"] = dict(sources)
    return [(spelled(fault.path), fault.problem) for fault in faults(document)]


@pytest.mark.parametrize(
    "target",
    [
        {"archives": [WHEEL, FILE]},
        {"archives": [{**FILE, "path": None, "sha256": "0"}]},
        {"files": [{"file": "x", "url": "u", "to": "/a"}, {"file": "x", "url": "u", "to": "/b"}]},
        {"python": {"requirements": ["a.in", "b/a.in"]}},
        {"keep": [{"path": "/a", "from": "x"}, {"path": "/a/b", "from": "y"}]},
    ],
)
def test_what_is_allowed(target: Mapping[str, Any]) -> None:
    assert found(target) == []


@pytest.mark.parametrize(
    ("target", "where", "problem"),
    [
        ({"archives": [{**WHEEL, "file": "x"}]}, "[0]", "has both `wheel` and `file`"),
        ({"archives": [{"name": "w"}]}, "[0]", "has neither `wheel` nor `file`"),
        ({"archives": [{**FILE, "path": None}]}, "[0]", "nothing says where `file` comes from"),
        ({"archives": [{**FILE, "index": "x"}]}, "[0].index", "belongs to `wheel` only"),
        ({"archives": [{**WHEEL, "url": "u"}]}, "[0].url", "belongs to `file` only"),
        ({"archives": [{**WHEEL, "obtain": "t"}]}, "[0].obtain", "belongs to `file` only"),
        ({"archives": [WHEEL, WHEEL]}, "[1].name", "archive name used twice"),
        ({"archives": [{**WHEEL, "index": "x"}]}, "[0].index", "no source has this alias"),
    ],
)
def test_archives(target: Mapping[str, Any], where: str, problem: str) -> None:
    assert found(target) == [(f"targets.cpu.archives{where}", problem)]


@pytest.mark.parametrize("name", ["debian", "system", "files", "python", "trees"])
def test_an_archive_is_not_named_like_a_layer_of_hps(name: str) -> None:
    """Its layer has its name, in hps.lock and in every message."""
    assert found({"archives": [WHEEL, {**FILE, "name": name}]}) == [
        ("targets.cpu.archives[1].name", "is the name of a layer that hps makes")
    ]
    assert found({"archives": [{**FILE, "name": f"{name}s"}]}) == []


def test_files_need_an_origin_and_a_place_of_their_own() -> None:
    files = [{"file": "x", "to": "/a"}, {"file": "y", "path": "y", "to": "/a"}]
    assert found({"files": files}) == [
        ("targets.cpu.files[0]", "nothing says where `file` comes from"),
        ("targets.cpu.files[1].to", "place in the image used twice"),
    ]


def test_keep_decides_each_path_once_and_never_all() -> None:
    rules = [{"path": "/"}, {"path": "/a"}, {"path": "/a/"}]
    assert found({"keep": rules}) == [
        ("targets.cpu.keep[0].path", "would decide every conflict of the image"),
        ("targets.cpu.keep[2].path", "path to keep used twice"),
    ]


def test_an_index_is_declared_when_something_asks_it() -> None:
    internal: dict[str, Any] = {"python": {"internal": {}}}
    assert found({}, internal) == []
    asked = {"python": {"requirements": ["a.in"]}, "archives": [WHEEL]}
    assert found(asked, internal) == [
        ("targets.cpu.python.index", "no source has this alias"),
        ("targets.cpu.archives[0].index", "no source has this alias"),
    ]
    assert found({"python": {"requirements": ["a.in"], "index": "internal"}}, internal) == []


def test_a_debian_source_is_declared() -> None:
    target = {"debian": {"source": "trixie"}}
    assert found(target) == [("targets.cpu.debian.source", "no source has this alias")]
    assert found(target, {"debian": {"trixie": {}}}) == []


def test_something_is_below_the_python_packages() -> None:
    nothing = "nothing says what is below the Python packages"
    assert [(one.path, one.problem) for one in faults({"targets": {"cpu": {}}})] == [
        (("targets", "cpu"), nothing)
    ]
    assert found({"base": {"image": "hub/os:1"}}) == []
    assert found({"base": {"image": "hub/os:1"}, "debian": {}}) == []


def test_a_build_environment_over_a_base_needs_an_archive() -> None:
    target = {"base": {"image": "hub/os:1"}, "build": {"packages": ["gcc"]}}
    where, problem = "targets.cpu.build.packages", "there is no archive to take them from"
    assert found(target) == [(where, problem)]
    assert found({**target, "debian": {}}) == []


def outside(**tables: Any) -> list[tuple[str, str]]:
    return [(spelled(fault.path), fault.problem) for fault in faults(tables)]


ARCHIVE, FOLDER = {"url": "https://example.org/a.tar"}, {"directory": "a"}


def test_weights_and_pipelines_that_fit() -> None:
    weights = {"a": ARCHIVE, "b": FOLDER, "c": {"sha256": "0"}, "d": {"fallbacks": ["u"]}}
    pipelines = {"OCR": {"weights": ["a", "b"], "modules": {"X": "c"}}, "x": {"weights": ["d"]}}
    target = {"cpu": {"debian": {}, "pipelines": ["OCR"]}}
    assert outside(weights=weights, pipelines=pipelines, targets=target) == []


@pytest.mark.parametrize(
    ("weights", "where", "problem"),
    [
        ({}, "", "nothing says where an archive comes from"),
        ({"file": "a"}, "", "nothing says where an archive comes from"),
        ({**FOLDER, **ARCHIVE}, ".url", "belongs to an archive only"),
        ({**FOLDER, "sha256": "0"}, ".sha256", "belongs to an archive only"),
    ],
)
def test_weights_have_one_origin(weights: Mapping[str, Any], where: str, problem: str) -> None:
    assert outside(weights={"a": weights}) == [(f"weights.a{where}", problem)]


def test_pipelines_name_weights_that_are_there_once() -> None:
    pipelines: dict[str, Any] = {
        "A": {"weights": ["a", "b", "a"]},
        "B": {"modules": {"X.Y": "b"}},
        "C": {"delivery": "layer"},
    }
    missing = "there is no [weights.b]"
    target = {"cpu": {"debian": {}, "pipelines": ["A", "D"]}}
    assert outside(weights={"a": ARCHIVE}, pipelines=pipelines, targets=target) == [
        ("targets.cpu.pipelines", "there is no [pipelines.D]"),
        ("pipelines.A.weights", missing),
        ("pipelines.A.weights", "name used twice"),
        ('pipelines.B.modules."X.Y"', missing),
        ("pipelines.C", "has no weights"),
    ]


def test_a_model_that_was_read_has_no_faults() -> None:
    assert faults(config().model_dump(by_alias=True)) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "sources targets python debian archives files keep cpu index source name wheel file "
                "requirements path to snapshot fallbacks".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["sources", "targets"]), JSON))
def test_wrong_shapes_are_stepped_over(document: dict[str, Any]) -> None:
    for fault in faults(document):
        assert fault.problem
        assert spelled(fault.path)
