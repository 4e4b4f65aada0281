"""Keeps blobs in a directory: whole or not at all, under names that cannot lead out of it."""

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

_SCRATCH = ".incomplete"
_MOST_LEVELS = 8
_LONGEST = 200  # characters of one encoded name; file systems take 255 bytes
_SWEEP_SECONDS = 60.0
_ABANDONED_SECONDS = 3600.0  # an incomplete file of a killed process


class FileStorage:
    """A directory of blobs by key; `KeyError` for what is not there.

    Args:
        directory: made when it is missing.
        max_age_seconds: older blobs are removed; None keeps them.
        max_bytes: the oldest blobs are removed above this; None for no bound.
        durable: a blob has reached the disk when set() returns.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_age_seconds: "float | None" = None,
        max_bytes: "int | None" = None,
        durable: bool = False,
    ) -> None:
        self._directory = directory
        self._max_age = max_age_seconds
        self._max_bytes = max_bytes
        self._durable = durable
        self._written = 0
        self._swept = 0.0
        self._sweeping = threading.Lock()
        (directory / _SCRATCH).mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> bytes:
        """The blob of a key.

        Raises:
            KeyError: there is none.
        """
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise KeyError(key) from None

    def set(self, key: str, value: bytes) -> None:
        """Keep a blob; readers see the old one or the new one.

        Raises:
            OSError: the disk is full or not writable; nothing has changed.
        """
        path = self._path(key)
        descriptor, name = tempfile.mkstemp(dir=self._directory / _SCRATCH)
        incomplete = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(value)
                file.flush()
                if self._durable:
                    os.fsync(file.fileno())
            self._place(incomplete, path)
        except BaseException:
            incomplete.unlink(missing_ok=True)
            raise
        if self._durable:
            _sync_folder(path.parent)
        self._sweep(len(value))

    def delete(self, key: str) -> None:
        """Forget a blob; one that is not there is forgotten already."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self._path(key).unlink()

    def _place(self, incomplete: Path, path: Path) -> None:
        # A sweep may remove the empty folder, or one above it, at any moment: before the move,
        # between the folders that mkdir makes, and before mkdir looks at what is there already.
        for attempt in range(10):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                incomplete.replace(path)
            except (FileNotFoundError, FileExistsError):
                if attempt == 9 or not incomplete.exists():  # noqa: PLR2004 - the last attempt
                    raise
            else:
                return

    def _path(self, key: str) -> Path:
        parts = [_file_name(part) for part in key.split("/")]
        if len(parts) > _MOST_LEVELS or "\x00" in key:
            raise KeyError(key)
        return self._directory.joinpath(*parts)

    def _sweep(self, written: int) -> None:
        """Remove what is too old or too much, at most once a minute or for each half filling."""
        self._written += written
        much = self._max_bytes is not None and self._written > self._max_bytes // 2
        if self._max_age is None and self._max_bytes is None:
            return
        if not much and time.monotonic() - self._swept < min(_SWEEP_SECONDS, self._max_age or 60):
            return
        if self._sweeping.acquire(blocking=False):
            try:
                self._swept, self._written = time.monotonic(), 0
                self.sweep()
            finally:
                self._sweeping.release()

    def sweep(self) -> None:
        """Remove what is too old, the oldest of what is too much, and what killed writers left."""
        now = time.time()
        for path, state in _files(self._directory / _SCRATCH):
            if now - state.st_mtime > _ABANDONED_SECONDS:
                path.unlink(missing_ok=True)
        kept = sorted(_files(self._directory), key=lambda item: item[1].st_mtime)
        total = sum(state.st_size for _, state in kept)
        for path, state in kept:
            old = self._max_age is not None and now - state.st_mtime > self._max_age
            much = self._max_bytes is not None and total > self._max_bytes
            if old or much:
                path.unlink(missing_ok=True)
                total -= state.st_size
                self._remove_empty(path.parent)

    def _remove_empty(self, folder: Path) -> None:
        with contextlib.suppress(OSError):  # not empty, or another sweep was first
            while folder != self._directory:
                folder.rmdir()
                folder = folder.parent


def _file_name(part: str) -> str:
    """One part of a key as a file name: nothing of it is special to a file system."""
    try:
        name = quote(part, safe="").replace("~", "%7E")
    except UnicodeEncodeError:
        raise KeyError(part) from None
    if not name or len(name) > _LONGEST:
        raise KeyError(part)
    return f"%2E{name[1:]}" if name.startswith(".") else name


def _files(directory: Path) -> "Iterator[tuple[Path, os.stat_result]]":
    for folder, folders, names in os.walk(directory):
        if _SCRATCH in folders:
            folders.remove(_SCRATCH)
        for name in names:
            path = Path(folder, name)
            with contextlib.suppress(FileNotFoundError):
                yield path, path.stat()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
