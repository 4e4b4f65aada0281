"""`hps monitor` with several models: one that fails, exit codes by cause, signals, secrets."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests

from hps.trust.file_key import FileKey
from tests.functional.test_monitor_run import eventually, free_port

HEAD = """\
[monitor]
state = "state"
listen = "{listen}"
"""
MODEL = """
[monitor.models.{name}]
{verify}
interval = 0.2
patience = {{ connect = 5.0, idle = 5.0, total = 60.0 }}
source = {{ type = "general", host = "{host}", path = "/{name}", model = "m"{more} }}
server = {server}
"""
PADDLE = '{ type = "paddle-serving", folder = "served" }'
ENDED = 60  # seconds until a process must have ended


class Host:
    """A folder with settings, what is published for its models, and monitors of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        (folder / "served").mkdir()
        self.text = HEAD.format(listen=f"127.0.0.1:{self.port}")
        self.processes: list[subprocess.Popen[bytes]] = []

    def model(self, name: str, **changed: str) -> "Host":
        """Say that a model is watched."""
        given = {
            "verify": 'verify = "none"',
            "host": f"file://{self.folder}/published",
            "more": "",
            "server": PADDLE,
            **changed,
        }
        self.text += MODEL.format(name=name, **given)
        (self.folder / "monitor.toml").write_text(self.text)
        return self

    def publish(self, name: str, version: int) -> "Host":
        folder = self.folder / "published" / name
        (folder / "m").mkdir(parents=True, exist_ok=True)
        (folder / "m" / "weights").write_text(f"version {version}\n")
        (folder / "donefile").write_text(f"{version}\n")
        return self

    def words(self, *more: str) -> list[str]:
        own = ["monitor", "--config", "monitor.toml", "--log-format", "json"]
        return [sys.executable, "-m", "hps", *own, *more]

    def once(self) -> int:
        with (self.folder / "log").open("ab") as log:
            words = self.words("--once", "--listen", "")
            return subprocess.run(
                words, cwd=self.folder, stderr=log, check=False, timeout=60
            ).returncode

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(self.words(), cwd=self.folder, stderr=log)
        self.processes.append(process)
        return process

    def status(self, name: str) -> dict[str, Any]:
        models = requests.get(self.url + "status", timeout=10).json()["models"]
        return next(one for one in models if one["name"] == name)

    def ready(self, name: str, number: int = 1) -> None:
        found = eventually(
            lambda: self.status(name),
            lambda one: bool(one["ready"]) and one["live"]["number"] == number,
        )
        assert found["live"]["number"] == number, found

    def health(self) -> str:
        return requests.get(self.url + "healthz", timeout=10).text

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log().splitlines()]

    def served(self, name: str) -> str:
        return (self.folder / "served" / name / "weights").read_text().strip()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    found = Host(tmp_path)
    yield found
    for process in found.processes:
        process.kill()
        process.wait()


def test_one_model_that_fails_is_seen_and_stops_nobody(host: Host) -> None:
    host.model("ocr").model("layout").publish("ocr", 1).publish("layout", 1)
    assert host.once() == 0
    journal = host.folder / "state" / "ocr" / "journal" / "records.jsonl"
    sound = journal.read_bytes()
    journal.write_bytes(sound.replace(b"phase", b"phasE", 1))
    host.publish("layout", 2)
    process = host.start()
    host.ready("layout", 2)
    assert host.served("layout") == "version 2"
    assert eventually(host.health, lambda text: text != "ok\n") == "ocr stands still\n"
    ocr = host.status("ocr")
    assert (ocr["ready"], ocr["error"]["reason"]) == (False, "journal-damaged")
    assert requests.get(host.url + "readyz", timeout=10).text == "ocr is not served\n"
    process.terminate()
    assert process.wait(ENDED) == 8
    journal.write_bytes(sound)
    process = host.start()
    host.ready("ocr")
    assert host.health() == "ok\n"
    process.terminate()
    assert process.wait(ENDED) == 0


def test_settings_that_cannot_be_followed_are_all_told_before_anything_is_done(host: Host) -> None:
    host.model("ocr", verify='keys = ["ocr.pub"]').model("layout", verify='keys = ["layout.pub"]')
    host.model("good").publish("good", 1)
    assert host.once() == 2
    for words in ("2 models cannot be looked after", "ocr.pub: No such file", "layout.pub"):
        assert words in host.log()
    assert not (host.folder / "served" / "good").exists()


