"""Timed processes, their memory, and tables, for the scripts beside this one."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HPS = [sys.executable, "-m", "hps"]
REPOSITORY = Path(__file__).resolve().parent.parent
_SAMPLES = 0.05  # seconds between two looks at the memory of a process tree
_NOT_COPIED = shutil.ignore_patterns(".git", ".hps", ".venv", "__pycache__", ".*_cache", "dist")


@dataclass(frozen=True)
class Done:
    """A process that ended: wall time in seconds, peak memory of its tree in bytes, stdout."""

    seconds: float
    peak: int
    out: str


def timed(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    limit: float | None = None,
) -> Done:
    """Run a process to its end and measure it.

    Raises:
        subprocess.CalledProcessError: it failed; its stderr has been shown.
        subprocess.TimeoutExpired: it took longer than `limit` seconds and was killed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        argv,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    memory = _Memory(process.pid)
    try:
        out, err = process.communicate(timeout=limit)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    finally:
        peak = memory.stop()
    seconds = time.perf_counter() - start
    if process.returncode != 0:
        sys.stderr.write(err)
        raise subprocess.CalledProcessError(process.returncode, argv)
    return Done(seconds, peak, out)


def median(measure: Callable[[], float], times: int) -> float:
    """The median of several measurements."""
    return statistics.median(measure() for _ in range(times))


class _Memory:
    """Looks at the resident memory of a process and all below it until stopped.

    Pages that processes share count once for each, so the sum is an upper bound.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peak = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._end.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._end.wait(_SAMPLES):
            self._peak = max(self._peak, sum(_resident(pid) for pid in _tree(self._pid)))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))
    except OSError:
        return  # it has ended


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def workplace(near: Path | None = None) -> Iterator[Path]:
    """A folder that goes away with the block, on the disk of `near` so that hard links work."""
    folder = Path(tempfile.mkdtemp(prefix="hps-benchmark-", dir=near.parent if near else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_project(project: Path, to: Path) -> Path:
    """A project without what was made from it, to be changed at will."""
    shutil.copytree(project, to, ignore=_NOT_COPIED)
    return to


def link(source: Path, to: Path) -> None:
    """Another name for a blob; blobs are never written in place."""
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        to.hardlink_to(source)
    except FileExistsError:
        return
    except OSError:
        shutil.copyfile(source, to)  # another disk


@dataclass(frozen=True)
class Row:
    """One line of a table: what was measured, and against which peer of the same run.

    Args:
        what: the thing measured.
        value: in `unit`.
        unit: s, MB, or MB/s.
        peer: what it is compared with; empty for a peer itself.
        ratio: value divided by the peer's value.
    """

    what: str
    value: float
    unit: str = "s"
    peer: str = ""
    ratio: float | None = None


def against(what: str, value: float, peer: Row, unit: str = "s") -> Row:
    """A row that is compared with another."""
    return Row(what, value, unit, peer.what, value / peer.value if peer.value else None)


def parser(about: str) -> argparse.ArgumentParser:
    """Arguments that all scripts have."""
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return made


def show(rows: Sequence[Row], *, as_json: bool) -> None:
    """Print what was measured, with the load of the machine that it was measured on."""
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if as_json:
        print(json.dumps({"load": load, "cores": cores, "rows": [vars(row) for row in rows]}))
        return
    width = max(len(row.what) for row in rows)
    for row in rows:
        compared = f"{row.ratio:7.2f} x {row.peer}" if row.ratio is not None else ""
        print(f"{row.what:{width}}  {row.value:10.3f} {row.unit:4} {compared}")
    print(f"{cores} cores, load {load:.1f}", file=sys.stderr)
