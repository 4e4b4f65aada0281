"""The page about Triton's traps names tests that there are, for every trap, and all tests of traps."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "explanation" / "triton-traps.md"
TRAPS = Path(__file__).with_name("test_triton_traps.py")


def rows() -> dict[int, list[str]]:
    """The tests by the number of the trap."""
    lines = re.findall(r"^\| (\d+) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {int(number): re.findall(r"`(tests/[^`]+)`", line) for number, line in lines}


def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return {name for name in found if name.startswith("test_")}


def test_every_trap_has_tests_that_there_are() -> None:
    found = rows()
    assert [*found] == [*range(1, 14)]
    for number, tests in found.items():
        assert tests, number
        for test in tests:
            path, _, name = test.partition("::")
            assert name in functions_of(ROOT / path), test


def test_every_test_of_a_trap_is_on_the_page_under_its_number() -> None:
    named = {number: {one.partition("::")[2] for one in tests} for number, tests in rows().items()}
    for name in functions_of(TRAPS):
        assert name in named[int(name.split("_")[1])], name
