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
from pathlib import Path

from hps.config.aliases import SECURITY, environment_name
from hps.config.schema import Sources
from hps.errors import FetchError
from hps.store import apt_proxies, apt_sources, index_settings
from hps.store import url as address
from hps.store.apt_sources import AptEntry, Archive
from hps.store.keyring import find_keyring
from hps.store.machine import Machine, read, unreadable
from hps.store.network import Network
from hps.store.registry_address import RegistryAddress
from hps.store.registry_origins import RegistryOrigins


class Origins:
    """Addresses of indexes and archives, found when first needed and kept.

    Args:
        sources: of hps.toml.
        indexes: alias → address from the command line (`-p`), above all else.
        machine: whose settings decide when hps.toml does not.
        folder: what relative paths start from; the current one if not given.
        ask_apt: tells what proxies apt uses.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        indexes: Mapping[str, str] | None = None,
        machine: Machine | None = None,
        folder: Path | None = None,
        ask_apt: Callable[[Mapping[str, str]], dict[str, str]] = apt_proxies.ask_apt,
    ) -> None:
        self._ask_apt = ask_apt
        self._sources = sources
        self._indexes = dict(indexes or {})
        self._machine = machine or Machine()
        self._folder = folder
        self._lock = threading.RLock()
        self._found: dict[str, tuple[str, ...]] = {}
        self._entries: list[AptEntry] | None = None
        self._registries = RegistryOrigins(sources.registries, self._machine)

    def python_indexes(self, alias: str) -> tuple[str, ...]:
        """The addresses of a Python index, best first.

        Raises:
            FetchError: a configuration file cannot be read, or uv cannot be run.
        """
        with self._lock:
            if alias not in self._found:
                self._found[alias] = self._python_indexes(alias)
            return self._found[alias]

    def python_index(self, alias: str) -> str:
        """The best address of a Python index; raises as `python_indexes`."""
        return self.python_indexes(alias)[0]

    def index_network(self) -> Network:
        """How pip's settings say that indexes are reached.

        Raises:
            FetchError: a configuration file cannot be read.
        """
        proxy = self._pip("PIP_PROXY", "proxy")
        return Network(
            proxies={} if proxy is None else {"http": proxy, "https": proxy},
            bundle=self._pip("PIP_CERT", "cert"),
            client_certificate=self._pip("PIP_CLIENT_CERT", "client-cert"),
            keyring=find_keyring(
                self._keyring_provider(), self._machine.environment, self._index_addresses
            ),
        )

    def archive_network(self) -> Network:
        """How apt's settings say that Debian archives are reached."""
        return Network(proxies=self._ask_apt(self._machine.environment))

    def registry(self, alias: str, repository: str) -> tuple[RegistryAddress, ...]:
        """Where the images of a repository may be asked for, best first.

        Args:
            alias: of [sources.registries.ALIAS].
            repository: what images call it behind the alias.

        Raises:
            FetchError: nobody says where the registry is, this machine's settings of registries
                cannot be used, or they forbid it.
        """
        with self._lock:
            return self._registries.addresses(alias, repository)

    def debian_mirrors(self, alias: str, archive: Archive, suite: str) -> tuple[str, ...]:
        """The addresses of a Debian archive, best first.

        Raises:
            FetchError: nobody says where the archive is.
        """
        security = archive == "debian-security"
        name = f"HPS_DEBIAN_{environment_name(alias)}" + (SECURITY if security else "")
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

    def _python_indexes(self, alias: str) -> tuple[str, ...]:
        """What is given for this run stands alone; what hps.toml falls back to follows the rest."""
        environment = self._machine.environment
        source = self._sources.python.get(alias)
        given = self._indexes.get(alias) or environment.get(f"HPS_INDEX_{environment_name(alias)}")
        if given:
            return self._addresses(given.split())
        candidates: tuple[Callable[[], str | None], ...] = (
            lambda: source.url if source else None,
            lambda: _uv_default(environment.get("UV_DEFAULT_INDEX")),
            lambda: environment.get("UV_INDEX_URL"),
            self._uv_setting,
            lambda: environment.get("PIP_INDEX_URL"),
            lambda: self._pip(None, "index-url"),
        )
        found = next((found for each in candidates if (found := each())), None)
        return self._addresses([found or ask_uv(), *(source.fallbacks if source else ())])

    def _addresses(self, texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(address.from_text(each, self._folder) for each in texts))

    def _index_addresses(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(each for found in self._found.values() for each in found)

    def _keyring_provider(self) -> str | None:
        environment = self._machine.environment
        return (
            environment.get("PIP_KEYRING_PROVIDER")
            or environment.get("UV_KEYRING_PROVIDER")
            or self._pip(None, "keyring-provider")
            or self._uv(index_settings.parse_uv_keyring)
        )

    def _uv_setting(self) -> str | None:
        return self._uv(index_settings.parse_uv)

    def _uv(self, parse: Callable[[str], str | None]) -> str | None:
        files = index_settings.uv_files(
            self._machine.environment, self._machine.home, self._machine.etc
        )
        for path, text in read(files):
            try:
                if found := parse(text):
                    return found
            except (ValueError, RecursionError) as error:
                raise unreadable(path, str(error)) from error
        return None

    def _pip(self, variable: str | None, key: str) -> str | None:
        """A setting of pip: its variable, else its files."""
        machine = self._machine
        if variable is not None and (found := machine.environment.get(variable)):
            return found
        files = index_settings.pip_files(
            machine.environment, machine.home, machine.prefix, machine.etc
        )
        texts = dict(read(files))
        try:
            return index_settings.parse_pip(texts.values(), key)
        except ValueError as error:
            raise unreadable(list(texts)[-1], str(error)) from error

    def _apt_entries(self) -> list[AptEntry]:
        with self._lock:
            if self._entries is None:
                apt = self._machine.etc / "apt"
                parts = apt / "sources.list.d"
                lists = [apt / "sources.list", *sorted(parts.glob("*.list"))]
                stanzas = sorted(parts.glob("*.sources"))
                entries = [each for _, text in read(lists) for each in apt_sources.parse_list(text)]
                for _, text in read(stanzas):
                    entries += apt_sources.parse_deb822(text)
                self._entries = entries
            return self._entries


def _uv_default(value: str | None) -> str | None:
    """UV_DEFAULT_INDEX may be `name=address` (uv reference, "UV_DEFAULT_INDEX")."""
    name, equals, rest = (value or "").partition("=")
    return rest if equals and name.replace("-", "").replace("_", "").isalnum() else value


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
