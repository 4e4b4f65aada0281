"""The store: immutable blobs named by their sha256, beside traces, roots and unpacked trees.

Layout, version 1, below one folder (docs/reference/store.md):

    version  lock  blobs/sha256/<hex>  traces/<hh>/<hex>  received/<hh>/<hex>  roots/<hex>
    trees/<hex>/  quarantine/  temporary/

The blobs are laid out as in an OCI image layout (image-layout.md, section "Blobs"). What removes
blobs is in `collect`, what checks all of them in `verify`.
"""

import contextlib
import functools
import hashlib
import io
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hps.digest import Blob, Digest
from hps.errors import (
    BlobMissingError,
    IntegrityError,
    StoreCorruptError,
    StoreError,
    UsageError,
)
from hps.store import locking
from hps.store.filesystem import PIECE, Filesystem, explain
from hps.store.layout import FOLDERS, VERSION, check_layout
from hps.store.roots import Roots
from hps.store.traces import Traces
from hps.store.workspace import Workspace
from hps.store.writer import BlobWriter

_HEX = re.compile(r"[0-9a-f]{64}")
# What tells whether a file is still the one that was hashed.
_Identity = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Stored:
    """A blob as the disk has it: not hashed, so size and digest may disagree.

    Args:
        blob: the digest is the file's name.
        modified: when it was last written, in seconds since 1970.
    """

    blob: Blob
    modified: float


