"""What is put around the bytes of an archive: nothing, gzip or zstd. Pure.

An encoder is a generator: it takes bytes, and None at the end, and gives what is to be written.
What it gives depends on the bytes alone, not on the pieces in which they came.
"""

import struct
from collections.abc import Generator

Encoder = Generator[bytes, bytes | None, None]

_STORED = 0xFFFF  # most bytes of a stored block (RFC 1951, 3.2.4)
_PIECE = 16 * _STORED
_LEVEL = 3  # zstd's own default


def plain() -> Encoder:
    """The bytes as they are."""
    data: bytes | None = b""
    while data is not None:
        data = yield data
    yield b""


def gzip() -> Encoder:
    """A gzip file that holds the bytes as they are: no name, no time, no system (RFC 1952, 2.3)."""
    from isal import isal_zlib  # noqa: PLC0415 - native code that only packing needs

    crc = size = 0
    head = struct.pack("<4BLBB", 0x1F, 0x8B, 8, 0, 0, 0, 255)
    pieces = _pieces()
    made = next(pieces)
    while (data := (yield made)) is not None:
        crc = isal_zlib.crc32(data, crc)
        size += len(data)
        made = head + b"".join(_block(one, last=False) for one in _cut(pieces.send(data)))
        head = b""
    rest = _cut(pieces.send(None)) or [b""]
    blocks = [_block(one, last=number == len(rest)) for number, one in enumerate(rest, 1)]
    yield head + b"".join(blocks) + struct.pack("<LL", crc, size % 2**32)


def zstd() -> Encoder:
    """A zstd file of one frame with a checksum (RFC 8878)."""
    import zstandard  # noqa: PLC0415 - likewise

    frame = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()
    pieces = _pieces()
    made = next(pieces)
    while (data := (yield made)) is not None:
        made = frame.compress(pieces.send(data))
    yield frame.compress(pieces.send(None)) + frame.flush()


def _pieces() -> Encoder:
    """The same bytes in multiples of one length, and the rest at the end."""
    held = bytearray()
    ready = b""
    while (data := (yield ready)) is not None:
        held += data
        whole = len(held) - len(held) % _PIECE
        ready = bytes(held[:whole])
        del held[:whole]
    yield bytes(held)


def _cut(data: bytes) -> list[bytes]:
    return [data[start : start + _STORED] for start in range(0, len(data), _STORED)]


def _block(data: bytes, *, last: bool) -> bytes:
    return struct.pack("<BHH", last, len(data), len(data) ^ 0xFFFF) + data
