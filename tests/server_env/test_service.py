"""One service: every request is answered by itself, whatever the others do."""

import asyncio
import base64
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pydantic
import pytest

from hps_server.batching import PipelineCaller
from hps_server.limits import Limits
from hps_server.package import Operation
from hps_server.pipeline_app import Route, Storages
from hps_server.request_log import RequestLog
from hps_server.service import PROBE, Request, Service
from hps_server.settings import Settings

TABLE = Operation(id="infer", model="sums", endpoint="/sums", files=("csv",), media="table")
CHAT = Operation(id="chat", model="chat", endpoint="/chat")


class Inner(pydantic.BaseModel):
    name: str = ""


class Ask(pydantic.BaseModel):
    csv: str
    factor: int | None = None
    inner: list[Inner] | None = None


class Chat(pydantic.BaseModel):
    messages: list[str]


class Answer(pydantic.BaseModel):
    total: int
    note: str | None = None


class Search(pydantic.BaseModel):
    indexKey: str | None = None  # noqa: N815 - as on the wire
    topk: int | None = None


class HTTPError(Exception):
    """Looks like FastAPI's, which PaddleX raises."""

    def __init__(self, status_code: int, detail: str) -> None:
        self.status_code = status_code
        self.detail = detail


class Enveloped(pydantic.BaseModel):
    result: Answer


class Pipeline:
    def __init__(self) -> None:
        self.held = threading.Event()
        self.held.set()

    def predict(self, data: Any, factor: Any = None) -> Iterator[Any]:
        assert self.held.wait(20)
        for each in data if isinstance(data, list) else [data]:
            yield sum(int(cell) for cell in each.split(",")) * (factor or 1)


