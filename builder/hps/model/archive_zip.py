"""A zip that depends on its members alone: nothing compressed, one time, zip64 where it must be.

APPNOTE.TXT 6.3 (PKWARE), the sections named below.
"""

import stat
import struct
from collections.abc import Callable, Iterable

_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_CENTRAL = struct.Struct("<4s6H3L5H2L")  # 4.3.12
_END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_END = struct.Struct("<4s4H2LH")  # 4.3.16
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_ZIP64 = 1  # kind of extra field (4.5.3)
_VERSION, _VERSION_64 = 20, 45  # 4.4.3.2
_UNIX = 3 << 8  # 4.4.2
_UTF8 = 0x800  # 4.4.4, bit 11
_TIME, _DAY = 0, 0x21  # 1980-01-01, 0:00


class ZipWriter:
    """Writes members as they come, and the directory at the end; never seeks.

    Args:
        write: takes the bytes.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._at = 0
        self._directory: list[bytes] = []

    def folder(self, path: str) -> None:
        """Add a folder."""
        self._member(f"{path}/", stat.S_IFDIR | 0o755, 0, 0)

    def file(self, path: str, mode: int, size: int, crc: int, content: Iterable[bytes]) -> None:
        """Add a file.

        Args:
            path: relative, with `/`.
            mode: permission bits.
            size: bytes of the content.
            crc: CRC-32 of the content.
            content: in pieces.
        """
        self._member(path, stat.S_IFREG | mode, size, crc)
        for piece in content:
            self._put(piece)

    def finish(self) -> None:
        """Write the directory and the end."""
        start = self._at
        for header in self._directory:
            self._put(header)
        size, count = self._at - start, len(self._directory)
        if count >= _FULL16 or max(start, size) >= _FULL32:
            record = _END64.size - 12  # without its own first fields (4.3.14.1)
            numbers = (_UNIX | _VERSION_64, _VERSION_64, 0, 0, count, count, size, start)
            end = self._at
            self._put(_END64.pack(b"PK\6\6", record, *numbers))
            self._put(_LOCATOR.pack(b"PK\6\7", 0, end, 1))
        few = min(count, _FULL16)
        told = (min(size, _FULL32), min(start, _FULL32))
        self._put(_END.pack(b"PK\5\6", 0, 0, few, few, *told, 0))

    def _member(self, name: str, mode: int, size: int, crc: int) -> None:
        raw, start = name.encode(), self._at
        wide = size >= _FULL32
        # In a local header both sizes go together (4.5.3); nothing is compressed, so they agree.
        extra = _extra([size, size] if wide else [])
        version = _VERSION_64 if wide or start >= _FULL32 else _VERSION
        plain = (version, _UTF8, 0, _TIME, _DAY, crc)
        told = min(size, _FULL32)
        self._put(_LOCAL.pack(b"PK\3\4", *plain, told, told, len(raw), len(extra)) + raw + extra)
        extra = _extra([*([size, size] if wide else []), *([start] if start >= _FULL32 else [])])
        rest = (len(raw), len(extra), 0, 0, 0, mode << 16, min(start, _FULL32))
        packed = _CENTRAL.pack(b"PK\1\2", _UNIX | version, *plain, told, told, *rest)
        self._directory.append(packed + raw + extra)

    def _put(self, data: bytes) -> None:
        self._write(data)
        self._at += len(data)


def _extra(numbers: list[int]) -> bytes:
    if not numbers:
        return b""
    return struct.pack(f"<HH{len(numbers)}Q", _ZIP64, 8 * len(numbers), *numbers)
