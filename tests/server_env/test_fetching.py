"""Fetching by URL against real servers on this machine, most of them hostile."""

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from hps_server.fetching import Fetcher, is_url
from hps_server.limits import Limits
from hps_server.refused import Refused

DAY = dt.timedelta(days=1)
LIMITS = Limits(fetch_allow_private=True, max_file_bytes=1000)


class Server:
    """Answers each connection with prepared bytes and keeps what was asked."""

    def __init__(
        self,
        *answers: bytes,
        address: str = "127.0.0.1",
        port: int = 0,
        tls: "ssl.SSLContext | None" = None,
    ) -> None:
        self.asked: list[bytes] = []
        self._tls = tls
        self._answers = answers
        self._listener = socket.create_server((address, port))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{address}:{self.port}/file"
        self._thread = threading.Thread(target=self._serve)
        self._done = threading.Event()

    def _serve(self) -> None:
        for answer in self._answers:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.ExitStack() as stack, contextlib.suppress(OSError):
                if self._tls is not None:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                    stack.enter_context(connection)
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = connection.recv(4096)
                    if not piece:
                        break
                    head += piece
                self.asked.append(head)
                connection.sendall(answer)
                if answer.endswith(b"..."):
                    self._done.wait(30)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = "".join(f"{line}\r\n" for line in headers)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def to(place: str) -> bytes:
    return answer(b"", f"Location: {place}", "Content-Length: 0", status="302 Found")


@contextlib.asynccontextmanager
async def closing(fetcher: Fetcher) -> "AsyncIterator[Fetcher]":
    try:
        yield fetcher
    finally:
        await fetcher.close()


def fetch(url: str, limits: Limits = LIMITS) -> bytes:
    async def run() -> bytes:
        async with closing(Fetcher(limits)) as fetcher:
            return await fetcher.fetch(url)

    return asyncio.run(run())


def reason(url: str, limits: Limits = LIMITS) -> str:
    with pytest.raises(Refused) as caught:
        fetch(url, limits)
    assert caught.value.code == 422
    prefix = "The URL cannot be fetched: "
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


def test_a_file_comes_as_it_is_and_the_url_is_sent_as_it_was_written() -> None:
    with Server(answer(b"\x00content", "Content-Length: 8")) as server:
        assert fetch(f"{server.url}?X-Signature=a%2Fb%3D&n=%7e") == b"\x00content"
    assert server.asked[0].startswith(b"GET /file?X-Signature=a%2Fb%3D&n=%7e HTTP/1.1\r\n")
    assert b"Accept-Encoding: identity" in server.asked[0]


def test_a_url_that_was_not_encoded_is_encoded() -> None:
    with Server(answer(b"x", "Content-Length: 1")) as server:
        assert fetch(f"http://127.0.0.1:{server.port}/a b/é.png") == b"x"
    assert server.asked[0].startswith(b"GET /a%20b/%C3%A9.png ")


@pytest.mark.parametrize(
    "body",
    [answer(b"3\r\nabc\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), answer(b"abc")],
    ids=["chunked", "until close"],
)
def test_bodies_without_a_length(body: bytes) -> None:
    with Server(body) as server:
        assert fetch(server.url) == b"abc"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (answer(b"", "Content-Length: 1001"), "it is larger than 1000 bytes"),
        (answer(b"x" * 1001), "it is larger than 1000 bytes"),
        (
            answer(b"5dc\r\n" + b"x" * 1500 + b"\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
            "it is larger than 1000 bytes",
        ),
        (answer(b"abc", "Content-Length: 10"), "its host answered no complete HTTP"),
        (answer(b"5\r\nab", "Transfer-Encoding: chunked"), "its host answered no complete HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "its host answered no complete HTTP"),
        (b"", "its host answered no complete HTTP"),
        (answer(b"", "A: " + "x" * 100_000), "its host answered no complete HTTP"),
        (answer(b"x", "Content-Encoding: gzip"), "its host answered compressed, unasked"),
        (answer(b"", "Content-Length: 0", status="404 No"), "its host answered with status 404"),
        (answer(b"", "Content-Length: 0", status="206 P"), "its host answered with status 206"),
        (to("http://[::1"), "its host answered no complete HTTP"),
        (to("file:///etc/passwd"), "its scheme is not allowed"),
        (to("ftp://127.0.0.1/"), "its scheme is not allowed"),
        (to("http://u:p@127.0.0.1/"), "it holds credentials"),
        (to("http://127.0.0.1:22/"), "its port is not allowed"),
        (to("http://169.254.169.254/latest"), "its host cannot be reached or is not allowed"),
        (to("http://[fe80::1]/"), "its host cannot be reached or is not allowed"),
    ],
)
def test_answers_that_are_refused(told: bytes, said: str) -> None:
    # aiohttp asks a second time when a connection closes without a word.
    with Server(told, told) as server:
        assert reason(server.url) == said


def test_nothing_is_read_beyond_the_length_that_was_told() -> None:
    with Server(*[answer(b"abcdef", "Content-Length: 3")] * 2) as server:
        try:
            found = fetch(server.url)
        except Refused:  # when the rest came in the same packet
            return
    assert found == b"abc"


def test_redirects_are_followed_up_to_the_limit() -> None:
    with Server(to("/other"), answer(b"x", "Content-Length: 1")) as server:
        assert fetch(server.url) == b"x"
    assert server.asked[1].startswith(b"GET /other ")
    with Server(*[to("/again")] * 3) as server:
        limits = replace(LIMITS, fetch_max_redirects=2)
        assert reason(server.url, limits) == "it redirects too often"
    assert len(server.asked) == 3


def test_a_redirect_leads_inside() -> None:
    """The first host is allowed by name, the second is inside."""
    with Server(b"secret") as inside, Server(to(inside.url)) as outside:
        limits = replace(LIMITS, fetch_deny_hosts=("127.0.0.1",))
        url = f"http://localhost:{outside.port}/"
        assert reason(url, limits) == "its host cannot be reached or is not allowed"
        assert len(outside.asked) == 1
    assert inside.asked == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:7f00:1]", "0"],
)
def test_inside_hosts_are_not_asked_and_not_told_apart(host: str) -> None:
    with Server(b"secret") as server:
        said = reason(f"http://{host}:{server.port}/", Limits())
        assert said == reason("http://no-such-host.invalid/", Limits())
        assert said == reason("http://10.255.255.1:9000/", Limits())
    assert server.asked == []


