"""The client on every Python from 3.8 on: runs where one is installed, is read as 3.8 always."""

import ast
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.sdk_client.conftest import SDK, Served

VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
SHIPPED = sorted(
    path for name in ("hps_client", "paddlex_hps_client") for path in (SDK / name).rglob("*.py")
)


def interpreter(version: str) -> str | None:
    """An interpreter of this version: by its name, or one that pyenv or uv keeps."""
    homes = [
        Path.home() / ".pyenv" / "versions",
        Path.home() / ".local" / "share" / "uv" / "python",
    ]
    found = shutil.which(f"python{version}")
    kept = [
        str(path)
        for home in homes
        for path in sorted(home.glob(f"*{version}.*/bin/python{version}"))
    ]
    for candidate in [*kept, *([found] if found else [])]:
        asked = subprocess.run([candidate, "-c", ""], capture_output=True, check=False)
        if asked.returncode == 0:  # pyenv's shims stand for versions that are not chosen
            return candidate
    return None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_whole_session(version: str, served: Served, tmp_path: Path) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no python{version}")
    session = Path(__file__).parent / "session.py"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "PYTHONPATH": str(SDK),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYENV_VERSION": "",
    }
    done = subprocess.run(
        [python, "-W", "error", "-X", "dev", session, served.http, tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{version} is fine\n"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.relative_to(SDK).as_posix())
def test_no_newer_syntax(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    if any(
        isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        for node in tree.body
    ):
        assert future[0].module == "__future__", "annotations are not evaluated"
