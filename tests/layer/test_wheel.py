"""Wheels to entries, compared with what the specifications say; tests/layer/test_wheel_pip.py
compares with pip itself."""

import csv
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import installer
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile

from hps.errors import BuildError, IntegrityError, UnsafeArchiveError
from hps.layer.entry import Entry
from hps.layer.tar import write_layer
from hps.layer.unpack import unpack
from hps.layer.wheel import wheel_entries
from tests.layer.wheels import LIBRARY, SCHEME, WHEEL, contents, metadata, packed, row, saved

NAME = "demo-1.0-py3-none-any.whl"


def entries_of(folder: Path, members: dict[str, bytes], **options: object) -> dict[str, Entry]:
    path = saved(folder, packed(members))
    found = wheel_entries(path, NAME, SCHEME, bytecode=None, **options)  # type: ignore[arg-type]
    assert len({entry.path for entry in found}) == len(found)
    return {entry.path: entry for entry in found}


def content(entry: Entry) -> bytes:
    assert entry.open is not None
    with entry.open() as reader:
        data = reader.read()
    assert len(data) == entry.size
    return data


EVERYTHING = {
    "demo/__init__.py": b"def main():\n    print('hello')\n    return 3\n",
    "demo/data.bin": bytes(range(256)),
    "top.py": b"",
    "demo-1.0.data/purelib/pure.py": b"1",
    "demo-1.0.data/platlib/plat.py": b"2",
    "demo-1.0.data/scripts/tool": b"#!python -E\nprint('tool')\n",
    "demo-1.0.data/scripts/window": b"#!pythonw\r\nprint()\n",
    "demo-1.0.data/scripts/shell": b"#!/bin/sh\necho shell\n",
    "demo-1.0.data/data/share/demo/x": b"3",
    "demo-1.0.data/headers/demo.h": b"4",
    "demo-1.0.dist-info/entry_points.txt": (
        b"[console_scripts]\ndemo = demo:main\ndemo.sub-x = demo : main.__call__ [extra]\n"
        b"[gui_scripts]\nDemoGui=demo:main\n[other]\nx = not checked\n"
    ),
}


def test_every_part_goes_where_its_scheme_says(tmp_path: Path) -> None:
    entries = entries_of(tmp_path, contents(EVERYTHING))
    info = f"{LIBRARY}/demo-1.0.dist-info"
    assert sorted(entries) == sorted(
        [
            f"{LIBRARY}/demo/__init__.py",
            f"{LIBRARY}/demo/data.bin",
            f"{LIBRARY}/top.py",
            f"{LIBRARY}/pure.py",
            f"{LIBRARY}/plat.py",
            "usr/local/bin/tool",
            "usr/local/bin/window",
            "usr/local/bin/shell",
            "usr/local/bin/demo",
            "usr/local/bin/demo.sub-x",
            "usr/local/bin/DemoGui",
            "usr/local/share/demo/x",
            "usr/local/include/python3.11/demo/demo.h",
            *(f"{info}/{name}" for name in ("WHEEL", "METADATA", "RECORD", "INSTALLER")),
            f"{info}/entry_points.txt",
        ]
    )
    assert {entry.owner for entry in entries.values()} == {"demo"}
    assert content(entries[f"{info}/INSTALLER"]) == b"hps\n"
    assert content(entries["usr/local/bin/tool"]) == b"#!/usr/bin/python3.11\nprint('tool')\n"
    assert content(entries["usr/local/bin/window"]) == b"#!/usr/bin/python3.11\nprint()\n"
    assert content(entries["usr/local/bin/shell"]) == b"#!/bin/sh\necho shell\n"
    scripts = [entry for path, entry in entries.items() if path.startswith("usr/local/bin/")]
    assert all(entry.executable for entry in scripts)


def test_the_new_record_is_complete_true_and_sorted(tmp_path: Path) -> None:
    entries = entries_of(tmp_path, contents(EVERYTHING))
    text = content(entries[f"{LIBRARY}/demo-1.0.dist-info/RECORD"]).decode()
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == sorted(rows)
    listed = {os.path.normpath(f"{LIBRARY}/{path}"): fields for path, *fields in rows}
    assert set(listed) == set(entries)
    for path, entry in entries.items():
        expected = ["", ""]
        if not path.endswith("/RECORD"):
            expected = row("x", content(entry)).strip().split(",")[1:]
        assert listed[path] == expected


