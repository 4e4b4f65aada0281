"""`kill -9` of the whole monitor at its effects, and a disk that is full from then on.

What is live is whole at each moment, and the next monitor carries on or undoes. Some of the effects in each run, from a random start that is told; all of them, some minutes, with
`HPS_EVERY_STEP=1`.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.monitor_process import SCENARIOS
from tests.faults.tracer import can_trace
from tests.servers import HostileServer

REPOSITORY = Path(__file__).resolve().parents[2]
MEMORY = Path("/dev/shm")
EVERY = os.environ.get("HPS_EVERY_STEP") == "1"
SEED = int(os.environ.get("HPS_SEED") or random.SystemRandom().randrange(10**6))
SHARE = 1.0 if EVERY else 0.02

pytestmark = [
    pytest.mark.skipif(not can_trace(), reason="the tracer knows Linux on x86-64"),
    pytest.mark.timeout(3600 if EVERY else 900),
]


@pytest.fixture
def fast() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of calls of fsync(2) follow."""
    where = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where) as name:
        yield Path(name)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("how", ["kill", "starve"])
def test_stopped_anywhere_the_next_one_carries_on_or_undoes(
    fast: Path, how: str, name: str
) -> None:
    (fast / "published").mkdir()
    with HostileServer() as server:
        server.folder("/", fast / "published")
        words = [how, name, str(fast), server.url, str(SHARE), str(SEED)]
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.monitor_process", *words],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, f"HPS_SEED={SEED}\n{done.stderr}"
    found = json.loads(done.stdout)
    print(f"{how} {name}: {found}, seed {SEED}")
    assert found["effects"] > 25  # a watch that sees nothing is no test
    assert found["met"] > 0
