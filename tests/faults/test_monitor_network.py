"""Faults on the way to real sources, by a seeded generator, and publishers that do wrong.

After each step the live model is whole, verified, and none older than before; when the fault is
over the monitor finds the newest one by itself. `HPS_SEED` repeats the steps (threads and sockets
are as they are); `HPS_FAULTS` says how many, and asks a real HDFS, too.
"""

import contextlib
import dataclasses
import functools
import json
import logging
import math
import os
import random
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hps.model.policy import Trust
from hps.monitor.source import Source
from hps.monitor.sources.ftp import FtpPlace, FtpSource
from hps.monitor.sources.http import HttpPlace, HttpSource
from hps.monitor.sources.local import LocalPlace, LocalSource
from hps.monitor.sources.webhdfs import WebHdfsPlace, WebHdfsSource
from tests.faults.monitored import (
    CAPS,
    PATIENCE,
    FolderShelf,
    Live,
    Monitored,
    Publisher,
    Shelf,
    eventually,
    rules,
)
from tests.faults.network_namespace import Cable, cabled
from tests.faults.network_proxy import FINE, HTTP_KINDS, KINDS, Fault, Proxy
from tests.monitor.sources.ftp_servers import pyftpdlib
from tests.monitor.sources.hadoop_jars import hadoop_jars
from tests.monitor.sources.hdfs_server import Hdfs
from tests.monitor.sources.http_servers import python_server
from tests.servers import HostileServer

MEMORY = Path("/dev/shm")
SEED = int(os.environ.get("HPS_SEED") or random.SystemRandom().randrange(10**6))
STEPS = int(os.environ.get("HPS_FAULTS") or 150)
BIG = "HPS_FAULTS" in os.environ
pytestmark = pytest.mark.timeout(6 * 3600 if BIG else 900)
_TOLD = 250  # steps between two lines of a big run
RECOVERY = 60.0  # seconds; a bound for machines that are busy, not what it takes
# What a publisher does wrong; the name says the reason for which it is refused.
_WRONGS = ("tampered", "half", "gone", "older", "stranger")


@dataclasses.dataclass
class Road:
    """A kind of source, and the way to it.

    Args:
        shelf: where its publisher writes.
        model: its name there; packed by its ending.
        trust: of the host.
        open: the source, at an address.
        upstream: address of the server; None when there is no network.
        speaks_http: whether answers of HTTP can be made up on the way.
    """

    shelf: Shelf
    model: str
    trust: Trust
    open: Callable[[tuple[str, int]], Source]
    upstream: tuple[str, int] | None
    speaks_http: bool = False


@contextlib.contextmanager
def http(folder: Path) -> Iterator[Road]:
    """A server that knows ETag and Range; an archive with a signature in it."""
    with HostileServer() as server:
        server.folder("/", folder)
        yield Road(
            FolderShelf(folder),
            "ocr.tar.gz",
            Trust.SIGNATURE,
            lambda at: _http(at, "ocr.tar.gz"),
            ("127.0.0.1", server.port),
            speaks_http=True,
        )


@contextlib.contextmanager
def http_folder(folder: Path) -> Iterator[Road]:
    """A server that knows neither; a folder with checksums in it."""
    with python_server(folder) as url:
        yield Road(
            FolderShelf(folder),
            "ocr",
            Trust.CHECKSUMS,
            lambda at: _http(at, "ocr"),
            ("127.0.0.1", int(url.rpartition(":")[2])),
            speaks_http=True,
        )


@contextlib.contextmanager
def ftp(folder: Path) -> Iterator[Road]:
    """Plain FTP; an archive whose digest is in the donefile."""
    with pyftpdlib(folder) as port:
        yield Road(
            FolderShelf(folder),
            "ocr.zip",
            Trust.CHECKSUMS,
            lambda at: _ftp(at, "ocr.zip"),
            ("127.0.0.1", port),
        )


@contextlib.contextmanager
def ftp_folder(folder: Path) -> Iterator[Road]:
    """Plain FTP; a folder with a signature in it."""
    with pyftpdlib(folder) as port:
        yield Road(
            FolderShelf(folder),
            "ocr",
            Trust.SIGNATURE,
            lambda at: _ftp(at, "ocr"),
            ("127.0.0.1", port),
        )


@contextlib.contextmanager
def local(folder: Path) -> Iterator[Road]:
    """A folder of this machine, where only publishers do wrong."""
    place = LocalPlace(folder=folder, model="ocr", donefile="donefile", packed=False)
    yield Road(
        FolderShelf(folder), "ocr", Trust.SIGNATURE, lambda _: LocalSource(place, CAPS), None
    )


def _http(address: tuple[str, int], model: str) -> Source:
    base = f"http://{address[0]}:{address[1]}"
    place = HttpPlace(base=base, model=model, donefile="donefile", packed="." in model)
    return HttpSource(place, PATIENCE, CAPS)


