"""Canonical JSON: one value, one sequence of bytes, one digest; and a reader as strict."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from hps.digest import Digest

_EXACT = 2**53 - 1  # RFC 7493, section 2.2


def dumps(value: Any) -> bytes:
    """Serialise with sorted keys, no spaces, UTF-8, no floats.

    The subset of RFC 8785 (JSON Canonicalization Scheme) that needs no number formatting: floats
    are refused because their text differs between languages, and keys that are not ASCII are
    refused because RFC 8785 sorts them by UTF-16 unit and Python by code point.

    Raises:
        TypeError: for a value that is not JSON, a float, or a key that is not an ASCII string.
    """
    _check(value)
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def loads(data: bytes, *, max_bytes: int = 4 << 20, max_depth: int = 64) -> Any:
    """Read JSON from outside of which every reader must see the same value (RFC 8259, RFC 7493).

    Refused, because readers differ about them: a key that occurs twice, NaN and infinities,
    fractions and exponents, integers beyond 2**53, lone surrogates, a byte order mark, anything
    behind the value, other encodings than UTF-8.

    Args:
        data: the document.
        max_bytes: how long it may be.
        max_depth: how many arrays and objects may lie in each other.

    Raises:
        ValueError: it is not such a document, too long or too deep.
    """
    if len(data) > max_bytes:
        raise ValueError(f"longer than {max_bytes} bytes")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_once,
            parse_constant=_refuse_number,
            parse_float=_refuse_number,
        )
    except RecursionError:
        raise ValueError(f"nested deeper than {max_depth}") from None
    _check_read(value, max_depth)
    return value


def digest(value: Any, *, domain: str) -> Digest:
    """The digest of a value within a domain (`hps-derivation-v1`, …).

    The domain is hashed first, with a NUL behind it, so that equal JSON of two kinds never has
    one identity.
    """
    return Digest.of(domain.encode() + b"\0" + dumps(value))


def _check(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError(f"floats have no canonical form here: {value!r}")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise TypeError(f"keys are ASCII strings, got {key!r}")
            _check(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check(item)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} occurs twice")
    return found


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"only whole numbers are allowed, got {text}")


def _check_read(value: Any, max_depth: int) -> None:
    level = [value]
    depth = 0
    while level:
        if depth == max_depth and any(isinstance(one, (dict, list)) for one in level):
            raise ValueError(f"nested deeper than {max_depth}")
        inner: list[Any] = []
        for one in level:
            if isinstance(one, str):
                one.encode("utf-8")  # UnicodeEncodeError, a ValueError: a lone surrogate
            elif isinstance(one, dict):
                inner += one.keys()
                inner += one.values()
            elif isinstance(one, list):
                inner += one
            elif isinstance(one, int) and abs(one) > _EXACT:
                raise ValueError(f"the number {one} is not exact in every reader")
        level = inner
        depth += 1
