"""The built image, serving: started as users start it, asked, and stopped in order."""

import contextlib
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.inside_image import ROOT

JSON = dict[str, Any]
_HPS = [sys.executable, "-m", "hps", "-C", str(ROOT)]
_START = 300.0  # seconds
_STOP = 90.0
_PORTS = 4  # HTTP, gRPC, metrics, the REST facade
# What a process says that ends otherwise than it should.
_CRASH = re.compile(r"Fatal|Segmentation fault|Signal \((?:6|11)\)|core dumped|Traceback")


@dataclass(frozen=True)
class Served:
    """Ports on 127.0.0.1 of a server that is ready, and what it says."""

    http: int
    grpc: int
    metrics: int
    rest: int
    log: Path

    def infer(self, model: str, texts: "Sequence[str]") -> "list[JSON]":
        """The envelopes for a batch of texts, [n,1], asked as KServe v2 has it in JSON."""
        tensor = {"name": "input", "shape": [len(texts), 1], "datatype": "BYTES", "data": [*texts]}
        path = f"/v2/models/{model}/infer"
        status, body = ask(self.http, "POST", path, {"inputs": [tensor], "outputs": []})
        assert status == http.client.OK, body
        (output,) = body["outputs"]
        assert (output["name"], output["datatype"]) == ("output", "BYTES")
        assert output["shape"] == tensor["shape"]
        return [json.loads(text) for text in output["data"]]

    def count(self, operation: str, code: int) -> float:
        """How many requests of an operation the metrics tell of, by error code.

        They know of a request half a second later: see `counts`.
        """
        pattern = (
            rf'^hps_requests_total{{code="{code}",model="[^"]*",operation="{operation}".*}} (\S+)$'
        )
        status, text = _exchange(self.metrics, "GET", "/metrics")
        assert status == http.client.OK
        found = re.findall(pattern, text.decode(), re.MULTILINE)
        return sum(map(float, found))

    def counts(self, operation: str, wanted: "Mapping[int, float]") -> "dict[int, float]":
        """The same for several codes, when it is what is wanted or has been otherwise for long."""
        end = time.monotonic() + 30
        while (found := {code: self.count(operation, code) for code in wanted}) != wanted:
            if time.monotonic() > end:
                break
            time.sleep(0.2)
        return found


@contextlib.contextmanager
def serving(
    options: "Sequence[str]", arguments: "Sequence[str]" = (), *, log: Path, rest: bool = False
) -> "Iterator[Served]":
    """Start the image, and stop it at the end, which has to go without a crash.

    Args:
        options: of `hps run cpu`.
        arguments: of the launcher.
        log: gets what is said.
        rest: whether to start the REST facade too.
    """
    first = free_ports()
    served = Served(first, first + 1, first + 2, first + 3, log)
    ours = ["--rest-port", str(served.rest)] if rest else []
    line = [*_HPS, "run", "cpu", "--port", str(first), *options]
    if arguments:
        line += ["--", *arguments, *ours]
    with log.open("wb") as out, subprocess.Popen(line, stdout=out, stderr=out) as process:
        try:
            _wait(process, served.http, "/v2/health/ready", log)
            if rest:
                _wait(process, served.rest, "/health/ready", log)
            yield served
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
    said = log.read_text(errors="replace")
    assert process.returncode == 0, said[-4000:]
    crash = _CRASH.search(said)
    assert crash is None, said[max(crash.start() - 2000, 0) : crash.end() + 2000]


def ask(port: int, method: str, path: str, document: "JSON | None" = None) -> "tuple[int, Any]":
    """One request with JSON; the status and the JSON of the answer."""
    body = None if document is None else json.dumps(document).encode()
    status, answer = _exchange(port, method, path, body)
    return status, json.loads(answer)


def free_ports() -> int:
    """The first of four ports in a row that are free now."""
    while True:
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(_PORTS)]
            sockets[0].bind(("127.0.0.1", 0))
            first: int = sockets[0].getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                for number, each in enumerate(sockets[1:], start=first + 1):
                    each.bind(("127.0.0.1", number))
                return first


def assemble(out: Path, *names: str) -> "Mapping[str, Path]":
    """The server folders of packages, by pipeline; all pipelines when none is named."""
    out.mkdir()
    line = [*_HPS, "assemble", *(names or ["--all"]), "-o", str(out), "--unsigned", "--no-client"]
    done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = sorted(out.glob("*/server/package.json"))
    return {json.loads(path.read_text())["pipeline"]: path.parent for path in found}


def ready_to_serve(package: Path, configuration: Path, folder: Path) -> None:
    """A package's server folder with another configuration, as a user mounts it."""
    shutil.copytree(package, folder)
    shutil.copyfile(configuration, folder / configuration.name)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def part_of(whole: Any, wanted: Any) -> Any:
    """The whole without the keys that the other has not, so that the two can be compared."""
    if isinstance(whole, Mapping) and isinstance(wanted, Mapping):
        return {key: part_of(whole.get(key), inner) for key, inner in wanted.items()}
    if isinstance(whole, list) and isinstance(wanted, list) and len(whole) == len(wanted):
        return [part_of(one, other) for one, other in zip(whole, wanted, strict=True)]
    return whole


def _wait(process: "subprocess.Popen[bytes]", port: int, path: str, log: Path) -> None:
    end = time.monotonic() + _START
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text(errors="replace")[-4000:]
        with contextlib.suppress(OSError, http.client.HTTPException):
            if _exchange(port, "GET", path)[0] == http.client.OK:
                return
        time.sleep(0.2)
    raise AssertionError(log.read_text(errors="replace")[-4000:])


def _exchange(
    port: int, method: str, path: str, body: "bytes | None" = None
) -> "tuple[int, bytes]":
    # Each on a connection of its own: Triton waits for idle ones when it stops.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
