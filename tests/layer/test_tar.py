"""Layers as tar: deterministic bytes that tarfile and GNU tar read back as what went in."""

import hashlib
import io
import os
import random
import subprocess
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.digest import Digest
from hps.errors import ConflictError, IntegrityError, StoreCorruptError, UnsafeArchiveError
from hps.layer.entry import Entry, Kind
from hps.layer.index import IndexLine, first_difference, read_index
from hps.layer.tar import LayerRecord, header, write_layer

EPOCH = 1_700_000_000


def file(path: str, data: bytes = b"", owner: str = "a", **more: object) -> Entry:
    opener: Callable[[], BinaryIO] = lambda: io.BytesIO(data)  # noqa: E731
    return Entry(path, "file", owner, size=len(data), open=opener, **more)  # type: ignore[arg-type]


def link(path: str, to: str, kind: Kind = "symlink", owner: str = "a") -> Entry:
    return Entry(path, kind, owner, link=to)


def folder(path: str, owner: str = "a", mode: int | None = None) -> Entry:
    return Entry(path, "directory", owner, mode=mode)


def written(entries: Iterable[Entry]) -> tuple[bytes, LayerRecord, list[IndexLine]]:
    pieces: list[bytes] = []
    lines: list[bytes] = []
    record = write_layer(entries, pieces.append, epoch=EPOCH, index=lines.append)
    data = b"".join(pieces)
    assert record.size == len(data)
    assert record.entries == len(lines)
    return data, record, list(read_index(lines))


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        found = archive.getmembers()
    assert len({member.name for member in found}) == len(found)
    return {member.name: member for member in found}


LONG = "d" * 120 + "/" + "e" * 120
UNUSUAL = [
    file("usr/bin/x", b"#!", executable=True),
    file("empty"),
    file("block", bytes(512)),
    file("big", b"x" * (2**20 + 1)),
    file("n" * 100, b"1"),
    file("p" * 155 + "/" + "n" * 100, b"2"),
    file("p" * 156 + "/" + "n" * 99, b"3"),
    file(LONG + "/f", b"4"),
    folder("p" * 155 + "/" + "m" * 99),
    folder("p" * 155 + "/" + "m" * 100),
    file("ünïcode/日本語", b"5"),
    link("to-long", LONG),
    link("to-unicode", "ünïcode/日本語"),
    link("dangling", "../../nowhere"),
    folder("tmp", mode=0o1777),
    replace(folder("home/x"), uid=1000, gid=1001),
    replace(file("home/y", b"6"), uid=3_000_000, gid=2_097_151),
    file("a-b", b"7"),
    file("a/b", b"8"),
    file("sp ace\\x2d", b"9"),
]


def test_tarfile_reads_what_went_in() -> None:
    data, record, index = written(UNUSUAL)
    found = members(data)
    for entry in UNUSUAL:
        member = found.pop(entry.path)
        assert member.mode == entry.permissions
        assert (member.uid, member.gid) == (entry.uid, entry.gid)
        assert (member.uname, member.gname) == ("", "")
        assert member.mtime == EPOCH
        assert member.issym() == (entry.kind == "symlink")
        assert member.linkname == entry.link
        if entry.open is not None:
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                reader = archive.extractfile(member.name)
                assert reader is not None
                assert reader.read() == entry.open().read()
    assert {member.mode for member in found.values()} == {0o755}  # parents
    assert all(member.isdir() for member in found.values())
    assert [line.path for line in index] == sorted(line.path for line in index)
    assert len(record.fingerprint) == 2 * record.entries


def test_gnu_tar_lists_and_extracts_the_same(tmp_path: Path) -> None:
    data, _, index = written(UNUSUAL)
    (tmp_path / "layer.tar").write_bytes(data)
    out = tmp_path / "out"
    out.mkdir()
    command = ["tar", "--extract", "--same-permissions", "--no-same-owner"]
    result = subprocess.run(
        [*command, "--file", tmp_path / "layer.tar", "--directory", out],
        check=True,
        capture_output=True,
        env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]},
    )
    assert result.stderr == b""
    for line in index:
        path = out / line.path
        if line.kind == "symlink":
            assert path.readlink() == Path(line.content)
            continue
        assert path.stat().st_mode & 0o7777 == line.mode
        if line.kind == "file":
            assert path.stat().st_mtime == EPOCH
            assert hashlib.sha256(path.read_bytes()).hexdigest() == line.content


