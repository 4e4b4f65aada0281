"""The table of weaknesses names tests that exist, and every test here is in it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "explanation" / "hot-loading.md"
HERE = Path(__file__).parent


def rows(name: str) -> dict[str, tuple[str, ...]]:
    """The first column of a table, and the tests of its last."""
    text = PAGE.read_text().partition(f"<!-- {name} -->")[2].partition("<!-- end -->")[0]
    lines = [line.strip("|").split("|") for line in text.splitlines() if re.match(r"\| W?\d", line)]
    assert all(cell.strip() for line in lines for cell in line)
    return {line[0].strip(): tuple(re.findall(r"`([^`]+)`", line[-1])) for line in lines}


def names_of_tests_in(path: Path) -> set[str]:
    """The names of tests of a file, and of its classes of tests."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    found = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)}
    return {name for name in found if name.lower().startswith("test")}


def exists(test: str) -> bool:
    if "/" not in test:
        return any(test in names_of_tests_in(path) for path in HERE.glob("test_*.py"))
    path, _, name = test.partition("::")
    return (ROOT / path).is_file() and (not name or name in names_of_tests_in(ROOT / path))


def test_each_table_is_whole_and_its_tests_exist() -> None:
    assert list(rows("weaknesses")) == [f"W{number}" for number in range(1, 32)]
    for name in ("wishes", "none"):
        assert list(rows(name)) == [str(number) for number in range(1, 13)]
    for name in ("weaknesses", "wishes", "none"):
        for row, tests in rows(name).items():
            assert tests, row
            assert [test for test in tests if not exists(test)] == [], row


def test_each_test_of_a_weakness_is_in_its_row() -> None:
    table = rows("weaknesses")
    for path in HERE.glob("test_*.py"):
        for test in names_of_tests_in(path):
            match = re.match(r"test_w(\d\d)_", test)
            if match:
                assert test in table[f"W{int(match[1])}"], test
