"""The strict tar reader: what tarfile lets pass in silence is refused."""

import io
import tarfile

import pytest

from hps.archive.decompress import damage
from hps.archive.paths import Limits
from hps.errors import UnsafeArchiveError
from hps.layer.tar_reader import members
from tests.layer.packages import Part, folder, hardlink, symlink, tar_bytes

LONG = "d" * 90 + "/" + "e" * 90 + "/" + "ü" * 60


def read(data: bytes, limits: Limits | None = None) -> list[tuple[str, str, bytes, str]]:
    stream = io.BytesIO(data)
    found = members(stream, "x.tar", packed=len(data), limits=limits or Limits())
    with damage("x.tar"):
        return [
            (one.path, one.kind, one.reader.read() if one.reader else b"", one.link)
            for one in found
        ]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_all_kinds_in_all_formats(form: int) -> None:
    name = LONG if form != tarfile.USTAR_FORMAT else "short"
    parts = [
        folder("./"), folder("./usr//bin/"), Part(f"./{name}", b"data"),
        symlink("./usr/ln", "../else/where"), hardlink("./usr/hard", f"./{name}"),
    ]  # fmt: skip
    assert read(tar_bytes(parts, form=form)) == [
        ("", "directory", b"", ""),
        ("usr/bin", "directory", b"", ""),
        (name, "file", b"data", ""),
        ("usr/ln", "symlink", b"", "../else/where"),
        ("usr/hard", "hardlink", b"", name),
    ]


def test_every_cut_is_noticed() -> None:
    data = tar_bytes([Part("one", b"1" * 600), Part("two", b"2")])
    end = 512 + 1024 + 512 + 512  # the members; a block of zeros must follow
    for size in [*range(0, end + 1, 64), end + 100]:
        with pytest.raises(UnsafeArchiveError, match=r"x\.tar is damaged|ends early"):
            read(data[:size])
    assert len(read(data[: end + 512])) == 2


def test_a_damaged_header_in_the_middle_is_no_end() -> None:
    data = bytearray(tar_bytes([Part("one", b"1"), Part("two", b"2"), Part("three", b"3")]))
    data[1024 + 10] ^= 1  # in the name of the second: its checksum is wrong now
    with pytest.raises(UnsafeArchiveError, match="damaged") as raised:
        read(bytes(data))
    assert "no header" in str(raised.value.got)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Part("../evil"), "unsafe name"),
        (Part("a/../../evil"), "unsafe name"),
        (Part("/etc/passwd"), "unsafe name"),
        (Part("a\nb"), "unsafe name"),
        (Part("n" * 300), "unsafe name"),
        (hardlink("x", "../../etc/passwd"), "unsafe name"),
        (hardlink("x", "/etc/passwd"), "unsafe name"),
        (symlink("x", ""), "unsafe target"),
        (symlink("x", "a\x01b"), "unsafe target"),
        (Part("dev", kind=tarfile.CHRTYPE), "no file, folder or link"),
        (Part("dev", kind=tarfile.BLKTYPE), "no file, folder or link"),
        (Part("pipe", kind=tarfile.FIFOTYPE), "no file, folder or link"),
        (Part("./"), "in place of its root"),
        (symlink(".", "/etc"), "in place of its root"),
    ],
)
def test_unsafe_members_are_refused(part: Part, words: str) -> None:
    with pytest.raises(UnsafeArchiveError, match=words) as raised:
        read(tar_bytes([part]))
    assert "x.tar" in raised.value.message


def test_names_that_are_not_utf8_are_refused() -> None:
    data = tar_bytes([Part("x" * 8)]).replace(b"x" * 8, b"\xff" * 8)
    header = bytearray(data[:512])
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    with pytest.raises(UnsafeArchiveError, match=r"x\.tar"):
        read(bytes(header) + data[512:])


def test_limits_hold_before_anything_is_read() -> None:
    many = tar_bytes([Part(f"f{number}") for number in range(6)])
    with pytest.raises(UnsafeArchiveError, match="too many files"):
        read(many, Limits(files=5))
    with pytest.raises(UnsafeArchiveError, match="too many bytes"):
        read(tar_bytes([Part("big", b"x" * 100)]), Limits(size=99))


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_an_extension_header_cannot_fill_the_memory(kind: bytes, before: int) -> None:
    """Neither the first one, nor one that follows a good one."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2
    good = info.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")
    info.type, info.size = kind, 1 << 40
    with pytest.raises(UnsafeArchiveError, match="damaged") as raised:
        read(good * before + info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    assert "extension header" in str(raised.value.got)
