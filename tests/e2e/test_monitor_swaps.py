"""The monitor as users run it: signed releases over HTTP into a real Triton, under a load.

HPS_SWAPS=1000 makes a thousand swaps of it, HPS_SWAPS_SECONDS as many as there is time for; -s shows
the table.
"""

import base64
import contextlib
import hashlib
import http.server
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import pytest
import requests

from hps.cli.main import run
from hps.trust.file_key import FileKey
from hps.trust.key_store import KeyStore, Purpose
from hps.trust.secret import Secrets
from tests.monitor.servers.real_triton import RealTriton
from tests.server_env.conftest import triton

__all__ = ["triton"]
pytestmark = [pytest.mark.network, pytest.mark.slow]
SWAPS = int(os.environ.get("HPS_SWAPS", "4"))
LIMIT = float(os.environ.get("HPS_SWAPS_SECONDS", "inf"))
QUIET = float(os.environ.get("HPS_SWAPS_QUIET", "2"))  # seconds of load before and after
CLIENTS, RATE = 2, 40  # of each protocol; requests a second of each client
ANOTHER_CONFIGURATION = 3  # each so many releases; it cannot be loaded beside the live one
MODEL = """\
import json, os
import numpy as np
import triton_python_backend_utils as pb
CODE = {number}
class TritonPythonModel:
    def initialize(self, args):
        folder = os.path.join(args["model_repository"], args["model_version"])
        with open(os.path.join(folder, "weights")) as file:
            weights, wanted = map(int, file.read().split())
        with open(os.path.join(folder, "settings.json")) as file:
            settings = json.load(file)["generation"]
        parameters = json.loads(args["model_config"])["parameters"]
        has = int(parameters["configuration"]["string_value"])
        self.said = [CODE, weights, settings, wanted, has]
    def execute(self, requests):
        answers = []
        for request in requests:
            x = int(request.inputs()[0].as_numpy()[0])
            y = np.array([x, *self.said], np.int32)
            answers.append(pb.InferenceResponse([pb.Tensor("y", y)]))
        return answers
"""
CONFIG = """\
backend: "python"
input {{ name: "x" data_type: TYPE_INT32 dims: 1 }}
output {{ name: "y" data_type: TYPE_INT32 dims: 6 }}
instance_group {{ kind: KIND_CPU }}
parameters {{ key: "configuration" value: {{ string_value: "{configuration}" }} }}
"""
SETTINGS = """\
[monitor]
state = "state"
listen = "127.0.0.1:{port}"

[monitor.models.m]
keys = ["models.pub"]
interval = 0.2
keep = 2
source = {{ type = "general", host = "http://127.0.0.1:{source}", path = "/", model = "m.tar.gz" }}
server = {{ type = "triton", address = "127.0.0.1:{grpc}", repository = "{repository}" }}
"""


class Place(http.server.BaseHTTPRequestHandler):
    """A server of files that says by digest what they are (RFC 9530)."""

    folder = Path()
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        try:
            body = (self.folder / self.path.strip("/")).read_bytes()
        except OSError:
            self.send_error(404)
            return
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Repr-Digest", f"sha-256=:{digest}:")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the name that the class looks for

    def log_message(self, *_: Any) -> None:
        pass


class Publisher:
    """Packs signed releases of the model and publishes them, data first."""

    def __init__(self, folder: Path, place: Path) -> None:
        self.folder, self.place = folder, place
        key = FileKey.generate()
        keys = KeyStore(folder / "keys", Secrets({}))
        keys.add("models", Purpose.of("model"), key.public, key.pem(None))
        (folder / "models.pub").write_bytes(key.public.pem)
        self.model = folder / "m"
        self.model.mkdir()
        self.published: dict[int, float] = {}

    def publish(self, number: int) -> None:
        configuration = number // ANOTHER_CONFIGURATION
        probe = self.folder / "probe.json"
        wanted = [5, number, number, number, configuration, configuration]
        files = {
            "model.py": MODEL.format(number=number),
            "weights": f"{number} {configuration}",
            "settings.json": json.dumps({"generation": number}),
            "config.pbtxt": CONFIG.format(configuration=configuration),
        }
        for name, text in files.items():
            (self.model / name).write_text(text)
        inputs = {"x": {"datatype": "INT32", "shape": [1], "data": [5]}}
        outputs = {"y": {"datatype": "INT32", "shape": [6], "data": wanted}}
        probe.write_text(json.dumps({"inputs": inputs, "outputs": outputs}))
        words = ["model", "pack", self.model, "--sequence", number, "--key", "models"]
        words += ["--probe", probe, "--output", self.folder, "--json"]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            assert run([str(word) for word in words]) == 0, said.getvalue()
        (self.folder / f"m-{number}.tar.gz").replace(self.place / "m.tar.gz")
        (self.place / "new").write_text(f"{number}\n")
        self.published[number] = time.monotonic()
        (self.place / "new").replace(self.place / "donefile")


