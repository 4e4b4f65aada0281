"""The health report, and how a probe fares with servers that do not behave."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from hps_server.health import is_ready, local, main, probe, summarize


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that gives every connection the same bytes; yields its port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_model_is_healthy_when_it_answers_itself() -> None:
    index = [
        {"name": "a", "version": "1", "state": "READY"},
        {"name": "a", "version": "2", "state": "UNAVAILABLE", "reason": "no weights"},
        {"name": "unloaded"},
    ]
    report = summarize(server=True, index=index, ready={"a": True}, wanted=[])
    assert report["healthy"]
    assert report["models"]["a"]["versions"]["2"] == {
        "state": "UNAVAILABLE",
        "reason": "no weights",
    }
    assert report["models"]["unloaded"] == {"ready": False, "versions": {}}


@pytest.mark.parametrize(
    ("server", "ready", "wanted"),
    [
        (False, {"a": True}, []),
        (True, {"a": False}, []),
        (True, {}, []),
        (True, {"a": True}, ["unloaded"]),
        (True, {"a": True}, ["absent"]),
    ],
)
def test_anything_less_is_not(server: bool, ready: dict[str, bool], wanted: list[str]) -> None:
    index = [{"name": "a", "version": "1", "state": "READY"}, {"name": "unloaded"}]
    assert not summarize(server=server, index=index, ready=ready, wanted=wanted)["healthy"]


def test_no_server_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    assert not is_ready("127.0.0.1", port)
    assert main(["--http-port", str(port)]) == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["healthy"]
    assert "ConnectionRefusedError" in report["error"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<html>...",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n1",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\xfe\xfd",
    ],
)
def test_something_else_on_the_port_is_not_ready(answer: bytes) -> None:
    with answering(answer) as port:
        assert not is_ready("127.0.0.1", port)
        assert not probe("127.0.0.1", port, [], timeout=5)["healthy"]


def test_a_server_that_says_nothing_is_given_up() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        assert not is_ready("127.0.0.1", silent.getsockname()[1], timeout=0.1)


def test_wildcard_addresses_are_reached_by_loopback() -> None:
    assert [local(each) for each in ("0.0.0.0", "::", "", "10.1.2.3")] == [
        "127.0.0.1",
        "::1",
        "127.0.0.1",
        "10.1.2.3",
    ]
