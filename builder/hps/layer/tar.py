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
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from hps.digest import Digest
from hps.errors import IntegrityError
from hps.layer.entry import Entry
from hps.layer.index import IndexLine
from hps.layer.plan import Planned, plan

_MIB = 2**20
_BLOCK = 512
_TYPES = {"file": b"0", "hardlink": b"1", "symlink": b"2", "directory": b"5"}
_NAME, _PREFIX, _LINK = 100, 155, 100  # field widths
_SIZE_LIMIT = 8**11  # eleven octal digits
_ID_LIMIT = 8**7


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
) -> LayerRecord:
    """Write entries as one layer.

    Parents that no entry names are added with mode 0755. The same file from two owners is one
    entry. `sink` gets pieces of about 1 MiB, from another thread, one after the other.

    Args:
        entries: in any order.
        sink: takes the tar, for instance the `write` of a blob in the making.
        epoch: mtime of every entry, seconds since 1970.
        index: takes the lines of the index (`hps.layer.index`).

    Raises:
        ConflictError: two owners give different things for one path.
        IntegrityError: a file has another size or digest than promised.
        UnsafeArchiveError: a path that cannot be in an image, a hard link to nothing.
    """
    if not 0 <= epoch < _SIZE_LIMIT:
        raise ValueError(f"not a time that tar can hold: {epoch}")
    fingerprint = bytearray()
    count = 0
    with _Output(sink) as output:
        for planned in plan(entries):
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
    """The header blocks of an entry, extended header included.

    POSIX.1-2001, pax, "pax Extended Header" and "ustar Header Block".
    """
    path = entry.path + "/" if entry.kind == "directory" else entry.path
    link = "" if entry.kind in {"file", "directory"} else entry.link
    size = entry.size if entry.kind == "file" else 0
    extended: dict[str, str] = {}
    split = _split(path)
    if split is None:
        extended["path"] = path
        split = _ascii(path, _NAME), b""
    raw_link = _ascii(link, _LINK)
    if len(link) > _LINK or not link.isascii():
        extended["linkpath"] = link
    numbers = {"mode": entry.permissions, "size": size, "uid": entry.uid, "gid": entry.gid}
    for key, limit in (("size", _SIZE_LIMIT), ("uid", _ID_LIMIT), ("gid", _ID_LIMIT)):
        if numbers[key] >= limit:
            extended[key] = str(numbers[key])
            numbers[key] = 0
    block = _block(split, numbers, epoch, _TYPES[entry.kind], raw_link)
    return _extended(extended, epoch) + block if extended else block


def _block(
    name: tuple[bytes, bytes], numbers: dict[str, int], epoch: int, typeflag: bytes, link: bytes
) -> bytes:
    block = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0        %b%bustar\00000%b%b" % (
        name[0].ljust(_NAME, b"\0"),
        numbers["mode"],
        numbers["uid"],
        numbers["gid"],
        numbers["size"],
        epoch,
        typeflag,
        link.ljust(_LINK, b"\0"),
        bytes(80),  # user and group name, device numbers
        name[1].ljust(_PREFIX, b"\0"),
    )
    block = block.ljust(_BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _split(path: str) -> tuple[bytes, bytes] | None:
    """Name and prefix of the ustar header, or None when they cannot hold the path."""
    if not path.isascii():
        return None
    raw = path.encode()
    if len(raw) <= _NAME:
        return raw, b""
    cut = raw.rfind(b"/", 0, min(_PREFIX + 1, len(raw) - 1))
    if cut > 0 and len(raw) - cut - 1 <= _NAME:
        return raw[cut + 1 :], raw[:cut]
    return None


def _ascii(text: str, width: int) -> bytes:
    return text.encode("ascii", "replace")[:width]


def _extended(records: dict[str, str], epoch: int) -> bytes:
    data = b"".join(_record(key, records[key]) for key in sorted(records))
    numbers = {"mode": 0o644, "size": len(data), "uid": 0, "gid": 0}
    block = _block((b"././@PaxHeader", b""), numbers, epoch, b"x", b"")
    return block + data + bytes(-len(data) % _BLOCK)


def _record(key: str, value: str) -> bytes:
    """Length, blank, key=value, newline, where the length counts its own digits."""
    body = f" {key}={value}\n".encode()
    length = len(body) + 1
    while len(body) + len(str(length)) != length:
        length = len(body) + len(str(length))
    return str(length).encode() + body


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
