"""A real Triton with a model that does what the file of a request tells it."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.server_env.conftest import triton as triton  # noqa: PLC0414 - a fixture

ROOT = Path(__file__).resolve().parents[2]
SDK = ROOT / "sdk" / "hps_client"
for folder in (SDK, ROOT / "server_env"):
    if str(folder) not in sys.path:  # the client is no part of hps, it is not installed
        sys.path.insert(0, str(folder))

MODELS = ("ocr", "face-recognition-index-build", "time-series-forecasting")
CONFIG = """
backend: "python"
max_batch_size: 8
input [{ name: "input" data_type: TYPE_STRING dims: [ -1 ] }]
output [{ name: "output" data_type: TYPE_STRING dims: [ -1 ] }]
instance_group [{ count: 1 kind: KIND_CPU }]
dynamic_batching { }
"""


@dataclass(frozen=True)
class Served:
    """Where Triton answers, and which process it is."""

    http: str
    grpc: str
    log: Path
    told: Path

    def tell(self, **what: object) -> bytes:
        """A file that tells the model what to answer."""
        return json.dumps(what).encode()

    def asked(self, name: str) -> int:
        """How often a file called `name` reached the model."""
        folder = self.told / name
        return len(list(folder.iterdir())) if folder.exists() else 0

    def cancelled(self, name: str) -> bool:
        return (self.told / f"{name}.cancelled").exists()


@pytest.fixture(scope="session")
def served(triton: Path) -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="hps-client-") as base:
        folder = Path(base)
        code = (Path(__file__).parent / "told_model.py").read_text()
        for name in MODELS:
            (folder / "models" / name / "1").mkdir(parents=True)
            (folder / "models" / name / "config.pbtxt").write_text(CONFIG)
            (folder / "models" / name / "1" / "model.py").write_text(code)
        with _running(triton, folder) as here:
            yield here


@contextlib.contextmanager
def _running(triton: Path, folder: Path) -> Iterator[Served]:
    ports = _free_ports(3)
    command = [
        str(triton / "bin" / "tritonserver"),
        f"--model-repository={folder / 'models'}",
        f"--backend-directory={triton / 'backends'}",
        "--strict-readiness=false",
        "--exit-timeout-secs=2",
        *[f"--{service}-address=127.0.0.1" for service in ("http", "grpc", "metrics")],
        *[
            f"--{service}-port={port}"
            for service, port in zip(("http", "grpc", "metrics"), ports, strict=True)
        ],
    ]
    environment = {
        **os.environ,
        # The Python of the stub finds itself by PATH: not a virtual environment with NumPy 2.
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": str(triton / "lib"),
        "TOLD": str(folder / "told"),
    }
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        try:
            _wait(process, ports[0], log)
            http, grpc = f"127.0.0.1:{ports[0]}", f"grpc://127.0.0.1:{ports[1]}"
            yield Served(http, grpc, log, folder / "told")
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/v2/health/ready")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    pytest.fail(f"Triton did not start: {log.read_text(errors='replace')[-3000:]}")
