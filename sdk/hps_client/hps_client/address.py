"""Where a server is: `host`, `host:port`, `http://…`, `https://…`, `grpc://…`, `grpcs://…`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from hps_client.errors import InvalidInput

HTTP_PORT = 8000  # Triton's own defaults
GRPC_PORT = 8001
_PORTS = {"http": 80, "https": 443, "grpc": GRPC_PORT, "grpcs": GRPC_PORT}


@dataclass(frozen=True)
class Address:
    """One server, reached in one way."""

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @property
    def grpc(self) -> bool:
        """Whether it speaks gRPC."""
        return self.scheme.startswith("grpc")

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in ("https", "grpcs")

    @property
    def authority(self) -> str:
        """Host and port as a URL writes them, with brackets round IPv6."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def over_http(self) -> Address:
        """The same host at Triton's HTTP port, for machines without gRPC."""
        return replace(self, scheme="https" if self.tls else "http", port=HTTP_PORT)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.prefix}"


def parse(text: str) -> Address:
    """Read an address.

    Without a scheme, port 8001 means gRPC (the old clients' `localhost:8001`) and everything
    else HTTP; without a port either, it is Triton's 8000.

    Raises:
        InvalidInput: no host, a strange scheme or port, or parts that would be ignored.
    """
    bare = "://" not in text
    try:
        parts = urlsplit(f"//{text}" if bare else text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _refused(text, str(error)) from error
    if not host or any(sign.isspace() or ord(sign) < ord("!") for sign in text):
        raise _refused(text, "it names no host")
    if parts.query or parts.fragment or parts.username is not None:
        raise _refused(text, "user names, queries and fragments mean nothing here; use headers=")
    if bare:
        port = HTTP_PORT if port is None else port
        return Address("grpc" if port == GRPC_PORT else "http", host, port, _prefix(parts.path))
    if parts.scheme not in _PORTS:
        raise _refused(text, f"the scheme is none of {', '.join(_PORTS)}")
    prefix = _prefix(parts.path)
    if prefix and parts.scheme.startswith("grpc"):
        raise _refused(text, "gRPC has no path")
    return Address(parts.scheme, host, _PORTS[parts.scheme] if port is None else port, prefix)


def _prefix(path: str) -> str:
    return path.rstrip("/")


def _refused(text: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"{text!r} is no address of a server: {why}",
        "write host:8000, http://host:8000, https://host/prefix or grpc://host:8001",
    )
