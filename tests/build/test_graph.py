"""The pure decisions of the graph: closures, groups of wheels, and steps."""

from random import Random
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.build.graph import Graph, closure, wheel_groups
from hps.config.target import ImageSettings, Target
from hps.derivation.record import Step
from hps.errors import LockError
from hps.lock.records import (
    Artifact,
    Deb,
    LockedArchive,
    LockedFile,
    LockedPipeline,
    LockedTarget,
    LockedWeights,
    Package,
    WeightsFile,
    Wheel,
)
from tests.lock.test_text import lock

(LOCKED,) = lock().targets
DEB, WHEEL, SDIST = LOCKED.debs[0], LOCKED.wheels[0], LOCKED.sdists[0]
CONFIG = Target.model_validate({"debian": {"source": "os", "packages": []}})

NAMES = st.sampled_from("abcdefgh")


def deb(name: str, *via: str) -> Deb:
    return DEB.model_copy(update={"name": name, "via": via})


def wheel(name: str, size: int) -> Wheel:
    return WHEEL.model_copy(update={"name": name, "size": size})


def image(layers: int = 64, large: int = 100) -> ImageSettings:
    return ImageSettings.model_validate({"layers": layers, "large": large})


DEBS = st.dictionaries(NAMES, st.sets(NAMES, max_size=3), max_size=8).map(
    lambda via: [deb(name, *sorted(askers)) for name, askers in via.items()]
)
WHEELS = st.dictionaries(st.text("abcxyz", min_size=1, max_size=3), st.integers(0, 300)).map(
    lambda sizes: [wheel(name, size) for name, size in sizes.items()]
)


def test_a_closure_follows_who_asked() -> None:
    debs = [deb("app", "hps.toml"), deb("lib", "app"), deb("libc", "lib", "tool"), deb("tool")]
    assert [one.name for one in closure(debs, ("app",))] == ["app", "lib", "libc"]
    assert closure(debs, ("absent",)) == ()


def test_a_closure_of_a_circle_ends() -> None:
    assert len(closure([deb("a", "b"), deb("b", "a"), deb("c")], ("a",))) == 2


@given(DEBS, st.sets(NAMES, max_size=3))
def test_laws_of_a_closure(debs: list[Deb], names: set[str]) -> None:
    found = closure(debs, names)
    inside = {one.name for one in found}
    assert [one for one in debs if one in found] == list(found)  # in the lock's order
    assert names & {one.name for one in debs} <= inside
    assert closure(debs, inside | names) == found
    for one in debs:
        if set(one.via) & (inside | names):
            assert one.name in inside
    assert set(closure(debs, sorted(names)[:1])) <= set(found) or not names


def test_large_wheels_get_a_layer_each_and_the_rest_one() -> None:
    wheels = [wheel("a", 99), wheel("b", 100), wheel("c", 500), wheel("d", 1)]
    groups = wheel_groups(wheels, image(), taken=2)
    assert [(name, [one.name for one in group]) for name, group in groups] == [
        ("c", ["c"]),
        ("b", ["b"]),
        ("python", ["a", "d"]),
    ]


def test_ties_are_settled_by_name() -> None:
    wheels = [wheel(name, 200) for name in "cab"]
    groups = wheel_groups(wheels, image(layers=6), taken=2)
    assert [name for name, _ in groups] == ["a", "b", "python"]


def test_the_budget_counts_what_is_spoken_for_and_the_trees() -> None:
    wheels = [wheel(name, 200) for name in "abcdefgh"]
    for taken in range(2, 12):
        groups = wheel_groups(wheels, image(layers=8), taken=taken)
        assert len(groups) == max(1, 8 - taken - 1)


def test_an_sdist_counts_with_the_wheel_that_it_becomes() -> None:
    built = SDIST.model_copy(update={"size": 1, "wheel_size": 1000})
    assert [name for name, _ in wheel_groups([built, wheel("a", 1)], image(), taken=2)] == [
        *("jieba", "python")
    ]


def test_no_wheels_no_layers() -> None:
    assert wheel_groups([], image(), taken=2) == []


@given(WHEELS, st.integers(4, 12), st.integers(2, 14), st.integers(0, 200), st.randoms())
def test_laws_of_the_groups(
    wheels: list[Package], layers: int, taken: int, large: int, shuffled: Random
) -> None:
    groups = wheel_groups(wheels, image(layers, large), taken=taken)
    members = [one.name for _, group in groups for one in group]
    assert sorted(members) == sorted(one.name for one in wheels)
    assert len(groups) <= max(1, layers - taken - 1)
    assert all(group for _, group in groups)
    mixed = list(wheels)
    shuffled.shuffle(mixed)
    assert wheel_groups(mixed, image(layers, large), taken=taken) == groups


