"""`python3 -m hps_server.rest`: a package's operations over plain HTTP, beside Triton's routes.

The paths are those of PaddleX's basic serving (`POST /ocr`), the answers the same envelopes, with
real status codes. Everything is handed on to Triton on this machine. The launcher starts it with
`--rest-port`.
"""

import argparse
import asyncio
import contextlib
import hmac
import http
import json
import signal
import ssl
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from hps_server.health import local
from hps_server.logs import FORMATS, Log
from hps_server.openapi import endpoints
from hps_server.package import Operation, Package, location, read_package
from hps_server.rest_bodies import (
    FORM,
    JSON,
    BodyError,
    check_type,
    checked_json,
    from_file,
    from_form,
    usable_identity,
)
from hps_server.rest_files import PREFIX, Answer, configuration_path, signed_files
from hps_server.rest_metrics import CONTENT_TYPE, Metrics
from hps_server.rest_upstream import LENGTH_HEADER, Outcome, failure, read_answer, request_body

REQUEST_ID = "X-Request-Id"
_OPEN = {"/health", "/health/ready"}  # these need no token
_IDLE = 60.0  # seconds for the headers of a request, and between two requests
_SLOWEST = 16 << 10  # bytes a second, below which a body is given up
_PATIENCE = 20.0  # seconds that every body has
_STALE = 15.0  # seconds after which the watch's last word counts no more
_MARGIN = 2.0  # seconds that the model has beyond the deadline, to say so itself
_SCHEMA_TIMEOUT = 300.0


@dataclass(frozen=True)
class Settings:
    """How the facade behaves.

    Args:
        triton: address and port of Triton's HTTP.
        deadline: seconds for a request.
        max_body: bytes.
        max_requests: so many at a time; more are turned away with 503.
        token: what clients must bear; empty when nothing.
        state: the file in which the watch says how the models are.
    """

    triton: "tuple[str, int]"
    deadline: float
    max_body: int
    max_requests: int
    token: str
    state: "Path | None"


