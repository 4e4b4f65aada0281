"""The place for unfinished files: one folder per living writer, removed when the writer is dead.

A writer holds a lock on `temporary/<name>.lock` for as long as it lives. Whoever prepares to
write takes the locks that can be taken, and removes what belonged to them: no age, no process
number, so neither a slow writer nor a reused number is mistaken for a dead one.
"""

import contextlib
import itertools
import os
import secrets
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from hps.errors import StoreError
from hps.store import locking
from hps.store.filesystem import Filesystem, explain
from hps.store.orphans import kill_orphans


class Workspace:
    """Unfinished files of this process below one folder.

    Args:
        root: `temporary/` of the store, on the same file system as all that is published.
        filesystem: the effects.
        prepare: called with this workspace before the first write, may publish through it; makes
            the folders of the store. Must not refer to whoever holds the workspace: that would
            be a cycle, and its files would go at some later time.
    """

    def __init__(
        self, root: Path, filesystem: Filesystem, prepare: Callable[["Workspace"], None]
    ) -> None:
        self.filesystem = filesystem
        self._root = root
        self._prepare = prepare
        self._numbers = itertools.count()
        self._guard = threading.RLock()  # `prepare` publishes through this workspace
        self._own: Path | None = None
        self._process = 0

    def new_path(self) -> Path:
        """A path that nothing has yet and nobody else gets; makes the store when needed."""
        return self.begin() / str(next(self._numbers))

    def begin(self) -> Path:
        """The folder of this process; made, and the store with it, when there is none yet."""
        with self._guard:
            # After a fork the folder is the parent's, and goes away when the parent ends.
            if self._own is None or self._process != os.getpid():
                self.filesystem.make_directory(self._root)
                remove_stale(self._root, self.filesystem)
                self._own, self._process = self._claim(), os.getpid()
                try:
                    self._prepare(self)
                except BaseException:
                    self._own = None
                    raise
            return self._own

    def create(self) -> BinaryIO:
        """A new file, to be given to `publish_file` or to `Filesystem.abandon`."""
        return self.filesystem.create(self.new_path())

    def publish_file(self, file: BinaryIO, destination: Path) -> None:
        """Make a written file appear whole under its final name, also through a power loss."""
        self.filesystem.seal(file)
        self.filesystem.rename(Path(file.name), destination)
        self.filesystem.sync_directory(destination.parent)

    def publish(self, data: bytes, destination: Path) -> None:
        """Make bytes appear whole under a name, over whatever had it; nothing else is left."""
        file = self.create()
        try:
            self.filesystem.write(file, data)
            self.publish_file(file, destination)
        finally:
            self.filesystem.abandon(file)

    def _claim(self) -> Path:
        while True:
            own = self._root / f"{os.getpid()}-{secrets.token_hex(6)}"
            lock = _lock_of(own)
            # Until it is locked, a cleaner may take it for a dead writer's and remove it.
            self.filesystem.touch(lock)
            try:
                descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise explain(error, "lock", lock) from error
            if locking.try_lock(descriptor, lock) and os.fstat(descriptor).st_nlink:
                break
            os.close(descriptor)
        weakref.finalize(self, _release, own, descriptor, os.getpid(), self.filesystem)
        self.filesystem.make_directory(own)
        return own


def remove_stale(root: Path, filesystem: Filesystem) -> None:
    """Remove the folders of dead writers; what belongs to another user stays."""
    for path in _list(root):
        lock = path if path.suffix == ".lock" else _lock_of(path)
        folder = lock.with_suffix("")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            # The lock comes before the folder and goes after it: no lock, no living writer.
            with contextlib.suppress(StoreError):
                filesystem.remove_tree(folder)
            continue
        except OSError:
            continue  # another user's, who removes it
        try:
            if locking.try_lock(descriptor, lock):
                kill_orphans(folder)
                with contextlib.suppress(StoreError):
                    filesystem.remove_tree(folder)
                    filesystem.remove(lock)
        finally:
            os.close(descriptor)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".lock")


def _list(root: Path) -> list[Path]:
    try:
        return sorted(root.iterdir())
    except OSError:
        return []  # no store yet, or one that is only read


def _release(own: Path, descriptor: int, process: int, filesystem: Filesystem) -> None:
    if process == os.getpid():  # a forked child leaves its parent's folder alone
        with contextlib.suppress(StoreError):  # the next writer removes it
            filesystem.remove_tree(own)
            filesystem.remove(_lock_of(own))
    os.close(descriptor)
