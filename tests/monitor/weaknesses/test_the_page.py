"""The table of weaknesses names tests that exist, and every test here is in it."""

import re
from pathlib import Path

from tests.docs.named_tests import ROOT, exists, names_of_tests_in, rows

PAGE = ROOT / "docs" / "explanation" / "hot-loading.md"
HERE = Path(__file__).parent


def test_each_table_is_whole_and_its_tests_exist() -> None:
    assert list(rows(PAGE, "weaknesses")) == [f"W{number}" for number in range(1, 32)]
    for name in ("wishes", "none"):
        assert list(rows(PAGE, name)) == [str(number) for number in range(1, 13)]
    for name in ("weaknesses", "wishes", "none"):
        for row, tests in rows(PAGE, name).items():
            assert tests, row
            assert [test for test in tests if not exists(test, HERE)] == [], row


def test_each_test_of_a_weakness_is_in_its_row() -> None:
    table = rows(PAGE, "weaknesses")
    for path in HERE.glob("test_*.py"):
        for test in names_of_tests_in(path):
            match = re.match(r"test_w(\d\d)_", test)
            if match:
                assert test in table[f"W{int(match[1])}"], test
