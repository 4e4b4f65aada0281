"""The files of one pull on the disk, made and opened by directory descriptors only.

Nothing here follows a link, and nothing that was not made here is written to. A file that broke
off stays, with a note of what it was the beginning of.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from hashlib import sha256
from io import FileIO
from pathlib import Path

from hps.monitor.source import Found
from hps.store.filesystem import Filesystem
from hps.store.whole_file import replacing

PACKED = "packed"  # the file of a packed model, which has no path of its own
FILES = "files"  # the folder of all others
_NOTES = "begun"
_NOTED = 4 << 20  # bytes from which carrying on in another process is worth a note on the disk
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PROCESS = secrets.token_hex(8)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Begun:
    """What a file on the disk is the beginning of.

    Args:
        found: what the place said before the first byte was read.
        settled: whether its tokens could stand for other bytes later (`look.is_settled`).
    """

    found: Found
    settled: bool

    def is_beginning_of(self, found: Found) -> bool:
        """Whether the file may be carried on with what is found now."""
        one, other = self.found, found
        return self.settled and (one.path, one.size, one.tokens) == (
            other.path,
            other.size,
            other.tokens,
        )


class PullFolder:
    """A folder that one pull after another fills; for one thread and one process at a time.

    Args:
        folder: made if it is not there, for this user alone. Its parent is trusted.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begun: dict[str, Begun] = {}
        self._foreign: set[str] = set()  # begun by another process
        folder.mkdir(mode=0o700, exist_ok=True)

    def location(self, path: str) -> Path:
        """Where the file with this path of the model lies."""
        return self._folder / _inner(path)

    def free(self) -> int:
        """Bytes that may still be written to this disk by this user."""
        room = os.statvfs(self._folder)
        return room.f_bavail * room.f_frsize

    def size(self, path: str) -> int:
        """Bytes that are there of a file."""
        try:
            state = self.location(path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return 0
        return state.st_size if stat.S_ISREG(state.st_mode) else 0

    def keep_only(self, paths: Collection[str]) -> None:
        """Remove every file that is not one of these, and folders that then are empty."""
        kept = {_inner(path) for path in paths}
        kept |= {_note(path) for path in paths}
        for place, folders, files, descriptor in os.fwalk(
            self._folder, topdown=False, follow_symlinks=False
        ):
            inner = Path(place).relative_to(self._folder)
            for name in files:
                if str(inner / name) not in kept:
                    os.unlink(name, dir_fd=descriptor)
            for name in folders:
                _remove_folder(name, descriptor)

    @contextlib.contextmanager
    def open(self, path: str, *, keep: bool) -> Iterator[FileIO]:
        """Open a file for reading and writing, from its start.

        Args:
            path: of the model, checked before (`look.check_model`).
            keep: carry on with what is there; else, and where it is no plain file of this
                user with one name, the file is a new one.

        Raises:
            OSError: the disk.
        """
        *folders, name = _inner(path).split("/")
        with _within(self._folder, folders) as parent:
            descriptor = _reopen(name, parent) if keep else None
            if descriptor is None:
                descriptor = _renew(name, parent)
            elif path in self._foreign:
                descriptor = _copied(descriptor, name, parent)
            self._foreign.discard(path)
            # Unbuffered: pieces are large, and what a reader sees is what was written.
            with open(descriptor, "r+b", buffering=0) as file:  # noqa: PTH123 - a descriptor
                yield file

    def note(self, begun: Begun) -> None:
        """Remember what a file will be the beginning of; large ones for other processes too."""
        path, size = begun.found.path, begun.found.size
        self._begun[path] = begun
        file = self._folder / _note(path)
        # An older note would speak of bytes that are no longer there.
        file.unlink(missing_ok=True)
        if not begun.settled or (size is not None and size < _NOTED):
            return
        file.parent.mkdir(mode=0o700, exist_ok=True)
        with replacing(file) as out:
            out.write(_as_json(begun))

    def begun(self, path: str) -> Begun | None:
        """What was noted of a file, if it still holds.

        After a crash of the machine a file can have its length and not its bytes, so what
        another process noted counts only until the next boot.
        """
        known = self._begun.get(path)
        if known is not None:
            return known
        try:
            data = (self._folder / _note(path)).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        begun, process = _from_json(data, path)
        if begun is not None and process != _process():
            self._foreign.add(path)
        return begun

    def forget(self) -> None:
        """Remove all notes: these files are whole, and if they are wrong none is carried on."""
        self._begun.clear()
        for name in (self._folder / _NOTES).glob("*"):
            name.unlink()

    def make_last(self, paths: Collection[str]) -> None:
        """Bring the files to the disk (fsync(2)); many of them in one go (syncfs(2)).

        Raises:
            StoreError: the disk.
        """
        if len(paths) > 32:  # noqa: PLR2004 - from here on one call for all is the cheaper one
            Filesystem().sync_everything(self._folder)
            return
        for path in paths:
            with self.open(path, keep=True) as file:
                os.fsync(file.fileno())
        folders = {self.location(path).parent for path in paths}
        for folder in sorted({*folders, self._folder}):
            Filesystem().sync_directory(folder)


def _inner(path: str) -> str:
    return f"{FILES}/{path}" if path else PACKED


def _note(path: str) -> str:
    return f"{_NOTES}/{sha256(path.encode()).hexdigest()}.json"


def _as_json(begun: Begun) -> bytes:
    found = begun.found
    facts = {
        "path": found.path,
        "size": found.size,
        "tokens": dict(found.tokens),
        "boot": _boot(),
        "process": _process(),
    }
    return json.dumps(facts, sort_keys=True).encode()


def _from_json(data: bytes, path: str) -> tuple[Begun | None, str]:
    """What was noted, and by which process."""
    try:
        facts = json.loads(data)
        found = Found(str(facts["path"]), facts["size"], dict(facts["tokens"]))
        same = found.path == path and facts["boot"] == _boot() is not None
        process = str(facts["process"])
    except (ValueError, KeyError, TypeError):
        return None, ""  # a note that cannot be read is no note: the file comes from its start
    return (Begun(found, settled=True) if same else None), process


def _process() -> str:
    return f"{os.getpid()}-{_PROCESS}"


def _boot() -> str | None:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return None


@contextlib.contextmanager
def _within(top: Path, folders: list[str]) -> Iterator[int]:
    """The descriptor of a folder below `top`, made on the way, never through a link."""
    descriptor = os.open(top, _FOLDER)
    try:
        for name in folders:
            inner = _enter(name, descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _enter(name: str, parent: int) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
    return os.open(name, _FOLDER, dir_fd=parent)


def _reopen(name: str, parent: int) -> int | None:
    """The descriptor of a file that is there; None where it must not be written to."""
    try:
        descriptor = os.open(name, _OLD, dir_fd=parent)
    except OSError:
        return None
    state = os.fstat(descriptor)
    if stat.S_ISREG(state.st_mode) and state.st_nlink == 1 and state.st_uid == os.geteuid():
        return descriptor
    os.close(descriptor)
    return None


def _renew(name: str, parent: int) -> int:
    """The descriptor of a new file, in the place of whatever has this name."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=parent)
    return os.open(name, _NEW, 0o600, dir_fd=parent)


def _copied(descriptor: int, name: str, parent: int) -> int:
    """The same bytes in a file of our own.

    The process that began it may have lost this model while it slept, and not know it yet: it
    would go on to write into what has been verified meanwhile, and is live.
    """
    with open(descriptor, "rb", buffering=0) as old:
        own = _renew(name, parent)
        with open(own, "wb", closefd=False) as new:
            shutil.copyfileobj(old, new, 1 << 20)
        os.lseek(own, 0, os.SEEK_SET)
    return own


def _remove_folder(name: str, parent: int) -> None:
    try:
        os.rmdir(name, dir_fd=parent)
    except NotADirectoryError:
        os.unlink(name, dir_fd=parent)  # a link to a folder
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
