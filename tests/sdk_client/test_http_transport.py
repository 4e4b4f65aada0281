"""HTTP against servers that break, stall, lie and overflow; real sockets on 127.0.0.1."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hps_client import (
    Client,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidAnswer,
    InvalidInput,
    RequestRefused,
    Unavailable,
)
from hps_client.pipelines.shared import ImageLabelPair

from tests.sdk_client import wire
from tests.sdk_client.wire import OCR, RESULT, answering, binary
from tests.servers import (
    Behaviour,
    Certificate,
    HostileServer,
    announce,
    chunked,
    dribble,
    dripping_head,
    endless,
    fine,
    garbage,
    hang_up,
    redirect,
    reset,
    silence,
    stall,
    status,
    truncate,
    without_length,
)

INDEX = "/v2/models/face-recognition-index-build/infer"


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as made:
        yield made


def client(server: HostileServer, **options: object) -> Client:
    return Client(server.url, **{"timeout": 20.0, **options})  # type: ignore[arg-type]


def build(made: Client) -> object:
    return made.face_recognition.build_index([ImageLabelPair(image=b"x", label="a")])


def test_a_connection_is_used_again(server: HostileServer) -> None:
    server.script(OCR, answering(RESULT))
    with client(server) as made:
        for _ in range(5):
            made.ocr(b"x")
    assert server.connections == 1


def test_an_operation_that_must_not_run_twice_gets_a_new_connection(server: HostileServer) -> None:
    server.script(INDEX, answering({"indexKey": "k", "imageCount": 1}))
    with client(server) as made:
        build(made)
        build(made)
    assert server.connections == 2


def test_a_connection_that_the_server_closed_is_replaced(server: HostileServer) -> None:
    body, headers = wire.answer(RESULT)
    server.script(OCR, fine(body, headers={**headers, "Connection": "close"}))
    with client(server, retries=0) as made:
        for _ in range(3):
            made.ocr(b"x")
    assert server.count(OCR) == 3


@pytest.mark.parametrize("broken", [reset(), hang_up()])
def test_a_connection_that_breaks_before_the_answer_is_tried_again(
    server: HostileServer, broken: Behaviour
) -> None:
    server.script(OCR, broken, answering(RESULT))
    with client(server) as made:
        assert made.ocr(b"x").ocr_results == []
    assert server.count(OCR) == 2


@pytest.mark.parametrize("broken", [reset(), hang_up(), status(503)])
def test_what_changes_the_server_is_sent_once(server: HostileServer, broken: Behaviour) -> None:
    server.script(INDEX, broken)
    with client(server) as made, pytest.raises((ConnectionFailed, Unavailable)):
        build(made)
    assert server.count(INDEX) == 1


def test_a_refused_connection_is_tried_again_by_every_operation() -> None:
    with socket.socket() as waiting:
        waiting.bind(("127.0.0.1", 0))
        port = waiting.getsockname()[1]
        with Client(f"127.0.0.1:{port}", timeout=20, retries=1) as made:
            with pytest.raises(ConnectionFailed, match="Connection refused") as caught:
                build(made)
            assert not caught.value.sent


def test_a_broken_answer_is_not_asked_for_again(server: HostileServer) -> None:
    server.script(OCR, reset(b"half"))
    with client(server) as made, pytest.raises(ConnectionFailed) as caught:
        made.ocr(b"x")
    assert caught.value.answered
    assert server.count(OCR) == 1


def test_overload_is_waited_for(server: HostileServer) -> None:
    server.script(OCR, status(503), status(429, {"Retry-After": "0"}), answering(RESULT))
    with client(server) as made:
        made.ocr(b"x")
    assert server.count(OCR) == 3


def test_a_wait_longer_than_the_deadline_ends_with_the_reason(server: HostileServer) -> None:
    server.script(OCR, status(503, {"Retry-After": "30"}, b'{"error":"queue is full"}'))
    with client(server, timeout=5) as made, pytest.raises(Unavailable, match="queue is full"):
        made.ocr(b"x")
    assert server.count(OCR) == 1


@pytest.mark.parametrize(
    "slow",
    [
        silence(),
        stall(b"{"),
        dripping_head(0.05),
        dribble(b"x" * 10_000, 1, 0.05),
    ],
    ids=["silence", "stall", "dripping head", "dripping body"],
)
def test_the_deadline_holds_whatever_the_server_does(
    server: HostileServer, slow: Behaviour
) -> None:
    server.script(OCR, slow)
    began = time.monotonic()
    with client(server) as made, pytest.raises(DeadlineExceeded, match=r"0\.4 seconds"):
        made.ocr(b"x", timeout=0.4)
    assert time.monotonic() - began < 15
    assert server.count(OCR) == 1


def test_a_server_that_never_takes_the_request() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        with (
            Client(f"127.0.0.1:{deaf.getsockname()[1]}") as made,
            pytest.raises(DeadlineExceeded),
        ):
            made.ocr(os.urandom(1 << 24), timeout=0.5)  # more than the socket's buffers hold


def test_tls_that_never_answers() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        with (
            Client(f"https://127.0.0.1:{deaf.getsockname()[1]}") as made,
            pytest.raises(DeadlineExceeded),
        ):
            made.ocr(b"x", timeout=0.5)


GOOD, GOOD_HEADERS = wire.answer(RESULT)
SIZE = "Inference-Header-Content-Length"


@pytest.mark.parametrize(
    "wrong",
    [
        garbage(),
        garbage(b"\x00\x00\x18\x04\x00" * 20),  # HTTP/2: this is the gRPC port
        garbage(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000 + b"\r\n"),
        garbage(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000),
        garbage(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        truncate(GOOD, len(GOOD) - 3),
        announce(GOOD, len(GOOD) + 10),
        chunked(GOOD, whole=False),
        fine(b""),
        fine(b"<html>a portal wants a login</html>"),
        fine(b"[]"),
        fine(b"[" * 200_000),
        fine(b'{"outputs": {}}'),
        fine(b'{"outputs": [{"name": "output", "datatype": "FP32", "data": [1]}]}'),
        fine(b'{"outputs": [{"name": "output", "datatype": "BYTES", "data": [1, 2]}]}'),
        fine(b'{"outputs": [{"name": "other", "datatype": "BYTES", "data": ["x"]}]}'),
        fine(GOOD, headers={SIZE: "-1"}),
        fine(GOOD, headers={SIZE: "1e3"}),
        fine(GOOD, headers={SIZE: "²"}),  # a digit, but no length
        fine(GOOD, headers={SIZE: str(len(GOOD) + 1)}),
        fine(GOOD, headers={SIZE: str(len(GOOD))}),
        fine(GOOD[:-1], headers=GOOD_HEADERS),
        fine(GOOD + b"x", headers=GOOD_HEADERS),
        fine(*binary(b"\xff\xff\xff\xff")[:1], headers=binary(b"\xff\xff\xff\xff")[1]),
        fine(*binary(b"")[:1], headers=binary(b"")[1]),
    ],
)
def test_answers_that_are_none(server: HostileServer, wrong: Behaviour) -> None:
    server.script(OCR, wrong)
    with client(server) as made, pytest.raises(InvalidAnswer):
        made.ocr(b"x")
    assert server.count(OCR) == 1


@pytest.mark.parametrize("flood", [endless(), announce(b"", 1 << 50)])
def test_answers_without_end_are_refused(server: HostileServer, flood: Behaviour) -> None:
    server.script(OCR, flood)
    with (
        client(server, max_answer_bytes=1 << 20) as made,
        pytest.raises(InvalidAnswer, match="too long"),
    ):
        made.ocr(b"x")


@pytest.mark.parametrize("form", [chunked, without_length])
def test_answers_in_other_framings(server: HostileServer, form: object) -> None:
    text = wire.enveloped(RESULT).decode()
    plain = {"outputs": [{"name": "output", "datatype": "BYTES", "data": [text]}]}
    server.script(OCR, form(json.dumps(plain).encode()))  # type: ignore[operator]
    with client(server) as made:
        assert made.ocr(b"x").ocr_results == []


@pytest.mark.parametrize(
    ("code", "hint"), [(401, "token="), (404, "pipeline's name"), (413, "send a URL"), (502, "")]
)
def test_refusals_have_status_and_hint(server: HostileServer, code: int, hint: str) -> None:
    server.script(OCR, status(code, body=b'{"error": "so it is"}'))
    with client(server) as made, pytest.raises(RequestRefused, match="so it is") as caught:
        made.ocr(b"x")
    assert caught.value.status == code
    assert hint in caught.value.hint


def test_a_refusal_that_comes_before_the_request_is_sent() -> None:
    """A proxy says 413 and closes, while megabytes are still on their way."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)

        def refuse() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 20):
                    pass

        thread = threading.Thread(target=refuse)
        thread.start()
        with (
            Client(f"127.0.0.1:{listening.getsockname()[1]}", timeout=20) as made,
            pytest.raises(RequestRefused) as caught,
        ):
            made.ocr(os.urandom(1 << 23))
        thread.join()
    assert caught.value.status == 413


