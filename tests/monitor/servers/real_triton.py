"""A real Triton from the wheel, in explicit mode, and small models that say who answered."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from hps.config.monitor import TritonServer
from hps.errors import HpsError
from hps.monitor.server import Generation, ServerError
from hps.monitor.servers.triton import TritonModel
from hps.monitor.servers.triton_grpc import Connection, State
from tests.monitor.servers.contract import sealed

CONFIG = """
backend: "python"
input { name: "x" data_type: TYPE_INT32 dims: 1 }
output { name: "y" data_type: TYPE_INT32 dims: 3 }
instance_group { kind: KIND_CPU }
version_policy { latest { num_versions: 1 } }
"""
# Answers with x, and with what its code and its weights say they are.
MODEL = """
import os, time
import numpy as np
import triton_python_backend_utils as pb
CODE = {number}
class TritonPythonModel:
    def initialize(self, args):
        folder = os.path.join(args["model_repository"], args["model_version"])
        with open(os.path.join(folder, "weights")) as file:
            self.weights = int(file.read())
        time.sleep({seconds})
        {initialize}
    def execute(self, requests):
        {execute}
        answers = []
        for request in requests:
            x = int(request.inputs()[0].as_numpy()[0])
            y = np.array([x, CODE, self.weights], np.int32)
            answers.append(pb.InferenceResponse([pb.Tensor("y", y)]))
        return answers
