"""Reading an unpacked root file system without ever leaving it."""

import os
import posixpath
import stat
from pathlib import Path

from hps.layer.path_resolution import Nothing, resolve


class ImageRoot:
    """The files of an image, by the paths that a process inside would use.

    Links are followed as chroot(2) would: an absolute target starts at the image's own root.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def resolve(self, path: str) -> str | None:
        """The path without links, relative to the root; None when nothing is there.

        Raises:
            UnsafeArchiveError: the links go in circles.
        """
        return resolve(path, self._target)

    def exists(self, path: str) -> bool:
        """Whether something is there, links followed."""
        return self.resolve(path) is not None

    def holds(self, path: str) -> bool:
        """Whether this very name is there, be it a link to nothing."""
        folder = self.resolve(posixpath.dirname(path))
        if folder is None:
            return False
        return self._mode(posixpath.join(folder, posixpath.basename(path))) is not None

    def is_folder(self, path: str) -> bool:
        """Whether this very name is a folder; a link to one is none."""
        above = self.resolve(posixpath.dirname(path))
        place = None if above is None else posixpath.join(above, posixpath.basename(path))
        return place is not None and stat.S_ISDIR(self._mode(place) or 0)

    def link(self, path: str) -> str | None:
        """Where a symbolic link of this very name points, as written; None for anything else."""
        folder = self.resolve(posixpath.dirname(path))
        place = None if folder is None else posixpath.join(folder, posixpath.basename(path))
        if place is None or not stat.S_ISLNK(self._mode(place) or 0):
            return None
        return str((self._folder / place).readlink())

    def read(self, path: str) -> bytes | None:
        """A regular file's bytes, in memory; None when there is none."""
        place = self.resolve(path)
        if place is None or not stat.S_ISREG(self._mode(place) or 0):
            return None
        return (self._folder / place).read_bytes()

    def names(self, folder: str) -> list[str]:
        """What lies in a folder, sorted; nothing where there is none."""
        place = self.resolve(folder)
        if place is None or not stat.S_ISDIR(self._mode(place) or 0):
            return []
        return sorted(one.name for one in (self._folder / place).iterdir())

    def files(self, folder: str, suffix: str = "") -> list[str]:
        """Regular files below a folder, sorted, whose names end so; links are not followed."""
        place = self.resolve(folder)
        if place is None:
            return []
        top = self._folder / place
        found = [
            posixpath.join(folder, os.path.relpath(os.path.join(parent, name), top))  # noqa: PTH118
            for parent, _, names in os.walk(top)
            for name in names
            if name.endswith(suffix)
        ]
        return sorted(path for path in found if stat.S_ISREG(self._mode(path) or 0))

    def _target(self, path: str) -> str | None:
        mode = self._mode(path)
        if mode is None:
            raise Nothing
        return str((self._folder / path).readlink()) if stat.S_ISLNK(mode) else None

    def _mode(self, path: str) -> int | None:
        try:
            return (self._folder / path).lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
