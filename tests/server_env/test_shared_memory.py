"""Regions of dead servers are removed, those of living ones never."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from hps_server.shared_memory import Regions, remove_abandoned
from tests.server_env.conftest import SERVER_ENV

# A launcher that is killed while a server that has inherited its lock lives on.
ORPHANING = """
import os, pathlib, subprocess, sys
from hps_server.shared_memory import Regions
folder = pathlib.Path(sys.argv[1])
regions = Regions(folder)
(folder / (regions.prefix + "region")).touch()
child = subprocess.Popen(
    ["sleep", "600"], stdout=subprocess.DEVNULL, pass_fds=[regions.lock]
)
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_stopped_launcher_leaves_nothing(tmp_path: Path) -> None:
    regions = Regions(tmp_path)
    for name in ("one", "two"):
        (tmp_path / (regions.prefix + name)).touch()
    (tmp_path / "someone-else").touch()
    assert regions.remove() == 2
    assert [path.name for path in tmp_path.iterdir()] == ["someone-else"]


def test_regions_of_a_living_launcher_stay(tmp_path: Path) -> None:
    regions = Regions(tmp_path)
    (tmp_path / f"{regions.prefix}one").touch()
    assert remove_abandoned(tmp_path) == 0
    assert (tmp_path / f"{regions.prefix}one").exists()
    regions.remove()


def test_regions_stay_as_long_as_a_child_of_a_killed_launcher_lives(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHANING, tmp_path],
        env={**os.environ, "PYTHONPATH": str(SERVER_ENV)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    server = int(done.stdout)
    try:
        assert done.returncode == -signal.SIGKILL
        assert remove_abandoned(tmp_path) == 0
        assert len(list(tmp_path.iterdir())) == 2
    finally:
        os.kill(server, signal.SIGKILL)
    # The lock falls when the kernel has closed the last copy, a moment after the signal.
    while remove_abandoned(tmp_path) == 0:
        os.sched_yield()
    assert list(tmp_path.iterdir()) == []
