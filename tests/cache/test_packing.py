"""Packing for the wire, and unpacking what anybody sent."""

import io
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from hps.cache.documents import Parcel
from hps.cache.packing import Unpacker, is_worth, pack
from hps.digest import Blob, Digest
from hps.errors import IntegrityError
from tests.cache.lab import blob


def packed(data: bytes) -> bytes:
    sink = io.BytesIO()
    pack(io.BytesIO(data), sink, lambda: None)
    return sink.getvalue()


def unpacked(wire: bytes, plain: Blob, step: int = 1000) -> bytes:
    sink = io.BytesIO()
    unpacker = Unpacker(Parcel("zstd", plain, blob(wire)), sink)
    for at in range(0, len(wire), step):
        unpacker.write(wire[at : at + step])
    return sink.getvalue()


@given(st.binary(max_size=5000), st.integers(1, 400))
def test_what_is_packed_comes_back(data: bytes, step: int) -> None:
    wire = packed(data)
    assert unpacked(wire, blob(data), step) == data
    assert packed(data) == wire


def test_several_pieces_come_back() -> None:
    data = b"".join(number.to_bytes(4) for number in range(700_000))
    assert unpacked(packed(data), blob(data), 65_536) == data


def test_bytes_that_are_not_packed_are_handed_on_and_counted() -> None:
    sink = io.BytesIO()
    unpacker = Unpacker(Parcel("identity", blob(b"abc"), blob(b"abc")), sink)
    unpacker.write(b"ab")
    unpacker.write(b"c")
    assert sink.getvalue() == b"abc"
    with pytest.raises(IntegrityError):
        unpacker.write(b"d")


def test_a_bomb_is_stopped_at_the_size_of_the_output() -> None:
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(1 << 28))
    assert len(bomb) < 30_000
    sink = io.BytesIO()
    tracemalloc.start()
    with pytest.raises(IntegrityError, match="does not hold"):
        Unpacker(Parcel("zstd", blob(b"x" * 1000), blob(bomb)), sink).write(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(sink.getvalue()) <= 1000
    assert peak < 8 << 20


def test_a_window_that_takes_gigabytes_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    wire = compressor.compress(b"x" * 1000) + compressor.flush()
    with pytest.raises(IntegrityError):
        unpacked(wire, blob(b"x" * 1000))


@pytest.mark.parametrize(
    "wire", [b"plain text", b"\x1f\x8b\x08\x00" * 10, packed(b"abc") + b"junk"]
)
def test_what_is_no_frame(wire: bytes) -> None:
    with pytest.raises(IntegrityError):
        unpacked(wire, blob(b"abc"))


def test_a_flipped_bit_is_noticed_or_gives_other_bytes() -> None:
    data = b"some text that packs " * 50
    wire = packed(data)
    for at in range(len(wire)):
        broken = bytearray(wire)
        broken[at] ^= 0x10
        try:
            found = unpacked(bytes(broken), blob(data))
        except IntegrityError:
            continue
        assert found == data or Digest.of(found) != Digest.of(data)


def test_what_packing_is_worth(tmp_path: Path) -> None:
    assert is_worth(Blob(Digest.of(b""), 10_000), 8_000)
    assert not is_worth(Blob(Digest.of(b""), 10_000), 9_500)
    assert not is_worth(Blob(Digest.of(b""), 500), 10)


def test_it_can_be_called_off() -> None:
    class OffError(Exception):
        pass

    def check() -> None:
        raise OffError

    with pytest.raises(OffError):
        pack(io.BytesIO(b"abc"), io.BytesIO(), check)
