"""Probes as people write them and as releases hold them."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps import canonical
from hps.model.probe import Probe

WRITTEN = {
    "inputs": {"x": {"datatype": "FP32", "shape": [2, 2], "data": [[0.1, 1], [-2.5e-7, 3e30]]}},
    "outputs": {"y": {"datatype": "INT64", "shape": [1], "data": [5]}},
    "tolerance": {"relative": 0.01},
}


def probe(**changes: Any) -> Probe:
    return Probe.from_file(json.dumps({**WRITTEN, **changes}).encode())


def tensor(datatype: str, *data: Any, shape: list[int] | None = None) -> dict[str, Any]:
    return {
        "x": {"datatype": datatype, "shape": [len(data)] if shape is None else shape, "data": data}
    }


def test_what_was_written_is_flat_and_has_numbers() -> None:
    found = probe()
    assert found.inputs["x"] == {
        "datatype": "FP32",
        "shape": [2, 2],
        "data": [0.1, 1.0, -2.5e-7, 3e30],
    }
    assert found.tolerance == (0.01, 1e-6)


def test_a_release_holds_it_without_fractions_and_gives_it_back() -> None:
    held = probe().as_json()
    assert held["inputs"]["x"]["data"] == ["0.1", "1.0", "-2.5e-07", "3e+30"]
    assert Probe.from_json(canonical.loads(canonical.dumps(held))) == probe()


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=8),
    st.lists(st.integers(-(2**53) + 1, 2**53 - 1), max_size=8),
    st.lists(st.text(st.characters(codec="utf-8")), max_size=4),
    st.lists(st.booleans(), max_size=4),
)
def test_every_number_and_text_comes_back(
    broken: list[float], whole: list[int], texts: list[str], truths: list[bool]
) -> None:
    listed: list[tuple[str, list[Any]]] = [
        ("FP64", broken),
        ("INT64", whole),
        ("BYTES", texts),
        ("BOOL", truths),
    ]
    inputs = {name: {"datatype": name, "shape": [len(data)], "data": data} for name, data in listed}
    found = Probe.from_file(json.dumps({"inputs": inputs}).encode())
    again = Probe.from_json(canonical.loads(canonical.dumps(found.as_json())))
    assert again == found
    assert again.inputs["FP64"]["data"] == broken
    assert again.inputs["BYTES"]["data"] == texts


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": {}},
        {"inputs": []},
        {"more": 1},
        {"inputs": {"x": {"datatype": "FP32", "shape": [1]}}},
        {"inputs": {"ä": tensor("FP32", 1)["x"]}},
        {"inputs": {"": tensor("FP32", 1)["x"]}},
        {"inputs": {f"x{n}": tensor("FP32", 1)["x"] for n in range(65)}},
        {"inputs": tensor("FLOAT", 1)},
        {"inputs": tensor("FP32", 1, shape=[2])},
        {"inputs": tensor("FP32", 1, shape=[-1])},
        {"inputs": tensor("FP32", 1, shape=[True])},
        {"inputs": tensor("FP32", 1, shape=[1] * 17)},
        {"inputs": tensor("FP32", True)},
        {"inputs": tensor("FP32", None)},
        {"inputs": tensor("FP32", "1e0")},
        {"inputs": tensor("FP32", "nan")},
        {"inputs": tensor("FP32", 10**400)},
        {"inputs": tensor("INT64", 1.0)},
        {"inputs": tensor("INT64", True)},
        {"inputs": tensor("INT64", 2**53)},
        {"inputs": tensor("BOOL", 1)},
        {"inputs": tensor("BYTES", 1)},
        {"inputs": tensor("BYTES", "\ud800")},
        {"tolerance": {"relative": -1}},
        {"tolerance": {"other": 1}},
        {"tolerance": []},
    ],
)
def test_what_is_no_probe_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        probe(**changes)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"inputs": {}, "inputs": {}}',
        b'{"inputs": {"x": {"datatype": "FP32", "shape": [1], "data": [NaN]}}}',
        b'{"inputs": {"x": {"datatype": "FP32", "shape": [1], "data": [1e999]}}}',
        b"[" * 100_000,
        b" " * ((4 << 20) + 1),
        b'{"inputs": {"x": {"datatype": "FP32", "shape": [1], "data": '
        + b"[" * 20
        + b"1"
        + b"]" * 20
        + b"}}}",
    ],
)
def test_a_file_that_is_no_probe_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        Probe.from_file(data)


@given(st.binary(max_size=40) | st.text().map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        Probe.from_file(data)
    except ValueError:
        return


def test_no_outputs_and_no_tolerance_are_allowed() -> None:
    found = Probe.from_file(json.dumps({"inputs": WRITTEN["inputs"]}).encode())
    assert found.outputs == {}
    assert all(math.isfinite(one) for one in found.tolerance)