class Watched:
    """A monitor in a process of its own."""

    def __init__(self, folder: Path, source: int, real: RealTriton) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        self.url, self.log = f"http://127.0.0.1:{port}/", folder / "monitor.log"
        text = SETTINGS.format(port=port, source=source, grpc=real.grpc, repository=real.repository)
        (folder / "monitor.toml").write_text(text)
        words = [sys.executable, "-m", "hps", "monitor", "--config", "monitor.toml"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(words, cwd=folder, stderr=log)
        self.session = requests.Session()
        self.session.trust_env = False

    def wait_live(self, number: int) -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            with contextlib.suppress(requests.ConnectionError):
                (model,) = self.session.get(self.url + "status", timeout=10).json()["models"]
                live = model["live"] or {}
                if live.get("number") == number and model["ready"]:
                    assert live["release"]["sequence"] == number
                    return
            time.sleep(0.05)
        raise AssertionError(self.log.read_text()[-3000:])

    def metric(self, line: str) -> float:
        text = self.session.get(self.url + "metrics", timeout=10).text
        found = [one for one in text.splitlines() if one.startswith(line)]
        return sum(float(one.rpartition(" ")[2]) for one in found)

    def stop(self) -> int:
        self.session.close()
        self.process.terminate()
        return self.process.wait(60)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[int]:
    """The port of a server of files."""
    handler = type("Handler", (Place,), {"folder": folder})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def loaded(real: RealTriton) -> Iterator["subprocess.Popen[str]"]:
    """The process of the clients."""
    ports = [str(real.http), str(real.grpc)]
    words = [sys.executable, "-m", "tests.e2e.monitor_load", *ports, "m", str(CLIENTS), str(RATE)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def begin(load: "subprocess.Popen[str]", phase: str) -> None:
    pipe = cast("IO[str]", load.stdin)
    pipe.write(f"{phase}\n")
    pipe.flush()


@pytest.mark.timeout(180 + 20 * SWAPS)
def test_swaps_under_load(triton: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setenv("HPS_KEYS", str(tmp_path / "keys"))
    publisher = Publisher(tmp_path, place)
    publisher.publish(1)
    with contextlib.ExitStack() as stack:
        real = RealTriton(triton, tmp_path / "models")
        stack.callback(real.kill)
        port = stack.enter_context(serving(place))
        monitor = Watched(tmp_path, port, real)
        stack.callback(monitor.process.kill)
        monitor.wait_live(1)
        load = stack.enter_context(loaded(real))
        begin(load, "before")
        time.sleep(QUIET)
        begin(load, "during")
        spans: list[float] = []
        until = time.monotonic() + LIMIT
        for number in range(2, SWAPS + 2):
            if time.monotonic() > until:
                break
            publisher.publish(number)
            monitor.wait_live(number)
            spans.append(time.monotonic() - publisher.published[number])
            if number % 100 == 0:
                print(f"{number - 1} swaps, the last in {spans[-1]:.1f} s", flush=True)
        begin(load, "after")
        time.sleep(QUIET)
        said, _ = load.communicate(timeout=60)
        found = json.loads(said)
        swaps = monitor.metric('hps_monitor_swaps_total{cause="source"')
        odd = monitor.metric("hps_monitor_refusals_total") + monitor.metric(
            "hps_monitor_rollbacks_total"
        )
        starts = real.loads()
        assert monitor.stop() == 0, monitor.log.read_text()[-3000:]
    show(found, publisher.published, spans, starts)
    told = [one for phase in found["phases"].values() for one in phase.values()]
    assert [reason for one in told for reason in one["reasons"]] == []
    assert sum(one["failed"] for one in told) == 0
    assert sum(one["mixed"] for one in told) == 0
    count = len(spans)
    assert set(map(int, found["seen"])) == set(range(1, count + 2))
    assert (swaps, odd) == (count + 1, 0)
    # Each is started once; under another configuration once aside and once in its place.
    anew = sum(number % ANOTHER_CONFIGURATION == 0 for number in range(2, count + 2))
    assert starts == 1 + count + anew
    assert len([*(tmp_path / "state" / "m" / "generations").iterdir()]) <= 2


def show(
    found: dict[str, Any], published: dict[int, float], spans: list[float], starts: int
) -> None:
    """The table, for those who ran it with -s."""
    seen = {int(number): when for number, when in found["seen"].items()}
    took = sorted(seen[number] - published[number] for number in range(2, len(spans) + 2))
    print(f"\n{len(spans)} swaps, {starts} starts of a model")
    print("phase   protocol  answered  failed  mixed   p50 ms   p99 ms  longest ms")
    for phase, protocols in found["phases"].items():
        for protocol, one in protocols.items():
            times = "".join(f"{one[name] * 1e3:9.1f}" for name in ("p50", "p99", "longest"))
            counts = f"{one['answered']:10}{one['failed']:8}{one['mixed']:7}"
            print(f"{phase:8}{protocol:8}{counts}{times}")
    print(
        f"from publish to the first answer: median {statistics.median(took):.2f} s, longest "
        f"{took[-1]:.2f} s; until the old one was gone: median {statistics.median(spans):.2f} s"
    )
