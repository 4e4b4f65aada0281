"""Reading parsed JSON field by field: what a specification names, of the type that it names.

Faults are ValueErrors; what is read is called by the place where it stands.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from hps.digest import Digest

_Part = TypeVar("_Part")
_MOST = 1_000_000  # members of a list; the size of the document is the real limit


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


class Members:
    """The members of an object that may have others too; each method raises ValueError.

    Args:
        value: as `canonical.loads` gave it.
        where: its place in the document.
    """

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{where} is not an object")  # noqa: TRY004 - one kind of fault
        self._members: Mapping[str, Any] = value
        self._where = where

    def has(self, key: str) -> bool:
        """Whether it is there, and not null."""
        return self._members.get(key) is not None

    def one(self, key: str, read: Callable[[object, str], _Part]) -> _Part:
        """A member that must be there, read by a function of value and place."""
        place = f"{self._where}.{key}"
        if key not in self._members:
            raise ValueError(f"{place} is missing")
        return read(self._members[key], place)

    def each(self, key: str, read: Callable[[object, str], _Part]) -> tuple[_Part, ...]:
        """The members of a list that must be there."""
        listed = self.one(key, lambda value, place: items(value, place, most=_MOST))
        return tuple(
            read(value, f"{self._where}.{key}.{number}") for number, value in enumerate(listed)
        )

    def text(self, key: str) -> str:
        """A string."""
        return self.one(key, text)

    def text_or_none(self, key: str) -> str | None:
        """A string, unless there is none."""
        return self.text(key) if self.has(key) else None

    def texts(self, key: str) -> Mapping[str, str]:
        """An object of strings; an empty one if there is none."""
        return self.one(key, _texts) if key in self._members else {}

    def digest(self, key: str) -> Digest:
        """A digest."""
        return self.one(key, _digest)

    def digests(self, key: str) -> tuple[Digest, ...]:
        """A list of digests."""
        return self.each(key, _digest)

    def whole(self, key: str, *, below: int) -> int:
        """A whole number from 0 on."""
        found = self.one(key, lambda value, _: value)
        if type(found) is not int or not 0 <= found < below:
            raise ValueError(f"{self._where}.{key} is not a whole number from 0 to {below - 1}")
        return found

    def constant(self, key: str, expected: str | int) -> None:
        """A member that has one value only."""
        found = self.one(key, lambda value, _: value)
        if type(found) is not type(expected) or found != expected:
            raise ValueError(f"{self._where}.{key} is not {expected!r}")


def _texts(value: object, what: str) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")  # noqa: TRY004 - one kind of fault
    return {key: text(each, f"{what}.{key}") for key, each in value.items()}


def _digest(value: object, what: str) -> Digest:
    try:
        return Digest.parse(text(value, what))
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
