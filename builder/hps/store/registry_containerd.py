"""Mirrors in containerd's hosts files (certs.d/HOST/hosts.toml); parsing, no reading.

Follows containerd's documents "Registry Configuration" (docs/hosts.md) and "Registry" of its CRI
plugin (`config_path`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hps.store.registry_address import Endpoint, parse_root
from hps.store.settings_toml import parse_toml

_CAPABILITIES = frozenset({"pull", "resolve", "push", "referrers"})
_FIELD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
# Fields that hps fills in itself: a file must not change what a request means or who asks.
_OURS = frozenset(
    {
        *("accept", "accept-encoding", "authorization", "connection", "content-length"),
        *("content-type", "cookie", "host", "proxy-authorization", "range", "if-range", "te"),
        *("trailer", "transfer-encoding", "upgrade"),
    }
)
_PLUGINS = ("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images")


@dataclass(frozen=True, slots=True)
class Host:
    """One server of a hosts file.

    Args:
        endpoint: where it is.
        tags: whether it may say what a tag names (`resolve`).
        digests: whether it may be asked for bytes (`pull`).
        authorities: files of certificates, relative to the folder of the hosts file.
        insecure: `skip_verify` is set.
        headers: sent with each request.
    """

    endpoint: Endpoint
    tags: bool = True
    digests: bool = True
    authorities: tuple[str, ...] = ()
    insecure: bool = False
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class HostsFile:
    """Mirrors, best first, and the registry itself where the file speaks of it."""

    mirrors: tuple[Host, ...] = ()
    server: Host | None = None


def folders(host: str) -> tuple[str, ...]:
    """Names of the folders in certs.d that may hold the file of a host; the first wins."""
    name, colon, port = host.rpartition(":")
    escaped = (f"{name}_{port}_",) if colon and port.isdecimal() else ()
    return (*escaped, host, "_default")


def parse_config_path(text: str) -> tuple[str, ...]:
    """`config_path` of containerd's own config.toml: folders as certs.d is one.

    Raises:
        ValueError: it is not TOML, or the setting is no string.
    """
    plugins = _table(parse_toml(text), "plugins")
    for name in _PLUGINS:
        registry = _table(_table(plugins, name), "registry")
        path = registry.get("config_path")
        if path is not None and not isinstance(path, str):
            raise ValueError("config_path is not a string")
        if path:
            return tuple(each for each in path.split(":") if each)
    return ()


def parse(text: str) -> HostsFile:
    """Read a hosts.toml.

    Raises:
        ValueError: it is not TOML, or a key has another type than containerd takes.
    """
    data = parse_toml(text)
    hosts = _table(data, "host")
    server = data.get("server")
    if server is not None and not isinstance(server, str):
        raise ValueError("server is not a string")
    return HostsFile(
        tuple(_host(name, _table(hosts, name)) for name in hosts),
        _host(server, data) if server else None,
    )


def _host(text: str, table: Mapping[str, Any]) -> Host:
    listed = table.get("capabilities")
    if listed is not None and not (
        isinstance(listed, list) and all(isinstance(each, str) for each in listed)
    ):
        raise ValueError(f"capabilities of {text[:100]!r} is not a list of strings")
    capabilities = _CAPABILITIES if listed is None else frozenset(listed)
    if unknown := sorted(capabilities - _CAPABILITIES):
        raise ValueError(f"unknown capability {unknown[0][:50]!r}")
    return Host(
        parse_root(text, overridden=_flag(table, "override_path")),
        tags="resolve" in capabilities,
        digests="pull" in capabilities,
        authorities=_texts(table.get("ca"), "ca"),
        insecure=_flag(table, "skip_verify"),
        headers=tuple(_header(name, value) for name, value in _table(table, "header").items()),
    )


def _header(name: str, value: object) -> tuple[str, str]:
    if not _FIELD.fullmatch(name) or name.lower() in _OURS:
        raise ValueError(f"header {name[:100]!r} cannot be set there")
    text = ", ".join(_texts(value, f"header {name}"))
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"header {name} holds characters that no header may hold")
    return name, text


def _texts(value: object, what: str) -> tuple[str, ...]:
    values = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) and "\0" not in each for each in values):
        raise ValueError(f"{what} is neither a string nor a list of strings")
    return tuple(values)


def _flag(table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"{key} is neither true nor false")  # noqa: TRY004 - as tomllib does
    return value


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise ValueError(f"{key[:100]} is not a table")  # noqa: TRY004 - as tomllib does
    return value
