"""Tables of pages whose last column names the tests that show what a row says.

A table stands between `<!-- NAME -->` and `<!-- end -->`; the first column of a row is its number.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def rows(page: Path, name: str) -> dict[str, tuple[str, ...]]:
    """The first column of a table, and the tests of its last."""
    text = page.read_text(encoding="utf-8")
    text = text.partition(f"<!-- {name} -->")[2].partition("<!-- end -->")[0]
    lines = [line.strip("|").split("|") for line in text.splitlines() if re.match(r"\| W?\d", line)]
    assert all(cell.strip() for line in lines for cell in line), f"{page.name}: an empty cell"
    found = {line[0].strip(): tuple(re.findall(r"`([^`]+)`", line[-1])) for line in lines}
    assert len(found) == len(lines), f"{page.name}: a row is there twice"
    return found


def names_of_tests_in(path: Path) -> set[str]:
    """The names of tests of a file, and of its classes of tests."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
    return {name for name in found if name.lower().startswith("test")}


def exists(test: str, beside: Path = ROOT) -> bool:
    """Whether a test is there; a name without a path is that of a test in the folder `beside`."""
    if "/" not in test:
        return any(test in names_of_tests_in(path) for path in beside.glob("test_*.py"))
    path, _, name = test.partition("::")
    return (ROOT / path).is_file() and (not name or name in names_of_tests_in(ROOT / path))
