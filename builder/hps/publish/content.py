"""What is published: bytes of a file or in memory, and what they must still be when they go."""

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from hps.digest import Blob, Digest
from hps.errors import IntegrityError, UsageError
from hps.store.sending import PIECE, Sending, Sent

__all__ = ["PIECE", "Content", "Sending", "Sent"]


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
        file = self.open_unhashed()
        sending = Sending(self.blob, file, self.changed, sent)
        try:
            sending.skip(offset)
        except BaseException:
            sending.close()
            raise
        return sending

    def open_unhashed(self) -> BinaryIO:
        """The bytes, for who hashes them; raises IntegrityError as `open`."""
        try:
            return io.BytesIO(self.data) if self.path is None else self.path.open("rb")
        except OSError as error:
            raise self.changed() from error

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
