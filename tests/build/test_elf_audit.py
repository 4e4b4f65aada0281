"""The audit of an image: what is missing, who is told, what passes, what is unused."""

from pathlib import Path

import pytest

from hps.build.elf_audit import DRIVER_LIBRARIES, Audit, audit, rules
from hps.config.target import External, Target
from hps.layer.elf_image import ElfImage
from hps.layer.elf_search import Linker, Unversioned
from tests.layer.libraries import Member, Wanted, library, program, things

LIB = "usr/lib/x86_64-linux-gnu"
LINKER = "usr/lib64/ld-linux-x86-64.so.2"


def judged(
    folder: Path,
    members: dict[str, Member],
    *external: External,
    library_path: str = "",
    large: int = 1 << 40,
) -> Audit:
    image = ElfImage([things(folder, members)])
    return audit(image, Linker(image, "amd64", library_path), external, large=large)


def rule(library_: str, needed_by: str = "*") -> External:
    words = {"library": library_, "needed-by": needed_by, "because": "of a test"}
    return External.model_validate(words)


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, Path]:
    """A library, another that needs it, a Python module and a program that need the latter."""
    (folder := tmp_path / "made").mkdir()
    leaf = library(folder / "libleaf.so.1", Wanted("libleaf.so.1"))
    middle = library(folder / "libmiddle.so.1", Wanted("libmiddle.so.1", [leaf]))
    source = "void *PyInit_mod(void) { return 0; }"
    return {
        "leaf": leaf,
        "middle": middle,
        "module": library(folder / "mod.so", Wanted(needs=[middle], source=source)),
        "program": program(folder / "start", Wanted(needs=[middle])),
        "linker": library(folder / "ld.so", Wanted("ld-linux-x86-64.so.2")),
    }


def test_an_image_that_holds_all_passes(tmp_path: Path, parts: dict[str, Path]) -> None:
    members: dict[str, Member] = {
        "lib64": "usr/lib64",
        LINKER: parts["linker"],
        f"{LIB}/libleaf.so.1": parts["leaf"],
        f"{LIB}/libmiddle.so.1": parts["middle"],
        "usr/bin/start": parts["program"],
        "srv/mod.so": parts["module"],
    }
    found = judged(tmp_path, members)
    assert found.passed
    assert (found.files, found.missing, found.unversioned) == (5, (), ())
    assert found.size == sum(path.stat().st_size for path in parts.values())


def test_a_gap_names_library_file_and_what_is_started(
    tmp_path: Path, parts: dict[str, Path]
) -> None:
    members: dict[str, Member] = {
        f"{LIB}/libmiddle.so.1": parts["middle"],
        "opt/lib/libleaf.so.1": parts["leaf"],
        "srv/mod.so": parts["module"],
        "usr/bin/start": parts["program"],
    }
    found = judged(tmp_path, members)
    assert not found.passed
    linker, gap = found.missing
    assert linker.library == "/lib64/ld-linux-x86-64.so.2"
    assert linker.needed_by == "/usr/bin/start"
    assert gap.library == "libleaf.so.1"
    assert gap.needed_by == f"/{LIB}/libmiddle.so.1"
    assert set(gap.loaded_by) == {"/srv/mod.so", "/usr/bin/start"}
    assert gap.elsewhere == ("/opt/lib/libleaf.so.1",)
    assert not gap.configured
    members["etc/ld.so.conf.d/opt.conf"] = b"# ours\n/opt/lib/  # theirs\n"
    assert judged(tmp_path, members).missing[1].configured
    assert len(judged(tmp_path, members, library_path="/opt/lib").missing) == 1


def test_a_library_is_judged_where_it_is_loaded(tmp_path: Path, parts: dict[str, Path]) -> None:
    """Alone it would miss one; its only loader has a search path that is in force below it."""
    wanted = Wanted(needs=[parts["middle"]], rpath="/opt/a:/opt/b")
    members: dict[str, Member] = {
        "opt/a/libmiddle.so.1": parts["middle"],
        "opt/b/libleaf.so.1": parts["leaf"],
        "srv/plugin.so": library(tmp_path / "plugin.so", wanted),
    }
    assert judged(tmp_path, members).passed
    members["srv/other.so"] = parts["module"]
    assert [gap.needed_by for gap in judged(tmp_path, members).missing] == ["/srv/other.so"]


def test_libraries_that_only_need_each_other_are_judged_too(tmp_path: Path) -> None:
    (folder := tmp_path / "made").mkdir()
    leaf = library(folder / "libgone.so.1", Wanted("libgone.so.1"))
    stub = library(folder / "libb.so.1", Wanted("libb.so.1"))
    first = library(folder / "liba.so.1", Wanted("liba.so.1", [stub]))
    second = library(folder / "libb.so.1", Wanted("libb.so.1", [first, leaf]))
    members: dict[str, Member] = {f"{LIB}/liba.so.1": first, f"{LIB}/libb.so.1": second}
    assert [gap.library for gap in judged(tmp_path, members).missing] == ["libgone.so.1"]


def test_rules_let_pass_by_name_and_by_who_needs_it(tmp_path: Path, parts: dict[str, Path]) -> None:
    members: dict[str, Member] = {"srv/mod.so": parts["module"]}
    missing = ("libmiddle.so.1",)
    for external, passes in (
        (rule("libmiddle.so.1"), True),
        (rule("libmid*"), True),
        (rule("libmiddle.so.1", "/srv/*"), True),
        (rule("libmiddle.so.1", "/opt/*"), False),
        (rule("libmiddle.so"), False),
    ):
        found = judged(tmp_path, members, external)
        assert found.passed == passes
        assert tuple(gap.library for gap in found.missing) == (() if passes else missing)
        assert [one.because for one in found.allowed] == (["of a test"] if passes else [])
        assert found.idle == (() if passes else (external,))