def test_platlib_wheels_go_to_platlib(tmp_path: Path) -> None:
    members = contents({"demo-1.0.dist-info/WHEEL": WHEEL.replace(b"true", b"false"), "a.py": b""})
    scheme = replace(SCHEME, platlib="opt/plat")
    found = wheel_entries(saved(tmp_path, packed(members)), NAME, scheme, bytecode=None)
    assert {entry.path.partition("/")[0] for entry in found} == {"opt"}


def test_run_bits_are_those_of_the_archive(tmp_path: Path) -> None:
    members = contents({"demo/a.so": b"1", "demo/run.sh": b"2"})
    path = saved(tmp_path, packed(members, run=frozenset({"demo/run.sh"})))
    found = {entry.path: entry for entry in wheel_entries(path, NAME, SCHEME, bytecode=None)}
    assert found[f"{LIBRARY}/demo/run.sh"].permissions == 0o755
    assert found[f"{LIBRARY}/demo/a.so"].permissions == 0o644


def test_an_entry_point_wins_over_a_packed_wrapper_of_its_name(tmp_path: Path) -> None:
    files = {
        "demo.py": b"def main(): pass\n",
        "demo-1.0.data/scripts/demo": b"old",
        "demo-1.0.data/scripts/demo-script.py": b"old",
        "demo-1.0.data/scripts/demo.exe": b"old",
        "demo-1.0.dist-info/entry_points.txt": b"[console_scripts]\ndemo = demo:main\n",
    }
    entries = entries_of(tmp_path, contents(files))
    assert [p for p in entries if "/bin/" in p] == ["usr/local/bin/demo"]
    assert b"from demo import main" in content(entries["usr/local/bin/demo"])


