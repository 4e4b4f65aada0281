"""Reading hps.toml: what is accepted, and every fault at once with its place."""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.config.load import LIMIT, load, parse
from hps.errors import ConfigError
from tests.config.documents import SMALL, config, written

MANY_FAULTS = """\
[project]
name = "Demo"
nmae = "x"
[lock]
as-of = 2026-01-01
source-date-epoch = "1"
[sources.debian.bookworm]
suits = ["bookworm"]
snapshot = 2026-01-01T00:00:00
[targets."c u"]
[targets.cpu]
device = "tpu"
[targets.cpu.debian]
source = "bookwrom"
packages = ["python3", 3, "Bash"]
[targets.cpu.image]
layers = 200
ports = [
  8000,
  true,
  0,
]
environment = {A = 1, "a b" = "x"}
[targets.cpu.python]
requirements = ["a.in", "../b.in", "/c.in", "a.in"]
[[targets.cpu.archives]]
name = "triton"
wheel = "x @ https://example.org/x.whl"
copy = [{ from = "a", to = "b" }]
[[targets.cpu.archives]]
name = "triton"
copy = []
"""


def faults_of(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "hps.toml")
    return caught.value.details


def fault_of(more: str) -> str:
    """The one fault of the small document with more behind it, without the file's name."""
    details = faults_of(SMALL + more)
    assert len(details) == 1, details
    return details[0].removeprefix("hps.toml:")


def test_reads_a_whole_file(tmp_path: Path) -> None:
    read = load(written(tmp_path, SMALL + "[lock]\nas-of = 2026-01-01T01:00:00+01:00\n"))
    assert read.targets["cpu"].debian is not None
    assert read.targets["cpu"].debian.packages == ("python3", "bash")
    assert read.lock.as_of == datetime(2026, 1, 1, tzinfo=UTC)
    assert list(read.sources.python) == ["default"]


@pytest.mark.parametrize("change", [lambda t: "\ufeff" + t, lambda t: t.replace("\n", "\r\n")])
def test_byte_order_mark_and_crlf_mean_nothing(
    tmp_path: Path, change: Callable[[str], str]
) -> None:
    assert load(written(tmp_path, change(SMALL))) == config()


def test_every_fault_at_once_with_line_and_key_path() -> None:
    assert faults_of(MANY_FAULTS) == (
        'hps.toml:2: project.name: not allowed here (expected lower-case letters and digits, with . _ - between them, got "Demo")',
        'hps.toml:3: project.nmae: unknown key; did you mean "name"?',
        "hps.toml:5: lock.as-of: wrong type (expected a date-time such as 2025-01-31T00:00:00Z, got 2026-01-01)",
        'hps.toml:6: lock.source-date-epoch: wrong type (expected an integer, got "1")',
        "hps.toml:7: sources.debian.bookworm.suites: is missing (expected an array); For instance bookworm, bookworm-updates, bookworm-security.",
        'hps.toml:8: sources.debian.bookworm.suits: unknown key; did you mean "suites"?',
        "hps.toml:9: sources.debian.bookworm.snapshot: no archive is named that keeps old versions (expected `fallbacks` beside it); write fallbacks with {archive} and {time} in its addresses",
        "hps.toml:9: sources.debian.bookworm.snapshot: a time without a zone means another instant on another machine; add Z at its end (got 2026-01-01 00:00:00)",
        'hps.toml:10: targets."c u": nothing says what is below the Python packages (expected `debian`, `base`, or both); Debian packages make the whole system; a base image brings one; with both, the packages are laid over the base',
        'hps.toml:10: targets."c u": not allowed here (expected lower-case letters and digits, with . _ - between them, got "c u")',
        'hps.toml:12: targets.cpu.device: not one of the choices (expected "cpu" or "gpu", got "tpu")',
        'hps.toml:14: targets.cpu.debian.source: no source has this alias (expected an alias of [sources.debian.ALIAS], got "bookwrom"); did you mean "bookworm"?',
        "hps.toml:15: targets.cpu.debian.packages[1]: wrong type (expected a string, got 3)",
        'hps.toml:15: targets.cpu.debian.packages[2]: not allowed here (expected a Debian package name: lower-case letters, digits, + - ., got "Bash")',
        "hps.toml:17: targets.cpu.image.layers: too large (expected 120 or less, got 200)",
        "hps.toml:20: targets.cpu.image.ports[1]: wrong type (expected an integer, got true)",
        "hps.toml:21: targets.cpu.image.ports[2]: too small (expected 1 or more, got 0)",
        "hps.toml:23: targets.cpu.image.environment.A: wrong type (expected a string, got 1)",
        'hps.toml:23: targets.cpu.image.environment."a b": not allowed here (expected a variable name: letters, digits, _ . -, got "a b")',
        'hps.toml:25: targets.cpu.python.requirements[3]: requirement file used twice (got "a.in"); item [0] has it already',
        'hps.toml:25: targets.cpu.python.requirements[1]: `..` in a path leads out of its folder (got "../b.in")',
        'hps.toml:25: targets.cpu.python.requirements[2]: not allowed here (expected a path that does not begin with /, got "/c.in")',
        'hps.toml:28: targets.cpu.archives[0].wheel: a requirement with an address is not one of an index; use `file` (got "x @ https://example.org/x.whl")',
        'hps.toml:29: targets.cpu.archives[0].copy[0].to: not allowed here (expected a path that begins with /, got "b")',
        "hps.toml:30: targets.cpu.archives[1]: has neither `wheel` nor `file` (expected exactly one of them); a wheel comes from an index, a file from the store, a path or a url",
        'hps.toml:31: targets.cpu.archives[1].name: archive name used twice (got "triton"); item [0] has it already',
        "hps.toml:32: targets.cpu.archives[1].copy: empty (expected at least 1 item, got an array of 0)",
    )  # fmt: skip


