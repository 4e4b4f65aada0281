"""Wheels that no honest tool makes."""

import io
import stat
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hps.archive.paths import Limits
from hps.errors import BuildError, HpsError, IntegrityError, UnsafeArchiveError
from hps.layer.tar import write_layer
from hps.layer.wheel import wheel_entries
from tests.layer.wheels import SCHEME, contents, metadata, packed, row, saved

NAME = "demo-1.0-py3-none-any.whl"


def install(folder: Path, data: bytes, limits: Limits | None = None) -> int:
    """Install a wheel into a layer that nobody keeps; the number of its entries."""
    path = saved(folder, data)
    found = wheel_entries(path, NAME, SCHEME, bytecode=None, limits=limits)
    return write_layer(found, lambda _: None, epoch=0).entries


@pytest.mark.parametrize(
    "name",
    [
        "../evil.py",
        "/etc/evil",
        "a/../../evil",
        "C:/evil",
        "a\\..\\b",
        "demo/a\nb",
        "n" * 256,
        "demo-1.0.data/data/../../evil",
        "demo-1.0.data/headers/../../../x",
        "demo-1.0.data/scripts/../x",
    ],
)
def test_names_that_lead_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeArchiveError):
        install(tmp_path, packed(contents({name: b"x"})))


@pytest.mark.parametrize(
    "files",
    [
        {"Demo.py": b"", "demo.py": b""},
        {"demo/é.py": b"", "demo/e\u0301.py": b""},
        {"demo/./a.py": b"", "demo/a.py": b""},
        {"a.py": b"", "demo-1.0.data/purelib/a.py": b""},
        {"demo-1.0.data/data/bin/x": b"", "demo-1.0.data/scripts/x": b""},
        {
            "demo-1.0.data/data/bin/demo": b"",
            "demo-1.0.dist-info/entry_points.txt": b"[console_scripts]\ndemo=a:b\n",
        },
        {"demo-1.0.data/purelib/demo-1.0.dist-info/RECORD": b""},
        {"demo-1.0.data/purelib/demo-1.0.dist-info/INSTALLER": b""},
        {"demo-1.0.data/unknown/x": b""},
        {"demo-1.0.data/x": b""},
        {"demo-2.0.data/data/x": b""},
        {"other-1.0.data/data/x": b""},
        {"other-1.0.dist-info/METADATA": b""},
        {"demo-1.0.dist-info/METADATA": metadata("other")},
        {"demo-1.0.dist-info/METADATA": metadata(version="1.1")},
        {"demo-1.0.dist-info/METADATA": b""},
        {"demo-1.0.dist-info/METADATA": metadata("../../x")},
    ],
)
def test_wheels_that_say_two_things(tmp_path: Path, files: dict[str, bytes]) -> None:
    with pytest.raises(UnsafeArchiveError):
        install(tmp_path, packed(contents(files)))


@pytest.mark.parametrize("name", ["WHEEL", "METADATA", "RECORD"])
def test_wheels_without_a_part_that_must_be(tmp_path: Path, name: str) -> None:
    members = contents({})
    del members[f"demo-1.0.dist-info/{name}"]
    with pytest.raises(UnsafeArchiveError, match=f"has no {name}"):
        install(tmp_path, packed(members))
    with pytest.raises(UnsafeArchiveError, match="no wheel"):
        install(tmp_path, packed({"demo.py": b""}))
    with pytest.raises(UnsafeArchiveError):
        install(tmp_path, packed({}))


@pytest.mark.parametrize(
    "text",
    [
        "[console_scripts]\n../x = a:b",
        "[console_scripts]\n/bin/sh = a:b",
        "[console_scripts]\nx = a",
        "[console_scripts]\nx = a:",
        "[console_scripts]\nx = a:b; import os",
        "[console_scripts]\nx = a:b()",
        "[console_scripts]\nx = a b:c",
        "[console_scripts]\nx = .a:b",
        "[gui_scripts]\n.. = a:b/c",
        "x = a:b",
        "[console_scripts]\nx",
        "[console_scripts]\nx=a:b\nx=a:c",
        "\xff",
    ],
)
def test_entry_points_that_are_code_or_paths(tmp_path: Path, text: str) -> None:
    files = {"demo-1.0.dist-info/entry_points.txt": text.encode("latin-1")}
    with pytest.raises(UnsafeArchiveError, match=r"entry_points\.txt"):
        install(tmp_path, packed(contents(files)))


