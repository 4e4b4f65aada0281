"""Where a registry's alias lives: hps.toml and the settings of Docker, containerd and Podman.

Files are found and read here; what they mean is in `registry_docker`, `registry_containerd` and
`registry_containers`. As with those tools, mirrors of a registry are asked before the registry.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from hps.config.aliases import environment_name
from hps.config.schema import RegistrySource
from hps.errors import FetchError
from hps.store import registry_containerd as containerd
from hps.store import registry_containers as containers
from hps.store import registry_docker as docker
from hps.store.inherited import foreign
from hps.store.machine import Machine, read, unreadable
from hps.store.registry_address import (
    Endpoint,
    RegistryAddress,
    distinct,
    joined,
    parse_endpoint,
    parse_root,
)

_DOCKER_SECONDS = 15.0

_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True)
class DefaultRegistry:
    """The registry that Docker means by a name without a host.

    Args:
        endpoint: where it is.
        names: hosts under which settings and people know it.
    """

    endpoint: Endpoint
    names: tuple[str, ...]


class RegistryOrigins:
    """Addresses of registries; files are read when first needed, and kept.

    Args:
        sources: [sources.registries] of hps.toml.
        machine: whose settings name mirrors.
        ask: tells what Docker's default registry is.
    """

    def __init__(
        self,
        sources: Mapping[str, RegistrySource],
        machine: Machine,
        ask: Callable[[Mapping[str, str]], DefaultRegistry | None] | None = None,
    ) -> None:
        self._sources = sources
        self._machine = machine
        self._ask = ask or ask_docker

    def addresses(self, alias: str, repository: str) -> tuple[RegistryAddress, ...]:
        """See `Origins.registry`."""
        found: list[RegistryAddress] = []
        for text, said_by in self._configured(alias):
            try:
                endpoint = parse_endpoint(text)
            except ValueError as error:
                raise FetchError(
                    f"{said_by} holds no address of a registry: {error}",
                    expected="HOST[:PORT], with https:// or http:// before it if need be",
                    hint="correct it, or take it away",
                ) from error
            found += self._reach(endpoint, joined(endpoint.path, repository), said_by)
        if not found:
            found = self._unnamed(repository)
        usable = distinct(self._trusting(each) for each in found if each.tags or each.digests)
        if not usable:
            name = f"HPS_REGISTRY_{environment_name(alias)}"
            raise FetchError(
                f"where is the registry of [sources.registries.{alias}]? Neither hps.toml nor "
                f"{name} says so, and neither Docker nor Podman on this machine has a default",
                hint=f'write address = "https://…" below [sources.registries.{alias}], '
                f"or set {name} to the address",
            )
        return usable

    def _configured(self, alias: str) -> Iterator[tuple[str, str]]:
        """Addresses that were given, and who gave them."""
        name = f"HPS_REGISTRY_{environment_name(alias)}"
        if given := self._machine.environment.get(name, "").split():
            for each in given:
                yield each, name
            return
        if source := self._sources.get(alias):
            where = f"[sources.registries.{alias}] of hps.toml"
            for text in (source.address, *source.fallbacks):
                if text is not None:
                    yield text, where

    def _reach(self, endpoint: Endpoint, repository: str, said_by: str) -> list[RegistryAddress]:
        """Mirrors of a registry, best first, and then itself."""
        own = replace(endpoint, path="").at(repository, said_by)
        mirrors = [*self._docker_mirrors(endpoint.host, repository)]
        itself: list[RegistryAddress] = []
        for folder, hosts in self._hosts_files(endpoint.host):
            found = [
                _of_containerd(each, folder, endpoint.host, repository) for each in hosts.mirrors
            ]
            mirrors += found
            if hosts.server:
                itself.append(_of_containerd(hosts.server, folder, endpoint.host, repository))
        rule = self._containers.rule(own.name)
        if rule is not None:
            who = f"containers-registries.conf ({rule.prefix})"
            if rule.blocked:
                raise self._blocked(own.name, rule)
            others, place = containers.places(rule, own.name)
            mirrors += [_of_containers(each, who) for each in others]
            if place.name != own.name:
                itself.append(_of_containers(place, who))
            elif place.insecure:
                own = replace(own, insecure=True)
        return [*mirrors, *(itself or [own])]

    def _unnamed(self, repository: str) -> list[RegistryAddress]:
        """What this machine takes for a name without a host."""
        mirrors = [each.at(repository, str(self._docker_file)) for each in self._docker.mirrors]
        default = self._default
        if default is not None:
            for name in default.names:
                found = self._reach(Endpoint(name), repository, "Docker's engine")
                mirrors += [each for each in found if each.host != name]
            return [*mirrors, default.endpoint.at(repository, "Docker's engine")]
        if mirrors:
            return mirrors
        settings = self._containers
        full = settings.aliases.get(repository)
        if full is None and len(settings.search) == 1:  # of several, anybody could own the name
            full = f"{settings.search[0]}/{repository}"
        if full is None:
            return []
        host, _, rest = full.partition("/")
        return self._reach(Endpoint(host), rest, "containers-registries.conf")

    def _docker_mirrors(self, host: str, repository: str) -> list[RegistryAddress]:
        """Docker's mirrors hold for its default registry; who that is, Docker is asked."""
        if not self._docker.mirrors or self._default is None or host not in self._default.names:
            return []
        return [each.at(repository, str(self._docker_file)) for each in self._docker.mirrors]

    def _trusting(self, place: RegistryAddress) -> RegistryAddress:
        """An address with what this machine says about its host: certificates, plain HTTP."""
        folders = (
            self._machine.etc / "docker" / "certs.d",
            self._machine.etc / "containers" / "certs.d",
            self._machine.user_settings / "docker" / "certs.d",
            self._machine.user_settings / "containers" / "certs.d",
        )
        known = [str(path) for each in folders for path in _certificates(each / place.host)]
        return replace(
            place,
            authorities=tuple(dict.fromkeys([*place.authorities, *known])),
            insecure=place.insecure or self._docker.is_insecure(place.host),
        )

    def _hosts_files(self, host: str) -> Iterator[tuple[Path, containerd.HostsFile]]:
        """The one hosts file that containerd would read, if there is one."""
        config = self._machine.etc / "containerd" / "config.toml"
        configured = _parsed([config], containerd.parse_config_path)
        roots = [Path(each) for _, paths in configured for each in paths]
        for root in roots or [self._machine.etc / "containerd" / "certs.d"]:
            for name in containerd.folders(host):
                folder = root / name
                if folder.is_dir():
                    found = _parsed([folder / "hosts.toml"], containerd.parse)
                    if found:
                        yield folder, found[0][1]
                    elif crts := _certificates(folder):
                        own = containerd.Host(parse_root(host), authorities=tuple(map(str, crts)))
                        yield folder, containerd.HostsFile(server=own)
                    return

    def _blocked(self, name: str, rule: containers.Rule) -> FetchError:
        return FetchError(
            f"this machine's settings forbid to fetch {name}",
            got=f"blocked = true for {rule.prefix} in containers-registries.conf",
            hint="ask whoever runs this machine, or use another registry",
        )

    @cached_property
    def _default(self) -> DefaultRegistry | None:
        return self._ask(self._machine.environment)

    @property
    def _docker_file(self) -> Path:
        """Settings of the engine; those of a rootless one are in the user's folder."""
        user = self._machine.user_settings / "docker" / "daemon.json"
        return user if user.is_file() else self._machine.etc / "docker" / "daemon.json"

    @cached_property
    def _docker(self) -> docker.DockerSettings:
        for _, settings in _parsed([self._docker_file], docker.parse):
            return settings
        return docker.DockerSettings()

    @cached_property
    def _containers(self) -> containers.ContainersSettings:
        system, user = self._machine.etc / "containers", self._machine.user_settings / "containers"
        named = self._machine.environment.get("CONTAINERS_REGISTRIES_CONF")
        name = "registries.conf"
        own = user / name
        main = Path(named) if named else own if own.is_file() else system / name
        parts = [
            *sorted((system / f"{name}.d").glob("*.conf")),
            *sorted((user / f"{name}.d").glob("*.conf")),
        ]
        return containers.merged(found for _, found in _parsed([main, *parts], containers.parse))