def test_an_empty_file_lacks_everything() -> None:
    assert faults_of("") == (
        "hps.toml:1: project: is missing (expected a table); What this is.",
        "hps.toml:1: targets: is missing (expected a table); The images, by name.",
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('a = "x\n', "1:7"),
        ("[project]\nname = 'a'\nname = 'b'\n", "3:11"),
        ("[a]\nb = [1,\n", "3"),
        ("x = 2026-13-01", "1:9"),
        ("x = 2026-02-30", "1:5"),
        ("x = " + "9" * 5000, "1"),
        ("x = 1\n" + "a." * 100_000 + "b = 1", "2"),
        ("x = '\0'", "1:6"),
        ("<<<<<<< ours\n", "1:1"),
    ],
)  # fmt: skip
def test_what_is_no_toml_is_one_fault_with_its_place(text: str, place: str) -> None:
    details = faults_of(text)
    assert len(details) == 1
    assert re.match(f"hps.toml:{place}: [A-Z a]", details[0]), details


@pytest.mark.parametrize("text", ["a = " + "[" * 500_000, "a = " + "{a = " * 100_000])
def test_bottomless_nesting_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse(text, "hps.toml")


def test_a_missing_file_points_to_init(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "hps.toml")
    assert "hps init" in (caught.value.hint or "")
    assert caught.value.exit_code == 2


def test_a_file_is_read_up_to_its_limit_and_not_beyond(tmp_path: Path) -> None:
    filled = SMALL + "#" * (LIMIT - len(SMALL))
    assert load(written(tmp_path, filled)) == config()
    with pytest.raises(ConfigError, match="too large"):
        load(written(tmp_path, filled + "#"))


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"# \xff\n", 1), (SMALL.encode("utf-16"), 1), (b"a = 1\nb = '\xe9'\n", 2), (b"\n\n#\xc3", 3)],
)
def test_what_is_not_utf8_is_refused(tmp_path: Path, content: bytes, line: int) -> None:
    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        load(written(tmp_path, content))
    assert caught.value.details[0].startswith(f"hps.toml:{line}: byte 0x")