def test_a_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second answer of a name server that rebinds is never asked for."""
    real, told = socket.getaddrinfo, []

    def rebinding(host: Any, *rest: Any, **more: Any) -> Any:
        if host != "rebinding.example.org":
            return real(host, *rest, **more)
        told.append(host)
        return real("127.0.0.2" if len(told) == 1 else "127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    checked = Server(answer(b"x", "Content-Length: 1"), address="127.0.0.2")
    with checked, Server(b"secret", port=checked.port) as inside:
        assert fetch(f"http://rebinding.example.org:{checked.port}/") == b"x"
    assert inside.asked == []
    assert len(told) == 1


def test_only_the_allowed_of_several_addresses_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def both(host: Any, *rest: Any, **more: Any) -> Any:
        if host != "both.example.org":
            return real(host, *rest, **more)
        return real("0.0.0.0", *rest, **more) + real("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with Server(answer(b"x", "Content-Length: 1")) as server:
        assert fetch(f"http://both.example.org:{server.port}/") == b"x"
    assert reason(f"http://both.example.org:{server.port}/", Limits()).startswith("its host")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://", "it is malformed"),
        ("http:///path", "it is malformed"),
        ("http://[::1", "it is malformed"),
        ("http://example.org:99999/", "it is malformed"),
        ("http://example.org\\@127.0.0.1/", "it is malformed"),
        ("http://example.org/\r\nHost: x", "it is malformed"),
        ("http://example.org/" + "a" * 9000, "it is malformed"),
        ("http://user@example.org/", "it holds credentials"),
        ("http://:word@example.org/", "it holds credentials"),
        ("http://example.org:25/", "its port is not allowed"),
        ("file:///etc/passwd", "its scheme is not allowed"),
    ],
)
def test_urls_that_are_refused_without_a_look(url: str, said: str) -> None:
    assert reason(url) == said


def test_hosts_by_pattern_and_schemes() -> None:
    limits = Limits(fetch_allow_hosts=("*.example.org",), fetch_deny_hosts=("b.*",))
    fetcher = Fetcher(limits)
    fetcher.check("https://a.example.org/")
    fetcher.check("https://A.EXAMPLE.ORG./")
    for url in ("https://example.org/", "https://b.example.org/", "https://a.example.org.evil/"):
        with pytest.raises(Refused, match="not allowed"):
            fetcher.check(url)
    with pytest.raises(Refused, match="scheme"):
        Fetcher(Limits(fetch_schemes=("https",))).check("http://example.org/")


def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(b"") as proxy, Server(answer(b"x", "Content-Length: 1")) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert fetch(server.url) == b"x"
    assert proxy.asked == []


def test_a_configured_proxy_resolves_the_name() -> None:
    with Server(answer(b"x", "Content-Length: 1")) as proxy:
        limits = Limits(fetch_proxy=f"http://127.0.0.1:{proxy.port}")
        assert fetch("http://no-such-host.invalid/file", limits) == b"x"
        assert "not allowed" in reason("http://127.0.0.1/", limits)
    assert proxy.asked[0].startswith(b"GET http://no-such-host.invalid/file ")


@pytest.mark.parametrize(
    "told", [answer(b"abc..."), b"HTTP/1.1 200 OK\r\nA: ...", answer(b"...", "Content-Length: 99")]
)
def test_a_host_that_falls_silent_is_given_up(told: bytes) -> None:
    with Server(told) as server:
        assert reason(server.url, replace(LIMITS, fetch_total_seconds=0.3)) == "it took too long"


def test_a_certificate_of_nobody_is_refused(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        signed.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    with Server(answer(b"secret"), tls=tls) as server:
        said = reason(f"https://localhost:{server.port}/")
    assert said == "its host cannot be reached or is not allowed"
    assert server.asked == []


def test_no_more_at_once_than_allowed() -> None:
    limits = replace(LIMITS, fetch_parallel=1)

    async def run(url: str) -> "list[bytes]":
        async with closing(Fetcher(limits)) as fetcher:
            return list(await asyncio.gather(*(fetcher.fetch(url) for _ in range(3))))

    # The server takes one connection at a time: with two it would wait for ever.
    with Server(*[answer(b"x", "Content-Length: 1")] * 3) as server:
        assert asyncio.run(run(server.url)) == [b"x"] * 3


@given(st.text(max_size=40).map(lambda text: f"http://{text}"))
def test_a_check_refuses_or_agrees_but_never_fails(url: str) -> None:
    assert is_url(url)
    try:
        target = Fetcher(Limits()).check(url)
    except Refused:
        return
    assert target.host


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() <= before
