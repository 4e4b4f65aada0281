"""What FTP servers say of files: lists as real servers make them, and anything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.monitor.source import SourceError, Trouble
from hps.monitor.sources.ftp_listing import (
    Entry,
    Kind,
    list_entries,
    machine_entries,
    machine_facts,
    name_of,
    size_of,
    time_of,
    wire_of,
)

# From vsftpd, proftpd, pure-ftpd, wu-ftpd, NetBSD, BusyBox, IIS in both its styles, and others.
CORPUS = {
    "-rw-r--r--    1 0        0               3 Nov 22 08:08 a": ("a", Kind.FILE, 3),
    "-rw-r--r--   1 ftp      ftp       1048576 Jan 30  2021 model.tar.gz":
        ("model.tar.gz", Kind.FILE, 1048576),
    "drwxr-xr-x    2 0        0            4096 Nov 22 08:08 sub": ("sub", Kind.FOLDER, None),
    "-rw-rw-r--. 1 u g 10 Jan  2 03:04 with selinux": ("with selinux", Kind.FILE, 10),
    "-rw-rw-r--+ 1 u g 10 Jan  2 03:04 with acl": ("with acl", Kind.FILE, 10),
    "drwxrwsr-t 2 u g 10 Jan  2 03:04 sticky": ("sticky", Kind.FOLDER, None),
    "-rw-r--r-- 1 u g 5 Jan  2 03:04  leading space": (" leading space", Kind.FILE, 5),
    "-rw-r--r-- 1 u g 5 Jan  2 03:04 trailing ": ("trailing ", Kind.FILE, 5),
    "-rw-r--r-- 1 u g 5 Jan  2 03:04 a  b   c": ("a  b   c", Kind.FILE, 5),
    "-rw-r--r-- 1 u g 5 Jan  2 03:04 12 Jan 2 03:04 x": ("12 Jan 2 03:04 x", Kind.FILE, 5),
    "-rw-r--r-- 1 u g 5 Jan  2 03:04 x -> y": ("x -> y", Kind.FILE, 5),
    "lrwxrwxrwx 1 u g 7 Jan  2 03:04 link -> /etc/passwd": ("link", Kind.LINK, None),
    "lrwxrwxrwx 1 u g 7 Jan  2 03:04 link": ("link", Kind.LINK, None),
    "prw-r--r-- 1 u g 0 Jan  2 03:04 fifo": ("fifo", Kind.OTHER, None),
    "srwxr-xr-x 1 u g 0 Jan  2 03:04 socket": ("socket", Kind.OTHER, None),
    "crw-rw-rw- 1 root root 1, 3 Jan  2 03:04 null": ("null", Kind.OTHER, None),
    "-rw-r--r-- u g 5 Jan  2 03:04 no-link-count": ("no-link-count", Kind.FILE, 5),
    "-rw-r--r-- 1 owner 5 Jan  2 03:04 no-group": ("no-group", Kind.FILE, 5),
    "-rw-r--r-- 1 DOM\\user domain users 5 Jan  2 03:04 groups": ("groups", Kind.FILE, 5),
    "-rw-r--r-- 1 1000 1000 5 Jan  2 03:04 numbers": ("numbers", Kind.FILE, 5),
    "-rw-r--r-- 1 u g 5 2026-01-02 03:04 long-iso": ("long-iso", Kind.FILE, 5),
    "-rw-r--r-- 1 u g 5 2026-01-02 03:04:05.123456789 +0000 full-iso":
        ("full-iso", Kind.FILE, 5),
    "-rw-r--r-- 1 u g 5 2 Jan 03:04 day-first": ("day-first", Kind.FILE, 5),
    "-rw-r--r-- 1 u g 5 Jan 02 03:04:05 seconds": ("seconds", Kind.FILE, 5),
    "-rw-r--r-- 1 u g 99999999999999 Jan  2 03:04 large": ("large", Kind.FILE, 99999999999999),
    "-rw-r--r-- 1 u g 5 Jan  2 03:04 h\xc3\xb6he": ("höhe", Kind.FILE, 5),
    "-rw-r--r-- 1 u g 5 Jan  2 03:04 h\xf6he": ("höhe", Kind.FILE, 5),
    "02-13-26  09:15PM       <DIR>          aspnet client": ("aspnet client", Kind.FOLDER, None),
    "02-13-26  09:15PM                 1024 a.txt": ("a.txt", Kind.FILE, 1024),
    "02-13-2026  09:15PM            1,048,576 b c.txt": ("b c.txt", Kind.FILE, 1048576),
    "2026-02-13  21:15              1024 iso.txt": ("iso.txt", Kind.FILE, 1024),
    "02-13-26  09:15PM       <JUNCTION>     link": ("link", Kind.LINK, None),
    "02-13-26  09:15PM       <SYMLINKD>     link": ("link", Kind.LINK, None),
}  # fmt: skip
NOTHING = ["", "   ", "total 12", "total 0", "Total 4K", "drwxr-xr-x 2 u g 4096 Jan 02 03:04 .",
           "drwxr-xr-x 2 u g 4096 Jan 02 03:04 ..", "02-13-26  09:15PM       <DIR>          ."]  # fmt: skip
BAD = [
    "total", "file", "-rw-r--r-- 1 u g 5 file", "-rw-r--r-- 1 u g Jan 2 03:04 file",
    "-rw-r--r-- 1 u g 5 Jan  2 03:04 ", "-rw-r--r-- 1 u g 5 Jan  2 03:04 ../up",
    "-rw-r--r-- 1 u g 5 Jan  2 03:04 a/b", "-rw-r--r-- 1 u g 5 Jan  2 03:04 a\0b",
    "-rw-r--r-- 1 u g 5 Jan  2 03:04 a\rb", "-rw-r--r-- 1 u g 5 Jan  2 03:04 \x1b[2J",
    "drwxr-xr-x 1 u g 5 Jan  2 03:04 ../..", "lrwxrwxrwx 1 u g 5 Jan  2 03:04 ../x -> y",
    "02-13-26  09:15PM 1024 ..\\..\\x/y", "<html>", "+i8388621.29609,m824255902,/,\tdev",
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), CORPUS.items())
def test_each_line_of_real_servers_is_read(
    line: str, expected: tuple[str, Kind, int | None]
) -> None:
    (entry,) = list_entries([line])
    assert (entry.name, entry.kind, entry.size) == expected
    assert entry.listed
    assert line.rstrip().endswith(entry.wire.rstrip()) or " -> " in line


def test_a_whole_list_is_read_in_its_order() -> None:
    entries = list_entries([*NOTHING, *CORPUS, *NOTHING])
    assert [entry.name for entry in entries] == [name for name, *_ in CORPUS.values()]


@pytest.mark.parametrize("line", BAD)
def test_what_is_no_line_or_leads_elsewhere_is_refused(line: str) -> None:
    with pytest.raises(SourceError) as caught:
        list_entries([line])
    assert caught.value.trouble is Trouble.MALFORMED


def test_facts_are_read() -> None:
    entries = machine_entries(
        [
            "type=cdir;modify=20260101000000; .",
            "type=pdir;modify=20260101000000; ..",
            "type=dir;modify=20260101000000; ..",
            "Type=File;Size=5;Modify=20260102030405.5;UNIQUE=ab12;  space",
            "type=dir;sizd=4096; sub folder",
            "type=OS.unix=symlink;size=1; link",
            "",
        ]
    )
    assert [(each.name, each.kind, each.size, each.unique) for each in entries] == [
        (" space", Kind.FILE, 5, "ab12"),
        ("sub folder", Kind.FOLDER, None, None),
        ("link", Kind.LINK, 1, None),
    ]
    assert entries[0].modified == time_of("20260102030405.5")


def test_facts_of_one_file_are_read() -> None:
    reply = "250-Start\n type=file;size=7;modify=20260102030405; /somewhere/else\n250 End"
    entry = machine_facts(reply, "h\xf6he")
    assert (entry.name, entry.wire, entry.size) == ("höhe", "h\xf6he", 7)


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=300), max_size=5))
def test_any_list_is_read_or_refused(lines: list[str]) -> None:
    for read in (list_entries, machine_entries):
        try:
            entries = read(lines)
        except SourceError as error:
            assert error.trouble is Trouble.MALFORMED  # noqa: PT017 - or it is read
        else:
            for entry in entries:
                _check(entry)


names = st.text(
    st.characters(min_codepoint=32, blacklist_characters="/", blacklist_categories=["C", "Z"]),
    min_size=1, max_size=40,
).filter(lambda name: name not in {".", ".."} and name.isprintable())  # fmt: skip


@given(names, st.integers(0, 10**17), st.sampled_from("-d"))
def test_any_name_comes_back(name: str, size: int, letter: str) -> None:
    wire = wire_of(name)
    lines = [
        f"{letter}rw-r--r-- 1 owner group {size} Jan  2 03:04 {wire}",
        f"{letter}rw-r--r-- 1 owner group {size} 2026-01-02 03:04 {wire}",
    ]
    for entry in list_entries(lines):
        assert (entry.name, entry.wire) == (name, wire)
        assert entry.size == (size if letter == "-" else None)
    kind = "file" if letter == "-" else "dir"
    (entry,) = machine_entries([f"type={kind};size={size}; {wire}"])
    assert (entry.name, entry.wire, entry.size) == (name, wire, size)


@given(st.text(st.characters(max_codepoint=255), max_size=50))
def test_any_time_and_size_is_read_or_left(text: str) -> None:
    size, moment = size_of(text), time_of(text)
    assert size is None or size >= 0
    assert moment is None or float(moment.text) == pytest.approx(float(moment.text))


@given(st.binary(min_size=1, max_size=60))
def test_any_bytes_are_a_plain_name_or_refused(raw: bytes) -> None:
    try:
        name = name_of(raw.decode("latin-1"))
    except SourceError:
        return
    assert "/" not in name
    assert name not in {"", ".", ".."}
    assert name.isprintable()


@pytest.mark.parametrize("name", ["a\r\nDELE x", "a\nb", "\0", "a\rb", "\ud800"])
def test_no_name_ends_a_command(name: str) -> None:
    with pytest.raises(SourceError):
        wire_of(name)


def _check(entry: Entry) -> None:
    assert "/" not in entry.name
    assert entry.name not in {"", ".", ".."}
    assert entry.name.isprintable()
    assert entry.size is None or entry.size >= 0
