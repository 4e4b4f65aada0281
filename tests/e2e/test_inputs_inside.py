"""Admission and storage agree with the PaddleX, OpenCV and FAISS of the built image."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HPS = [sys.executable, "-m", "hps", "-C", str(ROOT)]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]


def test_paddlex_reads_what_is_admitted_and_kept() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the image's user may enter it, unlike pytest's own
        shutil.copytree(ROOT / "tests" / "server_env" / "inside", folder, dirs_exist_ok=True)
        command = [*HPS, "run", "cpu", "--entrypoint", "python3", "--mount", f"{folder}:/tests"]
        done = subprocess.run(
            [*command, "--", "/tests/with_paddlex.py"],
            check=False,
            capture_output=True,
            text=True,
            timeout=850,
        )
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["well"]
    assert said["run"] >= 13
