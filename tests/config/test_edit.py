"""Editing: the value is set, nothing else moves, and what cannot be done is refused."""

import re
import tomllib
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.config.edit import set_value
from hps.errors import ConfigError
from tests.config.test_positions import documents

TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AS_OF = ("lock", "as-of")
NEW = "as-of = 2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# a\n[lock] # b\n# c\nas-of   = 2020-01-01T00:00:00Z # d\n\n# e\n[x]\n", f"# a\n[lock] # b\n# c\n{NEW.replace(' =', '   =')} # d\n\n# e\n[x]\n"),
        ("[lock]\n# c\nsource-date-epoch = 3 # d\n\n# e\n[x]\n", f"[lock]\n# c\nsource-date-epoch = 3 # d\n{NEW}\n\n# e\n[x]\n"),
        ("[lock]\n\n# e\n[x]\n", f"[lock]\n{NEW}\n\n# e\n[x]\n"),
        ("[x]\na = 1\n", f"[x]\na = 1\n\n[lock]\n{NEW}\n"),
        ("lock.source-date-epoch = 3\n", f"lock.source-date-epoch = 3\nlock.{NEW}\n"),
        ("lock = { source-date-epoch = 3 } # d\n", f"lock = {{ source-date-epoch = 3, {NEW}}} # d\n"),
        ("", f"[lock]\n{NEW}\n"),
        ("\ufeff[lock]\r\nas-of = 2020-01-01T00:00:00Z\r\n", f"\ufeff[lock]\r\n{NEW}\r\n"),
    ],
)  # fmt: skip
def test_sets_a_time_and_keeps_the_rest(before: str, after: str) -> None:
    assert set_value(before, AS_OF, TIME) == after


def test_setting_twice_changes_nothing_more() -> None:
    once = set_value("# a\n[x]\n", AS_OF, TIME)
    assert set_value(once, AS_OF, TIME) == once


@pytest.mark.parametrize("text", ["lock = 1", "[[lock]]", "lock = 'x'"])
def test_what_is_in_the_way_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="lock is in the way"):
        set_value(text, AS_OF, TIME)


@pytest.mark.parametrize("text", ["[lock", "a = 1\na = 2", "\0", "a = " + "[" * 100_000])
def test_what_is_no_toml_is_not_edited(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be edited"):
        set_value(text, AS_OF, TIME)


def squeezed(text: str) -> list[str]:
    """Lines without the spaces inside the brackets of a header, which tomlkit does not keep."""
    return [re.sub(r"\s", "", line) for line in text.split("\n") if line.strip()]


@settings(max_examples=100, deadline=None)
@given(documents(), st.integers(0, 9) | st.text("a\"'#\n", max_size=4) | st.just(TIME))
def test_only_the_value_changes(text: str, value: object) -> None:
    try:
        edited = set_value(text, ("tool", "x y"), value)
    except ConfigError:
        return  # refused rather than damaged
    expected = tomllib.loads(text)
    expected["tool"] = {"x y": value}
    assert tomllib.loads(edited) == expected
    remaining = iter(squeezed(edited))
    assert all(line in remaining for line in squeezed(text)), "a line was lost or moved"
