"""Where the images of a repository may be asked for: addresses as people and machines write them.

Terms follow the OCI distribution specification 1.1. The root of its API is https://HOST/v2/;
proxies of several registries put it elsewhere, so it is kept whole.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from hps.errors import FetchError
from hps.store import url as address
from hps.store.foreign_text import printable

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)(:[0-9]{1,5})?")
_SCHEME = re.compile(r"(https?)://", re.IGNORECASE)
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
_LONGEST = 2048  # characters of an address


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryAddress:
    """One place where a repository may be asked for.

    Args:
        root: of the API, without a slash at its end: https://HOST/v2.
        repository: what the repository is called there.
        plain_http: None: TLS, but on this machine, and where `insecure` says so, plain HTTP with
            a server that does not speak TLS. True, False: plain HTTP always, never.
        insecure: whoever runs this machine says that the server may do without TLS.
        tags: whether it is asked what a tag names.
        digests: whether it is asked for what a digest names.
        authorities: files of certificates (PEM) that are trusted there beside the usual ones.
        headers: sent with each request.
        namespace: host of the registry that it stands in for, where a proxy wants to be told.
        said_by: who says so, for people.
    """

    root: str
    repository: str
    plain_http: bool | None = None
    insecure: bool = False
    tags: bool = True
    digests: bool = True
    authorities: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    namespace: str = ""
    said_by: str = ""

    @property
    def host(self) -> str:
        """Host and port."""
        return address.split(self.root).netloc

    @property
    def name(self) -> str:
        """HOST/NAME, as people write it and as credentials are looked up."""
        return f"{self.host}/{self.repository}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What an address says by itself: no repository yet.

    Args:
        host: with its port.
        path: between the host and the repository's name, as in `HOST/PATH/NAME`; no slashes
            around it.
        scheme: `https`, `http`, or empty where nobody said.
        api: path of the API's root, with a slash before it and none behind.
    """

    host: str
    path: str = ""
    scheme: str = ""
    api: str = "/v2"

    def at(self, repository: str, said_by: str = "") -> RegistryAddress:
        """Where a repository is at this endpoint."""
        return RegistryAddress(
            root=f"{self.scheme or 'https'}://{self.host}{self.api}",
            repository=joined(self.path, repository),
            plain_http={"https": False, "http": True}.get(self.scheme),
            said_by=said_by,
        )


def parse_endpoint(text: str) -> Endpoint:
    """Read `https://HOST[:PORT][/PATH]`, or the same without a scheme.

    A path that is /v2 or begins with it is the root of the API; any other is a part of names.

    Raises:
        ValueError: it is something else, or holds credentials.
    """
    scheme, host, path = _split(text)
    if path == "/v2" or path.startswith("/v2/"):
        return Endpoint(host, "", scheme, path)
    return Endpoint(host, path.strip("/"), scheme)


def parse_root(text: str, *, overridden: bool = False) -> Endpoint:
    """Read an address whose path leads to the root of the API, as containerd and Docker have it.

    Args:
        text: with a scheme or without.
        overridden: the path is the root; otherwise /v2 is added where it is missing.

    Raises:
        ValueError: see `parse_endpoint`.
    """
    scheme, host, path = _split(text)
    if not overridden and not path.endswith("/v2"):
        path += "/v2"
    return Endpoint(host, "", scheme, path)


def is_host(text: str) -> bool:
    """Whether this is a host, maybe with a port."""
    found = _HOST.fullmatch(text)
    return found is not None and (found[3] is None or 0 < int(found[3][1:]) < 1 << 16)


def joined(*parts: str) -> str:
    """Parts of a repository's name, empty ones left out."""
    return "/".join(each for each in parts if each)


def distinct(addresses: Iterable[RegistryAddress]) -> tuple[RegistryAddress, ...]:
    """Each place once, where it first stands; two sources may name one mirror."""
    found: dict[tuple[str, str, bool, bool], RegistryAddress] = {}
    for each in addresses:
        found.setdefault((each.root, each.repository, each.tags, each.digests), each)
    return tuple(found.values())


def _split(text: str) -> tuple[str, str, str]:
    if len(text) > _LONGEST:
        raise ValueError("an address is not that long")
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found else ""
    rest = text[found.end() :] if found else text
    if "://" in rest:
        raise ValueError(f"{address.redact(text)!r} is not an http or https address")
    host, slash, path = rest.partition("/")
    if "@" in host:
        # The text itself is not shown: it holds a password.
        raise ValueError("credentials do not belong into an address; log in (`docker login HOST`)")
    if not is_host(host):
        raise ValueError(f"{printable(host, 100)!r} is no host")
    if not _PATH.fullmatch(slash + path) or {"..", "."} & set(path.split("/")):
        raise ValueError(f"the path of {printable(text, 100)!r} cannot be that of a registry")
    try:
        address.split(f"https://{host}")
    except FetchError as error:
        raise ValueError(f"{printable(host, 100)!r} is no host") from error
    return scheme, host, (slash + path).rstrip("/")
