"""apt in a private root: it never sees this machine's packages, sources or hooks.

Of the machine's configuration only what says how to reach an archive is taken over: proxies,
certificates, timeouts, credentials. Signatures are always verified.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hps.errors import FetchError, HpsError, IntegrityError, LockError, NotFoundError
from hps.store.inherited import foreign

DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_ATTEMPTS = 3  # to fetch indexes
_PAUSE = 0.5  # seconds before the second attempt, doubled before the next
_DEADLINE = 600.0  # seconds; an index is about 10 MB
_INHERITED = re.compile(r"^Acquire::https?(::|\s)")
_INSTALL = re.compile(r"^Inst (\S+) (?:\[\S+\] )?\((\S+) .*\[(\w+)\]\)")
_FORGED = (
    "NO_PUBKEY",
    "BADSIG",
    "EXPKEYSIG",
    "REVKEYSIG",
    "signatures were invalid",
    "signatures couldn't be verified",
    "Clearsigned file isn't valid",
    "Hash Sum mismatch",
    "has unexpected size",
    "Malformed",
)
_STALE = ("is expired", "is not valid yet")


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite, the address of the archive that has it, and which archive that is."""

    name: str
    address: str
    archive: Literal["debian", "debian-security"]


@dataclass(frozen=True, slots=True)
class Index:
    """A Packages file that apt has fetched: of which suite, where, and its name in Release."""

    suite: str
    path: Path
    release: Path
    entry: str


def configuration(root: Path, lists: Path, architecture: str, inherited: Iterable[str]) -> str:
    """The text of apt.conf for a private root.

    APT::Sandbox::User is root, which means: do not change the user. Started by root, apt would
    drop to a user who may not enter the private root; started by anybody else it cannot drop.
    """
    lines = [
        f'Dir "{root}";',
        f'Dir::Etc "{root}/etc";',
        f'Dir::Etc::parts "{root}/etc/apt.conf.d";',
        'Dir::Etc::netrc "/etc/apt/auth.conf";',
        'Dir::Etc::netrcparts "/etc/apt/auth.conf.d";',
        f'Dir::State "{root}/state";',
        f'Dir::State::lists "{lists}";',
        f'Dir::State::status "{root}/state/status";',
        f'Dir::Cache "{root}/cache";',
        'Dir::Bin::methods "/usr/lib/apt/methods";',
        f'APT::Architecture "{architecture}";',
        f'APT::Architectures {{ "{architecture}"; }};',
        'APT::Install-Recommends "false";',
        'APT::Install-Suggests "false";',
        'APT::Sandbox::User "root";',
        'APT::Update::Error-Mode "any";',
        'Acquire::AllowInsecureRepositories "false";',
        'Acquire::AllowWeakRepositories "false";',
        'Acquire::AllowDowngradeToInsecureRepositories "false";',
        'Acquire::GzipIndexes "false";',
        'Acquire::Languages "none";',
        'Acquire::PDiffs "false";',
        # apt 2.6 can wait for ever when a retry meets a connection that is reset: hps tries again.
        'Acquire::Retries "0";',
    ]
    lines += [line for line in inherited if _INHERITED.match(line)]
    return "".join(f"{line}\n" for line in lines)


def sources(
    suites: Sequence[Suite], components: Sequence[str], keyring: Path, *, snapshot: bool
) -> str:
    """A deb822 sources file (sources.list(5)).

    The age of a Release file is checked unless a snapshot is meant, which is old on purpose.
    """
    paragraphs = []
    for suite in suites:
        lines = [
            "Types: deb",
            f"URIs: {suite.address.rstrip('/')}/",
            f"Suites: {suite.name}",
            f"Components: {' '.join(components)}",
            f"Signed-By: {keyring}",
            f"Check-Valid-Until: {'no' if snapshot else 'yes'}",
        ]
        paragraphs.append("".join(f"{line}\n" for line in lines))
    return "\n".join(paragraphs)


def preferences(pins: Mapping[str, str]) -> str:
    """apt_preferences(5) that prefer versions while an archive has them."""
    return "\n".join(
        f"Package: {name}\nPin: version {version}\nPin-Priority: 1001\n"
        for name, version in sorted(pins.items())
    )