def test_order_of_entries_does_not_matter_and_sinks_get_large_pieces() -> None:
    shuffled = random.Random(1).sample(UNUSUAL, len(UNUSUAL))
    assert written(shuffled) == written(UNUSUAL)
    sizes: list[int] = []
    many = [file(f"d/{number}", bytes(700)) for number in range(4000)]
    write_layer(many, lambda piece: sizes.append(len(piece)), epoch=0)
    assert all(2**20 <= size <= 2**21 for size in sizes[:-1])


def test_parents_come_before_children_and_once() -> None:
    names = list(members(written([file("a/b/c"), file("a/b/d"), file("a-b"), folder("a")])[0]))
    assert names == ["a", "a-b", "a/b", "a/b/c", "a/b/d"]


def test_the_end_is_two_zero_blocks_and_nothing_more() -> None:
    data = written([file("a", b"x")])[0]
    assert len(data) == 512 + 512 + 1024
    assert data[-1024:] == bytes(1024)
    assert written([])[0] == bytes(1024)


def test_plain_headers_are_those_of_tarfile() -> None:
    for entry in UNUSUAL:
        info = tarfile.TarInfo(entry.path)
        info.mode, info.mtime = entry.permissions, EPOCH
        info.uid, info.gid = entry.uid, entry.gid
        info.size, info.linkname = entry.size, entry.link
        kinds = {"file": b"0", "directory": b"5", "symlink": b"2"}
        info.type = kinds[entry.kind]
        ours = header(entry, EPOCH)
        if len(entry.path) > 99 and len(ours) == 512:
            continue  # tarfile never uses the prefix of ustar in its pax format
        assert ours == _with_mtime(info.tobuf(tarfile.PAX_FORMAT), EPOCH)


def _with_mtime(blocks: bytes, epoch: int) -> bytes:
    """tarfile gives extended headers time and mode 0; ours have the epoch and 0644."""
    if blocks[156:157] != b"x":
        return blocks
    block = bytearray(blocks[:512])
    block[100:108] = b"0000644\0"
    block[136:148] = b"%011o\0" % epoch
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + blocks[512:]


def test_sizes_beyond_eight_gigabytes_get_an_extended_header() -> None:
    for size in (8**11 - 1, 8**11, 2**40):
        blocks = header(Entry("x", "file", "a", size=size), 0)
        with tarfile.open(fileobj=io.BytesIO(blocks)) as archive:
            first = archive.next()
            assert first is not None
            assert (first.name, first.size) == ("x", size)
        assert len(blocks) == (512 if size < 8**11 else 1536)


NAMES = st.lists(
    st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="/\\"),
        min_size=1,
        max_size=60,
    ).filter(lambda part: part not in {".", ".."} and ":" not in part),
    min_size=1,
    max_size=6,
).map("/".join)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=1500), max_size=12))
def test_any_names_come_back(files: dict[str, bytes]) -> None:
    parents = {path.rsplit("/", n)[0] for path in files for n in range(1, path.count("/") + 1)}
    files = {path: data for path, data in files.items() if path not in parents}
    data, _, index = written(file(path, content) for path, content in files.items())
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            if member.isfile():
                reader = archive.extractfile(member)
                assert reader is not None
                assert files.pop(member.name) == reader.read()
    assert not files
    raw = [line.path.encode() for line in index]
    assert raw == sorted(raw)


@pytest.mark.parametrize("size", [0, 1, 2**20, 2**20 + 1, 3 * 2**20])
@pytest.mark.parametrize("delta", [-1, 1])
def test_a_file_of_another_size_than_promised(size: int, delta: int) -> None:
    if size + delta < 0:
        return
    entry = replace(file("x/y", b"z" * size), size=size + delta)
    with pytest.raises(IntegrityError, match=r"x/y of a has another size"):
        written([entry])


def test_a_file_of_another_digest_than_promised() -> None:
    good = file("x/y", b"data", promised=Digest.of(b"data"))
    written([good])
    with pytest.raises(IntegrityError, match=r"x/y of a is not what was promised"):
        written([replace(good, open=lambda: io.BytesIO(b"DATA"))])


def test_the_same_file_of_two_owners_is_one_entry() -> None:
    _, record, index = written([file("n/x", b"1", "b"), file("n/x", b"1", "a"), folder("n", "c")])
    assert [(line.path, line.owner) for line in index] == [("n", "c"), ("n/x", "a")]
    assert record == written([file("n/x", b"1")])[1]


