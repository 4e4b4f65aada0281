"""The server of metrics, health and status, asked by real clients, good ones and bad ones."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from hps.errors import UsageError
from hps.monitor.metrics import Metrics
from hps.monitor.pulse import Pulse
from hps.monitor.status import ModelStatus, MonitorStatus
from hps.monitor.web import Views, is_ours, served
from tests.monitor import snapshots
from tests.monitor.snapshots import HOSTILE, host

NOW = 1_800_100_000.0


class Monitor:
    """A monitor that a test can change while it is asked."""

    def __init__(self) -> None:
        self.metrics = Metrics(["layout"], self.status)
        self.begin()

    def begin(self) -> None:
        """Anew, for another test."""
        self.models: tuple[ModelStatus, ...] = (snapshots.calm(),)
        self.time = 0.0
        self.pulse = Pulse(lambda: self.time)

    def late(self) -> tuple[str, ...]:
        return self.pulse.late()

    def status(self) -> MonitorStatus:
        return host(*self.models, now=NOW)

    @property
    def views(self) -> Views:
        return Views(self.status, self.late, self.metrics.exposition)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Monitor, str]]:
    """One server for all tests of this module: it has nothing that they could change."""
    monitor = Monitor()
    with served("127.0.0.1:0", monitor.views, hosts=["monitor.example.org"]) as url:
        yield monitor, url


@pytest.fixture
def monitor(running: tuple[Monitor, str]) -> Monitor:
    running[0].begin()
    return running[0]


@pytest.fixture
def url(running: tuple[Monitor, str], monitor: Monitor) -> str:
    del monitor
    return running[1]


def get(url: str, path: str, **headers: str) -> requests.Response:
    return requests.get(url + path, headers=headers, timeout=10, allow_redirects=False)


def raw(url: str, request: bytes) -> bytes:
    """What comes back for bytes that no client would send."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=30) as client:
        client.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := client.recv(65536):
                answer += piece
    return answer


def test_prometheus_reads_the_metrics(url: str, monitor: Monitor) -> None:
    monitor.metrics.pulled("layout", 7)
    found = get(url, "metrics")
    assert found.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    names = {family.name for family in text_string_to_metric_families(found.text)}
    assert "hps_monitor_live_generation" in names
    accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
    assert get(url, "metrics", Accept=accept).text.endswith("# EOF\n")


def test_status_is_json(url: str) -> None:
    found = get(url, "status")
    assert found.headers["Content-Type"] == "application/json"
    assert found.json()["models"][0]["live"]["number"] == 2
    assert json.loads(found.content) == get(url, "status?query=ignored").json()


def test_health_is_whether_every_loop_goes_round(url: str, monitor: Monitor) -> None:
    monitor.pulse.beat("layout", 10)
    assert (get(url, "healthz").status_code, get(url, "healthz").text) == (200, "ok\n")
    monitor.time = 11
    found = get(url, "healthz")
    assert (found.status_code, found.text) == (503, "layout stands still\n")


def test_ready_is_whether_every_model_is_served(url: str, monitor: Monitor) -> None:
    assert get(url, "readyz").status_code == 200
    monitor.models = (snapshots.calm(), snapshots.dead(), snapshots.empty())
    found = get(url, "readyz")
    assert (found.status_code, found.text) == (503, "formula is not served\nseal is not served\n")


def test_the_page_and_its_parts_are_there_with_what_protects_them(url: str) -> None:
    kinds = {
        "": "text/html",
        "page.css": "text/css",
        "page.js": "text/javascript",
        "icon.svg": "image/svg+xml",
    }
    for path, kind in kinds.items():
        found = get(url, path)
        assert found.status_code == 200
        assert found.headers["Content-Type"].startswith(kind)
        assert found.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert found.headers["X-Content-Type-Options"] == "nosniff"
        assert found.headers["X-Frame-Options"] == "DENY"
        assert found.headers["Cache-Control"] == "no-store"
        assert found.headers["Server"] == "hps"
        assert "Access-Control-Allow-Origin" not in found.headers
        assert len(found.content) > 100


def test_a_head_request_has_the_fields_and_no_body(url: str) -> None:
    for path in ("", "metrics", "status", "healthz", "nothing"):
        whole, head = get(url, path), requests.head(url + path, timeout=10)
        assert head.status_code == whole.status_code
        assert head.content == b""
        if path != "metrics":
            assert head.headers["Content-Length"] == str(len(whole.content))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(url: str, method: str) -> None:
    found = requests.request(method, url + "status", data=b"x", timeout=10)
    assert found.status_code == 405
    assert found.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "target",
    [
        "/../../etc/passwd",
        "/page.css/../../status.py",
        "/%2e%2e/status.py",
        "/page%2ecss",
        "//page.css/..",
        "/render.py",
        "/__init__.py",
        "/page/page.css",
        "/status/",
        "/.",
        "\\..\\..\\",
        "http://other.example.org/status",
        "*",
    ],
)
def test_no_path_leads_elsewhere(url: str, target: str) -> None:
    answer = raw(url, f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    assert b" 404 " in answer.partition(b"\r\n")[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("127.0.0.1:9464", True),
        ("127.0.0.1", True),
        ("10.1.2.3:9464", True),
        ("[::1]:9464", True),
        ("[::1]", True),
        ("localhost:9464", True),
        ("LOCALHOST", True),
        ("localhost.", True),
        ("monitor.example.org:9464", True),
        ("evil.example.com", False),
        ("127.0.0.1.evil.example.com", False),
        ("localhost.evil.example.com:9464", False),
        ("evil.example.com:127.0.0.1", False),
        ("", False),
        ("2130706433", False),
        ("[::1", False),
        ("a" * 10_000, False),
    ],
)
def test_names_of_others_are_told_from_ours(name: str, expected: bool) -> None:
    assert is_ours(name, {"monitor.example.org"}) is expected


