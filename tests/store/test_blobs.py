"""The contract of the store: what goes in by digest comes out as those bytes, or not at all."""

import gc
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.digest import Blob, Digest
from hps.errors import (
    BlobMissingError,
    IntegrityError,
    StoreCorruptError,
    StoreError,
    UsageError,
)
from hps.store.blobs import Store
from hps.store.filesystem import Filesystem
from hps.store.place import default_root
from tests.store.damage import truncate

ABSENT = Digest.of(b"absent")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def temporaries(store: Store) -> list[Path]:
    """Unfinished files of all writers."""
    parent = store.workspace.begin().parent
    found = [Path(folder, name) for folder, _, names in os.walk(parent) for name in names]
    return [path for path in found if path.parent != parent]


def test_what_is_added_can_be_read_opened_and_found(store: Store) -> None:
    blob = store.add(b"content")
    assert blob == Blob(Digest.of(b"content"), 7)
    assert store.has(blob.digest)
    assert store.size(blob.digest) == 7
    assert store.path(blob.digest).read_bytes() == b"content"
    assert store.read(blob.digest, 7) == b"content"
    with store.open(blob.digest) as file:
        assert file.read() == b"content"


def test_blobs_lie_as_in_an_oci_layout_and_are_read_only_whatever_the_umask(store: Store) -> None:
    before = os.umask(0o077)
    try:
        blob = store.add(b"content")
    finally:
        os.umask(before)
    path = store.root / "blobs" / "sha256" / blob.digest.hex
    assert store.path(blob.digest) == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_what_is_absent_is_an_error_that_names_it(store: Store) -> None:
    assert not store.has(ABSENT)
    for ask in (store.size, store.path, store.open, store.check):
        with pytest.raises(BlobMissingError, match=ABSENT.hex):
            ask(ABSENT)


def test_a_store_that_nobody_has_any_more_leaves_nothing_unfinished(tmp_path: Path) -> None:
    """At once: not when Python looks for cycles, which may be while somebody copies the folder."""
    store = Store(tmp_path / "store")
    gc.disable()
    try:
        store.add(b"data")
        assert list((tmp_path / "store" / "temporary").iterdir()) != []
        del store
        assert list((tmp_path / "store" / "temporary").iterdir()) == []
    finally:
        gc.enable()