class Facade:
    """The routes; `application` makes the app."""

    def __init__(
        self,
        package: Package,
        settings: Settings,
        log: Log,
        files: "Callable[[str, Mapping[str, str]], Answer] | None" = None,
    ) -> None:
        self._package = package
        self._files = files
        self._settings = settings
        self._log = log
        self._metrics = Metrics()
        self._session: aiohttp.ClientSession | None = None
        self._schema: asyncio.Task[bytes] | None = None

    def application(self) -> web.Application:
        """The app with all routes."""
        app = web.Application(
            client_max_size=self._settings.max_body, middlewares=[self._identified]
        )
        for operation in self._package.operations:
            for path in endpoints(operation):
                app.router.add_post(path, self._handler(operation))
        app.router.add_get("/health", self._health)
        app.router.add_get("/health/ready", self._ready)
        app.router.add_get("/openapi.json", self._openapi)
        app.router.add_get("/metrics", self._tell_metrics)
        if self._files is not None:
            app.router.add_get(PREFIX + "{key:.+}", self._file)
        app.cleanup_ctx.append(self._upstream)
        return app

    async def _upstream(self, _app: web.Application) -> "Any":
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            self._session = session
            yield
            if self._schema is not None:
                self._schema.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError, ValueError):
                    await self._schema

    @web.middleware
    async def _identified(
        self,
        request: web.Request,
        handler: "Callable[[web.Request], Awaitable[web.StreamResponse]]",
    ) -> web.StreamResponse:
        """Every answer has a request id and an envelope, also what aiohttp refuses."""
        identity = usable_identity(request.headers.get(REQUEST_ID)) or str(uuid.uuid4())
        request["identity"] = identity
        try:
            if not _is_open(request.path) and not self._may(request):
                refused = _response(failure(401, identity, "a bearer token is needed"))
                refused.headers["WWW-Authenticate"] = "Bearer"
                response: web.StreamResponse = refused
            else:
                response = await handler(request)
        except web.HTTPException as error:
            response = _response(failure(error.status, identity, error.reason))
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
        response.headers[REQUEST_ID] = identity
        return response

    def _may(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        wanted = self._settings.token
        given = token.strip().encode("utf-8", "surrogateescape")
        return not wanted or (
            scheme.lower() == "bearer" and hmac.compare_digest(given, wanted.encode())
        )

    def _handler(
        self, operation: Operation
    ) -> "Callable[[web.Request], Awaitable[web.StreamResponse]]":
        async def handle(request: web.Request) -> web.StreamResponse:
            started = time.monotonic()
            identity = request["identity"]
            self._metrics.inside += 1
            try:
                outcome = await self._answer(operation, request, identity)
            finally:
                self._metrics.inside -= 1
            seconds = time.monotonic() - started
            self._metrics.count(operation.id, outcome.code, seconds)
            self._log.say(
                "info" if outcome.status < http.HTTPStatus.INTERNAL_SERVER_ERROR else "error",
                "answered",
                operation=operation.id,
                status=outcome.status,
                seconds=round(seconds, 4),
                cause=outcome.cause,
                request_id=identity,
            )
            return _response(outcome)

        return handle

    async def _answer(self, operation: Operation, request: web.Request, identity: str) -> Outcome:
        if self._metrics.inside > self._settings.max_requests:
            return failure(503, identity, "too many requests at a time; ask again")
        try:
            self._check_size(request.content_length or 0)
            text = await self._text(operation, request)
        except BodyError as error:
            return failure(error.status, identity, error.message)
        except TimeoutError:
            return failure(408, identity, "the body did not come in time")
        return await self._ask(operation.model, text, identity)

    async def _text(self, operation: Operation, request: web.Request) -> bytes:
        form = check_type(operation, _content_type(request))
        if form == FORM:
            return await self._read_form(operation, request)
        body = await self._paced(request)
        if form == JSON:
            return checked_json(body)
        return from_file(operation, _content_type(request), body, request.query.items())

    def _check_size(self, size: int) -> None:
        if size > self._settings.max_body:
            raise BodyError(413, f"the body is larger than {self._settings.max_body} bytes")

    async def _paced(self, request: web.Request) -> bytes:
        """The body, as long as it comes at a human pace."""
        pieces: list[bytes] = []
        size, started = 0, time.monotonic()
        while True:
            left = started + _PATIENCE + size / _SLOWEST - time.monotonic()
            async with asyncio.timeout(max(left, 0)):
                piece = await request.content.readany()
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
            self._check_size(size)

    async def _read_form(self, operation: Operation, request: web.Request) -> bytes:
        files: dict[str, tuple[str, bytes]] = {}
        texts: list[tuple[str, str]] = []
        try:
            async with asyncio.timeout(_PATIENCE + (request.content_length or 0) / _SLOWEST):
                fields = await request.post()
            for name, value in fields.items():
                if isinstance(value, web.FileField):
                    files[name] = (value.content_type, value.file.read())
                    value.file.close()
                else:
                    texts.append((name, str(value)))
        except (ValueError, LookupError) as error:
            raise BodyError(400, f"the form cannot be read: {error}") from error
        return from_form(operation, files, texts)

    async def _ask(self, model: str, text: bytes, identity: str) -> Outcome:
        address, port = self._settings.triton
        body, length = request_body(text, identity, self._settings.deadline)
        host = f"[{address}]" if ":" in address else address
        timeout = aiohttp.ClientTimeout(self._settings.deadline + _MARGIN)
        headers = {
            LENGTH_HEADER: str(length),
            "Content-Type": "application/octet-stream",
            "Accept-Encoding": "identity",  # Triton would compress, for nothing on one machine
        }
        assert self._session is not None  # noqa: S101 - open for as long as requests come
        try:
            async with self._session.post(
                f"http://{host}:{port}/v2/models/{model}/infer",
                data=body,
                headers=headers,
                timeout=timeout,
            ) as answer:
                data = await answer.read()
                given = answer.headers.get(LENGTH_HEADER)
                return read_answer(answer.status, given, data, identity)
        except TimeoutError:
            return failure(504, identity, "The deadline has passed")
        except (OSError, aiohttp.ClientError) as error:
            self._log.say("error", f"Triton does not answer: {error}", request_id=identity)
            return failure(503, identity, "The server is not ready; ask again")

    async def _file(self, request: web.Request) -> web.Response:
        assert self._files is not None  # noqa: S101 - the route is there only then
        path = request.raw_path.partition("?")[0].removeprefix(PREFIX)
        query = dict(request.query)
        status, body, headers = await asyncio.to_thread(self._files, path, query)
        return web.Response(status=status, body=body, headers=headers)

    async def _health(self, request: web.Request) -> web.Response:
        envelope = {"logId": request["identity"], "errorCode": 0, "errorMsg": "Healthy"}
        return web.json_response(envelope)

    async def _ready(self, request: web.Request) -> web.Response:
        ready, models = readiness(self._settings.state, time.monotonic())
        code = 0 if ready else 503
        message = "Ready" if ready else "Not ready"
        envelope = {"logId": request["identity"], "errorCode": code, "errorMsg": message}
        return web.json_response(envelope | {"models": models}, status=code or 200)

    async def _tell_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _openapi(self, request: web.Request) -> web.Response:
        if self._schema is None or (self._schema.done() and not _succeeded(self._schema)):
            self._schema = asyncio.create_task(_describe())
        try:
            body = await asyncio.shield(self._schema)
        except (OSError, TimeoutError, ValueError) as error:
            self._log.say("error", f"no OpenAPI document: {error}", request_id=request["identity"])
            return _response(failure(503, request["identity"], "there is no OpenAPI document"))
        return web.Response(body=body, content_type=JSON)


def readiness(state: "Path | None", now: float) -> "tuple[bool, dict[str, Any]]":
    """Whether all models answered the watch's last probes, and what it says of each.

    A watch that has not spoken for some seconds counts as bad news.
    """
    if state is None:
        return False, {}
    try:
        document = json.loads(state.read_text())
        models: dict[str, Any] = document["models"]
        fresh = now - float(document["at"]) < _STALE
    except (OSError, ValueError, KeyError, TypeError):
        return False, {}
    return fresh and bool(models) and all(each["ready"] for each in models.values()), models


async def _describe() -> bytes:
    """The OpenAPI document, made by a program of its own.

    Raises:
        OSError: it cannot be started.
        ValueError: it has failed.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hps_server.openapi", stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_SCHEMA_TIMEOUT):
            out, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode or not out:
        raise ValueError(f"hps_server.openapi ended with {process.returncode}")
    return out


def _succeeded(task: "asyncio.Task[bytes]") -> bool:
    return not task.cancelled() and task.exception() is None


def _is_open(path: str) -> bool:
    # A signed URL is its own permission.
    return path in _OPEN or path.startswith(PREFIX)


def _content_type(request: web.Request) -> str:
    return request.content_type if "Content-Type" in request.headers else ""


def _response(outcome: Outcome) -> web.Response:
    response = web.Response(status=outcome.status, body=outcome.body, content_type=JSON)
    if outcome.status in (429, 503):
        response.headers["Retry-After"] = "1"
    return response


async def serve(
    facade: Facade, address: str, port: int, tls: "ssl.SSLContext | None", grace: float
) -> None:
    """Serve until SIGTERM or SIGINT; open requests then have `grace` seconds."""
    runner = web.AppRunner(
        facade.application(),
        access_log=None,
        keepalive_timeout=_IDLE,
        shutdown_timeout=grace,
        handler_cancellation=True,
    )
    await runner.setup()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        await web.TCPSite(runner, address, port, ssl_context=tls).start()
        await stopped.wait()
    finally:
        await runner.cleanup()


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m hps_server.rest", description=__doc__)
    add = parser.add_argument
    add("--address", default="127.0.0.1", help="where to listen, and where Triton listens")
    add("--port", type=int, required=True)
    add("--http-port", type=int, required=True, help="Triton's")
    add("--state", type=Path, metavar="FILE", help="what the watch says of the models")
    add("--deadline", type=float, default=300.0)
    add("--max-body", type=int, default=128 << 20, metavar="BYTES")
    add("--max-requests", type=int, default=256)
    add("--token-file", type=Path)
    add("--tls-certificate", type=Path)
    add("--tls-key", type=Path)
    add("--grace", type=float, default=30.0)
    add("--log-format", choices=FORMATS, default=FORMATS[0])
    options = parser.parse_args(arguments)
    settings = Settings(
        triton=(local(options.address), options.http_port),
        deadline=options.deadline,
        max_body=options.max_body,
        max_requests=options.max_requests,
        token=options.token_file.read_text().strip() if options.token_file else "",
        state=options.state,
    )
    if options.token_file and not settings.token:
        parser.error(f"{options.token_file} holds no token")
    log = Log(options.log_format, "hps-rest")
    files = signed_files(configuration_path())
    facade = Facade(read_package(location()), settings, log, files)
    tls = None
    if options.tls_certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.tls_certificate, options.tls_key)
    asyncio.run(serve(facade, options.address, options.port, tls, options.grace))
    return 0


if __name__ == "__main__":
    sys.exit(main())
