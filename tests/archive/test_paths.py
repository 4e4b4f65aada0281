"""Names from archives: which are let in, and as what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.archive.paths import Limits, check_unique, safe
from hps.errors import UnsafeArchiveError


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("usr/bin/python3", "usr/bin/python3"),
        ("./usr//bin/", "usr/bin"),
        ("usr/./bin", "usr/bin"),
        ("...", "..."),
        ("a..b/..c", "a..b/..c"),
        ("naïve/日本.py", "naïve/日本.py"),
        ("lib/systemd/system/system-x\\x2dy.slice", "lib/systemd/system/system-x\\x2dy.slice"),
        ("a" * 255 + "/b", "a" * 255 + "/b"),
        ("a b/c:d", "a b/c:d"),
    ],
)
def test_honest_names(name: str, path: str) -> None:
    assert safe(name) == path


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "no name"),
        (".", "no name"),
        ("./", "no name"),
        ("/etc/passwd", "absolute"),
        ("//etc", "absolute"),
        ("\\\\server\\share", "absolute"),
        ("..", "way out"),
        ("a/../b", "way out"),
        ("a/..", "way out"),
        ("..\\evil", "way out"),
        ("a\\..\\b", "way out"),
        ("C:\\x", "drive"),
        ("c:/x", "drive"),
        ("Z:", "drive"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x7fb", "control"),
        ("a\x9bb", "control"),
        ("a\udcffb", "UTF-8"),
        ("a" * 256, "part of more"),
        ("é" * 128, "part of more"),
        (("a" * 99 + "/") * 41, "more than 4096"),
        ("a/" * 256, "more than 256 parts"),
    ],
)
def test_names_that_are_refused(name: str, fault: str) -> None:
    with pytest.raises(UnsafeArchiveError) as caught:
        safe(name)
    assert caught.value.got is not None
    assert fault in caught.value.got


@given(st.text(max_size=40))
def test_what_is_let_in_stays_below_the_root(name: str) -> None:
    try:
        path = safe(name)
    except UnsafeArchiveError:
        return
    assert safe(path) == path
    assert not path.startswith("/")
    assert all(part not in {"", ".", ".."} for part in path.split("/"))


def test_limits_name_the_archive_and_the_limit() -> None:
    limits = Limits(files=10, size=1000, ratio=5, ratio_from=100)
    limits.check("a.whl", files=10, size=1000, packed=200)
    limits.check("a.whl", files=1, size=100, packed=1)
    with pytest.raises(UnsafeArchiveError, match=r"a\.whl holds too many files"):
        limits.check("a.whl", files=11, size=0)
    with pytest.raises(UnsafeArchiveError, match=r"a\.whl unpacks to too many"):
        limits.check("a.whl", files=1, size=1001)
    with pytest.raises(UnsafeArchiveError, match="bomb"):
        limits.check("a.whl", files=1, size=506, packed=101)


def test_duplicates_are_faults_and_all_are_named() -> None:
    same = "a/b"
    with pytest.raises(UnsafeArchiveError) as caught:
        check_unique("x.whl", [same, "c", same, "c"], case_collisions="allow")
    assert caught.value.details == ("'a/b' twice", "'c' twice")


@pytest.mark.parametrize(
    ("one", "two"), [("A/b", "a/b"), ("é", "e\u0301"), ("STRASSE", "straße"), ("É", "é")]
)
def test_case_collisions_are_up_to_the_caller(one: str, two: str) -> None:
    check_unique("x.deb", [one, two], case_collisions="allow")
    with pytest.raises(UnsafeArchiveError, match="more than once"):
        check_unique("x.whl", [one, two], case_collisions="refuse")
