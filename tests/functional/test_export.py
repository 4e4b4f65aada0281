"""`hps export` as a whole: pip and uv install what it writes, and nothing else."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.pylock import Pylock
from uv import find_uv_bin

from hps.build.functions import FUNCTIONS
from hps.build.project import Project
from hps.lock.python import PythonRequest, Requirement
from hps.lock.records import Deb, Lock, LockedTarget, Wheel
from hps.lock.uv import resolve
from tests.lock.indexes import Index
from tests.servers import fine

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
CONFIG = f"""
[project]
name = "demo"

[sources.debian.os]
suites = ["stable"]

[targets.cpu]
python-version = "{VERSION}"
debian = {{ source = "os", packages = [] }}
python = {{ requirements = ["app.in"] }}
"""
LIBC = Deb(
    file="libc6_2.36_amd64.deb",
    sha256="0" * 64,
    size=1,
    name="libc6",
    version="2.36",
    architecture="amd64",
    source="os",
    suite="stable",
    archive="debian",
    pool="pool/main/g/glibc/libc6_2.36_amd64.deb",
)


@pytest.fixture
def index() -> Iterator[Index]:
    with Index() as served:
        served.add_wheel("hps_demo_app", "1.0", requires=("hps-demo-lib",))
        served.add_wheel("hps_demo_lib", "2.0")
        served.add_wheel("hps_demo_lib", "1.0")
        yield served


@pytest.fixture
def project(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose Python packages are locked: hps_demo_lib is held at 1.0."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_INDEX"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "hps.toml").write_text(CONFIG)
    (folder / "app.in").write_text("hps-demo-app\nhps-demo-lib<2\n")
    lines = ("hps-demo-app", "hps-demo-lib<2")
    asked = tuple(Requirement(text, "app.in") for text in lines)
    resolution = resolve(PythonRequest(asked, VERSION, (2, 36), index.url))
    wheels = tuple(
        Wheel(
            file=one.file,
            sha256=one.sha256,
            size=one.size or 0,
            name=one.name,
            version=one.version,
            index="default",
            via=one.via,
        )
        for one in resolution.wheels
    )
    opened = Project.open(folder)
    target = LockedTarget(
        name="cpu",
        platform="linux/amd64",
        python_version=VERSION,
        glibc="2.36",
        debs=(LIBC,),
        wheels=wheels,
        inputs=opened.inputs("cpu"),
    )
    lock = Lock(resolver=resolution.resolver, functions=FUNCTIONS, targets=(target,))
    opened.write_lock(lock)
    return folder


def hps(*arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "hps", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def pip_would_install(file: Path, index: Index) -> dict[str, str]:
    report = file.with_suffix(".json")
    line = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    line += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--index-url", index.url]
    subprocess.run([*line, "--report", str(report), "-r", str(file)], check=True)
    items = json.loads(report.read_text())["install"]
    return {item["metadata"]["name"]: item["metadata"]["version"] for item in items}


def uv_installs(folder: Path, *arguments: str) -> dict[str, str]:
    """Sync an empty environment and list what is in it."""
    environment = folder / "environment"
    uv = find_uv_bin()
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(environment)], check=True)
    command = [uv, "pip", "sync", "-q", "--no-config", "--python", str(environment), *arguments]
    subprocess.run(command, check=True)
    listed = subprocess.run(
        [uv, "pip", "list", "--format", "json", "--python", str(environment)],
        capture_output=True,
        check=True,
    )
    return {item["name"]: item["version"] for item in json.loads(listed.stdout)}


LOCKED = {"hps-demo-app": "1.0", "hps-demo-lib": "1.0"}


def test_pip_and_uv_install_from_requirements(project: Path, index: Index, tmp_path: Path) -> None:
    output = tmp_path / "requirements.txt"
    hps("-C", str(project), "export", "requirements", "cpu", "-o", str(output))
    assert output.read_text() == hps("-C", str(project), "export", "requirements", "cpu").stdout
    assert "127.0.0.1" not in output.read_text()
    found = pip_would_install(output, index)
    assert {name.replace("_", "-"): version for name, version in found.items()} == LOCKED
    arguments = ("--require-hashes", "--default-index", index.url, str(output))
    assert uv_installs(tmp_path, *arguments) == LOCKED


def test_pip_refuses_other_bytes(project: Path, index: Index, tmp_path: Path) -> None:
    output = tmp_path / "requirements.txt"
    hps("-C", str(project), "export", "requirements", "cpu", "-o", str(output))
    index.server.script("/files/hps_demo_lib-1.0-py3-none-any.whl", fine(b"something else"))
    with pytest.raises(subprocess.CalledProcessError):
        pip_would_install(output, index)


def test_uv_installs_from_a_pylock(project: Path, index: Index, tmp_path: Path) -> None:
    output = tmp_path / "pylock.toml"
    export = ("-C", str(project), "export", "pylock", "cpu", "-p", index.url)
    hps(*export, "-o", str(output))
    assert output.read_text() == hps(*export).stdout
    packages = Pylock.from_dict(tomllib.loads(output.read_text())).packages
    assert {package.name: str(package.version) for package in packages} == LOCKED
    arguments = ("--preview-features", "pylock", str(output))
    assert uv_installs(tmp_path, *arguments) == LOCKED


def test_credentials_stay_out_of_a_pylock(project: Path, index: Index) -> None:
    url = index.url.replace("http://", "http://user:secret@")
    text = hps("-C", str(project), "export", "pylock", "cpu", "-p", url).stdout
    assert "secret" not in text
    assert index.server.host in text


def test_an_index_with_other_bytes_is_refused(project: Path, index: Index) -> None:
    with Index() as other:
        other.add_wheel("hps_demo_app", "1.0")
        other.add_wheel("hps_demo_lib", "1.0")
        url = f"default={other.url}"
        done = hps("-C", str(project), "export", "pylock", "cpu", "-p", url, code=5)
    assert "error[integrity]" in done.stderr
    assert done.stdout == ""


def test_an_index_without_the_file_is_refused(project: Path) -> None:
    with Index() as empty:
        done = hps("-C", str(project), "export", "pylock", "cpu", "-p", empty.url, code=4)
    assert "hps-demo" in done.stderr


def test_a_stale_lock_or_an_unknown_target_is_refused(project: Path) -> None:
    assert "cpu" in hps("-C", str(project), "export", "requirements", "gpu", code=2).stderr
    (project / "app.in").write_text("hps-demo-app\n")
    done = hps("-C", str(project), "export", "requirements", "cpu", code=3)
    assert "lock-stale" in done.stderr
    (project / "hps.lock").unlink()
    hps("-C", str(project), "export", "requirements", "cpu", code=3)
