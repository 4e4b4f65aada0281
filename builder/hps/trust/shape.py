"""Reading parsed JSON field by field: exactly what a specification names, and nothing else."""

from collections.abc import Iterable, Mapping
from typing import Any, cast


def fields(
    value: object, what: str, required: Iterable[str], optional: Iterable[str] = ()
) -> Mapping[str, Any]:
    """An object with these keys; raises ValueError for one that is missing or too many."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")  # noqa: TRY004 - one kind of fault
    needed, known = set(required), {*required, *optional}
    if missing := sorted(needed - value.keys()):
        raise ValueError(f"{what} has no {missing[0]}")
    if extra := sorted(value.keys() - known):
        raise ValueError(f"{what} has a field {extra[0]!r} that nobody knows")
    return cast("dict[str, Any]", value)


def items(value: object, what: str, *, most: int, least: int = 0) -> list[Any]:
    """A list of a bounded length; raises ValueError."""
    if not isinstance(value, list):
        raise ValueError(f"{what} is not a list")  # noqa: TRY004 - one kind of fault
    if not least <= len(value) <= most:
        raise ValueError(f"{what} has {len(value)} members, {least} to {most} are allowed")
    return value


def text(value: object, what: str) -> str:
    """A string; raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{what} is not a string")  # noqa: TRY004 - one kind of fault
    return value
