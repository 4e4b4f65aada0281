"""The same image whoever builds it, where, when and with what (DESIGN promise 5).

Each test builds from artifacts alone, without traces, and compares the image with that of the
laboratory. `hps build` itself compares each layer with the lock; what is compared here also
covers the layer of the project's own files, the configuration and the manifest.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hps.build.workbench import artifacts
from tests.build.laboratory import Laboratory

REPOSITORY = Path(__file__).resolve().parents[2]
STRANGER = 1234  # a user that no machine knows by name

pytestmark = pytest.mark.network


@dataclass
class Elsewhere:
    """A project without its image and a store with artifacts alone, and how hps is started."""

    lab: Laboratory
    folder: Path
    before: Sequence[str] = ()
    python: Sequence[str] = (sys.executable,)
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        blobs = self.folder / "store" / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for artifact in artifacts(self.lab.target):
            place = blobs / artifact.sha256
            if not place.exists():
                place.hardlink_to(self.lab.blob(artifact.digest))

    @property
    def project(self) -> Path:
        return self.folder / "project"

    def copy(self, *, backwards: bool = False) -> None:
        """Copy the project; a folder lists its files in the order in which they were made."""
        self.project.mkdir()
        files = [path for path in sorted(self.lab.folder.rglob("*")) if path.is_file()]
        for path in reversed(files) if backwards else files:
            below = path.relative_to(self.lab.folder)
            if below.parts[0] != ".hps":
                place = self.project / below
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)

    def image(self) -> str:
        """Build, and give the digest that the layout names."""
        store = str(self.folder / "store")
        words = ["-C", str(self.project), "build", "--frozen", "--offline", "--store", store]
        done = subprocess.run(
            [*self.before, *self.python, "-m", "hps", *words],
            env=self.lab.environment | dict(self.environment),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "made layer" in done.stderr  # nothing was known before
        index = json.loads((self.project / ".hps/images/cpu/index.json").read_bytes())
        return str(index["manifests"][0]["digest"])


def test_a_clone_in_a_folder_with_a_long_name(lab: Laboratory, tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    environment = lab.environment | {"GIT_CONFIG_GLOBAL": os.devnull}
    (lab.folder / ".gitignore").write_text(".hps\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], cwd=lab.folder, env=environment, check=True)
    place = Elsewhere(lab, tmp_path / "Ünter wegs" / ("long" * 40))
    line = [*git, "clone", "-q", str(lab.folder), str(place.project)]
    subprocess.run(line, env=environment, check=True)
    assert place.image() == lab.image()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others may enter; those of pytest belong to one user alone."""
    folder = Path(tempfile.mkdtemp(prefix="hps"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_another_user_with_another_umask(lab: Laboratory, open_folder: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can become somebody else, with setpriv")
    become = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
    stranger = [*become, "sh", "-c", 'umask 077 && exec "$@"', "sh"]
    place = Elsewhere(lab, open_folder / "theirs")
    place.copy()
    place.python, place.environment = _python_of(stranger, lab.environment)
    subprocess.run(["chmod", "-R", "go-rwx", str(place.project)], check=True)
    folders = [place.folder, *(path for path in place.folder.rglob("*") if path.is_dir())]
    for path in [*folders, *(path for path in place.project.rglob("*"))]:
        os.chown(path, STRANGER, STRANGER)
    place.before = stranger
    assert place.image() == lab.image()
    made = [path for path in (place.folder / "store" / "trees").iterdir() if path.is_dir()]
    assert {path.stat().st_uid for path in made} == {STRANGER}


def _python_of(
    stranger: Sequence[str], environment: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """An interpreter that another user can start, with what makes it find hps."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    paths = [environment["PYTHONPATH"], sysconfig.get_path("purelib")]
    more = {"PYTHONPATH": os.pathsep.join(paths), "HOME": "/"}
    for python in (sys.executable, f"/usr/bin/python{version}"):
        line = [*stranger, python, "-c", "import hps.cli.main, pydantic"]
        done = subprocess.run(
            line, env={**environment, **more}, cwd="/", capture_output=True, check=False
        )
        if done.returncode == 0:
            return [python], more
    pytest.skip(f"no Python {version} and no hps that another user may read")


def test_one_core_and_files_in_another_order(lab: Laboratory, tmp_path: Path) -> None:
    if shutil.which("taskset") is None:
        pytest.skip("needs taskset")
    core = min(os.sched_getaffinity(0))
    place = Elsewhere(lab, tmp_path / "narrow", before=["taskset", "-c", str(core)])
    place.copy(backwards=True)
    assert place.image() == lab.image()


def test_years_later_in_another_zone_and_language(lab: Laboratory, tmp_path: Path) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("needs faketime: apt-get install faketime")
    place = Elsewhere(lab, tmp_path / "later", before=["faketime", "2044-02-29 23:59:58"])
    place.copy()
    place.environment = {
        "TZ": "Pacific/Kiritimati",
        "LANG": "tr_TR.UTF-8",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "4242",
        "PYTHONUTF8": "0",
        "SOURCE_DATE_EPOCH": "86400",
        "HOME": "/nonexistent",
    }
    told = [*place.before, sys.executable, "-c", "import time; print(time.gmtime().tm_year)"]
    assert subprocess.run(told, capture_output=True, text=True, check=True).stdout == "2044\n"
    assert place.image() == lab.image()


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_another_python(lab: Laboratory, tmp_path: Path, version: str) -> None:
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        pytest.skip("all other tests run on it")
    place = Elsewhere(lab, tmp_path / "other")
    place.copy()
    place.python = [_environment(tmp_path / "environment", version)]
    assert place.image() == lab.image()


def _environment(folder: Path, version: str) -> str:
    """An interpreter of that version with what hps needs."""
    uv = [sys.executable, "-m", "uv"]
    find = [*uv, "python", "find", "--no-project", "--system", "--no-python-downloads", version]
    found = subprocess.run(find, capture_output=True, text=True, check=False)
    candidates = [found.stdout.strip()] if found.returncode == 0 else []
    candidates += map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))
    if not candidates:
        pytest.skip(f"no Python {version} here")
    subprocess.run([*uv, "venv", "-q", "--python", candidates[0], str(folder)], check=True)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = [one for one in project["dependencies"] if not one.startswith("uv")]
    python = str(folder / "bin" / "python")
    subprocess.run([*uv, "pip", "install", "-q", "--python", python, *wanted], check=True)
    return python
