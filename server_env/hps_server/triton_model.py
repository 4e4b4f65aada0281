"""What Triton's Python backend runs: `from hps_server.triton_model import TritonPythonModel`.

A pipeline with one operation is one model. A pipeline with several is one engine, which holds the
pipeline, and a door for each operation, which passes requests on to it inside Triton; so all
operations share one set of weights. `execute` hands the requests to an asyncio loop and returns;
each is answered when it is ready, through its response sender.
"""

import asyncio
import gc
import json
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from hps_server.package import Package, location, read_package
from hps_server.request_log import RequestLog
from hps_server.service import Request, Service
from hps_server.settings import read_settings
from hps_server.start import start_service

INPUT, OUTPUT = "input", "output"
_MICRO = 1e-6
_CLOSING = 10.0  # seconds for the loop to end
# Seconds that the thread of the pipeline may keep the interpreter while the one that takes requests
# in and out waits for it. Python's default, 0.005, is longer than a small model needs in all.
_SWITCH = 0.0005
_COUNTED = 0.5  # seconds until Triton's metrics know of a request
_MARGIN = 5.0  # seconds that an engine gets beyond the deadline, to say so itself


class TritonPythonModel:
    """The class that Triton's Python backend looks for, by this name."""

    def initialize(self, args: "Mapping[str, str]") -> None:
        """Load the pipeline, or find the engine; an exception becomes the reason of the failure."""
        config = json.loads(args["model_config"])
        parameters = {
            key: value["string_value"] for key, value in config.get("parameters", {}).items()
        }
        sys.setswitchinterval(_SWITCH)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="requests", daemon=True)
        self._thread.start()
        try:
            self._role = _role(args, parameters, self._loop)
        except BaseException:
            self._end_loop()
            raise

    def execute(self, requests: "list[Any]") -> None:
        """Take the requests in; the answers come through their senders."""
        for request in requests:
            sender = request.get_response_sender()
            asyncio.run_coroutine_threadsafe(_answer(self._role, request, sender), self._loop)

    def finalize(self) -> None:
        """Let go of the pipeline."""
        self._await(self._role.close())
        self._end_loop()

    def _await(self, work: "Coroutine[Any, Any, Any]") -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSING)


class _Engine:
    """Answers by itself."""

    def __init__(self, service: Service, operation: "str | None", counters: "_Counters") -> None:
        self._service = service
        self._operation = operation
        self._counters = counters

    async def answer(self, request: Any, abandoned: "Callable[[], bool]") -> Any:
        tensor = pb_utils.get_input_tensor_by_name(request, INPUT).as_numpy()
        operation = self._operation or _parameter(request, "operation")
        bodies = [_bytes(item) for item in tensor.reshape(-1)]
        answers = await asyncio.gather(
            *(
                self._service.answer(
                    Request(
                        operation=operation,
                        body=body,
                        request_id=request.request_id(),
                        deadline=request.timeout() * _MICRO,
                        abandoned=abandoned,
                    )
                )
                for body in bodies
            )
        )
        out = np.array(answers, dtype=np.object_).reshape(tensor.shape)
        return pb_utils.InferenceResponse([pb_utils.Tensor(OUTPUT, out)])

    async def close(self) -> None:
        await self._service.close()
        self._counters.close()


class _Door:
    """Passes requests on to the engine."""

    def __init__(self, engine: str, operation: str) -> None:
        self._engine = engine
        self._operation = operation

    async def answer(self, request: Any, _abandoned: "Callable[[], bool]") -> Any:
        inner = pb_utils.InferenceRequest(
            model_name=self._engine,
            requested_output_names=[OUTPUT],
            inputs=[pb_utils.get_input_tensor_by_name(request, INPUT)],
            request_id=request.request_id(),
            timeout=request.timeout(),
            parameters={"operation": self._operation},
        )
        # An engine that dies never answers; Triton itself ends the wait only at a deadline.
        limit = request.timeout() * _MICRO
        answer = await asyncio.wait_for(inner.async_exec(), limit + _MARGIN if limit else None)
        if answer.has_error():
            return pb_utils.InferenceResponse(error=answer.error())
        return pb_utils.InferenceResponse(answer.output_tensors())

    async def close(self) -> None:
        """There is nothing to let go of."""


