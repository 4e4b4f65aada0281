"""Twenty models in one monitor over HTTP: all go live, and those that are broken disturb nobody."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from hps.monitor.journal import RECORDS
from tests.functional.test_monitor_run import free_port
from tests.monitor.sources.http_servers import python_server

NAMES = [f"m{number:02}" for number in range(20)]
DAMAGED, TRUNCATED, ABSENT = BROKEN = NAMES[3], NAMES[7], NAMES[11]
GOOD = sorted({*NAMES} - {*BROKEN})
MODEL = """
[monitor.models.{name}]
verify = "offered"
interval = 0.5
source = {{ type = "general", host = "{source}", path = "/{name}", model = "model.tar.gz" }}
server = {{ type = "paddle-serving", folder = "{folder}/served" }}
caps = {{ spare = 0 }}
"""


class Many:
    """A monitor of twenty models in a process of its own, and the place that publishes them."""

    def __init__(self, folder: Path, source: str) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{(port := free_port())}/"
        head = f'[monitor]\nstate = "state"\nlisten = "127.0.0.1:{port}"\n'
        models = (MODEL.format(name=name, source=source, folder=folder) for name in NAMES)
        (folder / "monitor.toml").write_text(head + "".join(models))
        (folder / "served").mkdir()

    def publish(self, name: str, version: int, *, whole: bool = True) -> None:
        place = self.folder / "source" / name
        place.mkdir(parents=True, exist_ok=True)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            member = tarfile.TarInfo("weights")
            member.size = len(data := f"{name} {version}\n".encode() * 1000)
            archive.addfile(member, io.BytesIO(data))
        content = packed.getvalue()
        for path, data in (
            ("model.tar.gz", content if whole else content[:-20]),
            ("donefile", f"{version}\n".encode()),
        ):
            (place / f"{path}.new").write_bytes(data)
            (place / f"{path}.new").replace(place / path)

    def served(self, name: str) -> str:
        try:
            return (self.folder / "served" / name / "weights").read_text().partition("\n")[0]
        except FileNotFoundError:
            return ""

    def start(self) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "hps", "monitor", "--config", "monitor.toml"]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*words, "--log-format", "json"], cwd=self.folder, env=os.environ, stderr=log
            )

    def unready(self) -> set[str]:
        try:
            answer = requests.get(f"{self.url}readyz", timeout=30)
        except requests.ConnectionError:
            return {*NAMES}
        return {line.partition(" ")[0] for line in answer.text.splitlines()} - {"ok"}

    def events(self, name: str) -> set[str]:
        lines = (self.folder / "log").read_text().splitlines()
        return {one["event"] for one in map(json.loads, lines) if one.get("model") == name}


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Many]:
    (tmp_path / "source").mkdir()
    with python_server(tmp_path / "source") as source:
        yield Many(tmp_path, source)


def test_twenty_models_go_live_and_three_broken_ones_disturb_nobody(many: Many) -> None:
    for name in NAMES:
        if name != ABSENT:
            many.publish(name, 1, whole=name != TRUNCATED)
    journal = many.folder / "state" / DAMAGED / "journal"
    journal.mkdir(parents=True)
    (journal / RECORDS).write_bytes(b"{}\n{}\n{}\n")
    process = many.start()
    try:
        until(lambda: many.unready() == {*BROKEN})
        assert {name: many.served(name) for name in GOOD} == {name: f"{name} 1" for name in GOOD}
        assert [many.served(name) for name in BROKEN] == [""] * 3
        # Twice more: what is broken stays broken, and holds nobody up.
        for version in (2, 3):
            for name in GOOD:
                many.publish(name, version)
            until(lambda v=version: all(many.served(name) == f"{name} {v}" for name in GOOD))  # type: ignore[misc]
        until(lambda: many.unready() == {*BROKEN})
        for name in GOOD:
            assert many.events(name) <= {"started", "offered", "live", "live-unverified"}
        # All three are mended while it runs.
        words = [sys.executable, "-m", "hps", "monitor", "--config", "monitor.toml", "repair"]
        subprocess.run([*words, DAMAGED], cwd=many.folder, check=True, capture_output=True)
        for name in BROKEN:
            many.publish(name, 4)
        until(lambda: many.unready() == set())
        assert [many.served(name) for name in BROKEN] == [f"{name} 4" for name in BROKEN]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
