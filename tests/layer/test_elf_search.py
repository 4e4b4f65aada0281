"""The search for libraries: the dynamic linker of this machine finds the same ones."""

import os
import re
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.layer.elf_image import ElfImage
from hps.layer.elf_layer import layer_things
from hps.layer.elf_search import Linker, Missing, Process, parse_cache
from tests.layer.libraries import Member, Wanted, library, program, tar, things

LINKER = Path("/lib64/ld-linux-x86-64.so.2")
CACHE = Path("/etc/ld.so.cache")
pytestmark = pytest.mark.skipif(not LINKER.exists(), reason="the linker here is another one")


def found(process: Process) -> dict[str, str]:
    """File name of each object that was loaded, and where it was found."""
    return {Path(one.path).name: one.path for one in process.loaded[1:]}


def traced(path: Path, library_path: str = "") -> dict[str, str]:
    """What the real linker finds (ldd(1)); `not found` as an empty path."""
    told = subprocess.run(
        [LINKER, path],
        env={"LD_TRACE_LOADED_OBJECTS": "1", "LD_LIBRARY_PATH": library_path},
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    ).stdout
    lines = re.findall(r"^\t(\S+) => (not found|\S+)", told, re.MULTILINE)
    return {name: "" if where == "not found" else where for name, where in lines}


def image_of(folder: Path, *more: Path) -> ElfImage:
    """A folder of this machine as an image, with all at its own path."""
    members: dict[str, Member] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            members[str(path)[1:]] = str(path.readlink())
        elif path.is_file():
            members[str(path)[1:]] = path
    members |= {str(path)[1:]: path for path in more}
    layer = folder / "image.tar"
    layer.write_bytes(tar(members))
    return ElfImage([layer_things(layer, "image", folder)])


def agree(folder: Path, start: Path, library_path: str = "") -> dict[str, str]:
    """Load a file in both ways, compare, and give what was found."""
    linker = Linker(image_of(folder), "amd64", library_path)
    (thing,) = [one for path, one in linker._image if path == str(start)[1:]]
    assert thing.elf is not None
    process = linker.load(str(start)[1:], thing.elf)
    real = traced(start, library_path)
    ours = found(process) | {one.library: "" for one in process.missing}
    assert {name: os.path.normpath(path) if path else "" for name, path in ours.items()} == {
        name: os.path.normpath(path) if path else "" for name, path in real.items()
    }
    return ours


def test_runpath_is_of_who_has_it_and_rpath_of_all_below(tmp_path: Path) -> None:
    """ld.so(8): DT_RUNPATH is for direct dependencies only, DT_RPATH for all of the tree."""
    leaf = library(tmp_path / "deep/libleaf.so.1", Wanted("libleaf.so.1"))
    middle = library(tmp_path / "lib/libmiddle.so.1", Wanted("libmiddle.so.1", [leaf]))
    here = f"{tmp_path}/lib:{tmp_path}/deep"
    new = program(tmp_path / "bin/new", Wanted(needs=[middle], runpath=here))
    old = program(tmp_path / "bin/old", Wanted(needs=[middle], rpath=here))
    assert agree(tmp_path, new)["libleaf.so.1"] == ""
    assert agree(tmp_path, old)["libleaf.so.1"] == str(leaf)
    assert agree(tmp_path, new, f"{tmp_path}/deep")["libleaf.so.1"] == str(leaf)


def test_a_library_with_runpath_has_no_part_in_the_rpath_of_its_loaders(tmp_path: Path) -> None:
    leaf = library(tmp_path / "deep/libleaf.so.1", Wanted("libleaf.so.1"))
    own = Wanted("libmiddle.so.1", [leaf], runpath="/nowhere")
    middle = library(tmp_path / "lib/libmiddle.so.1", own)
    start = Wanted(needs=[middle], rpath=f"{tmp_path}/lib:{tmp_path}/deep")
    assert agree(tmp_path, program(tmp_path / "start", start))["libleaf.so.1"] == ""


def test_origin_is_the_folder_of_who_says_it(tmp_path: Path) -> None:
    leaf = library(tmp_path / "a/lib/libleaf.so.1", Wanted("libleaf.so.1"))
    own = Wanted("libmiddle.so.1", [leaf], runpath="$ORIGIN/lib")
    middle = library(tmp_path / "a/libmiddle.so.1", own)
    start = program(tmp_path / "bin/start", Wanted(needs=[middle], runpath="${ORIGIN}/../a"))
    assert Path(agree(tmp_path, start)["libleaf.so.1"]).resolve() == leaf


def test_origin_of_a_library_behind_a_link_is_where_it_was_found(tmp_path: Path) -> None:
    """glibc takes the path by which it opened the file, and follows no link."""
    leaf = library(tmp_path / "real/libleaf.so.1", Wanted("libleaf.so.1"))
    own = Wanted("libmiddle.so.1", [leaf], runpath="$ORIGIN")
    middle = library(tmp_path / "real/libmiddle.so.1", own)
    (tmp_path / "links").mkdir()
    (tmp_path / "links/libmiddle.so.1").symlink_to("../real/libmiddle.so.1")
    start = Wanted(needs=[middle], runpath=f"{tmp_path}/links")
    assert agree(tmp_path, program(tmp_path / "start", start))["libleaf.so.1"] == ""


