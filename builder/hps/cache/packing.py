"""Packing outputs for the wire with zstd (RFC 8878), and unpacking what anybody sent, bounded."""

from collections.abc import Callable
from typing import BinaryIO, Protocol

import zstandard

from hps.archive.decompress import ZSTD_WINDOW
from hps.cache.documents import Parcel
from hps.digest import Blob
from hps.errors import IntegrityError
from hps.store.filesystem import PIECE

LEVEL = 3  # zstd's own default; docs/adr/0015-shared-cache.md has what others cost
SMALLEST = 1 << 10  # bytes; below, a frame saves nothing that anybody would notice
_WORTH = 0.9  # of the plain size: above, the bytes lie there as they are


class Sink(Protocol):
    """What takes bytes, as files and blob writers do."""

    def write(self, data: bytes) -> object:
        """Append bytes."""
        ...


def pack(source: BinaryIO, sink: Sink, check: Callable[[], object]) -> None:
    """Write one zstd frame with a checksum.

    Args:
        source: from where it stands to its end.
        sink: takes the frame.
        check: called between pieces; what it raises ends it.
    """
    packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
    while piece := source.read(PIECE):
        check()
        sink.write(packer.compress(piece))
    sink.write(packer.flush())


def is_worth(plain: Blob, packed: int) -> bool:
    """Whether packing saves enough to be kept."""
    return plain.size >= SMALLEST and packed <= plain.size * _WORTH


class Unpacker:
    """Takes what lies in a cache and hands on the output, never more bytes than it has.

    The digest is compared by who takes them; a frame that is cut short gives too few bytes.

    Args:
        parcel: what should come.
        sink: takes the output.
    """

    def __init__(self, parcel: Parcel, sink: Sink) -> None:
        self._parcel = parcel
        self._sink = sink
        self._left = parcel.plain.size
        self._unpack: Callable[[bytes], object] = self._hand_on
        if parcel.encoding == "zstd":
            # It hands on 128 KiB at a time, however far a few bytes unpack: no bomb fits in there.
            decoder = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
            self._unpack = decoder.stream_writer(_Taker(self._hand_on)).write  # type: ignore[arg-type] # it needs `write` only

    def write(self, piece: bytes) -> None:
        """Take the next bytes of the wire.

        Raises:
            IntegrityError: they are no such frame, or unpack to more than they may.
        """
        try:
            self._unpack(piece)
        except zstandard.ZstdError as error:
            raise self._fault("zstd that can be unpacked", str(error)) from error

    def _hand_on(self, data: bytes) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise self._fault(f"{self._parcel.plain.size} bytes", "more")
        self._sink.write(data)
        return len(data)

    def _fault(self, expected: str, got: str) -> IntegrityError:
        return IntegrityError(
            f"a parcel does not hold {self._parcel.plain.digest}", expected=expected, got=got
        )


class _Taker:
    """A file that can only be written, as zstandard wants one."""

    def __init__(self, take: Callable[[bytes], int]) -> None:
        self._take = take

    def write(self, data: bytes) -> int:
        return self._take(data)
