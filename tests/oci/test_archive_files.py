"""Archives read in place: what two readers could take for different things is refused."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.errors import IntegrityError, LimitError, MalformedError, UsageError
from hps.oci import archive_files
from hps.oci.archive_files import ArchiveFiles, is_tar
from tests.layer.packages import Part, folder, hardlink, symlink, tar_bytes

LAYOUT = [
    Part("oci-layout", b"{}"),
    folder("blobs/"),
    folder("blobs/sha256/"),
    Part("blobs/sha256/aa", b"a" * 1000),
]


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "image.tar"
    path.write_bytes(data)
    return path


def names(path: Path) -> set[str]:
    with ArchiveFiles(path) as files:
        return set(files.names())


def extended(records: bytes, *parts: Part) -> bytes:
    """An extension header (type x) with these records before the first member."""
    header = tarfile.TarInfo("PaxHeaders/x")
    header.type, header.size = tarfile.XHDTYPE, len(records)
    padding = bytes(-len(records) % tarfile.BLOCKSIZE)
    return header.tobuf(tarfile.USTAR_FORMAT) + records + padding + tar_bytes(list(parts))


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_members_are_files(tmp_path: Path, form: int) -> None:
    with ArchiveFiles(written(tmp_path, tar_bytes(LAYOUT, form=form))) as files:
        assert set(files.names()) == {"oci-layout", "blobs/sha256/aa"}
        with files.open(files.root / "blobs" / "sha256" / "aa") as reader:
            assert reader.seek(0, 2) == 1000
            assert reader.read() == b""
            reader.seek(990)
            assert reader.read(100) == b"a" * 10
            reader.seek(0)
            found = hashlib.file_digest(reader, "sha256").hexdigest()  # type: ignore[arg-type]
            assert found == hashlib.sha256(b"a" * 1000).hexdigest()
        with pytest.raises(FileNotFoundError):
            files.open(files.root / "none")


def test_two_readers_do_not_disturb_each_other(tmp_path: Path) -> None:
    with ArchiveFiles(written(tmp_path, tar_bytes(LAYOUT))) as files:
        path = files.root / "blobs" / "sha256" / "aa"
        with files.open(path) as one, files.open(path) as two:
            assert one.read(600) + two.read(600) + one.read(600) == b"a" * 1600


def test_the_archive_may_be_replaced_meanwhile(tmp_path: Path) -> None:
    path = written(tmp_path, tar_bytes(LAYOUT))
    with ArchiveFiles(path) as files:
        path.unlink()
        path.write_bytes(b"")
        with files.open(path / "oci-layout") as reader:
            assert reader.read() == b"{}"


def test_names_as_tar_writes_them(tmp_path: Path) -> None:
    parts = [folder("./"), Part("./oci-layout"), folder("./blobs/")]
    assert names(written(tmp_path, tar_bytes(parts))) == {"oci-layout"}


def test_odd_names_stay_odd(tmp_path: Path) -> None:
    odd = ["../x", "/x", "blobs//x", "blobs/../x", "a\nb", "././x"]
    assert names(written(tmp_path, tar_bytes([Part(name) for name in odd]))) == {
        "../x", "/x", "blobs//x", "blobs/../x", "a\nb", "./x",
    }  # fmt: skip


def test_times_and_sizes_in_extension_headers(tmp_path: Path) -> None:
    data = extended(b"20 mtime=1234567.89\n", Part("oci-layout", b"{}"))
    assert names(written(tmp_path, data)) == {"oci-layout"}
    data = extended(b"9 size=2\n", Part("oci-layout", b"{}"))
    with (
        ArchiveFiles(written(tmp_path, data)) as files,
        files.open(files.root / "oci-layout") as it,
    ):
        assert it.read() == b"{}"


def patched(at: int, value: bytes, parts: Iterable[Part] = LAYOUT) -> bytes:
    """The first header with other bytes, and a checksum that fits."""
    data = bytearray(tar_bytes(list(parts)))
    data[at : at + len(value)] = value
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tar_bytes([*LAYOUT, Part("oci-layout", b"other")]), "there twice"),
        (tar_bytes([*LAYOUT, Part("./oci-layout", b"other")]), "there twice"),
        (tar_bytes([*LAYOUT, folder("oci-layout")]), "there twice"),
        (tar_bytes([Part("a"), Part("a/b")]), "a file and a folder"),
        (tar_bytes([symlink("oci-layout", "/etc/passwd")]), "no plain file"),
        (tar_bytes([hardlink("oci-layout", "/etc/passwd")]), "no plain file"),
        (tar_bytes([Part("x", kind=tarfile.CHRTYPE)]), "no plain file"),
        (tar_bytes([Part("x", kind=tarfile.FIFOTYPE)]), "no plain file"),
        (tar_bytes([Part("x", kind=tarfile.CONTTYPE)]), "no plain file"),
        (tar_bytes([Part("x", kind=tarfile.AREGTYPE)]), "no plain file"),
        (tar_bytes([Part("x", kind=tarfile.GNUTYPE_SPARSE)]), ""),
        (tar_bytes([Part("x" * 200)]), "no plain file"),  # GNU's long names
        (tar_bytes([Part("x" * 200)], form=tarfile.PAX_FORMAT), "sets path"),
        (tar_bytes([Part("y" * 90 + "/" + "x" * 90)], form=tarfile.USTAR_FORMAT), "agree"),
        (tar_bytes(LAYOUT)[:-10240] + b"x", "cut off"),
        (tar_bytes(LAYOUT)[:1000], "cut off"),
        (tar_bytes(LAYOUT)[:512], "cut off"),
        (b"", "cut off"),
        (tar_bytes(LAYOUT) + tar_bytes([Part("index.json")]), "goes on behind its end"),
        (tar_bytes(LAYOUT) + bytes(2 << 20), "goes on behind its end"),
        (tar_bytes(LAYOUT) + b"\0" * 511 + b"x", "goes on behind its end"),
        (b"x" * 1024, "agree"),
        (patched(0, b"\xff\xfe"), "no header"),
        (patched(124, b"\x80" + b"\x00" * 3 + b"\xff" * 8), "cut off"),
        (patched(124, b"\xff" * 12), "agree"),  # less than nothing, in base 256
        (patched(124, b"0o17\0"), "agree"),
        (patched(124, b"1_0\0"), "agree"),
        (patched(345, b"etc\0"), "agree"),
        (tar_bytes(LAYOUT).replace(b"ustar", b"ustax", 1), "no header"),
        (extended(b"14 path=other\n", Part("oci-layout")), "sets path"),
        (extended(b"18 linkpath=other\n", Part("oci-layout")), "sets linkpath"),
        (extended(b"9 size=1\n9 size=2\n", Part("oci-layout", b"{}")), "two sizes"),
        (extended(b"12 size=1.5\n", Part("oci-layout", b"{}")), "odd size"),
        (extended(b"8 size=2\n", Part("oci-layout", b"{}")), "cannot be read"),
        (extended(b"11 size=-2\n", Part("oci-layout", b"{}")), "odd size"),
        (extended(b"20 mtime=1234567.89\n" * 300, Part("x")), "too long"),
        (extended(b"9 size=0\n"), "without its member"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(MalformedError) as error:
        ArchiveFiles(written(tmp_path, data))
    assert words in str(error.value.got)


def test_two_extension_headers_in_a_row(tmp_path: Path) -> None:
    one = extended(b"9 size=2\n")[: 2 * tarfile.BLOCKSIZE]
    with pytest.raises(MalformedError):
        ArchiveFiles(written(tmp_path, one + extended(b"9 size=1\n", Part("x", b"{}"))))


def test_a_global_header_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", pax_headers={"comment": "x"}) as archive:
        archive.addfile(tarfile.TarInfo("oci-layout"))
    with pytest.raises(MalformedError):
        ArchiveFiles(written(tmp_path, out.getvalue()))


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_files, "MOST_FILES", 3)
    with pytest.raises(LimitError):
        ArchiveFiles(written(tmp_path, tar_bytes([Part(str(n)) for n in range(4)])))


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("/etc/passwd")])
def test_what_is_no_file(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "x")
    with pytest.raises(UsageError):
        ArchiveFiles(tmp_path / "x")
    assert not is_tar(tmp_path / "x")


@settings(max_examples=300)
@given(st.integers(0, 4095), st.binary(max_size=16))
def test_any_change_gives_other_files_or_an_integrity_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: bytes
) -> None:
    data = bytearray(tar_bytes(LAYOUT))
    data[at : at + len(value)] = value
    path = tmp_path_factory.mktemp("fuzz") / "x.tar"
    path.write_bytes(data)
    try:
        with ArchiveFiles(path) as files:
            for name in files.names():
                with files.open(files.root / name) as reader:
                    reader.read()
    except IntegrityError:
        pass  # what must come out when the change is no honest archive
