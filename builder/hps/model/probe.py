"""Probes: an inference, and what must come out of it. Pure.

In files that people write, a probe has the numbers of KServe's v2 JSON. In a signed release it has
no fractions, because hps signs and reads JSON without floats: there, a number that is not whole is
the shortest text that stands for it (`"0.25"`).
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from hps.oci.shape import fields, items, text

LARGEST = 4 << 20  # bytes of a probe
_MOST_TENSORS = 64
_MOST_DIMENSIONS = 16
_MOST_ELEMENTS = 1 << 20
_LONGEST_NAME = 256
_EXACT = 2**53  # RFC 7493, section 2.2
# KServe v2, "Tensor Data Types", and BF16, which Triton has besides.
_WHOLE = frozenset(["UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"])
_BROKEN = frozenset(["FP16", "FP32", "FP64", "BF16"])
_DATATYPES = _WHOLE | _BROKEN | {"BOOL", "BYTES"}
_DEFAULT_TOLERANCE = (1e-5, 1e-6)


@dataclass(frozen=True, slots=True)
class Probe:
    """An inference, and what must come out of it.

    Args:
        inputs: by tensor name: {"datatype", "shape", "data"} of KServe v2 JSON; the data is flat.
        outputs: by tensor name, of the same form; empty: any answer without an error will do.
        tolerance: relative and absolute, for numbers (|a - b| <= absolute + relative * |b|).
    """

    inputs: Mapping[str, Mapping[str, object]]
    outputs: Mapping[str, Mapping[str, object]]
    tolerance: tuple[float, float] = _DEFAULT_TOLERANCE

    @classmethod
    def from_file(cls, data: bytes) -> Self:
        """Read what a person wrote: JSON with fractions; data may be nested as the shape is.

        Raises:
            ValueError: it is no probe, or larger than any honest one.
        """
        if len(data) > LARGEST:
            raise ValueError(f"longer than {LARGEST} bytes")
        try:
            value = json.loads(
                data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse
            )
        except RecursionError:
            raise ValueError("nested too deep") from None
        return cls._read(value, nested=True)

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read the form in which a release holds it, as `canonical.loads` gave it.

        Raises:
            ValueError: it is no probe.
        """
        return cls._read(value, nested=False)

    def as_json(self) -> dict[str, Any]:
        """The form in which a release holds it."""
        relative, absolute = self.tolerance
        return {
            "inputs": {name: _signed(tensor) for name, tensor in self.inputs.items()},
            "outputs": {name: _signed(tensor) for name, tensor in self.outputs.items()},
            "tolerance": {"relative": repr(relative), "absolute": repr(absolute)},
        }

    @classmethod
    def _read(cls, value: object, *, nested: bool) -> Self:
        found = fields(value, "probe", ("inputs",), ("outputs", "tolerance"))
        inputs = _tensors(found["inputs"], "inputs", nested=nested)
        if not inputs:
            raise ValueError("a probe has no inputs")
        outputs = _tensors(found.get("outputs", {}), "outputs", nested=nested)
        return cls(inputs, outputs, _tolerance(found.get("tolerance")))


def _tensors(value: object, where: str, *, nested: bool) -> Mapping[str, Mapping[str, object]]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is not an object")  # noqa: TRY004 - one kind of fault
    if len(value) > _MOST_TENSORS:
        raise ValueError(f"{where} has more than {_MOST_TENSORS} tensors")
    return {
        _name(name, where): _tensor(one, f"{where}.{name}", nested=nested)
        for name, one in value.items()
    }


def _name(name: str, where: str) -> str:
    if not 0 < len(name) <= _LONGEST_NAME or not name.isascii() or not name.isprintable():
        raise ValueError(f"{where} has a tensor whose name is not plain ASCII: {name[:100]!r}")
    return name


def _tensor(value: object, where: str, *, nested: bool) -> Mapping[str, object]:
    found = fields(value, where, ("datatype", "shape", "data"))
    datatype = text(found["datatype"], f"{where}.datatype")
    if datatype not in _DATATYPES:
        raise ValueError(f"{where}.datatype {datatype[:20]!r} is none of KServe v2")
    shape = items(found["shape"], f"{where}.shape", most=_MOST_DIMENSIONS)
    if not all(type(one) is int and 0 <= one <= _MOST_ELEMENTS for one in shape):
        raise ValueError(f"{where}.shape is not a list of whole numbers")
    listed = items(found["data"], f"{where}.data", most=_MOST_ELEMENTS)
    data = [_element(one, datatype, where) for one in (_flat(listed) if nested else listed)]
    if len(data) != math.prod(shape):
        raise ValueError(f"{where} has {len(data)} elements, its shape says {math.prod(shape)}")
    return {"datatype": datatype, "shape": shape, "data": data}


def _flat(listed: list[Any]) -> Iterator[object]:
    """The elements of lists in lists, row by row."""
    waiting = [iter(listed)]
    while waiting:
        one = next(waiting[-1], waiting)
        if one is waiting:
            waiting.pop()
        elif isinstance(one, list):
            if len(waiting) > _MOST_DIMENSIONS:
                raise ValueError(f"nested deeper than {_MOST_DIMENSIONS}")
            waiting.append(iter(one))
        else:
            yield one


def _element(value: object, datatype: str, where: str) -> object:
    kind = type(value)
    if datatype == "BOOL" and kind is bool:
        return value
    if datatype == "BYTES" and isinstance(value, str):
        value.encode()  # UnicodeEncodeError, a ValueError: a lone surrogate
        return value
    if datatype in _WHOLE and isinstance(value, int) and kind is int and abs(value) < _EXACT:
        return value
    if datatype in _BROKEN and kind in (int, float, str):
        return _number(value, where)
    raise ValueError(f"{where}.data holds {value!r:.100}, which is no {datatype}")


def _number(value: object, where: str) -> float:
    """A finite number, also from the text that a release holds."""
    try:
        found = float(value) if isinstance(value, (int, float)) else _decimal(str(value))
    except (OverflowError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"{where} holds {value!r:.100}, which is no finite number")
    return found


def _decimal(text_: str) -> float:
    """The one text that stands for a number, so that a probe has one form."""
    found = float(text_)
    if repr(found) != text_:
        raise ValueError(f"another form of {found!r}")
    return found


def _tolerance(value: object) -> tuple[float, float]:
    if value is None:
        return _DEFAULT_TOLERANCE
    found = fields(value, "tolerance", (), ("relative", "absolute"))
    relative, absolute = (
        _number(found.get(name, default), f"tolerance.{name}")
        for name, default in zip(("relative", "absolute"), _DEFAULT_TOLERANCE, strict=True)
    )
    if min(relative, absolute) < 0:
        raise ValueError("tolerance is below zero")
    return relative, absolute


def _signed(tensor: Mapping[str, object]) -> dict[str, object]:
    data = items(tensor["data"], "data", most=_MOST_ELEMENTS)
    return {**tensor, "data": [repr(one) if isinstance(one, float) else one for one in data]}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no finite number")
