"""The tar writer: the same entries give the same bytes, on any machine and in any order.

The bytes are those of POSIX.1-2001, pax, "ustar Interchange Format": entries sorted by the bytes
of their path, owner 0:0 without names, every mtime the epoch, one header for each parent folder,
extended headers only for what ustar cannot hold, and two zero blocks at the end (no padding to
10 KiB; no reader needs it). Python's tarfile would do, but takes several times as long for small
files, and its bytes are an implementation detail of the interpreter that runs hps.
"""

import hashlib
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from hps.archive import tar_header
from hps.digest import Digest
from hps.errors import IntegrityError
from hps.layer.entry import Entry
from hps.layer.index import IndexLine
from hps.layer.plan import Folder, Planned, plan

_MIB = 2**20
_BLOCK = tar_header.BLOCK
_TYPES = {"file": b"0", "hardlink": b"1", "symlink": b"2", "directory": b"5"}


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """What came out of writing a layer.

    Args:
        size: bytes of the tar. Its digest, the diff_id, is known to whoever keeps the bytes.
        entries: how many the tar holds, parents included.
        fingerprint: two bytes for each entry in order; see `hps.layer.index.first_difference`.
    """

    size: int
    entries: int
    fingerprint: bytes


def write_layer(
    entries: Iterable[Entry],
    sink: Callable[[bytes], object],
    *,
    epoch: int,
    index: Callable[[bytes], object] | None = None,
    folders: Mapping[str, Folder] | None = None,
) -> LayerRecord:
    """Write entries as one layer.

    Parents that no entry names are added with mode 0755. The same file from two owners is one
    entry. `sink` gets pieces of about 1 MiB, from another thread, one after the other.

    Args:
        entries: in any order.
        sink: takes the tar, for instance the `write` of a blob in the making.
        epoch: mtime of every entry, seconds since 1970.
        index: takes the lines of the index (`hps.layer.index`).
        folders: those of layers below that keep a mode and an owner of their own (see `plan`).

    Raises:
        ConflictError: two owners give different things for one path.
        IntegrityError: a file has another size or digest than promised.
        UnsafeArchiveError: a path that cannot be in an image, a hard link to nothing.
    """
    if not 0 <= epoch < tar_header.SIZE_LIMIT:
        raise ValueError(f"not a time that tar can hold: {epoch}")
    fingerprint = bytearray()
    count = 0
    with _Output(sink) as output:
        for planned in plan(entries, folders):
            line = _write_entry(planned, output, epoch)
            fingerprint += line.mark
            count += 1
            if index is not None:
                index(line.dump())
        output.write(bytes(2 * _BLOCK))
    return LayerRecord(output.size, count, bytes(fingerprint))


def _write_entry(planned: Planned, output: "_Output", epoch: int) -> IndexLine:
    entry = planned.entry
    output.write(header(entry, epoch))
    content = entry.link
    if entry.kind == "file":
        digest = _copy(entry, output.write)
        output.write(bytes(-entry.size % _BLOCK))
        for other in planned.same:
            planned.compare(other, _copy(other, _discard), digest)
        content = digest.hex
    return IndexLine(
        entry.path,
        entry.kind,
        entry.permissions,
        entry.size if entry.kind == "file" else 0,
        content,
        entry.owner,
        entry.uid,
        entry.gid,
    )


def _discard(_: bytes) -> None:
    """Where the second copy of a file goes, that is read for its digest only."""


def _copy(entry: Entry, write: Callable[[bytes], object]) -> Digest:
    hasher = hashlib.sha256()
    left = entry.size
    if entry.open is not None:
        with closing(entry.open()) as reader:
            while left >= 0:
                # One byte more than promised is asked for at the end, so excess is noticed.
                piece = reader.read(min(left, _MIB) or 1)
                if not piece:
                    break
                left -= len(piece)
                if left >= 0:
                    hasher.update(piece)
                    write(piece)
    if left != 0:
        raise IntegrityError(
            f"{entry.path} of {entry.owner} has another size than promised",
            expected=f"{entry.size} bytes",
            got=f"{entry.size - left} bytes" if left > 0 else "more bytes",
        )
    digest = Digest(hasher.hexdigest())
    if entry.promised is not None and entry.promised != digest:
        raise IntegrityError(
            f"{entry.path} of {entry.owner} is not what was promised",
            expected=entry.promised,
            got=digest,
        )
    return digest


def header(entry: Entry, epoch: int) -> bytes:
    """The header blocks of an entry, extended header included."""
    plain = entry.kind in {"file", "directory"}
    return tar_header.header(
        entry.path + "/" if entry.kind == "directory" else entry.path,
        _TYPES[entry.kind],
        mode=entry.permissions,
        size=entry.size if entry.kind == "file" else 0,
        link="" if plain else entry.link,
        owner=(entry.uid, entry.gid),
        epoch=epoch,
    )


class _Output:
    """Gathers small writes into pieces of 1 MiB, then hands them on in a thread.

    Hashing, inflating and writing all let go of the interpreter's lock, so what the sink does
    (a blob in the making hashes the tar) costs no time beside inflating and hashing the next
    file. Four pieces at most are waiting.
    """

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self.size = 0
        self._sink = sink
        self._parts: list[bytes] = []
        self._held = 0
        self._queue: queue.Queue[bytes | None] = queue.Queue(4)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._drain, name="hps-layer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._flush()
        self._queue.put(None)
        self._thread.join()
        if error is None:
            self._raise()

    def write(self, data: bytes) -> None:
        """Append; an error of the sink surfaces here or at the end."""
        self._parts.append(data)
        self._held += len(data)
        if self._held >= _MIB:
            self._flush()

    def _flush(self) -> None:
        self._raise()
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self.size += len(data)
        self._parts = []
        self._held = 0
        self._queue.put(data)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _drain(self) -> None:
        while (data := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._sink(data)
                except BaseException as error:  # noqa: BLE001 - raised in the writing thread
                    self._error = error
