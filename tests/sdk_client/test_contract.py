"""What every transport must do, against a real Triton: HTTP and gRPC, waiting and not."""

import asyncio
import base64
import concurrent.futures
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hps_client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InvalidAnswer,
    RequestRefused,
    ServerError,
    ServerGaveUp,
    Unavailable,
)
from hps_client.pipelines.ocr import InferResult
from hps_client.pipelines.shared import ImageInfo, ImageLabelPair

from tests.sdk_client.conftest import Served

LONG = 60.0  # seconds that no test takes


@pytest.fixture(params=["http", "grpc"])
def address(request: pytest.FixtureRequest, served: Served) -> str:
    return str(getattr(served, request.param))


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, timeout=LONG) as made:
        yield made


def echo(result: InferResult) -> dict[str, Any]:
    return dict(result.ocr_results[0].pruned_result)


def test_a_call_arrives_as_the_schema_writes_it(client: Client, tmp_path: Path) -> None:
    (tmp_path / "scan").write_bytes(b"%PDF-1.7 \xff")
    result = client.ocr(tmp_path / "scan", use_doc_unwarping=False, text_det_thresh=0.25)
    assert echo(result)["asked"] == {
        "file": base64.b64encode(b"%PDF-1.7 \xff").decode(),
        "fileType": 0,
        "useDocUnwarping": False,
        "textDetThresh": 0.25,
    }
    assert echo(result)["about"]["shape"] == [1, 1]
    assert echo(result)["about"]["model"] == "ocr"
    assert result.data_info == ImageInfo(width=3, height=2, type="image")


def test_the_server_learns_the_deadline_in_microseconds(client: Client) -> None:
    told = echo(client.ocr(b"x", timeout=40))["about"]["timeout"]
    assert 30_000_000 < told <= 40_000_000


def test_every_call_has_a_name_of_its_own(client: Client) -> None:
    names = {echo(client.ocr(b"x"))["about"]["id"] for _ in range(2)}
    assert len(names) == 2
    assert all(uuid.UUID(name) for name in names)


def test_large_files_come_through(client: Client) -> None:
    content = bytes(range(256)) * 40_000  # beyond gRPC's usual 4 MiB, there and back
    asked = echo(client.ocr(content))["asked"]
    assert base64.b64decode(asked["file"]) == content


def test_text_of_all_kinds(client: Client, served: Served) -> None:
    words = 'a"\\\n\u0000é漢😀'
    told = served.tell(result={"csv": "eA==", "image": None})
    assert client.ts_forecast(told).csv.data() == b"x"
    assert echo(client.ocr(b"x", log_id=words))["asked"]["logId"] == words


def test_an_error_of_the_pipeline_has_code_message_and_log_id(
    client: Client, served: Served
) -> None:
    with pytest.raises(ServerError) as caught:
        client.ocr(served.tell(error=[422, "Input file is invalid"]))
    error = caught.value
    assert (error.code, error.server_message) == (422, "Input file is invalid")
    assert (error.log_id, error.model) == ("log-1", "ocr")


def test_a_busy_pipeline_is_asked_again_by_every_operation(client: Client, served: Served) -> None:
    name = uuid.uuid4().hex
    told = served.tell(error=[503, "8 requests are waiting already"], name=name)
    with pytest.raises(ServerError, match="waiting already") as caught:
        client.face_recognition.build_index([ImageLabelPair(image=told, label="a")])
    assert caught.value.code == 503
    assert served.asked(name) == 3


def test_a_pipeline_that_gave_up(client: Client, served: Served) -> None:
    name = uuid.uuid4().hex
    with pytest.raises(DeadlineExceeded, match="has passed") as caught:
        client.ocr(served.tell(error=[504, "The deadline has passed"], name=name))
    assert isinstance(caught.value, ServerGaveUp)
    assert caught.value.log_id == "log-1"
    assert served.asked(name) == 1


def test_a_model_that_is_not_there(client: Client) -> None:
    with pytest.raises(RequestRefused) as caught:
        client.object_detection(b"x")
    assert caught.value.model == "object-detection"
    assert "object-detection" in str(caught.value)
    assert not isinstance(caught.value, Unavailable)