RECORD = contents({"a.py": b"x"})["demo-1.0.dist-info/RECORD"].decode()
LINE = row("a.py", b"x")


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (RECORD.replace(LINE, ""), IntegrityError),
        (RECORD.replace(LINE, "a.py,,\n"), IntegrityError),
        (RECORD.replace(LINE, row("a.py", b"xy")), IntegrityError),
        (RECORD.replace(LINE, row("a.py", b"y")), IntegrityError),
        (RECORD + row("b.py", b"y"), IntegrityError),
        (RECORD + row("../b.py", b"y"), IntegrityError),
        (RECORD.replace(LINE, "a.py,md5=9dd4e461268c8034f5c8564e155c67a6,1\n"), UnsafeArchiveError),
        (RECORD.replace(LINE, "a.py,sha256=,1\n"), UnsafeArchiveError),
        (RECORD.replace(LINE, "a.py,sha256=é,1\n"), UnsafeArchiveError),
        (RECORD.replace(LINE, "a.py,sha256=AAAA,1\n"), UnsafeArchiveError),
        (RECORD.replace(LINE, LINE.replace(",1\n", ",-1\n")), UnsafeArchiveError),
        (RECORD.replace(LINE, LINE.replace(",1\n", ",1,2\n")), UnsafeArchiveError),
        (RECORD.replace(LINE, LINE + row("a.py", b"y")), UnsafeArchiveError),
        (RECORD + '"', UnsafeArchiveError),
        ("", IntegrityError),
    ],
)
def test_records_that_lie(tmp_path: Path, record: str, error: type[HpsError]) -> None:
    with pytest.raises(error, match=r"a\.py|RECORD"):
        install(tmp_path, packed(contents({"a.py": b"x"}, record=record.encode())))


def test_every_fault_of_a_record_is_named(tmp_path: Path) -> None:
    members = contents({"a.py": b"x"}) | {"b.py": b"", "c.py": b""}
    with pytest.raises(IntegrityError) as caught:
        install(tmp_path, packed(members))
    assert caught.value.details == ("b.py: there, but not listed", "c.py: there, but not listed")


def with_kind(kind: int) -> bytes:
    members = contents({"demo/x": b"/etc/passwd"})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = ((kind if name == "demo/x" else stat.S_IFREG) | 0o644) << 16
            archive.writestr(info, data)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices(tmp_path: Path, kind: int) -> None:
    with pytest.raises(UnsafeArchiveError, match=r"link|special"):
        install(tmp_path, with_kind(kind))


HONEST = packed(contents({"demo/a.py": b"print()\n" * 50, "demo/b.py": b"x"}))
END = HONEST.rindex(b"PK\5\6")
CENTRAL = HONEST.index(b"PK\1\2")


def patched(at: int, data: bytes) -> bytes:
    return HONEST[:at] + data + HONEST[at + len(data) :]


def flagged(bits: int) -> bytes:
    """The honest wheel with flag bits set in every header."""
    data = bytearray(HONEST)
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(signature)
        while at >= 0:
            (flags,) = struct.unpack_from("<H", data, at + offset)
            struct.pack_into("<H", data, at + offset, flags | bits)
            at = data.find(signature, at + 4)
    return bytes(data)


def commented(comment: bytes) -> bytes:
    return HONEST[: END + 20] + struct.pack("<H", len(comment)) + comment


def stub(extra: int) -> bytes:
    """The honest wheel behind other bytes, with all offsets made right."""
    data = bytearray(b"\0" * extra + HONEST)
    at = CENTRAL + extra
    while data[at : at + 4] == b"PK\1\2":
        (offset,) = struct.unpack_from("<L", data, at + 42)
        struct.pack_into("<L", data, at + 42, offset + extra)
        at += 46 + sum(struct.unpack_from("<3H", data, at + 28))
    struct.pack_into("<L", data, END + extra + 16, CENTRAL + extra)
    return bytes(data)


