"""The envelope round every result: `logId`, `errorCode`, `errorMsg`, `result`."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping

from hps_client.errors import LATE, InvalidAnswer, InvalidInput, ServerError, ServerGaveUp
from hps_client.inputs import Base64


def dump(request: Mapping[str, Any]) -> bytes:
    """The request as JSON bytes.

    Base64 goes in as it is: looking for characters to escape costs as much as encoding the file.

    Raises:
        InvalidInput: it holds NaN, an infinity, or something that JSON does not know.
    """
    pieces = [b"{"]
    try:
        for name, value in request.items():
            pieces += [b"," if len(pieces) > 1 else b"", _json(str(name)), b":"]
            if isinstance(value, Base64):
                pieces += [b'"', value.encode("ascii"), b'"']
            else:
                pieces.append(_json(value))
        return b"".join([*pieces, b"}"])
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"the request has no form in JSON: {error}", "") from error


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def result(answer: bytes, model: str) -> Dict[str, Any]:
    """The result inside an answer's envelope.

    Raises:
        ServerError: the pipeline answered with an error.
        InvalidAnswer: it is no envelope.
    """
    read = load(answer, model)
    if read["errorCode"] != 0:
        log_id = read.get("logId")
        kind = ServerGaveUp if read["errorCode"] == LATE else ServerError
        raise kind(
            code=read["errorCode"],
            message=str(read.get("errorMsg", "")),
            log_id=log_id if isinstance(log_id, str) else None,
            model=model,
        )
    found = read.get("result")
    if not isinstance(found, dict):
        raise _wrong(model, f"`result` is {type(found).__name__}, not an object")
    return found


def load(answer: bytes, model: str) -> Dict[str, Any]:
    """The envelope itself, whatever its code.

    Raises:
        InvalidAnswer: it is no envelope.
    """
    try:
        read = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise _wrong(model, f"it is not JSON: {error}") from error
    code = read.get("errorCode") if isinstance(read, dict) else None
    if not isinstance(code, int) or isinstance(code, bool):
        raise _wrong(model, "it has no errorCode")
    envelope: Dict[str, Any] = read
    return envelope


def _wrong(model: str, why: str) -> InvalidAnswer:
    return InvalidAnswer(
        f"model {model} answered outside its schema: {why}",
        "is this a pipeline of PaddleX? client.ready(model) says whether the model is there",
    )
