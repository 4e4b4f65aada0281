"""Tensors of KServe v2 as bytes, and whether an answer is the one that a probe expects. Pure.

Triton's gRPC takes and gives all tensors as raw bytes: row by row, little-endian, BYTES elements
each with its length before it (KServe v2, "Raw Tensor Data"; Triton's extension_binary_data.md).
"""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hps.model.probe import Probe

_FORMATS = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b",
    "INT16": "h", "INT32": "i", "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
_BROKEN = frozenset({"FP16", "BF16", "FP32", "FP64"})
_LENGTH = 4  # bytes before each element of BYTES
_MOST_SHOWN = 100  # characters of a value in a sentence


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of an answer.

    Args:
        datatype: of KServe v2.
        shape: of the whole.
        raw: its bytes.
    """

    datatype: str
    shape: tuple[int, ...]
    raw: bytes


def encode(datatype: str, data: Sequence[object]) -> bytes:
    """The bytes of flat data.

    Raises:
        ValueError: it does not fit into the data type.
    """
    try:
        if datatype == "BYTES":
            texts = [str(one).encode() for one in data]
            return b"".join(struct.pack("<I", len(one)) + one for one in texts)
        if datatype == "BF16":  # the upper half of the same number in 32 bits
            whole = struct.pack(f"<{len(data)}f", *data)
            return b"".join(whole[place : place + 2] for place in range(2, len(whole), 4))
        return struct.pack(f"<{len(data)}{_FORMATS[datatype]}", *data)
    except KeyError:
        raise ValueError(f"{datatype} is no data type of KServe v2") from None
    except (struct.error, OverflowError) as error:
        raise ValueError(f"not {datatype}: {error}") from None


def decode(datatype: str, raw: bytes) -> list[object]:
    """The elements of a tensor; BYTES as text where they are UTF-8, else as bytes.

    Raises:
        ValueError: the bytes are none of this data type.
    """
    if datatype == "BYTES":
        return _texts(raw)
    if datatype == "BF16":
        halves = (raw[place : place + 2] for place in range(0, len(raw), 2))
        raw, datatype = b"".join(b"\0\0" + half for half in halves), "FP32"
    try:
        size = struct.calcsize(f"<{_FORMATS[datatype]}")
        return list(struct.unpack(f"<{len(raw) // size}{_FORMATS[datatype]}", raw))
    except KeyError:
        raise ValueError(f"{datatype} is no data type of KServe v2") from None
    except struct.error as error:
        raise ValueError(f"not {datatype}: {error}") from None


def zeros(datatype: str, shape: Iterable[int]) -> bytes:
    """The bytes of a tensor of nothing but zeros, or empty texts."""
    count = math.prod(shape)
    if datatype == "BYTES":
        return bytes(_LENGTH * count)
    if datatype == "BF16":
        return bytes(2 * count)
    return bytes(struct.calcsize(f"<{_FORMATS.get(datatype, 'B')}") * count)


def differences(probe: Probe, answer: Mapping[str, Tensor]) -> tuple[str, ...]:
    """What is not as the probe expects, one sentence for each output; empty: it passes."""
    found = []
    for name, expected in probe.outputs.items():
        said = _difference(expected, answer.get(name), probe.tolerance)
        if said is not None:
            found.append(f"output {name!r} {said}")
    return tuple(found)


def _difference(
    expected: Mapping[str, object], got: Tensor | None, tolerance: tuple[float, float]
) -> str | None:
    if got is None:
        return "is missing"
    datatype, shape, data = expected["datatype"], expected["shape"], expected["data"]
    if got.datatype != datatype:
        return f"is {got.datatype}, expected {datatype}"
    if list(got.shape) != shape or not isinstance(data, list):
        return f"has the shape {list(got.shape)}, expected {shape}"
    try:
        values = decode(got.datatype, got.raw)
    except ValueError as error:
        return f"is damaged: {error}"
    if len(values) != len(data):
        return f"has {len(values)} elements, its shape says {len(data)}"
    return _unequal(values, data, tolerance if datatype in _BROKEN else (0.0, 0.0))


def _unequal(
    values: Sequence[object], data: Sequence[object], tolerance: tuple[float, float]
) -> str | None:
    for place, (one, other) in enumerate(zip(values, data, strict=True)):
        if not _is_close(one, other, tolerance):
            shown = f"{one!r:.{_MOST_SHOWN}}", f"{other!r:.{_MOST_SHOWN}}"
            return f"has {shown[0]} at {place}, expected {shown[1]}"
    return None


def _is_close(got: object, expected: object, tolerance: tuple[float, float]) -> bool:
    if isinstance(got, float) and isinstance(expected, (int, float)):
        relative, absolute = tolerance
        return abs(got - expected) <= absolute + relative * abs(expected)  # false for NaN
    return got == expected


def _texts(raw: bytes) -> list[object]:
    found: list[object] = []
    place = 0
    while place < len(raw):
        if place + _LENGTH > len(raw):
            raise ValueError("BYTES end in the middle of a length")
        (length,) = struct.unpack_from("<I", raw, place)
        place += _LENGTH
        if place + length > len(raw):
            raise ValueError("BYTES end in the middle of an element")
        element = raw[place : place + length]
        place += length
        try:
            found.append(element.decode())
        except UnicodeDecodeError:
            found.append(element)
    return found
