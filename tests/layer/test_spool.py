"""The spool: what goes in comes out, in any order; a full disk is said to be full."""

import io
import os
from pathlib import Path

import pytest

from hps.errors import StoreError, UnsafeArchiveError
from hps.layer.spool import Spool


def test_contents_come_back_in_any_order(tmp_path: Path) -> None:
    seen = bytearray()
    with Spool(tmp_path / "s") as spool:
        first = spool.add(io.BytesIO(b"first"), 5, "x", seen.extend)
        empty = spool.add(io.BytesIO(b""), 0, "x")
        big = os.urandom(3 << 20)
        last = spool.add(io.BytesIO(big + b"not asked for"), len(big), "x")
    assert seen == b"first"
    for content, expected in ((last, big), (empty, b""), (first, b"first"), (first, b"first")):
        with content.open() as reader:
            assert reader.read() == expected


def test_fewer_bytes_than_announced_are_refused(tmp_path: Path) -> None:
    with Spool(tmp_path / "s") as spool, pytest.raises(UnsafeArchiveError, match="ends early"):
        spool.add(io.BytesIO(b"abc"), 4, "x.deb: usr/bin/x")


def test_a_full_disk_is_a_store_error() -> None:
    spool = object.__new__(Spool)
    spool._path, spool._size = Path("/dev/full"), 0
    spool._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115, PTH123 - the spool closes it
    with spool, pytest.raises(StoreError, match="cannot be written") as raised:
        spool.add(io.BytesIO(b"abc"), 3, "x")
    assert raised.value.hint is not None
    assert "make room" in raised.value.hint


def test_a_spool_never_writes_into_a_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "s").symlink_to(tmp_path / "victim")
    (tmp_path / "victim").write_text("mine")
    with pytest.raises(StoreError, match="cannot be made"):
        Spool(tmp_path / "s")
    assert (tmp_path / "victim").read_text() == "mine"