def test_a_library_of_another_machine_is_passed_over(tmp_path: Path) -> None:
    wrong = Wanted("libx.so.1", flags=["-m32"])
    library(tmp_path / "a/libx.so.1", wrong)
    right = library(tmp_path / "b/libx.so.1", Wanted("libx.so.1"))
    both = Wanted(needs=[right], runpath=f"{tmp_path}/a:{tmp_path}/b")
    assert agree(tmp_path, program(tmp_path / "start", both))["libx.so.1"] == str(right)


def test_a_soname_that_is_loaded_already_is_not_looked_for(tmp_path: Path) -> None:
    """Whoever comes later may have no path to it."""
    shared = library(tmp_path / "x/libshared.so.1", Wanted("libshared.so.1"))
    other = library(tmp_path / "y/libother.so.1", Wanted("libother.so.1", [shared]))
    start = Wanted(needs=[shared, other], runpath=f"{tmp_path}/x:{tmp_path}/y")
    assert agree(tmp_path, program(tmp_path / "start", start))["libshared.so.1"] == str(shared)


def test_libraries_that_need_each_other_end(tmp_path: Path) -> None:
    stub = library(tmp_path / "libb.so.1", Wanted("libb.so.1"))
    first = library(tmp_path / "liba.so.1", Wanted("liba.so.1", [stub], runpath="$ORIGIN"))
    library(tmp_path / "libb.so.1", Wanted("libb.so.1", [first], runpath="$ORIGIN"))
    start = program(tmp_path / "start", Wanted(needs=[first], runpath=str(tmp_path)))
    assert set(agree(tmp_path, start)) == {"liba.so.1", "libb.so.1"}


@pytest.mark.parametrize("flags", [[], ["-Wl,-z,nodefaultlib"]])
def test_the_cache_of_this_machine(tmp_path: Path, flags: list[str]) -> None:
    libc = Path("/lib/x86_64-linux-gnu/libc.so.6")
    start = library(tmp_path / "libstart.so", Wanted(needs=[libc], flags=flags))
    image = image_of(tmp_path, CACHE, libc)
    linker = Linker(image, "amd64")
    place = str(start)[1:]
    thing = image.at(place)
    assert thing is not None
    assert thing.elf is not None
    names = [one.library for one in linker.load(place, thing.elf).missing]
    assert ("libc.so.6" in names) == bool(flags) == (traced(start).get("libc.so.6") == "")


def test_the_default_folders(tmp_path: Path) -> None:
    made = library(tmp_path / "libx.so.1", Wanted("libx.so.1"))
    start = library(tmp_path / "start.so", Wanted(needs=[made]))
    places: Mapping[str, Mapping[str, Member]] = {
        "usr/lib/x86_64-linux-gnu/libx.so.1": {},
        "lib/libx.so.1": {},
        "usr/lib64/libx.so.1": {},
        "opt/lib/libx.so.1": {"etc/ld.so.conf": b"/opt/lib\n"},
    }
    for place, more in places.items():
        image = ElfImage([things(tmp_path, {"srv/start.so": start, place: made, **more})])
        thing = image.at("srv/start.so")
        assert thing is not None
        assert thing.elf is not None
        missing = Linker(image, "amd64").load("srv/start.so", thing.elf).missing
        # Without a cache a folder of ld.so.conf means nothing: ldconfig reads it, the linker not.
        assert bool(missing) == place.startswith("opt/"), place


def test_what_has_the_name_and_is_no_library_is_told(tmp_path: Path) -> None:
    made = library(tmp_path / "libx.so.1", Wanted("libx.so.1"))
    start = library(tmp_path / "start.so", Wanted(needs=[made]))
    members: dict[str, Member] = {"start.so": start, "usr/lib/libx.so.1": b"/* GNU ld script */"}
    image = ElfImage([things(tmp_path, members)])
    thing = image.at("start.so")
    assert thing is not None
    assert thing.elf is not None
    process = Linker(image, "amd64").load("start.so", thing.elf)
    assert process.missing == (Missing("start.so", "libx.so.1", "/usr/lib/libx.so.1"),)


def test_ldconfig_reads_the_same_cache() -> None:
    told = subprocess.run(
        ["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True
    ).stdout
    real: dict[str, list[str]] = {}
    for name, words, path in re.findall(r"^\t(\S+) \((.*)\) => (\S+)$", told, re.MULTILINE):
        if "hwcap" not in words:
            real.setdefault(name, []).append(path)
    cache = parse_cache(CACHE.read_bytes())
    assert len(cache) > 20
    assert {name: list(paths) for name, paths in cache.items()} == real


@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_no_cache_makes_the_reader_stumble(tail: bytes, count: int) -> None:
    head = b"glibc-ld.so.cache1.1" + struct.pack("<II", count, 0) + bytes(20)
    assert isinstance(parse_cache(head + tail), dict)
    assert parse_cache(tail) == {}


def test_a_cut_cache_gives_what_is_whole() -> None:
    data = CACHE.read_bytes()
    whole = parse_cache(data)
    for size in range(0, len(data), max(1, len(data) // 50)):
        for name, paths in parse_cache(data[:size]).items():
            assert set(paths) <= set(whole[name])
