"""Patterns of names that are left out of a copy."""

from collections.abc import Sequence
from fnmatch import fnmatchcase


def left_out(path: str, patterns: Sequence[str]) -> bool:
    """Whether a relative path is left out, itself or with a folder above it.

    A pattern without `/` is compared with each part of the path, so `*.pyc` and `__pycache__`
    are left out wherever they lie; a pattern with `/` with the path from its start. `*`, `?` and
    `[…]` as in fnmatch, letters as they are.
    """
    parts = path.split("/")
    heads = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return any(
        fnmatchcase(name, pattern.strip("/"))
        for pattern in patterns
        for name in (heads if "/" in pattern.strip("/") else parts)
    )
