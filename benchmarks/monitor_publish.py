"""One publish through `hps monitor` and through Paddle Serving's monitor, which it replaces.

Both get the same flags and the same archives from the same HTTP server. Paddle Serving's is the
file of the wheel paddle-serving-server; its shell commands are given to bash, because with dash as
sh it does nothing at all. Counted is from the moment in which a monitor first asks for the new
donefile, so that its polling interval does not count, to a whole model with a new timestamp. A
process beside them looks at the live folder all the time and tells how long it is a mix.
The donefile holds the archive's sha256: ours verifies it, theirs does not look.
"""

import contextlib
import hashlib
import http.server
import multiprocessing
import os
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar, Self

from measuring import Row, against, parser, show, timed, workplace

WHEEL = "paddle-serving-server==0.9.0"
STAMP = "fluid_time_file"
FILES = 8
# Paddle Serving's commands are written for bash, and are run by sh.
THEIRS = """\
import os, runpy, subprocess, sys
os.system = lambda command: subprocess.call(["bash", "-c", command])
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
_PATIENCE = 60.0


@dataclass
class Published:
    """What came of one publish, in seconds."""

    served: float
    mixed: float
    steps: dict[str, float] = field(default_factory=dict)


class Place(http.server.SimpleHTTPRequestHandler):
    """A server of files that notes when it was asked for what."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[tuple[float, str]]] = []

    def do_GET(self) -> None:
        """Note it, and answer."""
        self.asked.append((time.monotonic(), self.path))
        super().do_GET()

    def do_HEAD(self) -> None:
        """Likewise."""
        self.asked.append((time.monotonic(), self.path))
        super().do_HEAD()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """In pieces that are large enough."""
        shutil.copyfileobj(source, outputfile, 1 << 20)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--folder", type=Path, help="a file beside which there is room")
    made.add_argument("--megabytes", type=int, default=256)
    made.add_argument("--times", type=int, default=3)
    made.add_argument("--wheel", type=Path, help=f"{WHEEL}, instead of fetching it")
    given = made.parse_args()
    with workplace(given.folder) as place, _serving(place / "published") as url:
        monitor = _monitor(place, given.wheel)
        archives = [
            _archive(place, number, given.megabytes << 20) for number in range(given.times + 1)
        ]
        size = archives[0].stat().st_size
        plain, theirs, ours = [], [], []
        with _Side(place / "theirs", _their_line(place, monitor, url)) as old:
            theirs = [_publish(place, old, number, one) for number, one in enumerate(archives)]
        with _Side(place / "ours", _our_line(place, url)) as new:
            for number, archive in enumerate(archives):
                ours.append(_publish(place, new, number, archive))
                plain.append(_curl(url))
    show([*_rows(size, plain[1:], theirs[1:], ours[1:])], as_json=given.json)


def _rows(
    size: int, plain: list[float], theirs: list[Published], ours: list[Published]
) -> Iterator[Row]:
    peer = Row("Paddle Serving: from publish to serve", _middle([one.served for one in theirs]))
    yield peer
    yield against("hps: from publish to serve", _middle([one.served for one in ours]), peer)
    peer = Row("Paddle Serving: the live folder is a mix", _middle([one.mixed for one in theirs]))
    yield peer
    yield against("hps: the live folder is a mix", _middle([one.mixed for one in ours]), peer)
    peer = Row("curl | sha256sum", size / _middle(plain) / 1e6, "MB/s")
    yield peer
    pulled = [one.steps["pull"] for one in ours]
    known = [one.steps["pull"] + one.steps["verify"] for one in ours]
    yield against("hps: pull, hashed and synced", size / _middle(pulled) / 1e6, peer, "MB/s")
    what = "hps: pull and verify, unpacked and synced"
    yield against(what, size / _middle(known) / 1e6, peer, "MB/s")


def _middle(values: list[float]) -> float:
    return statistics.median(values)


class _Side:
    """One of the monitors, and the process that looks at its live folder."""

    def __init__(self, folder: Path, line: list[str]) -> None:
        self.folder, self.line = folder, line
        self.live = folder / "served" / "m"
        self.port = 0

    def __enter__(self) -> Self:
        self.live.mkdir(parents=True)
        (self.folder / "log").touch()
        self.receiver, sender = multiprocessing.Pipe(duplex=False)
        self.watcher = multiprocessing.Process(target=watch, args=(self.live, sender), daemon=True)
        self.watcher.start()
        self.process: subprocess.Popen[bytes] | None = None
        return self

    def start(self) -> None:
        """Once there is something to be had: theirs does not survive a place without a donefile."""
        if self.process is None:
            with (self.folder / "log").open("wb") as log:
                self.process = subprocess.Popen(self.line, cwd=self.folder, stdout=log, stderr=log)

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.watcher.kill()
        self.watcher.join()

    def steps(self) -> dict[str, float]:
        """Seconds that each step took so far; nothing for a monitor that tells none."""
        found = {}
        name = "hps_monitor_step_duration_seconds_sum"
        with contextlib.suppress(OSError, StopIteration):
            at = self.line.index("--listen") + 1 if "--listen" in self.line else 0
            if not at:
                return {}
            opened = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            text = opened.open(f"http://{self.line[at]}/metrics", timeout=10).read().decode()
            for line in text.splitlines():
                if line.startswith(name):
                    step = line.split('step="')[1].split('"')[0]
                    found[step] = found.get(step, 0.0) + float(line.rpartition(" ")[2])
        return found


