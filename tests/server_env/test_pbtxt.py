"""Text format: what a config.pbtxt may look like, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps_server.pbtxt import DEEPEST, PbtxtError, messages, parse, scalar, scalars, without


def test_a_configuration_as_people_write_it() -> None:
    config = parse(
        """
        # comment with "quotes" and { braces }
        name: "housing", backend: 'python';
        max_batch_size: 64
        input [ { name: "a" data_type: TYPE_FP32 dims: [ -1, 13 ] }, { name: "b" } ]
        output { name: "c" }
        output < name: "d" >
        parameters: { key: "K" value: { string_value: "one " "two \\"x\\"" } }
        version_policy: { specific { versions: [1, 3] versions: 5 } }
        """
    )
    assert scalar(config, "name") == "housing"
    assert scalar(config, "backend") == "python"
    assert [scalar(tensor, "name") for tensor in messages(config, "input")] == ["a", "b"]
    assert [scalar(tensor, "name") for tensor in messages(config, "output")] == ["c", "d"]
    assert scalars(messages(config, "input")[0], "dims") == ["-1", "13"]
    value = messages(messages(config, "parameters")[0], "value")[0]
    assert scalar(value, "string_value") == 'one two "x"'
    specific = messages(messages(config, "version_policy")[0], "specific")[0]
    assert scalars(specific, "versions") == ["1", "3", "5"]


def test_nothing_is_an_empty_message() -> None:
    assert parse("") == {}
    assert parse(" \n # only a comment") == {}


def test_the_last_value_wins_and_a_missing_field_is_none() -> None:
    config = parse('name: "a" name: "b" input { }')
    assert scalar(config, "name") == "b"
    assert scalar(config, "backend") is None
    assert scalar(config, "input") is None
    assert messages(config, "name") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name:", "line 1: expected a value, got the end of the file"),
        ("\nname", "line 2: expected a value, got the end of the file"),
        ("name python", "expected a value, got python"),
        ('name: "python', "line 1: unexpected '\"'"),
        ('name: "a\nb"', "line 1: unexpected '\"'"),
        ("input {", "expected a field or '}', got the end of the file"),
        ("input { >", "expected a field or '}', got >"),
        ("input }", "expected a value, got }"),
        ("}", "line 1: expected a field, got }"),
        ("dims: [ 1, 2", "expected a value, got the end of the file"),
        ("backend: \x00", "unexpected '\\x00'"),
        ("PK\x03\x04", "unexpected '\\x03'"),
        ("a { " * (DEEPEST + 2), f"messages nest deeper than {DEEPEST}"),
        ("a { " * 100_000, f"messages nest deeper than {DEEPEST}"),
    ],
)
def test_what_is_no_text_format_is_refused(text: str, reason: str) -> None:
    with pytest.raises(PbtxtError) as caught:
        parse(text)
    assert reason in str(caught.value)


@given(st.text(alphabet="ab:{}<>[]\"'\\,; \n#1", max_size=60))
def test_any_text_is_a_message_or_refused(text: str) -> None:
    try:
        message = parse(text)
    except PbtxtError:
        return
    assert all(field.strip() for field in message)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("a: 1 b: 2", " b: 2"),
        ("b: 2", "b: 2"),
        ("a { b: 1 a: 2 } c: 3", " c: 3"),
        ('c { a: 1 } a [ { x: "}" } ]', "c { a: 1 } "),
        ('a: "x" "y" b: a', " b: a"),
        ("b: a\na: [ 1, 2 ]", "b: a\n"),
        ("a: 1 a < z: 1 > b: 2 # a: 1", "  b: 2 # a: 1"),
        ("", ""),
    ],
)
def test_a_field_is_taken_out_and_the_rest_stands(text: str, rest: str) -> None:
    assert without(text, "a") == rest
    assert "a" not in parse(rest)


def test_nothing_is_taken_out_of_what_is_no_text_format() -> None:
    with pytest.raises(PbtxtError):
        without("a {", "a")
