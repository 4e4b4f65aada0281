"""Load and unload over gRPC: a server that does not behave; the real one is in test_revival."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from hps_server.control import ControlError, load, unload

SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
PING = bytes([0, 0, 8, 6, 0, 0, 0, 0, 0]) + b"12345678"
END = bytes([0, 0, 1, 1, 5, 0, 0, 0, 1]) + b"\x88"  # HEADERS of stream 1, with END_STREAM


@contextmanager
def answering(answer: bytes, *, close: bool) -> Iterator[tuple[int, list[bytes]]]:
    got: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                got.append(connection.recv(65536))
                connection.sendall(answer)
                if close:
                    return
                while piece := connection.recv(65536):
                    got.append(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], got
        finally:
            thread.join()


def test_a_call_ends_with_its_stream_and_answers_what_it_must() -> None:
    with answering(SETTINGS + PING + END, close=False) as (port, got):
        load("127.0.0.1", port, "ocr", timeout=5)
    said = b"".join(got)
    assert said.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert b"/inference.GRPCInferenceService/RepositoryModelLoad" in said
    assert b"\x12\x03ocr" in said
    assert said.endswith(bytes([0, 0, 8, 6, 1, 0, 0, 0, 0]) + b"12345678")


def test_long_names() -> None:
    name = "m" * 300
    with answering(END, close=False) as (port, got):
        unload("127.0.0.1", port, name, timeout=5)
    assert b"\x12\xac\x02" + name.encode() in b"".join(got)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        SETTINGS,
        SETTINGS[:5],
        bytes([0, 0, 4, 3, 0, 0, 0, 0, 1]) + bytes(4),  # RST_STREAM
        bytes([0, 0, 8, 7, 0, 0, 0, 0, 0]) + bytes(8),  # GOAWAY
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_a_stream_that_breaks(answer: bytes) -> None:
    with (
        answering(answer, close=True) as (port, _),
        pytest.raises(ControlError, match="RepositoryModelLoad ocr"),
    ):
        load("127.0.0.1", port, "ocr", timeout=5)


def test_a_call_without_end_is_given_up() -> None:
    with (
        answering(SETTINGS, close=False) as (port, _),
        pytest.raises(ControlError, match="TimeoutError"),
    ):
        load("127.0.0.1", port, "ocr", timeout=0.2)


def test_nobody_listens() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ControlError, match="ConnectionRefusedError"):
        load("127.0.0.1", port, "ocr", timeout=1)
