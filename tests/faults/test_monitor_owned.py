"""Two monitors for one model: the second is refused, and one that was overtaken writes no more."""

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.monitor.journal import read
from hps.monitor.ownership import holder_of
from hps.monitor.state import State
from tests.faults.monitor_process import Laboratory
from tests.faults.monitored import eventually, hashes_of
from tests.monitor.sources.contract import noise
from tests.servers import Behaviour, Exchange, HostileServer, fine

_SECONDS = 60.0
MIB = 1 << 20


class Shop:
    """A publisher, a server, and monitors of one place."""

    def __init__(self, folder: Path, server: HostileServer) -> None:
        self.server = server
        (folder / "published").mkdir()
        (folder / "place").mkdir()
        server.folder("/", folder / "published")
        self.lab = Laboratory(folder, server.url)
        self.place = folder / "place"
        self.lab.furnish(self.place)
        self.started: list[subprocess.Popen[str]] = []
        self.before: tuple[str, ...] = ()  # what goes before the command of a monitor

    def monitor(self, *words: str) -> "subprocess.Popen[str]":
        """A process; what it says is in its standard error."""
        number = len(self.started)
        command = (sys.executable, "-m", "hps.monitor", "--config", "monitor.toml")
        with (self.place / f"log-{number}").open("w") as log:
            process = subprocess.Popen(
                [*self.before, *command, *words],
                cwd=self.place,
                stderr=log,
                text=True,
            )
        self.started.append(process)
        return process

    def said(self, process: "subprocess.Popen[str]") -> str:
        """What it has said so far."""
        return (self.place / f"log-{self.started.index(process)}").read_text()

    def wait_live(self, version: int) -> None:
        """Until it is the one."""
        assert eventually(lambda: self._is_live(version), _SECONDS) is not None

    def wait_said(self, process: "subprocess.Popen[str]", text: str) -> None:
        """Until it has said so."""
        assert eventually(lambda: text in self.said(process), _SECONDS) is not None

    def _is_live(self, version: int) -> bool:
        """Also by the journal: what is stopped in the middle of a step ends that step later."""
        records = read(self.place / "state" / "ocr" / "journal")
        if not records or self.lab.live(self.place) != version:
            return False
        update = State.from_json(records[-1].state).update
        return update is not None and update.over

    def traces(self) -> dict[str, tuple[int, ...]]:
        """Every file that counts, by what would change if somebody wrote."""
        found: dict[str, tuple[int, ...]] = {}
        for top in ("state", "served"):
            for path in (self.place / top).rglob("*"):
                state = path.lstat()
                if "staging" not in path.parts:
                    found[str(path)] = (state.st_ino, state.st_size, state.st_mtime_ns)
        return found

    def close(self) -> None:
        """End all of them."""
        for process in self.started:
            process.kill()
            process.wait(_SECONDS)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with HostileServer() as server:
        made = Shop(tmp_path, server)
        with contextlib.closing(made):
            yield made


def half(body: bytes, gate: threading.Event, rest: bytes, reached: threading.Event) -> Behaviour:
    """The first five MiB, and when the gate opens the rest, or what somebody made of it."""

    def behave(exchange: Exchange) -> None:
        exchange.head(200, {"Content-Length": str(len(body)), "ETag": '"large"'})
        if exchange.command == "GET":
            exchange.body(body[: 5 * MIB])
            reached.set()
            gate.wait(_SECONDS)
            exchange.body(rest)

    return behave


def once(first: Behaviour, then: Behaviour) -> Behaviour:
    """One GET gets the first, everybody else the other."""
    left = [first]

    def behave(exchange: Exchange) -> None:
        asked = exchange.command == "GET" and left
        (left.pop() if asked else then)(exchange)

    return behave