@pytest.mark.parametrize(
    "other",
    [
        file("n/x", b"2", "b"),
        file("n/x", b"12", "b"),
        file("n/x", b"1", "b", executable=True),
        file("n/x", b"1", "b", uid=5),
        link("n/x", "y", owner="b"),
        folder("n/x", "b"),
        file("n/x/y", b"", "b"),
        file("n", b"", "b"),
        link("n", "m", owner="b"),
    ],
)
def test_two_owners_of_one_path_are_both_named(other: Entry) -> None:
    with pytest.raises(ConflictError) as caught:
        written([file("n/x", b"1", "a"), other])
    text = str(caught.value)
    assert "a" in text.split()
    assert "b" in text.split()
    assert "n" in text


def test_folders_of_two_modes_conflict() -> None:
    with pytest.raises(ConflictError, match="tmp"):
        written([folder("tmp", "a", 0o1777), folder("tmp", "b")])


def test_hard_links_point_back_to_the_first_in_order() -> None:
    data, _, _ = written([file("m", b"1"), link("z", "m", "hardlink"), link("b", "z", "hardlink")])
    found = members(data)
    assert found["b"].isfile()
    assert found["m"].islnk()
    assert found["m"].linkname == found["z"].linkname == "b"
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        reader = archive.extractfile("z")
        assert reader is not None
        assert reader.read() == b"1"


def test_a_hard_link_out_of_the_layer_becomes_a_file() -> None:
    entry = replace(file("b", b"1"), kind="hardlink", link="elsewhere")
    assert members(written([entry])[0])["b"].size == 1
    with pytest.raises(UnsafeArchiveError, match="hard link to nothing"):
        written([link("b", "elsewhere", "hardlink")])


@pytest.mark.parametrize(
    "entries",
    [
        [link("a", "b", "hardlink"), link("b", "a", "hardlink")],
        [link("a", "a", "hardlink")],
        [folder("d"), link("a", "d", "hardlink")],
        [link("s", "x"), link("a", "s", "hardlink")],
        [link("a", "")],
        [link("a", "b\0c")],
        [link("a", "b\udcff")],
        [link("a", "b" * 4096)],
        [file("../a")],
        [file("/a")],
        [file("a//b")],
        [file("a/")],
        [file("a\n")],
    ],
)
def test_what_cannot_be_in_an_image(entries: list[Entry]) -> None:
    with pytest.raises(UnsafeArchiveError):
        written(entries)


def test_faults_of_the_sink_and_of_a_reader_reach_the_caller() -> None:
    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    def broken() -> BinaryIO:
        raise OSError(5, "Input/output error")

    for size in (0, 5 * 2**20):
        with pytest.raises(OSError, match="No space"):
            write_layer([file("x", bytes(size))], full, epoch=0)
    many = [file(str(n), bytes(2**20)) for n in range(20)]
    with pytest.raises(OSError, match="No space"):
        write_layer(many, full, epoch=0)
    with pytest.raises(OSError, match="Input/output"):
        write_layer([Entry("x", "file", "a", size=1, open=broken)], lambda _: None, epoch=0)


def test_readers_are_closed() -> None:
    opened: list[io.BytesIO] = []

    def opener() -> BinaryIO:
        opened.append(io.BytesIO(b"abc"))
        return opened[-1]

    written([Entry("x", "file", "a", size=3, open=opener)])
    with pytest.raises(IntegrityError):
        written([Entry("x", "file", "a", size=4, open=opener)])
    assert [reader.closed for reader in opened] == [True, True]


def test_the_first_difference_is_named() -> None:
    _, record, index = written(UNUSUAL)
    assert first_difference(record.fingerprint, index) is None
    changed = [
        entry if entry.path != "block" else file("block", bytes(511) + b"1") for entry in UNUSUAL
    ]
    assert first_difference(record.fingerprint, written(changed)[2]) == "block"
    more = [*UNUSUAL, file("b", b"")]
    assert first_difference(record.fingerprint, written(more)[2]) == "b"
    assert first_difference(record.fingerprint, index[:-1]) == index[-2].path
    assert first_difference(record.fingerprint[:-2], index) == index[-1].path
    owned = [replace(entry, uid=7) if entry.path == "block" else entry for entry in UNUSUAL]
    assert first_difference(record.fingerprint, written(owned)[2]) == "block"


def test_an_index_that_is_damaged() -> None:
    good = IndexLine("é", "file", 0o644, 1, "0" * 64, "a", 5, 0)
    assert list(read_index([good.dump()])) == [good]
    for line in (
        b"{}",
        b"[]",
        b'["a","file",1,2,3,4]',
        good.dump()[:-3],
        b"\xff",
        b'["a","x",1,0,"",""]',
    ):
        with pytest.raises(StoreCorruptError, match="line 2"):
            list(read_index([good.dump(), line]))
