"""`hps monitor` running: what it shows, what it tells systemd, what operators ask, how it ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests

SETTINGS = """\
[monitor]
state = "state"
listen = "127.0.0.1:{port}"

[monitor.models.ocr]
verify = "none"
interval = 0.2
source = {{ type = "general", host = "file://{folder}", path = "/published", model = "ocr" }}
server = {{ type = "paddle-serving", folder = "served" }}
"""
T = TypeVar("T")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def eventually(ask: Callable[[], T], wanted: Callable[[T], bool]) -> T:
    """Ask until the answer is the wanted one; the last one, when it never is."""
    until = time.monotonic() + 60
    while True:
        with contextlib.suppress(requests.ConnectionError):
            found = ask()
            if wanted(found) or time.monotonic() > until:
                return found
        assert time.monotonic() < until
        time.sleep(0.05)


class Running:
    """A monitor of one model, in a process of its own, under a supervisor that listens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{(port := free_port())}/"
        (folder / "monitor.toml").write_text(SETTINGS.format(port=port, folder=folder))
        (folder / "served").mkdir()
        self.supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.supervisor.bind(str(folder / "notify"))
        self.supervisor.settimeout(60)
        self.publish(1)
        self.process = self.start()

    def publish(self, version: int) -> None:
        model = self.folder / "published" / "ocr"
        model.mkdir(parents=True, exist_ok=True)
        (model / "weights").write_text(f"version {version}\n" * version)
        (model.parent / "donefile").write_text(f"{version}\n")

    def start(self) -> subprocess.Popen[bytes]:
        variables = {"NOTIFY_SOCKET": str(self.folder / "notify"), "WATCHDOG_USEC": "2000000"}
        words = [sys.executable, "-m", "hps", "monitor", "--config", "monitor.toml"]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*words, "--log-format", "json"],
                cwd=self.folder,
                env={**os.environ, **variables},
                stderr=log,
            )

    def model(self) -> dict[str, Any]:
        (found,) = requests.get(self.url + "status", timeout=10).json()["models"]
        return dict(found)

    def live(self, number: int) -> dict[str, Any]:
        found = eventually(
            self.model, lambda one: bool(one["ready"]) and one["live"]["number"] == number
        )
        assert found["live"]["number"] == number, found
        return found

    def served(self) -> str:
        return (self.folder / "served" / "ocr" / "weights").read_text().splitlines()[0]

    def heard(self, line: bytes) -> None:
        while line not in self.supervisor.recv(4096).splitlines():
            pass

    def ask(self, *words: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "hps", "monitor", *words, "--json", "--config", "monitor.toml"],
            cwd=self.folder,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    found = Running(tmp_path)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait()
        found.supervisor.close()


def test_a_monitor_is_watched_asked_and_stopped(running: Running) -> None:
    running.heard(b"READY=1")
    running.live(1)
    assert requests.get(running.url + "readyz", timeout=10).status_code == 200
    assert requests.get(running.url + "healthz", timeout=10).text == "ok\n"
    running.heard(b"WATCHDOG=1")

    running.publish(2)
    running.live(2)
    assert running.served() == "version 2"
    page = requests.get(running.url, timeout=10).text
    assert "generation 2: " in page
    swaps = 'hps_monitor_swaps_total{cause="source",model="ocr"} 2.0'
    assert swaps in requests.get(running.url + "metrics", timeout=10).text

    asked = running.ask("rollback", "ocr", "--reason", "wrong dates", "--wait", "60")
    assert (asked["number"], asked["answer"]["done"]) == (1, True)
    running.live(1)
    assert running.served() == "version 1"
    newest = running.ask("history", "ocr")["updates"][0]
    assert (newest["cause"], newest["number"], newest["by"]) == ("operator", 1, asked["by"])

    assert running.stop() == 0
    running.heard(b"STOPPING=1")
    log = (running.folder / "log").read_text().splitlines()
    events = [json.loads(line)["event"] for line in log]
    assert events.count("live") == 3
    assert running.ask("status")["models"][0]["monitor"] is None


def test_what_was_asked_while_it_was_down_is_done_when_it_starts(running: Running) -> None:
    running.live(1)
    running.publish(2)
    running.live(2)
    running.process.kill()
    running.process.wait()
    assert running.ask("rollback", "ocr")["answer"] is None
    running.process = running.start()
    running.live(1)
    assert running.served() == "version 1"
    assert running.stop() == 0
