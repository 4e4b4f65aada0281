"""Files that only their owner may read or change, and that appear whole or not at all."""

import os
import stat
from pathlib import Path

from hps.errors import KeyUnusableError

_LARGEST = 64 << 10  # bytes; a private key has a few hundred, a description less than 4096


def read_private(path: Path) -> bytes:
    """What a file holds that nobody but this user can read or change.

    Everything is asked of the file that was opened, not of its name: a name may be given to
    another file in between.

    Raises:
        FileNotFoundError: there is no such file.
        KeyUnusableError: it is a link or no plain file, of another user, open to others, or too
            large.
    """
    return _read(path, stat.S_IRWXG | stat.S_IRWXO)


def read_unchanged(path: Path) -> bytes:
    """As `read_private`, for a file that others may read but not change."""
    return _read(path, stat.S_IWGRP | stat.S_IWOTH)


def check_folder(folder: Path) -> None:
    """Make sure that nobody else can give names in a folder to files of their own.

    Raises:
        FileNotFoundError: there is no such folder.
        KeyUnusableError: it is none, belongs to another user, or others may write into it.
    """
    try:
        found = folder.stat()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise KeyUnusableError(f"the folder {folder} cannot be used: {error}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise KeyUnusableError(f"{folder} is not a folder")
    if found.st_uid not in (os.geteuid(), 0):
        raise KeyUnusableError(
            f"the folder of keys {folder} belongs to another user",
            expected=f"user {os.geteuid()}",
            got=f"user {found.st_uid}",
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KeyUnusableError(
            f"others may write into the folder of keys {folder}",
            expected="mode 0700",
            got=f"mode {stat.S_IMODE(found.st_mode):04o}",
            hint=f"chmod 700 {folder}, and think about who has been there",
        )


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that must not exist, whatever the umask is, so that it outlasts a power cut.

    Raises:
        FileExistsError: there is one.
        OSError: it cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def _read(path: Path, forbidden: int) -> bytes:
    # O_NONBLOCK: opening a FIFO would wait for a writer, before it can be seen to be one.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        link = " (links are not followed)" if path.is_symlink() else ""
        raise KeyUnusableError(f"{path} cannot be read: {error}{link}") from error
    try:
        _check(path, os.fstat(descriptor), forbidden)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(_LARGEST + 1)
    finally:
        os.close(descriptor)
    if len(data) > _LARGEST:
        raise KeyUnusableError(f"{path} is too large", expected=f"at most {_LARGEST} bytes")
    return data


def _check(path: Path, found: os.stat_result, forbidden: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise KeyUnusableError(f"{path} is not a plain file")
    if found.st_uid != os.geteuid():
        raise KeyUnusableError(
            f"{path} belongs to another user",
            expected=f"user {os.geteuid()}",
            got=f"user {found.st_uid}",
        )
    if found.st_mode & forbidden:
        private = bool(forbidden & stat.S_IRGRP)
        raise KeyUnusableError(
            f"others may {'read or change' if private else 'change'} {path}",
            expected="mode 0600" if private else "mode 0644 or less",
            got=f"mode {stat.S_IMODE(found.st_mode):04o}",
            hint=f"chmod {'600' if private else 'go-w'} {path}; if others could "
            "reach it for long, make a new key",
        )
