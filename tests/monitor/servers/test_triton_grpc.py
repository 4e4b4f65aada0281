"""Every call to Triton has an end, and loads take no other way than gRPC."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import grpc
import pytest

from hps.monitor.server import Fault, ServerError
from hps.monitor.servers import triton_grpc
from hps.monitor.servers.triton_grpc import Connection
from tests.monitor.servers.contract import fault_of

BUILDER = Path(__file__).resolve().parents[3] / "builder" / "hps"
CALLS: dict[str, Callable[[Connection], object]] = {
    "RepositoryIndex": lambda one: one.versions("m"),
    "RepositoryModelLoad": lambda one: one.load("m", 0.3),
    "RepositoryModelUnload": lambda one: one.unload("m", 0.3),
    "ModelReady": lambda one: one.is_ready("m", 1),
    "ModelConfig": lambda one: one.inputs("m", 1),
    "ModelInfer": lambda one: one.infer_raw("m", 1, {}, (), 0.3),
}


class Silent(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Takes every call, notes how long it may last, and answers none."""

    def __init__(self) -> None:
        self.asked: dict[str, float | None] = {}
        self.over = Event()

    def service(self, details: Any) -> Any:
        name = details.method.rpartition("/")[2]

        def answer(_: bytes, context: Any) -> bytes:
            self.asked[name] = context.time_remaining()
            self.over.wait(60)
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def silent() -> Iterator[tuple[Silent, str]]:
    handler = Silent()
    with ThreadPoolExecutor(len(CALLS) + 1) as pool:
        server = grpc.server(pool, handlers=[handler])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield handler, f"127.0.0.1:{port}"
        finally:
            handler.over.set()
            server.stop(None).wait()


def test_no_call_waits_for_ever(
    silent: tuple[Silent, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, address = silent
    monkeypatch.setattr(triton_grpc, "_ANSWER", 0.3)
    with Connection(address) as connection:
        for name, call in CALLS.items():
            with pytest.raises(ServerError) as caught:
                call(connection)
            assert fault_of(caught) is Fault.UNKNOWN, name
    assert handler.asked.keys() == CALLS.keys()
    assert None not in handler.asked.values()


def test_check_mode_knows_nothing_of_a_server_that_does_not_answer(
    silent: tuple[Silent, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_grpc, "_ANSWER", 0.3)
    with Connection(silent[1]) as connection, pytest.raises(ServerError) as caught:
        connection.check_mode()
    assert fault_of(caught) is Fault.UNKNOWN


def test_nothing_is_loaded_over_http() -> None:
    """It would hold up other requests for as long as the load takes."""
    for path in BUILDER.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "tritonclient.http" not in text, path
        assert "v2/repository" not in text, path


def test_these_are_all_calls() -> None:
    text = (BUILDER / "monitor" / "servers" / "triton_grpc.py").read_text(encoding="utf-8")
    assert {one for one in CALLS if f'_call("{one}"' in text or f'"{one}",' in text} == {*CALLS}
    assert text.count("_call(") == len(CALLS) + 1  # and its definition
