"""The page of impurities has a row for each, and every test that a row names is there."""

import re
from pathlib import Path

import pytest

from tests.docs.named_tests import ROOT, exists, names_of_tests_in, rows

PAGE = ROOT / "docs" / "explanation" / "impurities.md"


@pytest.mark.parametrize(("name", "count"), [("impurities", 27), ("holes", 13)])
def test_every_number_has_a_row_with_tests_that_are_there(name: str, count: int) -> None:
    table = rows(PAGE, name)
    assert list(table) == [str(number) for number in range(1, count + 1)]
    for number, tests in table.items():
        assert tests, number
        assert len(set(tests)) == len(tests), number
        assert [test for test in tests if not named_in_full(test)] == [], number


def named_in_full(test: str) -> bool:
    """`tests/ROOM/FILE.py::test_NAME`, a function: a class or a whole file shows too little."""
    return bool(re.fullmatch(r"tests/[a-z0-9_/]+\.py::test_\w+", test)) and exists(test)


def test_the_page_tells_which_rows_stay_open() -> None:
    """What is said to be open in a row is listed below the tables, and nothing else is."""
    text = PAGE.read_text(encoding="utf-8")
    tables, _, below = text.partition("\n## What stays open\n")
    said = re.findall(r"^\| (\d+) \|.*\*\*open\*\*", tables, re.MULTILINE)
    assert said == re.findall(r"^- (\d+)\b", below, re.MULTILINE)


def test_what_is_wrong_with_a_table_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    here = "tests/docs/test_impurities.py"
    table = f"<!-- one -->\n| 1 | a | `{here}::test_gone` |\n| 2 | b | none |\n<!-- end -->\n"
    page.write_text(table)
    assert rows(page, "one") == {"1": (f"{here}::test_gone",), "2": ()}
    assert not exists(f"{here}::test_gone")
    assert exists(f"{here}::test_what_is_wrong_with_a_table_is_found")
    assert not named_in_full(here)
    assert not named_in_full("tests/docs/test_nothing.py::test_gone")
    assert "named_in_full" not in names_of_tests_in(ROOT / here)
    for broken in (table.replace("| 2 |", "| 1 |"), table.replace(" none ", " ")):
        page.write_text(broken)
        with pytest.raises(AssertionError, match=r"page\.md"):
            rows(page, "one")
