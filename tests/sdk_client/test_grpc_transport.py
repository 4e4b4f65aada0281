"""gRPC against servers that are not there, speak something else, or answer nonsense."""

import contextlib
import importlib
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hps_client import (
    Client,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidAnswer,
    InvalidInput,
    RequestRefused,
)

from tests.sdk_client import wire
from tests.sdk_client.conftest import SDK
from tests.servers import Certificate, HostileServer

grpc: Any = importlib.import_module("grpc")  # it has no types
messages: Any = importlib.import_module("tritonclient.grpc.service_pb2")
stubs: Any = importlib.import_module("tritonclient.grpc.service_pb2_grpc")
Answer = Callable[[Any, Any], Any]


@contextlib.contextmanager
def answering(answer: Answer, credentials: Any = None) -> Iterator[str]:
    """A gRPC server whose inference is `answer(request, context)`."""

    class Servicer(stubs.GRPCInferenceServiceServicer):  # type: ignore[misc]
        def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
            return answer(request, context)

    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        stubs.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
        if credentials is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            yield f"{'grpc' if credentials is None else 'grpcs'}://127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


def good(request: Any, context: Any) -> Any:
    return tensors(("output", framed(wire.enveloped(wire.RESULT))))


def framed(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content


def tensors(*outputs: tuple[str, bytes]) -> Any:
    return messages.ModelInferResponse(
        outputs=[{"name": name, "datatype": "BYTES", "shape": [1, 1]} for name, _ in outputs],
        raw_output_contents=[content for _, content in outputs],
    )


def test_nobody_is_there() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"grpc://127.0.0.1:{bound.getsockname()[1]}"
        with (
            Client(address, timeout=20, retries=1) as client,
            pytest.raises(ConnectionFailed, match="no connection") as caught,
        ):
            client.ocr(b"x")
    assert not caught.value.sent


def test_a_server_that_speaks_http() -> None:
    with (
        HostileServer() as server,
        Client(f"grpc://{server.host}", timeout=20, retries=0) as client,
        pytest.raises((ConnectionFailed, RequestRefused, DeadlineExceeded)),
    ):
        client.ocr(b"x", timeout=2)


@pytest.mark.parametrize(
    "answer",
    [
        tensors(),
        tensors(("other", framed(b"{}"))),
        tensors(("output", framed(b"{}")), ("output", framed(b"{}"))),
        tensors(("output", b"")),
        tensors(("output", b"\xff\xff\xff\xff{}")),
        tensors(("output", framed(b"nonsense"))),
        messages.ModelInferResponse(outputs=[{"name": "output", "datatype": "BYTES"}]),
    ],
)
def test_answers_that_are_none(answer: Any) -> None:
    with (
        answering(lambda *_: answer) as address,
        Client(address, timeout=20) as client,
        pytest.raises(InvalidAnswer),
    ):
        client.ocr(b"x")


def test_an_answer_in_the_typed_field() -> None:
    output = {"name": "output", "datatype": "BYTES", "shape": [1, 1]}
    content = {"bytes_contents": [wire.enveloped(wire.RESULT)]}
    answer = messages.ModelInferResponse(outputs=[{**output, "contents": content}])
    with answering(lambda *_: answer) as address, Client(address) as client:
        assert client.ocr(b"x").ocr_results == []


def test_an_answer_that_is_too_long() -> None:
    with (
        answering(lambda *_: tensors(("output", bytes(1 << 20)))) as address,
        Client(address, timeout=20, max_answer_bytes=1 << 16) as client,
        pytest.raises(InvalidAnswer, match="max_answer_bytes"),
    ):
        client.ocr(b"x")


@pytest.mark.parametrize(
    ("code", "status"),
    [("UNAUTHENTICATED", 401), ("PERMISSION_DENIED", 403), ("NOT_FOUND", 404), ("UNKNOWN", 500)],
)
def test_refusals(code: str, status: int) -> None:
    asked = []

    def refuse(request: Any, context: Any) -> Any:
        asked.append(request.id)
        context.abort(getattr(grpc.StatusCode, code), "so it is")

    with (
        answering(refuse) as address,
        Client(address, timeout=20) as client,
        pytest.raises(RequestRefused, match="so it is") as caught,
    ):
        client.ocr(b"x")
    assert caught.value.status == status
    assert len(asked) == 1


def test_tls_and_token(tmp_path: Path) -> None:
    certificate = Certificate.make(tmp_path)
    pair = [(certificate.key.read_bytes(), certificate.path.read_bytes())]
    seen: list[dict[str, str]] = []

    def answer(request: Any, context: Any) -> Any:
        seen.append(dict(context.invocation_metadata()))
        return good(request, context)

    with answering(answer, grpc.ssl_server_credentials(pair)) as address:
        with Client(address, ca_file=str(certificate.path), token="secret") as client:
            assert client.ocr(b"x").ocr_results == []
        assert seen[0]["authorization"] == "Bearer secret"
        with Client(address, retries=0, timeout=20) as strict, pytest.raises(ConnectionFailed):
            strict.ocr(b"x")
    assert len(seen) == 1
    with pytest.raises(InvalidInput, match="certificates cannot be read"):
        Client(address, ca_file=str(tmp_path / "missing"))


def test_a_closed_client() -> None:
    with answering(good) as address:
        client = Client(address)
        client.close()
        with pytest.raises(ConnectionFailed, match="closed"):
            client.ocr(b"x")


@pytest.mark.parametrize("missing", ["tritonclient", "grpc", "google.protobuf"])
def test_without_a_package(missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; import hps_client\n"
        "try: hps_client.Client('grpc://localhost')\n"
        "except hps_client.MissingExtra as error: print(error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SDK, capture_output=True, text=True, check=True
    )
    assert "pip install 'hps-client[grpc]'" in done.stdout


def test_http_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import sys, hps_client; UNWANTED = ('numpy', 'grpc', 'tritonclient', 'asyncio')\n"
        "hps_client.Client('localhost').ocr\n"
        "print([name for name in sys.modules if name.split('.')[0] in UNWANTED])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SDK, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
