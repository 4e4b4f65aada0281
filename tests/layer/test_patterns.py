"""Patterns of what is left out of a copy."""

import pytest

from hps.layer.patterns import left_out


@pytest.mark.parametrize(
    ("path", "patterns", "expected"),
    [
        ("a/b.pyc", ["*.pyc"], True),
        ("a/__pycache__/b", ["__pycache__"], True),
        ("a/b/c", ["a/b"], True),
        ("x/a/b", ["a/b"], False),
        ("a/b/c", ["a/b/"], True),
        ("tests/x", ["tests/"], True),
        ("a.PYC", ["*.pyc"], False),
        ("a", [], False),
    ],
)
def test_left_out(path: str, patterns: list[str], expected: bool) -> None:
    assert left_out(path, patterns) is expected