def described(step: Step) -> str:
    inputs = {
        role: f"{described(value[0])} {value[1]}" if isinstance(value, tuple) else value
        for role, value in step.inputs.items()
    }
    return f"{step.kind} {inputs} {step.parameters}"


def test_what_shapes_a_layer_is_in_its_derivation() -> None:
    def steps(config: Target, epoch: int = 0) -> dict[str, str]:
        return {layer.name: described(layer.step) for layer in Graph(LOCKED, config, epoch).layers}

    before = steps(CONFIG)
    assert list(before) == ["debian", "system", "python"]
    assert steps(CONFIG) == before
    assert not set(before.values()) & set(steps(CONFIG, 1).values())
    pruned = CONFIG.model_copy(
        update={"python": CONFIG.python.model_copy(update={"prune": ("*.h",)})}
    )
    changed = {name for name, step in steps(pruned).items() if step != before[name]}
    assert changed == {"python"}


TOOL = {"name": "tool", "file": "t.tar", "path": "t", "copy": [{"from": "a", "to": "/a"}]}


def test_a_project_with_the_name_of_another_layer_is_told_apart() -> None:
    """Nobody chooses what a project is called, so its layer's name gives way."""
    names = ["alone", "debian", "files", "python", "system", "tool", "trees"]
    locked = LOCKED.model_copy(
        update={
            "wheels": (*(wheel(name, 1000 - at) for at, name in enumerate(names)), wheel("a", 1)),
            "sdists": (),
            "archives": (LockedArchive(name="tool", file="t.tar", sha256="0" * 64, size=1),),
            "files": (LockedFile(file="f", sha256="0" * 64, size=1, to="/f"),),
        }
    )
    config = CONFIG.model_copy(
        update={
            "image": image(),
            "archives": Target.model_validate(
                {"debian": {"source": "os", "packages": []}, "archives": [TOOL]}
            ).archives,
        }
    )
    layers = Graph(locked, config, 0).layers
    assert [layer.name for layer in layers] == [
        *("debian", "system", "tool", "files", "alone"),
        *("python:debian", "python:files", "python:python", "python:system", "python:tool"),
        *("python:trees", "python"),
    ]
    assert [layer.members for layer in layers[4:7]] == [("alone",), ("debian",), ("files",)]
    assert len({layer.step.label for layer in layers}) == len(layers)


def served(delivery: Literal["layer", "mount"], weights: str = "det") -> LockedTarget:
    """A target whose one pipeline uses weights of an archive; others lie there unused."""
    archive = Artifact(file="det.tar", sha256="1" * 64, size=1)
    pipeline = LockedPipeline(name="OCR", delivery=delivery, modules=(("X", weights),))
    sets = (
        LockedWeights(name="det", model="M", archive=archive, root="M_infer"),
        LockedWeights(name="rec", model="N"),
    )
    files = (WeightsFile(file="a", sha256="2" * 64, size=1, weights="rec", folder="b"),)
    update = {"weights": sets, "weights_files": files, "pipelines": (pipeline,)}
    return lock().targets[0].model_copy(update=update)


def test_baked_weights_are_layers_on_top_and_mounted_ones_are_none() -> None:
    below = Graph(served("mount"), CONFIG, 0).layers
    assert not [layer for layer in below if layer.kind == "weights"]
    baked = Graph(served("layer"), CONFIG, 0).layers
    assert [layer.name for layer in baked[:-1]] == [layer.name for layer in below]
    assert (baked[-1].name, baked[-1].members) == ("weights:det", ("det",))
    (rule,) = baked[-1].step.parameters["copy"]
    assert (rule["from"], rule["to"]) == ("M_infer", "/opt/hps/weights/det")
    own = Graph(served("layer", "rec"), CONFIG, 0).layers[-1].step
    assert list(own.inputs) == ["file:/opt/hps/weights/rec/b/a"]


def test_weights_that_the_lock_lacks_are_an_error() -> None:
    with pytest.raises(LockError, match="no weights other"):
        _ = Graph(served("mount", "other"), CONFIG, 0).layers


def test_an_archive_that_the_lock_lacks_is_an_error() -> None:
    config = Target.model_validate(
        {
            "debian": {"source": "os", "packages": []},
            "archives": [TOOL],
        }
    )
    with pytest.raises(LockError, match="no archive tool"):
        _ = Graph(LOCKED, config, 0).layers
