"""Tars that try to leave the folder that they are unpacked into, or to exhaust the machine."""

import io
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hps.archive.paths import Limits
from hps.errors import StoreError, UnsafeArchiveError
from hps.layer.entry import Entry
from hps.layer.tar import write_layer
from hps.layer.unpack import unpack

Attack = list[tuple[str, bytes, str]]  # name, type, link


def archive(path: Path, members: Attack, data: bytes = b"owned") -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as out:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            info.size = len(data) if kind == tarfile.REGTYPE else 0
            out.addfile(info, io.BytesIO(data))
    return path


FILE, LINK, HARD, FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


@pytest.mark.parametrize(
    "members",
    [
        [("../x", FILE, "")],
        [("/x", FILE, "")],
        [("a/../../x", FILE, "")],
        [("a", LINK, ".."), ("a/x", FILE, "")],
        [("a", LINK, "/"), ("a/x", FILE, "")],
        [("a", LINK, "."), ("a/x", FILE, "")],
        [("d", FOLDER, ""), ("d/a", LINK, "../.."), ("d/a/b/x", FOLDER, "")],
        [("a", LINK, "b"), ("b", LINK, ".."), ("a/x", FILE, "")],
        [("x", HARD, "../victim")],
        [("x", HARD, "/etc/passwd")],
        [("a", LINK, ".."), ("x", HARD, "a/victim")],
        [("a", LINK, "../victim"), ("x", HARD, "a")],
        [("x", HARD, "nothing")],
        [("d", FOLDER, ""), ("x", HARD, "d")],
        [("a", LINK, ".."), ("a/.wh.victim", FILE, "")],
        [("a", LINK, ".."), ("a/.wh..wh..opq", FILE, "")],
        [(".wh...", FILE, "")],
        [(".wh..", FILE, "")],
        [("d/.wh...", FILE, "")],
        [(".wh.", FILE, "")],
        [("x", tarfile.CHRTYPE, "")],
        [("x", tarfile.BLKTYPE, "")],
        [("x", tarfile.FIFOTYPE, "")],
        [("x", b"S", "")],
        [("x", b"Z", "")],
        [("x", LINK, "")],
        [("f", FILE, ""), ("f/x", FILE, "")],
        [("x\n", FILE, "")],
    ],
)
def test_nothing_outside_is_touched(tmp_path: Path, members: Attack) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(UnsafeArchiveError):
        unpack([archive(tmp_path / "a.tar", members)], root)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "root", "victim"]
    assert (tmp_path / "victim").read_bytes() == b"mine"


def test_a_link_of_a_lower_layer_is_not_followed_either(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    root = tmp_path / "root"
    root.mkdir()
    lower = archive(tmp_path / "lower.tar", [("a", LINK, ".."), ("b", LINK, "../victim")])
    upper = archive(tmp_path / "upper.tar", [("b", FILE, ""), ("a/victim", FILE, "")])
    with pytest.raises(UnsafeArchiveError, match="below what is no folder"):
        unpack([lower, upper], root)
    assert (tmp_path / "victim").read_bytes() == b"mine"
    assert (root / "b").read_bytes() == b"owned"


def test_a_folder_that_was_known_and_became_a_link(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    members = [("d/e", FOLDER, ""), ("d/e/f", FILE, ""), ("d", LINK, ".."), ("d/e/x", FILE, "")]
    with pytest.raises(UnsafeArchiveError):
        unpack([archive(tmp_path / "a.tar", members)], root)
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:0], "cut off"),
        (lambda data: data[:300], "cut off"),
        (lambda data: data[:900], "cut off"),
        (lambda data: data[:1024], "cut off"),
        (lambda data: b"\x1f\x8b" + data[2:], "checksum"),
        (lambda data: data[:100] + b"zzzz" + data[104:], "checksum"),
        (lambda data: _sized(data, b"9999999\0"), "damaged number"),
        (lambda data: _sized(data, b"\x80" + b"\xff" * 11), "cut off"),
        (lambda data: _sized(data, b"\xff" * 12), "damaged number"),
        (lambda data: _sized(data, b"77777777777\0"), "cut off"),
        (lambda data: b"PK\3\4" + bytes(len(data)), "checksum"),
    ],
)
def test_damaged_tars(tmp_path: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    path = archive(tmp_path / "a.tar", [("x", FILE, "")])
    path.write_bytes(damage(path.read_bytes()))
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(UnsafeArchiveError, match=message):
        unpack([path], root)


def _sized(data: bytes, field: bytes) -> bytes:
    return _summed(data[:124] + field.ljust(12, b"\0") + data[136:])


def _summed(data: bytes) -> bytes:
    block = bytearray(data[:512])
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data[512:]


@pytest.mark.parametrize(
    "records",
    [
        b"5 a=\n",
        b"99 path=x\n",
        b"x path=x\n",
        b"0 path=x\n",
        b"8 path=x",
        b"9 path=\xff\n",
        b"10 size=-\n",
        b"30 GNU.sparse.realsize=100000\n",
        b"path",
    ],
)
def test_damaged_extended_headers(tmp_path: Path, records: bytes) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = b"x", len(records)
    plain = tarfile.TarInfo("x")
    blocks = info.tobuf() + records.ljust(512, b"\0") + plain.tobuf() + bytes(1024)
    (tmp_path / "a.tar").write_bytes(blocks)
    root = tmp_path / "root"
    root.mkdir()
    if records == b"5 a=\n":  # an unknown, empty record is no fault
        unpack([tmp_path / "a.tar"], root)
        return
    with pytest.raises(UnsafeArchiveError):
        unpack([tmp_path / "a.tar"], root)


def test_too_much_is_refused_before_it_is_written(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    path = archive(tmp_path / "a.tar", [(str(n), FILE, "") for n in range(20)])
    with pytest.raises(UnsafeArchiveError, match="too many files"):
        unpack([path], root, Limits(files=10))
    with pytest.raises(UnsafeArchiveError, match="too many bytes"):
        unpack([path], root, Limits(size=11))
    assert len(list(root.iterdir())) <= 10


def test_trees_too_deep_to_be_removed_again(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(UnsafeArchiveError, match="unsafe name"):
        unpack([archive(tmp_path / "a.tar", [("d/" * 1900 + "x", FILE, "")])], root)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_bytes_changed_at_random(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    pieces: list[bytes] = []
    entries = [Entry("a/" + "b" * 120, "directory", "a"), Entry("l", "symlink", "a", link="a")]
    write_layer([*entries, Entry("é", "file", "a")], pieces.append, epoch=1)
    raw = bytearray(b"".join(pieces))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        raw = bytearray(_summed(bytes(raw)))
    (folder / "a.tar").write_bytes(raw)
    (folder / "root").mkdir()
    with suppress(UnsafeArchiveError, StoreError):  # what matters is that nothing gets out
        unpack([folder / "a.tar"], folder / "root")
    assert sorted(path.name for path in folder.iterdir()) == ["a.tar", "root"]