class Store:
    """A store of blobs below one folder. Making a Store writes nothing; the first write does.

    Safe to use from several threads and processes at once. Bytes are read only after they have
    been hashed once in this process; damaged ones are set aside in `quarantine/`.

    Args:
        root: of the store; need not exist.
        filesystem: the effects on the disk.

    Raises:
        StoreError: the folder holds a newer layout, or something that is not a store.
    """

    def __init__(self, root: Path, filesystem: Filesystem | None = None) -> None:
        self.root = root.absolute()
        self.filesystem = filesystem or Filesystem()
        self.blobs = self.root / "blobs" / "sha256"
        self.trees = self.root / "trees"
        self.quarantine = self.root / "quarantine"
        prepare = functools.partial(_prepare, self.root)
        self.workspace = Workspace(self.root / "temporary", self.filesystem, prepare)
        self.traces = Traces(self.root / "traces", self.workspace)
        self.received = Traces(self.root / "received", self.workspace)  # what others say
        self.roots = Roots(self.root / "roots", self.workspace)
        self._verified: dict[Digest, _Identity] = {}
        check_layout(self.root)

    def session(
        self, on_wait: Callable[[], None] | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """Keep collections out while the block runs; every build runs in one.

        Args:
            on_wait: called when a collection is under way and has to be waited for.
        """
        if not (self.root / "version").exists():
            self.workspace.begin()
        return locking.shared(self.root / "lock", on_wait=on_wait)

    def has(self, digest: Digest) -> bool:
        """Whether there is a blob of this name; reads none of it."""
        try:
            return stat.S_ISREG(self._location(digest).lstat().st_mode)
        except OSError:
            return False

    def size(self, digest: Digest) -> int:
        """Bytes of a blob, as the disk says; reads none of it.

        Raises:
            BlobMissingError: there is none.
        """
        if not self.has(digest):
            raise _missing(digest)
        return self._location(digest).lstat().st_size

    def path(self, digest: Digest) -> Path:
        """Where a blob is, once it has been hashed in this process.

        Raises:
            BlobMissingError: there is none.
            StoreCorruptError: its bytes are not what its name says; it has been set aside.
        """
        self.open(digest).close()
        return self._location(digest)

    def path_unread(self, digest: Digest) -> Path:
        """Where a blob is, without hashing it: for hard links, whose reader verifies the bytes.

        Raises:
            BlobMissingError: there is none.
        """
        if not self.has(digest):
            raise _missing(digest)
        return self._location(digest)

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading, once it has been hashed; raises as `path` does."""
        file = self._open(digest)
        try:
            if self._verified.get(digest) != _identity(os.fstat(file.fileno())):
                self._verify(digest, file)
        except BaseException:
            file.close()
            raise
        return file

    def read(self, digest: Digest, limit: int) -> bytes:
        """All bytes of a small blob; raises as `path` does.

        Raises:
            IntegrityError: it has more than `limit` bytes.
        """
        with self.open(digest) as file:
            if (size := os.fstat(file.fileno()).st_size) > limit:
                raise IntegrityError(
                    f"the blob {digest} is too large for what it should be",
                    expected=f"at most {limit} bytes",
                    got=f"{size} bytes",
                )
            return file.read()

    def check(self, digest: Digest, progress: Callable[[int], None] | None = None) -> int:
        """Hash a blob again, whatever was known, and give its size; raises as `path` does.

        Args:
            digest: of the blob.
            progress: called with the number of bytes after each piece.
        """
        with self._open(digest) as file:
            self._verify(digest, file, progress)
            return os.fstat(file.fileno()).st_size

    def add(self, data: bytes) -> Blob:
        """Keep bytes; those that are there already, and whole, are not written again.

        Raises:
            StoreError: the store cannot be written.
        """
        digest = Digest.of(data)
        with contextlib.suppress(StoreCorruptError):  # damaged or missing: written below
            self.open(digest).close()
            return Blob(digest, len(data))
        with self.writer() as writer:
            writer.write(data)
            return writer.commit(digest)

    def add_file(self, path: Path, expected: Digest | None = None) -> Blob:
        """Keep a copy of a file.

        Raises:
            UsageError: the file cannot be read.
            IntegrityError: its digest is not the expected one.
            StoreError: the store cannot be written.
        """
        try:
            source = path.open("rb", buffering=0)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        with source, self.writer() as writer:
            while piece := _read(source, path):
                writer.write(piece)
            return writer.commit(expected)

    def writer(self) -> BlobWriter:
        """Write a blob piece by piece; see `BlobWriter`."""
        return BlobWriter(self.workspace, self._keep)

    def tree(self, digest: Digest) -> Path | None:
        """The unpacked tree of this name, if there is one. Trees are not hashed again."""
        path = self.trees / digest.hex
        return path if path.is_dir() else None

    @contextlib.contextmanager
    def new_tree(self, digest: Digest) -> Iterator[Path]:
        """Give an empty directory that becomes the tree of this name when the block succeeds.

        When somebody else was first, theirs stays: both are made from the same digest.

        Raises:
            StoreError: the store cannot be written.
        """
        path = self.workspace.new_path()
        self.filesystem.make_directory(path)
        try:
            yield path
            # Files of a tree are not synced one by one, and a tree is never hashed again: all of
            # it must be on the disk before its name is.
            self.filesystem.sync_everything(path)
            if self.filesystem.rename_tree(path, self.trees / digest.hex):
                self.filesystem.sync_directory(self.trees)
        finally:
            if path.exists():
                self.filesystem.remove_tree(path)

    def hold_tree(self, digest: Digest) -> contextlib.AbstractContextManager[None]:
        """Keep a tree from being collected while the block runs, outside of sessions too.

        Begin it in the session that found the tree. A store that may only be read holds nothing.
        """
        return locking.shared(self.tree_lock(digest))

    def tree_lock(self, digest: Digest) -> Path:
        """What is locked by those who hold a tree; made by the first of them."""
        return self.trees / f"{digest.hex}.lock"

    def list_blobs(self) -> Iterator[Stored]:
        """Every blob by name, in no order; other files in the folder are left out."""
        for name, status in _scan(self.blobs):
            if _HEX.fullmatch(name) and stat.S_ISREG(status.st_mode):
                yield Stored(Blob(Digest(name), status.st_size), status.st_mtime)

    def list_trees(self) -> Iterator[Digest]:
        """Every whole tree by name, in no order."""
        for name, status in _scan(self.trees):
            if _HEX.fullmatch(name) and stat.S_ISDIR(status.st_mode):
                yield Digest(name)

    def _location(self, digest: Digest) -> Path:
        return self.blobs / digest.hex

    def _open(self, digest: Digest) -> io.BufferedReader:
        path = self._location(digest)
        try:
            # A name may have become a link or a pipe: neither is followed or waited for.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise _missing(digest) from error
        except OSError as error:
            if path.is_symlink():
                raise self._set_aside(digest, path.lstat(), "a symbolic link") from error
            raise explain(error, "read", path) from error
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise self._set_aside(digest, status, "something that is not a file")
        return os.fdopen(descriptor, "rb")

    def _verify(
        self,
        digest: Digest,
        file: io.BufferedReader,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Hash an open blob, remember that it is whole, and go back to its start."""
        self._verified.pop(digest, None)
        status = os.fstat(file.fileno())
        hasher = hashlib.sha256()
        buffer = memoryview(bytearray(min(PIECE, status.st_size + 1)))
        try:
            while count := file.readinto(buffer):
                hasher.update(buffer[:count])
                if progress is not None:
                    progress(count)
            file.seek(0)
        except OSError as error:
            raise explain(error, "read", self._location(digest)) from error
        if hasher.hexdigest() != digest.hex:
            got = f"sha256:{hasher.hexdigest()}, {status.st_size} bytes"
            raise self._set_aside(digest, status, got)
        self._verified[digest] = _identity(status)

    def _set_aside(self, digest: Digest, status: os.stat_result, got: str) -> StoreCorruptError:
        """Move a damaged blob out of the way, unless somebody has just replaced it."""
        path = self._location(digest)
        details: tuple[str, ...] = ()
        try:
            now = path.lstat()
            if (now.st_dev, now.st_ino) == (status.st_dev, status.st_ino):
                self.filesystem.make_directory(self.quarantine)
                aside = self.quarantine / f"{digest.hex}-{status.st_ino}-{status.st_mtime_ns}"
                self.filesystem.rename(path, aside)
                details = (f"set aside as {aside}",)
        except (OSError, StoreError) as error:  # read-only: refused all the same
            details = (f"it could not be set aside: {error.args[-1]}",)
        return StoreCorruptError(
            f"the blob {digest} in the store is damaged",
            expected=digest,
            got=got,
            details=details,
            hint="`hps build` fetches or makes it again; look at the disk if this comes back",
        )

    def _keep(self, file: BinaryIO, digest: Digest) -> None:
        path = self._location(digest)
        self.workspace.publish_file(file, path)
        with contextlib.suppress(OSError):  # then it is hashed when it is read
            self._verified[digest] = _identity(path.lstat())  # hashed on its way here


def _prepare(root: Path, workspace: Workspace) -> None:
    """Make the folders; safe when many do it at once and when it is cut short anywhere."""
    check_layout(root)
    for folder in FOLDERS:
        workspace.filesystem.make_directory(root / folder)
    workspace.filesystem.touch(root / "lock")  # so that who may only read can hold it
    if not (version := root / "version").exists():
        workspace.publish(f"{VERSION}\n".encode(), version)


def _scan(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                    yield entry.name, entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return  # a store that nobody has written yet
    except OSError as error:
        raise explain(error, "read", folder) from error


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _missing(digest: Digest) -> BlobMissingError:
    return BlobMissingError(
        f"the store has no blob {digest}",
        hint="`hps build` fetches or makes it again; with --offline it must be there before",
    )


def _read(source: BinaryIO, path: Path) -> bytes:
    try:
        return source.read(PIECE)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
