"""What `hadoop fs` prints, as clients of 0.20, 2.7 and 3 print it, and anything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.monitor.source import SourceError, Trouble
from hps.monitor.sources import hadoop_output as output
from hps.monitor.sources.hadoop_output import Listed

NOISE = """OpenJDK 64-Bit Server VM warning: Options UseSerialGC and so on
Picked up JAVA_TOOL_OPTIONS: -Xmx1g
26/01/02 03:04:05 WARN util.NativeCodeLoader: Unable to load native-hadoop library
2026-01-02 03:04:05,678 WARN util.NativeCodeLoader: Unable to load native-hadoop library
log4j:WARN No appenders could be found for logger
SLF4J: Class path contains multiple SLF4J bindings.
"""
ERRORS = {
    "stat: `/m/nope': No such file or directory": (1, Trouble.MISSING),
    "ls: `/m/nope': No such file or directory": (1, Trouble.MISSING),
    "cat: `/models/authentication/x': No such file or directory": (1, Trouble.MISSING),
    "ls: Cannot access /m/nope: No such file or directory.": (255, Trouble.MISSING),
    "cat: File does not exist: /m/nope": (1, Trouble.MISSING),
    "/opt/hadoop/bin/hadoop: line 5: /usr/lib/jvm/java: No such file or directory":
        (127, Trouble.UNUSABLE),
    "bash: hadoop: command not found": (127, Trouble.UNUSABLE),
    "hadoop: line 9: java: Permission denied": (126, Trouble.UNUSABLE),
    "Error: JAVA_HOME is not set and could not be found.": (1, Trouble.UNUSABLE),
    "Error: Could not find or load main class org.apache.hadoop.fs.FsShell":
        (1, Trouble.UNUSABLE),
    "stat: No FileSystem for scheme: afs": (1, Trouble.UNUSABLE),
    'ls: Permission denied: user=me, access=READ_EXECUTE, inode="/m":root:g:drwx------':
        (1, Trouble.REFUSED),
    "ls: Call From vm/127.0.0.1 to localhost:1 failed on connection exception: "
    "java.net.ConnectException: Connection refused": (1, Trouble.UNREACHABLE),
    "ls: java.net.UnknownHostException: nn": (1, Trouble.UNREACHABLE),
    "ls: Operation category READ is not supported in state standby: StandbyException":
        (1, Trouble.SERVER),
    "cat: Could not obtain block: BP-1:blk_1": (1, Trouble.SERVER),
    "ls: failed on socket timeout exception: java.net.SocketTimeoutException":
        (1, Trouble.STALLED),
    "": (1, Trouble.UNREACHABLE),
}  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), ERRORS.items())
def test_why_a_command_failed(line: str, expected: tuple[int, Trouble]) -> None:
    code, kind = expected
    assert output.trouble(code, f"{NOISE}{line}\n") is kind
    assert output.reason(code, f"{NOISE}{line}\n", ()).startswith(line[:40] or "OpenJDK")


def test_no_reason_holds_a_secret() -> None:
    reason = output.reason(1, "ls: user me,geheim may not: geheim", ("me,geheim", "geheim"))
    assert "geheim" not in reason


def test_answers_of_stat_are_read() -> None:
    text = f"{NOISE}1795334754008 6 regular file\n1795334755854 0 directory\n1 2 symlink\n"
    assert output.stats(text) == [
        Listed("", "-", 6, "1795334754.008", 0.001),
        Listed("", "d", 0, "1795334755.854", 0.001),
        Listed("", "l", 2, "0.001", 0.001),
    ]
    assert output.stats("") == []


@pytest.mark.parametrize("text", ["%Y 6 regular file", "2026-01-02 03:04:05", "Y b F", "-1 1 x"])
def test_a_client_that_does_not_know_the_format_is_told(text: str) -> None:
    assert output.stats(text) is None


LINES = """Found 3 items
-rw-r--r--   1 root supergroup          6 2026-11-22 08:05 /m/a b
drwxr-xr-x   - root supergroup          0 2026-11-22 08:05 /m/sub
-rw-r--r--   3 user domain users 1048576 2026-11-22 08:06 /m/sub/c
"""


@pytest.mark.parametrize(
    ("folder", "prefix"),
    [
        ("/m", ""),
        ("/m/", ""),
        ("hdfs://nn:8020/m", ""),
        ("/m", "hdfs://nn"),
        ("afs://x/m", "afs://x"),
    ],
)
def test_lines_of_ls_are_read(folder: str, prefix: str) -> None:
    lines = LINES.replace(" /m/", f" {prefix}/m/")
    assert output.listed((NOISE + lines).splitlines(), folder) == [
        Listed("a b", "-", 6, "1795334700", 60.0),
        Listed("sub", "d", 0, "1795334700", 60.0),
        Listed("sub/c", "-", 1048576, "1795334760", 60.0),
    ]


def test_one_file_is_listed_by_itself() -> None:
    line = "-rw-r--r--   1 u g          6 2026-11-22 08:05 /m/done"
    assert output.listed([line], "/m/done") == [Listed("", "-", 6, "1795334700", 60.0)]


@pytest.mark.parametrize(
    "line",
    [
        "-rw-r--r-- 1 u g 6 2026-11-22 08:05 /other/file",
        "-rw-r--r-- 1 u g 6 2026-11-22 08:05 /m/../../etc/passwd",
        "-rw-r--r-- 1 u g 6 2026-11-22 08:05 /m//x",
        "-rw-r--r-- 1 u g 6 2026-11-22 08:05 /m/./x",
        "-rw-r--r-- 1 u g 6 2026-11-22 08:05 /m/\x1b[2J",
        "-rw-r--r-- 1 u g 6 2026-13-22 08:05 /m/x",
        "-rw-r--r-- 1 u g x 2026-11-22 08:05 /m/x",
        "the second half of a name with a line end",
    ],
)
def test_what_is_no_line_or_leads_elsewhere_is_refused(line: str) -> None:
    with pytest.raises(SourceError) as caught:
        output.listed([line], "/m")
    assert caught.value.trouble is Trouble.MALFORMED


@given(st.lists(st.text(max_size=200), max_size=5))
def test_any_output_is_read_or_refused(lines: list[str]) -> None:
    output.stats("\n".join(lines))
    output.checksum("\n".join(lines))
    try:
        entries = output.listed(lines, "/m")
    except SourceError as error:
        assert error.trouble is Trouble.MALFORMED  # noqa: PT017 - or it is read
    else:
        assert not any({"..", "."} & set(entry.path.split("/")) for entry in entries)


def test_checksums_are_read() -> None:
    line = "/m/done\tMD5-of-0MD5-of-512CRC32C\t0000020000000000000000002b559725e23eb93541b0675b"
    value = "MD5-of-0MD5-of-512CRC32C:0000020000000000000000002b559725e23eb93541b0675b"
    assert output.checksum(f"{NOISE}{line}\n") == value
    assert output.checksum("/m/done\tNONE\t\n") is None
    assert output.checksum("") is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/m/a", "/m/a"), ("/m/[x]", "/m/\\[x\\]"), ("/a*?{b,c}\\d", "/a\\*\\?\\{b,c\\}\\\\d")],
)
def test_a_path_stands_for_itself_alone(path: str, expected: str) -> None:
    assert output.escaped(path) == expected


def test_a_configuration_is_xml() -> None:
    text = output.configuration({"hadoop.job.ugi": "me,<&>"})
    assert "<name>hadoop.job.ugi</name><value>me,&lt;&amp;&gt;</value>" in text