def test_folders_pipes_and_circles_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    for name in ("", "pipe", "circle", "a\0b"):
        with pytest.raises(ConfigError):
            load(tmp_path / name)


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        # Types are strict.
        ("[targets.cpu.image]\nlayers = 64.0\n", "11: targets.cpu.image.layers: wrong type (expected an integer, got 64.0)"),
        ("[targets.cpu.python]\nprerelease = 1\n", "11: targets.cpu.python.prerelease: wrong type (expected true or false, got 1)"),
        ("[targets.cpu.python]\nsdists = 'jieba'\n", '11: targets.cpu.python.sdists: wrong type (expected an array, got "jieba")'),
        ("[[targets.cpu.image]]\n", "10: targets.cpu.image: wrong type (expected a table, got an array of 1)"),
        ("[lock]\nas-of = '2026-01-01T00:00:00Z'\n", '11: lock.as-of: wrong type (expected a date-time such as 2025-01-31T00:00:00Z, got "2026-01-01T00:00:00Z")'),
        ("[targets.cpu.image.user]\nuid = 99999999999999999999999999\n", "11: targets.cpu.image.user.uid: too large (expected less than 2147483648, got a huge number)"),
        # Paths.
        ("[targets.cpu.image]\nworking-directory = '/a//b'\n", '11: targets.cpu.image.working-directory: `//` and `.` in a path say nothing; leave them out (got "/a//b")'),
        ("[targets.cpu.image]\nworking-directory = '/../etc'\n", '11: targets.cpu.image.working-directory: `..` in a path leads out of its folder (got "/../etc")'),
        ('[targets.cpu.image]\nworking-directory = "/a\\nb"\n', '11: targets.cpu.image.working-directory: a path holds no control characters (got "/a\\nb")'),
        ("[[targets.cpu.trees]]\nfrom = 'a/../../b'\nto = '/x'\n", '11: targets.cpu.trees[0].from: `..` in a path leads out of its folder (got "a/../../b")'),
        # Names and addresses.
        ("[sources.python.default]\nurl = 'ftp://example.org'\n", '11: sources.python.default.url: not allowed here (expected an address that begins with https://, http:// or file://, got "ftp://example.org")'),
        ("[sources.debian.old]\nsuites = ['a b']\n", '11: sources.debian.old.suites[0]: not allowed here (expected a name as in sources.list: letters, digits, . / + _ -, got "a b")'),
        ("[sources.debian.old]\nsuites = ['a']\nfallbacks = ['https://example.org/{suite}']\n", '12: sources.debian.old.fallbacks[0]: unknown {suite}; there are {archive} and {time} (got "https://example.org/{suite}")'),
        ("[targets.cpu.python]\nsdists = ['jieba>=1']\n", '11: targets.cpu.python.sdists[0]: not allowed here (expected NAME or NAME==VERSION, got "jieba>=1")'),
        ("[targets.cpu.image.labels]\n'a b' = 'x'\n", '11: targets.cpu.image.labels."a b": not allowed here (expected printable ASCII without spaces, got "a b")'),
        ("[targets.cpu.image]\nentrypoint = ['']\ncommand = ['\\u0000']\nports = [70000]\n", "13: targets.cpu.image.ports[0]: too large (expected 65535 or less, got 70000)"),
    ],
)  # fmt: skip
def test_a_value_at_fault(more: str, fault: str) -> None:
    assert fault_of(more) == fault


def test_control_characters_never_reach_the_terminal() -> None:
    details = faults_of(SMALL.replace('"demo"', '"\\u001b[2J\\u009b"') + '"\\u001b]0;x" = 1\n')
    assert all(detail.isprintable() for detail in details)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_config_or_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "hps.toml")
    assert caught.value.details


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_torn_file_is_a_config_or_a_config_error(data: st.DataObject) -> None:
    lines = MANY_FAULTS.splitlines(keepends=True)
    kept = data.draw(st.lists(st.sampled_from(lines), max_size=20))
    with pytest.raises(ConfigError) as caught:
        parse("".join(kept), "hps.toml")
    assert all(detail.startswith("hps.toml:") for detail in caught.value.details)


@pytest.mark.parametrize("text", ["new", "525", "525.60.13.1", "v525.60", "525.60.0x", "0525.60"])
def test_what_is_no_driver(text: str) -> None:
    with pytest.raises(ConfigError, match=r"targets\.cpu\.driver"):
        config(f'[targets.cpu]\ndriver = "{text}"\n')


@pytest.mark.parametrize("text", ["450.80.02", "525.60.13", "580.65", "1000.1.1"])
def test_what_is_a_driver(text: str) -> None:
    assert config(f'[targets.cpu]\ndriver = "{text}"\n').targets["cpu"].driver == text
