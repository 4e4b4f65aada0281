"""Where the files of a layout come from: a port, and the folder behind it.

The archive behind it is in `archive_files`.
"""

import functools
import os
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import BinaryIO, Protocol

from hps.errors import IntegrityError, LimitError
from hps.oci.documents import open_regular

MOST_FILES = 100_000  # of one layout


class LayoutFiles(Protocol):
    """The files of one layout, for reading."""

    @property
    def root(self) -> Path:
        """What the layout is called; paths of its files begin with it."""

    def names(self) -> AbstractSet[str]:
        """Everything that is no folder, relative to the root.

        Raises:
            IntegrityError: it cannot be listed.
            LimitError: it is more than any layout holds.
        """

    def open(self, path: Path) -> BinaryIO:
        """Open a regular file for reading and seeking; threads may do so at once.

        Raises:
            FileNotFoundError: there is none.
            OSError: it is something else, or cannot be read.
        """


class FolderFiles:
    """A layout that is a folder. Symbolic links count as files that cannot be read."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        """See LayoutFiles."""
        return self._root

    def names(self) -> AbstractSet[str]:
        """See LayoutFiles; listed once."""
        return self._names

    @functools.cached_property
    def _names(self) -> AbstractSet[str]:
        def refuse(error: OSError) -> None:
            raise IntegrityError(f"{error.filename} cannot be listed: {error.strerror}") from error

        found: set[str] = set()
        if not self._root.is_dir():
            return found
        for folder, folders, files in os.walk(self._root, onerror=refuse):
            here = Path(folder).relative_to(self._root)
            links = [name for name in folders if Path(folder, name).is_symlink()]
            found |= {(here / name).as_posix() for name in (*files, *links)}
            if len(found) > MOST_FILES:
                raise LimitError(
                    f"{self._root} holds too many files", expected=f"at most {MOST_FILES}"
                )
        return found

    def open(self, path: Path) -> BinaryIO:
        """See LayoutFiles."""
        return open_regular(path)