def test_redirects_are_not_followed(server: HostileServer) -> None:
    server.script(OCR, redirect("http://127.0.0.1:1/"))
    with client(server) as made, pytest.raises(RequestRefused) as caught:
        made.ocr(b"x")
    assert caught.value.status == 302


def test_token_headers_and_prefix(server: HostileServer) -> None:
    server.script("/gate" + OCR, answering(RESULT))
    made = Client(server.url + "/gate/", token="secret", headers={"X-Tenant": "a"})
    with made:
        made.ocr(b"x")
    assert server.seen[0].headers["authorization"] == "Bearer secret"
    assert server.seen[0].headers["x-tenant"] == "a"
    assert "secret" not in repr(vars(made._channel._transport))


@pytest.mark.parametrize("headers", [{"A": "b\r\nC: d"}, {"A\n": "b"}, {"": "x"}, {"a b": "x"}])
def test_headers_cannot_smuggle(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="HTTP does not allow"):
        Client("localhost", headers=headers)


def test_tls(tmp_path: Path) -> None:
    certificate = Certificate.make(tmp_path)
    with HostileServer(certificate.context()) as server:
        server.script(OCR, answering(RESULT))
        with Client(server.url, ca_file=str(certificate.path)) as made:
            made.ocr(b"x" * 3_000_000)
            made.ocr(b"x")
        assert server.connections == 1
        with (
            Client(server.url, retries=0) as strict,
            pytest.raises(ConnectionFailed, match="certificate verify failed") as caught,
        ):
            strict.ocr(b"x")
        assert "ca_file=" in caught.value.hint


def test_tls_to_a_server_without(server: HostileServer) -> None:
    with (
        Client(server.url.replace("http", "https"), retries=0, timeout=20) as made,
        pytest.raises(ConnectionFailed, match="SSL"),
    ):
        made.ocr(b"x")


def test_certificates_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(InvalidInput, match="certificates cannot be read"):
            Client("https://localhost", ca_file=str(tmp_path / name))


def test_a_closed_client(server: HostileServer) -> None:
    made = client(server)
    made.close()
    with pytest.raises(ConnectionFailed, match="closed"):
        made.ocr(b"x")


def test_a_fork_makes_its_own_connections(server: HostileServer) -> None:
    server.script(OCR, answering(RESULT))
    with client(server) as made:
        made.ocr(b"x")
        child = os.fork()
        if child == 0:
            try:
                made.ocr(b"x")
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        made.ocr(b"x")
    assert server.connections == 2


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "5", True])
def test_timeouts_that_are_none(server: HostileServer, timeout: float) -> None:
    with client(server) as made, pytest.raises(InvalidInput, match="positive number of seconds"):
        made.ocr(b"x", timeout=timeout)
    assert server.seen == []