def test_the_driver_is_expected_of_hosts_of_gpu_images_only(tmp_path: Path) -> None:
    driver = library(tmp_path / "libcuda.so.1", Wanted("libcuda.so.1"))
    members: dict[str, Member] = {
        "srv/engine.so": library(tmp_path / "engine.so", Wanted(needs=[driver]))
    }
    base = {"debian": {"source": "os", "packages": []}}
    gpu = Target.model_validate({**base, "device": "gpu"})
    cpu = Target.model_validate({**base, "device": "cpu"})
    found = judged(tmp_path, members, *rules(gpu))
    assert found.passed
    assert "driver" in found.allowed[0].because
    assert found.idle == ()  # of the rules that come with hps nobody is told
    assert not judged(tmp_path, members, *rules(cpu)).passed
    assert {one.library for one in DRIVER_LIBRARIES} >= {"libcuda.so.1", "libnvidia-ml.so.1"}


def test_versions_that_the_c_library_lacks(tmp_path: Path) -> None:
    (folder := tmp_path / "made").mkdir()
    old, new = "GLIBC_2.31 { one; };", "GLIBC_2.31 { one; }; GLIBC_2.36 { two; } GLIBC_2.31;"
    source = "int one(void) { return 1; } int two(void) { return 2; }"
    built_with = library(
        folder / "new" / "libc.so.6", Wanted("libc.so.6", source=source, versions=new)
    )
    there = library(folder / "old" / "libc.so.6", Wanted("libc.so.6", source=source, versions=old))
    uses = Wanted(
        needs=[built_with],
        source="int one(void); int two(void); int sum(void) { return one() + two(); }",
    )
    members: dict[str, Member] = {
        f"{LIB}/libc.so.6": there,
        "srv/new.so": library(folder / "new.so", uses),
    }
    found = judged(tmp_path, members)
    assert found.glibc == "2.31"
    assert found.unversioned == (
        Unversioned("/srv/new.so", "libc.so.6", "GLIBC_2.36", f"/{LIB}/libc.so.6"),
    )
    assert not found.passed
    members[f"{LIB}/libc.so.6"] = built_with
    assert judged(tmp_path, members).passed


def test_large_libraries_that_nothing_links(tmp_path: Path, parts: dict[str, Path]) -> None:
    (folder := tmp_path / "more").mkdir()
    lonely = library(folder / "liblonely.so", Wanted(source="char big[5000] = {1}; int a;"))
    members: dict[str, Member] = {
        f"{LIB}/libleaf.so.1": parts["leaf"],
        f"{LIB}/libmiddle.so.1": parts["middle"],
        "srv/mod.so": parts["module"],  # imported by name, which no linker sees
        "opt/liblonely.so.1": lonely,
        "opt/liblonely.so": "liblonely.so.1",
        "opt/other-name.so": "=opt/liblonely.so.1",
        "opt/small.so": library(folder / "small.so"),
    }
    found = judged(tmp_path, members, large=lonely.stat().st_size)
    assert [(one.path, one.size, one.links) for one in found.unused] == [
        ("/opt/liblonely.so.1", lonely.stat().st_size, ("/opt/other-name.so",))
    ]
    assert len(judged(tmp_path, members, large=0).unused) == 2
    assert found.passed
    assert found.files == 5  # hard links are one file


def test_who_may_open_a_library_by_name(tmp_path: Path) -> None:
    (folder := tmp_path / "made").mkdir()
    opens = Wanted(source='const char *name = "libplugin.so.3";')
    members: dict[str, Member] = {
        "opt/libplugin.so.3.1": library(folder / "libplugin.so.3", Wanted("libplugin.so.3")),
        "opt/liblonely.so": library(folder / "liblonely.so"),
        "opt/libtold.so.2": library(folder / "libtold.so"),
        "srv/opener.so": library(folder / "opener.so", opens),
        "srv/find.py": b"names = ['libtold.so']",
    }
    found = {one.path: one.named_in for one in judged(tmp_path, members, large=0).unused}
    assert found["/opt/libplugin.so.3.1"] == ("/srv/opener.so",)
    assert found["/opt/libtold.so.2"] == ("/srv/find.py",)
    assert found["/opt/liblonely.so"] == ()


def test_what_is_of_another_machine_or_damaged_is_told_and_harmless(tmp_path: Path) -> None:
    foreign = library(tmp_path / "lib32.so", Wanted(flags=["-m32"]))
    members: dict[str, Member] = {"srv/lib32.so": foreign, "srv/cut.so": b"\x7fELF\x02\x01\x01"}
    found = judged(tmp_path, members)
    assert found.passed
    assert found.foreign == ("/srv/lib32.so",)
    assert [path for path, _ in found.damaged] == ["/srv/cut.so"]


def test_a_library_that_is_cut_off_is_missing_to_who_needs_it(
    tmp_path: Path, parts: dict[str, Path]
) -> None:
    members: dict[str, Member] = {
        f"{LIB}/libmiddle.so.1": parts["middle"].read_bytes()[:1000],
        "srv/mod.so": parts["module"],
    }
    (gap,) = judged(tmp_path, members).missing
    assert gap.broken == f"/{LIB}/libmiddle.so.1"


def test_an_image_without_files_passes(tmp_path: Path) -> None:
    assert judged(tmp_path, {"etc/motd": b"hello"}) == Audit(files=0, size=0)