def _publish(place: Path, side: _Side, number: int, archive: Path) -> Published:
    """Put an archive where the monitors look, and wait until it is served."""
    published = place / "published"
    before = side.steps()
    shutil.copyfile(archive, published / "new")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    # Older than a second, as after a real upload: nobody has to wait for its second to be over.
    moment = time.time() - 1000 + 10 * number
    os.utime(published / "new", (moment, moment))
    (published / "done").write_text(f"{digest}\n")
    os.utime(published / "done", (moment, moment))
    (published / "new").replace(published / "m.tar")
    (published / "done").replace(published / "donefile")
    begun = time.monotonic()
    Place.asked.clear()
    side.start()
    mixed, since = 0.0, None
    while side.receiver.poll(_PATIENCE):
        when, versions, stamped = side.receiver.recv()
        if since is not None:
            mixed += when - since
        since = when if len(versions) > 1 else None
        if versions == {number} and stamped and when > begun:
            asked = min(at for at, path in Place.asked if path.endswith("donefile"))
            time.sleep(0.3)  # what it still has to note
            after = side.steps()
            steps = {name: took - before.get(name, 0.0) for name, took in after.items()}
            return Published(when - asked, mixed, steps)
    raise SystemExit((side.folder / "log").read_text()[-3000:])


def watch(live: Path, sender: Connection) -> None:
    """Tell each change of what the folder holds: which versions, and whether the stamp is new."""
    told: tuple[frozenset[int], bool] | None = None
    stamp, versions_then = -1, frozenset[int]()
    while True:
        versions, now = _look(live)
        if len(versions) == 1 and versions != versions_then and now != stamp:
            stamp, versions_then = now, versions
            state = (versions, True)
        else:
            state = (versions, versions == versions_then)
        if state != told:
            told = state
            sender.send((time.monotonic(), set(versions), state[1]))
        time.sleep(0.0005)


def _look(live: Path) -> tuple[frozenset[int], int]:
    """The versions of all files by their first and last bytes, and the time of the stamp.

    All of one folder, also when another takes its place meanwhile.
    """
    try:
        folder = os.open(live, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return frozenset(), -1
    try:
        found: set[int] = set()
        for name in [f"weights-{number}" for number in range(FILES)]:
            with contextlib.suppress(OSError):
                file = os.open(name, os.O_RDONLY, dir_fd=folder)
                try:
                    end = max(os.fstat(file).st_size - 8, 0)
                    for at in (0, end):
                        mark = os.pread(file, 8, at)
                        found.add(int.from_bytes(mark, "little") if len(mark) == 8 else -1)
                finally:
                    os.close(file)
        try:
            stamp = os.stat(STAMP, dir_fd=folder).st_mtime_ns
        except OSError:
            stamp = -1
        return frozenset(found), stamp
    finally:
        os.close(folder)


def _archive(place: Path, version: int, size: int) -> Path:
    """A model whose files begin and end with their version."""
    folder = place / f"model-{version}" / "m"
    folder.mkdir(parents=True)
    mark, each = version.to_bytes(8, "little"), size // FILES - 16
    for number in range(FILES):
        (folder / f"weights-{number}").write_bytes(mark + os.urandom(each) + mark)
    path = place / f"m-{version}.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(folder, "m")
    shutil.rmtree(folder.parent)
    return path


def _curl(url: str) -> float:
    command = f"curl -sS --noproxy '*' {shlex.quote(url)}/m.tar | sha256sum"
    return timed(["bash", "-o", "pipefail", "-c", command]).seconds


def _flags(url: str, folder: Path) -> list[str]:
    words = f"--type general --general_host {url} --remote_path / --remote_model_name m.tar"
    words += " --remote_donefile_name donefile --local_model_name m --unpacked_filename m"
    return [*words.split(), "--interval", "1", "--local_path", str(folder / "served")]


def _their_line(place: Path, monitor: Path, url: str) -> list[str]:
    return [sys.executable, "-c", THEIRS, str(monitor), *_flags(url, place / "theirs")]


def _our_line(place: Path, url: str) -> list[str]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        listen = f"127.0.0.1:{found.getsockname()[1]}"
    return [
        *[sys.executable, "-m", "hps.monitor", "--listen", listen],
        *_flags(url, place / "ours"),
    ]


def _monitor(place: Path, wheel: Path | None) -> Path:
    """Paddle Serving's monitor, out of its wheel."""
    if wheel is None:
        line = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(place)]
        timed([*line, WHEEL])
        (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract("paddle_serving_server/monitor.py", place))


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[str]:
    folder.mkdir()

    def handler(*arguments: Any) -> Place:
        return Place(*arguments, directory=str(folder))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    main()
