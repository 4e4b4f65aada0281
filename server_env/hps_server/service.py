"""Answers the requests of one pipeline: bytes in, bytes out, each request by itself.

The way of a request: size, JSON, identifiers, PaddleX's schema, inputs within limits, PaddleX's
function, envelope. Everything runs on one asyncio loop; the pipeline itself in one thread
(`hps_server.batching`), decoding and other services in a few more.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pydantic

from hps_server.admission import admit, check_identifiers
from hps_server.batching import PipelineCaller, PredictionError
from hps_server.blame import blamed
from hps_server.envelope import Code, failure, success
from hps_server.fetching import Fetcher
from hps_server.package import Operation
from hps_server.pipeline_app import Route, Storages, unknown_fields
from hps_server.refused import Refused
from hps_server.request_log import RequestLog
from hps_server.request_models import completed
from hps_server.safeguards import Safeguards
from hps_server.settings import Settings

PROBE = "hps:probe"
_WATCH = 0.25  # seconds between two looks whether somebody still waits for the answer


@dataclass(frozen=True)
class Request:
    """One request as it came.

    Args:
        operation: PaddleX's id of what is asked for.
        body: the JSON document.
        request_id: the transport's id for it; empty when it gave none.
        deadline: seconds within which it is to be answered; 0 when the client named none.
        abandoned: says whether the client has gone away.
    """

    operation: str
    body: bytes
    request_id: str = ""
    deadline: float = 0.0
    abandoned: "Callable[[], bool]" = lambda: False


class Service:
    """One pipeline with all its operations.

    Args:
        operations: what is offered, by id.
        routes: PaddleX's functions, by the same ids.
        caller: runs the pipeline.
        settings: limits and switches.
        storages: where results and indexes are kept.
        log: told of each request.
    """

    def __init__(
        self,
        operations: "Mapping[str, Operation]",
        routes: "Mapping[str, Route]",
        caller: PipelineCaller,
        *,
        settings: Settings,
        storages: Storages,
        log: RequestLog,
    ) -> None:
        missing = operations.keys() - routes.keys()
        if missing:
            raise ValueError(f"PaddleX has no operation {', '.join(sorted(missing))} here")
        self._operations = operations
        default_index = getattr(caller.pipeline, "indexer", None) is not None
        self._routes = {
            identity: replace(route, request=completed(route.request, default_index=default_index))
            for identity, route in routes.items()
        }
        self._caller = caller
        self._settings = settings
        self._log = log
        self._fetcher = Fetcher(settings.limits)
        self._safeguards = Safeguards(storages, self._fetcher)
        self._inside = 0
        self._samples: dict[str, dict[str, Any]] = {}

    async def answer(self, request: Request) -> bytes:
        """The envelope for one request; never raises for what the request or the pipeline does."""
        started = time.monotonic()
        log_id = request.request_id if _usable(request.request_id) else str(uuid.uuid4())
        code, body = int(Code.FAILED), b""
        try:
            document = self._document(request)
            if document.get(PROBE) is True:
                return await self._probe(request.operation, log_id)
            log_id = str(document.get("logId") or log_id)
            body = await self._in_time(request, document, log_id)
            code = 0
        except Exception as error:  # noqa: BLE001 - the boundary: every failure becomes an answer
            code, message = explain(error)
            if code == Code.FAILED:
                self._log.failed(log_id, request.operation, error)
            body = failure(log_id, code, message)
        seconds = time.monotonic() - started
        sizes = len(request.body), len(body)
        self._log.done(log_id, request.operation, code, seconds, sizes)
        return body

    def _document(self, request: Request) -> "dict[str, Any]":
        """The request's JSON object.

        Raises:
            Refused: it is too large, or no JSON object; then in pydantic's words, as it always was.
        """
        most = self._settings.limits.max_request_bytes
        if len(request.body) > most:
            raise Refused(f"The request has {len(request.body)} bytes; at most {most} are taken")
        try:
            document = _read_object(request.body)
        except Refused:
            if route := self._routes.get(request.operation):
                _in_words_of(route, request.body)
            raise
        check_identifiers(document)
        return document

    async def _in_time(self, request: Request, document: "dict[str, Any]", log_id: str) -> bytes:
        if self._inside >= self._settings.queue:
            raise Refused(f"{self._inside} requests are waiting already; ask again", Code.BUSY)
        limit = request.deadline or self._settings.deadline or None
        self._inside += 1
        try:
            async with asyncio.timeout(limit):
                work = self._run(request.operation, document, log_id)
                return await _while_wanted(work, request.abandoned)
        finally:
            self._inside -= 1

    async def _run(self, identity: str, document: "dict[str, Any]", log_id: str) -> bytes:
        operation, route = self._operations[identity], self._routes[identity]
        read = _read(route, document)
        if self._settings.strict and (unknown := list(unknown_fields(document, read))):
            raise Refused(f"unknown fields: {', '.join(unknown)}")
        document = await admit(
            document,
            operation.files,
            operation.media,
            self._settings.limits,
            self._fetcher,
            pages=self._settings.pages,
        )
        async with self._safeguards.around(identity, document):
            answer = await route.answer(_read(route, document))
        result = getattr(answer, "result", answer)  # document understanding has no envelope
        result = self._safeguards.finish(
            identity, result.model_dump(mode="json", exclude_none=True)
        )
        return success(log_id, json.dumps(result, ensure_ascii=False, separators=(",", ":")))

    async def try_out(self, samples: "Mapping[str, dict[str, Any] | None]") -> None:
        """Answer a sample of each operation once; those that are answered serve as probes.

        The first call of a network is slow, so this also warms it up.
        """
        for identity, document in samples.items():
            # Retrieval answers nothing without an index that somebody has built.
            if document is None or "indexKey" in self._routes[identity].request.model_fields:
                continue
            try:
                await self._run(identity, document, PROBE)
            except Exception as error:  # noqa: BLE001 - a sample of ours need not suit each model
                code, message = explain(error)
                self._log.say("no probe", operation=identity, code=code, reason=message)
            else:
                self._samples[identity] = document

    async def _probe(self, identity: str, log_id: str) -> bytes:
        """Proof that the pipeline is alive: a real inference where a sample suits it.

        While a call is running nothing is added behind it; the answer says for how many seconds it
        has been, and whoever probes decides when that is too long.
        """
        if identity not in self._operations:
            raise Refused(f"no operation {identity!r} here")
        if busy := self._caller.busy_for:
            return success(log_id, json.dumps({"busyFor": round(busy, 3)}))
        document = self._samples.get(identity)
        if document is None:
            await self._caller.call(lambda: None)
        else:
            await self._run(identity, document, log_id)
        return success(log_id, "{}")

    async def close(self) -> None:
        """End the pipeline's thread and what fetches."""
        await self._fetcher.close()
        await asyncio.get_running_loop().run_in_executor(None, self._caller.close)


