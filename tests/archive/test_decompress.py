"""Decompression as a stream: every codec, and every way in which it can be damaged."""

import io
import lzma
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from hps.archive.decompress import Codec, codec_of, damage, decompressed, window
from hps.errors import UnsafeArchiveError
from tests.layer.packages import PACK

DATA = bytes(range(256)) * 2_000


@pytest.mark.parametrize("suffix", PACK)
def test_every_codec_is_told_by_its_bytes_and_unpacked(suffix: str) -> None:
    packed = PACK[suffix](DATA)
    codec = codec_of(packed[:6])
    assert codec == (suffix[1:] or "none")
    with closing(decompressed(io.BytesIO(packed), codec)) as stream:
        assert stream.read() == DATA


def _read_all(packed: bytes, codec: Codec) -> None:
    with damage("x.tar"), closing(decompressed(io.BytesIO(packed), codec)) as stream:
        while stream.read(1 << 16):
            pass


@pytest.mark.parametrize("codec", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("harm", ["cut", "flip"])
def test_damaged_streams_are_refused(codec: Codec, harm: str) -> None:
    packed = bytearray(PACK[f".{codec}"](DATA))
    if harm == "cut":
        del packed[len(packed) // 2 :]
    else:
        packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(UnsafeArchiveError, match=r"x\.tar is damaged") as raised:
        _read_all(bytes(packed), codec)
    assert raised.value.got


def test_xz_streams_may_follow_each_other_with_padding() -> None:
    packed = lzma.compress(b"one") + bytes(8) + lzma.compress(b"two") + bytes(4)
    with closing(decompressed(io.BytesIO(packed), "xz")) as stream:
        assert stream.read() == b"onetwo"


def test_xz_that_wants_too_much_memory_is_refused() -> None:
    packed = bytearray(lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}]))
    # The dictionary size is one byte of the block header (.xz format, 5.3.1); its CRC follows.
    at = packed.index(b"\x21\x01") + 2
    packed[at] = 38  # 2 GiB
    header = packed[12 : 12 + (packed[12] + 1) * 4 - 4]
    packed[12 + len(header) : 16 + len(header)] = zlib.crc32(header).to_bytes(4, "little")
    with (
        pytest.raises(UnsafeArchiveError, match="is damaged") as raised,
        damage("x"),
        closing(decompressed(io.BytesIO(bytes(packed)), "xz")) as stream,
    ):
        stream.read()
    assert "emory" in str(raised.value.got)


def test_a_window_sees_its_part_only_and_disk_errors_stay_disk_errors(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    with window(path, 3, 4) as part:
        assert part.read(2) + part.read() == b"3456"
    with pytest.raises(FileNotFoundError), damage("x"):
        window(tmp_path / "missing", 0, 1)
