"""Roots: per project, replaced as a whole, gone with the project's folder."""

import os
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.errors import StoreCorruptError
from hps.store.blobs import Store

ONE, TWO = sorted((Digest.of(b"one"), Digest.of(b"two")))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (folder := tmp_path / "project").mkdir()
    return folder


def test_a_root_keeps_what_was_set_last(store: Store, project: Path) -> None:
    store.roots.set(project, "cpu", [TWO, ONE, TWO])
    store.roots.set(project, "gpu", [])
    store.roots.set(project, "cpu", iter([TWO, ONE]))
    cpu, gpu = Store(store.root).roots.all()
    assert (cpu.project, cpu.name, cpu.digests, cpu.alive) == (project, "cpu", (ONE, TWO), True)
    assert (gpu.name, gpu.digests) == ("gpu", ())
    store.roots.remove(project, "cpu")
    store.roots.remove(project, "cpu")
    assert [root.name for root in store.roots.all()] == ["gpu"]


def test_what_a_root_keeps_can_be_asked(store: Store, project: Path) -> None:
    assert not store.roots.keeps(project, "cpu", [])
    store.roots.set(project, "cpu", [ONE])
    assert store.roots.keeps(project, "cpu", [ONE])
    assert store.roots.keeps(project, "cpu", [])
    assert not store.roots.keeps(project, "cpu", [ONE, TWO])
    path = store.roots.path(project, "cpu")
    path.unlink()
    path.write_bytes(b"damaged")
    assert not store.roots.keeps(project, "cpu", [ONE])


def test_projects_do_not_share_names(store: Store, project: Path, tmp_path: Path) -> None:
    (other := tmp_path / "other").mkdir()
    store.roots.set(project, "cpu", [ONE])
    store.roots.set(other, "cpu", [TWO])
    assert [(root.project, root.digests) for root in store.roots.all()] == [
        (other, (TWO,)),
        (project, (ONE,)),
    ]


def test_a_relative_project_is_the_folder_it_names_now(
    store: Store, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.parent)
    store.roots.set(Path("project"), "cpu", [ONE])
    assert store.roots.all()[0].project == project


@pytest.mark.parametrize("name", [b"caf\xc3\xa9", b"latin-\xe9", b"line\nend", b"per%20cent # ?"])
def test_a_project_may_have_any_name(store: Store, tmp_path: Path, name: bytes) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    folder.mkdir()
    store.roots.set(folder, "cpu", [ONE])
    (root,) = store.roots.all()
    assert (root.project, root.alive) == (folder, True)


def test_a_root_no_longer_counts_when_the_folder_is_gone(store: Store, project: Path) -> None:
    store.roots.set(project, "cpu", [ONE])
    project.rmdir()
    assert [root.alive for root in store.roots.all()] == [False]
    project.mkdir()
    assert [root.alive for root in store.roots.all()] == [True]


def test_a_root_below_what_became_a_file_no_longer_counts(store: Store, project: Path) -> None:
    store.roots.set(project / "below", "cpu", [ONE])
    project.rmdir()
    project.touch()
    assert [root.alive for root in store.roots.all()] == [False]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b'{"version":2,"project":"file:///x","name":"cpu","digests":[]}',
        b'{"version":1,"project":"/x","name":"cpu","digests":[]}',
        b'{"version":1,"project":"file:///x","name":"cpu","digests":["sha256:12"]}',
        b'{"version":1,"project":"file:///x","name":"cpu","digests":7}',
        b'{"version":1,"project":7,"name":"cpu","digests":[]}',
        b"\xff",
    ],
)
def test_a_damaged_root_is_an_error_that_names_its_file(
    store: Store, project: Path, data: bytes
) -> None:
    store.roots.set(project, "cpu", [ONE])
    path = store.roots.path(project, "cpu")
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(StoreCorruptError, match=path.name):
        store.roots.all()
    store.roots.set(project, "cpu", [ONE])
    assert store.roots.all()[0].digests == (ONE,)


def test_other_files_in_the_folder_are_not_overlooked(store: Store, project: Path) -> None:
    store.roots.set(project, "cpu", [ONE])
    (store.root / "roots" / ".nfs0001").touch()
    assert len(store.roots.all()) == 1
    (store.root / "roots" / "note").touch()
    with pytest.raises(StoreCorruptError, match="note"):
        store.roots.all()