def test_generated_scripts_run(tmp_path: Path) -> None:
    path = saved(tmp_path, packed(contents(EVERYTHING)))
    scheme = replace(SCHEME, interpreter=sys.executable)
    found = wheel_entries(path, NAME, scheme, bytecode=None)
    with (tmp_path / "layer.tar").open("wb") as file:
        write_layer(found, file.write, epoch=0)
    root = tmp_path / "root"
    root.mkdir()
    unpack([tmp_path / "layer.tar"], root)
    for script, output in {
        "demo": "hello\n",
        "DemoGui": "hello\n",
        "tool": "tool\n",
        "shell": "shell\n",
    }.items():
        result = subprocess.run(
            [root / "usr/local/bin" / script],
            env={"PYTHONPATH": str(root / LIBRARY), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.stdout == output, result.stderr
        assert result.returncode == (3 if output == "hello\n" else 0)


def test_pruned_and_excluded_files_are_neither_there_nor_recorded(tmp_path: Path) -> None:
    files = EVERYTHING | {"demo/tests/a.py": b"", "demo/tests/b/c.py": b"", "tests/x.py": b""}
    entries = entries_of(
        tmp_path,
        contents(files),
        prune=["*/tests/*", "*.dist-info/*"],
        exclude={"usr/local/bin/demo", f"{LIBRARY}/top.py"},
    )
    record = content(entries[f"{LIBRARY}/demo-1.0.dist-info/RECORD"])
    for gone in ("demo/tests/a.py", "demo/tests/b/c.py", "top.py", "../../../bin/demo"):
        assert os.path.normpath(f"{LIBRARY}/{gone}") not in entries
        assert f"\n{gone},".encode() not in b"\n" + record
    assert f"{LIBRARY}/tests/x.py" in entries
    assert f"{LIBRARY}/demo-1.0.dist-info/METADATA" in entries


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_files_that_lie_about_their_hash(tmp_path: Path, algorithm: str) -> None:
    good = {"demo.py": b"good"}
    record = "".join(
        row(path, data, algorithm)
        for path, data in contents(good).items()
        if not path.endswith("RECORD")
    )
    record += "demo-1.0.dist-info/RECORD,,\n"
    for data in (b"good", b"evil"):
        members = contents({"demo.py": data}, record=record.encode())
        path = saved(tmp_path, packed(members))
        if data == b"good":
            write_layer(wheel_entries(path, NAME, SCHEME, bytecode=None), lambda _: None, epoch=0)
            continue
        with pytest.raises(IntegrityError, match=r"demo\.py"):
            write_layer(wheel_entries(path, NAME, SCHEME, bytecode=None), lambda _: None, epoch=0)


def test_a_script_that_lies_is_found_before_it_is_rewritten(tmp_path: Path) -> None:
    members = contents({"demo-1.0.data/scripts/x": b"#!python\ngood"})
    members["demo-1.0.data/scripts/x"] = b"#!python\nevil"
    with pytest.raises(IntegrityError, match="scripts/x"):
        entries_of(tmp_path, members)


def test_hexadecimal_hashes_are_understood(tmp_path: Path) -> None:
    import hashlib

    record = contents({"a.py": b"x"})["demo-1.0.dist-info/RECORD"].decode()
    plain = row("a.py", b"x")
    line = f"a.py,sha256={hashlib.sha256(b'x').hexdigest()},1\n"
    entries = entries_of(
        tmp_path, contents({"a.py": b"x"}, record=record.replace(plain, line).encode())
    )
    assert plain.encode() in content(entries[f"{LIBRARY}/demo-1.0.dist-info/RECORD"])


def test_signatures_of_record_need_no_line(tmp_path: Path) -> None:
    members = contents({}) | {"demo-1.0.dist-info/RECORD.jws": b"{}"}
    assert f"{LIBRARY}/demo-1.0.dist-info/RECORD.jws" in entries_of(tmp_path, members)


def test_traces_of_an_earlier_installation_are_left_out(tmp_path: Path) -> None:
    info = "demo-1.0.dist-info"
    traces = {f"{info}/{name}": b"x" for name in ("INSTALLER", "REQUESTED", "direct_url.json")}
    entries = entries_of(tmp_path, contents(traces))
    assert content(entries[f"{LIBRARY}/{info}/INSTALLER"]) == b"hps\n"
    assert f"{LIBRARY}/{info}/REQUESTED" not in entries
    assert f"{LIBRARY}/{info}/direct_url.json" not in entries


@pytest.mark.parametrize("version", ["2.0", "10.1", "", "one", "1"])
def test_unknown_wheel_formats(tmp_path: Path, version: str) -> None:
    text = WHEEL.replace(b"1.0", version.encode())
    with pytest.raises(BuildError, match="wheel format"):
        entries_of(tmp_path, contents({"demo-1.0.dist-info/WHEEL": text}))


def test_a_later_minor_format_is_known(tmp_path: Path) -> None:
    text = WHEEL.replace(b"1.0", b"1.9")
    assert entries_of(tmp_path, contents({"demo-1.0.dist-info/WHEEL": text}))


def test_names_may_be_written_differently(tmp_path: Path) -> None:
    info = "Foo_Bar.baz-1.0.0.dist-info"
    members = contents(
        {
            f"{info}/METADATA": metadata("foo-Bar_baz", "1.0"),
            "Foo_Bar.baz-1.0.0.data/headers/x.h": b"",
        },
        info=info,
    )
    path = saved(tmp_path, packed(members))
    found = wheel_entries(path, "foo_bar_baz-1.0-py3-none-any.whl", SCHEME, bytecode=None)
    assert found[0].owner == "foo-bar-baz"
    assert "usr/local/include/python3.11/foo-Bar_baz/x.h" in {entry.path for entry in found}


@pytest.mark.parametrize(
    "filename", ["demo-1.1-py3-none-any.whl", "other-1.0-py3-none-any.whl", "demo.whl", "../x.whl"]
)
def test_a_wheel_under_a_false_name(tmp_path: Path, filename: str) -> None:
    path = saved(tmp_path, packed(contents({})))
    with pytest.raises(UnsafeArchiveError):
        wheel_entries(path, filename, SCHEME, bytecode=None)


PARTS = st.text(
    st.characters(codec="utf-8", categories=["L", "N"], include_characters="_- ,+"),
    min_size=1,
    max_size=12,
).filter(lambda part: part.strip(" .") == part)
PATHS = st.builds(
    lambda top, rest: "/".join([top, *rest]),
    st.sampled_from(
        [
            "demo",
            "demo-1.0.data/scripts",
            "demo-1.0.data/data",
            "demo-1.0.data/purelib",
            "demo-1.0.data/headers",
            "other",
        ]
    ),
    st.lists(PARTS, min_size=1, max_size=3),
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    files=st.dictionaries(
        PATHS, st.one_of(st.binary(max_size=300), st.just(b"#!python\nx\n")), max_size=8
    ),
)
def test_generated_wheels_come_out_as_installer_lays_them(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folded = {path.lower() for path in files}
    targets = {path.replace("demo-1.0.data/purelib/", "").lower() for path in files}
    if len(folded) < len(files) or len(targets) < len(files):
        return
    if any(other.startswith(path + "/") for path in folded | targets for other in folded | targets):
        return
    folder = tmp_path_factory.mktemp("wheel")
    path = saved(folder, packed(contents(files)))
    try:
        entries = {e.path: e for e in wheel_entries(path, NAME, SCHEME, bytecode=None)}
    except UnsafeArchiveError as error:
        if "more than once" not in str(error):  # two Unicode forms of one name
            raise
        return
    destination = SchemeDictionaryDestination(
        {
            "purelib": str(folder / LIBRARY),
            "platlib": str(folder / LIBRARY),
            "scripts": str(folder / "usr/local/bin"),
            "data": str(folder / "usr/local"),
            "headers": str(folder / "usr/local/include/python3.11/demo"),
        },
        interpreter="/usr/bin/python3.11",
        script_kind="posix",
    )
    with WheelFile.open(path) as source:
        installer.install(source, destination, additional_metadata={"INSTALLER": b"hps\n"})
    laid = {str(p.relative_to(folder)): p for p in (folder / "usr").rglob("*") if p.is_file()}
    assert set(laid) == set(entries)
    for name, file in laid.items():
        if not name.endswith("/RECORD"):
            assert content(entries[name]) == file.read_bytes(), name


def test_wheels_of_stored_streamed_and_zip64_members(tmp_path: Path) -> None:
    members = contents({"demo/a.py": b"print()\n" * 1000, "demo/big": bytes(3 * 2**20)})
    shapes = {}
    for shape in ("stored", "streamed", "zip64"):
        path = tmp_path / NAME
        with path.open("wb") as raw:
            target = _Unseekable(raw) if shape == "streamed" else raw
            method = zipfile.ZIP_STORED if shape == "stored" else zipfile.ZIP_DEFLATED
            with zipfile.ZipFile(target, "w", method) as archive:  # type: ignore[call-overload]
                for name, data in members.items():
                    with archive.open(name, "w", force_zip64=shape == "zip64") as member:
                        member.write(data)
        hasher = hashlib.sha256()
        write_layer(wheel_entries(path, NAME, SCHEME, bytecode=None), hasher.update, epoch=0)
        shapes[shape] = hasher.hexdigest()
    assert len(set(shapes.values())) == 1


class _Unseekable:
    """A pipe, in front of which zipfile writes data descriptors."""

    def __init__(self, raw: io.BufferedWriter) -> None:
        self._raw = raw

    def write(self, data: bytes) -> int:
        return self._raw.write(data)

    def flush(self) -> None:
        self._raw.flush()


def test_a_wrong_record_is_made_anew_only_when_asked(tmp_path: Path) -> None:
    members = contents({"demo.py": b"x"}) | {"demo.py": b"repaired", "extra.py": b""}
    with pytest.raises(IntegrityError, match="RECORD"):
        entries_of(tmp_path, members)
    entries = entries_of(tmp_path, members, remake_record=True)
    record = content(entries[f"{LIBRARY}/demo-1.0.dist-info/RECORD"]).decode()
    assert row("demo.py", b"repaired") in record
    assert row("extra.py", b"") in record
    assert write_layer(entries.values(), lambda _: None, epoch=0).entries > len(entries)
