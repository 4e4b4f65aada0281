"""Bytes on their way: hashed, and given out to the last one only when all are right."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.digest import Blob, Digest
from hps.errors import IntegrityError, UsageError
from hps.publish.content import PIECE, Content
from tests.monitor.sources.contract import noise


@given(st.binary(max_size=300), st.integers(1, 50), st.data())
def test_any_pieces_are_the_bytes(data: bytes, size: int, draw: st.DataObject) -> None:
    offset = draw.draw(st.integers(0, len(data)))
    counts: list[int] = []
    with Content.of_bytes(data).open(offset, counts.append) as sending:
        assert len(sending) == len(data) - offset
        found = b"".join(iter(lambda: sending.read(size), b""))
    assert found == data[offset:]
    assert counts == sorted(counts)
    assert counts[-1] == len(data)


def test_a_file_in_pieces(tmp_path: Path) -> None:
    path, data = tmp_path / "file", noise(2 * PIECE + 7)
    path.write_bytes(data)
    content = Content.of_file(path)
    assert content.blob == Blob(Digest.of(data), len(data))
    with content.open(PIECE + 1) as sending:
        assert b"".join(sending) == data[PIECE + 1 :]
    content.check()


@pytest.mark.parametrize(
    "changed", [b"", noise(2 * PIECE), noise(3 * PIECE, 1), noise(3 * PIECE) + b"x"]
)
def test_a_file_that_changes_is_never_given_out_whole(tmp_path: Path, changed: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(noise(3 * PIECE))
    content = Content.of_file(path)
    path.write_bytes(changed)
    counts: list[int] = []
    with pytest.raises(IntegrityError, match="changed"), content.open(0, counts.append) as sending:
        list(sending)
    assert max(counts, default=0) < content.blob.size
    with pytest.raises(IntegrityError):
        content.check()


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    content = Content.of_file(path)
    path.unlink()
    with pytest.raises(IntegrityError):
        content.open()
    with pytest.raises(UsageError):
        Content.of_file(path)


def test_what_is_skipped_is_hashed_too(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old beginning, same end")
    content = Content.of_file(path)
    path.write_bytes(b"new beginning, same end")
    with pytest.raises(IntegrityError), content.open(15) as sending:
        list(sending)
