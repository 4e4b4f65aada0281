"""Runs scripts of this repository with the Python of the built image, without a network."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = Path("/repository")  # where the image sees this repository
WORK = Path("/made")  # and where a folder that it may write to
_HPS = [sys.executable, "-m", "hps", "-C", str(ROOT)]


def prepare() -> None:
    """Build and unpack the image from the committed lock; this may fetch."""
    line = [*_HPS, "run", "cpu", "--entrypoint", "python3", "--", "-c", "pass"]
    subprocess.run(line, check=True, capture_output=True, timeout=850)


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder that the image's user may write to, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def run(script: str, work: Path, *arguments: str) -> None:
    """Run a script of the repository in a network namespace without interfaces."""
    if os.geteuid() != 0:
        pytest.skip("a network namespace of our own needs root")
    mounts = ["--mount", f"{ROOT}:{REPOSITORY}", "--mount", f"{work}:{WORK}:rw"]
    line = ["unshare", "--net", *_HPS, "run", "cpu", "--offline", "--entrypoint", "python3"]
    command = [*line, *mounts, "--", str(REPOSITORY / script), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=850)
    assert done.returncode == 0, done.stderr[-4000:]


def told(script: str) -> "dict[str, Any]":
    """The JSON that a script of the repository prints as its last line."""
    line = [*_HPS, "run", "cpu", "--entrypoint", "python3", "--mount", f"{ROOT}:{REPOSITORY}"]
    command = [*line, "--", str(REPOSITORY / script)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=850)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
