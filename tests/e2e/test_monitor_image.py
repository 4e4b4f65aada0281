"""The example image of `hps monitor`: built from its lock, it swaps a model in, and ends in order.

Started by `hps run`, and by Docker beside a real Triton as docs/how-to/monitor.md has it.
"""

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

from hps.oci.engine import Engine
from tests.functional.test_monitor_run import eventually, free_port
from tests.monitor.servers.real_triton import RealTriton, files_of
from tests.server_env.conftest import triton

__all__ = ["triton"]
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
BESIDE_TRITON = """\
[monitor]
state = "/shared/state"

[monitor.models.m]
verify = "none"
interval = 0.2
source = {{ type = "general", host = "file:///shared", path = "src", model = "m" }}
server = {{ type = "triton", address = "127.0.0.1:{grpc}", repository = "/models" }}
caps = {{ spare = 0 }}
"""
LOOK = "import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/healthz', timeout=5)"


def test_the_image_holds_what_hps_needs_with_its_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["monitor"]]
    lines = (EXAMPLE / "monitor.in").read_text(encoding="utf-8").splitlines()
    told = {str(Requirement(line)) for line in lines if not line.startswith("#")}
    assert told == {str(Requirement(one)) for one in wanted}


@pytest.fixture(scope="module")
def project() -> Iterator[Path]:
    """The example as a user has it, built; the image's user may not enter pytest's folders."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
        unused = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "builder" / "hps", folder / "hps", ignore=unused)
        words = [*hps(folder), "build", "--frozen", "--unsigned"]
        subprocess.run(words, check=True, timeout=850)
        yield folder


@pytest.fixture
def shared() -> Iterator[Path]:
    """What a host shows to the container."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in (".", "etc", "src", "models"):
            (folder / part).mkdir(exist_ok=True)
            (folder / part).chmod(0o777)
        yield folder


def hps(project: Path) -> list[str]:
    return [sys.executable, "-m", "hps", "-C", str(project)]


def publish(shared: Path, model: str, files: dict[str, bytes]) -> None:
    folder = shared / "src" / model
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (shared / "src" / "donefile").write_bytes(b"".join(files.values()))


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.network
def test_a_monitor_in_its_image_swaps_and_ends_in_order(project: Path, shared: Path) -> None:
    port = free_port()
    (shared / "etc" / "monitor.toml").write_text(SETTINGS)
    publish(shared, "ocr", {"weights": b"1\n"})
    mounts = ["-v", f"{shared}/etc:/etc/hps", "-v", f"{shared}:/shared:rw"]
    words = ["--config", "/etc/hps/monitor.toml", "--listen", f"127.0.0.1:{port}"]
    process = subprocess.Popen(
        [*hps(project), "run", "monitor", *mounts, "--", *words], env=os.environ
    )
    url, served = f"http://127.0.0.1:{port}", shared / "served" / "ocr" / "weights"
    try:
        code = eventually(lambda: requests.get(f"{url}/readyz", timeout=20).status_code, _is_good)
        assert (code, served.read_text()) == (200, "1\n")
        publish(shared, "ocr", {"weights": b"2\n2\n"})
        assert eventually(served.read_text, lambda text: text == "2\n2\n") == "2\n2\n"
        page = requests.get(url, timeout=20).text
        assert "1 model: all served" in page
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.network
def test_a_monitor_in_docker_swaps_a_model_of_triton(
    project: Path, shared: Path, triton: Path, docker_host: str
) -> None:
    """With no right but that to its volumes: read-only, no capability, no user but its own."""
    environment = {**os.environ, "DOCKER_HOST": docker_host}
    subprocess.run([*hps(project), "load", "monitor"], check=True, timeout=300, env=environment)
    real = RealTriton(triton, shared / "models")
    port = free_port()
    publish(shared, "m", files_of(1))
    (shared / "etc" / "monitor.toml").write_text(BESIDE_TRITON.format(grpc=real.grpc))
    volumes = {
        str(shared): {"bind": "/shared", "mode": "rw"},
        str(shared / "etc"): {"bind": "/etc/hps", "mode": "ro"},
        str(shared / "models"): {"bind": "/models", "mode": "rw"},
    }
    with Engine.connect(docker_host) as engine:
        container = engine.client.containers.run(
            "hps-monitor:monitor",
            ["--config", "/etc/hps/monitor.toml", "--listen", f"127.0.0.1:{port}"],
            detach=True,
            user="1000:1000",
            read_only=True,
            cap_drop=["ALL"],
            network_mode="host",
            volumes=volumes,
        )
        try:
            assert eventually(real.answering, lambda code: code == 1) == 1, container.logs()
            publish(shared, "m", files_of(2))
            assert eventually(real.answering, lambda code: code == 2) == 2, container.logs()
            look = container.exec_run(["python3", "-c", LOOK.format(port=port)])
            assert look.exit_code == 0, look.output
            container.stop(timeout=60)
            assert container.wait()["StatusCode"] == 0, container.logs()
            assert real.answering() == 2
        finally:
            container.remove(v=True, force=True)
            real.kill()


def _is_good(code: int) -> bool:
    return code == 200
