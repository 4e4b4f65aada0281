"""Exports of a store: the same bytes each time, carried on, and believed byte by byte."""

import fcntl
import hashlib
import io
import json
import os
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hps import canonical
from hps.digest import Blob, Digest
from hps.errors import (
    IntegrityError,
    MalformedError,
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    UsageError,
)
from hps.store.blobs import Store
from hps.store.export_manifest import LIMIT, NAME, Exported, Manifest, parse
from hps.store.export_read import Imported, read_export, read_manifest
from hps.store.export_write import MARK, Written, is_archive, write_archive, write_folder

BIG = random.Random(1).randbytes(3_000_001)
BODIES = {"a.whl": BIG, "b.deb": b"deb" * 1000, "empty": b""}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    for body in BODIES.values():
        made.add(body)
    return made


def exported(bodies: dict[str, bytes]) -> list[Exported]:
    return [Exported(Blob(Digest.of(body), len(body)), name) for name, body in bodies.items()]


MANIFEST = Manifest.make("demo", ["cpu"], exported(BODIES))


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def blob(folder: Path, name: str) -> Path:
    return folder / "blobs/sha256" / hashlib.sha256(BODIES[name]).hexdigest()


@pytest.fixture(params=["folder", "archive"])
def place(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> Path:
    """An export that was written as it should be."""
    if request.param == "archive":
        write_archive(store, MANIFEST, tmp_path / "export.tar")
        return tmp_path / "export.tar"
    write_folder(store, MANIFEST, tmp_path / "export")
    return tmp_path / "export"


def test_what_was_exported_comes_back(place: Path, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    counted: list[int] = []
    assert read_manifest(place) == MANIFEST
    assert read_export(other, place, counted.append) == Imported(MANIFEST, 3, len(BIG) + 3000, 0)
    for body in BODIES.values():
        assert other.read(Digest.of(body), len(body)) == body
    assert sum(counted) == MANIFEST.size
    again = read_export(other, place)
    assert (again.added, again.present) == (0, 3)


def test_the_same_blobs_give_the_same_bytes(store: Store, tmp_path: Path) -> None:
    names = list(BODIES)
    for number, order in enumerate((names, names[::-1])):
        manifest = Manifest.make("demo", ["cpu"], exported({name: BODIES[name] for name in order}))
        os.umask(before := os.umask(0o077 if number else 0o022))
        os.umask(0o077 if number else 0o022)
        try:
            write_folder(store, manifest, tmp_path / f"folder{number}")
            write_archive(store, manifest, tmp_path / f"{number}.tar")
        finally:
            os.umask(before)
    assert tree(tmp_path / "folder0") == tree(tmp_path / "folder1")
    assert (tmp_path / "0.tar").read_bytes() == (tmp_path / "1.tar").read_bytes()
    with tarfile.open(tmp_path / "0.tar") as archive:
        members = archive.getmembers()
    assert [each.name for each in members] == [NAME, *(each.path for each in MANIFEST.blobs)]
    assert {(each.mtime, each.uid, each.gid, each.mode, each.uname) for each in members} == {
        (0, 0, 0, 0o644, "")
    }


def test_a_folder_is_the_unpacked_archive(store: Store, tmp_path: Path) -> None:
    write_folder(store, MANIFEST, tmp_path / "folder")
    write_archive(store, MANIFEST, tmp_path / "export.tar")
    with tarfile.open(tmp_path / "export.tar") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert tree(tmp_path / "unpacked") == tree(tmp_path / "folder")
    assert read_export(Store(tmp_path / "other"), tmp_path / "unpacked").added == 3


def test_an_export_is_carried_on_and_mended(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    write_folder(store, MANIFEST, folder)
    before = tree(folder)
    assert write_folder(store, MANIFEST, folder) == Written(0, 0, 3)
    blob(folder, "a.whl").write_bytes(b"!" + BIG[1:])  # the right size, other bytes
    blob(folder, "b.deb").unlink()
    (folder / NAME).unlink()
    (folder / MARK).touch()
    (folder / "blobs/sha256/.x.partial").write_bytes(b"cut")
    assert write_folder(store, MANIFEST, folder) == Written(2, len(BIG) + 3000, 1)
    assert tree(folder) == before


def test_what_is_not_needed_any_more_goes(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    write_folder(store, MANIFEST, folder)
    less = Manifest.make("demo", ["cpu"], exported({"b.deb": BODIES["b.deb"]}))
    write_folder(store, less, folder)
    assert set(tree(folder)) == {NAME, less.blobs[0].path}
    assert read_manifest(folder) == less


@pytest.mark.parametrize("content", ["photo.jpg", "blobs", "hps.toml"])
def test_a_folder_with_other_things_stays_as_it_is(
    store: Store, tmp_path: Path, content: str
) -> None:
    folder = tmp_path / "export"
    (folder / content).mkdir(parents=True)
    with pytest.raises(UsageError, match="holds other things"):
        write_folder(store, MANIFEST, folder)
    assert [path.name for path in folder.rglob("*")] == [content]
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="no folder"):
        write_folder(store, MANIFEST, tmp_path / "file")


def test_two_at_once_do_not_mix(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    write_folder(store, MANIFEST, folder)
    with (folder / MARK).open("w") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        with pytest.raises(StoreBusyError, match="another export"):
            write_folder(store, MANIFEST, folder)
    write_folder(store, MANIFEST, folder)
    assert not (folder / MARK).exists()


@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_a_damaged_blob_of_the_store_is_not_exported(
    store: Store, tmp_path: Path, write: Callable[..., Written]
) -> None:
    path = store.blobs / Digest.of(BIG).hex
    path.chmod(0o644)
    path.write_bytes(b"!" + BIG[1:])
    place = tmp_path / ("export.tar" if write is write_archive else "export")
    with pytest.raises(StoreCorruptError):
        write(Store(store.root), MANIFEST, place)
    if write is write_archive:
        assert not list(tmp_path.glob("*export*"))
    else:
        with pytest.raises(MalformedError, match="not finished"):
            read_manifest(place)


def test_a_disk_that_is_too_small_is_told_before_the_work(store: Store, tmp_path: Path) -> None:
    huge = Exported(Blob(Digest.of(b"huge"), 1 << 39), "huge")
    manifest = Manifest.make("demo", ["cpu"], [*exported(BODIES), huge])
    for write, place in ((write_folder, tmp_path / "f"), (write_archive, tmp_path / "a.tar")):
        with pytest.raises(StoreError, match="does not fit"):
            write(store, manifest, place)
    folder = tmp_path / "import"
    folder.mkdir()
    (folder / NAME).write_bytes(manifest.dumps())
    with pytest.raises(StoreError, match="does not fit"):
        read_export(Store(tmp_path / "other"), folder)


def test_what_is_an_archive(tmp_path: Path) -> None:
    (tmp_path / "folder.tar").mkdir()
    assert is_archive(Path("x/y.tar"))
    assert not is_archive(Path("x/y"))
    assert not is_archive(tmp_path / "folder.tar")


# --- bad days and bad people ---------------------------------------------------------------------


def test_damaged_and_missing_blobs_are_listed_and_the_others_kept(
    store: Store, tmp_path: Path
) -> None:
    folder, other = tmp_path / "export", Store(tmp_path / "other")
    write_folder(store, MANIFEST, folder)
    blob(folder, "a.whl").write_bytes(b"!" + BIG[1:])
    blob(folder, "b.deb").unlink()
    with pytest.raises(IntegrityError, match="2 of its 3 blobs") as caught:
        read_export(other, folder)
    lines = "\n".join(caught.value.details)
    assert "a.whl" in lines
    assert "b.deb" in lines
    assert "missing" in lines
    assert [each.blob.digest for each in other.list_blobs()] == [Digest.of(b"")]
    write_folder(store, MANIFEST, folder)
    assert read_export(other, folder).added == 2


@pytest.mark.parametrize("size", [0, 1, 511, 512, 700, 2048, 5000, 1_000_000, -1025, -512, -1])
def test_an_archive_that_was_cut_off(store: Store, tmp_path: Path, size: int) -> None:
    path = tmp_path / "export.tar"
    write_archive(store, MANIFEST, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    other = Store(tmp_path / "other")
    with pytest.raises(IntegrityError):
        read_export(other, path)
    for stored in other.list_blobs():
        other.check(stored.blob.digest)
    path.write_bytes(whole)
    read_export(other, path)
    assert {each.blob.digest for each in other.list_blobs()} == {
        Digest.of(body) for body in BODIES.values()
    }


def test_a_flipped_byte_of_the_document_is_found_or_harmless(store: Store, tmp_path: Path) -> None:
    """No flip makes the import take other bytes for what the lock calls by their digest."""
    folder = tmp_path / "export"
    write_folder(store, MANIFEST, folder)
    document = (folder / NAME).read_bytes()
    for at in range(0, len(document), 7):
        flipped = bytearray(document)
        flipped[at] ^= 1
        (folder / NAME).write_bytes(bytes(flipped))
        other = Store(tmp_path / f"other{at}")
        try:
            found = read_export(other, folder)
        except IntegrityError:
            pass
        else:
            assert [each.blob for each in found.manifest.blobs] == [
                each.blob for each in MANIFEST.blobs
            ]
        for stored in other.list_blobs():
            other.check(stored.blob.digest)


def member(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


DOCUMENT = member(NAME, MANIFEST.dumps())
BLOBS = [member(each.path, BODIES[each.file]) for each in MANIFEST.blobs]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04" + bytes(600),
        bytes(1024),
        tar(*BLOBS),
        tar(BLOBS[0], DOCUMENT, *BLOBS[1:]),
        tar(DOCUMENT, *BLOBS[1:]),
        tar(DOCUMENT, *BLOBS, member("blobs/sha256/" + "0" * 64, b"more")),
        tar(DOCUMENT, BLOBS[0], BLOBS[0], *BLOBS[1:]),
        tar(DOCUMENT, member("../../etc/passwd", b"root")),
        tar(DOCUMENT, member("/etc/passwd", b"root")),
        tar(DOCUMENT, member(BLOBS[0][0].name, type=tarfile.SYMTYPE, linkname="/etc/passwd")),
        tar(DOCUMENT, member(BLOBS[0][0].name, type=tarfile.LNKTYPE, linkname=NAME)),
        tar(DOCUMENT, member(BLOBS[0][0].name, type=tarfile.FIFOTYPE)),
        tar(DOCUMENT, member(BLOBS[0][0].name, BIG + b"x"), *BLOBS[1:]),
        tar(DOCUMENT, *BLOBS) + b"behind the end",
        tar(member(NAME, b"{}"), *BLOBS),
        tar(member(NAME, type=tarfile.DIRTYPE), *BLOBS),
    ],
)
def test_archives_of_strangers(tmp_path: Path, data: bytes) -> None:
    path, other = tmp_path / "export.tar", Store(tmp_path / "store")
    path.write_bytes(data)
    with pytest.raises(IntegrityError):
        read_export(other, path)
    for stored in other.list_blobs():
        other.check(stored.blob.digest)
    assert not [each for each in other.list_blobs() if each.blob.digest not in KNOWN]
    assert not [
        path
        for path in (other.root / "temporary").rglob("*")
        if path.suffix != ".lock" and path.is_file()
    ]


KNOWN = {each.blob.digest for each in MANIFEST.blobs}


def documents() -> dict[str, bytes]:
    good = json.loads(MANIFEST.dumps())
    changes: dict[str, Any] = {
        "version": {"version": 2},
        "no-version": {"version": None},
        "targets": {"targets": "cpu"},
        "target": {"targets": [1]},
        "project": {"project": None},
        "blobs": {"blobs": {}},
        "blob": {"blobs": [1]},
        "size": {"blobs": [{**good["blobs"][0], "size": -1}]},
        "true": {"blobs": [{**good["blobs"][0], "size": True}]},
        "large": {"blobs": [{**good["blobs"][0], "size": 1 << 50}]},
        "digest": {"blobs": [{**good["blobs"][0], "digest": "sha256:../../x"}]},
        "file": {"blobs": [{**good["blobs"][0], "file": 1}]},
        "twice": {"blobs": [good["blobs"][0]] * 2},
        "unsorted": {"blobs": good["blobs"][::-1]},
    }
    found = {name: canonical.dumps({**good, **change}) for name, change in changes.items()}
    return found | {
        "empty": b"",
        "list": b"[]",
        "twice-a-key": MANIFEST.dumps().replace(b'"version":1', b'"version":1,"version":1'),
        "deep": b"[" * 100_000,
        "not-utf-8": b'{"version":1,"project":"\xff"}',
        "long": b" " * (LIMIT + 1),
        "fraction": MANIFEST.dumps().replace(b'"version":1', b'"version":1.0'),
    }


@pytest.mark.parametrize("name", documents())
def test_documents_of_strangers(name: str) -> None:
    with pytest.raises(MalformedError, match="no export that hps can read"):
        parse(documents()[name], "here")


def test_names_of_strangers_do_not_reach_the_terminal() -> None:
    odd = Manifest.make("demo", ["cpu"], [Exported(Blob(Digest.of(b""), 0), "\x1b[31mred\n")])
    assert parse(odd.dumps(), "here").blobs[0].file == "[31mred"


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "dangling"])
def test_what_is_no_plain_file_is_not_read(store: Store, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "export"
    write_folder(store, MANIFEST, folder)
    for path in (blob(folder, "b.deb"), folder / NAME):
        kept = path.read_bytes()
        path.unlink()
        outside = tmp_path / "outside"
        outside.write_bytes(kept)
        if kind == "link":
            path.symlink_to(outside)
        elif kind == "dangling":
            path.symlink_to("nowhere")
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.mkdir()
        with pytest.raises((IntegrityError, UsageError)):
            read_export(Store(tmp_path / "other"), folder)
        if kind != "folder":
            path.unlink()
        else:
            path.rmdir()
        path.write_bytes(kept)
    assert read_export(Store(tmp_path / "other"), folder).present == 2


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_export(Store(tmp_path / "store"), tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MalformedError, match="no export of a store"):
        read_export(Store(tmp_path / "store"), tmp_path / "empty")
