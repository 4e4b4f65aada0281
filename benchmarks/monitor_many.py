"""Many models in one `hps monitor`: memory, CPU at rest, and time from publish to serve.

A real process watches models over HTTP and swaps folders for Paddle Serving. Peers: as many
processes of an interpreter that does nothing, which is the least that one monitor for each model
takes, and the least work for the same bytes: fetched with curl, hashed, unpacked with tar.
"""

import http.client
import http.server
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from measuring import HPS, Row, against, parser, show, workplace

from hps.monitor.history import seconds, updates
from hps.monitor.journal import read

_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE = 600.0
_IDLE = [sys.executable, "-c", "import sys; sys.stdin.read()"]


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--models", type=int, default=200)
    made.add_argument("--kilobytes", type=int, default=1024, help="of each model")
    made.add_argument("--interval", type=float, default=10.0)
    made.add_argument("--rest", type=float, default=60.0, help="seconds to look at it at rest")
    made.add_argument("--publishes", type=int, default=0, help="more, before it is measured")
    made.add_argument("--folder", type=Path, help="a file beside which there is room")
    given = made.parse_args()
    with workplace(given.folder) as place:
        lab = _Lab(place, given)
        rows = list(_rows(lab, given))
    show(rows, as_json=given.json)


class _Lab:
    """The place that publishes, and what is watched."""

    def __init__(self, place: Path, given: Namespace) -> None:
        self.place, self.source, self.state = place, place / "source", place / "state"
        self.names = [f"model-{number:03}" for number in range(given.models)]
        self.size = given.kilobytes << 10
        self.interval = given.interval
        self.source.mkdir()
        self.published = 0
        for name in self.names:
            (self.source / name).mkdir()

    def publish(self, name: str) -> float:
        """A new model with its checksums, the donefile last; says when."""
        self.published += 1
        weights = os.urandom(self.size)
        folder, packed = self.source / name, io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path, data in (("weights", weights), ("graph", b"g" * 1000)):
                member = tarfile.TarInfo(path)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        _put(folder / "model.tar", packed.getvalue())
        return _put(folder / "donefile", f"{self.published}\n".encode())

    def live(self, name: str) -> int:
        """The generation that is live; 0 for none."""
        try:
            return int((self.state / name / "live").readlink().name)
        except FileNotFoundError:
            return 0

    def updates(self, name: str, since: float) -> list[tuple[float, float]]:
        """When those began and ended that went live since then; one may have begun before."""
        found = []
        for row in updates(read(self.state / name / "journal")):
            began, ended = seconds(row.began), seconds(row.ended)
            if (
                row.phase == "live"
                and began is not None
                and ended is not None
                and began >= since - 0.001
            ):
                found.append((began, ended))
        return found

    def settings(self, address: str) -> Path:
        text = [f'[monitor]\nstate = "{self.state}"\nlisten = "127.0.0.1:0"\n']
        text += [
            f'[monitor.models.{name}]\nverify = "offered"\ninterval = {self.interval}\n'
            f'[monitor.models.{name}.source]\ntype = "general"\nhost = "{address}"\n'
            f'path = "/{name}"\nmodel = "model.tar"\n'
            f'[monitor.models.{name}.server]\ntype = "paddle-serving"\n'
            f'folder = "{self.place / "served"}"\n'
            f"[monitor.models.{name}.caps]\nspare = 0\n"
            for name in self.names
        ]
        path = self.place / "monitor.toml"
        path.write_text("\n".join(text))
        return path


def _put(path: Path, data: bytes) -> float:
    new = path.with_name(f".{path.name}")
    new.write_bytes(data)
    new.replace(path)
    return time.time()


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """In a process of its own, so that its work is not counted as the monitor's."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import monitor_many; "
        "monitor_many.serve(sys.argv[2])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(Path(__file__).parent), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # connections that the monitor cuts at its end
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def serve(folder: str) -> None:
    """Give out a folder until killed."""
    handler = partial(_Handler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


@dataclass(frozen=True)
class _Monitor:
    """The process that is measured."""

    pid: int
    address: str

    def cpu(self) -> float:
        """Seconds of it so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def get(self, path: str) -> tuple[float, bytes]:
        """Seconds for an answer, and the answer."""
        host, _, port = self.address.removeprefix("http://").strip("/").rpartition(":")
        start = time.perf_counter()
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        connection.request("GET", path)
        body = connection.getresponse().read()
        connection.close()
        return time.perf_counter() - start, body


