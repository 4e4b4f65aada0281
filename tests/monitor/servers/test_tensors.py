"""Tensors as bytes, and the comparison of a probe."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.model.probe import Probe
from hps.monitor.servers.tensors import Tensor, decode, differences, encode, zeros

WHOLE = {
    "INT8": (-128, 127), "UINT8": (0, 255), "INT16": (-(2**15), 2**15 - 1), "UINT16": (0, 2**16 - 1),
    "INT32": (-(2**31), 2**31 - 1), "UINT32": (0, 2**32 - 1), "INT64": (-(2**53), 2**53), "UINT64": (0, 2**53),
}  # fmt: skip


@given(st.data(), st.sampled_from(sorted(WHOLE)))
def test_whole_numbers_there_and_back(data: st.DataObject, datatype: str) -> None:
    numbers = data.draw(st.lists(st.integers(*WHOLE[datatype])))
    assert decode(datatype, encode(datatype, numbers)) == numbers


@given(st.lists(st.floats(width=16, allow_nan=False)))
def test_broken_numbers_there_and_back(numbers: list[float]) -> None:
    for datatype in ("FP16", "FP32", "FP64"):
        assert decode(datatype, encode(datatype, numbers)) == numbers


@given(st.lists(st.text()), st.lists(st.booleans()))
def test_texts_and_truths_there_and_back(texts: list[str], truths: list[bool]) -> None:
    assert decode("BYTES", encode("BYTES", texts)) == texts
    assert decode("BOOL", encode("BOOL", truths)) == truths


def test_brain_floats_are_the_upper_half() -> None:
    assert encode("BF16", [1.0, -2.0]) == b"\x80\x3f\x00\xc0"
    assert decode("BF16", b"\x80\x3f\x00\xc0") == [1.0, -2.0]


def test_texts_that_are_none_stay_bytes() -> None:
    assert decode("BYTES", struct.pack("<I", 2) + b"\xff\xfe") == [b"\xff\xfe"]


@given(
    st.sampled_from([*WHOLE, "FP16", "FP32", "FP64", "BF16", "BOOL", "BYTES", "NO"]), st.binary()
)
def test_any_bytes_are_read_or_refused(datatype: str, raw: bytes) -> None:
    try:
        decode(datatype, raw)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either way is fine


@pytest.mark.parametrize(
    ("datatype", "data"), [("INT8", [300]), ("FP16", [1e9]), ("UINT8", [-1]), ("NO", [1])]
)
def test_what_does_not_fit_is_refused(datatype: str, data: list[object]) -> None:
    with pytest.raises(ValueError):
        encode(datatype, data)


def test_zeros_have_the_size_of_the_shape() -> None:
    assert zeros("FP32", (2, 3)) == bytes(24)
    assert decode("BYTES", zeros("BYTES", (2,))) == ["", ""]
    assert zeros("BF16", (3,)) == bytes(6)


def probe(
    datatype: str, data: list[object], tolerance: tuple[float, float] = (1e-3, 1e-6)
) -> Probe:
    return Probe({}, {"y": {"datatype": datatype, "shape": [len(data)], "data": data}}, tolerance)


def answer(datatype: str, data: list[object]) -> dict[str, Tensor]:
    return {"y": Tensor(datatype, (len(data),), encode(datatype, data))}


def test_equal_answers_pass() -> None:
    cases: tuple[tuple[str, list[object]], ...] = (
        ("FP32", [1.0, 2.0]),
        ("INT32", [1]),
        ("BYTES", ["ä"]),
        ("BOOL", [True]),
    )
    for datatype, data in cases:
        assert differences(probe(datatype, data), answer(datatype, data)) == ()


def test_the_tolerance_is_for_broken_numbers_only() -> None:
    assert differences(probe("FP32", [1000.0]), answer("FP32", [1000.9])) == ()
    assert differences(probe("FP32", [1000.0]), answer("FP32", [1001.5]))
    assert differences(probe("INT32", [1000]), answer("INT32", [1001]))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_never_close(value: float) -> None:
    assert differences(probe("FP64", [1.0]), answer("FP64", [value]))


def test_other_outputs_do_not_matter_and_missing_ones_do() -> None:
    assert differences(probe("INT8", [1]), answer("INT8", [1]) | {"z": Tensor("NO", (), b"")}) == ()
    assert differences(probe("INT8", [1]), {}) == ("output 'y' is missing",)


def test_type_shape_and_length_are_compared() -> None:
    assert "is INT16" in differences(probe("INT8", [1]), answer("INT16", [1]))[0]
    assert "shape" in differences(probe("INT8", [1]), answer("INT8", [1, 1]))[0]
    assert "elements" in differences(probe("INT8", [1]), {"y": Tensor("INT8", (1,), b"\1\1")})[0]
    assert "damaged" in differences(probe("BYTES", ["a"]), {"y": Tensor("BYTES", (1,), b"\1")})[0]
