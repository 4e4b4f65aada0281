"""Fetches the files that requests name by URL, without being led where it should not go.

A name is resolved once per connection and only checked addresses are connected to, so that a
second answer of the name server changes nothing. Redirects are followed here, one by one, each
checked like the first URL. The reason that a caller reads tells an unreachable inside host from
one that does not exist by nothing.
"""

import asyncio
import socket
import time
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from hps_server.addresses import is_allowed
from hps_server.limits import Limits
from hps_server.refused import Refused

if TYPE_CHECKING:
    import aiohttp
    import yarl

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PIECE = 1 << 18
_GRACE_SECONDS = 5.0  # the rate of a sender is judged after this time
_LONGEST = 8192  # characters of a URL; a presigned one has some 500
_FIRST_FREE_PORT = 1024
_PREFIX = "The URL cannot be fetched"
_NOWHERE = "its host cannot be reached or is not allowed"


def is_url(text: str) -> bool:
    """Whether PaddleX would take this string for a URL; everything else is a file's content."""
    return text.startswith(("http://", "https://"))


class Fetcher:
    """Fetches files over HTTP within limits; for one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._gate = asyncio.Semaphore(limits.fetch_parallel)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Let go of the sockets; a later fetch opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def fetch(self, url: str) -> bytes:
        """The content at a URL.

        Raises:
            Refused: the URL is not allowed, or nothing usable came in time.
        """
        target = self.check(url)
        async with self._gate:
            try:
                return await asyncio.wait_for(
                    self._follow(target), self._limits.fetch_total_seconds
                )
            except asyncio.TimeoutError:  # noqa: UP041 - a class of its own on Python 3.10
                raise _refusal("it took too long") from None

    def check(self, url: str) -> "yarl.URL":
        """Read a URL and refuse it where no look at the network is needed for that.

        Raises:
            Refused: scheme, host, port or form are not allowed.
        """
        import yarl  # noqa: PLC0415 - 50 ms that requests without URLs do not pay

        if len(url) > _LONGEST or any(ord(sign) < 0x20 or sign in "\x7f\\" for sign in url):  # noqa: PLR2004 - control characters
            raise _refusal("it is malformed")
        try:
            # A URL that is ASCII may be signed: it is sent as it was written.
            target = yarl.URL(url, encoded=url.isascii() and " " not in url)
            host, port = (target.raw_host or "").rstrip(".").lower(), target.port
        except ValueError:
            raise _refusal("it is malformed") from None
        if target.scheme not in self._limits.fetch_schemes:
            raise _refusal("its scheme is not allowed")
        if target.raw_user is not None or target.raw_password is not None:
            raise _refusal("it holds credentials")
        if not host or not port:
            raise _refusal("it is malformed")
        if port < _FIRST_FREE_PORT and port not in (80, 443):
            raise _refusal("its port is not allowed")
        self._check_host(host)
        return target

    async def check_address(self, url: str, what: str) -> None:
        """Refuse a URL that others will ask, when it leads inside now.

        Raises:
            Refused: the message begins with `what`.
        """
        try:
            target = self.check(url)
            if not self._limits.fetch_proxy:
                resolver = _resolver(private=self._limits.fetch_allow_private)
                host = target.raw_host or ""
                await asyncio.wait_for(
                    resolver.resolve(host, target.port or 0, socket.AF_UNSPEC),
                    self._limits.fetch_total_seconds,
                )
        except (OSError, asyncio.TimeoutError):  # noqa: UP041 - see fetch()
            raise Refused(f"{what}: {_NOWHERE}") from None
        except Refused as refused:
            raise Refused(str(refused).replace(_PREFIX, what)) from None

    def _check_host(self, host: str) -> None:
        limits = self._limits
        denied = any(fnmatchcase(host, pattern) for pattern in limits.fetch_deny_hosts)
        listed = any(fnmatchcase(host, pattern) for pattern in limits.fetch_allow_hosts)
        if denied or (limits.fetch_allow_hosts and not listed):
            raise _refusal(_NOWHERE)
        # The connector does not resolve what it takes for an address, so that is judged here.
        if _is_address(host) and not is_allowed(host, private=limits.fetch_allow_private):
            raise _refusal(_NOWHERE)

    async def _follow(self, target: "yarl.URL") -> bytes:
        import aiohttp  # noqa: PLC0415 - a tenth of a second, and only images have it

        for _ in range(self._limits.fetch_max_redirects + 1):
            try:
                found = await self._ask(self._opened(), target)
            except (aiohttp.ClientConnectorError, aiohttp.ClientConnectorDNSError):
                raise _refusal(_NOWHERE) from None
            except aiohttp.ServerTimeoutError:
                raise _refusal("it took too long") from None
            except (aiohttp.ClientError, OSError, ValueError):
                raise _refusal("its host answered no complete HTTP") from None
            if isinstance(found, bytes):
                return found
            target = self.check(str(found))
        raise _refusal("it redirects too often")

    def _opened(self) -> "aiohttp.ClientSession":
        import aiohttp  # noqa: PLC0415 - see _follow()

        if self._session is None:
            limits = self._limits
            private = limits.fetch_allow_private
            # A connection serves one request: the next one's address is checked again.
            connector = aiohttp.TCPConnector(
                resolver=None if limits.fetch_proxy else _resolver(private=private),
                use_dns_cache=False,
                force_close=True,
                limit=limits.fetch_parallel,
            )
            timeout = aiohttp.ClientTimeout(
                total=None,  # fetch() holds the deadline, over all redirects
                sock_connect=limits.fetch_connect_seconds,
                sock_read=max(_GRACE_SECONDS, limits.fetch_connect_seconds),
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity", "User-Agent": "hps-server"},
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    async def _ask(
        self, session: "aiohttp.ClientSession", target: "yarl.URL"
    ) -> "bytes | yarl.URL":
        """The body, or where the answer leads."""
        import yarl  # noqa: PLC0415 - see check()

        async with session.get(
            target, allow_redirects=False, proxy=self._limits.fetch_proxy or None
        ) as response:
            if response.status in _REDIRECTS:
                location = response.headers.get("Location", "")
                return target.join(yarl.URL(location, encoded=location.isascii()))
            if response.status != 200:  # noqa: PLR2004 - OK
                raise _refusal(f"its host answered with status {response.status}")
            if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
                raise _refusal("its host answered compressed, unasked")
            if (response.content_length or 0) > self._limits.max_file_bytes:
                raise self._too_large()
            return await self._read(response)

    async def _read(self, response: "aiohttp.ClientResponse") -> bytes:
        content = bytearray()
        started = time.monotonic()
        async for piece in response.content.iter_chunked(_PIECE):
            content += piece
            if len(content) > self._limits.max_file_bytes:
                raise self._too_large()
            passed = time.monotonic() - started
            if (
                passed > _GRACE_SECONDS
                and len(content) < passed * self._limits.fetch_min_bytes_per_second
            ):
                raise _refusal("its host sends too slowly")
        return bytes(content)

    def _too_large(self) -> Refused:
        return _refusal(f"it is larger than {self._limits.max_file_bytes} bytes")


def _refusal(reason: str) -> Refused:
    return Refused(f"{_PREFIX}: {reason}")


def _is_address(host: str) -> bool:
    """Whether some reader takes a host for an address: 127.1 and 0x7f000001 are 127.0.0.1 to some.

    It is the rule of the URL Standard, 3.5 (ends in a number).
    """
    last = host.rsplit(".", 1)[-1]
    return ":" in host or last.isdigit() or last.startswith("0x")


def _resolver(*, private: bool) -> "aiohttp.abc.AbstractResolver":
    import aiohttp  # noqa: PLC0415 - see _follow()

    class CheckedResolver(aiohttp.ThreadedResolver):
        """Hands the connector only addresses that may be connected to."""

        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> "list[aiohttp.abc.ResolveResult]":
            found = await super().resolve(host, port, family)
            allowed = [item for item in found if is_allowed(item["host"], private=private)]
            if not allowed:
                raise OSError("no address of this host is allowed")
            return allowed

    return CheckedResolver()
