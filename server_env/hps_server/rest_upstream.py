"""Hands a REST request on to Triton, and reads what comes back.

The text goes as a binary tensor (Triton's binary data extension of KServe v2), so that nothing is
quoted twice. The request id is Triton's, and becomes the logId.
"""

import json
import struct
from dataclasses import dataclass
from typing import Any

LENGTH_HEADER = "Inference-Header-Content-Length"
UNAVAILABLE = 503
_OK = 200
_CODE_OK = 0


@dataclass(frozen=True)
class Outcome:
    """What the client gets.

    Args:
        status: of HTTP.
        code: the envelope's errorCode.
        body: the envelope.
        cause: what Triton said, for the log alone.
    """

    status: int
    code: int
    body: bytes
    cause: "str | None" = None


def request_body(text: bytes, identity: str, deadline: float) -> "tuple[bytes, int]":
    """The body of an inference request, and the length of its JSON part.

    Args:
        text: the JSON that the operation takes.
        identity: the request id.
        deadline: in seconds.
    """
    data = struct.pack("<I", len(text)) + text
    tensor = {
        "name": "input",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(data)},
    }
    document = {
        "id": identity,
        "parameters": {"timeout": int(deadline * 1e6)},
        "inputs": [tensor],
        "outputs": [{"name": "output", "parameters": {"binary_data": True}}],
    }
    head = json.dumps(document, separators=(",", ":")).encode()
    return head + data, len(head)


def read_answer(status: int, length: "str | None", body: bytes, identity: str) -> Outcome:
    """What Triton's answer means for the client.

    Args:
        status: of Triton's answer.
        length: its `LENGTH_HEADER`; None when it has none.
        body: of the answer.
        identity: the request id, for envelopes made here.
    """
    try:
        if status == _OK:
            text = _text(length, body)
            code = json.loads(text)["errorCode"]
            return Outcome(_status(code), int(code), text)
        said = str(json.loads(body).get("error"))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error) as error:
        return failure(500, identity, "Internal server error", f"HTTP {status}: {error!r}")
    if status in (400, 404) and not _is_unready(said):
        return failure(500, identity, "Internal server error", said)
    # Not loaded, dead and being brought back, or its queue is full: later it may answer.
    return failure(UNAVAILABLE, identity, "The model is not ready; ask again", said)


def failure(status: int, identity: str, message: str, cause: "str | None" = None) -> Outcome:
    """An envelope for what went wrong before or beyond the model."""
    envelope: dict[str, Any] = {"logId": identity, "errorCode": status, "errorMsg": message}
    return Outcome(status, status, json.dumps(envelope, ensure_ascii=False).encode(), cause)


def _text(length: "str | None", body: bytes) -> bytes:
    if length is None:
        return str(json.loads(body)["outputs"][0]["data"][0]).encode()
    data = body[int(length) :]
    (size,) = struct.unpack_from("<I", data)
    if len(data) != size + 4:
        raise ValueError(f"{len(data)} bytes where {size} + 4 were announced")
    return data[4:]


def _status(code: Any) -> int:
    if code == _CODE_OK:
        return _OK
    return code if isinstance(code, int) and 400 <= code <= 599 else 500  # noqa: PLR2004 - HTTP's


def _is_unready(said: str) -> bool:
    return "not ready" in said or "unknown model" in said or "no available versions" in said
