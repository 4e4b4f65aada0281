"""A small package as `hps assemble` writes it, whose models answer without PaddleX."""

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.server_env.conftest import PYTHON, SERVER_ENV

ENVIRONMENT = "sha256:" + "ab" * 32
CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: 8
input {{ name: "input" data_type: TYPE_STRING dims: 1 }}
output {{ name: "output" data_type: TYPE_STRING dims: 1 }}
instance_group [ {{ count: 1 kind: {kind} }} ]
parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}
"""
# Answers as an engine does: in a loop of its own, through response senders. What it is told to do
# stands in the request.
ENGINE = """
import asyncio, json, os, threading, time
import numpy as np
import triton_python_backend_utils as pb
class TritonPythonModel:
    def initialize(self, args):
        time.sleep(float(os.environ.get("ENGINE_LOAD", "0")))
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
    def execute(self, requests):
        for request in requests:
            asyncio.run_coroutine_threadsafe(
                self.answer(request, request.get_response_sender()), self.loop)
    async def answer(self, request, sender):
        text = pb.get_input_tensor_by_name(request, "input").as_numpy().reshape(-1)[0]
        body = json.loads(text)
        if "sleep" in body:
            await asyncio.sleep(body["sleep"])
        if body.get("block"):
            time.sleep(body["block"])
        if body.get("spin"):
            end = time.monotonic() + body["spin"]
            while time.monotonic() < end: pass
        code = body.get("code", 0)
        names = ("HPS_PACKAGE", "PADDLEX_HPS_PIPELINE_CONFIG_PATH", "PADDLEX_HPS_LOGGING_LEVEL",
                 "HPS_SERVER_QUEUE", "HPS_SERVER_STRICT", "PADDLEX_HPS_DEVICE_TYPE")
        result = {} if body.get("hps:probe") else {
            "request": body, "pid": os.getpid(),
            "parameters": json.loads(request.parameters() or "{}"),
            "environment": {name: os.environ.get(name) for name in names}}
        envelope = {"logId": request.request_id(), "errorCode": code}
        envelope |= {"errorMsg": "no"} if code else {"errorMsg": "Success", "result": result}
        out = np.array([[json.dumps(envelope).encode()]], dtype=object)
        sender.send(pb.InferenceResponse([pb.Tensor("output", out)]),
                    flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
DOOR = """
import json
import triton_python_backend_utils as pb
class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self.engine = parameters["engine"]["string_value"]
        self.operation = parameters["operation"]["string_value"]
    async def execute(self, requests):
        return [await self.answer(request) for request in requests]
    async def answer(self, request):
        inner = pb.InferenceRequest(
            model_name=self.engine, requested_output_names=["output"],
            inputs=[pb.get_input_tensor_by_name(request, "input")],
            request_id=request.request_id(), parameters={"operation": self.operation})
        answer = await inner.async_exec()
        if answer.has_error():
            return pb.InferenceResponse(error=answer.error())
        return pb.InferenceResponse(answer.output_tensors())
"""


def operation(identity: str, model: str, endpoint: str, **others: Any) -> dict[str, Any]:
    return {"id": identity, "model": model, "endpoint": endpoint, **others}


ONE = [operation("infer", "ocr", "/ocr", files=["file"], media="document")]
SEVERAL = [
    operation("buildIndex", "shitu-index-build", "/shitu-index-build", files=["pairs[].image"]),
    operation("infer", "shitu-infer", "/shitu-infer", files=["image"], media="image"),
]


def add_model(
    repository: Path, name: str, code: str, parameters: dict[str, str], *, gpu: bool = True
) -> None:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1" / "model.py").write_text(code)
    (key, value), *rest = parameters.items()
    more = "".join(
        f'parameters {{ key: "{k}" value {{ string_value: "{v}" }} }}\n' for k, v in rest
    )
    for device in ("cpu", "gpu") if gpu else ("cpu",):
        kind = f"KIND_{device.upper()}" + (" gpus: [ 0 ]" if device == "gpu" else "")
        text = CONFIG.format(name=name, kind=kind, key=key, value=value)
        (repository / name / f"config_{device}.pbtxt").write_text(text + more)


def make_package(
    folder: Path,
    operations: list[dict[str, Any]] = ONE,
    *,
    pipeline: str = "OCR",
    paddlex: str = "3.7.2",
    gpu: bool = True,
) -> Path:
    """The folder `server` of a package; one operation is one model, several share an engine."""
    server = folder / "server"
    models = server / "model_repo"
    engine = f"{pipeline.lower()}-pipeline"
    if len(operations) == 1:
        only = operations[0]
        add_model(models, only["model"], ENGINE, {"operation": only["id"]}, gpu=gpu)
    else:
        identities = ",".join(each["id"] for each in operations)
        add_model(models, engine, ENGINE, {"operations": identities}, gpu=gpu)
        for each in operations:
            add_model(models, each["model"], DOOR, {"operation": each["id"], "engine": engine})
    (server / "pipeline_config.yaml").write_text(f"pipeline_name: {pipeline}\n")
    document = {
        "package": f"paddlex_hps_{pipeline}_sdk",
        "pipeline": pipeline,
        "sdk_version": "0.3.0",
        "paddlex": paddlex,
        "environments": [ENVIRONMENT],
        "operations": operations,
    }
    (server / "package.json").write_text(json.dumps(document))
    return server


def installed_paddlex(folder: Path, version: str = "3.7.2") -> Path:
    """A folder for PYTHONPATH in which PaddleX is installed, as far as its metadata says."""
    information = folder / f"paddlex-{version}.dist-info"
    information.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: paddlex\nVersion: {version}\n"
    (information / "METADATA").write_text(metadata)
    (folder / "paddlex" / "configs" / "pipelines").mkdir(parents=True)
    (folder / "paddlex" / "__init__.py").write_text("raise ImportError('it takes seconds')\n")
    for name in ("OCR", "PP-ShiTuV2"):
        (folder / "paddlex" / "configs" / "pipelines" / f"{name}.yaml").touch()
    return folder


class PackageServer:
    """A launcher that serves a package, and on wish the REST facade."""

    def __init__(
        self,
        triton: Path,
        package: Path,
        *arguments: str,
        paths: tuple[Path, ...] = (),
        rest: bool = False,
        environment: dict[str, str] | None = None,
    ) -> None:
        with contextlib.ExitStack() as stack:
            probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in "1234"]
            ports = [each.getsockname()[1] for each in probes]
        self.http, self.grpc, self.metrics, self.rest = ports
        search = os.pathsep.join([str(SERVER_ENV), *map(str, paths)])
        self.environment = {
            **os.environ,
            "PYTHONPATH": search,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HPS_ENVIRONMENT": ENVIRONMENT,
            "HPS_HTTP_PORT": str(self.http),
            "HPS_GRPC_PORT": str(self.grpc),
            "HPS_METRICS_PORT": str(self.metrics),
            "HPS_ADDRESS": "127.0.0.1",
            "HPS_REST_PORT": str(self.rest) if rest else "",
            "HPS_SERVER_PROBE_INTERVAL": "1",
            "HPS_SERVER_PROBE_DEADLINE": "2",
            **(environment or {}),
        }
        self.log: list[str] = []
        self.process = subprocess.Popen(
            [
                *(PYTHON, "-m", "hps_server.launch", "--package", str(package)),
                *("--triton", str(triton), *arguments),
            ],
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def wait_for(self, *said: str) -> str:
        """The next line of the log that holds one of these."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if any(each in line for each in said):
                return line
        raise AssertionError(f"never said {said!r}:\n" + "".join(self.log))

    def end(self) -> tuple[int, str]:
        _, rest = self.process.communicate()
        return self.process.returncode, "".join(self.log) + rest

    def health(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            [PYTHON, "-m", "hps_server.health", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            check=False,
        )
        return done.returncode, json.loads(done.stdout)


@contextlib.contextmanager
def serving(server: PackageServer) -> Iterator[PackageServer]:
    try:
        server.wait_for("hps-server: ready after")
        yield server
    finally:
        if server.process.poll() is None:
            server.process.terminate()
            server.end()