def test_one_look_ends_with_the_code_of_its_cause(host: Host) -> None:
    host.model("ocr")
    assert host.once() == 8, "nothing was ever offered"
    host.publish("ocr", 1)
    assert (host.once(), host.served("ocr")) == (0, "version 1")
    assert host.once() == 0, "nothing new"
    weights = host.folder / "published" / "ocr" / "m" / "weights"
    weights.unlink()
    weights.parent.rmdir()
    assert host.once() == 4, "the source lacks what its donefile announces"
    host.publish("ocr", 2)
    (host.folder / "models.pub").write_bytes(FileKey.generate().public.pem)
    host.text = host.text.replace('verify = "none"', 'keys = ["models.pub"]')
    (host.folder / "monitor.toml").write_text(host.text)
    assert host.once() == 5, "nobody signed it"
    assert host.served("ocr") == "version 1"
    host.text = host.text.replace('keys = ["models.pub"]', 'verify = "none"')
    (host.folder / "monitor.toml").write_text(host.text)
    (host.folder / "served").rename(host.folder / "away")
    (host.folder / "served").write_text("no folder")
    assert host.once() == 8, "the place of the server is out of order"


def waiting(folder: Path, step: str) -> str:
    """A server by commands, of which one waits as long as there is no file `go`."""
    script = folder / "wait.sh"
    script.write_text(
        '#!/bin/sh\ncd "$(dirname "$0")"\necho $$ >> reached\n'
        "while [ ! -e go ]; do sleep 0.05; done\necho done >> went\n"
    )
    script.chmod(0o755)
    commands = {"load": '["true"]', "activate": '["true"]', step: f'["{script}"]'}
    told = ", ".join(f"{name} = {command}" for name, command in commands.items())
    return f'{{ type = "exec", {told} }}'


@pytest.mark.parametrize("step", ["load", "activate"])
def test_a_second_signal_ends_it_at_once_and_the_next_start_carries_on(
    host: Host, step: str
) -> None:
    host.model("ocr", server=waiting(host.folder, step)).publish("ocr", 1)
    process = host.start()
    reached = host.folder / "reached"
    eventually(reached.exists, bool)
    process.terminate()
    eventually(host.events, lambda events: "ending" in events)
    process.terminate()
    assert process.wait(ENDED) == 128 + signal.SIGTERM
    (host.folder / "go").touch()
    process = host.start()
    host.ready("ocr")
    process.terminate()
    assert process.wait(ENDED) == 0


@pytest.mark.slow  # ten seconds are given to what hangs
def test_the_first_signal_does_not_wait_for_what_hangs(host: Host) -> None:
    host.model("ocr", server=waiting(host.folder, "load")).model("layout").publish("ocr", 1)
    process = host.start()
    eventually((host.folder / "reached").exists, bool)
    process.terminate()
    assert process.wait(ENDED) == 0
    assert host.events()[-1] == "left"
    (host.folder / "go").touch()
    process = host.start()
    host.ready("ocr")
    process.terminate()
    assert process.wait(ENDED) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_every_signal_ends_it_in_order(host: Host, number: signal.Signals) -> None:
    host.model("ocr").publish("ocr", 1)
    process = host.start()
    host.ready("ocr")
    process.send_signal(number)
    assert process.wait(ENDED) == 0
    assert {"ended", "look-failed", "step-failed", "left"} & {*host.events()} == set()
    assert host.served("ocr") == "version 1"


class Echo(BaseHTTPRequestHandler):
    """A server that says back whatever it was shown, as an error page and as a reason."""

    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        shown = self.headers.get("Authorization", "")
        self.seen.append(shown)
        self.send_response(403, f"not you {shown}")
        body = f"you said {shown}".encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the base class's naming

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def test_no_secret_is_in_log_metrics_status_page_or_arguments(host: Host) -> None:
    (host.folder / "token").write_text("s3cr3t-t0ken\n")
    (host.folder / "token").chmod(0o600)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        host.model(
            "ocr",
            host=f"http://127.0.0.1:{server.server_port}",
            more=', token = { file = "token" }',
        )
        process = host.start()
        eventually(lambda: host.status("ocr"), lambda one: one["error"] is not None)
        pages = [
            requests.get(host.url + page, timeout=10).text for page in ("", "status", "metrics")
        ]
        arguments = Path(f"/proc/{process.pid}/cmdline").read_text()
        process.terminate()
        assert process.wait(ENDED) == 0
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert "Bearer s3cr3t-t0ken" in Echo.seen
    files = [path.read_bytes() for path in (host.folder / "state").rglob("*") if path.is_file()]
    for text in (*pages, arguments, host.log(), *(data.decode("latin-1") for data in files)):
        assert "s3cr3t" not in text
    assert "look-failed" in host.events()
