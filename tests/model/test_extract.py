"""Packed models come out whole, from every writer that publishers use."""

import gzip
import hashlib
import os
import stat
import threading
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from hps.archive.refusal import ArchiveError, Reason
from hps.digest import Digest
from hps.model.extract import ModelLimits, Top, unpack
from hps.model.staging import StagingError, StagingFault, UnpackedFile
from tests.model import writers
from tests.model.tars import END, extended, folder, header, member, padded, pax, zip_of

D, E = "d" * 110, "e" * 110
MODEL = {
    "inference.pdmodel": b"graph" * 1000,
    "inference.pdiparams": bytes(range(256)) * 9000,  # more than two pieces
    "empty": b"",
    "sub/deeper/labels.txt": "größe\n".encode(),
    "größe ß.txt": b"name",
    "aux.json": b"{}",
    ".hidden": b"dot files are files",
    "inner.tar.gz": b"\x1f\x8b\x08 an archive in the archive is a file",
    f"{D}/{E}/long": b"long",
    **{"n" * length: b"%d" % length for length in (97, 98, 99, 100, 101)},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the model `m`."""
    top = tmp_path_factory.mktemp("published")
    for path, data in MODEL.items():
        place = top / "m" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    (top / "m" / "aux.json").chmod(0o4755)
    (top / "m" / "no files here").mkdir()
    return top


def staging(tmp_path: Path, name: str = "staging") -> Path:
    made = tmp_path / name
    made.mkdir(mode=0o700)
    return made


def put(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    return path


def on_disk(top: Path) -> dict[str, bytes]:
    return {str(p.relative_to(top)): p.read_bytes() for p in top.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", writers.ALL)
def test_what_every_writer_packs(tmp_path: Path, model: Path, name: str) -> None:
    if program := writers.missing(name):
        pytest.skip(f"{program} is not installed")
    archive = tmp_path / "packed"
    writers.write(name, model, archive)
    target = staging(tmp_path)
    found = unpack(archive, target, top=None if name.endswith(".") else Top("m"))
    assert {one.path: one.digest for one in found} == {
        path: Digest.of(data) for path, data in MODEL.items()
    }
    assert on_disk(target) == MODEL
    assert [one.path for one in found] == sorted(MODEL, key=str.encode)
    assert all(one.size == len(MODEL[one.path]) for one in found)
    told = {one.path: one.mode for one in found}["aux.json"]
    assert told in {0o4755, 0o755, 0o775, 0}  # git keeps the run bit, jar nothing
    assert (target / "aux.json").stat().st_mode & 0o7777 == (0o700 if told else 0o600)
    assert (target / "inference.pdmodel").stat().st_mode & 0o7777 == 0o600


def test_the_top_folder_is_taken_away_or_not(tmp_path: Path) -> None:
    archive = put(tmp_path, folder(b"m/") + member(b"m/v1/x", b"1") + member(b"m/y", b"2") + END)
    assert [one.path for one in unpack(archive, staging(tmp_path, "a"))] == ["m/v1/x", "m/y"]
    assert [one.path for one in unpack(archive, staging(tmp_path, "b"), top=Top("m"))] == [
        "v1/x",
        "y",
    ]
    inner = staging(tmp_path, "c")
    found = unpack(archive, inner, top=Top("m/v1", beside="leave"))
    assert [one.path for one in found] == ["x"]
    assert on_disk(inner) == {"x": b"1"}
    with pytest.raises(ArchiveError, match="beside") as raised:
        unpack(archive, staging(tmp_path, "d"), top=Top("./m/v1/"))
    assert raised.value.member == "m/y"
    for number, unsafe in enumerate(("../m", "/m", "", "m\n")):
        with pytest.raises(ArchiveError):
            unpack(archive, staging(tmp_path, str(number)), top=Top(unsafe))


def test_what_is_odd_and_harmless(tmp_path: Path) -> None:
    """Of old and of careful writers."""
    odd = (
        member(b"BZh9.txt", b"0")  # the first bytes of bzip2
        + header(b"old/", b"\0", mode=0o755, magic=bytes(8))  # v7: a folder by its slash
        + pax((b"comment", b"0123abcd"), kind=b"g")  # git archive
        + pax((b"mtime", b"1.5"), (b"SCHILY.xattr.user.a", b"\xff"), (b"LIBARCHIVE.x", b"1"))
        + member(b"./old//a", b"1")
        + extended(b"old/" + b"l" * 120 + b"\0", b"L")
        + member(b"old/" + b"l" * 96, b"2")
        + member(b"old/b", b"3", prefix=b"", magic=b"ustar  \0")
        + member(b"c", b"4", prefix=b"old/in", mode=b"100644 \0")
        + pax((b"size", b"1"), (b"path", b"old/d"))
        + member(b"old/d", b"5")
        + header(b"old/e", size=b"\x80" + bytes(10) + b"\x01")  # base 256
        + padded(b"6")
        + folder(b"./")
        + folder(b"old/in")  # after what lies in it
        + bytes(10240)
    )
    target = staging(tmp_path)
    unpack(put(tmp_path, odd), target)
    long = f"old/{'l' * 120}"
    assert on_disk(target) == {
        "BZh9.txt": b"0", "old/a": b"1", long: b"2", "old/b": b"3", "old/in/c": b"4", "old/d": b"5", "old/e": b"6",
    }  # fmt: skip


def test_more_than_eight_gigabytes_are_said_in_an_extended_header(tmp_path: Path) -> None:
    large = 8**11 + 1
    for short in (b"0" * 11 + b"\0", b"7" * 11 + b"\0", bytes(12)):
        data = pax((b"size", str(large).encode())) + header(b"x", size=short) + bytes(512)
        with pytest.raises(ArchiveError) as raised:
            unpack(
                put(tmp_path, data),
                staging(tmp_path, short.hex()),
                limits=ModelLimits(ratio=1 << 40),
                room=lambda _: 1 << 40,
            )
        assert raised.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_modes_are_told_and_not_given(tmp_path: Path, method: int) -> None:
    archive = put(tmp_path, zip_of([("x", b"x" * 5000)], mode=0o106777, method=method))
    target = staging(tmp_path)
    (found,) = unpack(archive, target)
    assert found == UnpackedFile("x", 0o6777, 5000, Digest.of(b"x" * 5000))
    assert stat.S_IMODE((target / "x").stat().st_mode) == 0o700


def test_limits_let_through_what_just_fits(tmp_path: Path) -> None:
    archive = put(tmp_path, member(b"a/b/c", b"1" * 600) + member(b"d", b"2" * 400) + END)
    just = ModelLimits(files=4, size=1000, file_size=600, depth=3)
    assert len(unpack(archive, staging(tmp_path, "fits"), limits=just)) == 2
    for number, tight in enumerate(
        (
            ModelLimits(files=3),
            ModelLimits(size=999),
            ModelLimits(file_size=599),
            ModelLimits(depth=2),
        )
    ):
        with pytest.raises(ArchiveError):
            unpack(archive, staging(tmp_path, str(number)), limits=tight)


def test_a_disk_without_room_is_noticed_before_it_is_full(tmp_path: Path) -> None:
    tar = put(tmp_path, member(b"a", b"1" * 5000) + member(b"b", b"2" * 5000) + END)
    left = [9_000]

    def room(_: int) -> int:
        left[0] -= 3_000
        return left[0]

    target = staging(tmp_path)
    with pytest.raises(StagingError, match="no room") as raised:
        unpack(tar, target, room=room, reserve=500)
    assert raised.value.fault is StagingFault.DISK_FULL
    assert set(on_disk(target)) == {"a"}
    packed = tmp_path / "x.zip"
    packed.write_bytes(zip_of([("a", b"1" * 500), ("b", b"2" * 500)]))
    target = staging(tmp_path, "zip")
    with pytest.raises(StagingError, match="no room"):
        unpack(packed, target, room=lambda _: 999, reserve=0)
    assert not on_disk(target)  # a zip says at its end what it holds


def test_staging_must_be_private_and_empty(tmp_path: Path) -> None:
    archive = put(tmp_path, member() + END)
    for mode in (0o777, 0o770, 0o1777):
        shared = tmp_path / f"{mode:o}"
        shared.mkdir()
        shared.chmod(mode)
        with pytest.raises(StagingError, match="written by others"):
            unpack(archive, shared)
    used = staging(tmp_path, "used")
    (used / "left").touch()
    with pytest.raises(StagingError, match="not empty"):
        unpack(archive, used)
    (tmp_path / "link").symlink_to(staging(tmp_path, "real"))
    for missing in (tmp_path / "link", tmp_path / "nothing", archive):
        with pytest.raises(StagingError) as raised:
            unpack(archive, missing)
        assert raised.value.fault is StagingFault.CHANGED


def test_what_is_no_file_is_not_unpacked(tmp_path: Path) -> None:
    archive = put(tmp_path, member() + END)
    (tmp_path / "link").symlink_to(archive)
    os.mkfifo(tmp_path / "pipe")
    for number, name in enumerate(("link", "pipe", "nothing", ".")):
        with pytest.raises(StagingError):
            unpack(tmp_path / name, staging(tmp_path, str(number)))


def test_who_watches_can_end_it(tmp_path: Path) -> None:
    archive = put(tmp_path, member(b"a", b"1" * 5000) + member(b"b", bytes(3 << 20)) + END)
    seen: list[int] = []
    unpack(archive, staging(tmp_path, "whole"), watch=seen.append)
    assert sum(seen) == 5000 + (3 << 20)
    assert max(seen) <= 1 << 20

    def enough(_: int) -> None:
        raise TimeoutError("the deadline is over")

    with pytest.raises(TimeoutError):
        unpack(archive, staging(tmp_path, "ended"), watch=enough)


def test_a_refusal_leaves_no_thread_that_reads(tmp_path: Path) -> None:
    """It would read from whatever file gets the descriptor next."""
    bad = tmp_path / "bad.tar"
    bad.write_bytes(member(b"a") + member(b"../b") + member(b"c", bytes(8 << 20)) + END)
    good = put(tmp_path, member(b"x", b"1" * 5000) + END)
    for number in range(30):
        with pytest.raises(ArchiveError):
            unpack(bad, staging(tmp_path, f"bad{number}"))
        assert not [one for one in threading.enumerate() if one.name == "hps-ahead"]
        assert len(unpack(good, staging(tmp_path, f"good{number}"))) == 1


def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    def grown(size: int) -> int:
        zeros = b"\0" * 512 * 64
        archive = tmp_path / f"{size}.tar.gz"
        with gzip.open(archive, "wb", 1) as out:
            out.write(header(b"x", size=size * len(zeros)))
            for _ in range(size):
                out.write(zeros)
            out.write(END)
        tracemalloc.start()
        (found,) = unpack(archive, staging(tmp_path, str(size)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        digest = hashlib.sha256()
        for _ in range(size):
            digest.update(zeros)
        assert found.digest.hex == digest.hexdigest()
        return peak

    assert grown(2048) < grown(512) + (1 << 20)  # 64 MiB and 16 MiB
