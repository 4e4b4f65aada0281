"""Each correction of PaddleX is still needed in the built image, and does what it says."""

import json
import subprocess
import sys

import pytest

from tests.e2e import inside_image

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]


def test_paddlex_still_makes_each_mistake_and_each_is_mended() -> None:
    """A failure names the correction that a new PaddleX has made needless: delete it."""
    script = str(inside_image.REPOSITORY / "tests" / "e2e" / "corrections_inside.py")
    line = [sys.executable, "-m", "hps", "-C", str(inside_image.ROOT), "run", "cpu"]
    line += ["--entrypoint", "python3", "--mount", f"{inside_image.ROOT}:{inside_image.REPOSITORY}"]
    done = subprocess.run(
        [*line, "--", script], check=False, capture_output=True, text=True, timeout=850
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["well"]
    assert said["run"] >= 12
