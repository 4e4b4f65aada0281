"""Answers as Triton writes them, for servers that tests script."""

import json
import struct

from tests.servers import Behaviour, fine

OCR = "/v2/models/ocr/infer"
RESULT = {"ocrResults": [], "dataInfo": {"type": "image", "width": 1, "height": 1}}


def enveloped(result: object) -> bytes:
    return json.dumps(
        {"logId": "1", "errorCode": 0, "errorMsg": "Success", "result": result}
    ).encode()


def answer(result: object) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a binary answer."""
    return binary(struct.pack("<I", len(enveloped(result))) + enveloped(result))


def binary(tensor: bytes, **changes: object) -> tuple[bytes, dict[str, str]]:
    output = {
        "name": "output",
        "datatype": "BYTES",
        "shape": [1, 1],
        "parameters": {"binary_data_size": len(tensor)},
        **changes,
    }
    header = json.dumps({"model_name": "ocr", "outputs": [output]}).encode()
    return header + tensor, {"Inference-Header-Content-Length": str(len(header))}


def answering(result: object) -> Behaviour:
    body, headers = answer(result)
    return fine(body, headers=headers)


def sent(body: bytes, header_length: str) -> dict[str, object]:
    """The JSON inside a request."""
    tensor = body[int(header_length) :]
    (size,) = struct.unpack_from("<I", tensor)
    assert size == len(tensor) - 4
    read: dict[str, object] = json.loads(tensor[4:])
    return read
