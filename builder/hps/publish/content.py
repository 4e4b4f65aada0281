"""What is sent, hashed once more while it is: nothing else than what was verified leaves."""

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self

from hps.digest import Blob, Digest
from hps.errors import IntegrityError, UsageError

PIECE = 1 << 20  # bytes

Sent = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that are to be published: of a file, or in memory.

    Args:
        blob: what they are.
        path: of the file; None: they are in `data`.
        data: see there.
    """

    blob: Blob
    path: Path | None = None
    data: bytes = field(default=b"", repr=False)

    @classmethod
    def of_file(cls, path: Path) -> "Content":
        """A file as it is now; raises UsageError."""
        hashed, size = hashlib.sha256(), 0
        try:
            with path.open("rb") as file:
                while piece := file.read(PIECE):
                    hashed.update(piece)
                    size += len(piece)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
        return cls(Blob(Digest(hashed.hexdigest()), size), path)

    @classmethod
    def of_bytes(cls, data: bytes) -> "Content":
        """Bytes in memory."""
        return cls(Blob(Digest.of(data), len(data)), None, data)

    def open(self, offset: int = 0, sent: Sent = lambda _: None) -> "Sending":
        """Read from an offset on; what lies before it is hashed, too.

        Args:
            offset: how much the store has already.
            sent: is called with the bytes that were handed out, those before the offset included.

        Raises:
            IntegrityError: the file is another one by now.
        """
        try:
            file = io.BytesIO(self.data) if self.path is None else self.path.open("rb")
        except OSError as error:
            raise self.changed() from error
        sending = Sending(self, file, sent)
        try:
            sending.skip(offset)
        except BaseException:
            sending.close()
            raise
        return sending

    def check(self) -> None:
        """Read it all once more, for stores that read the file themselves.

        Raises:
            IntegrityError: the file is another one by now.
        """
        with self.open() as sending:
            for _ in sending:
                pass

    def changed(self) -> IntegrityError:
        """The error of a file that is not what it was."""
        return IntegrityError(
            f"{self.path or 'what is published'} was changed while it was published",
            hint="publish a file that nobody writes to",
        )


class Sending:
    """The bytes of a content on their way; its last byte is given out when all are right."""

    def __init__(self, content: Content, file: BinaryIO, sent: Sent) -> None:
        self._content = content
        self._file = file
        self._sent = sent
        self._hash = hashlib.sha256()
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self._content.blob.size - self._at

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(PIECE):
            yield piece

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def skip(self, offset: int) -> None:
        """Hash what is not sent again."""
        while self._at < offset:
            if not self._take(min(PIECE, offset - self._at)):
                raise self._content.changed()

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as `http.client` asks for them."""
        piece = self._take(PIECE if size < 0 else size)
        self._sent(self._at)
        return piece

    def _take(self, size: int) -> bytes:
        try:
            piece = self._file.read(min(size, len(self)))
        except OSError as error:
            raise self._content.changed() from error
        self._hash.update(piece)
        self._at += len(piece)
        if not piece and len(self) and size:
            raise self._content.changed()
        if not len(self) and (
            self._hash.hexdigest() != self._content.blob.digest.hex or self._file.read(1)
        ):
            raise self._content.changed()
        return piece