def test_opening_and_asking_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert not store.has(ABSENT)
    assert store.tree(ABSENT) is None
    assert store.traces.get(ABSENT) is None
    assert store.roots.all() == []
    assert list(store.list_blobs()) == []
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=25, deadline=None)
@given(pieces=st.lists(st.binary(max_size=3000), max_size=8))
def test_pieces_give_the_blob_of_their_sum(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    store = Store(tmp_path_factory.mktemp("pieces"))
    whole = b"".join(pieces)
    with store.writer() as writer:
        assert [writer.write(piece) for piece in pieces] == [len(piece) for piece in pieces]
        blob = writer.commit(Digest.of(whole), len(whole))
    assert blob == Blob(Digest.of(whole), len(whole))
    assert store.read(blob.digest, len(whole)) == whole


@pytest.mark.parametrize(
    ("expected", "size"),
    [(Digest.of(b"other"), None), (Digest.of(b"other"), 7), (None, 6), (None, 8)],
)
def test_a_commit_that_is_not_what_was_promised_leaves_nothing(
    store: Store, expected: Digest | None, size: int | None
) -> None:
    with store.writer() as writer:
        writer.write(b"content")
        with pytest.raises(IntegrityError):
            writer.commit(expected, size)
    assert list(store.list_blobs()) == []
    assert temporaries(store) == []


def test_a_writer_that_fails_or_is_given_up_leaves_nothing(store: Store) -> None:
    with store.writer() as writer:
        writer.write(b"x" * (3 << 20))

    def fail() -> None:
        with store.writer() as writer:
            writer.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(store.list_blobs()) == []
    assert temporaries(store) == []


def test_a_file_is_copied_and_compared(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"y" * ((2 << 20) + 1))
    blob = store.add_file(source)
    assert store.path(blob.digest).read_bytes() == source.read_bytes()
    with pytest.raises(IntegrityError, match="promised"):
        store.add_file(source, ABSENT)
    for wrong in (tmp_path / "none", tmp_path):
        with pytest.raises(UsageError, match="cannot read"):
            store.add_file(wrong)
    assert temporaries(store) == []


def damage_truncate(path: Path) -> None:
    truncate(path, 3)


def damage_lengthen(path: Path) -> None:
    path.chmod(0o644)
    with path.open("ab") as file:
        file.write(b"more")


def damage_flip(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"cOntent")


def damage_empty(path: Path) -> None:
    truncate(path, 0)


def damage_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def damage_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def damage_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES = [
    damage_truncate,
    damage_lengthen,
    damage_flip,
    damage_empty,
    damage_link,
    damage_directory,
    damage_pipe,
]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("use", ["path", "open", "read", "check"])
def test_a_damaged_blob_is_refused_set_aside_and_healed(
    store: Store, damage: Callable[[Path], None], use: str
) -> None:
    blob = store.add(b"content")
    path = store.path(blob.digest)
    damage(path)
    asks: dict[str, Callable[[], object]] = {
        "path": lambda: store.path(blob.digest),
        "open": lambda: store.open(blob.digest),
        "read": lambda: store.read(blob.digest, 7),
        "check": lambda: store.check(blob.digest),
    }
    with pytest.raises(StoreCorruptError, match="damaged"):
        asks[use]()
    assert not store.has(blob.digest)
    assert len(list(store.quarantine.iterdir())) == 1
    with pytest.raises(BlobMissingError):
        asks[use]()
    assert store.add(b"content") == blob
    assert store.read(blob.digest, 7) == b"content"


@pytest.mark.parametrize("damage", DAMAGES[:4])
def test_adding_again_heals_a_damaged_blob_that_nobody_has_noticed(
    store: Store, damage: Callable[[Path], None]
) -> None:
    blob = store.add(b"content")
    damage(store.root / "blobs" / "sha256" / blob.digest.hex)
    fresh = Store(store.root)
    with fresh.writer() as writer:
        writer.write(b"content")
        writer.commit(blob.digest)
    assert Store(store.root).read(blob.digest, 7) == b"content"


def test_a_blob_is_hashed_once_in_a_process_and_again_when_its_file_changes(store: Store) -> None:
    blob = store.add(b"content")
    path = Store(store.root).path(blob.digest)
    status = path.stat()
    reader = Store(store.root)
    reader.path(blob.digest)
    # Same length, same inode, same time: only hashing again would notice.
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(b"CONTENT")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    reader.path(blob.digest)
    os.utime(path)
    with pytest.raises(StoreCorruptError):
        reader.path(blob.digest)


def test_read_has_a_limit(store: Store) -> None:
    blob = store.add(b"content")
    with pytest.raises(IntegrityError, match="too large"):
        store.read(blob.digest, 6)


def test_check_reports_its_pieces(store: Store) -> None:
    blob = store.add(b"z" * ((2 << 20) + 5))
    counts: list[int] = []
    assert store.check(blob.digest, counts.append) == blob.size == sum(counts)
    assert len(counts) == 3


def test_listing_leaves_out_what_is_no_blob(store: Store) -> None:
    blob = store.add(b"content")
    (store.blobs / "notes.txt").write_text("mine")
    (store.blobs / ("a" * 64)).mkdir()
    (store.trees / ".removing-x").mkdir()
    assert [stored.blob for stored in store.list_blobs()] == [blob]
    assert list(store.list_trees()) == []


def test_a_tree_appears_whole_or_not_at_all(store: Store) -> None:
    def fail() -> None:
        with store.new_tree(ABSENT) as folder:
            (folder / "half").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.tree(ABSENT) is None
    with store.new_tree(ABSENT) as folder:
        (folder / "usr").mkdir()
        (folder / "usr" / "file").write_text("x")
        assert store.tree(ABSENT) is None
    tree = store.tree(ABSENT)
    assert tree is not None
    assert (tree / "usr" / "file").read_text() == "x"
    assert list(store.list_trees()) == [ABSENT]
    assert temporaries(store) == []


def test_all_of_a_tree_is_on_the_disk_before_its_name_is(tmp_path: Path) -> None:
    order: list[str] = []

    class Recorder(Filesystem):
        def sync_everything(self, path: Path) -> None:
            assert (path / "file").exists()
            super().sync_everything(path)
            order.append("content")

        def rename_tree(self, old: Path, new: Path) -> bool:
            order.append("name")
            return super().rename_tree(old, new)

        def sync_directory(self, path: Path) -> None:
            super().sync_directory(path)
            order.append(path.name)

    store = Store(tmp_path / "store", Recorder())
    with store.new_tree(ABSENT) as folder:
        (folder / "file").touch()
        order.clear()
    assert order == ["content", "name", "trees"]


def test_the_first_of_two_trees_stays(store: Store) -> None:
    with store.new_tree(ABSENT) as slow:
        (slow / "file").write_text("slow")
        with Store(store.root).new_tree(ABSENT) as fast:
            (fast / "file").write_text("fast")
    tree = store.tree(ABSENT)
    assert tree is not None
    assert (tree / "file").read_text() == "fast"
    assert temporaries(store) == []


def test_the_default_root_is_named_by_the_environment_or_in_the_cache(tmp_path: Path) -> None:
    assert default_root({"HPS_STORE": str(tmp_path)}) == tmp_path
    assert default_root({"HPS_STORE": "relative"}) == Path.cwd() / "relative"
    for empty in ({}, {"HPS_STORE": ""}):
        assert default_root(empty).parts[-2:] == ("hps", "store")


@pytest.mark.parametrize("version", ["2\n", "10", "", "one", "1.5", "\xff"])
def test_another_layout_is_refused(store: Store, version: str) -> None:
    store.add(b"content")
    (store.root / "version").chmod(0o644)
    (store.root / "version").write_text(version, encoding="latin-1")
    with pytest.raises(StoreError, match="layout") as caught:
        Store(store.root)
    newer = version.strip() in {"2", "10"}
    assert ("update hps" in (caught.value.hint or "")) is newer


def test_a_folder_with_other_things_in_it_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match=r"no store") as caught:
        Store(tmp_path)
    assert caught.value.got == "thesis.tex"
    (tmp_path / "thesis.tex").unlink()
    Store(tmp_path).add(b"now it is one")


def test_a_store_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError):
        Store(tmp_path / "file").add(b"x")
