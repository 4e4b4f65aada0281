"""What the project's trees replace of the layers below them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.build.overrides import Override, overrides, summary
from hps.errors import StoreCorruptError
from hps.layer.index import IndexLine


def file(path: str, owner: str, content: str = "00", **more: Any) -> IndexLine:
    return replace(IndexLine(path, "file", 0o644, 1, content, owner), **more)


def folder(path: str, owner: str = "hps", mode: int = 0o755) -> IndexLine:
    return IndexLine(path, "directory", mode, 0, "", owner)


def found(trees: list[IndexLine], *layers: tuple[str, list[IndexLine]]) -> list[Override]:
    return overrides(
        [line.dump() for line in trees],
        [(name, [line.dump() for line in lines]) for name, lines in layers],
    )


def test_what_differs_is_told_with_both_sides() -> None:
    trees = [folder("etc"), file("etc/a", "conf"), file("etc/b", "conf"), file("etc/new", "conf")]
    layers = [folder("etc"), file("etc/a", "base", "11"), file("etc/b", "base"), file("etc/c", "x")]
    assert found(trees, ("debian", layers)) == [Override("etc/a", "conf", "debian", "base")]


def test_a_mode_an_owner_or_a_kind_counts() -> None:
    for other in (
        file("f", "b", mode=0o755),
        file("f", "b", uid=1),
        file("f", "b", gid=1),
        file("f", "b", kind="symlink"),
    ):
        assert found([file("f", "conf")], ("x", [other])) == [Override("f", "conf", "x", "b")]


def test_the_topmost_layer_is_the_one_that_is_replaced() -> None:
    low, high = ("low", [file("f", "a", "11")]), ("high", [file("f", "b", "11")])
    assert found([file("f", "conf")], low, high) == [Override("f", "conf", "high", "b")]
    same = ("top", [file("f", "c")])
    assert found([file("f", "conf")], low, same) == []


def test_a_folder_that_only_leads_to_a_tree_belongs_to_that_tree() -> None:
    """It takes the mode of /tmp away all the same."""
    trees = [file("a", "other"), folder("tmp"), file("tmp/f", "conf")]
    below = [folder("tmp", "base-files", 0o1777)]
    assert found(trees, ("debian", below)) == [Override("tmp", "conf", "debian", "base-files")]


def test_a_file_in_place_of_a_folder_hides_all_below_it() -> None:
    below = [folder("d", "x"), folder("d/e", "x"), file("d/e/f", "x"), file("d2", "x")]
    assert [one.path for one in found([file("d", "conf")], ("x", below))] == ["d", "d/e", "d/e/f"]
    across = found([file("d", "conf")], ("low", [folder("d"), file("d/g", "y")]), ("x", below))
    assert [(one.path, one.layer) for one in across] == [
        *(("d", "x"), ("d/e", "x"), ("d/e/f", "x"), ("d/g", "low"))
    ]


def test_names_with_quotes_and_commas() -> None:
    name = 'a",0,"b\\'
    assert found([file(name, "t")], ("x", [file(name, "o", "11"), file('a"', "o")])) == [
        Override(name, "t", "x", "o")
    ]


def test_the_summary_is_one_line() -> None:
    some = [
        Override("a", "conf", "debian", "x"),
        Override("b", "conf", "debian", "y"),
        Override("c", "conf", "python", "z"),
        Override("d", "server", "debian", "x"),
    ]
    assert summary(some) == (
        "tree conf overrides 2 paths of layer debian, 1 path of layer python; "
        "tree server overrides 1 path of layer debian"
    )


PATHS = st.sampled_from(["a", "a/b", "b", "c", 'd"'])
LINES = st.dictionaries(PATHS, st.sampled_from(["00", "11"])).map(
    lambda it: [file(path, "o", content) for path, content in sorted(it.items())]
)


@given(LINES, st.lists(LINES, max_size=3))
def test_it_is_what_laying_the_layers_over_each_other_shows(
    trees: list[IndexLine], below: list[list[IndexLine]]
) -> None:
    flat: dict[str, str] = {}
    for lines in below:
        flat |= {line.path: line.content for line in lines}
    expected = {line.path for line in trees if flat.get(line.path, line.content) != line.content}
    layers = [(str(number), lines) for number, lines in enumerate(below)]
    assert {one.path for one in found(trees, *layers)} == expected


def test_a_damaged_line_of_a_tree_is_an_error() -> None:
    with pytest.raises(StoreCorruptError):
        overrides([b"[]\n"], [])
