"""Swaps under a constant load of requests: none fails, and none mixes two generations."""

import os
import threading
import time
from pathlib import Path

import pytest

from hps.model.probe import Probe
from hps.monitor.servers.triton_grpc import Connection
from tests.monitor.servers.real_triton import RealTriton, TritonHost, made, probe_file

SWAPS = int(os.environ.get("HPS_SWAPS", "12"))
CLIENTS = 3
PACE = 0.002  # seconds between two requests of a client: the models need processors as well


class Client(threading.Thread):
    """Asks as fast as it is answered, and notes what it is told."""

    def __init__(self, real: RealTriton) -> None:
        super().__init__()
        self.connection = Connection(f"127.0.0.1:{real.grpc}")
        self.asked = self.mixed = 0
        self.failed: list[str] = []
        self.longest = 0.0
        self.times: list[float] = []
        self.seen: set[int] = set()
        self.stopping = threading.Event()

    def run(self) -> None:
        made_ = {"x": ("INT32", [1], b"\7\0\0\0")}
        while not self.stopping.is_set():
            begun = time.monotonic()
            try:
                answer = self.connection.infer_raw("m", None, made_, (), 30)["y"]
            except Exception as error:
                self.failed.append(str(error))
            else:
                x, code, weights = memoryview(answer.raw).cast("i")
                self.mixed += x != 7 or code != weights
                self.seen.add(code)
            self.asked += 1
            self.times.append(time.monotonic() - begun)
            self.stopping.wait(PACE)
        self.connection.close()


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.timeout(60 + 10 * SWAPS)
def test_no_request_fails_and_none_is_mixed(real: RealTriton, tmp_path: Path) -> None:
    host = TritonHost(real, tmp_path)
    server = host.server()
    clients = [Client(real) for _ in range(CLIENTS)]
    spans = []
    try:
        for number in range(1, SWAPS + 2):
            generation = made(tmp_path, number)
            before = made(tmp_path, number - 1) if number > 1 else None
            begun = time.monotonic()
            server.inspect(generation)
            server.load(generation)
            server.probe(generation, Probe.from_file(probe_file(number)))
            server.activate(generation, before)
            spans.append(time.monotonic() - begun)
            assert list(server.live()) == [number]
            if number == 1:
                for client in clients:
                    client.start()
    finally:
        for client in clients:
            client.stopping.set()
        for client in clients:
            if client.is_alive():
                client.join()
    failed = [text for client in clients for text in client.failed]
    times = sorted(span for client in clients for span in client.times)
    print(
        f"{SWAPS} swaps, {len(times)} requests, {len(failed)} failed, "
        f"{sum(client.mixed for client in clients)} mixed; "
        f"p50 {times[len(times) // 2] * 1e3:.1f} ms, p99 {times[-len(times) // 100] * 1e3:.1f} ms, "
        f"longest {times[-1] * 1e3:.0f} ms; a swap takes {sorted(spans)[len(spans) // 2]:.2f} s"
    )
    assert failed == []
    assert sum(client.mixed for client in clients) == 0
    seen = set().union(*(client.seen for client in clients))
    assert seen >= set(range(1, SWAPS + 1))
    assert host.answering() == SWAPS + 1