def test_ready(client: Client) -> None:
    assert client.ready()
    assert client.ready("ocr")
    assert not client.ready("nobody")


@pytest.mark.parametrize("answer", ["no JSON", "[]", '{"errorCode": 0}', '{"errorCode": "0"}'])
def test_answers_that_are_no_envelope(client: Client, served: Served, answer: str) -> None:
    with pytest.raises(InvalidAnswer, match="model ocr answered outside its schema"):
        client.ocr(served.tell(answer=answer))


def test_a_result_that_lacks_a_field(client: Client, served: Served) -> None:
    with pytest.raises(InvalidAnswer, match=r"result\.ocrResults\[0\]\.prunedResult should be"):
        client.ocr(served.tell(result={"ocrResults": [{}], "dataInfo": {}}))


def test_the_deadline_is_in_seconds(client: Client, served: Served) -> None:
    name = uuid.uuid4().hex
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"0\.5 seconds"):
        client.ocr(served.tell(sleep=30, name=name), timeout=0.5)
    assert 0.4 < time.monotonic() - began < 20
    assert served.asked(name) == 1, "a call that took too long is not made again"
    # The old client's microseconds would have ended this one.
    assert client.ocr(served.tell(sleep=0.3), timeout=LONG).ocr_results


def test_an_overloaded_server_is_asked_again(client: Client, served: Served) -> None:
    name = uuid.uuid4().hex
    with pytest.raises(Unavailable, match="queue is full"):
        client.ocr(served.tell(refuse="queue is full", code="UNAVAILABLE", name=name))
    assert served.asked(name) == 3


def test_what_must_not_run_twice_does_not(client: Client, served: Served) -> None:
    name = uuid.uuid4().hex
    told = served.tell(refuse="queue is full", code="UNAVAILABLE", name=name)
    with pytest.raises(Unavailable):
        client.face_recognition.build_index([ImageLabelPair(image=told, label="a")])
    assert served.asked(name) == 1


def test_an_internal_error_is_not_repeated(client: Client, served: Served) -> None:
    name = uuid.uuid4().hex
    with pytest.raises(RequestRefused, match="broken inside"):
        client.ocr(served.tell(refuse="broken inside", code="INTERNAL", name=name))
    assert served.asked(name) == 1


def test_one_client_for_many_threads(client: Client) -> None:
    def ask(number: int) -> str:
        return str(echo(client.ocr(b"x", log_id=str(number)))["asked"]["logId"])

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(300))) == [str(number) for number in range(300)]


def test_any_model_with_plain_json(client: Client) -> None:
    result = client.call("ocr", {"file": "eA==", "unknown": 1})
    assert result["ocrResults"][0]["prunedResult"]["asked"]["unknown"] == 1


def test_coroutines(address: str) -> None:
    async def ask() -> list[str]:
        async with AsyncClient(address, threads=8, timeout=LONG) as client:
            assert await client.ready("ocr")
            calls = [client.ocr(b"x", log_id=str(number)) for number in range(100)]
            return [echo(one)["asked"]["logId"] for one in await asyncio.gather(*calls)]

    assert asyncio.run(ask()) == [str(number) for number in range(100)]


def test_a_cancelled_task_ends_its_request(address: str, served: Served) -> None:
    name = uuid.uuid4().hex

    async def ask() -> None:
        async with AsyncClient(address, timeout=LONG) as client:
            task = asyncio.create_task(client.ocr(served.tell(sleep=30, name=name)))
            while not served.asked(name):  # noqa: ASYNC110 - another process marks it
                await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await client.ready()

    began = time.monotonic()
    asyncio.run(ask())
    assert time.monotonic() - began < 20
    # Over HTTP, Triton 2.51 does not look whether its client is still there.
    while address == served.grpc and not served.cancelled(name):
        assert time.monotonic() - began < 20
        time.sleep(0.1)


def test_errors_of_coroutines_are_the_same(address: str, served: Served) -> None:
    async def ask() -> None:
        async with AsyncClient(address, timeout=LONG) as client:
            with pytest.raises(ServerError, match="no"):
                await client.ocr(served.tell(error=[500, "no"]))
            with pytest.raises(DeadlineExceeded):
                await client.ocr(served.tell(sleep=30), timeout=0.3)

    asyncio.run(ask())