def _ftp(address: tuple[str, int], model: str) -> Source:
    host, port = address
    place = FtpPlace(
        host=host, port=port, folder="/", model=model, donefile="donefile", packed="." in model
    )
    return FtpSource(place, PATIENCE, CAPS)


class HdfsShelf:
    """A folder of a cluster."""

    def __init__(self, hdfs: Hdfs) -> None:
        self._hdfs, self._client = hdfs, hdfs.client()

    def put(self, path: str, data: bytes, modified: float) -> None:
        """See `Shelf`."""
        new, target = f"/new-{next(self._hdfs.numbers)}", f"/models/{path}"
        self._client.write(new, data=data)
        self._client.set_times(new, modification_time=int(modified * 1000))
        self._client.makedirs(target.rpartition("/")[0])
        self._client.delete(target)
        self._client.rename(new, target)

    def remove(self, path: str) -> None:
        """See `Shelf`."""
        self._client.delete(f"/models/{path}", recursive=True)


@pytest.fixture
def fast(caplog: pytest.LogCaptureFixture) -> Iterator[Path]:
    """A folder in memory where there is one: steps are quicker there."""
    caplog.set_level(logging.CRITICAL, "hps.monitor")  # a line for each of thousands of failures
    where = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where) as name:
        yield Path(name)


class Storm:
    """One model behind one road, and what happens to it."""

    def __init__(
        self, folder: Path, road: Road, proxy: Proxy | None, cable: Cable | None, seed: str
    ) -> None:
        self.road, self.proxy, self.cable = road, proxy, cable
        self.chance = random.Random(seed)
        self.publisher = Publisher(road.shelf, road.model, road.trust, self.chance)
        address = ("", 0) if proxy is None else proxy.address
        self.monitored = Monitored(folder, road.open(address), rules(road.trust))
        self.live = Live(self.monitored.live, self.publisher.published)
        self.kinds: Counter[str] = Counter()
        self.recoveries: list[float] = []

    def run(self, steps: int) -> None:
        """So many steps, and then fine weather."""
        start = self.monitored.thread.start
        start() if self.cable is None else self.cable.near.call(start)
        try:
            self.publisher.publish()
            self.recover()
            for number in range(1, steps + 1):
                self.step()
                if number % _TOLD == 0:
                    print(f"{number} steps {dict(self.kinds)}", flush=True)
            self.recover()
        finally:
            self.calm()
            self.monitored.stop()
        assert self.live.version() == self.publisher.good

    def step(self) -> None:
        """One thing goes wrong, for a while."""
        kind = self.chance.choice(self._kinds())
        self.kinds[kind] += 1
        if kind in _WRONGS:
            self._publish_wrong(kind)
        else:
            self._disturb(kind)
        self._check()
        if self.chance.random() < 0.75:
            self.recover()

    def recover(self) -> None:
        """The fault is over: the newest release goes live without anybody's help."""
        self.calm()
        if self.publisher.version != self.publisher.good:
            self.publisher.publish()
        taken = eventually(self._is_newest, RECOVERY)
        assert taken is not None, self._told()
        self.recoveries.append(taken)
        self._check()

    def calm(self) -> None:
        """No fault any more."""
        if self.cable is not None:
            self.cable.mend()
        if self.proxy is not None:
            self.proxy.fault = Fault(FINE)

    def _kinds(self) -> list[str]:
        wrongs = [kind for kind in _WRONGS if self.road.trust is Trust.SIGNATURE or kind != "older"]
        if self.proxy is None:
            return wrongs
        http = HTTP_KINDS if self.road.speaks_http else ()
        cut = () if self.cable is None else ("cut",)
        return [*KINDS, *KINDS, *http, *http, *cut, *wrongs]

    def _disturb(self, kind: str) -> None:
        assert self.proxy is not None
        early = self.chance.random() < 0.5
        if early and self.publisher.good == self.publisher.version:
            self.publisher.publish()
            time.sleep(self.chance.random() * 0.05)  # so that faults come at any point of a pull
        met = self.proxy.met.total()
        if kind == "cut":
            assert self.cable is not None
            self.cable.cut()
        else:
            self.proxy.fault = self._fault(kind)
        if not early and self.chance.random() < 0.8:
            self.publisher.publish()
        patience = self.chance.choice((0.02, 0.05, 0.1, 0.2, 0.5))
        eventually(lambda: self.proxy is not None and self.proxy.met.total() > met + 1, patience)

    def _fault(self, kind: str) -> Fault:
        if kind == "redirect":
            old = self.publisher.trees[self.chance.randrange(1, self.publisher.version + 1)]
            self.road.shelf.put("older", self.publisher.archive(old), 1e9)
        size = int(math.exp(self.chance.uniform(0, math.log(3000))))
        at = int(math.exp(self.chance.uniform(0, math.log(210_000)))) - 1
        host, port = ("", 0) if self.proxy is None else self.proxy.address
        targets = (
            f"/{self.road.model}",
            "/donefile",
            "/older",
            "/older",
            f"http://{host}:{port}/",
            "http://127.0.0.1:9/",
            "file:///etc/passwd",
            "//[",
        )
        return Fault(
            kind,
            at=at,
            size=size,
            up=self.chance.random() < 0.2,
            status=self.chance.choice((200, 204, 206, 304, 400, 401, 403, 404, 416, 429, 500, 503)),
            target=self.chance.choice(targets),
        )

    def _publish_wrong(self, kind: str) -> None:
        publisher = self.publisher
        tree = publisher.made()
        before = self.monitored.counts().total()
        if kind == "tampered":
            publisher.put({**tree, "weights": b"not these"}, publisher.donefile(tree))
        elif kind == "half":
            publisher.put({"weights": tree["weights"]}, publisher.donefile(tree))
        elif kind == "gone":
            publisher.shelf.remove("donefile")
        elif kind == "older":
            old = publisher.trees[self.chance.randrange(1, publisher.version)]
            publisher.put(old, publisher.donefile(old))
        else:
            said = {"model.sig": b"{}", "SHA256SUMS": b"0" * 64 + b"  weights\n"}
            tree = {**tree, **{name: said[name] for name in said.keys() & tree.keys()}}
            publisher.put(tree, publisher.donefile(publisher.trees[publisher.version]))
        eventually(lambda: self.monitored.counts().total() > before + 3, 0.2)

    def _check(self) -> None:
        self.monitored.check()
        self.live.version()

    def _is_newest(self) -> bool:
        self.monitored.check()
        return self.live.is_at(self.publisher.good)

    def _told(self) -> str:
        return f"{self.live.newest} is live, not {self.publisher.good}; seed {SEED}; " + str(
            self.monitored.runner.status()
        )


