"""What a layer holds for the dynamic linker: the same facts from a plain tar and a packed one."""

import bz2
import gzip
import lzma
from pathlib import Path

import pytest
import zstandard

from hps.archive.paths import Limits
from hps.errors import StoreCorruptError, UnsafeArchiveError
from hps.layer.elf_layer import Thing, layer_things, read_things
from tests.layer.libraries import Member, Wanted, library, tar, things


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Member]:
    folder = tmp_path_factory.mktemp("members")
    module = Wanted(source="void *PyInit_m(void) { return 0; }")
    return {
        "usr": None,
        "usr/lib": None,
        "usr/lib/liba.so.1.2": library(folder / "liba.so", Wanted("liba.so.1")),
        "usr/lib/liba.so.1": "liba.so.1.2",
        "usr/lib/libb.so": "=usr/lib/liba.so.1.2",
        "usr/lib/m.cpython-311-x86_64-linux-gnu.so": library(folder / "m.so", module),
        "usr/lib/broken.so": b"\x7fELF and more",
        "usr/lib/readme": b"no library",
        "usr/lib/short": b"\x7fE",
        "etc/ld.so.conf.d/gpu.conf": b"/opt/gpu/lib\n",
        "opt/cudnn/include/cudnn_version.h": b"#define CUDNN_MAJOR 8\n",
    }


def test_every_path_and_what_it_is(tmp_path: Path, members: dict[str, Member]) -> None:
    found = {one.path: one for one in things(tmp_path, members)}
    assert list(found) == list(members)
    first = found["usr/lib/liba.so.1.2"]
    assert first.elf is not None
    assert (first.elf.soname, first.module, first.kind) == ("liba.so.1", False, "file")
    assert found["usr/lib/liba.so.1"] == Thing("usr/lib/liba.so.1", "symlink", "liba.so.1.2")
    assert found["usr/lib/libb.so"] == Thing("usr/lib/libb.so", "hardlink", "usr/lib/liba.so.1.2")
    assert found["usr/lib/m.cpython-311-x86_64-linux-gnu.so"].module
    assert found["usr/lib/broken.so"].fault
    assert found["usr/lib/broken.so"].elf is None
    assert found["usr/lib/readme"] == Thing("usr/lib/readme", "file", size=10)
    assert found["usr/lib/short"] == Thing("usr/lib/short", "file", size=2)
    assert found["etc/ld.so.conf.d/gpu.conf"].note == b"/opt/gpu/lib\n"
    assert found["opt/cudnn/include/cudnn_version.h"].note == b"#define CUDNN_MAJOR 8\n"


def test_packed_layers_say_the_same(tmp_path: Path, members: dict[str, Member]) -> None:
    plain = tar(members)
    expected = things(tmp_path, members)
    packed = {
        "gz": gzip.compress(plain),
        "zst": zstandard.ZstdCompressor().compress(plain),
        "xz": lzma.compress(plain),
        "bz2": bz2.compress(plain),
    }
    for name, data in packed.items():
        (spool := tmp_path / name).mkdir()
        layer = tmp_path / f"layer.{name}"
        layer.write_bytes(data)
        assert list(layer_things(layer, "a layer", spool)) == expected


def test_what_is_written_is_read_back(tmp_path: Path, members: dict[str, Member]) -> None:
    found = things(tmp_path, members)
    assert list(read_things(one.dump() for one in found)) == found


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"{", b"[]", b"[1,2,3]", b"[" * 100000, b"\xff"),
        b'["a","file","",0,[1],false,"",null,[]]',
        b'["a","file","",0,null,false,"","!",[]]',
        b'["a","file","",0,null,false,"",null]',
    ],
)
def test_damaged_facts_are_told(line: bytes) -> None:
    with pytest.raises(StoreCorruptError, match="line 1"):
        list(read_things([line]))


@pytest.mark.parametrize("packed", [False, True])
def test_a_layer_that_is_cut_off_is_refused(
    tmp_path: Path, members: dict[str, Member], *, packed: bool
) -> None:
    data = tar(members)
    data = gzip.compress(data) if packed else data
    layer = tmp_path / "layer.tar"
    for size in (300, 700, len(data) // 2, len(data) // 2 + 100):
        layer.write_bytes(data[:size])
        (spool := tmp_path / str(size)).mkdir()
        with pytest.raises(UnsafeArchiveError):
            list(layer_things(layer, "a layer", spool))


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeArchiveError):
        things(tmp_path, {name: b"x"})


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    layer = tmp_path / "layer.tar.gz"
    layer.write_bytes(gzip.compress(bytes(40 << 20)))
    limits = Limits(ratio=100, ratio_from=1 << 20)
    with pytest.raises(UnsafeArchiveError, match="bomb"):
        list(layer_things(layer, "a layer", tmp_path, limits))
    assert (tmp_path / "plain.tar").stat().st_size < 8 << 20


def test_names_of_libraries_in_programs_and_python_modules(tmp_path: Path) -> None:
    source = 'const char *plugin = "libplugin.so.3"; const char *other = "/opt/lib-x_2.so";'
    members: dict[str, Member] = {
        "opener.so": library(tmp_path / "opener.so", Wanted("libopener.so.1", source=source)),
        "find.py": b"ctypes.CDLL('libdecord.so')\nlib.so\nlibrary.sorted()",
        "large.py": b"#" * (1 << 20) + b" libfar.so",
        "notes.txt": b"libnot.so",
    }
    found = {one.path: one.names for one in things(tmp_path, members)}
    assert found["opener.so"] == ("lib-x_2.so", "libopener.so.1", "libplugin.so.3")
    assert found["find.py"] == ("libdecord.so",)
    assert found["large.py"] == found["notes.txt"] == ()


def test_a_name_on_the_border_of_two_pieces_is_found(tmp_path: Path) -> None:
    plain = library(tmp_path / "plain.so").read_bytes()
    for at in range((1 << 20) - 14, (1 << 20) + 2, 3):
        padded = plain + b"\0" * (at - len(plain)) + b"libborder.so.1" + b"\0" * 400
        (found,) = things(tmp_path, {"x.so": padded})
        assert "libborder.so.1" in found.names, at


@pytest.mark.parametrize("piece", [b"lib", b".so", b"liba.so", b".so.1.1.1", b"lib.so.9999999999"])
def test_bytes_that_look_like_names_everywhere_end(tmp_path: Path, piece: bytes) -> None:
    """Looking stops after so many; what was found until then is told."""
    plain = library(tmp_path / "plain.so").read_bytes()
    (found,) = things(tmp_path, {"x.so": plain + piece * ((2 << 20) // len(piece))})
    assert len(found.names) < 100


def test_a_note_is_cut_and_never_huge(tmp_path: Path) -> None:
    (found,) = things(tmp_path, {"etc/ld.so.conf": b"/" * (1 << 20)})
    assert len(found.note or b"") == 1 << 16