def _parsed(files: Sequence[Path], parse: Callable[[str], _Parsed]) -> list[tuple[Path, _Parsed]]:
    """What the files say that are there and that we may read.

    Settings of another program that only root may read are none for us.
    """
    found = []
    for path in files:
        try:
            path.stat()
            path.open("rb").close()
        except (PermissionError, FileNotFoundError, NotADirectoryError):
            continue
        for _, text in read([path]):
            try:
                found.append((path, parse(text)))
            except ValueError as error:
                raise unreadable(path, str(error)) from error
    return found


def _certificates(folder: Path) -> list[Path]:
    """Files of authorities as Docker keeps them (certs.d/HOST/*.crt)."""
    try:
        return sorted(each for each in folder.iterdir() if each.suffix == ".crt")
    except OSError:  # not there, no folder, or not for us
        return []


def _of_containerd(
    host: containerd.Host, folder: Path, namespace: str, repository: str
) -> RegistryAddress:
    found = host.endpoint.at(repository, str(folder / "hosts.toml"))
    return replace(
        found,
        tags=host.tags,
        digests=host.digests,
        authorities=tuple(str(folder / each) for each in host.authorities),
        insecure=host.insecure,
        headers=host.headers,
        namespace="" if host.endpoint.host == namespace else namespace,
    )


def _of_containers(location: containers.Location, said_by: str) -> RegistryAddress:
    host, _, repository = location.name.partition("/")
    return replace(
        Endpoint(host).at(repository, said_by),
        insecure=location.insecure,
        tags=location.tags,
        digests=location.digests,
    )


def ask_docker(environment: Mapping[str, str]) -> DefaultRegistry | None:
    """The default registry that is built into Docker, which is the one that its users expect.

    None where there is no Docker, or its engine does not run or does not say.
    """
    try:
        done = subprocess.run(
            ["docker", "info", "--format", "{{json .}}"],
            env=foreign(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DOCKER_SECONDS,
            check=False,
        )
        return parse_info(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def parse_info(output: bytes) -> DefaultRegistry | None:
    """What `docker info` prints (Docker Engine API, SystemInfo).

    Raises:
        ValueError: it is something else.
    """
    info = json.loads(output)
    indexes = (info.get("RegistryConfig") or {}).get("IndexConfigs") or {}
    root = info.get("IndexServerAddress")
    if not isinstance(root, str) or not isinstance(indexes, dict):
        return None
    scheme, _, rest = root.partition("://")
    endpoint = parse_endpoint(f"{scheme}://{rest.partition('/')[0]}")
    official = [
        name for name, one in indexes.items() if isinstance(one, dict) and one.get("Official")
    ]
    return DefaultRegistry(endpoint, tuple(dict.fromkeys([*official, endpoint.host])))
