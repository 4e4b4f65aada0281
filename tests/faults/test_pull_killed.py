"""kill -9 in the middle of a pull: the next process carries on, and all bytes are right."""

import subprocess
import sys
from pathlib import Path

import pytest

from hps.monitor.pull import pull
from hps.monitor.sources.http import HttpPlace, HttpSource
from tests import servers
from tests.monitor.sources.contract import QUICK, contents, noise
from tests.servers import Behaviour, Exchange, HostileServer

MIB = 1 << 20
BODY = noise(12 * MIB)
HEADS = {"ETag": '"v1"', "Content-Length": str(len(BODY))}


def stuck_after(size: int) -> Behaviour:
    """The first bytes, and then nothing until the client is gone."""

    def behave(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.head(200, HEADS)
        if exchange.command == "GET":
            exchange.body(BODY[:size])
            exchange.connection.recv(1)

    return behave


@pytest.mark.parametrize("reached", [MIB, 5 * MIB, 11 * MIB])
def test_a_killed_pull_is_carried_on_by_the_next_process(tmp_path: Path, reached: int) -> None:
    with HostileServer() as server:
        stuck, fine = stuck_after(reached), servers.fine(BODY, etag='"v1"')

        def behave(exchange: Exchange) -> None:
            first = sum(each.method == "GET" for each in server.seen if each.path == "/model") == 1
            (stuck if first and exchange.command == "GET" else fine)(exchange)

        server.script("/model", behave)
        command = [
            sys.executable,
            "-m",
            "tests.faults.killed_pull",
            server.url,
            str(tmp_path / "pull"),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) >= reached:
                    process.kill()
        assert (tmp_path / "pull" / "packed").stat().st_size == reached
        source = HttpSource(HttpPlace(base=server.url, model="model", donefile="done"))
        try:
            pulled = pull(source, tmp_path / "pull", effort=QUICK)
        finally:
            source.close()
        assert contents(pulled) == {"": BODY}
        assert pulled.received == len(BODY) - reached