def overlapping() -> bytes:
    """The second member's directory entry points at the first member's data."""
    second = HONEST.index(b"PK\1\2", CENTRAL + 4)
    (offset,) = struct.unpack_from("<L", HONEST, CENTRAL + 42)
    return patched(second + 42, struct.pack("<L", offset))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a zip"),
        (HONEST[:-1], "not a zip|after the end"),
        (HONEST[: len(HONEST) // 2], "not a zip"),
        (HONEST + b"\0", "after the end"),
        (HONEST + HONEST[END:], "not where"),
        (HONEST + HONEST, "not where"),
        (b"#!/bin/sh\n" + HONEST, "not where"),
        (stub(64), "belong to no file"),
        (commented(b"x" + HONEST[END:]), "not where"),
        (patched(END + 20, b"\x05\0"), "not a zip|after the end"),
        (patched(END + 8, b"\x01\0\x01\0"), "holds more|belong to no file"),
        (patched(END + 8, b"\xff\x7f\xff\x7f"), "damaged"),
        (patched(END + 4, b"\1\0"), "several"),
        (patched(CENTRAL + 10, b"\x0c\0"), "method 12"),
        (patched(CENTRAL + 42, b"\xff\xff\xff\xff"), "belong to no file|overlap"),
        (patched(30, b"X"), "two ways"),
        (patched(8, b"\0\0"), "two ways"),
        (patched(14, b"\0\0\0\1"), "two ways"),
        (patched(0, b"PK\3\5"), "not where"),
        (flagged(0x1), "encrypted"),
        (flagged(0x40), "encrypted"),
        (flagged(0x8), "descriptor"),
        (overlapping(), "overlap|belong to no file"),
    ],
)
def test_zip_files_that_readers_see_differently(tmp_path: Path, data: bytes, message: str) -> None:
    install(tmp_path, HONEST)
    with pytest.raises(UnsafeArchiveError, match=message):
        install(tmp_path, data)


def test_a_plain_comment_is_no_fault(tmp_path: Path) -> None:
    assert install(tmp_path, commented(b"made by hand")) == install(tmp_path, HONEST)


def test_the_same_name_twice(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in contents({"a.py": b"x"}).items():
            archive.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.py", b"x")
    with pytest.raises(UnsafeArchiveError, match="more than once"):
        install(tmp_path, buffer.getvalue())


def test_a_folder_with_content(tmp_path: Path) -> None:
    with pytest.raises(UnsafeArchiveError, match="folder with content"):
        install(tmp_path, packed(contents({}) | {"demo/": b"x"}))
    install(tmp_path, packed(contents({}) | {"demo/": b""}))


def test_bombs_are_refused_by_what_they_say_and_by_what_they_are(tmp_path: Path) -> None:
    bomb = packed(contents({"demo/zeros": bytes(50 * 2**20)}))
    small = Limits(ratio=100, ratio_from=2**20)
    with pytest.raises(UnsafeArchiveError, match="bomb"):
        install(tmp_path, bomb, small)
    with pytest.raises(UnsafeArchiveError, match="too many bytes"):
        install(tmp_path, bomb, Limits(size=10 * 2**20))
    with pytest.raises(UnsafeArchiveError, match="too many files"):
        install(tmp_path, packed(contents({f"f{n}": b"" for n in range(50)})), Limits(files=20))
    # Says that it is small in both headers, but is not.
    lying = bomb.replace(struct.pack("<L", 50 * 2**20), struct.pack("<L", 1000))
    with pytest.raises(IntegrityError):
        install(tmp_path, lying, small)
    record = contents({"demo/zeros": bytes(1000)})["demo-1.0.dist-info/RECORD"]
    honest_record = packed(contents({"demo/zeros": bytes(50 * 2**20)}, record=record))
    lying = honest_record.replace(struct.pack("<L", 50 * 2**20), struct.pack("<L", 1000))
    with pytest.raises(IntegrityError, match="more data than it says"):
        install(tmp_path, lying, small)


def test_metadata_of_absurd_size(tmp_path: Path) -> None:
    for name in ("METADATA", "WHEEL", "entry_points.txt"):
        files = {f"demo-1.0.dist-info/{name}": bytes(17 * 2**20)}
        with pytest.raises(UnsafeArchiveError, match="too large"):
            install(tmp_path, packed(contents(files)))


@pytest.mark.parametrize("delta", [-3, 3])
def test_damaged_deflate_data(tmp_path: Path, delta: int) -> None:
    at = HONEST.index(b"demo/a.py") + len("demo/a.py") + 5
    with pytest.raises(IntegrityError):
        install(tmp_path, patched(at, bytes([(HONEST[at] + delta) % 256])))


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(HONEST) - 1), st.integers(0, 255)), min_size=1, max_size=3
    )
)
def test_bytes_changed_at_random_never_end_in_a_bug(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(HONEST)
    for at, value in changes:
        data[at] = value
    with suppress(UnsafeArchiveError, IntegrityError, BuildError):
        assert install(tmp_path, bytes(data)) > 0


@pytest.mark.parametrize("cut", range(0, len(HONEST), 37))
def test_cut_off_anywhere(tmp_path: Path, cut: int) -> None:
    with pytest.raises(UnsafeArchiveError):
        install(tmp_path, HONEST[:cut])
