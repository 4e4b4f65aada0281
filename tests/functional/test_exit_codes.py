"""Every row of the table of exit codes of `hps monitor` and `hps model` is let happen."""

import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from hps.cli.main import run
from hps.cli.model import command as model_command
from hps.cli.monitor import command as monitor_command
from hps.monitor.journal import RECORDS, Journal
from hps.monitor.operator import Desk
from hps.monitor.ownership import owned
from hps.monitor.transitions import Step
from hps.trust.file_key import FileKey
from hps.trust.key_store import KeyStore, Purpose
from hps.trust.secret import Secrets
from tests.docs.exit_codes import ROWS, Row
from tests.monitor.telling import Telling

SETTINGS = """\
[monitor]
state = "state"
listen = ""

[monitor.models.ocr]
verify = "offered"
source = {{ type = "general", host = "file://{folder}", path = "src", model = "m.tar" }}
server = {{ {server} }}
caps = {{ spare = 0 }}
"""
SERVING = 'type = "paddle-serving", folder = "served"'
FAILING = 'type = "exec", activate = ["/bin/false"]'


@dataclass
class Place:
    """A folder with settings, a source and a key, and the command line in it."""

    folder: Path

    def settings(self, server: str = SERVING) -> "Place":
        (self.folder / "served").mkdir(exist_ok=True)
        text = SETTINGS.format(folder=self.folder, server=server)
        (self.folder / "monitor.toml").write_text(text)
        return self

    def publish(self, archive: bytes | None = None) -> "Place":
        source = self.folder / "src"
        source.mkdir(exist_ok=True)
        (source / "m.tar").write_bytes(_tar() if archive is None else archive)
        (source / "donefile").write_text("1\n")
        return self

    def journal(self, telling: Telling | None = None) -> "Place":
        model = self.folder / "state" / "ocr"
        Desk(model).open(time.time())
        telling = telling or Telling().live(1).live(2)
        with Journal(model / "journal") as journal:
            for one in telling.records:
                journal.append(one.entry, one.state or {}, update=one.update, time=1.0, fence=1)
        return self

    def without(self, path: str) -> "Place":
        (self.folder / path).unlink()
        return self

    def damage(self) -> "Place":
        path = self.folder / "state" / "ocr" / "journal" / RECORDS
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([b"{}\n", *lines[1:]]))
        return self

    def monitor(self, *words: str) -> int:
        return run(["-C", str(self.folder), "monitor", "--config", "monitor.toml", *words])

    def model(self, *words: str) -> int:
        return run(["model", *words])

    def packed(self) -> "Place":
        (self.folder / "m").mkdir()
        (self.folder / "m" / "weights").write_text("1\n")
        assert self.pack() == 0
        return self

    def pack(self, *words: str) -> int:
        return self.model("pack", "m", "--name", "ocr", "--sequence", "7", "--key", "k", *words)

    def verify(self, *words: str) -> int:
        return self.model("verify", "m", "--key", "keys/k.pub", *words)

    def to(self, destination: str) -> int:
        (self.folder / "there").mkdir(exist_ok=True)
        return self.model("publish", "m", "--to", destination, "--key", "keys/k.pub")

    def change(self, path: str, data: bytes) -> "Place":
        (self.folder / path).write_bytes(data)
        return self


