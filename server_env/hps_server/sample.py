"""A small real request for an operation, to see whether its pipeline answers."""

import base64
import struct
import zlib
from typing import Any

from hps_server.package import Operation

_SIDE = 64  # pixels; the smallest that every detector of PaddleX takes
_GREY = b"\x80"


def sample(operation: Operation) -> "dict[str, Any] | None":
    """A request that is answered without other services, or None where there is none in general.

    An image of one grey; what a time series, a video or a point cloud must look like is a matter
    of the model, and retrieval needs an index.
    """
    if operation.remote or operation.media not in {"image", "document"}:
        return None
    if len(operation.files) != 1 or not operation.files[0].isidentifier():
        return None
    document: dict[str, Any] = {operation.files[0]: base64.b64encode(grey_png()).decode("ascii")}
    if operation.media == "document":
        document["fileType"] = 1
    return document


def grey_png() -> bytes:
    """A grey square as PNG (ISO/IEC 15948, 11.2)."""
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 0, 0, 0, 0)
    rows = (b"\0" + _GREY * _SIDE) * _SIDE
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
