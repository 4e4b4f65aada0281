"""The ELF reader: readelf(1) sees the same, and no bytes make it stumble."""

import contextlib
import re
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.layer.elf import Elf, ElfError, exports, read_elf
from tests.layer.libraries import Wanted, host_libraries, library, of_bytes, program, reader


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elf")


@pytest.fixture(scope="module")
def rich(folder: Path) -> Path:
    """A library with all that is read."""
    used = Wanted("libused.so.2", source="int used(void) { return 1; }", versions="V_1 { used; };")
    below = library(folder / "libused.so.2", used)
    wanted = Wanted(
        "librich.so.1",
        [below],
        runpath="$ORIGIN/../lib:/opt/lib",
        source="int used(void); int rich(void) { return used(); }",
        versions="RICH_1 { rich; }; RICH_2 { } RICH_1;",
        flags=["-Wl,-z,nodefaultlib"],
    )
    return library(folder / "librich.so.1.5", wanted)


def tags(path: Path, tag: str) -> list[str]:
    """What readelf -d tells of a tag."""
    told = subprocess.run(
        ["readelf", "-d", "-W", path], check=True, capture_output=True, text=True
    ).stdout
    return re.findall(rf"\({tag}\)\s+.*?\[(.*)\]", told)


def versions(path: Path) -> tuple[dict[str, set[str]], set[str]]:
    """What readelf -V tells: needed versions by library, defined versions."""
    told = subprocess.run(
        ["readelf", "-V", "-W", path], check=True, capture_output=True, text=True
    ).stdout
    needs: dict[str, set[str]] = {}
    defines: set[str] = set()
    library_ = ""
    for line in told.splitlines():
        if found := re.search(r"File: (\S+)  Cnt:", line):
            library_ = found[1]
            needs.setdefault(library_, set())
        elif (found := re.search(r"Name: (\S+)  Flags: (.*?)  Version:", line)) and library_:
            if "WEAK" not in found[2]:
                needs[library_].add(found[1])
        elif found := re.search(r"Rev: 1  Flags: (?!.*BASE).*?  Index:.*Name: (\S+)", line):
            defines.add(found[1])
    return needs, defines


def test_a_library_with_everything(rich: Path) -> None:
    assert read_elf(reader(rich)) == Elf(
        bits=64,
        machine=62,
        kind="library",
        soname="librich.so.1",
        needed=("libused.so.2",),
        runpath="$ORIGIN/../lib:/opt/lib",
        default_folders=False,
        wants=(("libused.so.2", ("V_1",)),),
        defines=("RICH_1", "RICH_2"),
    )


def test_rpath_is_another_thing_than_runpath(folder: Path) -> None:
    elf = read_elf(reader(library(folder / "liba.so", Wanted(rpath="/a:/b"))))
    assert (elf.rpath, elf.runpath, elf.soname) == ("/a:/b", None, None)


def test_programs_are_told_from_libraries(folder: Path) -> None:
    linker = "/lib64/ld-linux-x86-64.so.2"
    pie = read_elf(reader(program(folder / "pie", Wanted(flags=["-pie"]))))
    plain = read_elf(reader(program(folder / "plain", Wanted(flags=["-no-pie", "-static"]))))
    assert (pie.kind, pie.interpreter) == ("executable", linker)
    assert (plain.kind, plain.interpreter, plain.needed) == ("executable", None, ())


def test_an_object_file_is_neither(folder: Path) -> None:
    path = folder / "a.o"
    subprocess.run(["gcc", "-c", "-x", "c", "-", "-o", path], input=b"int a;", check=True)
    assert read_elf(reader(path)).kind == "other"


def test_thirty_two_bits(folder: Path) -> None:
    elf = read_elf(reader(library(folder / "lib32.so", Wanted("lib32.so.1", flags=["-m32"]))))
    assert (elf.bits, elf.machine, elf.soname) == (32, 3, "lib32.so.1")


def test_readelf_sees_the_same_in_files_of_this_machine(rich: Path) -> None:
    seen = 0
    for path in (rich, *host_libraries(40)):
        elf = read_elf(reader(path))
        assert list(elf.needed) == tags(path, "NEEDED"), path
        said = {"SONAME": elf.soname, "RPATH": elf.rpath, "RUNPATH": elf.runpath}
        for tag, value in said.items():
            assert tags(path, tag) == ([] if value is None else [value]), path
        needs, defines = versions(path)
        assert {library_: set(names) for library_, names in elf.wants} == needs, path
        assert set(elf.defines) == defines, path
        seen += 1
    assert seen > 30


