"""A folder twice on one disk: folders of its own, the same files (hard links, link(2))."""

# Plain strings and one system call each, since entries come by the ten thousand:
# ruff: noqa: PTH101, PTH102

import os
from pathlib import Path


def link_tree(source: Path, destination: Path) -> None:
    """Lay down a folder once more; its files and symbolic links are not copied.

    What is done to the folders of one is not seen in the other, and a file may be replaced by
    another. A file that is written changes in both.

    Args:
        source: a folder that nobody changes meanwhile.
        destination: an empty folder of the same file system; on an error it holds a part.

    Raises:
        OSError: the disk is full, or the file system has no further link for a file.
    """
    folders: list[tuple[str, os.stat_result]] = []
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        with os.scandir(f"{source}{inside}") as entries:
            for entry in entries:
                path = f"{inside}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    os.mkdir(f"{destination}{path}", 0o700)
                    folders.append((path, entry.stat(follow_symlinks=False)))
                    waiting.append(path)
                else:
                    os.link(entry.path, f"{destination}{path}", follow_symlinks=False)
    for path, status in folders:  # last: laying things in would spoil the times
        os.chmod(f"{destination}{path}", status.st_mode & 0o7777)
        os.utime(f"{destination}{path}", ns=(status.st_atime_ns, status.st_mtime_ns))
