"""Writing an export of the store: a folder that can be carried on, or a tar.

Every blob is hashed when it is read from the store and, in a folder, when it is found there. The
same blobs give the same bytes, whenever and wherever they are written.
"""

import contextlib
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hps.archive.tar_header import BLOCK, header
from hps.digest import Digest
from hps.errors import StoreBusyError, StoreError, UsageError
from hps.store.blobs import Store
from hps.store.export_manifest import FOLDER, NAME, Exported, Manifest
from hps.store.filesystem import PIECE, free_space
from hps.store.whole_file import replacing

MARK = "hps-export.unfinished"  # there while a folder is written, and where that was cut short

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Written:
    """What was done: blobs and bytes that were written, and blobs that were there already."""

    written: int
    size: int
    present: int


def write_folder(
    store: Store, manifest: Manifest, folder: Path, progress: Progress = lambda _: None
) -> Written:
    """Make a folder the export of exactly these blobs.

    What an earlier export left there is used where it is whole, and removed where it is not
    needed. Cut short anywhere, the next call carries on; the document comes last.

    Args:
        store: has all blobs.
        manifest: what the folder shall hold.
        folder: need not exist; holds an export or nothing.
        progress: told how many bytes have been dealt with.

    Raises:
        UsageError: the folder holds something else.
        StoreBusyError: another export is being written there.
        StoreError: it cannot be written: a full disk, no permission.
        StoreCorruptError: a blob of the store is damaged or missing.
    """
    _check_free_for_export(folder)
    with _explained(folder), _alone(folder) as mark:
        blobs = folder / FOLDER
        blobs.mkdir(parents=True, exist_ok=True)
        missing = []
        for each in manifest.blobs:
            if _is_whole(folder / each.path, each.blob.digest, each.blob.size):
                progress(each.blob.size)
            else:
                missing.append(each)
        keep = {each.blob.digest.hex for each in manifest.blobs}
        for path in sorted(blobs.iterdir()):
            if path.name not in keep and not path.is_dir():
                path.unlink()
        _check_room(folder, sum(each.blob.size for each in missing))
        for each in missing:
            with replacing(folder / each.path) as file:
                for piece in _pieces(store, each):
                    file.write(piece)
                    progress(len(piece))
        with replacing(folder / NAME) as file:
            file.write(manifest.dumps())
        mark.unlink()
    size = sum(each.blob.size for each in missing)
    return Written(len(missing), size, len(manifest.blobs) - len(missing))


def write_archive(
    store: Store, manifest: Manifest, path: Path, progress: Progress = lambda _: None
) -> Written:
    """Write a tar that appears when it is whole; raises as `write_folder`.

    Its members are sorted, the document first, and say nothing of time and owner.
    """
    with _explained(path):
        _check_room(path.parent, manifest.size)
        with replacing(path) as file:
            document = manifest.dumps()
            file.write(_header(NAME, len(document)) + document + bytes(-len(document) % BLOCK))
            for each in manifest.blobs:
                file.write(_header(each.path, each.blob.size))
                for piece in _pieces(store, each):
                    file.write(piece)
                    progress(len(piece))
                file.write(bytes(-each.blob.size % BLOCK))
            file.write(bytes(2 * BLOCK))
    return Written(len(manifest.blobs), manifest.size, 0)


def is_archive(path: Path) -> bool:
    """Whether a destination is an archive, by its name; a folder of that name stays a folder."""
    return path.suffix == ".tar" and not path.is_dir()


def _header(name: str, size: int) -> bytes:
    return header(name, b"0", mode=0o644, epoch=0, size=size)


def _pieces(store: Store, each: Exported) -> Iterator[bytes]:
    with store.open(each.blob.digest) as file:
        while piece := file.read(PIECE):
            yield piece


def _is_whole(path: Path, digest: Digest, size: int) -> bool:
    """Whether a file is the blob: hashed, because a disk that was pulled out may hold anything."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            return False
        return hashlib.file_digest(file, "sha256").hexdigest() == digest.hex


def _check_free_for_export(folder: Path) -> None:
    """A folder with other things is not written to: what is not needed there is removed."""
    try:
        found = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(
            f"{folder} is no folder that can be written: {error.strerror}",
            hint="name a folder, or a file that ends in .tar",
        ) from error
    ours = {NAME, MARK, FOLDER.partition("/")[0]}
    strange = sorted(name for name in found - ours if not _is_partial(name))
    if strange or (found and not found & {NAME, MARK}):
        raise UsageError(
            f"{folder} holds other things and is no export",
            got=", ".join((strange or sorted(found))[:5]),
            hint="name an empty or a new folder in it",
        )


def _is_partial(name: str) -> bool:
    return name.startswith(f".{NAME}.") and name.endswith(".partial")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """Mark the folder as unfinished, and keep others out of it."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / MARK
    while True:
        descriptor = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreBusyError(
                    f"another export is being written to {folder}",
                    hint="wait until it is done, or name another folder",
                ) from error
            if os.fstat(descriptor).st_nlink:  # else whoever was first has finished just now
                yield mark
                return
        finally:
            os.close(descriptor)


def _check_room(place: Path, size: int) -> None:
    """Say before the work that a disk is too small for it."""
    room = os.statvfs(place)
    free = room.f_bavail * room.f_frsize
    if size > free:
        raise StoreError(
            f"the export does not fit on the disk of {place}",
            expected=f"{size} bytes free",
            got=f"{free} bytes free",
            hint="make room there, or name another disk; what is there already is used",
        )


@contextlib.contextmanager
def _explained(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"the export cannot be written to {place}: {error.strerror or error}",
            got=free_space(place),
            hint="make room there or choose another place; run it again to carry on",
        ) from error
