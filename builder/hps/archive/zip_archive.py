"""A strict reader of zip files: every byte is accounted for, so all readers see the same.

Follows APPNOTE.TXT 6.3 (PKWARE). Readers differ about trailing bytes, comments, local headers
that disagree with the central directory, overlaps and gaps; archives with any of these are
refused, since what was audited could be something else than what is installed. Nothing is
unpacked to disk: members are inflated while they are read.
"""

import io
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from isal import isal_zlib

from hps.archive.paths import Limits, is_root, safe_in
from hps.archive.refusal import ArchiveError, Reason
from hps.errors import IntegrityError

_MIB = 2**20
_PACKED_PIECE = 256 * 2**10  # isal copies what it did not consume: keep that small
_END = struct.Struct("<4s4H2LH")  # 4.3.16
_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")  # 4.3.12
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_DESCRIPTOR = 0x8
_SHARED = _ENCRYPTED | _DESCRIPTOR  # flags on which both headers of a file must agree
_UTF8 = 0x800
_STORED, _DEFLATED = 0, 8
_DAMAGED: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # isal's stub is wrong
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_DIRECTORY_LIMIT = 256 * _MIB  # bytes of a central directory, which is read into memory


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a zip.

    Args:
        name: as `safe` gives it.
        size: bytes when inflated.
        packed: bytes in the archive.
        start: offset of those bytes.
        deflated: or stored as they are.
        crc: CRC-32 of the inflated bytes.
        executable: whether the archive's Unix mode has a run bit.
        mode: the archive's Unix permission bits; 0 when it says none.
    """

    name: str
    size: int
    packed: int
    start: int
    deflated: bool
    crc: int
    executable: bool
    mode: int = 0


@dataclass(frozen=True, slots=True)
class _Central:
    """A file header of the central directory, zip64 fields resolved."""

    raw_name: bytes
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int


class ZipArchive:
    """The members of a zip file, by name; duplicates are kept for the caller to judge.

    `members` are the files in the order of their bytes, `folders` the names of folders.

    Args:
        path: the file; opened anew for each member, so there is nothing to close.
        where: what to call it in errors.
        limits: how much it may hold.
        unflagged: what names without the flag for UTF-8 are in. APPNOTE.TXT, appendix D, and
            installers of wheels say code page 437; Info-ZIP on Unix writes what the disk has.

    Raises:
        ArchiveError: the archive is damaged, ambiguous, encrypted, too large, or holds links or
            devices.
    """

    def __init__(
        self,
        path: Path,
        where: str,
        limits: Limits | None = None,
        *,
        unflagged: Literal["cp437", "utf-8"] = "cp437",
    ) -> None:
        self._path = path
        self._where = where
        self._unflagged = unflagged
        limits = limits or Limits()
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            count, start, end = self._directory(file, size)
            limits.check(where, files=count, size=0)
            headers = list(self._central(os.pread(file.fileno(), end - start, start), count))
            limits.check(where, files=count, size=sum(h.size for h in headers), packed=size)
            for header in headers:
                limits.check_file(where, header.name, header.size)
            folders = [header.name for header in headers if header.name.endswith("/")]
            self.folders = [name if is_root(name) else safe_in(where, name) for name in folders]
            self.members = self._members(file, headers, start)

    def open(self, member: Member) -> BinaryIO:
        """A reader of the inflated bytes; it checks their number and CRC-32 as it reads.

        Raises:
            IntegrityError: (while reading) the bytes are not what the archive says.
        """
        reader = _Reader(self._path.open("rb", buffering=0), member, self._where)
        if member.size > _MIB:
            return io.BufferedReader(reader, _MIB)
        with reader:  # small ones are many: hold no file open for them
            return io.BytesIO(reader.readall())

    def read(self, member: Member, limit: int) -> bytes:
        """All bytes of a small member.

        Raises:
            ArchiveError: it is larger than `limit`.
            IntegrityError: the bytes are not what the archive says.
        """
        if member.size > limit:
            raise ArchiveError(
                Reason.FILE_BYTES,
                f"{member.name} in {self._where} is too large for what it is",
                member=member.name,
                expected=f"at most {limit} bytes",
                got=member.size,
            )
        with self.open(member) as reader:
            return reader.read()

    def _fault(self, reason: Reason, message: str, member: str | bytes = "") -> ArchiveError:
        name = member if isinstance(member, str) else member.decode("utf-8", "backslashreplace")
        return ArchiveError(reason, f"{self._where}: {message}", member=name, got=name or None)

    def _directory(self, file: BinaryIO, size: int) -> tuple[int, int, int]:
        """Number of members, start and end of the central directory."""
        reach = min(size, _END.size + _FULL16)
        tail = os.pread(file.fileno(), reach, size - reach)
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < _END.size:
            raise self._fault(Reason.TRUNCATED, "not a zip file, or cut off")
        disk, first, here, count, length, start, comment = _END.unpack_from(tail, at)[1:]
        if at + _END.size + comment != len(tail):
            fault = "bytes after the end, or an end inside the comment"
            raise self._fault(Reason.TRAILING, fault)
        end = size - len(tail) + at
        directory_end = end
        located = tail[at - _LOCATOR.size : at] if at >= _LOCATOR.size else b""
        if located.startswith(b"PK\6\7"):
            narrow = (disk, first, here, count, length, start)
            first_disk, directory_end, disks = _LOCATOR.unpack(located)[1:]
            if first_disk or disks > 1:
                raise self._fault(Reason.PARTS, "one part of several")
            wide = self._wide_end(file, directory_end, end - _LOCATOR.size)
            for said, meant, unsaid in zip(
                narrow, wide, (*[_FULL16] * 4, *[_FULL32] * 2), strict=True
            ):
                if said not in {meant, unsaid}:
                    raise self._fault(Reason.CONTRADICTION, "two ends that differ")
            disk, first, here, count, length, start = wide
        if disk or first or here != count:
            raise self._fault(Reason.PARTS, "one part of several")
        if start + length != directory_end:
            fault = "the central directory is not where it should be"
            raise self._fault(Reason.CONTRADICTION, fault)
        if length > _DIRECTORY_LIMIT:
            raise self._fault(Reason.FILES, "a central directory of unlikely size")
        return count, start, directory_end

    def _wide_end(self, file: BinaryIO, offset: int, end: int) -> tuple[int, ...]:
        """The numbers of the zip64 end record (4.3.14), which must end where its locator starts."""
        record = os.pread(file.fileno(), _END64.size, offset) if offset < end else b""
        if len(record) != _END64.size or not record.startswith(b"PK\6\6"):
            fault = "the zip64 end record is not where it should be"
            raise self._fault(Reason.CONTRADICTION, fault)
        fields = _END64.unpack(record)
        if offset + 12 + fields[1] != end:
            raise self._fault(Reason.TRAILING, "bytes between the zip64 end records")
        return fields[4:10]

    def _central(self, data: bytes, count: int) -> Iterator[_Central]:
        at = 0
        for _ in range(count):
            if len(data) - at < _CENTRAL.size or data[at : at + 4] != b"PK\1\2":
                raise self._fault(Reason.DAMAGED, "the central directory is damaged")
            fields = _CENTRAL.unpack_from(data, at)
            (flags, method, crc, packed, size) = (fields[i] for i in (5, 6, 9, 10, 11))
            name_size, extra_size, comment_size, disk = fields[12:16]
            external, offset = fields[17:19]
            name_end = at + _CENTRAL.size + name_size
            raw_name = data[name_end - name_size : name_end]
            extra = data[name_end : name_end + extra_size]
            at = name_end + extra_size + comment_size
            if at > len(data) or disk not in {0, _FULL16}:
                raise self._fault(Reason.DAMAGED, "the central directory is damaged")
            size, packed, offset = self._wide(extra, raw_name, [size, packed, offset])
            name = self._name(raw_name, flags)
            header = _Central(
                raw_name, name, flags, method, crc, packed, size, offset, external >> 16
            )
            self._check(header)
            yield header
        if at != len(data):
            fault = "the central directory holds more than it says"
            raise self._fault(Reason.CONTRADICTION, fault)

    def _wide(self, extra: bytes, raw_name: bytes, values: list[int]) -> list[int]:
        """Resolve fields that are all ones by the zip64 extra field (4.5.3)."""
        seen = False
        for kind, body in _extra_fields(extra):
            if kind == _UNICODE_PATH and body[5:] != raw_name:
                raise self._fault(Reason.CONTRADICTION, "a file with two names", raw_name)
            if kind != _ZIP64:
                continue
            if seen:
                raise self._fault(Reason.CONTRADICTION, "a file of two zip64 sizes", raw_name)
            seen = True
            at = 0
            for number, value in enumerate(values):
                if value == _FULL32 and len(body) >= at + 8:
                    values[number] = int.from_bytes(body[at : at + 8], "little")
                    at += 8
        return values

    def _name(self, raw: bytes, flags: int) -> str:
        try:
            return raw.decode("utf-8" if flags & _UTF8 else self._unflagged)
        except UnicodeDecodeError as error:
            raise self._fault(Reason.NAME_ENCODING, "a name that is not UTF-8", raw) from error

    def _check(self, header: _Central) -> None:
        kind = stat.S_IFMT(header.mode)
        folder = header.name.endswith("/")
        method = f"compression method {header.method}, only stored and deflated are read"
        regular = {0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}
        faults = (
            (Reason.ENCRYPTED, "an encrypted file", header.flags & _ENCRYPTED),
            (Reason.METHOD, method, header.method not in {_STORED, _DEFLATED}),
            (Reason.LINK, "a symbolic link", kind == stat.S_IFLNK),
            (Reason.SPECIAL, "a special file", kind not in regular),
            (Reason.CONTRADICTION, "a folder with content", folder and header.size),
            (
                Reason.CONTRADICTION,
                "a stored file of two sizes",
                header.method == _STORED and header.size != header.packed,
            ),
        )
        for reason, fault, present in faults:
            if present:
                raise self._fault(reason, fault, header.name)

    def _members(self, file: BinaryIO, headers: list[_Central], end: int) -> list[Member]:
        members = []
        at = 0
        for header in sorted(headers, key=lambda header: header.offset):
            start = self._local(file, header, at)
            at = start + header.packed
            if header.flags & _DESCRIPTOR:
                at += self._descriptor(os.pread(file.fileno(), 24, at), header)
            if at > end:
                raise self._fault(Reason.CONTRADICTION, "files overlap", header.name)
            if not header.name.endswith("/"):
                members.append(_member(header, start, self._where))
        if at != end:
            fault = "bytes before the central directory that belong to no file"
            raise self._fault(Reason.TRAILING, fault)
        return members

    def _local(self, file: BinaryIO, header: _Central, at: int) -> int:
        """Where a member's data starts; its local header must say what the directory says."""
        if header.offset < at:
            raise self._fault(Reason.CONTRADICTION, "files overlap", header.name)
        if header.offset > at:
            raise self._fault(Reason.TRAILING, "bytes that belong to no file", header.name)
        raw = os.pread(file.fileno(), _LOCAL.size, at)
        if len(raw) < _LOCAL.size or not raw.startswith(b"PK\3\4"):
            fault = "a file is not where the directory says"
            raise self._fault(Reason.CONTRADICTION, fault, header.name)
        fields = _LOCAL.unpack(raw)
        (flags, method, crc, packed, size, name_size, extra_size) = (
            fields[i] for i in (2, 3, 6, 7, 8, 9, 10)
        )
        tail = os.pread(file.fileno(), name_size + extra_size, at + _LOCAL.size)
        size, packed = self._wide(tail[name_size:], header.raw_name, [size, packed])
        same = tail[:name_size] == header.raw_name and method == header.method
        told = {(header.crc, crc), (header.packed, packed), (header.size, size)}
        unsaid = {0, _FULL32} if flags & _DESCRIPTOR else {_FULL32}
        differ = any(mine != theirs and theirs not in unsaid for mine, theirs in told)
        if not same or (flags ^ header.flags) & _SHARED or differ:
            raise self._fault(Reason.CONTRADICTION, "a file is described in two ways", header.name)
        return at + _LOCAL.size + int(name_size) + int(extra_size)

    def _descriptor(self, raw: bytes, header: _Central) -> int:
        """Length of the data descriptor behind a member's data (4.3.9)."""
        for layout in ("<4sL2L", "<4sL2Q", "<L2L", "<L2Q"):
            shape = struct.Struct(layout)
            if len(raw) < shape.size:
                continue
            fields = shape.unpack_from(raw)
            if fields[-3:] == (header.crc, header.packed, header.size) and (
                len(fields) == 3 or fields[0] == b"PK\7\x08"  # noqa: PLR2004 - without signature
            ):
                return shape.size
        fault = "a file without its data descriptor"
        raise self._fault(Reason.CONTRADICTION, fault, header.name)


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and body of each extra field (4.5.1)."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        yield kind, extra[at + 4 : at + 4 + length]
        at += 4 + length


