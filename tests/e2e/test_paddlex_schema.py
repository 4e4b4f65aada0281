"""What the schemas of PaddleX are inside the built image is what the repository says."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "sdk" / "schema"
HPS = [sys.executable, "-m", "hps", "-C", str(ROOT)]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]


def test_the_schemas_are_those_of_the_image() -> None:
    """Byte for byte: the catalogue, the client's types and the docs are made from them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the image's user may enter it, unlike pytest's own
        shutil.copy(SCHEMA / "describe.py", folder)
        done = subprocess.run(
            [
                *HPS,
                "run",
                "cpu",
                "--entrypoint",
                "python3",
                "--mount",
                f"{folder}:/schema",
                "--",
                "/schema/describe.py",
            ],
            check=True,
            capture_output=True,
            timeout=850,
            env=dict(os.environ),
        )
    (committed,) = SCHEMA.glob("paddlex-*.json")
    assert done.stdout == committed.read_bytes()
