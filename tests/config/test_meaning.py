"""Staleness: what changes the inputs of a lock, what does not, and that the change has a name."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.config.load import parse
from hps.config.meaning import inputs
from hps.config.requirements import parse_requirements
from hps.errors import UsageError

BASE = """\
[project]
name = "demo"
[sources.python.default]
url = "https://a.example.org/simple"
[sources.python.other]
[sources.debian.bookworm]
suites = ["bookworm", "bookworm-security"]
components = ["main", "contrib"]
snapshot = 2026-01-01T00:00:00Z
fallbacks = ["https://a.example.org/{archive}/{time}"]
mirror = "https://a.example.org/debian"
keyring = "keys.gpg"
[sources.debian.other]
suites = ["other"]
[lock]
as-of = 2026-01-01T00:00:00Z
source-date-epoch = 5
[targets.gpu.debian]
source = "other"
packages = ["bash"]
[targets.cpu]
device = "cpu"
python-version = "3.11"
[targets.cpu.debian]
source = "bookworm"
packages = ["bash", "python3"]
exclude = ["/usr/share/doc", "/usr/share/man"]
[targets.cpu.python]
index = "default"
requirements = ["r/a.in", "b.in"]
sdists = ["gputil", "jieba==0.42.1"]
prerelease = false
prune = ["*/tests/*", "*/docs/*"]
[targets.cpu.build]
packages = ["gcc", "libc6-dev"]
[[targets.cpu.archives]]
name = "triton"
wheel = "nvidia-pytriton==0.7.0"
strip-components = 0
copy = [{ from = "a", to = "/a", exclude = ["x", "y"] }, { from = "b", to = "/b" }]
[[targets.cpu.archives]]
name = "tool"
file = "tool.tar.gz"
path = "tool.tar.gz"
url = "https://a.example.org/tool.tar.gz"
copy = [{ from = "a", to = "/t" }]
[[targets.cpu.files]]
file = "w.bin"
sha256 = "1111111111111111111111111111111111111111111111111111111111111111"
path = "w.bin"
to = "/w.bin"
[[targets.cpu.trees]]
from = "src"
to = "/src"
[[targets.cpu.keep]]
path = "/x"
from = "y"
[targets.cpu.image]
user = { name = "hps", uid = 1000, gid = 1000, home = "/home/hps" }
entrypoint = ["a"]
command = ["b"]
environment = { A = "1", B = "2" }
working-directory = "/w"
ports = [8000, 8001]
labels = { a = "b" }
layers = 64
large = 1048576
"""
REQUIREMENTS = "numpy>=1.26,<2\nclick\n"


def meaning(text: str, requirements: str = REQUIREMENTS, file: str = "a.in") -> dict[str, str]:
    lines, faults = parse_requirements(requirements, file)
    assert not faults
    found = inputs(parse(text, "hps.toml"), "cpu", lines)
    assert list(found) == sorted(found)
    assert len(dict(found)) == len(found)
    return dict(found)


def changed(old: str, new: str) -> set[str]:
    """The key paths whose digest changes when a part of the base document does."""
    assert BASE.count(old) == 1, old
    before, after = meaning(BASE), meaning(BASE.replace(old, new))
    return {path for path in before | after if before.get(path) != after.get(path)}


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ("as-of = 2026-01-01", "as-of = 2026-01-02", "lock.as-of"),
        ("epoch = 5", "epoch = 6", "lock.source-date-epoch"),
        ('["bookworm", "bookworm-security"]', '["bookworm"]', "sources.debian.bookworm.suites"),
        ('["bookworm", "bookworm-security"]', '["bookworm-security", "bookworm"]', "sources.debian.bookworm.suites"),
        ('["main", "contrib"]', '["main"]', "sources.debian.bookworm.components"),
        ("snapshot = 2026", "snapshot = 2025", "sources.debian.bookworm.snapshot"),
        ('device = "cpu"', 'device = "gpu"', "targets.cpu.device"),
        ('"3.11"', '"3.12"', "targets.cpu.python-version"),
        ('["bash", "python3"]', '["bash"]', "targets.cpu.debian.packages"),
        ('"/usr/share/doc", ', "", "targets.cpu.debian.exclude"),
        ('index = "default"', 'index = "other"', "targets.cpu.python.index"),
        ('"gputil", ', "", "targets.cpu.python.sdists"),
        ("prerelease = false", "prerelease = true", "targets.cpu.python.prerelease"),
        ('"*/docs/*"', '"*/doc/*"', "targets.cpu.python.prune"),
        ('"gcc", ', "", "targets.cpu.build.packages"),
        ("==0.7.0", "==0.7.1", "targets.cpu.archives.triton"),
        ("strip-components = 0", "strip-components = 1", "targets.cpu.archives.triton"),
        ('to = "/b"', 'to = "/c"', "targets.cpu.archives.triton"),
        ('to = "/b"', 'to = "/b", executable = false', "targets.cpu.archives.triton"),
        ('file = "tool.tar.gz"', 'file = "tool.zip"', "targets.cpu.archives.tool"),
        ('\npath = "tool.tar.gz"', '\npath = "new.tar.gz"', "targets.cpu.archives.tool"),
        ('name = "tool"', 'name = "kit"', "targets.cpu.archives targets.cpu.archives.tool targets.cpu.archives.kit"),
        ('"1111', '"2222', 'targets.cpu.files."/w.bin"'),
        ('from = "y"', 'from = "z"', "targets.cpu.keep"),
        ("uid = 1000", "uid = 1001", "targets.cpu.image.user"),
        ("layers = 64", "layers = 65", "targets.cpu.image.layers"),
        ("large = 1048576", "large = 1", "targets.cpu.image.large"),
    ],
)  # fmt: skip
def test_a_change_is_named(old: str, new: str, paths: str) -> None:
    assert changed(old, new) == set(paths.split())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "demo"', 'name = "other"'),
        ("https://a.example.org/simple", "https://b.example.org/simple"),
        ("https://a.example.org/debian", "https://b.example.org/debian"),
        ("https://a.example.org/{archive}/{time}", "https://b.example.org/{archive}/{time}"),
        ("https://a.example.org/tool", "https://b.example.org/tool"),
        ('keyring = "keys.gpg"', ""),
        ('\npath = "w.bin"', '\npath = "v.bin"'),
        ("as-of = 2026-01-01T00:00:00Z", "as-of = 2026-01-01T02:00:00+02:00"),
        ('["main", "contrib"]', '["contrib", "main", "main"]'),
        ('["bash", "python3"]', '["python3", "bash"]'),
        ('["gputil", "jieba==0.42.1"]', '["Jieba==0.42.1", "GPUtil"]'),
        ('exclude = ["x", "y"]', 'exclude = ["y", "x"]'),
        ("prerelease = false\n", ""),
        ("strip-components = 0\n", 'index = "default"\n'),
        ("layers = 64\n", ""),
        ('suites = ["other"]', 'suites = ["another"]'),
        ('packages = ["bash"]', 'packages = ["zsh"]'),
        ('requirements = ["r/a.in", "b.in"]', 'requirements = ["b.in"]'),
        ('from = "src"', 'from = "lib"'),
        ('entrypoint = ["a"]', 'entrypoint = ["z"]'),
        ('command = ["b"]', ""),
        ('A = "1", ', ""),
        ('working-directory = "/w"', ""),
        ("ports = [8000, 8001]", "ports = []"),
        ('labels = { a = "b" }', ""),
        ('url = "https://a.example.org/tool.tar.gz"\n', 'obtain = "ask"\nlicence = "MIT"\n'),
        ('path = "w.bin"\nto', "redistributable = false\nto"),
        ("prerelease = false\n", 'not-redistributable = ["click"]\n'),
        ('name = "demo"', 'name = "demo"\ndefault-targets = ["cpu"]'),
        ("[lock]", '[signing]\nkey = "release"\nreference = "registry.example.org/a"\n[lock]'),
        ("[lock]", '[cache.team]\nurl = "oci://registry.example.org/a"\nkeys = ["a.pub"]\n[lock]'),
    ],
)  # fmt: skip
def test_what_needs_no_new_lock(old: str, new: str) -> None:
    assert changed(old, new) == set()


def test_a_driver_is_a_check_of_the_lock() -> None:
    """Absent it is told nowhere, so that locks of before stay what they are."""
    assert "targets.cpu.driver" not in meaning(BASE)
    assert changed('device = "cpu"', 'device = "cpu"\ndriver = "525.60.13"') == {
        "targets.cpu.driver"
    }


def test_requirements_are_a_set_of_what_which_file_asks() -> None:
    same = meaning(BASE, "# why\r\nClick\r\n\r\nnumpy <2, >=1.26 # because\r\nclick\r\n", "r/a.in")
    assert same == meaning(BASE)
    assert same == meaning(BASE, file="/somewhere/else/a.in")
    for content, file in (("numpy>=1.26\nclick\n", "a.in"), (REQUIREMENTS, "b.in"), ("", "a.in")):
        other = meaning(BASE, content, file)
        assert {path for path in other if other[path] != same[path]} == {"requirements"}


def test_digests_are_those_of_this_version() -> None:
    """A change here makes every lock stale: change the domain too, and say so in the changelog."""
    found = meaning(BASE)
    assert found["lock.source-date-epoch"] == "33de7a4235de6d1a"
    assert found["targets.cpu.archives.triton"] == "efae2e6de80b93dd"
    assert found["requirements"] == "53dd1ecf070a12dc"


def test_an_unknown_target_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no target cqu") as caught:
        inputs(parse(BASE, "hps.toml"), "cqu", ())
    assert "cpu" in (caught.value.hint or "")


def rewritten(value: Any, draw: st.DrawFn, *, inline: bool, root: bool = False) -> Any:
    """The same document with its keys in another order, as tomlkit items of another style."""
    if isinstance(value, dict):
        flat = inline or (not root and draw(st.integers(0, 3)) == 0)
        table = tomlkit.inline_table() if flat else tomlkit.table()
        # A plain value behind a table would belong to that table, so the tables come last.
        keys = sorted(
            draw(st.permutations(list(value))), key=lambda key: isinstance(value[key], dict)
        )
        for key in keys:
            if not flat and draw(st.integers(0, 3)) == 0:
                table.add(tomlkit.comment("packages = []"))
            table.add(key, rewritten(value[key], draw, inline=flat))
        return table
    if isinstance(value, list):
        array = tomlkit.array()
        for item in value:
            array.append(rewritten(item, draw, inline=True))
        return array.multiline(not inline and draw(st.booleans()))
    return value


@st.composite
def same_documents(draw: st.DrawFn) -> str:
    text = tomlkit.dumps(rewritten(tomllib.loads(BASE), draw, inline=False, root=True))
    text = "\n".join(_with_comments(text, draw))
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


def _with_comments(text: str, draw: st.DrawFn) -> Iterator[str]:
    for line in text.split("\n"):
        yield line + draw(st.sampled_from(["", "", " # [targets.cpu]"])) * line.endswith('"')


@settings(max_examples=60, deadline=None)
@given(same_documents())
def test_order_style_comments_and_line_ends_mean_nothing(text: str) -> None:
    assert tomllib.loads(text) == tomllib.loads(BASE)
    assert meaning(text) == meaning(BASE)
