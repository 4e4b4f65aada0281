"""Http against a real server that misbehaves; deadlines and pauses are far below a second."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.errors import FetchError, IntegrityError, NotFoundError
from hps.store.cancellation import Cancellation, Cancelled
from hps.store.http import Http
from hps.store.network import Network
from hps.store.retry import Deadlines
from tests import servers
from tests.servers import Certificate, HostileServer
from tests.store.fetch_lab import HASTY, PATIENT

BODY = bytes(range(256)) * 12_000  # three pieces of 1 MiB


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(PATIENT) as client:
        yield client


@pytest.fixture
def hasty() -> Iterator[Http]:
    with Http(HASTY) as client:
        yield client


class Taken:
    """A sink that can forget."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.restarts = 0

    def __call__(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def restart(self) -> None:
        self.restarts += 1
        self.pieces.clear()

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


def stream(
    http: Http,
    url: str,
    *,
    limit: int = len(BODY),
    exact: bool = False,
    taken: Taken | None = None,
    cancellation: Cancellation | None = None,
) -> Taken:
    taken = taken or Taken()
    length = http.stream(
        url,
        taken,
        limit=limit,
        exact=exact,
        restart=taken.restart,
        cancellation=cancellation,
    )
    assert length == len(taken.data)
    return taken


def test_a_body_comes_in_pieces_of_one_mebibyte_as_identity(
    server: HostileServer, http: Http
) -> None:
    server.script("/a", servers.fine(BODY))
    taken = stream(http, server.url + "/a", exact=True)
    assert taken.data == BODY
    assert [len(each) for each in taken.pieces] == [1 << 20, 1 << 20, len(BODY) - (2 << 20)]
    assert server.seen[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "bad",
    [
        servers.status(500),
        servers.status(503, {"Retry-After": "0"}),
        servers.status(503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
        servers.status(429, {"Retry-After": "86400"}),
        servers.status(408),
        servers.reset(),
        servers.reset(BODY[:1000], announced=len(BODY)),
        servers.hang_up(),
        servers.truncate(BODY, 1_500_000),
        servers.chunked(BODY[:5000], whole=False),
        servers.garbage(),
    ],
    ids=[
        "500", "503", "503-date", "429", "408", "reset", "reset-in-body", "hang-up", "truncated",
        "chunks-cut", "garbage",
    ],
)  # fmt: skip
def test_a_passing_fault_is_outlived(
    server: HostileServer, http: Http, bad: servers.Behaviour
) -> None:
    server.script("/a", bad, bad, servers.fine(BODY))
    assert stream(http, server.url + "/a", exact=True).data == BODY
    assert server.count("/a") == 3


SILENT = {
    "silence": (servers.silence(), "no answer within 0.2 s"),
    "stall": (
        servers.stall(BODY[:70_000], announced=len(BODY)),
        "the server stalled: no byte within 0.2 s",
    ),
    "dripping-head": (servers.dripping_head(0.05), "no complete answer head within 0.4 s"),
}


@pytest.mark.parametrize("name", SILENT)
def test_a_passing_silence_is_outlived(server: HostileServer, hasty: Http, name: str) -> None:
    server.script("/a", SILENT[name][0], servers.fine(BODY))
    assert stream(hasty, server.url + "/a", exact=True).data == BODY


@pytest.mark.parametrize("name", SILENT)
def test_a_lasting_silence_is_told(server: HostileServer, hasty: Http, name: str) -> None:
    bad, said = SILENT[name]
    server.script("/a", bad)
    with pytest.raises(FetchError) as caught:
        stream(hasty, server.url + "/a")
    assert said in caught.value.message
    assert server.count("/a") == 4


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (servers.status(500), "the server answered 500 Internal Server Error"),
        (servers.status(429), "429 Too Many Requests"),
        (servers.reset(), "Connection reset by peer"),
        (servers.hang_up(), "the server closed the connection"),
        (servers.truncate(BODY, 1_500_000), "the answer was truncated"),
        (servers.chunked(BODY, 100_000, whole=False), "the answer was truncated"),
    ],
    ids=["500", "429", "reset", "hang-up", "truncated", "chunks"],
)
def test_a_lasting_fault_is_told_after_four_attempts(
    server: HostileServer, http: Http, bad: servers.Behaviour, said: str
) -> None:
    server.script("/a", bad)
    with pytest.raises(FetchError) as caught:
        stream(http, server.url + "/a")
    assert caught.value.reference == "fetch-failed"
    assert server.url + "/a" in caught.value.message
    assert said in caught.value.message
    assert caught.value.got == "4 failed attempts"
    assert len(caught.value.details) == 4
    assert "mirror" in (caught.value.hint or "")
    assert server.count("/a") == 4


