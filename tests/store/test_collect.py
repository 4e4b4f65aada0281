"""Collection: nothing reachable goes, everything else does."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.digest import Blob, Digest
from hps.errors import StoreBusyError, StoreCorruptError
from hps.store.blobs import Store, Stored
from hps.store.collect import CollectPlan, collect, plan, tree_size
from hps.store.roots import Root
from hps.store.traces import Trace
from tests.store.damage import truncate

DIGESTS = [Digest.of(bytes([number])) for number in range(12)]
digests = st.sampled_from(DIGESTS)


@st.composite
def stored(draw: st.DrawFn) -> Stored:
    return Stored(Blob(draw(digests), draw(st.integers(0, 99))), draw(st.integers(0, 9)))


stored_sets = st.lists(stored(), unique_by=lambda thing: thing.blob.digest)
roots_lists = st.lists(
    st.builds(
        Root, st.just(Path("/p")), st.just("cpu"), st.lists(digests).map(tuple), st.booleans()
    ),
    max_size=4,
)
traces_lists = st.lists(
    st.builds(
        Trace,
        digests,
        st.just({}),
        st.dictionaries(st.sampled_from("abc"), digests.map(lambda it: Blob(it, 1)), min_size=1),
    ),
    unique_by=lambda trace: trace.derivation,
)


@given(
    blobs=stored_sets,
    traces=traces_lists,
    trees=stored_sets,
    roots=roots_lists,
    before=st.integers(0, 10),
)
def test_the_laws_of_a_plan(
    blobs: list[Stored], traces: list[Trace], trees: list[Stored], roots: list[Root], before: int
) -> None:
    done = plan(blobs, traces, trees, roots, before=before)
    reachable = {digest for root in roots if root.alive for digest in root.digests}
    for things, gone in ((blobs, done.blobs), (trees, done.trees)):
        names = {thing.digest for thing in gone}
        assert not names & reachable  # nothing reachable is collected
        for thing in things:  # all else is, when it is old enough
            stays = thing.blob.digest in reachable or thing.modified >= before
            assert (thing.blob.digest in names) is not stays
    kept = {thing.blob.digest for thing in blobs} - {blob.digest for blob in done.blobs}
    for trace in traces:
        outputs = {blob.digest for blob in trace.outputs.values()}
        if outputs <= reachable:
            assert trace.derivation not in done.traces
        assert (trace.derivation in done.traces) is not (outputs <= reachable | kept)
    assert set(done.roots) == {root for root in roots if not root.alive}
    assert done.size == sum(thing.size for thing in (*done.blobs, *done.trees))


@settings(max_examples=40, deadline=None)
@given(
    contents=st.lists(st.binary(max_size=20), unique=True, max_size=8),
    rooted=st.lists(st.sets(st.integers(0, 7)), max_size=3),
    steps=st.lists(st.sets(st.integers(0, 7), min_size=1), max_size=5),
    gone=st.sets(st.integers(0, 2)),
)
def test_a_real_store_keeps_all_that_living_projects_need(
    tmp_path_factory: pytest.TempPathFactory,
    contents: list[bytes],
    rooted: list[set[int]],
    steps: list[set[int]],
    gone: set[int],
) -> None:
    folder = tmp_path_factory.mktemp("collect")
    store = Store(folder / "store")
    blobs = dict(enumerate(store.add(content) for content in contents))
    for number, wanted in enumerate(steps):
        outputs = {str(n): blobs[n] for n in wanted if n in blobs}
        if outputs:
            store.traces.put(DIGESTS[number], {"kind": "test"}, outputs)
    reachable: set[Digest] = set()
    for number, wanted in enumerate(rooted):
        (project := folder / str(number)).mkdir()
        named = {blobs[n].digest for n in wanted if n in blobs}
        store.roots.set(project, "cpu", named)
        if number in gone:
            project.rmdir()
        else:
            reachable |= named
    foreseen = collect(store, dry_run=True)
    assert len(list(store.list_blobs())) == len(contents)
    assert collect(store) == foreseen
    assert {it.blob.digest for it in store.list_blobs()} == reachable
    left = [trace for trace in store.traces.all() if isinstance(trace, Trace)]
    assert all(b.digest in reachable for trace in left for b in trace.outputs.values())
    for number, wanted in enumerate(steps):
        outputs = {str(n): blobs[n] for n in wanted if n in blobs}
        if outputs and {blob.digest for blob in outputs.values()} <= reachable:
            assert store.traces.get(DIGESTS[number]) == outputs
    assert all(root.alive for root in store.roots.all())
    assert collect(store) == CollectPlan()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_trees_are_kept_by_root_and_removed_whole(store: Store, tmp_path: Path) -> None:
    for digest in DIGESTS[:2]:
        with store.new_tree(digest) as folder:
            (folder / "usr").mkdir()
            (folder / "usr" / "file").write_bytes(b"12345")
            (folder / "usr" / "link").symlink_to(tmp_path)
            (folder / "usr").chmod(0o555)
    (half := store.trees / f".removing-{DIGESTS[0].hex}").mkdir()  # a collection that was killed
    (half / "file").touch()
    store.roots.set(tmp_path, "cpu", [DIGESTS[1]])
    done = collect(store)
    assert done.trees == (Blob(DIGESTS[0], 5),)
    assert [path.name for path in store.trees.iterdir()] == [DIGESTS[1].hex]


def filled(store: Store, digest: Digest, *files: Path, own: bytes = b"12345") -> Path:
    """A tree with a file of its own, and others that it shares."""
    with store.new_tree(digest) as folder:
        (folder / "own").write_bytes(own)
        for number, file in enumerate(files):
            (folder / str(number)).hardlink_to(file)
    return store.trees / digest.hex


def test_a_tree_that_is_held_stays(store: Store) -> None:
    for digest in DIGESTS[:2]:
        filled(store, digest)
    with store.hold_tree(DIGESTS[0]), Store(store.root).hold_tree(DIGESTS[0]):
        assert collect(store, dry_run=True).trees == (Blob(DIGESTS[1], 5),)
        assert collect(store).trees == (Blob(DIGESTS[1], 5),)
        assert (store.trees / DIGESTS[0].hex / "own").read_bytes() == b"12345"
        assert list(store.list_trees()) == [DIGESTS[0]]
    assert collect(store, dry_run=True).trees == (Blob(DIGESTS[0], 5),)
    collect(store)
    assert list(store.trees.iterdir()) == []


def test_a_holder_that_was_killed_holds_nothing(store: Store) -> None:
    filled(store, DIGESTS[0])
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            with store.hold_tree(DIGESTS[0]):
                os.write(writing, b"held")
                signal.pause()
        finally:
            os._exit(1)
    try:
        assert os.read(reading, 4) == b"held"
        assert collect(store).trees == ()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)
    assert len(collect(store).trees) == 1


def test_nobody_begins_to_hold_while_a_collection_removes(store: Store) -> None:
    """Who finds a tree in a session has it; who comes too late finds none."""
    ended, found = threading.Event(), []

    def hold() -> None:
        mine = Store(store.root)
        while not ended.is_set():
            with contextlib.ExitStack() as held:
                with mine.session():
                    tree = mine.tree(DIGESTS[0])
                    if tree is not None:
                        held.enter_context(mine.hold_tree(DIGESTS[0]))
                if tree is not None:
                    found.append((tree / "own").read_bytes())

    holding = threading.Thread(target=hold)
    holding.start()
    try:
        for _ in range(40):
            filled(store, DIGESTS[0])
            collect(store, wait=True)
    finally:
        ended.set()
        holding.join()
    assert set(found) <= {b"12345"}


def test_a_file_that_trees_share_counts_once(store: Store) -> None:
    first = filled(store, DIGESTS[0], own=bytes(1000))
    second = filled(store, DIGESTS[1], first / "own")
    counted: set[tuple[int, int]] = set()
    assert (tree_size(first, counted), tree_size(second, counted)) == (1000, 5)
    assert tree_size(second) == 1005
    assert collect(store, dry_run=True).size == 1005
    with store.hold_tree(DIGESTS[0]):
        assert collect(store).size == 5
    assert collect(store).size == 1000
    first = filled(store, DIGESTS[0], own=bytes(1000))
    filled(store, DIGESTS[1], first / "own")
    hour_ago = time.time() - 3600
    os.utime(first, (hour_ago, hour_ago))
    assert collect(store, older_than=1800).size == 0  # the other tree has the file too
    assert collect(store).size == 1005


def test_what_is_young_stays_with_its_traces(store: Store) -> None:
    old, young = store.add(b"old"), store.add(b"young")
    hour_ago = time.time() - 3600
    os.utime(store.path(old.digest), (hour_ago, hour_ago))
    store.traces.put(DIGESTS[0], {}, {"out": young})
    store.traces.put(DIGESTS[1], {}, {"out": young, "more": old})
    done = collect(store, older_than=1800)
    assert done.blobs == (old,)
    assert done.traces == (DIGESTS[1],)
    assert store.traces.get(DIGESTS[0]) == {"out": young}


def test_damaged_files_and_leftovers_go(store: Store) -> None:
    blob = store.add(b"content")
    store.traces.put(DIGESTS[0], {}, {"out": blob})
    store.traces.path(DIGESTS[0]).chmod(0o644)
    store.traces.path(DIGESTS[0]).write_bytes(b"{")
    truncate(store.path(blob.digest), 1)
    with pytest.raises(StoreCorruptError):
        store.path(blob.digest)
    (store.root / "temporary" / "1-dead").mkdir()
    done = collect(store)
    assert sorted(done.rubbish.values()) == [1, 1]
    assert list(store.quarantine.iterdir()) == []
    assert not store.traces.path(DIGESTS[0]).exists()
    assert not (store.root / "temporary" / "1-dead").exists()


def test_a_damaged_root_stops_the_collection(store: Store, tmp_path: Path) -> None:
    blob = store.add(b"content")
    store.roots.set(tmp_path, "cpu", [blob.digest])
    path = store.roots.path(tmp_path, "cpu")
    path.chmod(0o644)
    path.write_bytes(b"")
    with pytest.raises(StoreCorruptError, match=path.name):
        collect(store)
    assert store.has(blob.digest)


def test_a_running_build_keeps_everything(store: Store) -> None:
    with store.session():
        blob = store.add(b"content")
        with pytest.raises(StoreBusyError, match="builds are using"):
            collect(store)
        assert collect(store, dry_run=True).blobs == (blob,)
        assert store.has(blob.digest)
    assert collect(store).blobs == (blob,)


def test_a_collection_waits_for_builds(store: Store) -> None:
    waiting = threading.Event()
    done: list[CollectPlan] = []
    thread = threading.Thread(
        target=lambda: done.append(collect(store, wait=True, on_wait=waiting.set))
    )
    with store.session():
        blob = store.add(b"content")
        thread.start()
        assert waiting.wait(30)
        assert store.has(blob.digest)
    thread.join(30)
    assert done[0].blobs == (blob,)


def test_where_no_store_is_nothing_is_made(tmp_path: Path) -> None:
    assert collect(Store(tmp_path / "none")) == CollectPlan()
    assert list(tmp_path.iterdir()) == []