class Subject:
    """A service around a pipeline that adds numbers up, and the lines of its log."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.counted: list[tuple[str, int]] = []
        self.pipeline: Any = Pipeline()
        self.caller = PipelineCaller(lambda: self.pipeline, batch=8)
        routes = {"infer": Route(Ask, self._infer), "chat": Route(Chat, self._chat)}
        self.service = Service(
            {"infer": TABLE, "chat": CHAT},
            routes,
            self.caller,
            settings=settings or Settings(),
            storages=Storages(),
            log=RequestLog("sums", form="json", count=lambda *a: self.counted.append(a[:2])),
        )

    async def _infer(self, request: Ask) -> pydantic.BaseModel:
        text = base64.b64decode(request.csv).decode()
        if text == "1,1,1":
            raise HTTPError(422, "Invalid input file")
        if text == "2,2,2":
            return Enveloped(result=Answer(total="many"))
        totals = await self.caller.infer(text, factor=request.factor)
        return Enveloped(result=Answer(total=totals[0]))

    async def _chat(self, request: Chat) -> pydantic.BaseModel:
        return Answer(total=len(request.messages))  # no envelope, as document understanding

    def ask(self, **document: Any) -> "dict[str, Any]":
        return self.asks(document)[0]

    def asks(self, *documents: Any, **how: Any) -> "list[dict[str, Any]]":
        async def run() -> "list[bytes]":
            requests = [
                Request(
                    "infer", each if isinstance(each, bytes) else json.dumps(each).encode(), **how
                )
                for each in documents
            ]
            return await asyncio.gather(*map(self.service.answer, requests))

        return [json.loads(answer) for answer in asyncio.run(run())]


@pytest.fixture
def subject() -> Iterator[Subject]:
    made = Subject()
    yield made
    made.pipeline.held.set()
    made.caller.close()


def csv(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_an_answer_has_the_four_fields_and_no_nulls(subject: Subject) -> None:
    answer = subject.ask(csv=csv("1,2,3"), logId="mine")
    assert answer == {
        "logId": "mine",
        "result": {"total": 6},
        "errorCode": 0,
        "errorMsg": "Success",
    }


def test_a_result_without_envelope_is_wrapped(subject: Subject) -> None:
    request = Request("chat", b'{"messages": ["a", "b"]}', request_id="id-1")
    answer = json.loads(asyncio.run(subject.service.answer(request)))
    assert answer["result"] == {"total": 2}
    assert answer["logId"] == "id-1"


@pytest.mark.parametrize(
    ("document", "code", "message"),
    [
        (b"{", 422, "1 validation error for Ask\n  Invalid JSON"),
        (b"\xff\xfe", 422, "1 validation error for Ask\n  Invalid JSON"),
        (b"[" * 100_000, 422, "1 validation error for Ask\n  Invalid JSON"),
        (b"[]", 422, "1 validation error for Ask\n  Input should be an object"),
        ({}, 422, "Field required"),
        ({"csv": 5}, 422, "valid string"),
        ({"csv": csv("1,1,1")}, 422, "Invalid input file"),
        ({"csv": csv("a,b")}, 500, "Internal server error"),
        ({"csv": csv("2,2,2")}, 500, "Internal server error"),
        ({"csv": csv("1,2"), "logId": "../../etc"}, 422, "logId"),
        ({"csv": csv("1,2"), "indexKey": "/etc/passwd"}, 422, "indexKey"),
    ],
)
def test_a_failure_is_an_answer_too(
    subject: Subject, document: Any, code: int, message: str
) -> None:
    [answer] = subject.asks(document)
    assert answer.keys() == {"logId", "errorCode", "errorMsg"}
    assert answer["errorCode"] == code
    assert message in answer["errorMsg"]
    assert subject.counted == [("infer", code)]


class Searching:
    """A pipeline that searches an index, its own or that of a request."""

    def __init__(self, index: Any) -> None:
        self.indexer = index

    def predict(self, data: Any) -> Iterator[Any]:
        if not data:
            raise ValueError("Invalid key of threshold: 9, it must be less than 2")
        yield data


def searched(index: Any, **document: Any) -> "dict[str, Any]":
    caller = PipelineCaller(lambda: Searching(index))

    async def search(request: Search) -> pydantic.BaseModel:
        if request.topk:
            await caller.infer("")
        return Answer(total=0, note=request.indexKey or "its own")

    service = Service(
        {"infer": Operation(id="infer", model="search", endpoint="/search")},
        {"infer": Route(Search, search)},
        caller,
        settings=Settings(),
        storages=Storages(),
        log=RequestLog("search", form="json"),
    )
    answer = asyncio.run(service.answer(Request("infer", json.dumps(document).encode())))
    caller.close()
    said: dict[str, Any] = json.loads(answer)
    return said


def test_a_search_without_an_index_is_refused() -> None:
    for document in ({}, {"indexKey": None}):
        answer = searched(None, **document)
        assert answer["errorCode"] == 422
        assert answer["errorMsg"].startswith("1 validation error for Search\nindexKey\n  ")
    assert searched(None, indexKey="mine")["result"] == {"total": 0, "note": "mine"}


def test_a_search_in_the_pipelines_own_index_needs_no_key() -> None:
    assert searched("an index")["result"] == {"total": 0, "note": "its own"}


def test_what_paddlex_says_of_a_request_is_told_to_the_client() -> None:
    answer = searched("an index", topk=1)
    assert answer["errorCode"] == 422
    assert answer["errorMsg"] == "Invalid key of threshold: 9, it must be less than 2"


def test_one_bad_request_of_eight_fails_alone(subject: Subject) -> None:
    documents: list[Any] = [{"csv": csv(f"{n},1")} for n in range(8)]
    documents[3] = {"csv": csv("bad")}
    answers = subject.asks(*documents)
    assert [answer["errorCode"] for answer in answers] == [0, 0, 0, 500, 0, 0, 0, 0]
    assert answers[7]["result"] == {"total": 8}


def test_unknown_fields_are_passed_over_or_refused() -> None:
    document = {"csv": csv("1"), "colour": 1, "inner": [{"name": "a"}, {"nom": "b"}]}
    lax, strict = Subject(), Subject(Settings(strict=True))
    assert lax.ask(**document)["errorCode"] == 0
    answer = strict.ask(**document)
    assert answer["errorCode"] == 422
    assert answer["errorMsg"] == "unknown fields: colour, inner[1].nom"
    for each in (lax, strict):
        each.caller.close()


def test_a_request_of_too_many_bytes_is_not_parsed() -> None:
    subject = Subject(Settings(limits=replace(Limits(), max_request_bytes=100)))
    answer = subject.ask(csv=csv("1," * 100 + "1"))
    assert answer["errorCode"] == 422
    assert "at most 100" in answer["errorMsg"]
    subject.caller.close()


async def while_held(subject: Subject, requests: "list[Request]") -> "list[dict[str, Any]]":
    subject.pipeline.held.clear()
    tasks = [asyncio.ensure_future(subject.service.answer(each)) for each in requests]
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(asyncio.gather(*tasks[1:])), 20)
    subject.pipeline.held.set()
    return [json.loads(answer) for answer in await asyncio.gather(*tasks)]


def requests(count: int, **how: Any) -> "list[Request]":
    body = json.dumps({"csv": csv("1,2")}).encode()
    return [Request("infer", body), *[Request("infer", body, **how) for _ in range(count)]]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"deadline": 0.2}, "deadline"),
        ({"abandoned": lambda: True}, "gone away"),
    ],
)
def test_who_does_not_wait_is_not_worked_for(
    subject: Subject, how: "dict[str, Any]", message: str
) -> None:
    first, late = asyncio.run(while_held(subject, requests(1, **how)))
    assert first["errorCode"] == 0
    assert late["errorCode"] == 504
    assert message in late["errorMsg"]
    assert subject.caller.waiting == 0


def test_a_deadline_of_the_server() -> None:
    subject = Subject(Settings(deadline=0.2))

    async def run() -> bytes:
        subject.pipeline.held.clear()
        answer = await subject.service.answer(requests(0)[0])
        subject.pipeline.held.set()
        return answer

    assert json.loads(asyncio.run(run()))["errorCode"] == 504
    subject.caller.close()


def test_too_many_are_turned_away_at_once() -> None:
    subject = Subject(Settings(queue=1))
    first, second = asyncio.run(while_held(subject, requests(1)))
    assert first["errorCode"] == 0
    assert second["errorCode"] == 503
    subject.caller.close()


def probing(subject: Subject) -> "Callable[[], dict[str, Any]]":
    body = json.dumps({PROBE: True}).encode()
    return lambda: json.loads(asyncio.run(subject.service.answer(Request("infer", body))))


def test_a_probe_is_a_real_inference_where_a_sample_suits(subject: Subject) -> None:
    probe = probing(subject)
    assert probe()["errorCode"] == 0
    asyncio.run(subject.service.try_out({"infer": {"csv": csv("1,2")}, "chat": None}))
    assert probe()["errorCode"] == 0
    subject.pipeline.predict = broken  # the pipeline's thread lives, the pipeline does not
    assert probe()["errorCode"] == 500


def test_a_probe_does_not_wait_behind_a_long_call(subject: Subject) -> None:
    async def run() -> dict[str, Any]:
        subject.pipeline.held.clear()
        long = asyncio.ensure_future(subject.service.answer(requests(0)[0]))
        while subject.caller.busy_for < 0.01:  # noqa: ASYNC110 - another thread's
            await asyncio.sleep(0.001)
        body = json.dumps({PROBE: True}).encode()
        probed = json.loads(await subject.service.answer(Request("infer", body)))
        subject.pipeline.held.set()
        await long
        result: dict[str, Any] = probed["result"]
        return result

    assert asyncio.run(run())["busyFor"] > 0


def broken(*_: Any, **__: Any) -> Iterator[Any]:
    yield from (1 // number for number in (0,))


def test_a_sample_that_does_not_suit_is_no_probe(
    subject: Subject, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(subject.service.try_out({"infer": {"csv": csv("a")}}))
    assert json.loads(capsys.readouterr().err)["event"] == "no probe"
    assert probing(subject)()["errorCode"] == 0


def test_the_log_tells_each_request_and_no_content(
    subject: Subject, capsys: pytest.CaptureFixture[str]
) -> None:
    subject.asks({"csv": csv("7777,1")}, request_id="abc")
    [line] = capsys.readouterr().err.splitlines()
    row = json.loads(line)
    assert (row["event"], row["id"], row["operation"], row["code"]) == (
        "answered",
        "abc",
        "infer",
        0,
    )
    assert row["received"] > 0
    assert csv("7777,1") not in line


def test_an_operation_that_paddlex_does_not_have(subject: Subject) -> None:
    with pytest.raises(ValueError, match="sing"):
        Service(
            {"sing": TABLE},
            {},
            subject.caller,
            settings=Settings(),
            storages=Storages(),
            log=RequestLog("sums"),
        )
