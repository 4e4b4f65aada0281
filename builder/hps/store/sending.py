"""Bytes on their way out, hashed as they go: nothing else than what was verified leaves."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Self

from hps.digest import Blob
from hps.errors import FetchError, IntegrityError, PublishError

PIECE = 1 << 20  # bytes

Sent = Callable[[int], object]


@contextlib.contextmanager
def publishing() -> Iterator[None]:
    """What fails on the way out is a `PublishError`, whatever the transport called it."""
    try:
        yield
    except FetchError as error:
        raise PublishError(
            error.message,
            expected=error.expected,
            got=error.got,
            hint=error.hint,
            details=error.details,
        ) from error


class Sending:
    """A file that gives out its last byte only when all of them are those of a blob.

    Args:
        blob: what the bytes must be.
        file: opened at its start; closed with this object.
        changed: makes the error of a file that is not what it should be.
        sent: is called with how many bytes were handed out, those that were skipped included.
    """

    def __init__(
        self,
        blob: Blob,
        file: BinaryIO,
        changed: Callable[[], IntegrityError],
        sent: Sent = lambda _: None,
    ) -> None:
        self._blob = blob
        self._file = file
        self._changed = changed
        self._sent = sent
        self._hash = hashlib.sha256()
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self._blob.size - self._at

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(PIECE):
            yield piece

    @property
    def position(self) -> int:
        """How many bytes were handed out or skipped."""
        return self._at

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def skip(self, offset: int) -> None:
        """Hash what lies before an offset and is not sent again; raises as `read`."""
        while self._at < offset:
            if not self._take(min(PIECE, offset - self._at)):
                raise self._changed()

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as `http.client` asks for them.

        Raises:
            IntegrityError: what `changed` makes, if the file cannot be read, is too short or too
                long, or has another digest.
        """
        piece = self._take(PIECE if size < 0 else size)
        self._sent(self._at)
        return piece

    def _take(self, size: int) -> bytes:
        try:
            piece = self._file.read(min(size, len(self)))
        except OSError as error:
            raise self._changed() from error
        self._hash.update(piece)
        self._at += len(piece)
        if not piece and len(self) and size:
            raise self._changed()
        if not len(self) and (
            self._hash.hexdigest() != self._blob.digest.hex or self._file.read(1)
        ):
            raise self._changed()
        return piece
