"""How a kind of artifact is reached on this machine: proxies, certificates, credentials.

The environment holds for all kinds (`requests`); pip's own settings hold for Python indexes and
apt's own for Debian archives, as with those tools. Here they are data; `index_network` and
`apt_proxies` find them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class Keyring(Protocol):
    """Knows passwords that no file of settings holds."""

    def credentials(self, url: str) -> tuple[str, str] | None:
        """User and password for an address, or None."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What a tool's settings add to the environment.

    Args:
        proxies: scheme, or scheme://HOST, to the address of a proxy; empty for none. They win
            over those of the environment.
        bundle: file of certificates that are trusted, unless the environment names one.
        client_certificate: file with the certificate and key that are shown to servers.
        keyring: asked when a server wants to know who asks.
    """

    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    bundle: str | None = None
    client_certificate: str | None = None
    keyring: Keyring | None = None

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """The variables by which another tool reaches the same servers in the same way.

        What it trusts is said in the one variable that all of them know.

        Args:
            inherited: what the tool would see without them.
        """
        found: dict[str, str] = {}
        for scheme in ("http", "https"):
            if scheme in self.proxies:
                names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
                found |= dict.fromkeys(names, self.proxies[scheme])
        if found:
            found |= {"no_proxy": "", "NO_PROXY": ""}
        bundles = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
        bundle = next((inherited[name] for name in bundles if inherited.get(name)), self.bundle)
        if bundle:
            found["SSL_CERT_FILE"] = bundle
        if self.client_certificate:
            found["SSL_CLIENT_CERT"] = self.client_certificate
        return found
