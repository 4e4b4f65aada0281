"""The launcher: what it refuses, and a real Triton under it."""

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps_server.launch import (
    parse_arguments,
    port_faults,
    server_command,
    server_environment,
    stub_fault,
)
from tests.server_env.conftest import PYTHON, SERVER_ENV

CONFIG = """
backend: "python"
input { name: "x" data_type: TYPE_FP32 dims: -1 }
output { name: "y" data_type: TYPE_FP32 dims: -1 }
instance_group { kind: KIND_CPU }
"""
DOUBLE = """
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        return [
            pb.InferenceResponse([pb.Tensor("y", each.inputs()[0].as_numpy() * 2)])
            for each in requests
        ]
"""
EXAMPLES = SERVER_ENV.parent / "sdk" / "examples" / "models"


def add_model(repository: Path, name: str, code: str | None) -> None:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(CONFIG)
    if code is not None:
        (repository / name / "1" / "model.py").write_text(code)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    add_model(folder, "double", DOUBLE)
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A Triton folder that has the Python backend by name only: enough to judge."""
    library = tmp_path / "triton" / "backends" / "python" / "libtriton_python.so"
    library.parent.mkdir(parents=True)
    library.touch()
    return tmp_path / "triton"


def launcher(python: str, triton: Path, repository: Path, *arguments: str) -> list[str]:
    command = [python, "-m", "hps_server.launch", "--model-repository", str(repository)]
    return [*command, "--triton", str(triton), *arguments]


def check(triton: Path, repository: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        launcher(sys.executable, triton, repository, *arguments),
        env={**os.environ, "PYTHONPATH": str(SERVER_ENV)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


class Server:
    """A launcher on three free ports of this machine."""

    def __init__(self, triton: Path, repository: Path, *arguments: str) -> None:
        with contextlib.ExitStack() as stack:
            probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in "123"]
            self.http, self.grpc, self.metrics = (each.getsockname()[1] for each in probes)
        # The stub's interpreter looks for itself in PATH (getpath.py of CPython), and would take
        # the packages of a virtual environment that it finds there first: another NumPy.
        path = os.pathsep.join(["/usr/local/bin", "/usr/bin", "/bin"])
        self.environment = {**os.environ, "PYTHONPATH": str(SERVER_ENV), "PATH": path}
        ports = {"--http-port": self.http, "--grpc-port": self.grpc, "--metrics-port": self.metrics}
        where = [f"{option}={port}" for option, port in ports.items()]
        self.process = subprocess.Popen(
            launcher(PYTHON, triton, repository, "--address=127.0.0.1", *where, *arguments),
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def wait_for(self, said: str) -> None:
        assert self.process.stderr is not None
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if said in line:
                return
        raise AssertionError("".join(lines))

    def name(self) -> str:
        """What the names of its shared memory begin with now: it holds that lock open."""
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = descriptor.readlink()
                if target.match("/dev/shm/hps-server-*.lock"):
                    return target.stem
        raise AssertionError("it holds no lock")

    def end(self) -> tuple[int, str]:
        _, log = self.process.communicate()
        return self.process.returncode, log

    def health(self, *arguments: str) -> tuple[int, dict[str, object]]:
        done = subprocess.run(
            [PYTHON, "-m", "hps_server.health", "--http-port", str(self.http), *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            check=False,
        )
        return done.returncode, json.loads(done.stdout)


@contextlib.contextmanager
def serving(triton: Path, repository: Path, *arguments: str) -> Iterator[Server]:
    server = Server(triton, repository, *arguments)
    try:
        server.wait_for("hps-server: ready after")
        yield server
    finally:
        # In order, also after a failure: a launcher that is killed leaves shared memory behind.
        if server.process.poll() is None:
            server.process.terminate()
            server.end()


CLIENT = """
import importlib, json, sys
import numpy as np
client = importlib.import_module(f"tritonclient.{sys.argv[1]}")
with client.InferenceServerClient(f"127.0.0.1:{sys.argv[2]}") as connection:
    x = client.InferInput("x", [2], "FP32")
    x.set_data_from_numpy(np.array([1, 2.5], np.float32))
    print(json.dumps(connection.infer("double", [x]).as_numpy("y").tolist()))
