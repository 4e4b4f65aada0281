"""A model whose process dies or hangs: not ready within seconds, and brought back.

Triton 2.51 sometimes aborts when one of its Python processes was killed; the launcher then starts
it anew, and what is shown of the other models does not hold.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hps_server.probe import exchange, request
from hps_server.supervise import LOAD_FAILED, LOAD_TIMEOUT
from tests.server_env.packages import (
    ENGINE,
    SEVERAL,
    PackageServer,
    add_model,
    installed_paddlex,
    make_package,
    serving,
)

pytestmark = [pytest.mark.network, pytest.mark.slow]
PIPELINE = "pp-shituv2-pipeline"
ANEW = "starting the server anew"


def ask(server: PackageServer, model: str, body: object = None) -> tuple[int, Any]:
    """The status, and the process that answered (0 for none)."""
    document = json.dumps(request(json.dumps(body or {}))).encode()
    path = f"/v2/models/{model}/infer"
    try:
        status, answer = exchange("127.0.0.1", server.http, "POST", path, document, timeout=3)
    except OSError:
        return 0, 0
    if status != 200:
        return status, 0
    return status, json.loads(json.loads(answer)["outputs"][0]["data"][0])["result"]["pid"]


def ready(server: PackageServer, model: str) -> bool:
    try:
        return (
            exchange("127.0.0.1", server.http, "GET", f"/v2/models/{model}/ready", timeout=5)[0]
            == 200
        )
    except OSError:
        return False


def until(server: PackageServer, true: Callable[[], bool]) -> None:
    """Wait while the launcher lives; the test's own timeout ends what never comes."""
    while not true():
        assert server.process.poll() is None
        time.sleep(0.1)


@pytest.fixture
def server(triton: Path, tmp_path: Path) -> PackageServer:
    package = make_package(tmp_path, SEVERAL, pipeline="PP-ShiTuV2")
    add_model(package / "model_repo", "other", ENGINE, {"operation": "infer"})
    return PackageServer(triton, package, paths=(installed_paddlex(tmp_path / "site"),))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_dead_or_hanging_engine_comes_back_under_load(
    server: PackageServer, number: signal.Signals
) -> None:
    with serving(server):
        others: list[tuple[int, float]] = []
        stop = threading.Event()

        def load() -> None:
            while not stop.wait(0.02):
                started = time.monotonic()
                others.append((ask(server, "other")[0], time.monotonic() - started))

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            _, engine = ask(server, "shitu-infer")
            _, door = ask(server, PIPELINE)
            assert engine == door != 0
            os.kill(engine, number)
            until(server, lambda: not ready(server, PIPELINE))
            code, report = server.health()
            assert (code, report["healthy"]) == (1, False)
            until(server, lambda: ask(server, "shitu-infer")[1] not in (0, engine))
            until(server, lambda: server.health()[0] == 0)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        crashed = ANEW in server.wait_for("loaded again after", ANEW)
        server.process.terminate()
        code, log = server.end()
    assert code == 0
    assert "did not end within" not in log
    if not crashed:
        assert {status for status, _ in others} == {200}
        assert "error: the model is dead" in log
    assert "model=shitu-infer" not in "".join(
        line for line in log.splitlines() if "is dead" in line
    )


def test_a_long_inference_is_no_hang(server: PackageServer) -> None:
    with serving(server):
        _, engine = ask(server, PIPELINE)
        # Longer than three probes of two seconds each, with the processor at work.
        document = json.dumps(request(json.dumps({"spin": 12}))).encode()
        path = f"/v2/models/{PIPELINE}/infer"
        status, _ = exchange("127.0.0.1", server.http, "POST", path, document, timeout=60)
        assert status == 200
        assert ask(server, PIPELINE) == (200, engine)


def test_a_model_that_does_not_load_again_stays_unready_and_the_rest_serves(
    server: PackageServer,
) -> None:
    with serving(server):
        _, other = ask(server, "other")
        scratch = next(
            Path(line.partition("=")[2])
            for line in command_line(server)
            if line.startswith("--model-repository=")
        )
        (scratch / "other" / "1" / "model.py").write_text("raise RuntimeError('no weights')")
        os.kill(other, signal.SIGKILL)
        if ANEW in server.wait_for("the load failed; Triton's log holds the reason", ANEW):
            assert server.end()[0] == LOAD_FAILED
            return
        assert not ready(server, "other")
        assert server.health()[0] == 1
        assert ask(server, "shitu-infer")[0] == 200


def test_a_load_that_hangs_ends_in_a_new_start_of_the_server(triton: Path, tmp_path: Path) -> None:
    package = make_package(tmp_path)
    server = PackageServer(
        triton,
        package,
        "--load-timeout=20",
        paths=(installed_paddlex(tmp_path / "site"),),
    )
    with serving(server):
        _, first = ask(server, "ocr")
        model = next(
            Path(line.partition("=")[2])
            for line in command_line(server)
            if line.startswith("--model-repository=")
        )
        code = (model / "ocr" / "1" / "model.py").read_text()
        # It dies before it connects, once: Triton would wait for ever.
        flag = tmp_path / "once"
        trap = f"import os\nif not os.path.exists({str(flag)!r}):\n"
        trap += f"    open({str(flag)!r}, 'w').close()\n    os._exit(3)\n"
        (model / "ocr" / "1" / "model.py").write_text(trap + code)
        os.kill(first, signal.SIGKILL)
        if ANEW in server.wait_for("asks for a new start of the server", ANEW):
            assert server.end()[0] == LOAD_TIMEOUT
            return
        server.wait_for("hps-server: ready after")
        assert ask(server, "ocr")[1] not in (0, first)


def command_line(server: PackageServer) -> list[str]:
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
    return next(line for line in lines if b"tritonserver" in line).decode().split("\0")
