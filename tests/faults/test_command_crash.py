"""`kill -9`, a full disk and a failing disk at the effects of whole commands.

A share of the effects in each run, from a random start that is told; all of them, an hour,
with `HPS_EVERY_EFFECT=1`.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.build.laboratory import Laboratory
from tests.faults.project_process import COMMANDS
from tests.faults.tracer import can_trace

REPOSITORY = Path(__file__).resolve().parents[2]
EVERY = os.environ.get("HPS_EVERY_EFFECT") == "1"
# Others take seconds each, or have so few effects that one of them is a fifth.
SHARES = {"build": 0.06, "signed build": 0.03, "signature": 0.03, "sign": 0.2, "generate": 0.06}
SIGNING = [name for name, one in COMMANDS.items() if one.signs]
ANY = "one that signs"  # another one in each run
NAMES = [name for name in COMMANDS if EVERY or name not in SIGNING] + ([] if EVERY else [ANY])
SEED = int(os.environ.get("HPS_SEED") or random.SystemRandom().randrange(10**6))
_FEW = 8  # a command does without some effects, and may be shorter next time: a few may all be such

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(not can_trace(), reason="the tracer knows Linux on x86-64"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["kill", "refuse"])
def test_stopped_anywhere_nothing_is_lost(lab: Laboratory, how: str, name: str) -> None:
    if name == ANY:
        name = random.Random(f"{how} {SEED}").choice(SIGNING)
    share = 1.0 if EVERY else SHARES.get(name, 0.01)
    words = [how, name, str(lab.folder.parent), str(share), str(SEED)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.project_process", *words],
        cwd=REPOSITORY,
        env=lab.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"HPS_SEED={SEED}\n{done.stderr}"
    found = json.loads(done.stdout)
    print(f"{how} {name}: {found}, seed {SEED}")
    assert found["effects"] > 4
    assert found["tried"] > 0
    assert found["stopped"] > 0 or found["tried"] < _FEW
