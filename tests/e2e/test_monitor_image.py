"""The example image of `hps monitor`: built from its lock, it swaps a model in, and ends in order."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from packaging.requirements import Requirement

from tests.functional.test_monitor_run import eventually, free_port

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "monitor-image"
SETTINGS = """\
[monitor]
state = "/shared/state"

[monitor.models.ocr]
verify = "none"
interval = 0.2
source = { type = "general", host = "file:///shared", path = "src", model = "ocr" }
server = { type = "paddle-serving", folder = "/shared/served" }
caps = { spare = 0 }
"""


def test_the_image_holds_what_hps_needs_with_its_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["monitor"]]
    lines = (EXAMPLE / "monitor.in").read_text(encoding="utf-8").splitlines()
    told = {str(Requirement(line)) for line in lines if not line.startswith("#")}
    assert told == {str(Requirement(one)) for one in wanted if Requirement(one).name != "uv"}


@pytest.fixture
def project() -> Iterator[Path]:
    """The example as a user has it; the image's user may not enter pytest's folders."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
        unused = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "builder" / "hps", folder / "hps", ignore=unused)
        (folder / "etc").mkdir()
        (folder / "etc" / "monitor.toml").write_text(SETTINGS)
        for part in ("shared", "shared/src", "shared/src/ocr"):
            (folder / part).mkdir()
            (folder / part).chmod(0o777)
        publish(folder, 1)
        yield folder


def publish(folder: Path, version: int) -> None:
    (folder / "shared" / "src" / "ocr" / "weights").write_text(f"{version}\n" * version)
    (folder / "shared" / "src" / "donefile").write_text(f"{version}\n")


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.network
def test_a_monitor_in_its_image_swaps_and_ends_in_order(project: Path) -> None:
    port = free_port()
    hps = [sys.executable, "-m", "hps", "-C", str(project)]
    subprocess.run([*hps, "build", "--frozen", "--unsigned"], check=True, timeout=850)
    mounts = ["-v", f"{project}/etc:/etc/hps", "-v", f"{project}/shared:/shared:rw"]
    words = ["--config", "/etc/hps/monitor.toml", "--listen", f"127.0.0.1:{port}"]
    process = subprocess.Popen([*hps, "run", "monitor", *mounts, "--", *words], env=os.environ)
    url, served = f"http://127.0.0.1:{port}", project / "shared" / "served" / "ocr" / "weights"
    try:
        code = eventually(lambda: requests.get(f"{url}/readyz", timeout=20).status_code, _is_good)
        assert (code, served.read_text()) == (200, "1\n")
        publish(project, 2)
        assert eventually(served.read_text, lambda text: text == "2\n2\n") == "2\n2\n"
        page = requests.get(url, timeout=20).text
        assert "1 model: all served" in page
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def _is_good(code: int) -> bool:
    return code == 200
