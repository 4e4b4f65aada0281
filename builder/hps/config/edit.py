"""Changing one value of hps.toml without losing a comment or moving a line."""

import tomllib
from collections.abc import MutableMapping, Sequence
from typing import Any

import tomlkit
import tomlkit.exceptions
from tomlkit.items import Table

from hps.config.fault import spelled
from hps.errors import ConfigError

_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"  # a byte order mark, where the file began with one


def set_value(text: str, key_path: Sequence[str], value: object) -> str:
    """The text of hps.toml with one value set; tables that are missing are added.

    Args:
        text: the file; comments, layout, line ends and a byte order mark stay.
        key_path: keys, outermost first: `("lock", "as-of")`.
        value: what TOML has: str, int, bool, an aware datetime, or lists and dicts of these.

    Raises:
        ConfigError: the text is not TOML, or something else than a table is in the way.
    """
    body = text.removeprefix(_MARK)
    crlf = "\r\n" in body
    try:
        expected = tomllib.loads(body)
        document = tomlkit.parse(body.replace("\r\n", "\n"))
        _put(expected, key_path, value)
        _put(document, key_path, value)
    except (tomllib.TOMLDecodeError, tomlkit.exceptions.TOMLKitError, RecursionError) as error:
        raise ConfigError(f"the file cannot be edited: {error}", hint="edit it by hand") from error
    edited = document.as_string()
    # An editor that loses something else would be worse than none.
    if tomllib.loads(edited) != expected:
        raise ConfigError(
            f"{spelled(tuple(key_path))} cannot be set without changing other values",
            hint="set it by hand",
        )
    return text[: len(text) - len(body)] + (edited.replace("\n", "\r\n") if crlf else edited)


def _put(table: MutableMapping[str, Any], key_path: Sequence[str], value: object) -> None:
    for depth, key in enumerate(key_path[:-1], start=1):
        if key not in table:
            table[key] = {}
        table = table[key]
        if not isinstance(table, MutableMapping):
            raise ConfigError(
                f"{spelled(tuple(key_path[:depth]))} is in the way",
                expected="a table",
                got=type(table).__name__,
            )
    _set(table, key_path[-1], value)


def _set(table: MutableMapping[str, Any], key: str, value: object) -> None:
    """Set a key; a new one stands behind the last, above what leads to the next table."""
    if isinstance(table, Table) and key not in table:
        body, tail = table.value.body, list[Any]()
        while body and body[-1][0] is None:
            tail.insert(0, body.pop())
        table.append(key, value)
        body.extend(tail)
    else:
        table[key] = value