def explain(error: BaseException) -> "tuple[int, str]":
    """The code and the message for a failure; nothing of the inside goes out with a 500."""
    if isinstance(error, Refused):
        return int(error.code), str(error)
    if isinstance(error, TimeoutError):
        return int(Code.LATE), "The deadline has passed"
    if isinstance(error, asyncio.CancelledError):
        return int(Code.LATE), "The request was given up"
    status = getattr(error, "status_code", None)  # FastAPI's HTTPException, raised by PaddleX
    if isinstance(status, int) and not isinstance(error, PredictionError):
        return status, str(getattr(error, "detail", error))
    if (told := blamed(error)) is not None:
        return int(Code.INVALID), told
    return int(Code.FAILED), "Internal server error"


async def _while_wanted(work: "Awaitable[bytes]", abandoned: "Callable[[], bool]") -> bytes:
    """Wait for the work, and give it up when nobody wants it any more."""
    task = asyncio.ensure_future(work)
    try:
        while True:
            done, _ = await asyncio.wait({task}, timeout=_WATCH)
            if done:
                return task.result()
            if abandoned():
                raise Refused("The client has gone away", Code.LATE)
    finally:
        task.cancel()


def _read_object(body: bytes) -> "dict[str, Any]":
    """The JSON object of a request.

    Raises:
        Refused: it is none.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(f"The request is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise Refused(f"The request is no JSON object but a {type(document).__name__}")
    return document


def _in_words_of(route: Route, body: bytes) -> None:
    """Refuse a body that is no JSON object of the route's model.

    Raises:
        Refused: pydantic does not take it either, and says why.
    """
    try:
        route.request.model_validate_json(body)
    except pydantic.ValidationError as error:
        raise Refused(str(error)) from error


def _read(route: Route, document: "dict[str, Any]") -> pydantic.BaseModel:
    """The request as PaddleX's model; a violation that comes later is not the client's fault.

    Raises:
        Refused: it does not fit the model.
    """
    try:
        return route.request.model_validate(document)
    except pydantic.ValidationError as error:
        raise Refused(str(error)) from error


def _usable(request_id: str) -> bool:
    try:
        check_identifiers({"logId": request_id})
    except Refused:
        return False
    return bool(request_id)
