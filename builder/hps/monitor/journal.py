"""The journal of one model: a folder with a file of JSON lines, each on the disk before it counts.

Every line holds a record and its own checksum. The last line alone says where to carry on; the
others are the history. A process that is killed, or a power loss, can only damage the line that
was being written: it is cut off when the journal is opened. Anything else that is damaged is an
error, because a monitor that forgot its floors could be rolled back by an attacker; `repair`
keeps what is whole.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from hps.errors import HpsError
from hps.monitor.disk import DiskError, explained
from hps.monitor.journal_record import (
    LONGEST_LINE,
    Parsed,
    Record,
    latest,
    parse,
    salvage,
    timestamp,
    whole,
)
from hps.monitor.ownership import OwnershipLostError
from hps.store.filesystem import sync_folder

RECORDS = "records.jsonl"
_COMPACT = "records.compact"  # a new file that was not yet renamed
_LARGEST = 256 << 20  # bytes of a file that is read at all
_RECORDS_AN_UPDATE = 32  # on average; an update that failed for days is not kept in every detail
_COMPACT_FROM = 512 << 10  # bytes; reading 200 journals of this size takes 10 s
_TAIL = 16 << 10  # bytes in which the last lines are looked for
_ENOUGH_LINES = 2  # the first may be cut, the last one torn


class JournalError(HpsError):
    """The journal of a model is damaged, and not by a crash."""

    reference = "journal-damaged"
    exit_code = 8


class Journal:
    """The journal, open for the one monitor that owns the model (`hps.monitor.ownership`).

    Opening it removes what a killed process left, so nobody else may be writing it.

    Args:
        folder: made when missing, for this user alone to write.
        keep: of how many updates the records are kept.

    Attributes:
        path: of the file with the records.
        last: the newest record; None in a new journal.
        fence: the highest that ever wrote here.
        cut: bytes of a torn last line that were cut off when it was opened.

    Raises:
        JournalError: it is damaged where no crash could have damaged it.
        DiskError: it cannot be read or made.
    """

    def __init__(self, folder: Path, *, keep: int = 100) -> None:
        self.path = folder / RECORDS
        self._keep = keep
        self.last: Record | None = None
        self.fence = self.cut = 0
        self._unchanged: tuple[Record, ...] | None = None  # what opening it has read
        with explained("make", folder):
            if not folder.is_dir():
                folder.mkdir(mode=0o755, parents=True)
            (folder / _COMPACT).unlink(missing_ok=True)  # of a process that was killed
            self._file = _open(self.path)
        try:
            self._read()
            if self.last is None:
                with explained("write", folder):  # the names last before the first record does
                    sync_folder(folder)
                    sync_folder(folder.parent)
        except BaseException:
            self.close()
            raise

    def append(
        self,
        entry: Mapping[str, Any],
        state: Mapping[str, Any],
        *,
        update: int,
        time: float,
        fence: int,
    ) -> Record:
        """Write one record and make it last; when this returns, power may fail.

        Args:
            entry: what happened; text in it is printable, whole numbers are the only ones.
            state: all that is known now.
            update: the generation that it is about; 0 for none.
            time: seconds since the epoch.
            fence: of this monitor.

        Raises:
            OwnershipLostError: somebody else has written, or taken the file away.
            DiskError: the disk. The record does not count then, and may be tried again.
        """
        self._unchanged = None  # a long history is not kept in memory for years
        with explained("look at", self.path):
            self._check_alone(fence)
        if self._count > self._most_records or self._size > self._most_bytes:
            with contextlib.suppress(DiskError):  # another time, then
                self.compact()
        number = 1 if self.last is None else self.last.number + 1
        record = Record(number, timestamp(time), fence, update, entry, state)
        line = record.as_line()
        if len(line) > LONGEST_LINE:
            raise ValueError(f"a record of {len(line)} bytes is none")
        with explained("write", self.path):
            self._write(line)
        self.last, self.fence = record, fence
        self._count += 1
        return record

    def compact(self) -> None:
        """Write the newest records anew, and let the file with all of them go.

        Raises:
            JournalError: it is damaged.
            DiskError: the disk; the file stays as it was.
        """
        records = latest(self.history(), self._keep, _RECORDS_AN_UPDATE * self._keep)
        data = b"".join(one.as_line() for one in records)
        new = self.path.with_name(_COMPACT)
        with explained("write", self.path):
            descriptor = _write_new(new, data)
            try:
                new.replace(self.path)
            except OSError:
                os.close(descriptor)
                new.unlink(missing_ok=True)
                raise
            os.close(self._file)
            self._file = descriptor
            self._measure(len(data), len(records))
            sync_folder(self.path.parent)

    def history(self) -> tuple[Record, ...]:
        """All records; raises JournalError, DiskError."""
        if self._unchanged is not None:
            return self._unchanged
        with explained("read", self.path):
            data = _content(self._file, self.path)
        return _sound(data[: self._size], self.path).records

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _measure(self, size: int, count: int) -> None:
        self._size, self._count = size, count
        # Old records are small: twice what is left is reached after as many updates again.
        self._most_bytes = max(_COMPACT_FROM, 2 * size)
        self._most_records = max(_RECORDS_AN_UPDATE * self._keep, 2 * count)

    def _read(self) -> None:
        with explained("read", self.path):
            data = _content(self._file, self.path)
        found = _sound(data, self.path)
        records = found.records
        self.cut = len(data) - found.size
        if self.cut:
            with explained("cut", self.path):
                os.ftruncate(self._file, found.size)
                os.fsync(self._file)
        self._unchanged = records
        self.last = records[-1] if records else None
        self.fence = max((one.fence for one in records), default=0)
        self._measure(found.size, len(records))

    def _write(self, line: bytes) -> None:
        """Append, or leave the file as it was: half a line would be cut off at the next start."""
        if os.fstat(self._file).st_size != self._size:
            os.ftruncate(self._file, self._size)  # what an append that failed has left
        try:
            _write_all(self._file, line)
            # After a failed fsync nobody knows what is on the disk: the line is written again.
            os.fsync(self._file)
        except OSError:
            with contextlib.suppress(OSError):  # cut by the next append, or at the next start
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)

    def _check_alone(self, fence: int) -> None:
        """Another monitor that was let in by a lock that does not hold is told by its traces."""
        ours = os.fstat(self._file)
        try:
            there = self.path.stat()
        except FileNotFoundError:
            raise _not_alone(self.path, "it was removed") from None
        if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
            raise _not_alone(self.path, "it was replaced")
        grown = ours.st_size > self._size and _holds_a_line(self._file, self._size)
        if ours.st_size < self._size or self.fence > fence or grown:
            raise _not_alone(self.path, "it was written by somebody else")


def read(folder: Path) -> tuple[Record, ...]:
    """The records of a journal that a monitor may be writing just now; changes nothing.

    Raises:
        JournalError: it is damaged.
        DiskError: it cannot be read.
    """
    path = folder / RECORDS
    with explained("read", path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return ()
        try:
            data = _content(descriptor, path)
        finally:
            os.close(descriptor)
    return _sound(data, path).records


def highest_fence(folder: Path) -> int:
    """The highest fence that ever wrote to a journal, for who is about to own the model.

    That of its last whole record: nobody with a lower one may write behind it (`Journal.append`).

    Raises:
        JournalError: it is damaged.
        DiskError: it cannot be read.
    """
    path = folder / RECORDS
    with explained("read", path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0
        try:
            last = _last_lines(descriptor)
        finally:
            os.close(descriptor)
    records = [found for line in last if (found := whole(line)) is not None]
    if last and not records:  # not a crash: it can have torn one line only
        return max((one.fence for one in read(folder)), default=0)
    return max((one.fence for one in records), default=0)


def _last_lines(descriptor: int) -> list[bytes]:
    """The last two lines at least, or all that there are; the first of them may be cut."""
    size = os.fstat(descriptor).st_size
    length = _TAIL
    while True:
        data = os.pread(descriptor, length, max(0, size - length))
        if length >= size or data.count(b"\n") > _ENOUGH_LINES or length > 2 * LONGEST_LINE:
            return data.splitlines()
        length *= 4


def repair(folder: Path) -> tuple[Path | None, int]:
    """Keep the whole records of a damaged journal, and set the damaged file aside.

    What is lost is history. The newest whole record says where to carry on; a person has to look
    whether it is the newest that there was, and that is why no monitor does this by itself.

    Returns:
        Where the damaged file lies now, None if nothing was damaged; and how many lines were lost.

    Raises:
        DiskError: the disk.
    """
    path = folder / RECORDS
    with explained("repair", path):
        data = path.read_bytes()
        found = parse(data)
        if not found.faults:
            return None, 0
        records, lost = salvage(data)
        aside = _free_name(folder)
        os.close(_write_new(path.with_name(_COMPACT), b"".join(one.as_line() for one in records)))
        aside.hardlink_to(path)  # there is a journal under its name at every moment
        path.with_name(_COMPACT).replace(path)
        sync_folder(folder)
    return aside, lost


def _open(path: Path, flags: int = 0) -> int:
    flags |= os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        return os.open(path, flags | os.O_CREAT, 0o644)


def _write_new(path: Path, data: bytes) -> int:
    """A new file that is on the disk; its descriptor is for appending. Leaves nothing on errors."""
    descriptor = _open(path, os.O_TRUNC)
    try:
        _write_all(descriptor, data)
        os.fsync(descriptor)
    except BaseException:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _content(descriptor: int, path: Path) -> bytes:
    size = os.fstat(descriptor).st_size
    if size > _LARGEST:
        raise _damaged(path, (f"it has {size} bytes, at most {_LARGEST} are read",))
    pieces, offset = [], 0
    while offset < size:
        piece = os.pread(descriptor, min(1 << 20, size - offset), offset)
        if not piece:
            break
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces)


def _sound(data: bytes, path: Path) -> Parsed:
    found = parse(data)
    if found.faults:
        raise _damaged(path, found.faults)
    return found


def _holds_a_line(descriptor: int, offset: int) -> bool:
    """Whether a whole record follows, rather than what an append of ours left that failed."""
    line = os.pread(descriptor, LONGEST_LINE, offset).partition(b"\n")[0]
    return whole(line) is not None


def _free_name(folder: Path) -> Path:
    number = 1
    while (path := folder / f"records.damaged-{number}").exists():
        number += 1
    return path


def _damaged(path: Path, faults: tuple[str, ...]) -> JournalError:
    return JournalError(
        f"the journal {path} is damaged, and not by a crash",
        details=faults[:20],
        hint="`hps monitor repair` keeps all records that are whole, and the damaged file beside",
    )


def _not_alone(path: Path, how: str) -> OwnershipLostError:
    return OwnershipLostError(
        f"the journal {path} is not this monitor's any more: {how}",
        hint="let one monitor only run for a model; this one has stopped",
    )
