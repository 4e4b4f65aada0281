"""ar archives, against ar itself."""

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.errors import UnsafeArchiveError
from hps.layer.ar import Member, members
from tests.layer.packages import ar_bytes


def test_members_lie_where_ar_put_them(tmp_path: Path) -> None:
    for name, data in (("one", b"odd"), ("two", b"even"), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
    subprocess.run(["ar", "rc", "x.a", "one", "two", "empty"], cwd=tmp_path, check=True)
    whole = (tmp_path / "x.a").read_bytes()
    found = {
        member.name: whole[member.offset : member.offset + member.size]
        for member in members(tmp_path / "x.a", "x.a")
    }
    assert found == {"one": b"odd", "two": b"even", "empty": b""}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not an ar archive"),
        (b"PK\3\4 something else", "not an ar archive"),
        (ar_bytes([("a", b"12345678")])[:-3], "ends inside its member a"),
        (ar_bytes([("a", b"1234")])[:-20], "damaged ar header"),
        (ar_bytes([("a", b"1234")]).replace(b"`\n", b"~~"), "damaged ar header"),
        (ar_bytes([("a", b"1234")]).replace(b"4         ", b"-4        "), "damaged ar header"),
    ],
)
def test_damaged_archives_are_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "x.a"
    path.write_bytes(data)
    with pytest.raises(UnsafeArchiveError, match=words):
        list(members(path, "x.a"))


@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_give_members_inside_the_file_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("ar") / "x.a"
    path.write_bytes(b"!<arch>\n" + data)
    found: list[Member] = []
    with suppress(UnsafeArchiveError):
        found += members(path, "x.a")
    assert all(member.offset + member.size <= 8 + len(data) for member in found)