"""


def files_of(
    number: int,
    *,
    seconds: float = 0,
    initialize: str = "pass",
    execute: str = "pass",
    config: str | None = CONFIG,
    weights: int | None = None,
) -> dict[str, bytes]:
    """The files of a generation whose code and weights both know its number."""
    code = MODEL.format(number=number, seconds=seconds, initialize=initialize, execute=execute)
    files = {"model.py": code, "weights": str(number if weights is None else weights)}
    if config is not None:
        files["config.pbtxt"] = config
    return {name: text.encode() for name, text in files.items()}


class RealTriton:
    """A Triton on free ports of this machine.

    Args:
        triton: its folder (fixture `triton`).
        repository: made when missing.
        mode: of model control.
        complete: whether it starts each model twice, to complete its configuration first, as it
            does when nobody forbids it.
    """

    def __init__(
        self, triton: Path, repository: Path, mode: str = "explicit", *, complete: bool = False
    ) -> None:
        self.triton, self.repository, self.mode = triton, repository, mode
        self.complete = complete
        repository.mkdir(exist_ok=True)
        with contextlib.ExitStack() as stack:
            probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in "123"]
            self.http, self.grpc, self.metrics = (one.getsockname()[1] for one in probes)
        self.log = repository.parent / "triton.log"
        self.connection = Connection(f"127.0.0.1:{self.grpc}")
        self.prefix = f"hps-test-{os.getpid()}-{self.grpc}-"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self, *arguments: str) -> None:
        ports = {"http": self.http, "grpc": self.grpc, "metrics": self.metrics}
        command = [
            str(self.triton / "bin" / "tritonserver"),
            f"--model-repository={self.repository}",
            f"--model-control-mode={self.mode}",
            f"--backend-directory={self.triton / 'backends'}",
            f"--backend-config=python,shm-region-prefix-name={self.prefix}",
            "--exit-timeout-secs=5",
            *(f"--{name}-port={port}" for name, port in ports.items()),
            *(f"--{name}-address=127.0.0.1" for name in ports),
            *([] if self.complete else ["--disable-auto-complete-config"]),
            *arguments,
        ]
        # The stub's interpreter looks for itself in PATH, and would take the packages of a
        # virtual environment that it finds there first: another NumPy.
        path = os.pathsep.join(["/usr/local/bin", "/usr/bin", "/bin"])
        environment = {**os.environ, "PATH": path, "LD_LIBRARY_PATH": str(self.triton / "lib")}
        environment.pop("PYTHONPATH", None)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.wait_live()

    def wait_live(self) -> None:
        assert self.process is not None
        while self.process.poll() is None:
            with contextlib.suppress(HpsError):
                self.connection.versions("nobody")
                return
            time.sleep(0.1)
        raise AssertionError(self.log.read_text(errors="replace")[-5000:])

    def end(self, grace: float = 20) -> int | None:
        """SIGTERM, and SIGKILL for one that hangs; the exit code, None when it was killed."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(grace)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.kill()

    def kill(self) -> None:
        """End it and its models at once, and take away what they would leave behind."""
        assert self.process is not None
        if self.process.poll() is None:
            for process in (self.process.pid, *self.children()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            self.process.wait()
        for region in self.regions():
            region.unlink(missing_ok=True)

    def start_anew(self, *models: str) -> None:
        self.kill()
        self.start(*(f"--load-model={model}" for model in models))

    def children(self) -> list[int]:
        """The processes of models."""
        assert self.process is not None
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(child) for task in tasks for child in task.read_text().split()]

    def regions(self) -> list[Path]:
        """Its shared memory."""
        return [*Path("/dev/shm").glob(f"{self.prefix}*")]

    def settings(self, **others: Any) -> TritonServer:
        given = {"load_deadline": 60, "drain": 20} | others
        return TritonServer.model_validate(
            {
                "type": "triton",
                "address": f"127.0.0.1:{self.grpc}",
                "repository": str(self.repository),
                **{name.replace("_", "-"): value for name, value in given.items()},
            }
        )

    def model(self, name: str = "m", **others: Any) -> TritonModel:
        """The adapter as a new process would make it."""
        return TritonModel(self.settings(**others), name, connection=self.connection)

    def ask(self, name: str = "m", version: int | None = None, x: int = 7) -> tuple[int, int]:
        """Code and weights of who answers."""
        made = {"x": ("INT32", [1], x.to_bytes(4, "little"))}
        answer = self.connection.infer_raw(name, version, made, (), 30)["y"]
        said = [int.from_bytes(answer.raw[at : at + 4], "little") for at in (0, 4, 8)]
        assert said[0] == x
        return said[1], said[2]

    def answering(self, name: str = "m") -> int | None:
        try:
            code, weights = self.ask(name)
        except ServerError:
            return None
        assert code == weights
        return code

    def loads(self) -> int:
        """How often it started the process of a model, so far."""
        return self.log.read_text(errors="replace").count("TRITONBACKEND_ModelInstanceInitialize:")

    def ready_versions(self, name: str = "m") -> list[int]:
        states = self.connection.versions(name)
        return sorted(one for one, said in states.items() if said.state is State.READY)

    def http_ready(self) -> bool:
        """What an orchestrator asks: /v2/health/ready."""
        with socket.create_connection(("127.0.0.1", self.http), 10) as connection:
            connection.sendall(
                b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            return b" 200 " in connection.recv(100)


class TritonHost:
    """`contract.Host` over a RealTriton."""

    beside = True

    def __init__(self, real: RealTriton, folder: Path) -> None:
        self.real, self.folder = real, folder

    def server(self) -> TritonModel:
        return self.real.model()

    def answering(self) -> int | None:
        return self.real.answering()

    def generation(self, number: int) -> Generation:
        return made(self.folder, number)

    def start_anew(self) -> None:
        has = (self.real.repository / "m").is_dir()
        self.real.start_anew(*(["m"] if has else []))


def made(folder: Path, number: int, **others: Any) -> Generation:
    """A generation of MODEL."""
    return sealed(folder / "state", number, files_of(number, **others))


def probe_file(number: int, x: int = 5) -> bytes:
    """What a generation must answer."""
    tensor = {"datatype": "INT32", "shape": [3], "data": [x, number, number]}
    return json.dumps(
        {
            "inputs": {"x": {"datatype": "INT32", "shape": [1], "data": [x]}},
            "outputs": {"y": tensor},
        }
    ).encode()
