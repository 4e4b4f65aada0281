"""Large blobs into a real registry, over lines that break."""

import contextlib
import io
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from hps.digest import Blob, Digest
from hps.errors import PublishError
from hps.oci.reference import Reference
from hps.oci.registry import Placed
from hps.oci.registry_client import RegistryClient
from hps.store.retry import Deadlines
from tests.oci.registry_server import Authority, RegistryServer, TokenServer, docker_config
from tests.servers import Behaviour, HostileServer, Seen

PATIENT = Deadlines(first_delay=0.001, longest_delay=0.01)
CHUNK = 1 << 20


class CuttingProxy:
    """A line to a server that breaks: each connection ends when it has carried so many bytes.

    Args:
        host: of the server, with its port.
        budgets: bytes from the client that the first connections carry; the others carry all.
    """

    def __init__(self, host: str, budgets: list[int]) -> None:
        name, _, port = host.partition(":")
        self._server = (name, int(port))
        self._budgets = budgets
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self.cuts = 0
        self._accepting = threading.Thread(target=self._accept)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in (*self._open, self._listener):
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._open += [client, server]
                budget = self._budgets.pop(0) if self._budgets else None
                for pair in ((client, server, budget), (server, client, None)):
                    thread = threading.Thread(target=self._carry, args=pair)
                    self._threads.append(thread)
                    thread.start()

    def _carry(self, source: socket.socket, sink: socket.socket, budget: int | None) -> None:
        left = budget
        with contextlib.suppress(OSError):
            while data := source.recv(65536 if left is None else min(65536, left)):
                sink.sendall(data)
                if left is not None:
                    left -= len(data)
                    if left <= 0:
                        self.cuts += 1
                        break
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer.start(tmp_path_factory.mktemp("registry")) as running:
        yield running


def client(host: str, name: str, **more: object) -> RegistryClient:
    return RegistryClient(
        Reference.parse(f"{host}/{name}"),
        environment={},
        home=Path("/nonexistent"),
        deadlines=PATIENT,
        chunk=CHUNK,
        **more,  # type: ignore[arg-type] # arguments of RegistryClient
    )


def content(seed: int) -> tuple[Blob, bytes]:
    data = random.Random(seed).randbytes(5 * CHUNK + 12_345)
    return Blob(Digest.of(data), len(data)), data


def test_a_blob_in_chunks_is_whole(server: RegistryServer) -> None:
    blob, data = content(1)
    told: list[int] = []
    with client(server.host, "up/chunks") as registry:
        placed = registry.upload(blob, lambda: io.BytesIO(data), sent=told.append)
        assert placed is Placed.SENT
        assert registry.read(blob, blob.size) == data
    assert told == sorted(told)


@pytest.mark.parametrize(
    "budget", [300, CHUNK // 2, CHUNK + 700, 3 * CHUNK], ids=["head", "half", "next", "third"]
)
def test_a_line_that_breaks_is_no_obstacle(server: RegistryServer, budget: int) -> None:
    """Debian's registry gives up an upload that was cut within a chunk: it begins again."""
    blob, data = content(budget)
    # The first connection finds out whether the server speaks TLS.
    with CuttingProxy(server.host, [10_000, budget, budget]) as line:
        with client(line.host, f"up/line{budget}") as registry:
            assert registry.upload(blob, lambda: io.BytesIO(data)) is Placed.SENT
        assert line.cuts >= 1
    with client(server.host, f"up/line{budget}") as registry:
        assert registry.read(blob, blob.size) == data


def test_a_line_that_always_breaks_is_given_up(server: RegistryServer) -> None:
    blob, data = content(7)
    with (
        CuttingProxy(server.host, [10_000, *([CHUNK // 2] * 1000)]) as line,
        client(line.host, "up/never") as registry,
        pytest.raises(PublishError),
    ):
        registry.upload(blob, lambda: io.BytesIO(data))
    with client(server.host, "up/never") as registry:
        assert not registry.has(blob)


def test_mounting_asks_for_both_repositories(tmp_path: Path) -> None:
    """One token for both; where the other may not be read, the blob is sent."""
    authority = Authority.make(tmp_path)
    tokens = TokenServer(authority, {"a": "b"}, secret=frozenset({"team/secret"}))

    class Realm(HostileServer):
        def next_behaviour(self, request: Seen) -> Behaviour:
            super().next_behaviour(request)
            return tokens.answer()  # every query is answered

    with (
        Realm() as realm,
        RegistryServer.start(
            tmp_path / "registry", authority=authority, realm=f"{realm.url}/token"
        ) as server,
    ):
        blob, data = content(8)
        environment = {"DOCKER_CONFIG": str(docker_config(tmp_path / "d", server.host, "a", "b"))}

        def at(name: str) -> RegistryClient:
            return RegistryClient(
                Reference.parse(f"{server.host}/{name}"),
                environment=environment,
                home=tmp_path,
                authority=authority.path,
                deadlines=PATIENT,
            )

        with at("team/app") as registry:
            assert registry.upload(blob, lambda: io.BytesIO(data)) is Placed.SENT
        with at("team/other") as registry:
            placed = registry.upload(blob, lambda: io.BytesIO(data), mounts=["team/app"])
            assert placed is Placed.MOUNTED
        both = "repository:team/other:pull,push repository:team/app:pull"
        assert both in tokens.scopes
        with at("team/third") as registry:
            placed = registry.upload(blob, lambda: io.BytesIO(data), mounts=["team/secret"])
            assert placed is Placed.SENT
