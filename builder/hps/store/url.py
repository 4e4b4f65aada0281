"""Addresses as text: hide credentials, follow redirects, join; no request is made here.

Terms follow RFC 3986 (section 3.2.1, userinfo) and RFC 6454 (origin).
"""

import re
from pathlib import Path
from urllib.parse import SplitResult, quote, urljoin, urlsplit, urlunsplit

from hps.errors import FetchError

_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two letters or more: `c:` is no scheme


def redact(url: str) -> str:
    """The address for people: user, password and query (signed addresses) are left out."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    host = parts.netloc.rpartition("@")[2]
    netloc = f"***@{host}" if "@" in parts.netloc else host
    return urlunsplit(
        parts._replace(netloc=netloc, query="***" if parts.query else "", fragment="")
    )


def split(url: str) -> SplitResult:
    """Take an address apart.

    Raises:
        FetchError: it is not http, https or file, or names no host.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError for a port that is no number
    except ValueError as error:
        raise _unusable(url) from error
    known = parts.scheme == "file" or (parts.scheme in _PORTS and parts.hostname)
    if not known:
        raise _unusable(url)
    return parts


def _unusable(url: str) -> FetchError:
    return FetchError(
        f"cannot fetch from {redact(url)!r}",
        expected="an address that starts with https://, http:// or file://",
        hint="correct the address in hps.toml, the environment or the configuration it came from",
    )


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what has to be equal before credentials are shown again."""
    parts = split(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


def with_credentials_of(base: str, url: str) -> str:
    """Give `url` the userinfo of `base` when both have one origin, and none otherwise.

    A server may not choose the credentials that are sent, so what it wrote itself is dropped.
    """
    parts = split(url)
    host = parts.netloc.rpartition("@")[2]
    userinfo = urlsplit(base).netloc.rpartition("@")[0]
    if userinfo and origin(base) == origin(url):
        host = f"{userinfo}@{host}"
    return urlunsplit(parts._replace(netloc=host))


def with_userinfo(url: str, user: str, password: str) -> str:
    """The address with these credentials in place of what it has (RFC 3986, section 3.2.1)."""
    parts = split(url)
    host = parts.netloc.rpartition("@")[2]
    userinfo = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{userinfo}@{host}"))


def redirected(url: str, location: str) -> str:
    """Where a redirect leads (RFC 9110, section 10.2.2).

    Raises:
        FetchError: it steps down from https, or leaves HTTP (a server must not make hps read
            a file of this machine).
    """
    try:
        target = urljoin(url, location)
    except ValueError as error:
        raise _unusable(location) from error
    scheme = split(target).scheme
    if scheme == "file" or (scheme == "http" and split(url).scheme == "https"):
        raise FetchError(
            f"refused a redirect from {redact(url)} to {redact(target)}",
            expected="https stays https",
            got=scheme,
            hint="use another mirror, or name the final address if you trust it",
        )
    return with_credentials_of(url, target)


def from_text(text: str, folder: Path | None = None) -> str:
    """An address as people write it: a URL, or a local path (relative to `folder`)."""
    if _SCHEME.match(text):
        split(text)
        return text
    return ((folder or Path.cwd()) / Path(text).expanduser()).resolve().as_uri()


def join(base: str, *segments: str) -> str:
    """Append path segments; every character that is not plain is encoded, as apt and pip do."""
    parts = split(base)
    path = parts.path.rstrip("/") + "".join(f"/{quote(each, safe='/')}" for each in segments)
    return urlunsplit(parts._replace(path=path, fragment=""))
