"""Debian versions, against dpkg --compare-versions."""

import itertools
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.layer.debian_version import compare, matches

# In order, from deb-version(7) and real packages.
ORDERED = [
    "~~", "~~a", "~", "0", "0.9", "1.0~rc1", "1.0~rc1-1", "1.0", "1.0-0.1", "1.0-1~bpo1",
    "1.0-1", "1.0-1+b1", "1.0-1+deb12u1", "1.0-1.1", "1.0a", "1.0+dfsg", "1.0.1", "1.2.13.dfsg-1",
    "1.10", "9", "10", "2026f-0+deb12u1", "1:0", "1:1.2.13", "2:0.1",
]  # fmt: skip


def test_known_versions_are_in_order() -> None:
    for left, right in itertools.combinations(ORDERED, 2):
        assert compare(left, right) < 0 < compare(right, left), (left, right)
    assert compare("1.0", "0:1.0") == compare("1.0-0", "1.0") == compare("1.00", "1.0") == 0


@settings(max_examples=60, deadline=None)
@given(*[st.from_regex(r"[0-9][0-9a-z.+~]{0,6}(-[0-9a-z.+~]{1,4})?", fullmatch=True)] * 2)
def test_dpkg_says_the_same(left: str, right: str) -> None:
    order = compare(left, right)
    word = "lt" if order < 0 else "gt" if order > 0 else "eq"
    done = subprocess.run(["dpkg", "--compare-versions", left, word, right], check=False)
    assert done.returncode == 0, (left, word, right)


@pytest.mark.parametrize(
    ("relations", "expected"),
    [
        ("", False),
        ("other", False),
        ("foo", True),
        ("other, foo (<< 2)", True),
        ("foo (<< 1.5)", False),
        ("foo (<= 1.5)", True),
        ("foo (< 1.5)", True),
        ("foo:any (= 1.5)", True),
        ("foo (>> 1.5), foo (>= 2)", False),
        ("foo (> 1.5)", True),
        ("foo-bar", False),
        ("foo (<< not really", False),
    ],
)
def test_relations(relations: str, expected: bool) -> None:
    assert matches(relations, "foo", "1.5") is expected