def test_the_export_hook_of_a_module(folder: Path) -> None:
    module = library(folder / "_m.so", Wanted(source="void *PyInit__m(void) { return 0; }"))
    assert exports(reader(module), "PyInit__m")
    assert not exports(reader(module), "PyInit__")
    assert not exports(reader(module), "yInit__m")


def test_every_truncation_is_an_error_or_a_file(rich: Path) -> None:
    data = rich.read_bytes()
    errors = 0
    for size in (*range(1200), *range(1200, len(data), 37)):
        try:
            read_elf(of_bytes(data[:size]))
        except ElfError:
            errors += 1
    assert errors > 1000


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_change_of_bytes_is_anything_else(rich: Path, data: st.DataObject) -> None:
    """Numbers at places that matter become extreme ones; a fault is an ElfError, and soon there."""
    image = bytearray(rich.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 0x600) | st.integers(0, len(image) - 8))
        value = data.draw(
            st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
        )
        width = data.draw(st.sampled_from([1, 2, 4, 8]))
        image[at : at + width] = (value % 256**width).to_bytes(width, "little")
    try:
        elf = read_elf(of_bytes(bytes(image)))
        exports(of_bytes(bytes(image)), "PyInit_x")
    except ElfError:
        return
    assert isinstance(elf, Elf)


@given(st.binary(max_size=300))
def test_any_bytes_behind_the_magic(tail: bytes) -> None:
    for head in (b"\x7fELF", b"\x7fELF\x02\x01\x01", b"\x7fELF\x01\x02\x01"):
        with contextlib.suppress(ElfError):
            assert isinstance(read_elf(of_bytes(head + tail)), Elf)


def header(count: int, table: int = 64) -> bytes:
    start = b"\x7fELF\x02\x01\x01" + bytes(9)
    return start + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, table, 0, 0, 64, 56, count, 0, 0, 0)


def segment(kind: int, offset: int, address: int, size: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, 4, offset, address, address, size, size, 8)


def dynamic(*entries: tuple[int, int]) -> bytes:
    return b"".join(struct.pack("<QQ", *one) for one in (*entries, (0, 0)))


def made(table: bytes, names: bytes = b"\0x\0", versions_: bytes = b"") -> bytes:
    """Three segments: names at address 0x1000, versions at 0x2000, the dynamic section."""
    start = 64 + 3 * 56
    load = names + versions_ + table
    segments = (
        segment(1, start, 0x1000, len(names)),
        segment(1, start + len(names), 0x2000, len(versions_)),
        segment(2, start + len(names) + len(versions_), 0x3000, len(table)),
    )
    return header(3) + b"".join(segments) + load


NAMES = ((5, 0x1000), (10, 3))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\x7fELF", "not an ELF file"),
        (header(600), "600 program headers"),
        (header(3, 1 << 62), "behind the end"),
        (made(dynamic((1, 1))), "no table of names"),
        (made(dynamic((1, 9), (5, 0x1000), (10, 3))), "outside of the table"),
        (made(dynamic((1, 1), (5, 0x9000), (10, 3))), "in no loaded segment"),
        (made(dynamic((1, 0), (5, 0x1000), (10, 3)), b"xyz"), "does not end"),
        (made(dynamic(*NAMES, (0x6FFFFFFE, 0x2000), (0x6FFFFFFF, 1)), versions_=b"1"), "cut off"),
        (made(dynamic(*NAMES, (0x6FFFFFFC, 0x2000), (0x6FFFFFFD, 9**9)), versions_=b"1"), "9"),
        (made(dynamic(*[(1, 1)] * 5000, (5, 0x1000), (10, 3))), "needs 5000 libraries"),
    ],
)
def test_faults_have_names(data: bytes, fault: str) -> None:
    with pytest.raises(ElfError, match=fault):
        read_elf(of_bytes(data))


def test_a_chain_of_versions_that_never_ends_ends() -> None:
    """Each entry points at itself or its neighbour; a limit stops the walk."""
    needs = struct.pack("<HHIII", 1, 65535, 1, 16, 16)
    version = struct.pack("<IHHII", 0, 0, 2, 1, 0)
    ring = needs + version
    entries = dynamic((5, 0x1000), (10, 3), (0x6FFFFFFE, 0x2000), (0x6FFFFFFF, 1 << 40))
    with pytest.raises(ElfError):
        read_elf(of_bytes(made(entries, versions_=ring)))
    many = struct.pack("<HHIII", 1, 65535, 1, 16, 0)
    chain = b"".join(struct.pack("<IHHII", 0, 0, 2, 1, 16) for _ in range(20000))
    with pytest.raises(ElfError, match="more than 16384 versions"):
        read_elf(of_bytes(made(entries, versions_=many + chain)))
