"""Strict streams: whole, and nothing behind them. The hostile ones are in tests/attacks."""

import bz2
import gzip
import io
import lzma
import os
import struct
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.archive.decompress import PIECE, codec_of
from hps.archive.refusal import ArchiveError, Reason
from hps.archive.whole_stream import unpacked

DATA = os.urandom(300_000) + bytes(3 << 20) + b"end"


def _zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def _zst_streamed(data: bytes) -> bytes:
    """Without the size in its header."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


def _zst_small_window(data: bytes) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=10, write_content_size=False)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packer.compress(data) + packer.flush()


def _zst_skippable(data: bytes) -> bytes:
    skip = struct.pack("<LL", 0x184D2A50, 5) + b"aside"
    other = struct.pack("<LL", 0x184D2A5F, 0)
    half = len(data) // 2
    return skip + _zst(data[:half]) + other + _zst_streamed(data[half:]) + skip


def _bz2_streams(data: bytes) -> bytes:
    return bz2.compress(data[:100]) + bz2.compress(data[100:])


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gz": gzip.compress,
    "gz-stored": lambda data: gzip.compress(data, 0),
    "bz2": bz2.compress,
    "bz2-streams": _bz2_streams,
    "xz": lzma.compress,
    "xz-crc32": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "zst": _zst,
    "zst-streamed": _zst_streamed,
    "zst-small-window": _zst_small_window,
    "zst-skippable": _zst_skippable,
}


def read(data: bytes, codec: str = "") -> bytes:
    return b"".join(unpacked(io.BytesIO(data), codec or codec_of(data[:6]), "x"))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PACKERS)
def test_what_is_whole_comes_out_in_pieces(name: str) -> None:
    packed = PACKERS[name](DATA)
    pieces = list(unpacked(io.BytesIO(packed), codec_of(packed[:6]), "x"))
    assert b"".join(pieces) == DATA
    assert max(map(len, pieces)) <= PIECE
    assert all(pieces)


@pytest.mark.parametrize("name", PACKERS)
def test_nothing_is_something(name: str) -> None:
    assert read(PACKERS[name](b""), name.partition("-")[0]) == b""


@pytest.mark.parametrize("name", [name for name in PACKERS if name != "none"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_cut_is_noticed(name: str, data: st.DataObject) -> None:
    packed = PACKERS[name](DATA[299_000:310_000])
    cuts = {len(packed), 0}
    if "streams" in name or "skippable" in name:  # between two of them nothing is missing
        cuts |= {size for size in range(len(packed)) if _ends(packed, size)}
    size = data.draw(st.integers(1, len(packed) - 1).filter(lambda size: size not in cuts))
    with pytest.raises(ArchiveError) as raised:
        read(packed[:size], name.partition("-")[0])
    assert raised.value.reason in {Reason.TRUNCATED, Reason.DAMAGED}


def _ends(packed: bytes, size: int) -> bool:
    return packed[size : size + 3] == b"BZh" or packed[size + 1 : size + 4] in {
        b"\x2a\x4d\x18",
        b"\xb5\x2f\xfd",
    }


@pytest.mark.parametrize("name", [name for name in PACKERS if name != "none"])
def test_one_byte_at_a_time(name: str) -> None:
    """A file that gives less than was asked for, as a pipe does."""

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 1))

    packed = PACKERS[name](DATA[299_500:302_000])
    source = Slow(packed)
    assert b"".join(unpacked(source, codec_of(packed[:6]), "x")) == DATA[299_500:302_000]


def test_an_error_of_the_disk_stays_one() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, f"Input/output error ({size} bytes)")

    for name in ("none", "gz", "bz2", "xz", "zst"):
        with pytest.raises(OSError, match="Input/output"):
            list(unpacked(Broken(), name, "x"))
