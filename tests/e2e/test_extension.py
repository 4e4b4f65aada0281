"""An sdist with a C extension: built in the sandbox with the locked compiler of a Debian archive."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.network,
]

CONFIG = """\
[project]
name = "extension"

[sources.debian.bookworm]
suites = ["bookworm"]

[targets.cpu]
python-version = "3.11"

[targets.cpu.debian]
source = "bookworm"
packages = ["dash"]

[targets.cpu.python]
requirements = ["requirements.in"]
sdists = ["markupsafe"]

[targets.cpu.build]
packages = ["gcc", "libc6-dev", "libpython3.11-dev"]

[targets.cpu.image]
entrypoint = ["python3.11"]
"""
PROGRAM = "import markupsafe._speedups as fast; print(fast.__file__, fast._escape_inner('<'))"


def hps(folder: Path, *words: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "hps", "-C", str(folder), *words],
        check=True,
        capture_output=True,
        text=True,
        timeout=850,
    )
    return result.stdout


def test_a_compiled_extension_is_built_proved_and_runs(tmp_path: Path) -> None:
    (tmp_path / "hps.toml").write_text(CONFIG)
    (tmp_path / "requirements.in").write_text("markupsafe==3.0.2\n")
    hps(tmp_path, "lock")
    lock = (tmp_path / "hps.lock").read_text()
    assert 'wheel = "markupsafe-3.0.2-cp311-cp311-linux_x86_64.whl"' in lock
    assert 'name = "gcc"' in lock
    first = hps(tmp_path, "build", "--frozen", "--offline")
    assert hps(tmp_path, "build", "--check", "--offline") == first  # compiled twice, same bytes
    said = hps(tmp_path, "run", "cpu", "--", "-c", PROGRAM)
    assert "x86_64-linux-gnu.so" in said
    assert "&lt;" in said
    # The compiler is of the build environment; none of it is in the image.
    found = subprocess.run(
        [sys.executable, "-m", "hps", "-C", str(tmp_path), "why", "/usr/bin/*gcc*"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 2
    assert "has no path" in found.stderr
