"""Folders of this machine, also mounted ones."""

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hps.monitor.source import Found, SourceError, Trouble
from hps.monitor.sources.local import LocalPlace, LocalSource
from hps.publish.content import Content, Sent
from hps.publish.destination import look_by

_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_MODE = 0o644  # whoever serves models is seldom who publishes them


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """See `hps.publish.destination.Folder`; a rename replaces (rename(2))."""

    folder: Path

    @property
    def name(self) -> str:
        """See `Folder`."""
        return str(self.folder)

    def source(self, name: str) -> LocalSource:
        """See `Folder`."""
        return LocalSource(LocalPlace(folder=self.folder, model=name, donefile=name))

    def look(self, name: str) -> Found | None:
        """See `Folder`."""
        return look_by(self.source(name))

    def renames(self) -> bool:
        """See `Folder`."""
        return True

    def send(self, name: str, content: Content, sent: Sent) -> None:
        """See `Folder`; on the disk when this returns."""
        path = self.folder / name
        with _explained(path), path.open("wb") as file, content.open(sent=sent) as pieces:
            os.fchmod(file.fileno(), _MODE)
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, name: str, new: str) -> None:
        """See `Folder`; on the disk when this returns."""
        with _explained(self.folder / new):
            (self.folder / name).replace(self.folder / new)
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def remove(self, name: str) -> None:
        """See `Folder`."""
        with _explained(self.folder / name):
            (self.folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """See `Folder`."""


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceError(Trouble.MISSING, f"there is no {path}, or no folder for it") from error
    except OSError as error:
        kind = Trouble.REFUSED if error.errno in _REFUSED else Trouble.UNUSABLE
        raise SourceError(kind, f"cannot write {path}: {error.strerror or error}") from error
