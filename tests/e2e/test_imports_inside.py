"""What waits for its use in the PaddleX of the built image, works when it is used."""

import json
import subprocess
import sys

import pytest

from tests.e2e import inside_image

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]


def test_paddlex_uses_nothing_of_it_at_import_and_all_of_it_later() -> None:
    """A PaddleX that needs one of the modules at import makes the list useless: it is told here."""
    script = str(inside_image.REPOSITORY / "tests" / "e2e" / "imports_inside.py")
    line = [sys.executable, "-m", "hps", "-C", str(inside_image.ROOT), "run", "cpu"]
    line += ["--entrypoint", "python3", "--mount", f"{inside_image.ROOT}:{inside_image.REPOSITORY}"]
    done = subprocess.run(
        [*line, "--", script], check=False, capture_output=True, text=True, timeout=850
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout.splitlines()[-1])
    names = ["matplotlib.pyplot", "sklearn", "sklearn.cluster", "sklearn.preprocessing"]
    assert said["first"] == names
    assert said["deferred"] == [True, True]
    assert said["scaled"] == [-1.0, 1.0]
    assert said["groups"] == 2
    assert said["figure"] == "Figure"
    assert said["last"] == []
    assert said["frozen"] > 100_000