"""


def ask(protocol: str, port: int) -> list[float]:
    """What the model `double` makes of 1 and 2.5, asked by tritonclient."""
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, protocol, str(port)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    answer: list[float] = json.loads(done.stdout)
    return answer


def regions(name: str) -> list[str]:
    """The files of one launcher; others run beside it."""
    return [path.name for path in Path("/dev/shm").glob(f"{name}*")]


def test_the_shipped_example_is_sound(bare: Path) -> None:
    assert check(bare, EXAMPLES, "--check") == (
        0,
        "hps-server: the repository is sound: housing\n",
    )


@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_a_model_that_would_hang_is_refused_with_a_reason(
    bare: Path, repository: Path, arguments: tuple[str, ...]
) -> None:
    add_model(repository, "empty", None)
    code, said = check(bare, repository, *arguments)
    assert code == 2
    assert "1 fault(s)" in said
    assert "empty/1: model.py is missing (the directory holds nothing); Triton would wait" in said


def test_no_repository_and_an_empty_one(bare: Path, tmp_path: Path) -> None:
    code, said = check(bare, tmp_path / "missing")
    assert (code, "No such file or directory" in said) == (2, True)
    (tmp_path / "none").mkdir()
    code, said = check(bare, tmp_path / "none")
    assert (code, "holds no model" in said) == (2, True)
    assert check(bare, tmp_path / "none", "--check", "--allow-empty")[0] == 0


def test_a_file_that_this_user_cannot_read() -> None:
    script = f"import os, sys; sys.path.insert(0, {str(SERVER_ENV)!r})\n"
    script += "from hps_server.launch import main\n"
    script += "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
    script += "sys.exit(main(sys.argv[1:]))"
    with tempfile.TemporaryDirectory() as folder:  # others may not look into tmp_path
        Path(folder).chmod(0o755)
        add_model(Path(folder), "double", DOUBLE)
        (Path(folder) / "double" / "1" / "model.py").chmod(0)
        command = [sys.executable, "-c", script, "--check", "--model-repository", folder]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "double/1/model.py: is not readable for this user" in done.stderr


def test_a_broken_image_is_named(bare: Path, repository: Path) -> None:
    code, said = check(bare, repository, "--address", "127.0.0.1")
    assert code == 2
    assert "bin/tritonserver: cannot be executed" in said
    assert "triton_python_backend_stub: cannot be started" in said


def test_taken_ports_are_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        faults = port_faults("127.0.0.1", {"http": port, "grpc": 70000, "metrics": 0})
    assert [fault.path for fault in faults] == [f"--http-port={port}", "--grpc-port=70000"]
    assert "in use" in faults[0].problem


def test_the_command_line_of_triton() -> None:
    options = parse_arguments(
        ["--model-repository", "/models", "--grace", "7", "--", "--log-verbose=1"]
    )
    command = server_command(options, ["a", "b"], "prefix-")
    assert command[0] == "/opt/tritonserver/bin/tritonserver"
    assert command[-1] == "--log-verbose=1"
    assert {"--load-model=a", "--load-model=b", "--http-port=8000", "--grpc-port=8001"} < {*command}
    assert {"--backend-config=python,shm-region-prefix-name=prefix-"} < {*command}
    assert {"--exit-timeout-secs=7", "--http-address=0.0.0.0"} < {*command}


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, "/t/lib"), ("", "/t/lib"), ("/a::/b", "/t/lib:/a:/b"), ("/a:/t/lib", "/a:/t/lib")],
)
def test_the_environment_of_triton(given: str | None, expected: str) -> None:
    before = {"HOME": "/root", "K": "v"} | ({} if given is None else {"LD_LIBRARY_PATH": given})
    after = server_environment(before, Path("/t"), None)
    assert after == {"HOME": "/root", "K": "v", "LD_LIBRARY_PATH": expected}
    assert server_environment(before, Path("/t"), "/tmp/home")["HOME"] == "/tmp/home"


@pytest.mark.network
def test_a_stub_without_its_libraries_is_found_out(triton: Path) -> None:
    stub = triton / "backends" / "python" / "triton_python_backend_stub"
    assert stub_fault(stub, {"LD_LIBRARY_PATH": str(triton / "lib")}) is None
    fault = stub_fault(stub, {})
    assert fault is not None
    assert "libcudart" in fault.problem


@pytest.mark.network
@pytest.mark.slow
def test_a_good_start_serves_and_ends_cleanly(triton: Path, repository: Path) -> None:
    with serving(triton, repository) as server:
        name = server.name()
        assert ask("http", server.http) == [2, 5]
        assert ask("grpc", server.grpc) == [2, 5]
        code, report = server.health("--model", "double")
        assert (code, report["healthy"]) == (0, True)
        assert server.health("--model", "absent")[0] == 1
        assert len(regions(name)) == 2  # a lock and a region
        server.process.terminate()
        code, log = server.end()
    assert code == 0
    assert "successfully unloaded 'double'" in log
    assert regions(name) == []


@pytest.mark.network
@pytest.mark.slow
def test_an_idle_connection_does_not_make_the_end_a_failure(triton: Path, repository: Path) -> None:
    with (
        serving(triton, repository, "--grace", "1") as server,
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.http)) as idle,
    ):
        idle.request("GET", "/v2/health/ready")
        assert idle.getresponse().read() == b""  # read to its end; the connection stays open
        server.process.terminate()
        assert server.end()[0] == 0


@pytest.mark.network
@pytest.mark.slow
def test_a_load_that_hangs_is_named_and_ended(triton: Path, repository: Path) -> None:
    add_model(repository, "hangs", "import os; os._exit(3)")
    server = Server(triton, repository, "--load-timeout", "6")
    server.wait_for("loading: hangs")
    name = server.name()
    code, log = server.end()
    assert code == 3
    assert "not ready after 6 s; still loading: hangs." in log
    assert regions(name) == []


@pytest.mark.network
@pytest.mark.slow
def test_a_stop_while_a_load_hangs(triton: Path, repository: Path) -> None:
    add_model(repository, "hangs", "import os; os._exit(3)")
    server = Server(triton, repository, "--grace", "1")
    server.wait_for("successfully loaded 'double'")
    name = server.name()
    server.process.terminate()
    assert server.end()[0] == 0
    assert regions(name) == []


@pytest.mark.network
@pytest.mark.slow
def test_a_load_that_fails_ends_with_the_reason(triton: Path, repository: Path) -> None:
    add_model(repository, "fails", "raise RuntimeError('no weights')")
    code, log = Server(triton, repository).end()
    assert code == 4
    assert "RuntimeError: no weights" in log
    assert "the server ended before it was ready, exit code 1" in log


@pytest.mark.network
@pytest.mark.slow
def test_a_server_that_is_killed_leaves_nothing(triton: Path, repository: Path) -> None:
    with serving(triton, repository) as server:
        name = server.name()
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
        code, log = server.end()  # ends only when no Python process holds stderr any more
    assert code == 5
    assert "while serving, killed by SIGKILL" in log
    assert regions(name) == []


@pytest.mark.network
@pytest.mark.slow
def test_a_server_that_crashes_is_started_anew_and_not_for_ever(
    triton: Path, repository: Path
) -> None:
    server = Server(triton, repository)
    names = set()
    for _ in range(4):
        server.wait_for("hps-server: ready after")
        names.add(server.name())
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        triton_itself = int(children.read_text().split()[0])
        os.kill(triton_itself, signal.SIGSEGV)
    code, log = server.end()
    assert code == 5
    assert "started 4 times within an hour" in log
    assert len(names) == 4
    assert [left for name in names for left in regions(name)] == []


def descendants(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [each for child in map(int, children) for each in (child, *descendants(child))]


@pytest.mark.network
@pytest.mark.slow
def test_a_launcher_that_is_killed_leaves_no_process(triton: Path, repository: Path) -> None:
    """The kernel ends Triton, and its Python processes miss it; a new start cleans up the rest."""
    with serving(triton, repository) as server, contextlib.ExitStack() as stack:
        name = server.name()
        while len(descendants(server.process.pid)) < 3:  # Triton, the model, the watch
            time.sleep(0.05)
        left = {os.pidfd_open(each) for each in descendants(server.process.pid)}
        for descriptor in left:
            stack.callback(os.close, descriptor)
        server.process.kill()
        server.end()
        while left:
            ended, _, _ = select.select(left, [], [], 60)
            assert ended, f"{len(left)} processes live on"
            left -= set(ended)
    with serving(triton, repository):
        pass
    assert regions(name) == []
