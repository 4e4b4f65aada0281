"""The position map against tomllib: the same keys, and the lines on which they stand.

Documents are written with `@@` for most values; each is then replaced by the number of its line,
so that what tomllib reads is what the map must say.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hps.config.positions import KeyPath, positions

MARK = "@@"
# Values that look like something else to a careless reader.
VALUES = [
    MARK,
    MARK,
    MARK,
    '"a = 1 # no comment ] } \\" [t]"',
    "'[x] # \" '",
    '"""one\n[two]\n# three ""\n"""',
    '""""quoted" \\""" \\\\"""""',
    "'''\n'' = '\n'''''",
    '""',
    '""""""',
    "''''''",
    "1979-05-27 07:32:00",
    "1979-05-27T07:32:00.5-07:00",
    "[]",
    "{}",
    "[ # why\n]",
    "-1_000.5e3",
    "true",
]
KEYS = st.one_of(st.from_regex(r"[A-Za-z0-9_-]{1,3}", fullmatch=True), st.text(max_size=3)).filter(
    lambda text: not any("\ud800" <= letter <= "\udfff" for letter in text)
)
LEAVES = st.sampled_from(VALUES)
TABLES = st.recursive(
    st.dictionaries(KEYS, LEAVES, max_size=3),
    lambda inner: st.dictionaries(
        KEYS,
        st.one_of(LEAVES, inner, st.lists(LEAVES, max_size=3), st.lists(inner, max_size=3)),
        max_size=4,
    ),
    max_leaves=12,
)
Choose = Callable[[int], int]


def key_text(key: str, choose: Choose) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]+", key) and choose(2):
        return key
    if key.isprintable() and "'" not in key and choose(2):
        return f"'{key}'"
    # ASCII JSON is a basic string of TOML but for the escapes of what lies beyond 16 bits.
    return (
        '"'
        + "".join(
            f"\\U{ord(c):08x}" if ord(c) > 126 or ord(c) < 32 else json.dumps(c)[1:-1] for c in key
        )
        + '"'
    )


def inline(value: Any, choose: Choose) -> str:
    if isinstance(value, dict):
        items = [f"{key_text(k, choose)} = {one_line(v, choose)}" for k, v in value.items()]
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list):
        gap = ["", " ", "\n", " # [comment]\n  "][choose(4)]
        end = "," if value and choose(2) else ""
        return f"[{gap}" + f",{gap}".join(inline(v, choose) for v in value) + f"{end}{gap}]"
    return str(value)


def one_line(value: Any, choose: Choose) -> str:
    text = inline(value, choose)
    return text if "\n" not in text else MARK


def section(path: tuple[str, ...], table: dict[str, Any], choose: Choose) -> Iterator[str]:
    """The lines of a table: its own pairs first, then the tables below it."""
    below = []
    for key, value in table.items():
        name = key_text(key, choose)
        if isinstance(value, dict) and choose(3):
            below.append((f"[{'.'.join((*path, name))}]", name, value))
        elif isinstance(value, list) and value and isinstance(value[0], dict) and choose(3):
            header = f"[[{' . '.join((*path, name))}]]"
            below += [(header, name, item) for item in value]
        elif isinstance(value, dict) and value and choose(2):
            for inner, leaf in value.items():
                yield f"{name} . {key_text(inner, choose)} = {inline(leaf, choose)}"
        else:
            yield f'{"  " * choose(2)}{name}{" " * choose(2)}={inline(value, choose)} # ] = "'
        if choose(4) == 0:
            yield "\n# a = [comment"
    for header, name, value in below:
        yield header
        yield from section((*path, name), value, choose)


@st.composite
def documents(draw: st.DrawFn) -> str:
    table = draw(TABLES)
    choose: Choose = lambda n: draw(st.integers(0, n - 1))  # noqa: E731
    lines = "\n".join(section((), table, choose)).split("\n")
    text = "\n".join(line.replace(MARK, str(n)) for n, line in enumerate(lines, start=1))
    return text.replace("\n", "\r\n") if choose(4) == 0 else text


def paths(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    if path:
        yield path, value
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        yield from paths(item, (*path, key))


@settings(max_examples=400, deadline=None)
@given(documents())
def test_every_key_of_tomllib_has_its_line(text: str) -> None:
    expected = dict(paths(tomllib.loads(text)))
    found = positions(text)
    assert set(found) == set(expected)
    numbers = {path: value for path, value in expected.items() if type(value) is int}
    assert {path: found[path] for path in numbers} == numbers


@settings(max_examples=150, deadline=None)
@given(documents())
def test_a_table_stands_no_later_than_what_it_holds(text: str) -> None:
    found = positions(text)
    assert all(found[path[:-1]] <= line for path, line in found.items() if len(path) > 1)
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())


def test_headers_arrays_of_tables_and_dotted_keys() -> None:
    text = 'a."b.c".d = 1\n\n[[t.q]]\nx = [\n  1,\n  {y = 2},\n]\n[[t.q]]\n[t.q.r]\nz = 3\n[ t . "v w" ]\n'
    assert positions(text) == {
        ("a",): 1,
        ("a", "b.c"): 1,
        ("a", "b.c", "d"): 1,
        ("t",): 3,
        ("t", "q"): 3,
        ("t", "q", 0): 3,
        ("t", "q", 0, "x"): 4,
        ("t", "q", 0, "x", 0): 5,
        ("t", "q", 0, "x", 1): 6,
        ("t", "q", 0, "x", 1, "y"): 6,
        ("t", "q", 1): 8,
        ("t", "q", 1, "r"): 9,
        ("t", "q", 1, "r", "z"): 10,
        ("t", "v w"): 11,
    }


def test_nothing_has_no_positions() -> None:
    assert positions("") == positions("\r\n# only a comment") == {}