def weather(folder: Path, road: Road, name: str, steps: int) -> None:
    """Run a storm on a road, through a cable where there can be one; tell what it was."""
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        cable, proxy = None, None
        if road.upstream is not None:
            cable = stack.enter_context(cabled())
            proxy = stack.enter_context(_proxy(road.upstream, cable))
        storm = Storm(folder / "host", road, proxy, cable, f"{SEED} {name}")
        storm.run(steps)
    taken = sorted(storm.recoveries)
    print(
        json.dumps(
            {
                "source": name,
                "seed": SEED,
                "steps": steps,
                "seconds": round(time.monotonic() - began, 1),
                "releases": len(storm.publisher.published),
                "looks at the live model": storm.live.looks,
                "recoveries": len(taken),
                "recovered in p50, p99, most": [
                    round(taken[int(len(taken) * part)], 3) for part in (0.5, 0.99)
                ]
                + [round(taken[-1], 3)],
                "steps by kind": dict(storm.kinds.most_common()),
                "connections that met": {} if proxy is None else dict(proxy.met.most_common()),
                "counts": dict(sorted(storm.monitored.counts().items())),
            }
        )
    )
    assert storm.live.newest == storm.publisher.good


@contextlib.contextmanager
def _proxy(upstream: tuple[str, int], cable: Cable | None) -> Iterator[Proxy]:
    listen = None
    if cable is not None:
        make = functools.partial(socket.create_server, (cable.address, 0))
        listen = functools.partial(cable.far.call, make)
    with Proxy(upstream, listen) as proxy:
        yield proxy


# The way, and its share of all steps; what is left is that to HDFS.
ROADS = {
    "http": (http, 0.25),
    "http-folder": (http_folder, 0.24),
    "ftp": (ftp, 0.18),
    "ftp-folder": (ftp_folder, 0.16),
    "local": (local, 0.14),
}
_HDFS = 0.03


@pytest.mark.parametrize("name", ROADS)
def test_whatever_happens_on_the_way_the_live_model_is_whole(fast: Path, name: str) -> None:
    (fast / "published").mkdir()
    (fast / "host").mkdir()
    opened, share = ROADS[name]
    with opened(fast / "published") as road:
        weather(fast, road, name, round(STEPS * share))


@pytest.mark.network
@pytest.mark.skipif(not BIG, reason="two Java machines; HPS_FAULTS says that there is time")
def test_the_same_on_the_way_to_hdfs(fast: Path, request: pytest.FixtureRequest) -> None:
    for name in ("hdfs", "host"):
        (fast / name).mkdir()
    jars = hadoop_jars(request.config.cache.mkdir("hps-hadoop"))
    with Hdfs.running(fast / "hdfs", jars) as hdfs:
        road = Road(
            HdfsShelf(hdfs),
            "ocr",
            Trust.SIGNATURE,
            _webhdfs,
            ("127.0.0.1", hdfs.ports[1]),
            speaks_http=True,
        )
        weather(fast, road, "hdfs", round(STEPS * _HDFS))


def _webhdfs(address: tuple[str, int]) -> Source:
    urls = (f"http://{address[0]}:{address[1]}",)
    place = WebHdfsPlace(
        urls=urls, folder="/models", model="ocr", donefile="donefile", packed=False, user="loader"
    )
    return WebHdfsSource(place, PATIENCE, CAPS)
