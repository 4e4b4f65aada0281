"""What goes to Triton, and what its answers mean for a client."""

import json
import struct

import pytest

from hps_server.rest_upstream import read_answer, request_body


def test_the_request() -> None:
    body, length = request_body(b'{"a": 1}', "id-1", 2.5)
    head = json.loads(body[:length])
    assert (head["id"], head["parameters"]) == ("id-1", {"timeout": 2_500_000})
    assert head["inputs"][0]["parameters"]["binary_data_size"] == len(body) - length
    assert body[length:] == struct.pack("<I", 8) + b'{"a": 1}'


def binary(text: bytes) -> tuple[str, bytes]:
    return "2", b"{}" + struct.pack("<I", len(text)) + text


@pytest.mark.parametrize(
    ("code", "status"),
    [(0, 200), (422, 422), (503, 503), (504, 504), (500, 500), (7, 500), (302, 500), ("x", 500)],
)
def test_error_codes_are_statuses(code: object, status: int) -> None:
    text = json.dumps({"errorCode": code}).encode()
    outcome = read_answer(200, *binary(text), "id")
    assert outcome.status == status
    if code != "x":
        assert (outcome.body, outcome.code) == (text, code)


def test_an_answer_in_json() -> None:
    text = '{"errorCode": 0, "errorMsg": "Success"}'
    body = json.dumps({"outputs": [{"data": [text]}]}).encode()
    assert read_answer(200, None, body, "id").body == text.encode()


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (500, b'{"error":"Stub process is not healthy."}', 503),
        (404, b'{"error":"Request for unknown model: x has no available versions"}', 503),
        (400, b'{"error":"Model version not ready"}', 503),
        (400, b'{"error":"unexpected shape"}', 500),
        (503, b'{"error":"Exceeds maximum queue size"}', 503),
        (502, b"<html>", 500),
        (200, b"\0", 500),
        (500, b"[]", 500),
    ],
)
def test_failures_of_triton_get_an_envelope(status: int, body: bytes, wanted: int) -> None:
    outcome = read_answer(status, None, body, "id-1")
    assert outcome.status == wanted
    envelope = json.loads(outcome.body)
    assert (envelope["logId"], envelope["errorCode"]) == ("id-1", wanted)
    assert "Stub" not in envelope["errorMsg"]


@pytest.mark.parametrize("cut", [1, 3, 10])
def test_an_answer_that_was_cut_off(cut: int) -> None:
    length, body = binary(b'{"errorCode": 0}')
    assert read_answer(200, length, body[:-cut], "id").status == 500
