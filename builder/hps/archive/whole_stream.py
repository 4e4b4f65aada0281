"""Compressed bytes read strictly: one stream, whole, and nothing behind it.

`hps.archive.decompress` reads what tools read. Tools differ about what follows the end of a
stream, and some take a stream that was cut off for a short one; here both are faults, so that
what was looked at is what everybody unpacks.
"""

import bz2
import lzma
from collections.abc import Callable, Generator, Iterator
from typing import BinaryIO, Protocol, cast

from hps.archive.decompress import PIECE, XZ_MEMORY, ZSTD_WINDOW, Codec, damage
from hps.archive.refusal import ArchiveError, Reason

_PACKED_PIECE = 1 << 17  # decoders copy what they did not consume: keep that small
# Streams, frames and blocks of next to nothing take time and give no bytes; writers whose blocks
# are small on average do not exist.
_MOST_STREAMS, _STREAM_BYTES = 16, 4096
_MOST_STEPS, _STEP_BYTES = 1 << 20, 256
_ZSTD_MAGIC = 0xFD2FB528  # RFC 8878, 3.1.1
_ZSTD_SKIPPABLE = 0x184D2A50  # and the fifteen above it (RFC 8878, 3.1.2)


class _Decoder(Protocol):
    """What bz2, lzma and isal's igzip_lib agree on."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def unpacked(file: BinaryIO, codec: Codec, where: str) -> Iterator[bytes]:
    """What a file unpacks to, in pieces of at most 1 MiB.

    More than one stream is let through where today's parallel tools write several (pbzip2,
    pzstd), each of them whole.

    Raises:
        ArchiveError: (while reading) damaged, cut off, or followed by other bytes.
    """
    with damage(where):
        if codec == "zst":
            yield from _zstd(file, where)
        elif codec == "none":
            yield from iter(lambda: file.read(PIECE), b"")
        else:
            yield from _decoded(file, _fresh(codec), where, several=codec == "bz2")


def _fresh(codec: Codec) -> Callable[[], _Decoder]:
    if codec == "gz":
        # Native code that is needed here only.
        from isal.igzip_lib import DECOMP_GZIP, IgzipDecompressor  # noqa: PLC0415

        return lambda: cast("_Decoder", IgzipDecompressor(DECOMP_GZIP))
    if codec == "bz2":
        return bz2.BZ2Decompressor
    return lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY)


def _decoded(
    file: BinaryIO, fresh: Callable[[], _Decoder], where: str, *, several: bool
) -> Iterator[bytes]:
    decoder = fresh()
    streams = made = 0
    while True:
        packed = b""
        if decoder.eof:
            packed = decoder.unused_data or file.read(_PACKED_PIECE)
            if not packed:
                return
            streams += 1
            if not several or streams > _MOST_STREAMS + made // _STREAM_BYTES:
                fault = f"{where} goes on behind the end of its compressed stream"
                raise ArchiveError(Reason.TRAILING, fault)
            decoder = fresh()
        elif decoder.needs_input:
            packed = file.read(_PACKED_PIECE)
            if not packed:
                raise ArchiveError(Reason.TRUNCATED, f"{where} is cut off")
        data = decoder.decompress(packed, PIECE)
        if data:
            made += len(data)
            yield data


def _zstd(file: BinaryIO, where: str) -> Iterator[bytes]:
    import zstandard  # noqa: PLC0415 - native code that is needed here only

    frames = _Frames(file, where)
    decoder = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
    # The decoder says nothing when a frame is cut off; `frames` does.
    with decoder.stream_reader(
        cast("BinaryIO", frames), read_size=_PACKED_PIECE, read_across_frames=True, closefd=False
    ) as reader:
        while piece := reader.read(PIECE):
            frames.made += len(piece)
            yield piece
    frames.finish()


class _Frames:
    """A file that is read by a decoder, and whose frames of zstd are counted out meanwhile.

    Args:
        file: with the frames.
        where: the archive, for errors.
    """

    def __init__(self, file: BinaryIO, where: str) -> None:
        self.made = 0  # bytes that came out of the decoder
        self._steps = 0
        self._file = file
        self._where = where
        self._walk = _walk(where)
        self._held = b""
        # Bytes that need no look, bytes to look at then, and whether a frame has begun.
        self._pass, self._wanted, self._inside = next(self._walk)

    def read(self, size: int) -> bytes:
        """As of any file."""
        data = self._file.read(size)
        self._see(data)
        if self._steps > _MOST_STEPS + self.made // _STEP_BYTES:
            raise ArchiveError(Reason.BOMB, f"{self._where} consists of empty blocks")
        return data

    def finish(self) -> None:
        """To be called when the decoder has come to the end.

        Raises:
            ArchiveError: a frame is cut off, or the decoder left bytes alone.
        """
        if self._file.read(1):
            raise ArchiveError(Reason.TRAILING, f"{self._where} goes on behind its last frame")
        if self._pass or self._held or self._inside:
            raise ArchiveError(Reason.TRUNCATED, f"{self._where} is cut off")

    def _see(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._pass:
                step = min(self._pass, len(data) - at)
                self._pass -= step
                at += step
                continue
            step = min(self._wanted - len(self._held), len(data) - at)
            self._held += data[at : at + step]
            at += step
            if len(self._held) == self._wanted:
                self._steps += 1
                self._pass, self._wanted, self._inside = self._walk.send(self._held)
                self._held = b""


_Step = tuple[int, int, bool]  # bytes to pass over, then to look at; whether a frame goes on


def _walk(where: str) -> Generator[_Step, bytes, None]:
    """The frames of a zstd file (RFC 8878, 3.1.1 and 3.1.2)."""
    held = yield (0, 4, False)
    while True:
        magic = int.from_bytes(held, "little")
        if magic & ~0xF == _ZSTD_SKIPPABLE:
            held = yield (0, 4, True)
            held = yield (int.from_bytes(held, "little"), 4, False)
            continue
        if magic != _ZSTD_MAGIC:
            fault = f"{where} goes on behind the end of its compressed stream"
            raise ArchiveError(Reason.TRAILING, fault)
        (descriptor,) = yield (0, 1, True)
        last, passing = False, _header_rest(descriptor)
        while not last:
            held = yield (passing, 3, True)
            block = int.from_bytes(held, "little")
            last = bool(block & 1)
            passing = 1 if block >> 1 & 3 == 1 else block >> 3  # a run is one byte (3.1.1.2.2)
        checksum = 4 if descriptor & 4 else 0
        held = yield (passing + checksum, 4, False)


def _header_rest(descriptor: int) -> int:
    """Bytes of a frame header behind its descriptor (RFC 8878, 3.1.1.1)."""
    single = descriptor >> 5 & 1
    content_size = (single, 2, 4, 8)[descriptor >> 6]
    return (1 - single) + (0, 1, 2, 4)[descriptor & 3] + content_size
