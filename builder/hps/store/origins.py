"""Where an alias of hps.toml lives on this machine. Nothing is asked before something is fetched.

Which one wins is told in docs/how-to/mirrors.md, and the rules for parsing are in
`index_settings` and `apt_sources`. No registry or mirror is named here: when nobody configured an
index, uv is asked for the one that is built into it.
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hps.config.schema import Sources
from hps.errors import FetchError
from hps.store import apt_sources, index_settings
from hps.store import url as address
from hps.store.apt_sources import AptEntry, Archive


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The parts of a machine that are asked; tests name others."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    home: Path = field(default_factory=Path.home)
    prefix: Path = field(default_factory=lambda: Path(sys.prefix))
    etc: Path = Path("/etc")


class Origins:
    """Addresses of indexes and archives, found when first needed and kept.

    Args:
        sources: of hps.toml.
        indexes: alias → address from the command line (`-p`), above all else.
        machine: whose settings decide when hps.toml does not.
        folder: what relative paths start from; the current one if not given.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        indexes: Mapping[str, str] | None = None,
        machine: Machine | None = None,
        folder: Path | None = None,
    ) -> None:
        self._sources = sources
        self._indexes = dict(indexes or {})
        self._machine = machine or Machine()
        self._folder = folder
        self._lock = threading.RLock()
        self._found: dict[str, str] = {}
        self._entries: list[AptEntry] | None = None

    def python_index(self, alias: str) -> str:
        """The address of a Python index.

        Raises:
            FetchError: a configuration file cannot be read, or uv cannot be run.
        """
        with self._lock:
            if alias not in self._found:
                self._found[alias] = self._python_index(alias)
            return self._found[alias]

    def debian_mirrors(self, alias: str, archive: Archive, suite: str) -> tuple[str, ...]:
        """The addresses of a Debian archive, best first.

        Raises:
            FetchError: nobody says where the archive is.
        """
        security = archive == "debian-security"
        name = f"HPS_DEBIAN_{address.environment_name(alias)}" + ("_SECURITY" if security else "")
        source = self._sources.debian.get(alias)
        configured = source and (source.security_mirror if security else source.mirror)
        given = self._machine.environment.get(name) or configured
        if given:
            return (address.from_text(given, self._folder),)
        found = apt_sources.choose_mirrors(self._apt_entries(), archive, suite)
        if not found:
            key = "security-mirror" if security else "mirror"
            raise FetchError(
                f"where is the archive {archive} of [sources.debian.{alias}]? Neither hps.toml "
                f"nor {name} says so, and apt on this machine has no entry for {suite}",
                hint=f'write {key} = "https://…" below [sources.debian.{alias}], '
                f"or set {name} to the address",
            )
        return found

    def _python_index(self, alias: str) -> str:
        environment = self._machine.environment
        source = self._sources.python.get(alias)
        candidates: tuple[Callable[[], str | None], ...] = (
            lambda: self._indexes.get(alias),
            lambda: environment.get(f"HPS_INDEX_{address.environment_name(alias)}"),
            lambda: source.url if source else None,
            lambda: _uv_default(environment.get("UV_DEFAULT_INDEX")),
            lambda: environment.get("UV_INDEX_URL"),
            self._uv_setting,
            lambda: environment.get("PIP_INDEX_URL"),
            self._pip_setting,
        )
        for candidate in candidates:
            if found := candidate():
                return address.from_text(found, self._folder)
        return ask_uv()

    def _uv_setting(self) -> str | None:
        files = index_settings.uv_files(
            self._machine.environment, self._machine.home, self._machine.etc
        )
        for path, text in _read(files):
            try:
                if found := index_settings.parse_uv(text):
                    return found
            except (ValueError, RecursionError) as error:
                raise _unreadable(path, str(error)) from error
        return None

    def _pip_setting(self) -> str | None:
        machine = self._machine
        files = index_settings.pip_files(
            machine.environment, machine.home, machine.prefix, machine.etc
        )
        texts = dict(_read(files))
        try:
            return index_settings.parse_pip(texts.values())
        except ValueError as error:
            raise _unreadable(list(texts)[-1], str(error)) from error

    def _apt_entries(self) -> list[AptEntry]:
        with self._lock:
            if self._entries is None:
                apt = self._machine.etc / "apt"
                parts = apt / "sources.list.d"
                lists = [apt / "sources.list", *sorted(parts.glob("*.list"))]
                stanzas = sorted(parts.glob("*.sources"))
                entries = [
                    each for _, text in _read(lists) for each in apt_sources.parse_list(text)
                ]
                for _, text in _read(stanzas):
                    entries += apt_sources.parse_deb822(text)
                self._entries = entries
            return self._entries


def _uv_default(value: str | None) -> str | None:
    """UV_DEFAULT_INDEX may be `name=address` (uv reference, "UV_DEFAULT_INDEX")."""
    name, equals, rest = (value or "").partition("=")
    return rest if equals and name.replace("-", "").replace("_", "").isalnum() else value


def _read(files: Iterable[Path]) -> Iterable[tuple[Path, str]]:
    """The files that exist, with their text."""
    for path in files:
        try:
            yield path, path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except UnicodeDecodeError as error:
            raise _unreadable(path, "not UTF-8") from error
        except OSError as error:
            raise _unreadable(path, error.strerror or "cannot be opened") from error


def _unreadable(path: Path, why: str) -> FetchError:
    return FetchError(
        f"cannot read {path}: {why}",
        hint="correct the file, or name the index with HPS_INDEX_DEFAULT or in hps.toml",
    )


def ask_uv() -> str:
    """The index that is built into uv, which is the one that its users expect.

    Raises:
        FetchError: uv is missing, or does not say.
    """
    try:
        import uv  # noqa: PLC0415 - an extra, and only when nothing else is configured
    except ImportError as error:
        raise FetchError(
            "no Python index is configured, and uv, which knows one, is not installed",
            hint="pip install 'hps[build]'; or name the index: set HPS_INDEX_DEFAULT, or url in "
            "[sources.python.default]",
        ) from error
    with tempfile.TemporaryDirectory(prefix="hps-") as folder:
        requirements = Path(folder, "empty.in")
        requirements.touch()
        flags = ["--no-config", "--no-cache", "--offline", "--no-header", "--emit-index-url"]
        python = ["--python", sys.executable]
        try:
            done = subprocess.run(
                [uv.find_uv_bin(), "pip", "compile", *flags, *python, str(requirements)],
                env={"HOME": folder, "PATH": os.environ.get("PATH", os.defpath)},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise FetchError(
                f"uv does not say which index is its default: {error}",
                hint="name the index: set HPS_INDEX_DEFAULT, or url in [sources.python.default]",
            ) from error
    found = index_settings.parse_printed(done.stdout)
    if found is None:
        raise FetchError(
            "uv does not say which index is its default",
            expected="a line --index-url ADDRESS",
            got=done.stdout.strip()[:200] or "nothing",
            hint="name the index: set HPS_INDEX_DEFAULT, or url in [sources.python.default]",
        )
    return found
