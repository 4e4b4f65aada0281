"""What one machine has made is had by another, proved by what it expects and signed as it wants."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from hps.cache.documents import Parcel, parcel_name, trace_name, trace_statement
from hps.cache.expectation import Outputs
from hps.cache.folder_place import FolderPlace
from hps.digest import Blob, Digest
from hps.errors import (
    KeyUnusableError,
    NotReproducibleError,
    PublishError,
    StoreCorruptError,
    StoreError,
)
from hps.store.blobs import Store
from hps.store.filesystem import Filesystem
from hps.store.traces import Trace
from hps.trust.bundle import Bundle
from hps.trust.policy import Policy
from tests.cache.lab import (
    KEY,
    SECOND,
    STRANGER,
    Graph,
    Machine,
    blob,
    filled,
    signer,
    trusting,
    watching,
)


@pytest.fixture
def graph() -> Graph:
    return Graph()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(Store(tmp_path / "second-store"))


def received(machine: Machine) -> set[Digest]:
    return {one.derivation for one in machine.store.received.all() if isinstance(one, Trace)}


def test_the_second_machine_gets_what_the_first_has_made(
    graph: Graph, machine: Machine, tmp_path: Path
) -> None:
    cache = machine.add(filled(tmp_path))
    pulled = machine.pull(graph)
    assert set(pulled.received) == set(graph.layers)
    assert pulled.missed == ()
    for step in graph.layers:
        assert machine.has(graph, step)
    # What no lock proves is known, and is not here; own traces there are none.
    assert not machine.has(graph, graph.compiler)
    assert received(machine) == {
        graph.derivation(step).digest for step in (*graph.layers, graph.compiler, graph.wheel)
    }
    assert not list(machine.store.traces.all())
    assert cache.tally.blobs == 6
    assert 300_000 < cache.tally.wire < 310_000 < cache.tally.plain
    assert machine.notes == []


def test_what_is_there_is_not_asked_for_again(
    graph: Graph, machine: Machine, tmp_path: Path
) -> None:
    machine.add(filled(tmp_path))
    machine.pull(graph)
    again = Machine(machine.store)
    cache = again.add(FolderPlace(tmp_path / "cache"))
    pulled = again.pull(graph)
    assert not pulled.wanted
    assert cache.tally.asked == 0


def test_what_was_collected_is_fetched_again_without_asking_for_traces(
    graph: Graph, machine: Machine, tmp_path: Path
) -> None:
    machine.add(filled(tmp_path))
    machine.pull(graph)
    (machine.store.blobs / graph.outputs(graph.large)["layer"].digest.hex).unlink()
    again = Machine(machine.store)
    cache = again.add(FolderPlace(tmp_path / "cache"))
    assert list(again.pull(graph).received) == [graph.large]
    assert (cache.tally.asked, cache.tally.blobs) == (0, 1)


def test_only_what_is_missing_of_a_broken_off_pull_moves(
    graph: Graph, machine: Machine, tmp_path: Path
) -> None:
    cache = machine.add(filled(tmp_path))
    machine.store.add(graph.bodies[graph.noise]["layer"])
    assert set(machine.pull(graph).received) == set(graph.layers)
    assert cache.tally.blobs == 5


def test_a_wheel_is_fetched_when_its_layer_is_not_there(
    graph: Graph, machine: Machine, tmp_path: Path
) -> None:
    """The way to what is missing leads through what somebody has made."""
    place = filled(tmp_path)
    trace = trace_name(graph.derivation(graph.noise).digest, KEY.public.fingerprint)
    (tmp_path / "cache" / f"{trace}.json").unlink()
    machine.add(place)
    pulled = machine.pull(graph)
    assert graph.noise in pulled.missed
    assert graph.wheel in pulled.received
    assert machine.has(graph, graph.wheel)


def test_a_push_sends_each_output_once(graph: Graph, tmp_path: Path) -> None:
    store = Store(tmp_path / "first-store")
    graph.fill(store)
    place = FolderPlace(tmp_path / "cache")
    first = graph.push(store, place)
    assert (len(first.sent), len(first.there), len(first.traces)) == (7, 0, 5)
    assert first.sent[graph.outputs(graph.large)["layer"].digest].encoding == "zstd"
    assert first.sent[graph.outputs(graph.noise)["layer"].digest].encoding == "identity"
    second = graph.push(store, place)
    assert (len(second.sent), len(second.there), second.traces, second.known) == (0, 7, [], 5)
    again = graph.push(store, place, again=True)
    assert len(again.sent) == 7
    other = graph.push(store, place, SECOND)
    assert (len(other.sent), len(other.traces)) == (0, 5)


def test_two_pushers_and_two_pullers_at_once(graph: Graph, tmp_path: Path) -> None:
    place = FolderPlace(tmp_path / "cache")
    failures: list[BaseException] = []

    def push(number: int) -> None:
        try:
            store = Store(tmp_path / f"store-{number}")
            graph.fill(store)
            graph.push(store, FolderPlace(tmp_path / "cache"), (KEY, SECOND)[number % 2])
        except BaseException as error:
            failures.append(error)

    def pull(number: int) -> None:
        try:
            machine = Machine(Store(tmp_path / f"reader-{number}"))
            machine.add(FolderPlace(tmp_path / "cache"), trusting(KEY, SECOND))
            machine.pull(graph)
            for stored in machine.store.list_blobs():
                machine.store.check(stored.blob.digest)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(3)]
    threads += [threading.Thread(target=pull, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    machine = Machine(Store(tmp_path / "last"))
    machine.add(place, trusting(KEY))
    assert set(machine.pull(graph).received) == set(graph.layers)


def test_what_may_not_leave_stays(graph: Graph, machine: Machine, tmp_path: Path) -> None:
    store = Store(tmp_path / "first-store")
    graph.fill(store)
    place = FolderPlace(tmp_path / "cache")
    done = graph.push(store, place, held={graph.noise: ("cudnn",), graph.wheel: ("cudnn",)})
    assert done.held == {"layer noise": ("cudnn",), "wheel crafted": ("cudnn",)}
    text = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*.json"))
    for step in (graph.noise, graph.wheel):
        for one in graph.outputs(step).values():
            assert one.digest.hex.encode() not in text
            assert not place.has(one)
    machine.add(place)
    assert machine.pull(graph).missed == (graph.noise, graph.wheel)


def test_what_others_made_is_not_signed_here(
    graph: Graph, machine: Machine, tmp_path: Path
) -> None:
    """Who pushes what was pulled would vouch for what somebody else says."""
    machine.add(filled(tmp_path))
    machine.pull(graph)
    place = FolderPlace(tmp_path / "another")
    done = graph.push(machine.store, place, SECOND, received=machine.received)
    assert (done.traces, done.sent) == ([], {})
    assert len(done.strange) == 5


def test_what_was_not_made_is_left_out(graph: Graph, tmp_path: Path) -> None:
    store = Store(tmp_path / "first-store")
    graph.fill(store, [graph.root, graph.compiler, graph.large])
    done = graph.push(store, FolderPlace(tmp_path / "cache"))
    assert done.unmade == ["wheel crafted", "layer noise"]
    assert done.traces == ["compiler", "layer large", "root"]


def test_a_collected_output_is_left_out(graph: Graph, tmp_path: Path) -> None:
    store = Store(tmp_path / "first-store")
    graph.fill(store)
    (store.blobs / graph.outputs(graph.large)["layer"].digest.hex).unlink()
    done = graph.push(store, FolderPlace(tmp_path / "cache"))
    assert done.unmade == ["layer large (collected)"]
    assert "layer large" not in done.traces


def test_damage_is_not_shared(graph: Graph, machine: Machine, tmp_path: Path) -> None:
    first = Store(tmp_path / "first-store")
    graph.fill(first)
    path = first.blobs / graph.outputs(graph.large)["layer"].digest.hex
    path.unlink()
    path.write_bytes(b"large!" * 60_000)
    place = FolderPlace(tmp_path / "cache")
    with pytest.raises(StoreCorruptError):
        graph.push(Store(tmp_path / "first-store"), place)
    assert not place.has(graph.outputs(graph.large)["layer"])
    machine.add(place)
    assert graph.large in machine.pull(graph).missed


def test_what_contradicts_the_lock_is_not_shared(graph: Graph, tmp_path: Path) -> None:
    store = Store(tmp_path / "first-store")
    graph.fill(store)
    derivation = graph.derivation(graph.large).digest
    store.traces.remove(derivation)
    store.traces.put(derivation, {}, {"layer": store.add(b"x"), "index": store.add(b"y")})
    with pytest.raises(NotReproducibleError, match="layer large"):
        graph.push(store, FolderPlace(tmp_path / "cache"))


def test_another_result_under_the_same_key_is_told(graph: Graph, tmp_path: Path) -> None:
    place = filled(tmp_path)
    derivation = graph.derivation(graph.large).digest
    other = {"layer": blob(b"x"), "index": blob(b"y")}
    name = trace_name(derivation, KEY.public.fingerprint)
    place.write(name, Bundle.sign(trace_statement(derivation, "", other), signer()).as_bytes())
    with pytest.raises(NotReproducibleError, match="signed with this very key"):
        graph.push(Store(tmp_path / "first-store"), place)


@pytest.mark.parametrize("there", [b"garbage", b"", b"{}", b"x" * (2 << 20)])
def test_garbage_in_the_place_of_documents_is_written_anew(
    graph: Graph, machine: Machine, tmp_path: Path, there: bytes
) -> None:
    place = filled(tmp_path)
    for path in (tmp_path / "cache").rglob("*.json"):
        path.write_bytes(there)
    done = graph.push(Store(tmp_path / "first-store"), place)
    assert len(done.traces) == 5
    machine.add(place)
    assert machine.pull(graph).missed == ()


def test_a_key_of_another_role_signs_no_traces(graph: Graph, tmp_path: Path) -> None:
    from hps.cache.push import Push

    store = Store(tmp_path / "first-store")
    graph.fill(store)
    place = FolderPlace(tmp_path / "cache")
    with pytest.raises(KeyUnusableError):
        Push(store, place, signer(KEY, "rebuild")).run(
            graph.layers, proved={}, held={}, lent=lambda _: None, watching=watching
        )
    assert not (tmp_path / "cache").exists()


def test_the_first_failure_ends_a_push(graph: Graph, tmp_path: Path) -> None:
    store = Store(tmp_path / "first-store")
    graph.fill(store)
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    with pytest.raises(PublishError):
        graph.push(store, FolderPlace(tmp_path / "cache"))


def test_a_full_disk_is_told_and_loses_nothing(graph: Graph, tmp_path: Path) -> None:
    class Full(Filesystem):
        full = True

        def write(self, file: object, data: bytes) -> None:
            if self.full and len(data) > 100_000:
                raise StoreError("cannot write: no space left on device")
            super().write(file, data)  # type: ignore[arg-type]

    place = filled(tmp_path)
    disk = Full()
    machine = Machine(Store(tmp_path / "second-store", disk))
    machine.add(place)
    with pytest.raises(StoreError, match="no space"):
        machine.pull(graph)
    disk.full = False
    again = Machine(machine.store)
    again.add(place)
    assert again.pull(graph).missed == ()


# What hostile caches do.


def test_a_poisoned_blob_is_refused(graph: Graph, machine: Machine, tmp_path: Path) -> None:
    place = filled(tmp_path)
    noise = graph.outputs(graph.noise)["layer"]
    path = tmp_path / "cache" / "v1" / "blobs" / "sha256" / noise.digest.hex
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(bytes(data))
    cache = machine.add(place)
    pulled = machine.pull(graph)
    assert pulled.missed == (graph.noise,)
    assert not machine.store.has(noise.digest)
    assert not machine.store.has(Digest.of(bytes(data)))
    assert any(str(noise.digest) in why for why in cache.tally.refused)
    assert graph.derivation(graph.noise).digest not in received(machine)


def test_a_poisoned_blob_of_one_cache_is_had_from_another(
    graph: Graph, machine: Machine, tmp_path: Path
) -> None:
    filled(tmp_path / "good")
    filled(tmp_path / "bad")
    for path in (tmp_path / "bad" / "cache" / "v1" / "blobs" / "sha256").iterdir():
        path.write_bytes(bytes(path.stat().st_size))
    bad = machine.add(FolderPlace(tmp_path / "bad" / "cache"), name="bad")
    good = machine.add(FolderPlace(tmp_path / "good" / "cache"), name="good")
    assert machine.pull(graph).missed == ()
    assert (bad.tally.blobs, good.tally.blobs) == (0, 6)
    assert len(bad.tally.refused) == 6


@pytest.mark.parametrize("policy", [trusting(SECOND), trusting(STRANGER, SECOND)])
def test_strangers_are_not_even_looked_at(
    graph: Graph, machine: Machine, tmp_path: Path, policy: Policy
) -> None:
    cache = machine.add(filled(tmp_path), policy)
    pulled = machine.pull(graph)
    assert not pulled.received
    assert set(pulled.missed) == {*graph.layers, graph.wheel}
    assert not list(machine.store.list_blobs())
    assert cache.tally.refused == []


def test_a_forged_trace_under_a_trusted_name_is_refused(
    graph: Graph, machine: Machine, tmp_path: Path
) -> None:
    place = filled(tmp_path)
    derivation = graph.derivation(graph.large).digest
    statement = trace_statement(derivation, "layer large", graph.outputs(graph.large))
    forged = Bundle.sign(statement, signer(STRANGER)).as_bytes()
    place.write(trace_name(derivation, KEY.public.fingerprint), forged)
    cache = machine.add(place)
    assert machine.pull(graph).missed == (graph.large,)
    assert any("key-untrusted" in why for why in cache.tally.refused)


def lying(graph: Graph, place: FolderPlace, outputs: Outputs, step: object = None) -> None:
    """A trusted key says something that is not so, and its bytes are there."""
    derivation = graph.derivation(graph.large).digest
    statement = trace_statement(derivation, "layer large", outputs)
    name = trace_name(derivation, KEY.public.fingerprint)
    place.write(name, Bundle.sign(statement, signer()).as_bytes())


def put(place: FolderPlace, folder: Path, data: bytes) -> Blob:
    one = blob(data)
    (folder / "body").write_bytes(data)
    place.upload(one, folder / "body")
    place.write(parcel_name(one.digest), Parcel("identity", one, one).as_bytes())
    return one


def test_a_trusted_key_that_lies_about_a_layer_changes_nothing(
    graph: Graph, machine: Machine, tmp_path: Path
) -> None:
    """The lock is right, whoever has signed."""
    place = filled(tmp_path)
    evil = put(place, tmp_path, b"evil layer")
    lying(graph, place, {"layer": evil, "index": graph.outputs(graph.large)["index"]})
    cache = machine.add(place)
    pulled = machine.pull(graph)
    assert pulled.missed == (graph.large,)
    assert not machine.store.has(evil.digest)
    assert any("hps.lock" in why for why in cache.tally.refused)


@pytest.mark.parametrize("names", [("layer",), ("layer", "index", "more"), ("index",), ("other",)])
def test_outputs_that_a_step_does_not_have(
    graph: Graph, machine: Machine, tmp_path: Path, names: tuple[str, ...]
) -> None:
    place = filled(tmp_path)
    known = graph.outputs(graph.large)
    lying(graph, place, {name: known.get(name, known["index"]) for name in names})
    machine.add(place)
    assert graph.large in machine.pull(graph).missed


def test_an_index_that_lies_is_refused(graph: Graph, machine: Machine, tmp_path: Path) -> None:
    place = filled(tmp_path)
    evil = put(place, tmp_path, b"evil index")
    lying(graph, place, {"layer": graph.outputs(graph.large)["layer"], "index": evil})
    machine.add(place)
    good = {graph.outputs(step)["index"] for step in graph.layers}

    def check(outputs: Outputs) -> str | None:
        return None if outputs["index"] in good else "its index is another one"

    pulled = machine.pull(graph, graph.expectations(check))
    assert pulled.missed == (graph.large,)
    assert any("its index is another one" in why for why in pulled.refused)
    assert graph.derivation(graph.large).digest not in received(machine)


def test_a_lie_about_a_signpost_leads_nowhere(
    graph: Graph, machine: Machine, tmp_path: Path
) -> None:
    """Outputs of steps that no lock proves are never fetched."""
    place = filled(tmp_path)
    evil = put(place, tmp_path, b"evil compiler")
    derivation = graph.derivation(graph.compiler).digest
    statement = trace_statement(derivation, "compiler", {"code": evil})
    name = trace_name(derivation, KEY.public.fingerprint)
    place.write(name, Bundle.sign(statement, signer()).as_bytes())
    machine.add(place)
    pulled = machine.pull(graph)
    assert set(pulled.missed) == {graph.large, graph.noise}
    assert not machine.store.has(evil.digest)


@pytest.mark.parametrize(
    "outputs", [{"other": blob(b"x")}, {"code": Blob(Digest.of(b"x"), (1 << 40) - 1)}]
)
def test_a_signpost_without_the_name_that_is_needed(
    graph: Graph, machine: Machine, tmp_path: Path, outputs: Outputs
) -> None:
    place = filled(tmp_path)
    derivation = graph.derivation(graph.compiler).digest
    name = trace_name(derivation, KEY.public.fingerprint)
    statement = trace_statement(derivation, "compiler", outputs)
    place.write(name, Bundle.sign(statement, signer()).as_bytes())
    machine.add(place)
    assert graph.root in machine.pull(graph).received


@pytest.mark.parametrize(
    "change",
    [
        {"encoding": "identity"},
        {"encoding": "gzip"},
        {"wire": {"digest": str(Digest.of(b"elsewhere")), "size": 9}},
        {"plain": {"digest": str(Digest.of(b"elsewhere")), "size": 9}},
        {"version": 2},
    ],
)
def test_parcels_that_lie(
    graph: Graph, machine: Machine, tmp_path: Path, change: dict[str, object]
) -> None:
    place = filled(tmp_path)
    layer = graph.outputs(graph.large)["layer"]
    path = tmp_path / "cache" / f"{parcel_name(layer.digest)}.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | change))
    machine.add(place)
    assert machine.pull(graph).missed == (graph.large,)
    assert not machine.store.has(layer.digest)


def test_a_key_that_leaves_the_policy_counts_no_more(
    graph: Graph, machine: Machine, tmp_path: Path
) -> None:
    machine.add(filled(tmp_path))
    machine.pull(graph)
    derivation = graph.derivation(graph.large).digest
    assert machine.received.get(derivation) == graph.outputs(graph.large)
    changed = replace(machine, policies=[trusting(SECOND)])
    assert changed.received.get(derivation) is None


def test_a_received_trace_that_was_edited_counts_for_nothing(
    graph: Graph, machine: Machine, tmp_path: Path
) -> None:
    """Who can write the store's file can also seal it; the signature stays the signer's."""
    machine.add(filled(tmp_path))
    machine.pull(graph)
    derivation = graph.derivation(graph.large).digest
    record = machine.store.received.find(derivation)
    assert record is not None
    machine.store.received.remove(derivation)
    machine.store.received.put(derivation, record.record, {"layer": blob(b"evil")})
    assert machine.received.get(derivation) is None
