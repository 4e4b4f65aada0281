"""Verification of a whole store: it finds all damage, and nothing else."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.digest import Digest
from hps.errors import OfflineError
from hps.store.blobs import Store
from hps.store.verify import verify
from tests.store.damage import truncate

CONTENTS = [bytes([65 + number]) * 100 for number in range(6)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    for content in CONTENTS:
        store.add(content)
    return store


def test_a_whole_store_is_whole(store: Store) -> None:
    counts: list[int] = []
    report = verify(store, progress=counts.append)
    assert (report.blobs, report.size, report.damaged, report.missing) == (6, 600, (), ())
    assert sum(counts) == 600


@settings(max_examples=20, deadline=None)
@given(broken=st.sets(st.integers(0, 5)))
def test_exactly_the_damaged_blobs_are_found_and_set_aside(
    tmp_path_factory: pytest.TempPathFactory, broken: set[int]
) -> None:
    store = Store(tmp_path_factory.mktemp("verify"))
    blobs = [store.add(content) for content in CONTENTS]
    for number in broken:
        truncate(store.path(blobs[number].digest), number)
    report = verify(store)
    assert set(report.damaged) == {blobs[number].digest for number in broken}
    assert report.unrepaired == report.damaged
    assert len(report.errors) == len(broken)
    assert [store.has(blob.digest) for blob in blobs] == [n not in broken for n in range(6)]
    again = verify(store)
    assert (again.blobs, again.damaged) == (6 - len(broken), ())


def test_damage_with_the_old_time_is_found_too(store: Store) -> None:
    """What this process believes about a blob does not count."""
    path = store.path(Digest.of(CONTENTS[0]))
    status = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(b"B")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert verify(store).damaged == (Digest.of(CONTENTS[0]),)


def test_what_can_be_had_again_is_repaired(store: Store) -> None:
    names = [Digest.of(content) for content in CONTENTS]
    for digest in names[:3]:
        truncate(store.path(digest), 1)

    def repair(digest: Digest) -> None:
        if digest == names[0]:
            raise OfflineError("not now")
        if digest == names[1]:
            return  # claims to have done it
        store.add(CONTENTS[2])

    report = verify(store, repair)
    assert report.repaired == (names[2],)
    assert set(report.unrepaired) == set(names[:2])
    assert store.read(names[2], 100) == CONTENTS[2]
    assert any("not now" in text for text in report.errors)


def test_what_roots_name_and_nobody_has_is_told(store: Store, tmp_path: Path) -> None:
    absent, tree = Digest.of(b"absent"), Digest.of(b"tree")
    with store.new_tree(tree) as folder:
        (folder / "file").touch()
    store.roots.set(tmp_path, "cpu", [absent, tree, Digest.of(CONTENTS[0])])
    assert verify(store).missing == (absent,)


def test_damaged_traces_are_counted(store: Store) -> None:
    step = Digest.of(b"step")
    store.traces.put(step, {}, {"out": store.add(b"x")})
    store.traces.path(step).chmod(0o644)
    store.traces.path(step).write_bytes(b"")
    assert verify(store).traces == 1


def test_where_no_store_is_nothing_is_made(tmp_path: Path) -> None:
    assert verify(Store(tmp_path / "none")).blobs == 0
    assert list(tmp_path.iterdir()) == []