async def _answer(role: Any, request: Any, sender: Any) -> None:
    try:
        response = await role.answer(request, sender.is_cancelled)
    except Exception as error:  # noqa: BLE001 - a request without an answer would hang its client
        reason = f"{type(error).__name__}: {error}"
        response = pb_utils.InferenceResponse(error=pb_utils.TritonError(reason))
    sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _role(
    args: "Mapping[str, str]",
    parameters: "Mapping[str, str]",
    loop: asyncio.AbstractEventLoop,
) -> Any:
    model = args["model_name"]
    if "engine" in parameters:
        return _Door(parameters["engine"], parameters["operation"])
    path = location()
    package = read_package(path)
    configuration = _configuration(path)
    settings = read_settings(configuration)
    counters = _Counters(model, loop)
    log = RequestLog(
        model,
        form=settings.log_format,
        level=os.environ.get("PADDLEX_HPS_LOGGING_LEVEL", "INFO"),
        count=counters.count,
    )
    operations = _operations(package, parameters)
    starting = start_service(
        operations,
        configuration,
        settings=settings,
        log=log,
        device=_device(args),
        use_hpip=_hpip(),
    )
    service = asyncio.run_coroutine_threadsafe(starting, loop).result()
    return _Engine(service, parameters.get("operation"), counters)


def _operations(package: Package, parameters: "Mapping[str, str]") -> "dict[str, Any]":
    named = parameters.get("operations", parameters.get("operation", ""))
    return {name: package.operation(name) for name in named.split(",") if name}


def _configuration(package: Path) -> "dict[str, Any]":
    import yaml  # noqa: PLC0415 - PaddleX's own reader; doors do without

    named = os.environ.get("PADDLEX_HPS_PIPELINE_CONFIG_PATH")
    path = Path(named) if named else package.with_name("pipeline_config.yaml")
    configuration = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(configuration, dict):
        raise TypeError(f"{path}: expected a mapping, got {type(configuration).__name__}")
    return configuration


def _device(args: "Mapping[str, str]") -> str:
    """PaddleX's name for the device of this instance."""
    if args["model_instance_kind"] == "GPU":
        return f"gpu:{args['model_instance_device_id']}"
    return "cpu"


def _hpip() -> bool:
    return os.environ.get("PADDLEX_HPS_USE_HPIP", "0") == "1"


def _parameter(request: Any, name: str) -> str:
    return str(json.loads(request.parameters() or "{}").get(name, ""))


def _bytes(item: Any) -> bytes:
    return item if isinstance(item, bytes) else str(item).encode("utf-8")


class _Counters:
    """Counts requests and seconds for Triton's /metrics, by operation and error code.

    Each change of a counter asks Triton's own process and waits for it, a quarter of what a request
    to a small model cost; so they are changed a little later, once for many requests.
    """

    def __init__(self, model: str, loop: asyncio.AbstractEventLoop) -> None:
        kind = pb_utils.MetricFamily.COUNTER
        self._model = model
        self._loop = loop
        self._requests = pb_utils.MetricFamily(
            name="hps_requests_total", description="Requests answered, by error code", kind=kind
        )
        self._seconds = pb_utils.MetricFamily(
            name="hps_request_seconds_total", description="Seconds spent on requests", kind=kind
        )
        self._counters: dict[tuple[str, int], tuple[Any, Any]] = {}
        self._new: dict[tuple[str, int], tuple[int, float]] = {}

    def count(self, operation: str, code: int, spent: float) -> None:
        """One request was answered; called by the loop."""
        if not self._new:
            self._loop.call_later(_COUNTED, self._pass_on)
        answered, lasted = self._new.get((operation, code), (0, 0.0))
        self._new[operation, code] = answered + 1, lasted + spent

    def _pass_on(self) -> None:
        for (operation, code), (answered, lasted) in self._new.items():
            if (operation, code) not in self._counters:
                labels = {"model": self._model, "operation": operation, "code": str(code)}
                # Triton frees a counter with the first process that lets go of its labels, also
                # when another, of the next version, counts on it; then it aborts.
                labels["process"] = str(os.getpid())
                self._counters[operation, code] = (
                    self._requests.Metric(labels=labels),
                    self._seconds.Metric(labels=labels),
                )
            requests, seconds = self._counters[operation, code]
            requests.increment(answered)
            seconds.increment(lasted)
        self._new.clear()

    def close(self) -> None:
        """Free them: what is left of them when the stub of Triton 2.51 ends makes it crash."""
        self._pass_on()
        self._counters.clear()
        del self._requests, self._seconds
        gc.collect()
