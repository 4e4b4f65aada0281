"""A cache that does not answer costs a bounded time, once, and is told once."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.cache.documents import Parcel, parcel_name, trace_name
from hps.cache.http_place import HttpPlace
from hps.cache.patience import GivenUpError
from hps.digest import Digest
from hps.store.blobs import Store
from hps.store.retry import Deadlines
from tests import servers
from tests.cache.lab import KEY, Graph, Machine, blob, filled, signed
from tests.servers import Behaviour, Exchange, HostileServer

HASTY = Deadlines(
    connect=1, idle=0.3, headers=0.3, attempts=2, first_delay=0.001, longest_delay=0.01
)
SLOW = Deadlines(connect=1, idle=5, headers=5, minimum_rate=1 << 20, rate_window=0.3, attempts=1)


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(Store(tmp_path / "second-store"))


@pytest.fixture
def graph() -> Graph:
    return Graph()


@pytest.mark.parametrize(
    "behaviour",
    [
        servers.silence(),
        servers.dripping_head(0.01),
        servers.stall(b"{", announced=100),
        servers.hang_up(),
        servers.reset(),
        servers.status(500),
        servers.status(401),
        servers.status(429, {"Retry-After": "86400"}),
    ],
)
def test_one_failure_is_enough(
    server: HostileServer, machine: Machine, graph: Graph, behaviour: Behaviour
) -> None:
    server.fallback = behaviour
    cache = machine.add(HttpPlace(server.url, HASTY))
    pulled = machine.pull(graph)
    assert set(pulled.missed) == {*graph.layers, graph.wheel}
    assert not cache.alive
    assert len(machine.notes) == 1
    assert machine.notes[0].startswith("the cache team is not asked any more: ")
    asked = len(server.seen)
    machine.pull(graph)
    with pytest.raises(GivenUpError):
        cache.trace(Digest.of(b"anything"))
    assert len(server.seen) == asked
    assert len(machine.notes) == 1


def test_a_call_that_takes_too_long_ends_all_of_them(
    server: HostileServer, machine: Machine, graph: Graph
) -> None:
    """The place itself would wait for a minute; the end of patience wakes it."""
    server.fallback = servers.silence()
    patient = Deadlines(connect=60, idle=60, headers=60, attempts=1)
    cache = machine.add(HttpPlace(server.url, patient), patience=0.3)
    begun = time.monotonic()
    machine.pull(graph)
    assert time.monotonic() - begun < 30
    assert "no answer within 0.3 s" in machine.notes[0]
    assert not cache.alive


def test_traces_that_all_come_slowly_have_an_end(server: HostileServer, machine: Machine) -> None:
    """Each answer is in time, and a hundred of them would not be."""

    def late(exchange: Exchange) -> None:
        exchange.wait(0.4)
        servers.status(404)(exchange)

    server.fallback = late
    cache = machine.add(HttpPlace(server.url, SLOW), patience=1.5)

    def ask_all() -> None:
        for number in range(100):
            cache.trace(Digest.of(b"%d" % number))

    with pytest.raises(GivenUpError):
        ask_all()
    assert len(server.seen) < 20
    assert "are not all here" in machine.notes[0]
    cache.begin()
    with pytest.raises(GivenUpError):
        cache.trace(Digest.of(b"another target"))


def test_a_transfer_that_drips_is_given_up(
    server: HostileServer, machine: Machine, tmp_path: Path
) -> None:
    body = b"drip " * 100_000
    one = blob(body)

    def drip(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.head(200, {"Content-Length": str(len(body))})
        for at in range(0, len(body), 100):
            if exchange.hostile.stopping.wait(0.02):
                return
            exchange.body(body[at : at + 100])

    server.script(
        f"/{parcel_name(one.digest)}.json", servers.fine(Parcel("identity", one, one).as_bytes())
    )
    server.script(f"/v1/blobs/sha256/{one.digest.hex}", drip)
    cache = machine.add(HttpPlace(server.url, SLOW))
    with pytest.raises(GivenUpError):
        cache.receive(one, machine.store)
    assert "slower than" in machine.notes[0]
    assert not list(machine.store.list_blobs())


def test_a_missing_blob_and_a_lie_are_no_reason_to_give_up(
    machine: Machine, graph: Graph, tmp_path: Path
) -> None:
    place = filled(tmp_path)
    blobs = tmp_path / "cache" / "v1" / "blobs" / "sha256"
    (blobs / graph.outputs(graph.noise)["layer"].digest.hex).unlink()
    cache = machine.add(place)
    pulled = machine.pull(graph)
    assert pulled.missed == (graph.noise,)
    assert cache.alive
    assert any("names a blob that is not there" in why for why in cache.tally.refused)


def test_the_second_cache_is_asked_when_the_first_is_dead(
    server: HostileServer, machine: Machine, graph: Graph, tmp_path: Path
) -> None:
    server.fallback = servers.silence()
    machine.add(HttpPlace(server.url, HASTY), name="dead")
    machine.add(filled(tmp_path), name="alive")
    assert machine.pull(graph).missed == ()
    assert len(machine.notes) == 1


def test_words_of_a_server_are_made_printable(
    server: HostileServer, machine: Machine, graph: Graph
) -> None:
    derivation = graph.derivation(graph.root).digest
    name = trace_name(derivation, KEY.public.fingerprint)
    good = signed(derivation, graph.outputs(graph.root)).data
    server.script(f"/{name}.json", servers.fine(good.replace(b"bundle.v0.3", b"\x1b[31m\\u001b")))
    cache = machine.add(HttpPlace(server.url, HASTY))
    machine.pull(graph)
    assert cache.tally.refused
    assert all(why.isprintable() for why in cache.tally.refused)


def test_stopping_says_nothing(server: HostileServer, machine: Machine) -> None:
    """Ctrl-C is no fault of the cache."""
    server.fallback = servers.silence()
    patient = Deadlines(connect=60, idle=60, headers=60, attempts=1)
    cache = machine.add(HttpPlace(server.url, patient), patience=60)
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            cache.trace(Digest.of(b"x"))
        except GivenUpError as error:
            raised.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not server.seen:
        time.sleep(0.01)
    cache.stop()
    thread.join(30)
    assert len(raised) == 1
    assert machine.notes == []
