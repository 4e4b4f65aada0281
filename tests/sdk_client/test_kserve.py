"""The protocol's bytes: written for Triton, read from anybody."""

import contextlib
import json
import pickle
import struct

import pytest
from hps_client import (
    CallCancelled,
    ClientError,
    ConnectionFailed,
    InvalidAnswer,
    InvalidInput,
    ServerError,
    ServerGaveUp,
    Unavailable,
    envelope,
    kserve,
)
from hps_client.call import Call
from hps_client.inputs import encode
from hps_client.retry import pause_before_next
from hypothesis import given
from hypothesis import strategies as some

from tests.sdk_client import wire


def test_the_request() -> None:
    header = json.loads(kserve.request_header(b"{}", "name", 1_500_000))
    assert header["parameters"] == {"timeout": 1_500_000}
    assert header["inputs"][0]["parameters"] == {"binary_data_size": 6}
    assert header["outputs"] == [{"name": "output", "parameters": {"binary_data": True}}]
    assert "parameters" not in json.loads(kserve.request_header(b"{}", "name", None))
    assert kserve.path("a/../b c") == "/v2/models/a%2F..%2Fb%20c/infer"


@given(some.binary(max_size=300), some.none() | some.text(max_size=12))
def test_any_bytes_are_an_answer_or_an_error(body: bytes, length: str | None) -> None:
    with contextlib.suppress(InvalidAnswer):
        kserve.answer(body, length)


@given(some.data())
def test_a_damaged_answer_is_read_right_or_refused(data: some.DataObject) -> None:
    body, headers = wire.answer(wire.RESULT)
    damaged = bytearray(body)
    for _ in range(data.draw(some.integers(1, 3))):
        damaged[data.draw(some.integers(0, len(body) - 1))] = data.draw(some.integers(0, 255))
    cut = bytes(damaged[: data.draw(some.integers(0, len(body)))])
    with contextlib.suppress(InvalidAnswer, ServerError):
        envelope.result(kserve.answer(cut, headers["Inference-Header-Content-Length"]), "ocr")


@given(
    some.recursive(
        some.none() | some.booleans() | some.integers() | some.text(),
        lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    )
)
def test_any_json_is_an_envelope_or_an_error(read: object) -> None:
    with contextlib.suppress(InvalidAnswer, ServerError):
        envelope.result(json.dumps(read).encode(), "ocr")


@given(some.dictionaries(some.text(), some.text() | some.binary(min_size=1) | some.integers()))
def test_requests_are_json(values: dict[str, object]) -> None:
    request = {
        name: encode(value) if isinstance(value, bytes) else value for name, value in values.items()
    }
    assert json.loads(envelope.dump(request)) == request


def test_an_element_of_the_largest_length() -> None:
    with pytest.raises(InvalidAnswer, match="announces 4294967295 bytes and has 1"):
        kserve.element(struct.pack("<I", 0xFFFFFFFF) + b"x")


REFUSED = ConnectionFailed("refused")
BROKEN = ConnectionFailed("broke", sent=True)
WITHIN = ConnectionFailed("broke", sent=True, answered=True)
BUSY = Unavailable("busy", model="m", status=503)


@pytest.mark.parametrize(
    ("error", "repeatable", "again"),
    [
        (REFUSED, True, True),
        (REFUSED, False, True),
        (BROKEN, True, True),
        (BROKEN, False, False),
        (WITHIN, True, False),
        (BUSY, True, True),
        (BUSY, False, False),
        (InvalidAnswer("odd"), True, False),
        (ServerError(code=500, message="", log_id=None, model="m"), True, False),
        (ServerError(code=503, message="", log_id=None, model="m"), False, True),
        (ServerGaveUp(code=504, message="", log_id=None, model="m"), True, False),
    ],
)
def test_what_is_tried_again(error: ClientError, repeatable: bool, again: bool) -> None:
    pauses = [pause_before_next(error, attempt, repeatable=repeatable) for attempt in range(1, 9)]
    assert [pause is not None for pause in pauses] == [again] * 8
    assert all(0 < pause <= 5 for pause in pauses if pause is not None)


@pytest.mark.parametrize(("asked", "least", "most"), [(2.0, 2, 2), (1e9, 30, 30), (-5.0, 0, 1)])
def test_what_the_server_asks_for_has_limits(asked: float, least: float, most: float) -> None:
    error = Unavailable("busy", model="m", status=503, retry_after=asked)
    pause = pause_before_next(error, 1, repeatable=True)
    assert pause is not None
    assert least <= pause <= most


def test_a_cancelled_call_waits_no_longer() -> None:
    call = Call(60)
    call.cancel()
    with pytest.raises(CallCancelled):
        call.pause(30)


@pytest.mark.parametrize("seconds", [1e7, 1e300])
def test_timeouts_that_no_socket_can_have(seconds: float) -> None:
    with pytest.raises(InvalidInput, match="is it in seconds"):
        Call(seconds)


def test_errors_come_back_from_other_processes() -> None:
    errors = [
        ServerError(code=422, message="bad", log_id="1", model="m"),
        Unavailable("busy", "later", model="m", status=429, retry_after=1.0),
        ConnectionFailed("broke", "hint", sent=True),
        ServerGaveUp(code=504, message="late", log_id=None, model="m"),
    ]
    for error in errors:
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), vars(back), str(back)) == (type(error), vars(error), str(error))
