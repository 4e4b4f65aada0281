"""Generations of one model on this host: numbered, read-only directories, and which one is live.

    .hps/NAME/staging/NUMBER/      private: what is pulled and unpacked for this number
    .hps/NAME/generations/NUMBER/  whole, verified, read-only; it came here by one rename
    .hps/NAME/removed/NUMBER       on its way out: nobody looks here
    .hps/NAME/live                 a link to generations/NUMBER, replaced by one rename

All of it is on one file system. A name below `generations` always stands for all of its files:
they are on the disk before the rename, and leave by a rename before the first one is removed.
"""

import os
import re
from collections.abc import Collection
from pathlib import Path

from hps.monitor.disk import DiskError, Room, explained
from hps.monitor.tree import Extent, measure_tree, remove_tree, seal_tree
from hps.store.filesystem import sync_folder

_NUMBER = re.compile(r"[1-9][0-9]{0,15}")
_LIVE = "live"
_NEW_LIVE = "live.new"
_FOLDERS = _GENERATIONS, _STAGING, _REMOVED = "generations", "staging", "removed"


class Generations:
    """The directories of one model; for the one monitor that owns it.

    Args:
        folder: `.hps/NAME`; made when missing.

    Raises:
        DiskError: from every method, for what the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        made = [name for name in _FOLDERS if not (folder / name).is_dir()]
        with explained("make", folder):
            for name in made:
                # Nobody else reads what is not verified.
                (folder / name).mkdir(0o700 if name == _STAGING else 0o755, parents=True)
            for place in (folder, *folder.parents[:2]) if made else ():
                sync_folder(place)

    def path(self, number: int) -> Path:
        """Where a generation is, or would be."""
        return self.folder / _GENERATIONS / str(number)

    def staging(self, number: int) -> Path:
        """The private directory for what will become a generation; made when missing.

        What an earlier process left there for the same number is still there.
        """
        path = self.folder / _STAGING / str(number)
        with explained("make", path):
            path.mkdir(mode=0o700, exist_ok=True)
        return path

    def publish(self, number: int, tree: Path) -> Path:
        """Make a directory below the staging of a number its generation, read-only and for good.

        Whatever has that number already was left by a process that was killed before it could
        note it down, and goes away.

        Raises:
            StrangeFileError: it holds what nobody unpacked there.
            DiskError: the disk.
        """
        if self.folder / _STAGING / str(number) not in tree.parents:
            raise ValueError(f"{tree} is not staged for generation {number}")
        if number == self.live():
            raise ValueError(f"generation {number} is live: numbers are given once")
        path = self.path(number)
        seal_tree(tree)
        if path.exists():
            self._set_aside(path)
        with explained("write", path):
            tree.rename(path)
            path.chmod(0o555)  # a directory without a right to write cannot be moved
            for place in (path, path.parent, tree.parent):
                sync_folder(place)
        return path

    def discard(self, number: int) -> None:
        """Remove what is staged for a number."""
        remove_tree(self.folder / _STAGING / str(number))

    def point(self, number: int) -> None:
        """Make a generation the one that `live` leads to, in one step that lasts."""
        path, new = self.folder / _LIVE, self.folder / _NEW_LIVE
        if not self.path(number).is_dir():
            raise DiskError(
                f"generation {number} is not in {path.parent / _GENERATIONS}",
                hint="it was removed by hand: publish the model again, or roll back",
            )
        if self.live() == number:
            return
        with explained("write", path):
            new.unlink(missing_ok=True)
            new.symlink_to(Path(_GENERATIONS, str(number)))
            new.replace(path)
            sync_folder(self.folder)

    def live(self) -> int | None:
        """The generation that `live` leads to; None when there is none."""
        try:
            target = (self.folder / _LIVE).readlink()
        except OSError:
            return None  # not there, or not a link of ours
        if target.parent != Path(_GENERATIONS) or not _NUMBER.fullmatch(target.name):
            return None
        return int(target.name)

    def numbers(self) -> tuple[int, ...]:
        """The generations that are there, ascending."""
        return _numbers(self.folder / _GENERATIONS)

    def keep_only(self, numbers: Collection[int]) -> tuple[int, ...]:
        """Remove all generations but these and the one that `live` leads to.

        Returns:
            Those that were removed.
        """
        kept = {*numbers, self.live()}
        gone = tuple(number for number in self.numbers() if number not in kept)
        for number in gone:
            self._set_aside(self.path(number))
        self._empty_removed()
        return gone

    def clean(self, staged: Collection[int]) -> None:
        """Remove what killed processes left: staging of other numbers, half-removed directories."""
        with explained("clean", self.folder):
            (self.folder / _NEW_LIVE).unlink(missing_ok=True)
            for path in (self.folder / _STAGING).iterdir():
                if path.name not in map(str, staged):
                    remove_tree(path)
        self._empty_removed()

    def room(self) -> Room:
        """What may still be written."""
        return Room.at(self.folder)

    def extent(self) -> Extent:
        """What all generations and all staging take on the disk."""
        parts = [measure_tree(self.folder / name) for name in (_GENERATIONS, _STAGING, _REMOVED)]
        return Extent(sum(one.files for one in parts), sum(one.size for one in parts))

    def check_room(self, size: int, files: int, *, reserve: int = 0) -> None:
        """Refuse to begin what does not fit.

        Args:
            size: bytes that will be written.
            files: and how many files.
            reserve: bytes that must be left for others.

        Raises:
            DiskError: it does not fit.
        """
        room = self.room()
        short = size + reserve > room.size
        if short or (room.files is not None and files > room.files):
            kept = f", {reserve} of them to be left" if reserve else ""
            raise DiskError(
                f"there is no room for the model in {self.folder}",
                expected=f"{size + reserve} bytes{kept}, and {files} files",
                got=f"{room.size} bytes, and {room.files} files",
                hint="make room, or keep fewer generations; it is tried again by itself",
            )

    def _set_aside(self, path: Path) -> None:
        """By one rename, so that half of a generation is never found under its number."""
        aside = self.folder / _REMOVED / path.name
        remove_tree(aside)
        with explained("remove", path):
            path.chmod(0o755)
            path.rename(aside)
            sync_folder(path.parent)

    def _empty_removed(self) -> None:
        removed = self.folder / _REMOVED
        with explained("clean", removed):
            left = list(removed.iterdir())
        for path in left:
            remove_tree(path)


def _numbers(folder: Path) -> tuple[int, ...]:
    with explained("read", folder):
        names = os.listdir(folder)  # noqa: PTH208 - names are what is wanted
    return tuple(sorted(int(name) for name in names if _NUMBER.fullmatch(name)))
