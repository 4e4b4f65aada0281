"""What PaddleX is inside the built image is what the repository and its packages say."""

import json
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


def inside(*words: str) -> bytes:
    """What Python says inside the image."""
    command = [*HPS, "run", "cpu", "--entrypoint", "python3", *words]
    done = subprocess.run(command, check=True, capture_output=True, timeout=850)
    return done.stdout


def test_the_schemas_are_those_of_the_image() -> None:
    """Byte for byte: the catalogue, the client's types and the docs are made from them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the image's user may enter it, unlike pytest's own
        shutil.copy(SCHEMA / "describe.py", folder)
        said = inside("--mount", f"{folder}:/schema", "--", "/schema/describe.py")
    (committed,) = SCHEMA.glob("paddlex-*.json")
    assert said == committed.read_bytes()


def test_a_package_of_the_lock_fits_the_image(tmp_path: Path) -> None:
    program = "import os; print(os.environ['HPS_ENVIRONMENT'])"
    environment = inside("--", "-c", program).decode().split()[-1]
    command = [*HPS, "assemble", "OCR", "--no-client", "--unsigned", "-o", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=850)
    package = tmp_path / "paddlex_hps_OCR_sdk" / "server" / "package.json"
    assert environment in json.loads(package.read_bytes())["environments"]
