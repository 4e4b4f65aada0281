"""Two owners of one path."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hps.build.conflicts import conflicts, idle_rules, over_base
from hps.config.target import Keep
from hps.layer.entry import Kind
from hps.layer.index import IndexLine


def line(path: str, owner: str, content: str = "00", **more: Any) -> IndexLine:
    return replace(IndexLine(path, "file", 0o644, 1, content, owner), **more)


def folder(path: str, mode: int = 0o755) -> IndexLine:
    return IndexLine(path, "directory", mode, 0, "", "hps")


def test_both_owners_and_layers_are_named() -> None:
    layers = [("one", [line("a/f", "app")]), ("two", [line("a/f", "base", "11")])]
    assert conflicts(layers) == ["/a/f: app (layer one) and base (layer two)"]


def test_the_same_file_twice_is_no_conflict() -> None:
    assert conflicts([("one", [line("f", "app")]), ("two", [line("f", "base")])]) == []


def test_mode_owner_and_kind_count() -> None:
    for other in (
        line("f", "b", mode=0o755),
        line("f", "b", uid=1),
        line("f", "b", gid=1),
        line("f", "b", kind="symlink"),
        folder("f"),
    ):
        assert len(conflicts([("one", [line("f", "a")]), ("two", [other])])) == 1


def test_folders_may_be_shared_but_not_with_other_modes() -> None:
    assert conflicts([("one", [folder("d")]), ("two", [folder("d")])]) == []
    assert len(conflicts([("one", [folder("d")]), ("two", [folder("d", 0o1777)])])) == 1


def test_each_of_three_is_compared_with_the_first() -> None:
    layers = [(name, [line("f", name, name)]) for name in "abc"]
    assert conflicts(layers) == [
        "/f: a (layer a) and b (layer b)",
        "/f: a (layer a) and c (layer c)",
    ]


LAYERS = st.lists(
    st.dictionaries(st.sampled_from("pqrs"), st.sampled_from(["00", "11"]), max_size=4), max_size=4
)


@given(LAYERS)
def test_none_is_found_exactly_when_all_agree(contents: list[dict[str, str]]) -> None:
    layers = [
        (str(number), [line(path, str(number), content) for path, content in files.items()])
        for number, files in enumerate(contents)
    ]
    said: dict[str, set[str]] = {}
    for files in contents:
        for path, content in files.items():
            said.setdefault(path, set()).add(content)
    disagreed = {path for path, values in said.items() if len(values) > 1}
    assert {text.split(":")[0].strip("/") for text in conflicts(layers)} == disagreed


def test_rules_that_keep_nothing_are_found() -> None:
    def rule(path: str, owner: str) -> Keep:
        return Keep.model_validate({"path": path, "from": owner})

    lines = [line("a/b", "one"), line("a/c/d", "two"), line("ab", "three")]
    useful = [rule("/a/b", "one"), rule("/a/c", "two"), rule("/a", "two")]
    idle = [rule("/a/b", "two"), rule("/a", "three"), rule("/x", "one")]
    assert idle_rules([*useful, *idle], lines) == idle
    assert idle_rules([], lines) == []
    assert idle_rules(idle, []) == idle


def below(path: str, kind: Kind = "file", content: str = "b", owner: str = "base") -> IndexLine:
    return IndexLine(path, kind, 0o755 if kind == "directory" else 0o644, 0, content, owner)


def test_a_base_image_is_not_replaced_in_silence() -> None:
    base = [below("opt", "directory", ""), below("opt/a"), below("opt/b", owner="pkg")]
    base += [below("opt/c"), below("link", "symlink", "usr/link")]
    ours = [
        below("opt", "directory", "", "hps"),  # a folder that is as it was
        below("opt/a", owner="mine"),  # the same file
        below("opt/b", content="x", owner="mine"),
        below("opt/c", content="x", owner="kept"),
        below("link", "directory", "", "hps"),
    ]
    found = over_base(
        base, [("files", ours)], (), [Keep.model_validate({"path": "/opt/c", "from": "kept"})]
    )
    assert found == [
        "/opt/b: pkg (of the base image) and mine (layer files)",
        "/link: base (of the base image) and hps (layer files)",
    ]


def test_what_is_taken_away_from_a_base_is_no_source() -> None:
    base = [below("site/app"), below("site/app/a.py")]
    ours = [("python", [below("site/app/a.py", content="new", owner="app")])]
    assert over_base(base, ours, {"site/app"}, ()) == []
    assert len(over_base(base, ours, {"site/ap"}, ())) == 1