@contextmanager
def _monitor(settings: Path) -> Iterator[_Monitor]:
    process = subprocess.Popen(
        [*HPS, "monitor", "--config", str(settings), "--log-format", "json"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    address = ""
    for line in process.stderr:
        if json.loads(line)["event"] == "listening":
            address = json.loads(line)["message"].rpartition(" ")[2]
            break
    reader = threading.Thread(target=process.stderr.read, daemon=True)
    reader.start()
    with process:
        try:
            yield _Monitor(process.pid, address)
        finally:
            process.terminate()
            code = process.wait(60)
            reader.join(10)
    if code != 0:
        sys.exit(f"the monitor ended with {code}")


def _rows(lab: _Lab, given: Namespace) -> Iterator[Row]:
    idle = _idle_rows(len(lab.names))
    with _server(lab.source) as address:
        least = _least(lab, address)
        start = time.perf_counter()
        with _monitor(lab.settings(address)) as monitor:
            yield Row("start until it listens", time.perf_counter() - start)
            yield from _all_at_once(lab, least, "all published, first time")
            for _ in range(given.publishes):
                list(_all_at_once(lab, least, ""))
            yield from _all_at_once(lab, least, "all published again")
            yield from _one(lab)
            yield from _at_rest(lab, monitor, given.rest)
            yield from _memory(monitor, idle)
            for path in ("/metrics", "/status", "/", "/readyz"):
                times, bodies = zip(*(monitor.get(path) for _ in range(5)), strict=True)
                yield Row(f"GET {path}", statistics.median(times))
                yield Row(f"GET {path}, bytes", len(bodies[-1]) / 1e6, "MB")


def _all_at_once(lab: _Lab, least: Row, what: str) -> Iterator[Row]:
    before = {name: lab.live(name) for name in lab.names}
    began = time.time()
    for name in lab.names:
        lab.publish(name)
    published = time.time()
    _until(lambda: all(lab.live(name) > before[name] for name in lab.names))
    _until(lambda: all(lab.updates(name, began) for name in lab.names))  # written down, too
    rows = [row for name in lab.names for row in lab.updates(name, began)]
    ended = max(end for _, end in rows)
    yield Row(f"{what}: publishing itself", published - began)
    yield against(f"{what}: last publish to last live", ended - published, least)
    yield against(
        f"{what}: first update begun to last live", ended - min(one for one, _ in rows), least
    )
    yield Row(f"{what}: one update, median", statistics.median(b - a for a, b in rows))


def _one(lab: _Lab) -> Iterator[Row]:
    waited, worked = [], []
    for name in lab.names[:5]:
        began = time.time()
        published = lab.publish(name)
        _until(lambda: bool(lab.updates(name, began)))  # noqa: B023 - used up in this very round
        first, last = lab.updates(name, began)[0]
        waited.append(last - published)
        worked.append(last - first)
    yield Row("one published: to live, with the interval", statistics.median(waited))
    yield Row("one published: update alone", statistics.median(worked))


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            sys.exit("it did not go live in time")
        time.sleep(0.05)


def _at_rest(lab: _Lab, monitor: _Monitor, length: float) -> Iterator[Row]:
    time.sleep(2 * lab.interval)
    before, start = monitor.cpu(), time.monotonic()
    time.sleep(length)
    used, passed = monitor.cpu() - before, time.monotonic() - start
    yield Row("at rest: CPU seconds a minute", used / passed * 60)
    looks = passed / lab.interval * len(lab.names)
    yield Row("at rest: CPU for one look", used / looks * 1000, "ms")


def _memory(monitor: _Monitor, idle: Sequence[Row]) -> Iterator[Row]:
    yield from idle
    resident, proportional = _memory_of(monitor.pid)
    yield against("memory, resident", resident, idle[0], "MB")
    yield against("memory, proportional", proportional, idle[1], "MB")
    yield Row("threads", monitor.threads(), "")
    yield Row("descriptors", monitor.descriptors(), "")


def _memory_of(pid: int) -> tuple[float, float]:
    """Resident and proportional set size, in MB (proc(5), smaps_rollup)."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split()[:2]
        found[name] = int(value) / 1000
    return found["Rss:"], found["Pss:"]


def _idle_rows(count: int) -> list[Row]:
    processes = [subprocess.Popen(_IDLE, stdin=subprocess.PIPE) for _ in range(count)]
    try:
        time.sleep(3)
        sizes = [_memory_of(one.pid) for one in processes]
    finally:
        for one in processes:
            one.kill()
            one.communicate()
    return [
        Row(f"{count} interpreters that do nothing, {kind}", sum(values), "MB")
        for kind, values in zip(("resident", "proportional"), zip(*sizes, strict=True), strict=True)
    ]


def _least(lab: _Lab, address: str) -> Row:
    """The same bytes fetched, hashed, unpacked and synced by the usual tools, one by one."""
    folder = lab.place / "least"
    folder.mkdir()
    for name in lab.names:
        lab.publish(name)
    script = "\n".join(
        f"mkdir {name} && curl -s {address}/{name}/model.tar -o {name}.tar && "
        f"sha256sum {name}.tar && tar -C {name} -xf {name}.tar && sync {name}/* {name}"
        for name in lab.names
    )
    start = time.perf_counter()
    subprocess.run(["bash", "-ec", script], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return Row("curl, sha256sum, tar, sync of all", time.perf_counter() - start)


if __name__ == "__main__":
    main()
