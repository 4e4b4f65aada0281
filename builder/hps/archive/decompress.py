"""Reading compressed bytes as a stream, whatever they are compressed with, in bounded memory."""

import bz2
import io
import lzma
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, cast

from hps.archive.refusal import ArchiveError, Reason

Codec = Literal["none", "gz", "bz2", "xz", "zst"]

PIECE = 1 << 20  # bytes that are read at once
XZ_MEMORY = 1 << 28  # `xz -9` needs 65 MiB to unpack (xz(1), "Preset levels")
ZSTD_WINDOW = 1 << 27  # what the zstd tool accepts without --long=31 (RFC 8878, 3.1.1.1.2)

_MAGIC: tuple[tuple[bytes, Codec], ...] = (
    (b"\x1f\x8b", "gz"),  # RFC 1952, 2.3.1
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),  # the .xz file format, 2.1.1.1
    (b"\x28\xb5\x2f\xfd", "zst"),  # RFC 8878, 3.1.1
)

_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")  # pzstd puts one first (RFC 8878, 3.1.2)

_DECODERS = {"igzip_lib", "isal", "isal_zlib", "tarfile", "zipfile", "zstandard", "zstd"}


def codec_of(head: bytes) -> Codec:
    """Which compression the first six bytes of a file announce; `none` when they announce none."""
    if _SKIPPABLE.match(head):
        return "zst"
    return next((codec for magic, codec in _MAGIC if head.startswith(magic)), "none")


class Window(io.RawIOBase):
    """A part of a file as a file of its own; closing it closes the file.

    Args:
        file: opened without a buffer, at the start of the part.
        size: how long the part is, in bytes.
    """

    def __init__(self, file: io.FileIO, size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read up to the end of the part (io.RawIOBase)."""
        count = self._file.readinto(memoryview(buffer)[: self._left]) or 0
        self._left -= count
        return count

    def close(self) -> None:
        """Close the file too."""
        self._file.close()
        super().close()


def window(path: Path, offset: int, size: int) -> BinaryIO:
    """A buffered reader of `size` bytes of a file from `offset` on."""
    file = path.open("rb", buffering=0)
    file.seek(offset)
    return io.BufferedReader(Window(file, size), 1 << 16)


class _Xz(io.RawIOBase):
    """An .xz reader with a limit on memory, which lzma.LZMAFile does not offer."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._decoder = self._fresh()
        self._held = b""

    @staticmethod
    def _fresh() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while True:
            if self._decoder.eof:
                # Streams may follow each other, with zero padding between (.xz format, 2.2).
                rest = self._decoder.unused_data.lstrip(b"\0") or self._next().lstrip(b"\0")
                if not rest:
                    return 0
                self._decoder, self._held = self._fresh(), rest
            if self._decoder.needs_input and not self._held:
                self._held = self._source.read(PIECE)
                if not self._held:
                    raise EOFError("the xz stream ends early")
            data = self._decoder.decompress(self._held, max_length=len(buffer))
            self._held = b""
            if data:
                buffer[: len(data)] = data
                return len(data)

    def _next(self) -> bytes:
        while (data := self._source.read(PIECE)) and not data.strip(b"\0"):
            pass
        return data

    def close(self) -> None:
        self._source.close()
        super().close()


def decompressed(source: BinaryIO, codec: Codec) -> BinaryIO:
    """A reader of what `source` unpacks to; closing it closes `source` where the codec can.

    Raises:
        Whatever `damage` turns into an ArchiveError, while reading.
    """
    if codec == "gz":
        from isal import igzip  # noqa: PLC0415 - native code that only a build needs

        reader = igzip.IGzipFile(fileobj=source, mode="rb")  # type: ignore[no-untyped-call]
        return cast("BinaryIO", reader)
    if codec == "bz2":
        return cast("BinaryIO", bz2.BZ2File(source))
    if codec == "xz":
        return io.BufferedReader(_Xz(source), PIECE)
    if codec == "zst":
        import zstandard  # noqa: PLC0415 - likewise

        decoder = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        return cast("BinaryIO", decoder.stream_reader(source, read_across_frames=True))
    return source


@contextmanager
def damage(where: str) -> Iterator[None]:
    """Turn what decoders raise on damaged bytes into one error that names the archive.

    Raises:
        ArchiveError: the bytes are not what their format says. Errors of the disk (an
            OSError with an errno) pass through.
    """
    try:
        yield
    except (EOFError, lzma.LZMAError, zlib.error, OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = Reason.TRUNCATED if isinstance(error, EOFError) else Reason.DAMAGED
        raise ArchiveError(reason, f"{where} is damaged", got=error) from error
    except Exception as error:
        # By name: importing each decoder for its exception would cost every start of hps.
        if type(error).__module__.partition(".")[0] in _DECODERS:
            raise ArchiveError(Reason.DAMAGED, f"{where} is damaged", got=error) from error
        raise
