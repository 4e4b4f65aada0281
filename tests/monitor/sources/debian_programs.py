"""Debian packages for tests: fetched once as this machine's apt is set up, unpacked, not installed.

Installed, they would start services of their own, and proftpd would remove vsftpd.
"""

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SECONDS = 240.0


def unpacked(cache: Path, *packages: str) -> Path:
    """The root under which packages are unpacked; skips the test when they cannot be had."""
    root = cache / "root"
    with only_one(cache):
        for package in packages:
            mark = cache / f"{package}.unpacked"
            if not mark.exists():
                _unpack(cache, package, root)
                mark.touch()
    return root


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Let one process of the tests at a time fill a cache."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(argv: list[str], folder: Path) -> None:
    """Run what needs the network; skips the test when it fails."""
    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{argv[0]}: {error}")
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        pytest.skip(f"{' '.join(argv[:3])}: {last[0]}")


def libraries(root: Path) -> dict[str, str]:
    """The environment in which programs find the libraries unpacked beside them."""
    folders = sorted({str(path.parent) for path in root.glob("**/*.so*")})
    return os.environ | {"LD_LIBRARY_PATH": ":".join(folders)}


def _unpack(cache: Path, package: str, root: Path) -> None:
    folder = cache / "debs"
    folder.mkdir(exist_ok=True)
    run(["apt-get", "download", "-q", package], folder)
    for path in folder.glob(f"{package}_*.deb"):
        subprocess.run(["dpkg", "-x", str(path), str(root)], check=True)
        path.unlink()
