"""Hostile archives: nothing is written outside the spool, and nothing runs away."""

import gzip
import io
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.archive.paths import Limits
from hps.config.target import CopyRule
from hps.errors import HpsError, StoreError, UnsafeArchiveError
from hps.layer.archive import archive_entries
from hps.layer.entry import Entry
from tests.layer.packages import Part, folder, hardlink, symlink, tar_bytes

ALL = CopyRule.model_validate({"from": ".", "to": "/opt"})


def take(tmp_path: Path, data: bytes, limits: Limits | None = None) -> list[Entry]:
    path = tmp_path / "in"
    path.write_bytes(data)
    (tmp_path / "spool").mkdir()
    return archive_entries(path, "x.tar", "x", [ALL], 0, tmp_path / "spool", limits=limits)


def zip_of(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([Part("../x")], "unsafe name"),
        ([Part("/x")], "unsafe name"),
        ([Part("x", kind=tarfile.CHRTYPE)], "no file, folder or link"),
        ([Part("x", kind=tarfile.FIFOTYPE)], "no file, folder or link"),
        ([Part("x"), Part("./x")], "more than once"),
        ([Part("x"), symlink("x", "y")], "more than once"),
        ([folder("x/"), symlink("x", "y")], "more than once"),
        ([symlink("d", "/etc"), Part("d/passwd")], "below d, which is a symlink"),
        ([Part("d"), Part("d/passwd")], "below d, which is a file"),
        ([Part("d/passwd"), symlink("d", "/etc")], "below d, which is a symlink"),
        ([symlink("a", "b"), symlink("b", "a")], "leads out"),
        ([symlink("x", "/etc/passwd")], "leads out"),
        ([hardlink("x", "etc/passwd")], "no earlier file"),
        ([hardlink("x", "x")], "no earlier file"),
        ([hardlink("x", "../../etc/passwd")], "unsafe name"),
        ([folder("d/"), hardlink("x", "d")], "no earlier file"),
    ],
)
def test_tars(tmp_path: Path, parts: list[Part], words: str) -> None:
    with pytest.raises(UnsafeArchiveError, match=words):
        take(tmp_path, tar_bytes(parts))


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/../../x", "C:/x", "a\nb", "\\\\host\\x", "..\\x"]
)
def test_zip_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeArchiveError, match="unsafe name"):
        take(tmp_path, zip_of(**{name: b"x"}))


def test_a_zip_that_names_a_file_twice(tmp_path: Path) -> None:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("x", b"audited")
        archive.writestr("x", b"installed")
    with pytest.raises(UnsafeArchiveError, match="more than once"):
        take(tmp_path, out.getvalue())


def test_a_name_that_ends_at_a_nul_for_some_readers(tmp_path: Path) -> None:
    data = zip_of(good_bad=b"x").replace(b"good_bad", b"good\0bad")
    with pytest.raises(UnsafeArchiveError):
        take(tmp_path, data)


def test_an_encrypted_zip(tmp_path: Path) -> None:
    data = bytearray(zip_of(x=b"x"))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(UnsafeArchiveError, match="no plain file") as raised:
        take(tmp_path, bytes(data))
    assert raised.value.got == "encrypted"


def test_a_zip_with_a_wrong_checksum(tmp_path: Path) -> None:
    data = zip_of(x=b"content").replace(b"content", b"CONTENT")
    with pytest.raises(UnsafeArchiveError, match="damaged"):
        take(tmp_path, data)


@pytest.mark.parametrize("data", [b"", b"x", b"text " * 200, bytes(100), b"PK\3\4", b"\x1f\x8b"])
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UnsafeArchiveError, match=r"x\.tar is (not an archive|damaged)"):
        take(tmp_path, data)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_cut_is_noticed(tmp_path: Path, pack: type[bytes]) -> None:
    data = pack(tar_bytes([Part("a", b"a" * 700), Part("b", b"b")]))
    last = 3072 if pack is bytes else len(data) - 9
    for number, size in enumerate(range(0, last, 61)):
        place = tmp_path / str(number)
        place.mkdir()
        with pytest.raises(UnsafeArchiveError):
            take(place, data[:size])


def test_bombs_stop_before_they_are_unpacked(tmp_path: Path) -> None:
    """A gigabyte is announced; not a byte of it reaches the spool."""
    info = tarfile.TarInfo("big")
    info.size = 1 << 30
    packed = gzip.compress(info.tobuf() + bytes(1 << 20))
    with pytest.raises(UnsafeArchiveError, match="decompression bomb"):
        take(tmp_path, packed)
    assert (tmp_path / "spool/x.contents").stat().st_size == 0


def test_limits_hold_for_zips(tmp_path: Path) -> None:
    with pytest.raises(UnsafeArchiveError, match="too many files"):
        take(tmp_path, zip_of(a=b"", b=b""), Limits(files=1))


def test_an_archive_is_never_unpacked_twice_into_one_spool(tmp_path: Path) -> None:
    take(tmp_path, tar_bytes([Part("a", b"a")]))
    with pytest.raises(StoreError, match="cannot be made"):
        archive_entries(tmp_path / "in", "x.tar", "x", [ALL], 0, tmp_path / "spool")


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, 3583), value=st.integers(0, 255), zipped=st.booleans())
def test_any_byte_changed_gives_entries_or_one_of_our_errors(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: int, zipped: bool
) -> None:
    parts = [folder("d/"), Part("d/x", b"x" * 100), symlink("d/l", "x"), hardlink("d/h", "d/x")]
    data = bytearray(zip_of(a=b"a" * 50, b=b"b") if zipped else tar_bytes(parts))
    data[at % len(data)] = value
    try:
        entries = take(tmp_path_factory.mktemp("fuzz"), bytes(data))
    except HpsError:
        return
    assert all(entry.path == "opt" or entry.path.startswith("opt/") for entry in entries)