def test_the_second_monitor_is_refused_and_told_who_has_the_model(shop: Shop) -> None:
    shop.lab.publish(1)
    first = shop.monitor()
    shop.wait_live(1)
    holder = holder_of(shop.place / "state" / "ocr" / "lock")
    assert holder is not None
    assert holder.pid == first.pid
    second = shop.monitor("--once")
    assert second.wait(_SECONDS) == 8
    assert "ocr belongs to another monitor" in shop.said(second)
    assert f"process {first.pid} on" in shop.said(second)
    shop.lab.publish(2)
    shop.wait_live(2)
    assert {one.fence for one in read(shop.place / "state" / "ocr" / "journal")} == {1}


def test_a_stopped_monitor_keeps_its_model(shop: Shop) -> None:
    shop.lab.publish(1)
    first = shop.monitor()
    shop.wait_live(1)
    first.send_signal(signal.SIGSTOP)
    shop.lab.publish(2)
    second = shop.monitor("--once")
    assert second.wait(_SECONDS) == 8
    assert shop.lab.live(shop.place) == 1
    first.send_signal(signal.SIGCONT)
    shop.wait_live(2)


def test_a_monitor_that_was_overtaken_in_its_sleep_writes_no_more(shop: Shop) -> None:
    """Where locks do not reach: here somebody removed the lock file."""
    shop.lab.publish(1)
    first = shop.monitor()
    shop.wait_live(1)
    first.send_signal(signal.SIGSTOP)
    (shop.place / "state" / "ocr" / "lock").unlink()
    shop.lab.publish(2)
    second = shop.monitor()
    shop.wait_live(2)
    before = shop.traces()
    first.send_signal(signal.SIGCONT)
    shop.wait_said(first, "is not this monitor's any more")
    assert first.wait(_SECONDS) == 8  # it has no other model to look after
    assert shop.traces() == before
    shop.lab.publish(3)
    shop.wait_live(3)
    second.terminate()
    assert second.wait(_SECONDS) == 0


@pytest.mark.parametrize("arrives", ["as it was", "damaged"])
def test_what_an_overtaken_monitor_still_pulls_reaches_nobody(shop: Shop, arrives: str) -> None:
    """It sleeps in the middle of a file, which the other one carries on with."""
    content = {"weights": noise(6 * MIB), "conf": b"x"}
    tree = shop.lab.publisher.completed(content, 1)
    shop.lab.publisher.published[hashes_of(tree)] = 1
    settings = (shop.place / "monitor.toml").read_text()
    (shop.place / "monitor.toml").write_text(settings.replace("ocr.tar.gz", "ocr"))
    links = "<title>Index of /ocr</title>\n"
    links += "".join(f'<a href="{path}">{path}</a>\n' for path in tree) + "</html>\n"
    for path, data in {**tree, "index.html": links.encode()}.items():
        shop.lab.publisher.shelf.put(f"ocr/{path}", data, 1_700_000_000.0)
    shop.lab.publisher.shelf.put("donefile", b"1", 1_700_000_000.0)
    gate, reached = threading.Event(), threading.Event()
    body = tree["weights"]
    rest = body[5 * MIB :] if arrives == "as it was" else bytes(MIB)
    stuck = half(body, gate, rest, reached)
    shop.server.script("/ocr/weights", once(stuck, fine(body, etag='"large"')))

    first = shop.monitor()
    assert reached.wait(_SECONDS), shop.said(first)
    staged = shop.place / "state" / "ocr" / "staging" / "1" / "pulled" / "files" / "weights"
    assert eventually(lambda: staged.stat().st_size == 5 * MIB, _SECONDS) is not None
    first.send_signal(signal.SIGSTOP)
    (shop.place / "state" / "ocr" / "lock").unlink()
    shop.monitor()
    shop.wait_live(1)
    gate.set()
    first.send_signal(signal.SIGCONT)
    shop.wait_said(first, "is not this monitor's any more")
    assert shop.lab.live(shop.place) == 1
    shop.lab.check_generations(shop.place)
