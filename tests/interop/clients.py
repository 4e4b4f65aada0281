"""The programs with which others verify images: cosign 3 and 2.5, oras, crane, skopeo.

Debian packages of two suites, fetched by apt in a private root (its signatures are checked, nothing
is installed) and unpacked below the user's cache. The newest come from Debian's development suite,
the older cosign from the release that carries it. Remove the folder to fetch newer ones.

A client that cannot be had skips its tests with the reason. With HPS_REQUIRE_CLIENTS=1, as in CI,
it fails them.
"""

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import pytest

from tests.interop.private_apt import (
    DOWNLOAD_SECONDS,
    NEWEST,
    OLDER,
    PrivateApt,
    UnavailableError,
)

# Name in the tests: Debian's package, its suite, and the program in it.
PACKAGES = {
    "cosign3": ("cosign", NEWEST),
    "cosign2": ("cosign", OLDER),
    "oras": ("oras", NEWEST),
    "crane": ("crane", NEWEST),
    "skopeo": ("skopeo", NEWEST),
}
RUN_SECONDS = 120.0
# Nothing listens there: whatever a client wants outside this machine is refused at once.
_NOWHERE = "http://127.0.0.1:9"


def environment(home: Path) -> dict[str, str]:
    """The settings and certificates of a folder, and no way to other machines."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "SSL_CERT_FILE": str(home / "ca.crt"),
        "COSIGN_PASSWORD": "",
        "HTTPS_PROXY": _NOWHERE,
        "HTTP_PROXY": _NOWHERE,
        "NO_PROXY": "127.0.0.1",
    }


@dataclass(frozen=True)
class Client:
    """A program, and how it is started.

    Args:
        name: as in PACKAGES.
        version: of the Debian package.
        command: the program, with its loader where libraries were fetched too.
    """

    name: str
    version: str
    command: tuple[str, ...]

    def run(self, *arguments: str | Path, home: Path) -> "subprocess.CompletedProcess[str]":
        """Run it in `environment`."""
        return subprocess.run(
            [*self.command, *map(str, arguments)],
            env=environment(home),
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_SECONDS,
        )


@dataclass(frozen=True)
class Clients:
    """Those that are there, and why the others are not."""

    found: Mapping[str, Client]
    reason: str = ""

    def get(self, name: str) -> Client:
        """A client; skips the test (or fails it, in CI) when it is not there."""
        if name in self.found:
            return self.found[name]
        reason = f"{name} cannot be had: {self.reason}"
        if os.environ.get("HPS_REQUIRE_CLIENTS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Clients:
    """All clients, fetched once per machine."""
    folder = platformdirs.user_cache_path("hps-tests") / "clients"
    folder.mkdir(parents=True, exist_ok=True)
    # Another process of the same run need not wait for the same failure.
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    failure = tmp_path_factory.getbasetemp().parent / f"no-clients-{run}"
    with _locked(folder / "lock"):
        if not (folder / "whole").exists():
            if failure.exists():
                return Clients({}, failure.read_text())
            try:
                prepare(folder)
            except UnavailableError as error:
                failure.write_text(str(error))
                return Clients({}, str(error))
    return Clients({name: _client(folder, name) for name in PACKAGES})


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time: test workers share the folder."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def prepare(folder: Path) -> None:
    """Fetch and unpack all clients; raises UnavailableError."""
    for old in folder.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
    apt = PrivateApt(folder / "apt", time.monotonic() + DOWNLOAD_SECONDS)
    apt.update()
    for suite in (NEWEST, OLDER):
        names = [package for package, its in PACKAGES.values() if its == suite]
        # The newest need newer libraries than this machine may have.
        libraries = apt.libraries(names) if suite == NEWEST else []
        apt.unpack([*(f"{name}/{suite}" for name in names), *libraries], folder / suite)
    shutil.rmtree(folder / "apt")
    (folder / "whole").touch()


def _client(folder: Path, name: str) -> Client:
    package, suite = PACKAGES[name]
    root = folder / suite
    program = str(root / "usr/bin" / package)
    command: tuple[str, ...] = (program,)
    if loaders := sorted(root.glob("usr/lib*/**/ld-linux-*.so.*")):
        libraries = next(root.glob("usr/lib/*-linux-gnu"))
        command = (str(loaders[0]), "--library-path", str(libraries), program)
    return Client(name, (root / f"{package}.version").read_text(), command)
