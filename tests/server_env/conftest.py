"""A real Triton for the launcher: the server part of the wheel, laid out as in an image."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import uv

SERVER_ENV = Path(__file__).resolve().parents[2] / "server_env"
sys.path.insert(0, str(SERVER_ENV))  # hps_server belongs to the image, it is not installed
importlib.invalidate_caches()

PYTHON = "/usr/bin/python3"  # the stub needs the shared libpython that belongs to it
WHEELS = ("nvidia-pytriton==0.7.0", "numpy>=1.24,<2")


@pytest.fixture(scope="session")
def triton(request: pytest.FixtureRequest) -> Path:
    """Triton's folder, made once and kept in pytest's cache folder."""
    version = subprocess.run(
        [PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    kept = request.config.cache.mkdir("triton") / f"0.7.0-{version}-1"
    if not kept.exists():
        made = Path(f"{kept}.{os.getpid()}")
        _lay_out(made, version)
        try:
            made.rename(kept)
        except OSError:  # another worker of this run was first
            shutil.rmtree(made)
    _need_libpython(kept, version)
    return kept


@pytest.fixture(scope="session")
def rest_site(request: pytest.FixtureRequest) -> Path:
    """What the REST facade imports, for the Python of the stub, as the image has it."""
    kept = request.config.cache.mkdir("triton") / "rest-aiohttp-3.14.5-pyyaml-6.0.3"
    if not kept.exists():
        made = Path(f"{kept}.{os.getpid()}")
        install = [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", PYTHON]
        wanted = ("aiohttp==3.14.5", "pyyaml==6.0.3")
        subprocess.run([*install, "--target", made, *wanted], check=True)
        try:
            made.rename(kept)
        except OSError:  # another worker of this run was first
            shutil.rmtree(made)
    return kept


def _lay_out(made: Path, version: str) -> None:
    wheels = made / "wheels"
    install = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--python", PYTHON, "--target", wheels, *WHEELS], check=True)
    server = wheels / "pytriton" / "tritonserver"
    python = made / "backends" / "python"
    shutil.copytree(server / "bin", made / "bin")
    shutil.copytree(server / "backends" / "python", python)
    shutil.copytree(wheels / "nvidia_pytriton.libs", made / "lib")
    stub = "triton_python_backend_stub"
    shutil.copy(server / "python_backend_stubs" / version / stub, python / stub)
    for program in (made / "bin" / "tritonserver", python / stub):
        program.chmod(0o755)
    # The stub looks beside itself before it looks anywhere else that a test could fill.
    for numpy in wheels.glob("numpy*"):
        shutil.move(numpy, python / numpy.name)
    shutil.rmtree(wheels)


def _need_libpython(folder: Path, version: str) -> None:
    stub = folder / "backends" / "python" / "triton_python_backend_stub"
    started = subprocess.run(
        [stub], env={"LD_LIBRARY_PATH": str(folder / "lib")}, capture_output=True, check=False
    )
    if started.returncode != 1:
        pytest.skip(f"needs Debian's libpython{version}: {started.stderr.decode()}")
