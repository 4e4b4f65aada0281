"""Debian packages for tests: fetched by an apt with a root of its own, unpacked, not installed."""

import os
import re
import subprocess
import time
from pathlib import Path

from hps.config.schema import Sources
from hps.errors import HpsError
from hps.lock.apt import Suite, configuration, find_keyring, sources
from hps.store.origins import Origins

NEWEST, OLDER = "sid", "trixie"
DOWNLOAD_SECONDS = 240.0  # of wall time, for everything
# apt's own limits are minutes; a mirror that stalls is given up and the tests are skipped.
_APT_LIMITS = 'Acquire::http::Timeout "20";\nAcquire::https::Timeout "20";\n'


class UnavailableError(Exception):
    """Packages could not be fetched; the argument says why."""


class PrivateApt:
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
