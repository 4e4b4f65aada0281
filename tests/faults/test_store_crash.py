"""`kill -9` at every effect of every operation: the store stays whole, and a retry finishes."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.store.blobs import Store
from hps.store.traces import Trace
from hps.store.verify import verify
from tests.faults.store_process import (
    NEW,
    NEW_STEP,
    NEW_TREE,
    OLD,
    OLD_STEP,
    OLD_TREE,
    OPERATIONS,
    TREE_FILES,
)
from tests.faults.tracer import can_trace

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not can_trace(), reason="the tracer knows Linux on x86-64")


def crash(*words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.store_process", *words],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    places = json.loads(done.stdout)
    assert isinstance(places, list)
    return places


def assert_whole(store: Store, allowed_damage: set[Digest]) -> None:
    """No name stands for something that is not all there."""
    for stored in store.list_blobs():
        assert stat.S_IMODE((store.blobs / stored.blob.digest.hex).stat().st_mode) == 0o444
    assert set(verify(store).damaged) <= allowed_damage
    for trace in store.traces.all():
        assert isinstance(trace, Trace)
        assert all(store.has(output.digest) for output in trace.outputs.values())
    store.roots.all()
    for digest in store.list_trees():
        tree = store.tree(digest)
        assert tree is not None
        assert [path.stat().st_size for path in tree.iterdir()] == [100] * TREE_FILES


def assert_old_is_there(store: Store) -> None:
    assert store.read(Digest.of(OLD), 100) == OLD
    assert store.traces.get(OLD_STEP) is not None
    assert store.tree(OLD_TREE) is not None
    (living,) = [root for root in store.roots.all() if root.alive]
    assert {Digest.of(OLD), OLD_TREE} <= set(living.digests)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_crash_point_leaves_a_whole_store(tmp_path: Path, name: str) -> None:
    places = crash("crash", str(tmp_path), name)
    assert len(places) > 7  # a walk that sees nothing is no test
    damaged = {Digest.of(NEW)} if name in {"replace", "quarantine"} else set()
    for place in (tmp_path / each for each in places):
        store = Store(place / "store")
        assert_whole(store, damaged)
        assert_old_is_there(store)
        OPERATIONS[name][1](store, place)
        assert_whole(store, set())
        assert_old_is_there(store)
        own = store.workspace.begin()
        assert list(own.iterdir()) == []
        assert {path.stem for path in own.parent.iterdir()} == {own.name}
        assert_finished(store, name)


def assert_finished(store: Store, name: str) -> None:
    if name in {"add", "commit", "replace", "quarantine"}:
        assert store.read(Digest.of(NEW), len(NEW)) == NEW
    elif name == "trace":
        assert store.traces.get(NEW_STEP) is not None
    elif name == "tree":
        assert store.tree(NEW_TREE) is not None
    elif name == "root":
        assert NEW_TREE in store.roots.all()[0].digests
    else:
        assert not store.has(Digest.of(NEW))
        assert store.tree(NEW_TREE) is None
        assert [path.name for path in store.trees.iterdir()] == [OLD_TREE.hex]
        assert store.traces.get(NEW_STEP) is None
        assert len(store.roots.all()) == 1


def test_the_very_first_write_can_be_cut_short_anywhere(tmp_path: Path) -> None:
    places = crash("crash_first_use", str(tmp_path))
    assert len(places) > 20
    for place in places:
        store = Store(tmp_path / place / "store")
        assert_whole(store, set())
        assert store.read(store.add(NEW).digest, len(NEW)) == NEW
        assert (store.root / "version").read_text() == "1\n"
        own = store.workspace.begin()
        assert {path.stem for path in own.parent.iterdir()} == {own.name}
