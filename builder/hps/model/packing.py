"""A folder that is being packed: listed by descriptors, read once, and held to what was listed."""

# Descriptors have no pathlib:

import hashlib
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from hps.archive.refusal import ArchiveError, Reason
from hps.digest import Digest
from hps.errors import UsageError
from hps.model.member_names import MemberNames, portable
from hps.model.paths import MOST_FILES, MOST_PARTS

DEPTH = MOST_PARTS

_PIECE = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe that takes a file's place must not stop us (open(2), O_NONBLOCK).
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Listed:
    """A file or folder as it was when the folder was listed.

    Args:
        path: relative to the folder.
        folder: or a file.
        mode: 0o755 or 0o644.
        size: bytes of a file; 0 for folders.
        state: what tells whether it is another one now.
    """

    path: str
    folder: bool
    mode: int
    size: int
    state: tuple[int, ...]


class PackFolder:
    """A folder, open.

    Raises:
        UsageError: it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._name = str(folder)
        with self._trouble():
            self._top = os.open(folder, _FOLDER)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._top)

    def listing(self) -> tuple[Listed, ...]:
        """All files and folders, sorted by the bytes of their paths.

        Raises:
            ArchiveError: a link, a device, a pipe, a name that no model may have, or too many.
        """
        names = MemberNames(self._name, MOST_FILES)
        with self._trouble():
            found = list(self._below(self._top, "", names))
        return tuple(sorted(found, key=lambda one: one.path.encode()))

    def content(self, listed: Listed) -> Iterator[bytes]:
        """The bytes of a file.

        Raises:
            ArchiveError: the file is not the one that was listed, or changes meanwhile.
        """
        with self._trouble():
            file = self._open(listed.path)
        try:
            left = listed.size
            whole = _state(os.fstat(file)) == listed.state
            while whole and left:
                piece = os.read(file, min(_PIECE, left))
                left -= len(piece)
                whole = bool(piece)
                yield piece
            if not whole or os.read(file, 1) or _state(os.fstat(file)) != listed.state:
                raise self._changed(listed.path)
        except OSError as error:
            raise self._unreadable(error) from error
        finally:
            os.close(file)

    def sums(self, listed: Listed) -> tuple[Digest, int]:
        """Digest and CRC-32 of a file; raises as `content` does."""
        digest, crc = hashlib.sha256(), 0
        for piece in self.content(listed):
            digest.update(piece)
            crc = zlib.crc32(piece, crc)
        return Digest(digest.hexdigest()), crc

    def check_unchanged(self, before: tuple[Listed, ...]) -> None:
        """At the end: nothing may have come, gone or changed.

        Raises:
            ArchiveError: something has; names it.
        """
        if differ := sorted(one.path for one in {*before} ^ {*self.listing()}):
            raise self._changed(differ[0])

    def _below(self, folder: int, prefix: str, names: MemberNames) -> Iterator[Listed]:
        for name in os.listdir(folder):
            path = prefix + name
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            self._check(path, found.st_mode)
            inner = stat.S_ISDIR(found.st_mode)
            names.add(portable(path, depth=DEPTH), folder=inner)
            mode = 0o755 if inner or found.st_mode & stat.S_IXUSR else 0o644
            yield Listed(path, inner, mode, 0 if inner else found.st_size, _state(found))
            if inner:
                below = os.open(name, _FOLDER, dir_fd=folder)
                try:
                    yield from self._below(below, f"{path}/", names)
                finally:
                    os.close(below)

    def _check(self, path: str, mode: int) -> None:
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            return
        link = stat.S_ISLNK(mode)
        raise ArchiveError(
            Reason.LINK if link else Reason.SPECIAL,
            f"{self._name} holds a {'link' if link else 'device, pipe or socket'}: {path!r}",
            member=path,
            expected="files and folders only",
            hint="put the file itself there" if link else "take it away",
        )

    def _open(self, path: str) -> int:
        *parents, name = path.split("/")
        folder = os.dup(self._top)
        try:
            for parent in parents:
                below = os.open(parent, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = below
            return os.open(name, _FILE, dir_fd=folder)
        finally:
            os.close(folder)

    def _changed(self, path: str) -> ArchiveError:
        return ArchiveError(
            Reason.CHANGED,
            f"{self._name} changed while it was packed: {path!r}",
            member=path,
            hint="pack it when nobody writes there, or a copy of it",
        )

    def _unreadable(self, error: OSError) -> UsageError:
        return UsageError(f"{self._name} cannot be read: {error.strerror or error}")

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unreadable(error) from error


def _state(found: os.stat_result) -> tuple[int, ...]:
    kind = (found.st_dev, found.st_ino, found.st_mode)
    if stat.S_ISDIR(found.st_mode):
        return kind  # what lies in it is listed by itself
    return (*kind, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
