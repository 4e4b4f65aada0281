"""Names of a model's files: what is let in."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.archive.paths import folded
from hps.model.member_names import portable
from hps.model.paths import LONGEST, MOST_FILES, MOST_PARTS, check_path, check_paths

GOOD = ["a", ".hidden", "1/model.py", "weights/ä b.bin", "a/" * (MOST_PARTS - 1) + "a", "模型/权重"]
BAD = [
    "",
    "/a",
    "a/",
    "a//b",
    ".",
    "./a",
    "a/.",
    "..",
    "../a",
    "a/../b",
    "a/..",
    "a\\b",
    "..\\a",
    "C:",
    "c:/a",
    "c:a",
    "a\nb",
    "a\0b",
    "a\x1b[2Jb",
    "a\x7f",
    "a\u0085b",
    "a\u202eb",
    "a\u2028b",
    "a\u200bb",
    "a\ufeff",
    "a\u00a0b",
    "\ud800",
    "a.",
    "a /b",
    "a./b",
    "con",
    "a/NUL",
    "lpt1",
    "com¹",
    unicodedata.normalize("NFD", "ä"),
    "x" * 256,
    "ä" * 128,
    "/".join(["x" * 200] * 6),
    "a/" * MOST_PARTS + "a",
]


@pytest.mark.parametrize("path", GOOD)
def test_plain_names_are_let_in_as_they_are(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize("path", BAD)
def test_other_names_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="the path"):
        check_path(path)


@pytest.mark.parametrize(
    "paths",
    [
        ["a", "a"],
        ["a", "A"],
        ["straße", "STRASSE"],
        ["\u017f", "s"],
        ["a/b", "A/c"],
        ["a", "a/b"],
        ["a/b", "a"],
        ["A", "a/b"],
        ["a/b/c", "a/b"],
        ["é/x", "É/y"],
    ],
)
def test_names_that_are_one_somewhere_are_refused(paths: list[str]) -> None:
    with pytest.raises(ValueError, match=r"path|folder"):
        check_paths(paths)


def test_the_same_folder_may_hold_many() -> None:
    assert check_paths(["a/b", "a/c", "a/d/e", "b"]) == ("a/b", "a/c", "a/d/e", "b")


def test_there_is_a_limit() -> None:
    check_paths(str(number) for number in range(MOST_FILES))
    with pytest.raises(ValueError, match="at most"):
        check_paths(str(number) for number in range(MOST_FILES + 1))


@given(st.text(max_size=30) | st.text("./\\ aAäÄ:\x00\n\u0308", max_size=12))
def test_what_is_let_in_stays_below_its_folder_and_has_one_form(path: str) -> None:
    try:
        check_path(path)
    except ValueError:
        return
    parts = path.split("/")
    assert not {"", ".", ".."} & set(parts)
    assert path.isprintable()
    assert len(path.encode()) <= LONGEST
    assert unicodedata.normalize("NFC", path) == path
    assert folded(folded(path)) == folded(path)


@given(st.text(max_size=30) | st.text("./\\ aAäÄ:\x00\n\u0308\u3000¹", max_size=12))
def test_what_can_be_released_can_be_unpacked(path: str) -> None:
    try:
        check_path(path)
    except ValueError:
        return
    assert portable(path, depth=MOST_PARTS) == path


@given(st.lists(st.text("aAbß/\u017fs", min_size=1, max_size=5), max_size=5))
def test_what_is_let_in_together_stays_apart_where_case_is_folded(paths: list[str]) -> None:
    try:
        check_paths(paths)
    except ValueError:
        return
    assert len({folded(path) for path in paths}) == len(paths)
    below = {folded(path).rpartition("/")[0] for path in paths}
    assert not below & {folded(path) for path in paths}
