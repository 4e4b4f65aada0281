"""`python -m hps.monitor` as a process of its own, and what a publisher puts before it."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hps.monitor.recorded import Recorded, model_folder

SECONDS = 300.0  # until which something must have happened; nothing waits that long in a good run
OWN = frozenset({".hps-generation", "fluid_time_file"})
Files = Mapping[str, bytes]


def model(version: int, *more: str) -> dict[str, bytes]:
    """Five files of one version, some of them in every version, and one that is its own."""
    text = f"version {version}\n".encode()
    names = ("__model__", "params/weights", "params/bias", ".dot", f"only-{version}", *more)
    return {name: name.encode() + b" of " + text for name in names}


def tree(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, but for what a monitor puts there."""
    while True:  # until it is not exchanged just then
        with contextlib.suppress(FileNotFoundError):
            found = (path for path in folder.rglob("*") if path.is_file())
            files = {str(path.relative_to(folder)): path.read_bytes() for path in found}
            return {name: data for name, data in files.items() if name not in OWN}


def write(folder: Path, files: Files) -> None:
    """Put files into a folder, in place, as publishers do."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def pack(path: Path, files: Files, *, top: str = "m") -> None:
    """Overwrite an archive in place, as `tar -czf` and the sample publisher do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def eventually(condition: Callable[[], object], told: Callable[[], object] = lambda: "") -> None:
    """Wait until something is so."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, told()
        time.sleep(0.02)


@dataclass
class DropIn:
    """A monitor of the model `m` below `folder/local`.

    Args:
        folder: what it may write to.
        words: flags beside those that every one has.
        environment: of the process, besides that of the test.
    """

    folder: Path
    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def live(self) -> Path:
        return self.folder / "local" / "m"

    @property
    def state(self) -> Path:
        return self.folder / "local" / "_serving_monitor_tmp" / ".hps"

    @property
    def timestamp(self) -> Path:
        return self.live / "fluid_time_file"

    def command(self) -> list[str]:
        local = f"--local_path {self.folder}/local --local_model_name m --interval 0.2".split()
        given = {word for word in self.words if word.startswith("--")}
        if "--config" in given:
            local = []
        pairs = zip(local[::2], local[1::2], strict=True)
        kept = [word for name, value in pairs if name not in given for word in (name, value)]
        return [sys.executable, "-m", "hps.monitor", *kept, *self.words]

    def start(self) -> "DropIn":
        (self.folder / "local").mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so, while the process runs."""

        def seen() -> bool:
            if condition():
                return True
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            return False

        eventually(seen, self.log)

    def until_log(self, *words: str, times: int = 1) -> None:
        """Wait until so many lines of the log hold all the words."""
        self.until(lambda: len(self.lines(*words)) >= times)

    def lines(self, *words: str) -> list[str]:
        lines = self.log().splitlines()
        return [line for line in lines if all(word in line for word in words)]

    def until_live(self, number: int) -> dict[str, bytes]:
        """Wait until a generation is live; what is served."""
        self.until_log(f"m: generation {number} is live generation={number}")
        return tree(self.live)

    def recorded(self) -> Recorded:
        return Recorded.read(model_folder(self.state, "m"), "m")

    def ended(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(SECONDS)

    def finished(self) -> int:
        """Wait until it ends by itself; its exit code."""
        assert self.process is not None
        return self.process.wait(SECONDS)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(SECONDS)


Made = Callable[..., DropIn]


@contextlib.contextmanager
def making(tmp_path: Path) -> Iterator[Made]:
    """What makes monitors below a folder; those that are left are ended."""
    made: list[DropIn] = []

    def make(*words: object, folder: Path = tmp_path, **environment: str) -> DropIn:
        made.append(DropIn(folder, [str(word) for word in words], environment))
        return made[-1].start()

    try:
        yield make
    finally:
        for one in made:
            one.kill()
        for path in tmp_path.rglob("*"):  # generations are read-only, and pytest removes them
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)


def packed(host: str, name: str = "m.tar.gz") -> list[str]:
    """Flags of `general` for a packed model."""
    return [*folder(host, name), "--unpacked_filename", "m"]


def folder(host: str, name: str = "m") -> list[str]:
    """Flags of `general` for a model that is a folder."""
    words = f"--type general --general_host {host} --remote_path / --remote_donefile_name donefile"
    return [*words.split(), "--remote_model_name", name]


def ftp(port: int, name: str = "m", *more: str) -> list[str]:
    """Flags of `ftp`."""
    words = f"--type ftp --ftp_host 127.0.0.1 --ftp_port {port} --remote_path /"
    return [
        *words.split(),
        "--remote_donefile_name",
        "donefile",
        "--remote_model_name",
        name,
        *more,
    ]


def children(pid: int) -> set[int]:
    """The processes that one has started, at this moment."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}