class Apt:
    """apt-get in a private root.

    Args:
        root: a private folder without content; everything that apt writes goes there.
        lists: where the indexes are kept, below `root` or in a cache of the user.
        architecture: Debian's name of it: amd64, arm64.
        status: what is installed already, as dpkg's status file says it.
    """

    def __init__(self, root: Path, lists: Path, architecture: str, status: bytes = b"") -> None:
        for name in ("apt-get", "apt-config", "gpgv"):
            if shutil.which(name) is None:
                raise LockError(
                    f"{name} is not installed, and Debian packages are resolved by apt",
                    hint="apt-get install apt gpgv; or run `hps lock` on a Debian machine",
                )
        self._root = root
        self.lists = lists
        for folder in ("etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "state"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        (root / "state/status").write_bytes(status)
        # Nothing of what is there goes away, and nothing is upgraded that need not be.
        self._options = ("--no-remove", "--no-upgrade") if status else ()
        inherited = subprocess.run(
            ["apt-config", "dump"], env=foreign(), capture_output=True, text=True, check=False
        ).stdout
        self._config = root / "apt.conf"
        self._config.write_text(
            configuration(root, lists, architecture, inherited.splitlines()), encoding="utf-8"
        )

    def update(self, text: str) -> None:
        """Fetch the indexes of a sources file; raises as `explain_update` tells them apart."""
        (self._root / "etc/sources.list.d/hps.sources").write_text(text, encoding="utf-8")
        for attempt in range(_ATTEMPTS):
            done = self._run("apt-get", "update")
            if done.returncode == 0:
                return
            error = explain_update(done.stdout + done.stderr)
            last = attempt == _ATTEMPTS - 1
            if last or isinstance(error, NotFoundError) or not isinstance(error, FetchError):
                raise error
            time.sleep(_PAUSE * 2**attempt)

    def indexes(self) -> list[Index]:
        """The Packages files of the last update, in the order of the sources file."""
        layout = "$(RELEASE)\t$(FILENAME)\t$(METAKEY)\t$(IDENTIFIER)"
        done = self._run("apt-get", "indextargets", "--format", layout, "Created-By: Packages")
        found = []
        for line in done.stdout.splitlines():
            suite, path, entry, _ = line.split("\t")
            prefix = Path(path).name.removesuffix(entry.replace("/", "_"))
            release = Path(path).with_name(f"{prefix}InRelease")
            if not release.exists():
                release = release.with_name(f"{prefix}Release")
            found.append(Index(suite, Path(path), release, entry))
        return found

    def simulate(
        self, packages: Sequence[str], pins: Mapping[str, str]
    ) -> list[tuple[str, str, str]]:
        """Name, version and architecture of all that installing packages would bring.

        Raises:
            UnsatisfiableError: apt finds no set; its explanation is the argument.
        """
        (self._root / "etc/preferences").write_text(preferences(pins), encoding="utf-8")
        done = self._run(
            *("apt-get", "install", "--simulate", "--quiet=1", *self._options, "--", *packages)
        )
        if done.returncode != 0:
            raise UnsatisfiableError(done.stdout + done.stderr)
        return [
            (found[1], found[2], found[3])
            for line in done.stdout.splitlines()
            if (found := _INSTALL.match(line))
        ]

    def _run(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        with subprocess.Popen(
            argv,
            env=foreign() | {"APT_CONFIG": str(self._config), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                output, errors = process.communicate(timeout=_DEADLINE)
            except BaseException as error:
                # Its methods (http, gpgv) hold our pipes: all of them must go. When Ctrl-C came
                # between its end and here, there is nobody left.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise FetchError(
                        f"{argv[0]} {argv[1]} did not end within {_DEADLINE:g} s",
                        hint="the mirror may be stalling: take another",
                    ) from None
                raise
        return subprocess.CompletedProcess(argv, process.returncode, output, errors)


class UnsatisfiableError(Exception):
    """apt found no set of packages; the argument is what it printed."""


def find_keyring(keyring: Path | None) -> Path:
    """The OpenPGP keyring to trust; raises LockError when there is none."""
    path = DEBIAN_KEYRING if keyring is None else keyring.resolve()
    if not path.is_file():
        raise LockError(
            "there is no keyring to verify the Debian archive with",
            expected=f"a file {path}",
            hint="apt-get install debian-archive-keyring, or name one: "
            "[sources.debian.ALIAS] keyring",
        )
    return path


def explain_update(output: str) -> HpsError:
    """The error for what `apt-get update` printed when it failed."""
    details = tuple(
        dict.fromkeys(line for line in output.splitlines() if line.startswith(("E:", "W:", "Err:")))
    )[:20]
    if any(mark in output for mark in _FORGED):
        hint = "use another mirror; if it is one that you trust, try again when it has synchronised"
        if "NO_PUBKEY" in output:
            hint = "name the archive's keyring: [sources.debian.ALIAS] keyring; or upgrade "
            hint += "debian-archive-keyring"
        return IntegrityError(
            "the Debian archive is not what its signature says", details=details, hint=hint
        )
    if any(mark in output for mark in _STALE):
        return IntegrityError(
            "the Debian archive's signed index is not of this time",
            details=details,
            hint="check this machine's clock; a mirror that lags is not used: take another, or "
            "set `snapshot`",
        )
    if "404" in output or "does not have a Release file" in output:
        return NotFoundError(
            "the Debian archive has no such suite or component",
            details=details,
            hint="check suites, components and mirror of [sources.debian.ALIAS]",
        )
    if "is not signed" in output and "Failed to fetch" not in output:
        return IntegrityError("the Debian archive is not signed", details=details)
    return FetchError(
        "the Debian archive could not be reached",
        details=details,
        hint="check mirror, proxy and certificates (apt's own Acquire::http settings are used)",
    )
