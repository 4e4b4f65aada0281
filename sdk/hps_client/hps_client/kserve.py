"""Bytes of the KServe v2 inference protocol over HTTP, with Triton's binary tensor extension.

The request's JSON travels as the bytes of tensor `input`, not as a string inside other JSON:
escaping, unescaping and copying the base64 of a large file once more costs time for nothing.
https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and Triton's
`protocol/extension_binary_data.md`.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Dict, List, Optional, Union
from urllib.parse import quote

from hps_client.errors import InvalidAnswer

INPUT = "input"
OUTPUT = "output"
HEADER_LENGTH = "Inference-Header-Content-Length"
_LENGTH = struct.Struct("<I")
LARGEST = 0xFFFFFFFF  # the length of one BYTES element has 32 bits
_SHOWN = 200


def path(model: str) -> str:
    """Path of the inference request of one model."""
    return f"/v2/models/{quote(model, safe='')}/infer"


def ready_path(model: Optional[str]) -> str:
    """Path that answers whether a model, or with None the server, is ready."""
    return f"/v2/models/{quote(model, safe='')}/ready" if model else "/v2/health/ready"


def length(payload: bytes) -> bytes:
    """What stands before a BYTES element."""
    return _LENGTH.pack(len(payload))


def request_header(payload: bytes, request_id: str, microseconds: Optional[int]) -> bytes:
    """The JSON before the binary tensor; `timeout` is in microseconds."""
    size = len(payload) + _LENGTH.size
    request: Dict[str, Any] = {
        "id": request_id,
        "inputs": [
            {
                "name": INPUT,
                "shape": [1, 1],
                "datatype": "BYTES",
                "parameters": {"binary_data_size": size},
            }
        ],
        "outputs": [{"name": OUTPUT, "parameters": {"binary_data": True}}],
    }
    if microseconds is not None:
        request["parameters"] = {"timeout": microseconds}
    return json.dumps(request, separators=(",", ":")).encode("ascii")


def answer(body: bytes, header_length: Optional[str]) -> bytes:
    """The bytes of tensor `output`, whether they came in binary or as JSON.

    Raises:
        InvalidAnswer: they are not there, cut off, or more than one.
    """
    size = _header_size(body, header_length)
    outputs = _outputs(body[:size])
    found = [one for one in outputs if isinstance(one, dict) and one.get("name") == OUTPUT]
    if len(found) != 1:
        raise _wrong(f"it has {len(found)} tensors called {OUTPUT!r}", body)
    tensor: Dict[str, Any] = found[0]
    if tensor.get("datatype") != "BYTES":
        raise _wrong(f"tensor {OUTPUT!r} has datatype {tensor.get('datatype')!r}", body)
    if "data" in tensor:
        return _from_json(tensor["data"], body)
    # Only `output` was asked for, so the binary part is its alone.
    return element(memoryview(body)[size:])


def element(buffer: Union[bytes, memoryview]) -> bytes:
    """The only element of a BYTES tensor.

    Raises:
        InvalidAnswer: the length and the bytes disagree.
    """
    if len(buffer) < _LENGTH.size:
        raise _wrong(f"tensor {OUTPUT!r} has only {len(buffer)} bytes", b"")
    (announced,) = _LENGTH.unpack_from(buffer)
    here = len(buffer) - _LENGTH.size
    if announced != here:
        raise _wrong(f"tensor {OUTPUT!r} announces {announced} bytes and has {here}", b"")
    return bytes(buffer[_LENGTH.size :])


def refusal(body: bytes) -> str:
    """What an error answer says: KServe's `error`, or the start of whatever came."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict) and isinstance(said.get("error"), str):
        return str(said["error"])
    return body[:_SHOWN].decode("utf-8", "replace").strip()


def _header_size(body: bytes, header_length: Optional[str]) -> int:
    if header_length is None:
        return len(body)
    text = header_length.strip()
    if not (text.isascii() and text.isdigit()) or int(text) > len(body):
        raise _wrong(f"{HEADER_LENGTH} is {header_length!r} of {len(body)} bytes", body)
    return int(text)


def _outputs(header: bytes) -> List[Any]:
    try:
        read = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise _wrong(f"it is not JSON: {error}", header) from error
    if not isinstance(read, dict) or not isinstance(read.get("outputs"), list):
        raise _wrong("it has no list of outputs", header)
    outputs: List[Any] = read["outputs"]
    return outputs


def _from_json(data: Any, body: bytes) -> bytes:
    while isinstance(data, list) and len(data) == 1:  # [1,1] may come flat or nested
        data = data[0]
    if not isinstance(data, str):
        raise _wrong(f"tensor {OUTPUT!r} is not one string", body)
    return data.encode("utf-8", "surrogatepass")


def _wrong(why: str, body: bytes) -> InvalidAnswer:
    seen = f"; it begins {body[:60]!r}" if body else ""
    return InvalidAnswer(
        f"the answer is no inference answer: {why}{seen}",
        "is this Triton's HTTP port, and nothing between that changes answers?",
    )
