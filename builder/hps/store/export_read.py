"""Reading an export into the store: nothing of it is believed before it has been hashed.

Blobs that are whole are kept, whatever is wrong with others: the next attempt has less to do.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from hps.archive.paths import Limits
from hps.archive.refusal import ArchiveError
from hps.archive.tar_stream import Tape, TarMember, members
from hps.errors import IntegrityError, MalformedError, StoreError, UsageError
from hps.store.blobs import Store
from hps.store.export_manifest import LIMIT, MOST, NAME, Exported, Manifest, parse
from hps.store.export_write import MARK
from hps.store.filesystem import PIECE
from hps.store.foreign_text import printable

Progress = Callable[[int], None]

_REPORTED = 20  # faults that are told in full; the rest are counted
_LIMITS = Limits(files=MOST + 1, size=1 << 42, file_size=1 << 40)


@dataclass(frozen=True, slots=True)
class Imported:
    """What was done: blobs and bytes that the store has got, and blobs that it had."""

    manifest: Manifest
    added: int
    size: int
    present: int


def read_manifest(place: Path) -> Manifest:
    """What an export promises; no blob is read.

    Raises:
        UsageError: there is nothing, or it cannot be read.
        MalformedError: it is no export, or one that was cut off before its document.
    """
    if place.is_dir():
        return _folder_manifest(place)
    with _archive(place) as found:
        return _archive_manifest(place, found)


def read_export(store: Store, place: Path, progress: Progress = lambda _: None) -> Imported:
    """Bring the blobs of an export into the store, each compared with its digest.

    Args:
        store: what it has is not read again.
        place: a folder or a tar, as `export_write` makes them.
        progress: told how many bytes have been dealt with.

    Raises:
        UsageError, MalformedError: see `read_manifest`.
        IntegrityError: blobs are missing or damaged; the others are in the store.
        StoreError: the store cannot be written.
    """
    if place.is_dir():
        return _read_folder(_begun(store, place, _folder_manifest(place), progress))
    with _archive(place) as found:
        manifest = _archive_manifest(place, found)
        return _read_archive(_begun(store, place, manifest, progress), found)


@dataclass(slots=True)
class _Work:
    """One import: what is still expected, and what was wrong."""

    store: Store
    manifest: Manifest
    progress: Progress
    place: Path
    faults: list[str] = field(default_factory=list)
    added: int = 0
    size: int = 0
    present: int = 0

    def has(self, each: Exported) -> bool:
        """Whether the store has a blob; then nothing is read."""
        if not self.store.has(each.blob.digest):
            return False
        self.present += 1
        self.progress(each.blob.size)
        return True

    def take(self, each: Exported, pieces: Iterator[bytes | memoryview]) -> None:
        """Write a blob; one that is damaged is noted, and nothing of it is kept."""
        with self.store.writer() as writer:
            for piece in pieces:
                if writer.size + len(piece) > each.blob.size:
                    self.fault(each, f"longer than {each.blob.size} bytes")
                    return
                writer.write(bytes(piece))
                self.progress(len(piece))
            try:
                writer.commit(each.blob.digest, each.blob.size)
            except IntegrityError as error:
                self.fault(each, f"{error.message} ({error.got})")
                return
        self.added += 1
        self.size += each.blob.size

    def fault(self, each: Exported, why: str) -> None:
        """Note what is wrong with a blob."""
        self.faults.append(f"{each.file} ({each.path}): {why}")

    def finish(self, cause: str = "") -> Imported:
        """What was done; raises IntegrityError when anything was wrong."""
        if not self.faults and not cause:
            return Imported(self.manifest, self.added, self.size, self.present)
        details = self.faults[:_REPORTED]
        if len(self.faults) > _REPORTED:
            details.append(f"and {len(self.faults) - _REPORTED} more")
        raise IntegrityError(
            cause
            or f"{self.place} is damaged: {len(self.faults)} of its "
            f"{len(self.manifest.blobs)} blobs cannot be used",
            details=tuple(details),
            hint="run `hps store export` to that place again, it mends what is broken; the "
            f"{self.added + self.present} blobs that are whole are in the store",
        )


def _begun(store: Store, place: Path, manifest: Manifest, progress: Progress) -> _Work:
    _check_room(store, manifest)
    return _Work(store, manifest, progress, place)


def _folder_manifest(folder: Path) -> Manifest:
    try:
        with _open(folder / NAME) as file:
            return parse(file.read(LIMIT + 1), str(folder))
    except FileNotFoundError as error:
        if (folder / MARK).exists():
            raise MalformedError(
                f"{folder} is an export that was not finished",
                expected=NAME,
                hint="run `hps store export` to that folder again, it carries on",
            ) from error
        raise MalformedError(
            f"{folder} is no export of a store",
            expected=NAME,
            hint="name the folder that `hps store export` has written",
        ) from error
    except OSError as error:
        raise _unreadable(folder / NAME, error) from error


def _read_folder(work: _Work) -> Imported:
    for each in work.manifest.blobs:
        if work.has(each):
            continue
        try:
            with _open(work.place / each.path) as file:
                work.take(each, iter(lambda: file.read(PIECE), b""))
        except FileNotFoundError:
            work.fault(each, "missing")
        except OSError as error:  # what the store itself cannot do is a StoreError
            work.fault(each, error.strerror or str(error))
    return work.finish()


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[Iterator[TarMember]]:
    try:
        with _open(path) as file:
            packed = os.fstat(file.fileno()).st_size
            tape = Tape(iter(lambda: file.read(PIECE), b""), str(path), _LIMITS, packed)
            yield members(tape, _LIMITS, packed)
    except OSError as error:
        raise _unreadable(path, error) from error


def _archive_manifest(path: Path, found: Iterator[TarMember]) -> Manifest:
    hint = "name the file that `hps store export` has written"
    try:
        first = next(found, None)
        if first is None or first.path != NAME or first.size > LIMIT:
            raise MalformedError(
                f"{path} is no export of a store",
                expected=f"a tar whose first member is {NAME}",
                hint=hint,
            )
        return parse(b"".join(bytes(each) for each in first.pieces), str(path))
    except ArchiveError as error:
        raise MalformedError(f"{path} is no export: {error.message}", hint=hint) from error


def _read_archive(work: _Work, found: Iterator[TarMember]) -> Imported:
    """The blobs of a tar, in the order of its document, and nothing else."""
    waiting = iter(work.manifest.blobs)
    try:
        for member in found:
            each = next(waiting, None)
            if each is None or member.path != each.path or member.size != each.blob.size:
                wanted = "the end" if each is None else f"{each.path}, {each.blob.size} bytes"
                return work.finish(
                    f"{work.place} is damaged: {printable(member.path)} of {member.size} bytes "
                    f"stands in it instead of {wanted}"
                )
            if not work.has(each):
                work.take(each, member.pieces)
    except ArchiveError as error:
        return work.finish(error.message)
    for each in waiting:
        work.fault(each, "missing")
    return work.finish()


def _check_room(store: Store, manifest: Manifest) -> None:
    """Say before the work that the disk of the store is too small for it."""
    needed = sum(one.blob.size for one in manifest.blobs if not store.has(one.blob.digest))
    place = next(each for each in (store.root, *store.root.parents) if each.exists())
    room = os.statvfs(place)
    if needed > (free := room.f_bavail * room.f_frsize):
        raise StoreError(
            f"the export does not fit on the disk of the store {store.root}",
            expected=f"{needed} bytes free",
            got=f"{free} bytes free",
            hint="`hps store collect` frees what no project needs; HPS_STORE names another disk",
        )


def _open(path: Path) -> BinaryIO:
    """Open a plain file: a link may lead anywhere, and a pipe would be waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path.name} is no plain file")
    return os.fdopen(descriptor, "rb", buffering=0)


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{path} cannot be read: {error.strerror or error}",
        hint="name the folder or the .tar file that `hps store export` has written",
    )
