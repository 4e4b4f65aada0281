"""A spool file: contents of a compressed archive, unpacked once, then read in any order."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from hps.archive.decompress import PIECE, window
from hps.errors import StoreError, UnsafeArchiveError


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes in a spool file; `open` is what an Entry needs."""

    spool: Path
    offset: int
    size: int

    def open(self) -> BinaryIO:
        """A fresh reader of these bytes only."""
        return window(self.spool, self.offset, self.size)


class Spool:
    """Writes contents one behind the other; the folder's owner removes the file in the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise StoreError(f"the spool file {path} cannot be made", got=error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(
        self, reader: BinaryIO, size: int, where: str, tap: Callable[[bytes], object] | None = None
    ) -> Content:
        """Copy exactly `size` bytes.

        Args:
            reader: where they come from.
            size: how many were announced.
            where: what they are, for errors.
            tap: sees every piece, for instance the `update` of a hash.

        Raises:
            UnsafeArchiveError: there are fewer bytes than announced.
            StoreError: the disk does not take them.
        """
        content = Content(self._path, self._size, size)
        left = size
        while left:
            piece = reader.read(min(left, PIECE))
            if not piece:
                raise UnsafeArchiveError(f"{where} ends early", expected=size, got=size - left)
            if tap is not None:
                tap(piece)
            self.write(piece)
            left -= len(piece)
        self._size += size
        return content

    def write(self, piece: bytes) -> None:
        """Append bytes as they are; raises StoreError when the disk does not take them."""
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise StoreError(
                f"the spool file {self._path} cannot be written",
                got=error,
                hint="make room on that disk, or set TMPDIR to a folder on another one",
            ) from error
