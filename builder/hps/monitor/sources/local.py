"""Folders of this machine (also mounted ones) as a place of models.

Every folder and file below the model's own is opened by descriptors and never through a link
(open(2), O_NOFOLLOW); the way to the model itself may be one, as in `current -> v7`.
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hps.monitor.look import agree, too_large
from hps.monitor.source import (
    PIECE,
    Caps,
    Donefile,
    Found,
    Reading,
    SourceError,
    Trouble,
    no_regular_file,
)

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO is refused and not waited for
# The clock of files steps by a tick of the kernel, at most 10 ms (time(7), "The software clock").
_TICK = 0.01
_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPlace:
    """Where a model is published on this machine.

    Args:
        folder: of both.
        model: name of the packed model or of the model's folder, below `folder`.
        donefile: name likewise.
        packed: the model is one file.
    """

    folder: Path
    model: str
    donefile: str
    packed: bool = True


class LocalSource:
    """See `hps.monitor.source.Source`.

    Reading does not wait for a network, so `Patience` has no part in it; a network file system
    that hangs is ended by nobody but its own mount options.
    """

    def __init__(self, place: LocalPlace, caps: Caps | None = None) -> None:
        self._place = place
        self._caps = caps or Caps()
        self._model = place.folder / place.model
        self._closed = False

    @property
    def name(self) -> str:
        """See `Source`."""
        return str(self._model)

    def close(self) -> None:
        """See `Source`."""
        self._closed = True

    def donefile(self) -> Donefile | None:
        """See `Source`."""
        self._check()
        path = self._place.folder / self._place.donefile
        with _explained(path):
            try:
                descriptor = os.open(path, _FILE)
            except (FileNotFoundError, NotADirectoryError):
                return None
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                before = _found("", descriptor, path)
                content = b""
                while piece := file.read(self._caps.donefile - len(content)):
                    content += piece
                _compare(before, _found("", descriptor, path), path)
                return Donefile(before, content)

    def model(self) -> tuple[Found, ...]:
        """See `Source`."""
        self._check()
        with _explained(self._model):
            if self._place.packed:
                with _opened(self._model) as descriptor:
                    return (_found("", descriptor, self._model),)
            top = os.open(self._model, _FOLDER)
            try:
                found = sorted(self._walk(top), key=lambda each: os.fsencode(each.path))
            finally:
                os.close(top)
        if not found:
            raise SourceError(Trouble.MISSING, f"there is no file in {self.name}")
        return tuple(found)

    @contextlib.contextmanager
    def read(self, found: Found, offset: int = 0) -> Iterator[Reading]:
        """See `Source`."""
        self._check()
        path = self._model / found.path
        with contextlib.ExitStack() as stack:
            with _explained(path):
                descriptor = stack.enter_context(self._file(found.path))
                now = _found(found.path, descriptor, path)
                start = offset if agree(found, now) and offset <= (now.size or 0) else 0
                os.lseek(descriptor, start, os.SEEK_SET)
            if now.size is not None and now.size > self._caps.bytes:
                raise too_large("bytes", self._caps.bytes, now.size)
            yield Reading(start, now, self._pieces(descriptor, now, path, start))

    def _pieces(self, descriptor: int, found: Found, path: Path, start: int) -> Iterator[bytes]:
        held, size = start, found.size or 0
        while held < size:
            self._check()
            with _explained(path):
                piece = os.read(descriptor, min(PIECE, size - held))
            if not piece:
                break
            held += len(piece)
            yield piece
        with _explained(path):
            _compare(found, _found(found.path, descriptor, path), path)
        if held < size:  # where a network file system has the size of a moment ago
            raise SourceError(Trouble.TRUNCATED, f"{path} ended early")

    @contextlib.contextmanager
    def _file(self, path: str) -> Iterator[int]:
        """Open a file of the model, entering one folder after the other."""
        if self._place.packed:
            with _opened(self._model) as descriptor:
                yield descriptor
            return
        *folders, name = path.split("/")
        with contextlib.ExitStack() as stack:
            at = os.open(self._model, _FOLDER)
            stack.callback(os.close, at)
            for each in folders:
                at = os.open(each, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
                stack.callback(os.close, at)
            descriptor = os.open(name, _FILE | os.O_NOFOLLOW, dir_fd=at)
            stack.callback(os.close, descriptor)
            yield descriptor

    def _walk(self, top: int) -> Iterator[Found]:
        """All files below a folder, one folder open at a time beside those above it."""
        waiting: list[str] = [""]
        seen = 0
        while waiting:
            folder = waiting.pop()
            with _below(top, folder) as descriptor:
                for name, state in _entries(descriptor):
                    self._check()
                    seen += 1
                    if seen > self._caps.files:
                        cap = self._caps.files
                        raise too_large("files and folders", cap, f"{seen} and more")
                    path = f"{folder}{name}"
                    if stat.S_ISREG(state.st_mode):
                        yield _from_state(path, state)
                    elif not stat.S_ISDIR(state.st_mode):
                        raise no_regular_file(str(self._model / path))
                    elif path.count("/") >= self._caps.depth:
                        raise too_large("folders below each other", self._caps.depth, path[:200])
                    else:
                        waiting.append(f"{path}/")

    def _check(self) -> None:
        if self._closed:
            raise SourceError(Trouble.UNREACHABLE, f"{self.name} was closed")


def _entries(descriptor: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(descriptor) as entries:
        for entry in entries:
            try:
                state = os.stat(entry.name, dir_fd=descriptor, follow_symlinks=False)
            except FileNotFoundError as error:
                raise SourceError(
                    Trouble.CHANGED, f"{entry.name!r} went away while its folder was listed"
                ) from error
            yield entry.name, state


@contextlib.contextmanager
def _below(top: int, folder: str) -> Iterator[int]:
    descriptor = os.dup(top)
    try:
        for name in folder.split("/")[:-1]:
            inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, _FILE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _found(path: str, descriptor: int, place: Path) -> Found:
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        raise no_regular_file(str(place))
    return _from_state(path, state)


def _from_state(path: str, state: os.stat_result) -> Found:
    """What the file system says of a file.

    The time of the last change of the inode belongs to its identity: unlike the time of
    modification it cannot be set back (inode(7), "ctime").
    """
    seconds, rest = divmod(state.st_mtime_ns, _NANO)
    tokens = {
        "id": f"{state.st_ino}.{state.st_ctime_ns}",
        "modified": f"{seconds}.{rest:09}",
    }
    age = time.time() - state.st_ctime_ns / _NANO
    return Found(path, state.st_size, tokens, resolution=_TICK, age=age)


def _compare(before: Found, after: Found, path: Path) -> None:
    if not agree(before, after):
        raise SourceError(Trouble.CHANGED, f"{path} changed while it was read")


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the operating system says into an error of sources."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceError(Trouble.MISSING, f"there is no {path}") from error
    except PermissionError as error:
        raise SourceError(
            Trouble.REFUSED,
            f"{path} may not be read",
            hint="let the user of the monitor read it",
        ) from error
    except OSError as error:
        kind = Trouble.MALFORMED if error.errno == errno.ELOOP else Trouble.UNREACHABLE
        raise SourceError(kind, f"cannot read {path}: {error.strerror}") from error
