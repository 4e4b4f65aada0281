"""Names of things in registries: HOST/NAME[:TAG][@DIGEST].

Grammar of the OCI distribution specification 1.1, "Pulling manifests". Nothing is filled in: no
default host, no `library/`, no `latest`. What a name means must not depend on who reads it.
"""

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Self

from hps.digest import Digest
from hps.errors import UsageError
from hps.store.foreign_text import printable

_HOST = re.compile(
    r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::(?P<port>\d{1,5}))?"
)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_LONGEST = 255  # of HOST/NAME, what common registries accept
_LARGEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository in a registry, and which of its manifests is meant.

    Args:
        host: with its port, as the user gave it; brackets around an IPv6 address.
        repository: the path below it.
        tag: a name that may move.
        digest: wins over the tag, which then is a remark.
    """

    host: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read HOST[:PORT]/NAME[:TAG][@sha256:HEX].

        Raises:
            UsageError: it is something else; the hint says what is missing.
        """
        if "://" in text:
            raise _wrong(text, "leave the part before :// away")
        rest, at, digest_text = text.partition("@")
        host, slash, path = rest.partition("/")
        if not slash or not _names_host(host):
            shown = printable(rest, 100)
            raise _wrong(text, f"name the host: HOST/{shown}; hps has no default registry")
        repository, colon, tag = path.partition(":")
        if not _REPOSITORY.fullmatch(repository) or len(host) + 1 + len(repository) > _LONGEST:
            raise _wrong(text, "names are lower-case letters and digits, with . _ - between them")
        if colon and not is_tag(tag):
            raise _wrong(text, "a tag has at most 128 letters, digits, _ . -")
        try:
            digest = Digest.parse(digest_text) if at else None
        except ValueError as error:
            raise _wrong(text, "a digest is sha256: and 64 hexadecimal digits") from error
        return cls(host, repository, tag or None, digest)

    @property
    def wanted(self) -> Digest | str:
        """The digest, else the tag.

        Raises:
            UsageError: there is neither.
        """
        if self.digest is not None:
            return self.digest
        if self.tag is None:
            raise UsageError(
                f"{self} says neither which tag nor which digest",
                hint=f"write {self}:TAG or {self}@sha256:…; hps does not assume `latest`",
            )
        return self.tag

    @property
    def name(self) -> str:
        """HOST/NAME: the repository as people write it."""
        return f"{self.host}/{self.repository}"

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine (RFC 6761, section 6.3; RFC 1122, 3.2.1.3)."""
        return is_loopback(_host_name(self.host))

    def at(self, wanted: Digest | str) -> Self:
        """The same repository, another tag or digest."""
        if isinstance(wanted, Digest):
            return replace(self, tag=None, digest=wanted)
        return replace(self, tag=wanted, digest=None)

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        return f"{self.name}{tag}" + ("" if self.digest is None else f"@{self.digest}")


def is_tag(text: str) -> bool:
    """Whether a registry may be asked for this tag."""
    return _TAG.fullmatch(text) is not None


def is_loopback(host: str) -> bool:
    """Whether a host without port, brackets or not, is this machine by its name alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _names_host(text: str) -> bool:
    """As Docker tells hosts from names: a dot, a port, or localhost."""
    found = _HOST.fullmatch(text)
    if not found or (found["port"] and not 0 < int(found["port"]) <= _LARGEST_PORT):
        return False
    if found["name"].startswith("["):
        try:
            ipaddress.IPv6Address(found["name"].strip("[]"))
        except ValueError:
            return False
        return True
    return bool(found["port"]) or "." in text or text == "localhost"


def _host_name(host: str) -> str:
    found = _HOST.fullmatch(host)
    return found["name"] if found else host


def _wrong(text: str, hint: str) -> UsageError:
    return UsageError(
        f"{printable(text, 300)!r} names nothing in a registry",
        expected="HOST[:PORT]/NAME[:TAG][@sha256:…]",
        hint=hint,
    )
