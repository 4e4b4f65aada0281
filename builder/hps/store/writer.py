"""Writing one blob: hashed on its way to the disk, visible only when it is whole."""

import hashlib
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO, Self

from hps.digest import Blob, Digest
from hps.errors import IntegrityError
from hps.store.workspace import Workspace


class BlobWriter:
    """A blob in the making: hashed while it is written, invisible until `commit`.

    A context manager; when the block ends without a commit, nothing is left behind.
    """

    def __init__(self, workspace: Workspace, keep: Callable[[BinaryIO, Digest], None]) -> None:
        self._filesystem = workspace.filesystem
        self._keep = keep
        self._hasher = hashlib.sha256()
        self._file = workspace.create()
        self.size = 0  # bytes written so far

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._filesystem.abandon(self._file)

    def write(self, data: bytes) -> int:
        """Append bytes; gives their number, as a file does.

        Raises:
            StoreError: the store cannot be written.
        """
        self._hasher.update(data)
        self._filesystem.write(self._file, data)
        self.size += len(data)
        return len(data)

    def commit(self, expected: Digest | None = None, size: int | None = None) -> Blob:
        """Compare with what was promised, and put the blob into the store.

        A blob that is there already is replaced: it may be damaged, this one is not.

        Raises:
            IntegrityError: another digest, or another number of bytes, than promised.
            StoreError: the store cannot be written.
        """
        blob = Blob(Digest(self._hasher.hexdigest()), self.size)
        if size is not None and size != blob.size:
            raise IntegrityError(
                f"{expected or blob.digest} has another length than promised",
                expected=f"{size} bytes",
                got=f"{blob.size} bytes",
            )
        if expected is not None and expected != blob.digest:
            raise IntegrityError(
                "the bytes are not what was promised",
                expected=expected,
                got=f"{blob.digest}, {blob.size} bytes",
                hint="if the change is meant, lock again; else do not use where they came from",
            )
        self._keep(self._file, blob.digest)
        return blob