@pytest.mark.parametrize("code", [404, 410])
def test_what_does_not_exist_is_asked_for_once(
    server: HostileServer, http: Http, code: int
) -> None:
    server.script("/a", servers.status(code))
    with pytest.raises(NotFoundError, match="does not exist") as caught:
        stream(http, server.url + "/a")
    assert caught.value.reference == "artifact-not-found"
    assert server.count("/a") == 1


@pytest.mark.parametrize(
    ("code", "hint"),
    [(401, "netrc"), (403, "netrc"), (407, "PROXY"), (400, "address"), (304, "address")],
)
def test_a_refusal_is_not_repeated(server: HostileServer, http: Http, code: int, hint: str) -> None:
    server.script("/a", servers.status(code))
    with pytest.raises(FetchError, match=str(code)) as caught:
        stream(http, server.url + "/a")
    assert hint in (caught.value.hint or "")
    assert server.count("/a") == 1


def test_a_server_that_dribbles_is_given_up_at_once(server: HostileServer, hasty: Http) -> None:
    server.script("/a", servers.dribble(BODY, 100, 0.01))
    with pytest.raises(FetchError, match="slower than 100000 bytes per second"):
        stream(hasty, server.url + "/a")
    assert server.count("/a") == 1


def test_a_slow_start_is_not_a_slow_server(server: HostileServer) -> None:
    server.script("/a", servers.dribble(BODY[:3000], 1000, 0.02))
    with Http(Deadlines(minimum_rate=1000, rate_window=0.01)) as patient:
        assert stream(patient, server.url + "/a").data == BODY[:3000]


@pytest.mark.parametrize(
    "bad",
    [
        servers.fine(BODY + b"x"),
        servers.chunked(BODY + b"x", 100_000),
        servers.without_length(BODY + b"x"),
        servers.endless(),
    ],
    ids=["announced", "chunked", "without-length", "endless"],
)
def test_more_than_the_limit_is_cut_off_and_never_retried(
    server: HostileServer, http: Http, bad: servers.Behaviour
) -> None:
    server.script("/a", bad)
    taken = Taken()
    with pytest.raises(IntegrityError) as caught:
        stream(http, server.url + "/a", taken=taken)
    assert caught.value.expected == f"at most {len(BODY)} bytes"
    assert len(taken.data) <= len(BODY)
    assert server.count("/a") == 1


def test_another_announced_size_is_refused_before_a_byte_is_read(
    server: HostileServer, http: Http
) -> None:
    server.script("/a", servers.fine(BODY[:-1]))
    taken = Taken()
    with pytest.raises(IntegrityError) as caught:
        stream(http, server.url + "/a", exact=True, taken=taken)
    assert caught.value.got == f"{len(BODY) - 1} bytes announced"
    assert not taken.pieces
    assert server.count("/a") == 1


def test_chunks_that_end_properly_but_early_are_another_file(
    server: HostileServer, http: Http
) -> None:
    server.script("/a", servers.chunked(BODY[:-1], 100_000))
    with pytest.raises(IntegrityError, match="wrong size"):
        stream(http, server.url + "/a", exact=True)
    assert server.count("/a") == 1


def test_a_connection_that_ends_early_without_length_was_cut(
    server: HostileServer, http: Http
) -> None:
    server.script("/a", servers.without_length(BODY[:-1]), servers.without_length(BODY))
    assert stream(http, server.url + "/a", exact=True).data == BODY
    assert server.count("/a") == 2


