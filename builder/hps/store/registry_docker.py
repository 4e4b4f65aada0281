"""Mirrors in the settings of a Docker engine (daemon.json); parsing, no reading.

Follows Docker's reference "dockerd", keys `registry-mirrors` and `insecure-registries`. The
mirrors are those of Docker's default registry only.
"""

import ipaddress
import json
from dataclasses import dataclass

from hps.store import url as address
from hps.store.registry_address import Endpoint, parse_root


@dataclass(frozen=True, slots=True)
class DockerSettings:
    """What daemon.json says about registries.

    Args:
        mirrors: of the default registry, best first.
        insecure: hosts, with or without a port, and networks (CIDR).
    """

    mirrors: tuple[Endpoint, ...] = ()
    insecure: tuple[str, ...] = ()

    def is_insecure(self, host: str) -> bool:
        """Whether a host (with its port) may do without TLS.

        Networks hold addresses only: a name would have to be resolved, and whoever answers for
        names could switch TLS off.
        """
        if host in self.insecure:
            return True
        bare = address.split(f"https://{host}").hostname or ""
        try:
            ip = ipaddress.ip_address(bare)
        except ValueError:
            return bare in self.insecure
        return bare in self.insecure or any(
            ip in network for network in map(_network, self.insecure) if network is not None
        )


def parse(text: str) -> DockerSettings:
    """Read daemon.json.

    Raises:
        ValueError: it is no JSON object, or a key has another type than Docker takes.
    """
    if not text.strip():
        return DockerSettings()
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - as json does
    mirrors = []
    for each in _texts(data, "registry-mirrors"):
        if not each.lower().startswith(("http://", "https://")):
            raise ValueError("registry-mirrors: an address starts with https:// or http://")
        mirrors.append(parse_root(each))
    return DockerSettings(tuple(mirrors), tuple(_texts(data, "insecure-registries")))


def _texts(data: dict[str, object], key: str) -> list[str]:
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{key} is not a list of strings")
    return value


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text) if "/" in text else None
    except ValueError:
        return None