def test_a_page_of_a_stranger_cannot_ask_by_a_name_of_its_own(url: str) -> None:
    found = get(url, "status", Host="evil.example.com")
    assert found.status_code == 421
    assert b"models" not in found.content
    assert get(url, "status", Host="monitor.example.org:1234").status_code == 200
    assert get(url, "status", Host=socket.gethostname()).status_code == 200


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"GET /status HTTP/1.1\r\n\r\n", 400),
        (b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example.com\r\n\r\n", 400),
        (b"GET /status HTTP/1.0\r\n\r\n", 200),
        (b"GET /status HTTP/3.7\r\n\r\n", 505),
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"BREW / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    ],
)
def test_strange_requests_are_answered_with_their_code(
    url: str, request_: bytes, code: int
) -> None:
    answer = raw(url, request_)
    assert answer.startswith(b"HTTP/1.1 %d " % code), answer[:100]
    assert b"Content-Security-Policy" in answer
    assert b"NONSENSE" not in answer


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=300))
def test_no_bytes_stop_it(url: str, request_: bytes) -> None:
    answer = raw(url, b"GET /" + request_ + b"\r\n\r\n")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert get(url, "healthz").status_code == 200


def test_a_head_without_an_end_is_not_taken_in(url: str) -> None:
    assert raw(url, b"GET /" + b"x" * (1 << 20)) == b""
    assert raw(url, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * 20_000) == b""
    assert get(url, "healthz").status_code == 200


def test_a_connection_serves_one_request(url: str) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    answer = raw(url, one * 3)
    assert b"Connection: close" in answer
    assert answer.count(b"HTTP/1.1 200") == 1


def test_clients_that_say_nothing_do_not_keep_others_out(url: str) -> None:
    place = urlsplit(url)
    with contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection((place.hostname, place.port), timeout=30))
            for _ in range(40)
        ]
        # All places are taken: who comes next is told so at once, and nobody waits in line.
        answers = {_code(url) for _ in range(3)}
        assert answers <= {503, 200, None}
        for one in silent:  # each is let go by itself, without a byte
            with contextlib.suppress(ConnectionResetError):
                assert one.recv(4096)[:12] in {b"", b"HTTP/1.1 503"}
    assert get(url, "healthz").status_code == 200


def _code(url: str) -> int | None:
    place = urlsplit(url)
    client = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
    with contextlib.closing(client):
        try:
            client.request("GET", "/healthz")
            return client.getresponse().status
        except OSError:
            return None


def test_a_client_that_does_not_read_is_left(monitor: Monitor) -> None:
    monitor.models = (snapshots.refused(),) * 3000
    with served("127.0.0.1:0", monitor.views) as url:
        place = urlsplit(url)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((place.hostname, place.port))
            client.sendall(b"GET /status HTTP/1.0\r\n\r\n")
            assert get(url, "healthz").status_code == 200
    # The end of the block has cut it.


def test_the_end_cuts_connections_and_frees_the_port(monitor: Monitor) -> None:
    before = threading.active_count()
    with served("127.0.0.1:0", monitor.views) as url:
        place = urlsplit(url)
        client = socket.create_connection((place.hostname, place.port), timeout=30)
        assert get(url, "healthz").status_code == 200
    with client:
        assert client.recv(1) == b""
    assert threading.active_count() == before
    with served(f"127.0.0.1:{place.port}", monitor.views) as again:
        assert get(again, "healthz").status_code == 200


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_it_listens_on_ipv6(monitor: Monitor) -> None:
    with served("[::1]:0", monitor.views) as url:
        assert url.startswith("http://[::1]:")
        assert get(url, "healthz").status_code == 200


@pytest.mark.parametrize("listen", ["nowhere", "127.0.0.1:99999", "127.0.0.1:x", "192.0.2.1:80"])
def test_an_address_that_cannot_be_had_is_an_error_with_a_hint(
    monitor: Monitor, listen: str
) -> None:
    with pytest.raises(UsageError, match="cannot listen") as caught, served(listen, monitor.views):
        pass
    assert "--listen" in str(caught.value)


def test_a_port_that_is_taken_is_an_error(monitor: Monitor, url: str) -> None:
    place = urlsplit(url)
    with (
        pytest.raises(UsageError, match="cannot listen"),
        served(f"127.0.0.1:{place.port}", monitor.views),
    ):
        pass


def test_names_of_models_are_harmless_in_every_answer(url: str, monitor: Monitor) -> None:
    monitor.models = (snapshots.hostile(),)
    monitor.pulse.beat(HOSTILE, 1)
    monitor.time = 5
    for path in ("", "status", "healthz", "readyz", "metrics"):
        found = get(url, path)
        assert found.status_code in {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE}
        kind = found.headers["Content-Type"]
        assert kind.startswith("text/html") == (path == "")
        if path != "metrics":  # which has its own escapes, and is no page
            assert "\x1b" not in found.text
    assert "<script>document" not in get(url, "").text
    assert "<img" not in get(url, "").text
