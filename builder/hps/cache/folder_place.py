"""A folder as a place of a shared cache: on a disk of this machine or one that several mount."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from hps.cache.place import ReadOnlyError
from hps.digest import Blob
from hps.errors import FetchError, IntegrityError, LimitError, NotFoundError, PublishError
from hps.store import whole_file
from hps.store.cancellation import Cancellation
from hps.store.filesystem import PIECE, free_space
from hps.store.transfer import Sink

_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class FolderPlace:
    """See `hps.cache.place.Place`. Every file appears whole, by a rename.

    Args:
        root: made by the first who pushes.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._work = Cancellation()

    @property
    def name(self) -> str:
        """See `Place`."""
        return str(self._root)

    def read(self, document: str, limit: int) -> bytes | None:
        """See `Place`."""
        self._insist()
        path = self._document(document)
        file = _open(path)
        if file is None:
            return None
        with file:
            data = _take(file, path, limit + 1)
        if len(data) > limit:
            raise LimitError(f"{path} is too large", expected=f"at most {limit} bytes", got="more")
        return data

    def prepare(self) -> None:
        """See `Place`; makes the folder."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self._root, error) from error

    def write(self, document: str, data: bytes, names: tuple[Blob, ...] = ()) -> None:
        """See `Place`."""
        del names  # nobody collects a folder by what documents name
        path = self._document(document)

        def fill(file: BinaryIO) -> None:
            file.write(data)

        self._replace(path, fill)

    def has(self, blob: Blob) -> bool:
        """See `Place`."""
        self._insist()
        try:
            status = self._blob(blob).lstat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unreadable(self._blob(blob), error) from error
        return stat.S_ISREG(status.st_mode) and status.st_size == blob.size

    def upload(self, blob: Blob, content: Path) -> bool:
        """See `Place`."""
        if self.has(blob):
            return False

        def fill(file: BinaryIO) -> None:
            with content.open("rb") as source:
                while piece := source.read(PIECE):
                    self._work.check()
                    file.write(piece)

        self._replace(self._blob(blob), fill)
        return True

    def stream(self, blob: Blob, sink: Sink, restart: Callable[[], object]) -> None:
        """See `Place`."""
        del restart  # a disk is read once
        self._insist()
        path = self._blob(blob)
        file = _open(path)
        if file is None:
            raise NotFoundError(f"there is no file {path}")
        with file:
            left = blob.size
            while piece := _take(file, path, min(PIECE, left + 1)):
                self._work.check()
                left -= len(piece)
                if left < 0:
                    break
                sink(piece)
        if left:
            got = "more" if left < 0 else f"{blob.size - left} bytes"
            raise IntegrityError(f"wrong size: {path}", expected=f"{blob.size} bytes", got=got)

    def abandon(self) -> None:
        """See `Place`."""
        self._work.cancel()

    def close(self) -> None:
        """See `Place`."""

    def _document(self, name: str) -> Path:
        return self._root / f"{name}.json"

    def _blob(self, blob: Blob) -> Path:
        return self._root / "v1" / "blobs" / "sha256" / blob.digest.hex

    def _insist(self) -> None:
        """A folder that is not there is a disk that is not mounted, not an empty cache."""
        self._work.check()
        if not self._root.is_dir():
            raise FetchError(
                f"there is no folder {self._root}",
                hint="is its disk mounted? The first `hps cache push` makes it",
            )

    def _replace(self, path: Path, fill: Callable[[BinaryIO], None]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file.replacing(path) as file:
                fill(file)
        except OSError as error:
            raise _unwritable(path, error) from error


def _open(path: Path) -> BinaryIO | None:
    """A regular file; a link or a pipe is neither followed nor waited for."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FetchError(f"cannot read {path}: not a regular file")
    return os.fdopen(descriptor, "rb", buffering=0)


def _take(file: BinaryIO, path: Path, most: int) -> bytes:
    try:
        return file.read(most)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unwritable(path: Path, error: OSError) -> PublishError:
    kind = ReadOnlyError if error.errno in _READ_ONLY else PublishError
    return kind(
        f"cannot write {path}: {error.strerror or error}",
        got=free_space(path),
        hint="name another cache, or let somebody push who may write there",
    )


def _unreadable(path: Path, error: OSError) -> FetchError:
    return FetchError(f"cannot read {path}: {error.strerror or error}")
