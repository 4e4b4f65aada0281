"""What the strict zip reader does beyond wheels; the rest is in tests/layer and tests/attacks."""

import struct
import zipfile
from pathlib import Path

import pytest

from hps.archive.paths import Limits
from hps.archive.refusal import ArchiveError, Reason
from hps.archive.zip_archive import ZipArchive
from tests.model.tars import raw_zip, zip_of


def opened(tmp_path: Path, data: bytes, limits: Limits | None = None) -> ZipArchive:
    (tmp_path / "x.zip").write_bytes(data)
    return ZipArchive(tmp_path / "x.zip", "x.zip", limits)


def test_names_without_the_flag_are_read_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(raw_zip([("größe".encode(), b"")], flags=0))
    assert ZipArchive(path, "x.zip").members[0].name == "größe".encode().decode("cp437")
    assert ZipArchive(path, "x.zip", unflagged="utf-8").members[0].name == "größe"
    path.write_bytes(raw_zip([(b"gr\x94\xe1e", b"")], flags=0))
    assert ZipArchive(path, "x.zip").members[0].name == "größe"
    with pytest.raises(ArchiveError) as raised:
        ZipArchive(path, "x.zip", unflagged="utf-8")
    assert raised.value.reason is Reason.NAME_ENCODING


def test_folders_modes_and_the_root(tmp_path: Path) -> None:
    archive = opened(tmp_path, zip_of([("./", b""), ("d/", b""), ("d/x", b"1")], mode=0o104750))
    assert archive.folders == ["./", "d"]
    assert [(one.name, one.mode) for one in archive.members] == [("d/x", 0o4750)]
    assert archive.members[0].executable


def test_one_file_that_is_too_large(tmp_path: Path) -> None:
    data = zip_of([("a", b"1" * 100), ("b", b"2" * 101)])
    with pytest.raises(ArchiveError) as raised:
        opened(tmp_path, data, Limits(file_size=100))
    assert (raised.value.reason, raised.value.member) == (Reason.FILE_BYTES, "b")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_end_in_zip64_that_says_the_same(tmp_path: Path, method: int) -> None:
    data = zip_of([("a", b"1" * 100)], method=method)
    at = data.rindex(b"PK\5\6")
    size, start = struct.unpack_from("<2L", data, at + 12)
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, size, start)
    located = struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
    for end in (data[at:], data[at : at + 8] + b"\xff" * 12 + data[at + 20 :]):
        archive = opened(tmp_path, data[:at] + record + located + end)
        assert archive.read(archive.members[0], 100) == b"1" * 100
    with pytest.raises(ArchiveError) as raised:
        opened(tmp_path, data[:at] + record + located.replace(b"\1\0\0\0", b"\2\0\0\0") + data[at:])
    assert raised.value.reason is Reason.PARTS
