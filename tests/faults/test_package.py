"""Packages that are being written when the machine stops or refuses."""

import subprocess
import sys
from pathlib import Path

import pytest

from hps.errors import BuildError
from hps.sdk.assemble import assemble
from tests.faults.disks import mounted
from tests.faults.killed_package import PIPELINE, ingredients, state
from tests.faults.tracer import can_trace

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not can_trace(), reason="the tracer knows Linux on x86-64")
def test_kill_at_every_effect_leaves_a_whole_package(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.killed_package", tmp_path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert all(int(count) > 40 for count in done.stdout.split())  # a walk that sees nothing


def test_a_full_disk_leaves_the_old_package(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "1m") as disk:
        assemble(PIPELINE, ingredients("1"), disk / "output", None)
        before = state(disk)
        (disk / "ballast").write_bytes(bytes(850_000))
        with pytest.raises(BuildError, match="No space left on device"):
            assemble(PIPELINE, ingredients("2", bytes(300_000)), disk / "output", None)
        (disk / "ballast").unlink()
        assert state(disk) == before
