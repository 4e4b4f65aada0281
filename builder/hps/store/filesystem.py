"""The effects of the store on a disk: each change is one method, so that tests can stop at each.

Decides nothing about what is written where. Every failure leaves here as a StoreError that says
how much space is free and what to do next.
"""

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from hps.errors import StoreError

PIECE = 1 << 20  # bytes per read and write: large enough for the disk, small enough for memory

_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_HINTS = {
    errno.EROFS: "make the file system writable, or name another store with HPS_STORE",
    errno.EACCES: "run as the owner of the store, or name another store with HPS_STORE",
    errno.EPERM: "run as the owner of the store, or name another store with HPS_STORE",
}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def explain(error: OSError, doing: str, path: Path) -> StoreError:
    """Say what the operating system refused, with the free space and what to do next."""
    hint = _HINTS.get(error.errno or 0, "look at the disk; HPS_STORE names another store")
    if error.errno in _FULL:
        hint = "`hps store collect` frees what no project needs; HPS_STORE names another disk"
    return StoreError(
        f"cannot {doing} {path}: {error.strerror or error}", got=free_space(path), hint=hint
    )


def may_only_read(error: StoreError) -> bool:
    """Whether an error of `explain` means that nothing may be written there: no right, no way."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _READ_ONLY


def free_space(path: Path) -> str:
    """How much room is left where `path` is or would be, for people."""
    for place in (path, *path.parents):
        try:
            room = os.statvfs(place)
        except OSError:
            continue  # not made yet: its parent is on the same disk
        free = room.f_bavail * room.f_frsize
        return f"{free} bytes free of {room.f_blocks * room.f_frsize}"
    return "free space unknown"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last (fsync(2), Notes); raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Filesystem:
    """The real disk.

    The order that makes a rename safe against power loss is the caller's: write, `seal`,
    `rename`, `sync_directory` (rename(2) is atomic for other processes, fsync(2) makes it last).
    """

    def make_directory(self, path: Path) -> None:
        """Make a directory and its parents; one that exists is fine."""
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain(error, "make the directory", path) from error

    def touch(self, path: Path) -> None:
        """Make an empty file that all may lock; one that exists is left as it is."""
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
        except OSError as error:
            raise explain(error, "make", path) from error

    def create(self, path: Path) -> BinaryIO:
        """Open a new file for writing; an existing one is an error."""
        try:
            return path.open("xb", buffering=PIECE)
        except OSError as error:
            raise explain(error, "make", path) from error

    def write(self, file: BinaryIO, data: bytes) -> None:
        """Append to a file of `create`."""
        try:
            file.write(data)
        except OSError as error:
            raise explain(error, "write", Path(file.name)) from error

    def seal(self, file: BinaryIO) -> None:
        """Make what was written last, and read-only, and close the file."""
        try:
            with file:
                file.flush()
                os.fchmod(file.fileno(), 0o444)  # whatever the umask is
                os.fsync(file.fileno())
        except OSError as error:
            raise explain(error, "write", Path(file.name)) from error

    def abandon(self, file: BinaryIO) -> None:
        """Close and remove a file that nobody needs any more; never raises for the disk."""
        with contextlib.suppress(OSError):  # the buffer may not fit on a full disk: as good as gone
            file.close()
        with contextlib.suppress(OSError):  # what stays is removed when this process is dead
            Path(file.name).unlink(missing_ok=True)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file its final name, over whatever has that name."""
        try:
            old.replace(new)
        except OSError as error:
            raise explain(error, "write", new) from error

    def rename_tree(self, old: Path, new: Path) -> bool:
        """Give a directory its final name; False when a directory with content has it already."""
        try:
            old.rename(new)
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                return False
            raise explain(error, "write", new) from error
        return True

    def sync_directory(self, path: Path) -> None:
        """Make the names in a directory last."""
        try:
            sync_folder(path)
        except OSError as error:
            raise explain(error, "write", path) from error

    def sync_everything(self, path: Path) -> None:
        """Make all writes to the file system of `path` last: for trees of many small files."""
        # Lazy: only trees need it, and Python has no syncfs(2) of its own.
        import ctypes  # noqa: PLC0415

        library = ctypes.CDLL(None, use_errno=True)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                if library.syncfs(descriptor) != 0:
                    code = ctypes.get_errno()
                    raise OSError(code, os.strerror(code))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise explain(error, "write", path) from error

    def remove(self, path: Path) -> None:
        """Remove a file; one that is gone is fine."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise explain(error, "remove", path) from error

    def remove_tree(self, path: Path) -> None:
        """Remove a directory with all below it, also where the modes forbid it; gone is fine."""
        try:
            _remove_tree(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise explain(error, "remove", path) from error


def _remove_tree(top: Path) -> None:
    """As shutil.rmtree, but for any depth, and for directories that keep even their owner out."""
    if not stat.S_ISDIR(top.lstat().st_mode):  # a link would lead out of the store
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    waiting, emptied = [top], []
    while waiting:
        folder = waiting.pop()
        emptied.append(folder)
        mode = stat.S_IMODE(folder.lstat().st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            folder.chmod(mode | stat.S_IRWXU)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                else:
                    Path(entry.path).unlink()
    for folder in reversed(emptied):
        folder.rmdir()
