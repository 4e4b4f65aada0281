"""The programs with which others verify images: cosign 3 and 2.5, oras, crane, skopeo.

Debian packages of two suites, fetched by apt in a private root (its signatures are checked, nothing
is installed) and unpacked below the user's cache. The newest come from Debian's development suite,
the older cosign from the release that carries it. Remove the folder to fetch newer ones.

A client that cannot be had skips its tests with the reason. With HPS_REQUIRE_CLIENTS=1, as in CI,
it fails them.
"""

import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import pytest

from hps.config.schema import Sources
from hps.errors import HpsError
from hps.lock.apt import Suite, configuration, find_keyring, sources
from hps.store.origins import Origins

NEWEST, OLDER = "sid", "trixie"
# Name in the tests: Debian's package, its suite, and the program in it.
PACKAGES = {
    "cosign3": ("cosign", NEWEST),
    "cosign2": ("cosign", OLDER),
    "oras": ("oras", NEWEST),
    "crane": ("crane", NEWEST),
    "skopeo": ("skopeo", NEWEST),
}
DOWNLOAD_SECONDS = 240.0  # of wall time, for everything
RUN_SECONDS = 120.0
# apt's own limits are minutes; a mirror that stalls is given up and the tests are skipped.
_APT_LIMITS = 'Acquire::http::Timeout "20";\nAcquire::https::Timeout "20";\n'
# Nothing listens there: whatever a client wants outside this machine is refused at once.
_NOWHERE = "http://127.0.0.1:9"


class UnavailableError(Exception):
    """The clients could not be fetched; the argument says why."""


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
    apt = _PrivateApt(folder / "apt", time.monotonic() + DOWNLOAD_SECONDS)
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


class _PrivateApt:
    """apt with a root, sources and limits of its own, until a deadline."""

    def __init__(self, root: Path, deadline: float) -> None:
        self._root, self._deadline = root, deadline
        self._config = root / "apt.conf"
        for name in ("etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "fetched"):
            (root / name).mkdir(parents=True)
        for name in ("state/lists/partial", "cache/archives/partial"):
            (root / name).mkdir(parents=True)
        (root / "state/status").touch()
        machine = self._run("apt-config", "dump").splitlines()
        architecture = self._run("dpkg", "--print-architecture").strip()
        text = configuration(root, root / "state/lists", architecture, machine)
        self._config.write_text(text + _APT_LIMITS)

    def update(self) -> None:
        """Fetch the indexes of both suites from where this machine's apt goes."""
        try:
            origins = Origins(Sources())
            suites = [
                Suite(suite, origins.debian_mirrors("clients", "debian", suite)[0], "debian")
                for suite in (NEWEST, OLDER)
            ]
            # Of any age: a mirror that lags has clients that will do as well.
            text = sources(suites, ["main"], find_keyring(None), snapshot=True)
        except HpsError as error:
            raise UnavailableError(error.message) from error
        (self._root / "etc/sources.list.d/clients.sources").write_text(text)
        self._run("apt-get", "update")

    def libraries(self, packages: list[str]) -> list[str]:
        """The libraries that packages need, and theirs, in the newest version."""
        found: dict[str, None] = {}
        wanted = packages
        while wanted:
            output = self._run("apt-cache", "depends", "--important", "--no-recommends", *wanted)
            names = re.findall(r"^ +(?:Pre)?Depends: (lib[^\s:]+)$", output, re.MULTILINE)
            wanted = [name for name in dict.fromkeys(names) if name not in found]
            found.update(dict.fromkeys(wanted))
        return list(found)

    def unpack(self, packages: list[str], folder: Path) -> None:
        """Fetch packages and unpack them, without their scripts; their versions lie beside."""
        self._run("apt-get", "download", *packages)
        folder.mkdir()
        for path in sorted((self._root / "fetched").glob("*.deb")):
            self._run("dpkg-deb", "-x", str(path), str(folder))
            name, version, _ = path.name.split("_")
            (folder / f"{name}.version").write_text(version.replace("%3a", ":"))
            path.unlink()

    def _run(self, *argv: str) -> str:
        variables = os.environ | {"LC_ALL": "C"}
        if self._config.exists():
            variables["APT_CONFIG"] = str(self._config)
        left = max(1.0, self._deadline - time.monotonic())
        try:
            # timeout(1) ends apt's methods with it; they hold our pipes.
            done = subprocess.run(
                ["timeout", "--kill-after=5", f"{left:.0f}", *argv],
                env=variables,
                cwd=self._root / "fetched",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise UnavailableError(f"{argv[0]}: {error}") from error
        if done.returncode != 0:
            errors = [line for line in done.stderr.splitlines() if line.startswith("E:")]
            why = errors[0] if errors else f"exit code {done.returncode}"
            raise UnavailableError(f"{' '.join(argv[:2])}: {why}")
        return done.stdout
