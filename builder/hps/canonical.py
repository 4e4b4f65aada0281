"""Canonical JSON: one value, one sequence of bytes, one digest."""

import json
from collections.abc import Mapping
from typing import Any

from hps.digest import Digest


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
