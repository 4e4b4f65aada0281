"""The published schema of the policy is the one that is enforced, and means what others read."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.trust.json_schema import faults
from hps.trust.policy_schema import PUBLISHED, SCHEMA, schema_text

ROOT = Path(__file__).resolve().parents[2]
_FIELDS = "version unsigned keys require public role predicates predicate threshold builders"
WORDS = st.sampled_from([*_FIELDS.split(), "a", "", "x" * 101, "refuse", "allow", "build", "file"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 101) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=8,
)
LIKELY = st.fixed_dictionaries(
    {"version": st.sampled_from([1, 1, 1, 2, True])},
    optional={
        "unsigned": WORDS,
        "keys": st.dictionaries(
            WORDS,
            st.fixed_dictionaries(
                {"public": WORDS}, optional={"role": WORDS, "predicates": VALUES}
            ),
            max_size=2,
        ),
        "require": st.lists(
            st.fixed_dictionaries(
                {"predicate": WORDS},
                optional={"threshold": st.integers(-1, 101), "keys": VALUES, "builders": VALUES},
            ),
            max_size=2,
        ),
    },
)
jsonschema = pytest.importorskip("jsonschema")
ORACLE = jsonschema.Draft202012Validator(SCHEMA)


def test_the_published_schema_is_current() -> None:
    how = "run: python -m hps.trust.policy_schema"
    assert (ROOT / PUBLISHED).read_text(encoding="utf-8") == schema_text(), how


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@given(VALUES | LIKELY)
def test_the_same_is_refused_as_by_another_reader_of_the_schema(value: Any) -> None:
    assert (not list(faults(value, SCHEMA))) == ORACLE.is_valid(value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], "document: expected a table, got []"),
        ({}, "version: it is missing"),
        ({"version": True}, "version: expected 1, got True"),
        ({"version": 1, "more": 1}, "more: there is no such field"),
        ({"version": 1, "unsigned": "no"}, "unsigned: expected 'refuse' or 'allow', got 'no'"),
        (
            {"version": 1, "require": [{"predicate": "sbom", "threshold": 0}]},
            "require.0.threshold: expected 1 to 100, got 0",
        ),
        (
            {"version": 1, "keys": {"": {"public": "x"}}},
            "the name keys.: expected 1 to 100 characters, got 0",
        ),
        (
            {"version": 1, "keys": {"a": {"public": ""}}},
            "keys.a.public: expected at least 1 characters, got 0",
        ),
    ],
)
def test_a_fault_tells_its_place(value: Any, told: str) -> None:
    assert list(faults(value, SCHEMA)) == [told]


def test_every_fault_is_told() -> None:
    value = {"version": 2, "keys": {"a": {"role": 1}}, "require": [{}, 3]}
    assert len(list(faults(value, SCHEMA))) == 5


def test_the_page_names_the_schema_and_has_an_example_that_holds() -> None:
    page = (ROOT / PUBLISHED).with_name("policy.md").read_text(encoding="utf-8")
    example = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert example is not None
    assert not list(faults(tomllib.loads(example[1]), SCHEMA))
    assert f"({PUBLISHED.name})" in page