def _tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("weights")
        member.size = 2
        archive.addfile(member, io.BytesIO(b"1\n"))
    return packed.getvalue()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    keys = KeyStore(tmp_path / "keys", Secrets({}))
    for name in ("k", "other"):
        key = FileKey.generate()
        keys.add(name, Purpose.of("model"), key.public, key.pem(None))
    monkeypatch.setenv("HPS_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv("HPS_KEY", raising=False)
    monkeypatch.delenv("HPS_MONITOR_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


def _ended_by_signals(place: Place) -> int:
    place.settings().publish()
    words = [sys.executable, "-m", "hps", "monitor", "--config", "monitor.toml"]
    codes = set()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        with subprocess.Popen(words, stderr=subprocess.PIPE, env=os.environ) as process:
            assert process.stderr is not None
            assert b"started" in process.stderr.readline()
            process.send_signal(number)
            process.stderr.read()
            codes.add(process.wait(60))
    (code,) = codes
    return code


def _taken_address(place: Place) -> int:
    place.settings().publish()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return place.monitor("--once", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")


def _while_another_runs(place: Place, *words: str) -> int:
    place.settings().publish().journal()
    with owned(place.folder / "state" / "ocr" / "lock", now=time.time()):
        return place.monitor(*words)


def _awaiting() -> Telling:
    telling = Telling().live(1).live(2).offer(3)
    return telling.do(Step.PULL, Step.VERIFY)


WAYS: dict[tuple[str, str], Callable[[Place], int]] = {
    ("hps monitor", "it was told to end"): _ended_by_signals,
    ("hps monitor", "settings, flags"): _taken_address,
    ("hps monitor --once", "every model"): lambda p: p.settings().publish().monitor("--once"),
    ("hps monitor --once", "a source cannot"): lambda p: (
        p.settings().publish().change("src/donefile", b"1").without("src/m.tar").monitor("--once")
    ),
    ("hps monitor --once", "what is offered is refused"): lambda p: (
        p.settings().publish().change("src/donefile", b"0" * 64 + b"\n").monitor("--once")
    ),
    ("hps monitor --once", "an archive"): lambda p: (
        p.settings().publish(b"<html>not found</html>").monitor("--once")
    ),
    ("hps monitor --once", "nothing is offered"): lambda p: (
        p.settings().publish().without("src/donefile").monitor("--once")
    ),
    ("hps monitor --once", "the model server"): lambda p: (
        p.settings(FAILING).publish().monitor("--once")
    ),
    ("hps monitor --once", "another monitor"): lambda p: _while_another_runs(p, "--once"),
    ("hps monitor --once", "a journal"): lambda p: (
        p.settings().publish().journal().damage().monitor("--once")
    ),
    ("hps monitor status", "it was told"): lambda p: p.settings().journal().monitor("status"),
    ("hps monitor status", "there is no"): lambda p: p.settings().monitor("status", "other"),
    ("hps monitor status", "a journal"): lambda p: (
        p.settings().journal().damage().monitor("status")
    ),
    ("hps monitor history", "it was told"): lambda p: (
        p.settings().journal().monitor("history", "ocr")
    ),
    ("hps monitor history", "there is no"): lambda p: p.settings().monitor("history", "ocr"),
    ("hps monitor rollback", "it was done"): lambda p: (
        p.settings().journal().monitor("rollback", "ocr")
    ),
    ("hps monitor rollback", "there is nothing"): lambda p: (
        p.settings().journal(Telling().live(1)).monitor("rollback", "ocr")
    ),
    ("hps monitor hold", "it was done"): lambda p: p.settings().journal().monitor("hold", "ocr"),
    ("hps monitor release", "it was done"): lambda p: (
        p.settings().journal().monitor("release", "ocr")
    ),
    ("hps monitor approve", "it was done"): lambda p: (
        p.settings().journal(_awaiting()).monitor("approve", "ocr")
    ),
    ("hps monitor approve", "nothing waits"): lambda p: (
        p.settings().journal().monitor("approve", "ocr")
    ),
    ("hps monitor refuse", "nothing is"): lambda p: p.settings().journal().monitor("refuse", "ocr"),
    ("hps monitor repair", "the journal is"): lambda p: (
        p.settings().journal().damage().monitor("repair", "ocr")
    ),
    ("hps monitor repair", "there is no"): lambda p: p.settings().monitor("repair", "ocr"),
    ("hps monitor repair", "a monitor runs"): lambda p: _while_another_runs(p, "repair", "ocr"),
    ("hps model pack", "it is packed"): lambda p: p.packed().pack("--expires", "3d"),
    ("hps model pack", "the folder"): lambda p: p.pack(),
    ("hps model sign", "it is signed"): lambda p: p.packed().model("sign", "m", "--key", "other"),
    ("hps model sign", "the folder"): lambda p: p.model("sign", "m", "--key", "other"),
    ("hps model publish", "it is published"): lambda p: (
        p.packed().to("there") or p.to("there")  # the same once more
    ),
    ("hps model publish", "the place"): lambda p: p.packed().to("gopher://example.org"),
    ("hps model publish", "monitors"): lambda p: p.packed().change("m/weights", b"2\n").to("there"),
    ("hps model publish", "its number"): lambda p: (
        p.packed().to("there") or p.pack("--sequence", "6") or p.to("there")
    ),
    ("hps model verify", "all is good"): lambda p: p.packed().verify(),
    ("hps model verify", "there is no such"): lambda p: p.verify(),
    ("hps model verify", "no manifest"): lambda p: p.packed().change("m/model.sig", b"{}").verify(),
    ("hps model verify", "no good signature"): lambda p: p.packed().model(
        "verify", "m", "--key", "keys/other.pub"
    ),
    ("hps model verify", "another model"): lambda p: p.packed().verify("--name", "layout"),
    ("hps model verify", "files"): lambda p: p.packed().change("m/weights", b"2\n").verify(),
    ("hps model verify", "too old"): lambda p: p.packed().verify("--sequence", "8"),
}


@pytest.mark.parametrize("row", ROWS, ids=[f"{one.command}: {one.cause}" for one in ROWS])
def test_a_command_ends_with_the_code_of_its_cause(row: Row, place: Place) -> None:
    (way,) = [
        way
        for (command, cause), way in WAYS.items()
        if command == row.command and row.cause.startswith(cause)
    ]
    assert way(place) == row.code


def test_every_verb_is_in_the_table() -> None:
    assert len(WAYS) == len(ROWS)
    verbs = {
        f"hps {which} {name}"
        for which, group in (("monitor", monitor_command), ("model", model_command))
        for name in group.list_commands(click.Context(group))
    }
    assert verbs == {row.command for row in ROWS} - {"hps monitor", "hps monitor --once"}
