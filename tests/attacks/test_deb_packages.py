"""Hostile Debian packages: refused by name, before anything of them is written into a layer."""

import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.archive.paths import Limits
from hps.errors import HpsError, UnsafeArchiveError
from hps.layer.deb_layer import LocalDeb, deb_entries
from hps.layer.entry import Entry
from tests.layer.packages import (
    PACK,
    Part,
    ar_bytes,
    folder,
    hardlink,
    make_deb,
    symlink,
)


def layer(tmp_path: Path, deb: LocalDeb, limits: Limits | None = None) -> list[Entry]:
    spool = tmp_path / f"spool{len(list(tmp_path.iterdir()))}"
    spool.mkdir()
    return deb_entries([deb], spool=spool, limits=limits)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([Part("./../../etc/passwd")], "unsafe name"),
        ([Part("/etc/passwd")], "unsafe name"),
        ([Part("./dev/sda", kind=tarfile.BLKTYPE)], "no file, folder or link"),
        ([Part("./dev/null", kind=tarfile.CHRTYPE)], "no file, folder or link"),
        ([Part("./run/pipe", kind=tarfile.FIFOTYPE)], "no file, folder or link"),
        ([Part("./a"), Part("./a")], "holds a twice"),
        ([Part("./bin/a"), Part("./usr/bin/a")], "holds usr/bin/a twice"),
        ([folder("./a/"), symlink("./a", "/etc")], "holds a twice"),
        ([hardlink("./a", "./b")], "hard link to what the package does not hold"),
        ([folder("./b/"), hardlink("./a", "./b")], "hard link to what the package does not hold"),
        ([symlink("./a", "/etc"), Part("./a/passwd")], "symlink of evil"),
        ([symlink("./usr/bin", "/tmp"), Part("./bin/sh")], "symlink of evil"),
    ],
)
def test_members(tmp_path: Path, parts: list[Part], words: str) -> None:
    deb = make_deb(tmp_path, "evil", parts)
    with pytest.raises(UnsafeArchiveError, match=words) as raised:
        layer(tmp_path, deb)
    assert "evil" in raised.value.message


def test_a_link_in_place_of_a_merged_folder_is_not_taken(tmp_path: Path) -> None:
    """A package that ships /bin as a link elsewhere would redirect every other package."""
    deb = make_deb(tmp_path, "evil", [symlink("./bin", "/tmp/x"), Part("./bin/sh", b"sh")])
    with pytest.raises(UnsafeArchiveError, match="symlink of evil"):
        layer(tmp_path, deb)


def test_limits(tmp_path: Path) -> None:
    deb = make_deb(tmp_path, "evil", [Part(f"./f{number}") for number in range(9)])
    with pytest.raises(UnsafeArchiveError, match="too many files"):
        layer(tmp_path, deb, Limits(files=8))


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst", ".bz2"])
def test_a_bomb_is_told_by_what_it_announces(tmp_path: Path, suffix: str) -> None:
    info = tarfile.TarInfo("./big")
    info.size = 8 << 30
    good = make_deb(tmp_path, "evil")
    control = good.path.read_bytes()[8 + 60 + 4 :]
    size = int(control[48:58])
    members = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", control[60 : 60 + size]),
        (f"data.tar{suffix}", PACK[suffix](info.tobuf() + bytes(1 << 20))),
    ]
    good.path.write_bytes(ar_bytes(members))
    with pytest.raises(UnsafeArchiveError, match="decompression bomb"):
        layer(tmp_path, good)


def test_control_bombs(tmp_path: Path) -> None:
    many = {f"f{number}": b"" for number in range(70)}
    with pytest.raises(UnsafeArchiveError, match="too many files"):
        layer(tmp_path, make_deb(tmp_path, "evil", extra=many))
    with pytest.raises(UnsafeArchiveError, match="too many bytes"):
        layer(tmp_path, make_deb(tmp_path, "evil", extra={"big": bytes(65 << 20)}, suffix=".zst"))


@settings(max_examples=80, deadline=None)
@given(at=st.integers(0, 10**6), value=st.integers(0, 255))
def test_any_byte_changed_gives_entries_or_one_of_our_errors(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: int
) -> None:
    tmp_path = tmp_path_factory.mktemp("fuzz")
    parts = [folder("./"), Part("./usr/x", b"x" * 99), hardlink("./usr/y", "./usr/x")]
    deb = make_deb(tmp_path, "foo", parts, suffix="", extra={"md5sums": b"00  usr/x\n"})
    data = bytearray(deb.path.read_bytes())
    data[at % len(data)] = value
    deb.path.write_bytes(data)
    try:
        entries = layer(tmp_path, deb)
    except HpsError:
        return
    assert all(".." not in entry.path.split("/") for entry in entries)
