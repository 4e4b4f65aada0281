"""A private folder into which files are laid by descriptors, hashed as they are written.

Every name is one part, opened below the descriptor of its folder and never through a link
(openat(2), O_NOFOLLOW), and every file is new (O_EXCL). So whatever an archive or another process
does to names, bytes land in the folder or nowhere.
"""

# Descriptors have no pathlib:
# ruff: noqa: PTH208

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from hps.digest import Digest
from hps.errors import HpsError

Room = Callable[[int], int]  # free bytes of the disk on which a descriptor's file lies
Watch = Callable[[int], object]  # is told how many bytes came; what it raises ends the work

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class StagingFault(StrEnum):
    """Why this machine could not take the files; a label of metrics and of `history`."""

    DISK_FULL = "disk-full"
    DENIED = "not-permitted"
    BROKEN = "disk-broken"  # whatever else the operating system says
    NOT_PRIVATE = "staging-not-private"
    CHANGED = "staging-changed"  # somebody else writes there


class StagingError(HpsError):
    """Files could not be laid down here; nothing is said of the archive they come from."""

    reference = "staging"
    exit_code = 6

    def __init__(
        self,
        fault: StagingFault,
        message: str,
        *,
        expected: object = None,
        got: object = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, expected=expected, got=got, hint=hint)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class UnpackedFile:
    """A file that lies in a staging folder.

    Args:
        path: relative to the folder, POSIX.
        mode: permission bits that its archive told, to be compared with a manifest; 0 when it
            told none. On the disk only the run bit of the owner is left of them.
        size: bytes written.
        digest: of these bytes.
    """

    path: str
    mode: int
    size: int
    digest: Digest


def free_bytes(descriptor: int) -> int:
    """What a process without privileges may still write (fstatvfs(3))."""
    disk = os.fstatvfs(descriptor)
    return disk.f_bavail * disk.f_frsize


class Staging:
    """An empty folder that only this user can write, being filled.

    Args:
        folder: made by the caller, mode 0700; on an error what is in it is the caller's to remove.
        room: asks for free space, in bytes.
        reserve: bytes that are left free on the disk.
        watch: called after each piece that is written.

    Raises:
        StagingError: others may write there, or something lies there.
    """

    def __init__(
        self,
        folder: Path,
        *,
        room: Room = free_bytes,
        reserve: int = 0,
        watch: Watch = lambda _: None,
    ) -> None:
        self._name = str(folder)
        self._watch = watch
        self._room = room
        self._reserve = reserve
        self._chain: list[tuple[str, int]] = []  # open folders, each below the one before it
        self._made: set[str] = {""}
        with self._trouble("use"):
            self._top = os.open(folder, _FOLDER)
        try:
            self._check_private()
        except BaseException:
            os.close(self._top)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave_to(0)
        os.close(self._top)

    def expect(self, size: int) -> None:
        """Make sure that there is room for `size` bytes more; raises StagingError."""
        with self._trouble("ask for the room of"):
            free = self._room(self._top)
        if size + self._reserve > free:
            raise StagingError(
                StagingFault.DISK_FULL,
                f"there is no room in {self._name}",
                expected=f"{size} bytes, and {self._reserve} left free",
                got=f"{free} bytes free",
                hint="make room, or put the models on another disk",
            )

    def folder(self, path: str) -> None:
        """Make a folder and its parents; one that was made here is fine."""
        with self._trouble("make a folder in"):
            self._enter(path)

    def file(
        self, path: str, mode: int, size: int, pieces: Iterable[bytes | memoryview]
    ) -> UnpackedFile:
        """Write a new file; the bytes that are hashed are those that are written.

        Args:
            path: checked by the caller.
            mode: what the archive tells, only handed on.
            size: bytes that will come.
            pieces: these bytes.
        """
        self.expect(size)
        parent, _, name = path.rpartition("/")
        digest = hashlib.sha256()
        with self._trouble("make a file in"):
            bits = 0o600 | mode & stat.S_IXUSR
            file = os.open(name, _NEW_FILE, bits, dir_fd=self._enter(parent))
        try:
            written = 0
            for piece in pieces:  # what reading raises is the reader's
                digest.update(piece)
                with self._trouble("write into"):
                    written += _write(file, piece)
                self._watch(len(piece))
        finally:
            os.close(file)
        return UnpackedFile(path, mode, written, Digest(digest.hexdigest()))

    def _trouble(self, doing: str) -> "Trouble":
        return Trouble(f"cannot {doing} {self._name}")

    def _check_private(self) -> None:
        with self._trouble("look at"):
            found = os.fstat(self._top)
            inside = os.listdir(self._top)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
            raise StagingError(
                StagingFault.NOT_PRIVATE,
                f"{self._name} can be written by others",
                expected=f"a folder of user {os.geteuid()}, mode 0700",
                got=f"user {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o}",
            )
        if inside:
            raise StagingError(
                StagingFault.CHANGED, f"{self._name} is not empty", got=sorted(inside)[:5]
            )

    def _enter(self, path: str) -> int:
        """The descriptor of a folder, which is made with its parents if need be."""
        parts = path.split("/") if path else []
        same = 0
        while same < min(len(parts), len(self._chain)) and self._chain[same][0] == parts[same]:
            same += 1
        self._leave_to(same)
        at = self._chain[-1][1] if self._chain else self._top
        for count in range(same, len(parts)):
            below = "/".join(parts[: count + 1])
            if below not in self._made:
                os.mkdir(parts[count], 0o700, dir_fd=at)
                self._made.add(below)
            at = os.open(parts[count], _FOLDER, dir_fd=at)
            self._chain.append((parts[count], at))
        return at

    def _leave_to(self, count: int) -> None:
        while len(self._chain) > count:
            os.close(self._chain.pop()[1])


class Trouble:
    """A context manager that turns an OSError of its block into a StagingError.

    Args:
        message: what cannot be done.
    """

    def __init__(self, message: str) -> None:
        self._message = message

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            raise StagingError(
                _fault(error),
                f"{self._message}: {error.strerror or error}",
                hint="look at the disk and at who else writes there",
            ) from error


def _fault(error: OSError) -> StagingFault:
    if error.errno in _FULL:
        return StagingFault.DISK_FULL
    if error.errno in _DENIED:
        return StagingFault.DENIED
    if error.errno in {errno.EEXIST, errno.ELOOP, errno.ENOTDIR, errno.ENOENT}:
        return StagingFault.CHANGED
    return StagingFault.BROKEN


def _write(file: int, piece: bytes | memoryview) -> int:
    left = memoryview(piece)
    while left:
        left = left[os.write(file, left) :]
    return len(piece)
