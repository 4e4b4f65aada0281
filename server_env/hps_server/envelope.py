"""The answer that every operation wraps its result in.

Success: logId, result, errorCode 0, errorMsg "Success". Failure: logId, errorCode, errorMsg. Fields
without a value are left out, as clients of PaddleX's High Stability Serving expect.
"""

import json
from enum import IntEnum
from typing import Any


class Code(IntEnum):
    """What errorCode can be; the numbers are those of HTTP, as PaddleX has them."""

    SUCCESS = 0
    INVALID = 422  # the request is at fault
    FAILED = 500  # the server is
    BUSY = 503  # too many requests are waiting; ask again
    LATE = 504  # the deadline has passed


def success(log_id: str, result: str) -> bytes:
    """An answer around a result that is JSON text already."""
    head = f'{{"logId":{json.dumps(log_id)},"result":'
    return f'{head}{result},"errorCode":0,"errorMsg":"Success"}}'.encode()


def failure(log_id: str, code: int, message: str) -> bytes:
    """An answer that says why there is no result."""
    answer: dict[str, Any] = {"logId": log_id, "errorCode": int(code), "errorMsg": message}
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", errors="replace"
    )