def test_a_head_that_was_cut_off_is_no_empty_file(server: HostileServer, http: Http) -> None:
    cut = servers.garbage(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n")
    server.script("/a", cut, servers.fine(b"page"))
    assert http.get(server.url + "/a", "*/*", 100) == b"page"


def test_the_short_body_of_a_redirect_may_drip(server: HostileServer, http: Http) -> None:
    def drip(exchange: servers.Exchange) -> None:
        exchange.close_connection = True
        exchange.head(302, {"Location": "/b", "Content-Length": "8000"})
        for _ in range(8000):
            exchange.body(b"x")
            if exchange.hostile.stopping.wait(0.05):
                return

    server.script("/a", drip)
    server.script("/b", servers.fine(b"there"))
    assert http.get(server.url + "/a", "*/*", 100) == b"there"


def test_bytes_beyond_the_announced_length_are_not_taken(server: HostileServer, http: Http) -> None:
    server.script("/a", servers.announce(b"abcdef", 3))
    assert stream(http, server.url + "/a").data == b"abc"
    server.script("/b", servers.fine(b"second"))
    assert stream(http, server.url + "/b").data == b"second"


def test_an_interrupted_download_is_carried_on(server: HostileServer, http: Http) -> None:
    server.script(
        "/a",
        servers.truncate(BODY, 1_500_000, etag='"v1"'),
        servers.fine(BODY, etag='"v1"'),
    )
    taken = stream(http, server.url + "/a", exact=True)
    assert taken.data == BODY
    assert taken.restarts == 0
    assert server.seen[1].headers["range"] == "bytes=1500000-"
    assert server.seen[1].headers["if-range"] == '"v1"'


def test_a_file_that_changed_meanwhile_starts_again(server: HostileServer, http: Http) -> None:
    server.script(
        "/a",
        servers.truncate(BODY, 1_500_000, etag='"v1"'),
        servers.fine(BODY[::-1], etag='"v2"'),
    )
    taken = stream(http, server.url + "/a", exact=True)
    assert taken.data == BODY[::-1]
    assert taken.restarts == 1


@pytest.mark.parametrize(
    "answer",
    [
        servers.status(206, {"Content-Range": f"bytes 5-9/{len(BODY)}"}, b"wrong"),
        servers.status(206, {"Content-Range": "nonsense"}, b"wrong"),
        servers.status(206, {}, b"wrong"),
        servers.status(416),
    ],
    ids=["other-range", "nonsense", "none", "416"],
)
def test_a_wrong_range_is_dropped_and_all_is_fetched_again(
    server: HostileServer, http: Http, answer: servers.Behaviour
) -> None:
    first = servers.truncate(BODY, 1_500_000, etag='"v1"')
    server.script("/a", first, answer, servers.fine(BODY))
    assert stream(http, server.url + "/a", exact=True).data == BODY
    assert "range" not in server.seen[2].headers


def test_a_weak_etag_is_never_carried_on(server: HostileServer, http: Http) -> None:
    server.script("/a", servers.truncate(BODY, 1_500_000, etag='W/"v1"'), servers.fine(BODY))
    assert stream(http, server.url + "/a").restarts == 1
    assert "range" not in server.seen[1].headers


def test_an_answer_of_206_that_nobody_asked_for_is_refused(
    server: HostileServer, http: Http
) -> None:
    server.script("/a", servers.status(206, {"Content-Range": "bytes 0-4/9"}, b"wrong"))
    with pytest.raises(FetchError, match="206"):
        stream(http, server.url + "/a")


def test_redirects_are_followed_ten_times(server: HostileServer, http: Http) -> None:
    for number in range(10):
        server.script(f"/{number}", servers.redirect(f"/{number + 1}"))
    server.script("/10", servers.fine(b"there"))
    assert stream(http, server.url + "/0").data == b"there"


def test_a_redirect_loop_ends(server: HostileServer, http: Http) -> None:
    server.script("/a", servers.redirect("/b"))
    server.script("/b", servers.redirect("/a"))
    with pytest.raises(FetchError, match="more than 10 redirects"):
        stream(http, server.url + "/a")
    assert len(server.seen) == 11


def test_the_body_of_a_redirect_is_not_read(server: HostileServer, http: Http) -> None:
    def endless(exchange: servers.Exchange) -> None:
        exchange.close_connection = True
        exchange.head(302, {"Location": "/b", "Connection": "close"})
        while not exchange.hostile.stopping.is_set():
            exchange.body(b"x" * 65536)

    server.script("/a", endless)
    server.script("/b", servers.fine(b"there"))
    assert stream(http, server.url + "/a").data == b"there"


@pytest.mark.parametrize("location", ["file:///etc/hostname", "ftp://127.0.0.1/x", "http://[bad"])
def test_a_redirect_out_of_http_is_refused(
    server: HostileServer, http: Http, location: str
) -> None:
    server.script("/a", servers.redirect(location))
    with pytest.raises(FetchError):
        stream(http, server.url + "/a")
    assert server.count("/a") == 1


def test_credentials_stay_with_their_host_and_out_of_messages(
    server: HostileServer, http: Http
) -> None:
    with HostileServer() as other:
        server.script("/a", servers.redirect("/b"))
        server.script("/b", servers.redirect(f"{other.url}/c"))
        with pytest.raises(NotFoundError) as caught:
            stream(http, f"http://user:secret@{server.host}/a")
        assert server.seen[0].headers["authorization"].startswith("Basic ")
        assert server.seen[1].headers["authorization"].startswith("Basic ")
        assert "authorization" not in other.seen[0].headers
    assert "secret" not in str(caught.value)
    assert "***@" in str(caught.value)


def test_a_server_cannot_choose_the_credentials(server: HostileServer, http: Http) -> None:
    server.script("/a", servers.redirect(f"http://admin:admin@{server.host}/b"))
    server.script("/b", servers.fine(b"x"))
    stream(http, server.url + "/a")
    assert "authorization" not in server.seen[1].headers


def test_netrc_is_used(
    server: HostileServer, http: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.script("/a", servers.fine(b"x"))
    stream(http, server.url + "/a")
    assert server.seen[0].headers["authorization"].startswith("Basic ")


def test_a_proxy_is_used(
    server: HostileServer, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.script("http://mirror.example.org/a", servers.fine(b"through the proxy"))
    assert stream(http, "http://mirror.example.org/a").data == b"through the proxy"


def test_a_port_where_nobody_listens(http: Http) -> None:
    with HostileServer() as gone:
        url = gone.url
    with pytest.raises(FetchError, match="Connection refused") as caught:
        stream(http, url + "/a")
    assert caught.value.got == "4 failed attempts"
    with pytest.raises(FetchError) as again:
        stream(http, url + "/b")
    assert again.value.got == "1 failed attempt"  # the host is known to be down


@pytest.mark.parametrize(
    "url", ["", "ftp://example.org/a", "http://", "https:///a", "http://h:99999/", "http://[bad"]
)
def test_what_is_no_address_is_refused(http: Http, url: str) -> None:
    with pytest.raises(FetchError, match="cannot fetch from") as caught:
        stream(http, url)
    assert "https://" in (caught.value.expected or "")


def test_an_error_of_the_sink_is_not_a_network_error(server: HostileServer, http: Http) -> None:
    server.script("/a", servers.fine(BODY))

    def full(piece: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        http.stream(server.url + "/a", full, limit=len(BODY), restart=lambda: None)
    assert server.count("/a") == 1


@pytest.mark.parametrize(
    "bad", [servers.silence(), servers.stall(b"x" * 100)], ids=["silence", "stall"]
)
def test_a_fetch_can_be_called_off_while_the_server_is_silent(
    server: HostileServer, bad: servers.Behaviour
) -> None:
    server.script("/a", bad)
    cancellation = Cancellation()
    ended: list[BaseException] = []

    def fetch(client: Http) -> None:
        try:
            stream(client, server.url + "/a", limit=1 << 20, cancellation=cancellation)
        except BaseException as error:
            ended.append(error)

    with Http(PATIENT) as client:  # would wait for half a minute
        thread = threading.Thread(target=fetch, args=(client,))
        thread.start()
        while not server.seen:
            thread.join(0.01)
        cancellation.cancel()
        thread.join(10)
        assert not thread.is_alive()
    assert isinstance(ended[0], Cancelled)


def test_a_page_tells_its_type_and_its_last_address(server: HostileServer, http: Http) -> None:
    server.script("/a", servers.redirect("/b/"))
    server.script("/b/", servers.fine(b"<html>", media_type="text/html"))
    page = http.page(server.url + "/a", "text/html", 100)
    assert (page.body, page.media_type, page.url) == (b"<html>", "text/html", server.url + "/b/")
    assert server.seen[0].headers["accept"] == "text/html"
    assert http.get(server.url + "/a", "text/html", 100) == b"<html>"


def test_connections_are_kept_alive(server: HostileServer, http: Http) -> None:
    server.script("/a", servers.fine(BODY))
    server.script("/b", servers.chunked(b"x"))
    for path in ("/a", "/b", "/a"):
        stream(http, server.url + path)
    assert server.connections == 1


# --- https ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(certificate: Certificate) -> Iterator[HostileServer]:
    with HostileServer(tls=certificate.context()) as running:
        yield running


@pytest.fixture
def no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_an_own_authority_is_trusted_when_the_environment_says_so(
    secure: HostileServer,
    certificate: Certificate,
    no_bundle: None,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setenv(name, str(certificate.path))
    secure.script("/a", servers.fine(b"secret"))
    with Http(PATIENT) as http:
        assert stream(http, secure.url + "/a").data == b"secret"


def test_what_the_administrator_trusts_is_trusted(
    secure: HostileServer,
    certificate: Certificate,
    no_bundle: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The system's folder of certificates, as OpenSSL finds it (c_rehash(1))."""
    told = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(certificate.path)]
    name = subprocess.run(told, check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / f"{name}.0").write_bytes(certificate.path.read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    secure.script("/a", servers.fine(b"secret"))
    with Http(PATIENT) as http:
        assert stream(http, secure.url + "/a").data == b"secret"
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    with Http(PATIENT) as http, pytest.raises(FetchError, match="TLS failed"):
        stream(http, secure.url + "/a")  # who names a bundle means that one alone


def test_pips_bundle_counts_where_the_environment_names_none(
    secure: HostileServer, certificate: Certificate, no_bundle: None
) -> None:
    secure.script("/a", servers.fine(b"secret"))
    with Http(PATIENT, Network(bundle=str(certificate.path))) as http:
        assert stream(http, secure.url + "/a").data == b"secret"


def test_an_unknown_authority_is_refused_at_once(
    secure: HostileServer, no_bundle: None, http: Http
) -> None:
    with pytest.raises(FetchError, match=r"TLS failed: self.signed certificate") as caught:
        stream(http, secure.url + "/a")
    assert "SSL_CERT_FILE" in (caught.value.hint or "")
    assert not secure.seen


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_bundle_that_does_not_exist_is_named(
    secure: HostileServer,
    no_bundle: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
) -> None:
    monkeypatch.setenv(name, str(tmp_path / "none.pem"))
    with Http(PATIENT) as http, pytest.raises(FetchError, match=r"none\.pem") as caught:
        stream(http, secure.url + "/a")
    assert name in (caught.value.hint or "")


def test_a_handshake_that_breaks_off_is_tried_again(server: HostileServer, http: Http) -> None:
    """A server that does not speak TLS is refused; one that hangs up may have a bad moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            for _ in range(PATIENT.attempts):
                connection, _ = listener.accept()
                connection.recv(1)
                connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(FetchError) as caught:
            stream(http, f"https://127.0.0.1:{listener.getsockname()[1]}/a")
        thread.join()
    assert caught.value.got == "4 failed attempts"
    with pytest.raises(FetchError, match="TLS failed") as plain:
        stream(http, f"https://{server.host}/a")
    assert plain.value.got is None


def test_https_never_steps_down_to_http(
    secure: HostileServer,
    server: HostileServer,
    certificate: Certificate,
    no_bundle: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    secure.script("/a", servers.redirect(server.url + "/a"))
    server.script("/a", servers.fine(b"x"))
    with Http(PATIENT) as http, pytest.raises(FetchError, match="refused a redirect") as caught:
        stream(http, secure.url + "/a")
    assert caught.value.expected == "https stays https"
    assert not server.seen


# --- file ----------------------------------------------------------------------------------


def test_a_local_file_is_read_like_a_remote_one(http: Http, tmp_path: Path) -> None:
    file = tmp_path / "a b%20.whl"
    file.write_bytes(BODY)
    assert stream(http, file.as_uri(), exact=True).data == BODY
    with pytest.raises(IntegrityError):
        stream(http, file.as_uri(), limit=10)
    with pytest.raises(IntegrityError):
        stream(http, file.as_uri(), limit=len(BODY) + 1, exact=True)


def test_what_is_no_local_file_is_refused(http: Http, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotFoundError, match="there is no file"):
        stream(http, (tmp_path / "none").as_uri())
    with pytest.raises(FetchError, match="not a regular file"):
        stream(http, (tmp_path / "pipe").as_uri())
    with pytest.raises(FetchError, match="not a regular file"):
        stream(http, tmp_path.as_uri())
    with pytest.raises(FetchError, match="cannot fetch"):
        stream(http, "file://example.org/a")


def test_a_local_folder_is_a_page_of_links(http: Http, tmp_path: Path) -> None:
    (tmp_path / "a+b.whl").write_bytes(b"")
    (tmp_path / "sub").mkdir()
    page = http.page(tmp_path.as_uri(), "text/html", 10_000)
    assert page.url == tmp_path.as_uri() + "/"
    assert b'<a href="a%2Bb.whl">a+b.whl</a>' in page.body
    assert b'<a href="sub/">' in page.body
    (tmp_path / "index.html").write_text("own")
    assert http.get(tmp_path.as_uri() + "/", "text/html", 10_000) == b"own"
    with pytest.raises(IntegrityError):
        http.get(tmp_path.as_uri(), "text/html", 2)
