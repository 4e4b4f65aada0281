"""A constant load on a model of Triton, in a process of its own; what it is told, and how soon.

    monitor_load.py HTTP_PORT GRPC_PORT MODEL CLIENTS RATE

A line on stdin names the phase that begins; its end ends the load. Then one line of JSON comes:
by phase and protocol how often was asked, what failed, what was mixed, how long it took; and when
each generation was first seen, on the clock of time.monotonic, which all processes share.

Each answer is x, the number in the code, in the weights, in the settings of the model, the number
of the configuration that the weights were made for, and of the one that Triton loaded.
"""

import abc
import array
import http.client
import json
import statistics
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from hps.monitor.servers.triton_grpc import Connection

WIDTH = 6
_PATIENCE = 30.0
_KEPT = 5  # reasons of failures


@dataclass
class Told:
    """What one client was told in one phase."""

    times: "array.array[float]" = field(default_factory=lambda: array.array("d"))
    failed: int = 0
    reasons: list[str] = field(default_factory=list)
    mixed: int = 0


class Client(threading.Thread, abc.ABC):
    """Asks at a constant rate, on one connection that stays."""

    protocol = ""

    def __init__(self, port: int, model: str, rate: float) -> None:
        super().__init__()
        self.port, self.model, self.rate = port, model, rate
        self.phase = ""
        self.stopping = threading.Event()
        self.told: dict[str, Told] = defaultdict(Told)
        self.seen: dict[int, float] = {}

    def run(self) -> None:
        x, due = 0, time.monotonic()
        while not self.stopping.wait(max(0.0, due - time.monotonic())):
            begun, told = time.monotonic(), self.told[self.phase]
            try:
                answer = self.ask(x)
            except Exception as error:
                told.failed += 1
                told.reasons = [*told.reasons, f"{self.phase}: {error!r}"][:_KEPT]
            else:
                ended = time.monotonic()
                told.times.append(ended - begun)
                echo, code, weights, settings, wanted, has = answer
                whole = echo == x and code == weights == settings and wanted == has
                told.mixed += not whole
                self.seen.setdefault(code, ended)
            x = (x + 1) % 2**20
            due = max(due + 1 / self.rate, time.monotonic())  # late ones are not made up for
        self.close()

    @abc.abstractmethod
    def ask(self, x: int) -> list[int]:
        """What the model answers: see `run`."""

    @abc.abstractmethod
    def close(self) -> None:
        """End the connection."""


class GrpcClient(Client):
    protocol = "gRPC"

    def __init__(self, port: int, model: str, rate: float) -> None:
        super().__init__(port, model, rate)
        self.connection = Connection(f"127.0.0.1:{port}")

    def ask(self, x: int) -> list[int]:
        made = {"x": ("INT32", [1], x.to_bytes(4, "little"))}
        answer = self.connection.infer_raw(self.model, None, made, (), _PATIENCE)
        return list(memoryview(answer["y"].raw).cast("i"))

    def close(self) -> None:
        self.connection.close()


class HttpClient(Client):
    protocol = "HTTP"

    def __init__(self, port: int, model: str, rate: float) -> None:
        super().__init__(port, model, rate)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)

    def ask(self, x: int) -> list[int]:
        tensor = {"name": "x", "shape": [1], "datatype": "INT32", "data": [x]}
        body = json.dumps({"inputs": [tensor]})
        try:
            self.connection.request("POST", f"/v2/models/{self.model}/infer", body)
            answer = self.connection.getresponse()
            said = answer.read()
        except Exception:
            self.connection.close()  # the next request opens it anew
            raise
        if answer.status != http.client.OK:
            raise ValueError(f"{answer.status}: {said[:500]!r}")
        return list(json.loads(said)["outputs"][0]["data"])

    def close(self) -> None:
        self.connection.close()


def summary(clients: list[Client]) -> dict[str, Any]:
    """All that was told, by phase and protocol."""
    phases: dict[str, dict[str, Any]] = {}
    for phase in dict.fromkeys(name for client in clients for name in [*client.told]):
        for protocol in dict.fromkeys(client.protocol for client in clients):
            told = [one.told[phase] for one in clients if one.protocol == protocol]
            times = sorted(took for one in told for took in one.times)
            phases.setdefault(phase, {})[protocol] = {
                "answered": len(times),
                "failed": sum(one.failed for one in told),
                "mixed": sum(one.mixed for one in told),
                "reasons": [reason for one in told for reason in one.reasons][:_KEPT],
                "p50": statistics.median(times),
                "p99": times[len(times) * 99 // 100],
                "longest": times[-1],
            }
    seen: dict[int, float] = {}
    for client in clients:
        for number, when in client.seen.items():
            seen[number] = min(when, seen.get(number, when))
    return {"phases": phases, "seen": seen}


def main() -> None:
    """Ask until stdin ends."""
    http_port, grpc_port, model, count, rate = sys.argv[1:]
    clients: list[Client] = []
    for _ in range(int(count)):
        clients.append(GrpcClient(int(grpc_port), model, float(rate)))
        clients.append(HttpClient(int(http_port), model, float(rate)))
    for line in sys.stdin:
        for client in clients:
            client.phase = line.strip()
            if not client.is_alive():
                client.start()
    for client in clients:
        client.stopping.set()
    for client in clients:
        client.join()
    print(json.dumps(summary(clients)))


if __name__ == "__main__":
    main()
