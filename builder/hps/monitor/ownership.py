"""One monitor per model: a lock that the kernel drops with its holder, and a counter beside it.

flock(2) keeps two monitors of one machine apart. Where it does not reach (two hosts on a shared
file system without locks, a lock file that somebody removed), the counter does: whoever takes the
lock counts it up, writes it into every record of the journal, and looks before every effect
whether it still stands. Who was overtaken stops (a fencing token; M. Kleppmann, "How to do
distributed locking", 2016).
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hps import canonical
from hps.digest import Digest
from hps.errors import HpsError
from hps.monitor.disk import explained
from hps.monitor.journal_record import timestamp
from hps.oci.shape import fields, text

# Two places, written in turn: a write that a crash tears leaves the one before it whole. Neither
# crosses a sector.
_PLACE = 512
_LONGEST_HOST = 100
# NFS emulates flock with byte-range locks, which need a writable descriptor.
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_TRIES, _PAUSE = 5, 0.02  # seconds between them


class OwnershipError(HpsError):
    """Another monitor has this model."""

    reference = "monitor-busy"
    exit_code = 8


class OwnershipLostError(OwnershipError):
    """Another monitor took this model over; this one has stopped before its next effect."""

    reference = "monitor-overtaken"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who took the lock last, by its own word.

    Args:
        fence: the counter.
        pid: of the process, on its host.
        host: its name.
        since: RFC 3339.
    """

    fence: int
    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"

    def as_json(self) -> dict[str, Any]:
        """For the file and for `status`."""
        return {"fence": self.fence, "host": self.host, "pid": self.pid, "since": self.since}


class Ownership:
    """A model that is this monitor's, as long as `check` says so.

    Args:
        path: of the lock file.
        descriptor: of it, open and locked.
        holder: what was written.
    """

    def __init__(self, path: Path, descriptor: int, holder: Holder) -> None:
        self._path = path
        self._descriptor = descriptor
        self.holder = holder

    @property
    def fence(self) -> int:
        """The counter, for the journal."""
        return self.holder.fence

    def check(self) -> None:
        """Look whether the model is still ours; to be called before every effect.

        Raises:
            OwnershipLostError: it is not.
        """
        with explained("look at", self._path):
            ours = os.fstat(self._descriptor)
            try:
                there = self._path.stat()
            except FileNotFoundError:
                raise self._lost("the lock file was removed") from None
            if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
                raise self._lost("the lock file was replaced")
            newest = _read(self._descriptor)
        if newest != self.holder:
            raise self._lost(f"it was taken over by {newest}")

    def _lost(self, how: str) -> OwnershipLostError:
        return OwnershipLostError(
            f"{self._path.parent} is not this monitor's any more: {how}",
            hint="let one monitor only run for a model, and leave its lock file alone",
        )


@contextlib.contextmanager
def owned(path: Path, *, now: float, at_least: int = 0) -> Iterator[Ownership]:
    """Own a model until the block ends.

    Args:
        path: of the lock file, made when missing; its folder must be there.
        now: seconds since the epoch, to tell others since when.
        at_least: the highest fence that the journal has (`journal.highest_fence`); the new one is
            above it, also when the lock file was lost.

    Raises:
        OwnershipError: another process has it; says which.
        DiskError: the file cannot be made or written.
    """
    with explained("lock", path):
        try:
            descriptor = os.open(path, _FLAGS)
        except FileNotFoundError:
            descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o644)
    try:
        if not _lock(descriptor, path):
            raise _busy(path, _read(descriptor))
        with explained("write", path):
            before = _read(descriptor)
            holder = Holder(
                max(at_least, before.fence if before else 0) + 1,
                os.getpid(),
                socket.gethostname()[:_LONGEST_HOST],
                timestamp(now),
            )
            _write(descriptor, holder)
        ownership = Ownership(path, descriptor, holder)
        ownership.check()  # it may have been removed between open and lock
        yield ownership
    finally:
        os.close(descriptor)


def holder_of(path: Path) -> Holder | None:
    """Who has a model now; None when nobody has. Changes nothing.

    Raises:
        DiskError: the lock file cannot be read.
    """
    with explained("read", path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            return None if _try_lock(descriptor, fcntl.LOCK_SH) else _read(descriptor)
        finally:
            os.close(descriptor)


def _lock(descriptor: int, path: Path) -> bool:
    with explained("lock", path):
        for _ in range(_TRIES):
            if _try_lock(descriptor, fcntl.LOCK_EX):
                return True
            time.sleep(_PAUSE)  # somebody who only asks who has it lets go at once
    return False


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> Holder | None:
    """The newest of the two places that is whole."""
    found = [_parse(os.pread(descriptor, _PLACE, place * _PLACE)) for place in (0, 1)]
    return max((one for one in found if one), key=lambda one: one.fence, default=None)


def _write(descriptor: int, holder: Holder) -> None:
    record = holder.as_json()
    line = json.dumps({"check": str(_check(record)), "holder": record}, sort_keys=True)
    data = line.encode().ljust(_PLACE - 1) + b"\n"
    os.pwrite(descriptor, data, holder.fence % 2 * _PLACE)
    os.fsync(descriptor)


def _parse(data: bytes) -> Holder | None:
    try:
        found = fields(canonical.loads(data.rstrip(b"\0")), "lock", ("check", "holder"))
        record = fields(found["holder"], "holder", ("fence", "host", "pid", "since"))
        if found["check"] != str(_check(record)):
            return None
        fence, pid = int(record["fence"]), int(record["pid"])
        return Holder(fence, pid, text(record["host"], "host"), text(record["since"], "since"))
    except (ValueError, TypeError):
        return None


def _check(record: object) -> Digest:
    return Digest.of(canonical.dumps(record))


def _busy(path: Path, holder: Holder | None) -> OwnershipError:
    who = "another process" if holder is None else str(holder)
    return OwnershipError(
        f"{path.parent} belongs to another monitor",
        got=who,
        hint="let one monitor only run for a model; stop that one first",
    )