def _member(header: _Central, start: int, where: str) -> Member:
    regular = stat.S_ISREG(header.mode)
    return Member(
        name=safe_in(where, header.name),
        size=header.size,
        packed=header.packed,
        start=start,
        deflated=header.method == _DEFLATED,
        crc=header.crc,
        executable=regular and bool(header.mode & 0o111),
        mode=stat.S_IMODE(header.mode),
    )


class _Reader(io.RawIOBase):
    """Inflates one member while it is read."""

    def __init__(self, file: io.FileIO, member: Member, where: str) -> None:
        self._file = file
        self._member = member
        self._where = where
        self._at = member.start
        self._packed = member.packed
        self._left = member.size
        self._crc = 0
        self._inflate = isal_zlib.decompressobj(-15) if member.deflated else None
        self._done = False

    def readable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Close the archive's file as well."""
        self._file.close()
        super().close()

    def readall(self) -> bytes:
        """All that is left."""
        return b"".join(iter(lambda: self._checked(_MIB), b""))

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill as much of the buffer as there is; 0 at the end, when all has been checked."""
        data = self._checked(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _checked(self, size: int) -> bytes:
        if self._done:
            return b""
        try:
            data = self._next(size)
        except _DAMAGED as error:
            raise self._fault("damaged data", error) from error
        if not data:
            self._finish()
            return b""
        self._left -= len(data)
        if self._left < 0:
            raise self._fault("more data than it says", f"more than {self._member.size} bytes")
        self._crc = isal_zlib.crc32(data, self._crc)
        return data

    def _next(self, wanted: int) -> bytes:
        if self._inflate is None:
            return self._raw(min(wanted, _MIB))
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._raw(_PACKED_PIECE)
            data: bytes = self._inflate.decompress(packed, wanted)
            if data or not packed:
                return data
        return b""

    def _raw(self, size: int) -> bytes:
        data = os.pread(self._file.fileno(), min(size, self._packed), self._at)
        self._at += len(data)
        self._packed -= len(data)
        return data

    def _finish(self) -> None:
        self._done = True
        whole = self._inflate is None or (
            self._inflate.eof and not self._inflate.unused_data and not self._packed
        )
        if self._left or not whole or self._crc != self._member.crc:
            got = f"{self._member.size - self._left} bytes, CRC-32 {self._crc:08x}"
            raise self._fault("damaged data", got)

    def _fault(self, message: str, got: object) -> IntegrityError:
        return IntegrityError(
            f"{self._member.name} in {self._where}: {message}",
            expected=f"{self._member.size} bytes, CRC-32 {self._member.crc:08x}",
            got=got,
        )
