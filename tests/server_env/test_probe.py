"""What an answer to a probe means."""

import json

import pytest

from hps_server.probe import Answer, Model, judge, read_model


def envelope(code: object, result: object = None) -> bytes:
    text = json.dumps({"errorCode": code, "errorMsg": "m", "result": result})
    return json.dumps({"outputs": [{"name": "output", "data": [text]}]}).encode()


@pytest.mark.parametrize("code", [0, 422, 429, 503, 504])
def test_who_answers_is_alive(code: int) -> None:
    assert judge(200, envelope(code)).answer is Answer.ALIVE


def test_a_pipeline_that_fails_is_not() -> None:
    probed = judge(200, envelope(500))
    assert (probed.answer, probed.reason) == (Answer.FAILED, "error 500: m")


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (500, b'{"error": "Stub process is not healthy"}', Answer.FAILED),
        (500, b"<html>", Answer.FAILED),
        (503, b'{"error": "Exceeds maximum queue size"}', Answer.ALIVE),
        (404, b'{"error": "Request for unknown model"}', Answer.UNLOADED),
        (400, b'{"error": "Model version not ready"}', Answer.UNLOADED),
        (200, b"{}", Answer.ALIVE),  # no model of a package, but it answers
        (200, b'{"outputs": [{"data": ["no json"]}]}', Answer.ALIVE),
    ],
)
def test_other_answers(status: int, body: bytes, answer: Answer) -> None:
    assert judge(status, body).answer is answer


def test_how_long_it_has_been_busy() -> None:
    assert judge(200, envelope(0, {"busyFor": 1.5})).busy_for == 1.5
    assert judge(200, envelope(0, {"busyFor": "x"})).busy_for == 0


def test_what_triton_says_of_a_model() -> None:
    config = {
        "backend": "python",
        "instance_group": [{"count": 2, "gpus": [0, 1]}, {"count": 1}],
        "parameters": {
            "operations": {"string_value": "a,b"},
            "engine": {"string_value": "e"},
        },
    }
    assert read_model("m", config) == Model("m", 5, "e", "a")
    assert read_model("m", {"backend": "onnxruntime", "instance_group": [{}]}) == Model("m")
    assert read_model("m", None) == Model("m")
