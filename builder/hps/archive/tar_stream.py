"""A strict reader of tars with files and folders, for what comes from strangers.

Reads what today's writers write (ustar, GNU, pax, v7), forwards, without a seek, in constant
memory. Refuses whatever two readers could read differently: names or sizes that are told twice
and differ, a lone block of zeros, members behind the end. POSIX.1-2001, pax, "ustar Interchange
Format" and "pax Extended Header".
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from hps.archive import tar_header
from hps.archive.paths import Limits, is_root, safe_in
from hps.archive.refusal import ArchiveError, Reason
from hps.archive.tar_header import BLOCK

_ZEROS = bytes(BLOCK)
_END_LIMIT = 16 << 20  # bytes of zeros at the end; writers fill up to records of 10 KiB to 1 MiB
_HEADERS = 8192  # bytes that a member may take beside its content
_SURELY_HELD = 99  # bytes of a name that every writer puts into the header itself
_FILES = frozenset({b"0", b"\0"})
_EXTENSIONS = frozenset({b"x", b"g", b"L", b"K"})
_REFUSED = {
    b"1": (Reason.LINK, "a hard link"),
    b"2": (Reason.LINK, "a symbolic link"),
    b"3": (Reason.SPECIAL, "a device"),
    b"4": (Reason.SPECIAL, "a device"),
    b"6": (Reason.SPECIAL, "a pipe"),
    b"S": (Reason.SPARSE, "a sparse file"),
    b"M": (Reason.PARTS, "one part of several"),
}


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file or folder of a tar.

    Args:
        path: as `safe` gives it; empty for the root itself.
        folder: or a file.
        mode: permission bits as the archive has them, with set-user-ID and the like.
        size: bytes of a file.
        pieces: these bytes, until the next member is asked for.
    """

    path: str
    folder: bool
    mode: int
    size: int
    pieces: Iterator[memoryview]


class Tape:
    """The bytes of a tar, forwards, out of pieces of any length.

    Args:
        pieces: the uncompressed bytes.
        where: the archive, for errors.
        limits: how many bytes may come.
        packed: bytes of the archive as it lies on the disk.
    """

    def __init__(self, pieces: Iterator[bytes], where: str, limits: Limits, packed: int) -> None:
        self.where = where
        self._pieces = pieces
        self._limits = limits
        self._packed = packed
        self._piece = memoryview(b"")
        self._came = 0

    def block(self) -> bytes:
        """The next 512 bytes; raises ArchiveError when there are fewer."""
        if len(self._piece) >= BLOCK:
            block, self._piece = self._piece[:BLOCK], self._piece[BLOCK:]
            return bytes(block)
        return b"".join(self.content(BLOCK))

    def content(self, size: int) -> Iterator[memoryview]:
        """The next `size` bytes, in pieces; raises ArchiveError when there are fewer."""
        while size:
            if not self._piece and not self._more():
                raise ArchiveError(Reason.TRUNCATED, f"{self.where} is cut off")
            piece, self._piece = self._piece[:size], self._piece[size:]
            size -= len(piece)
            yield piece

    def rest(self) -> Iterator[memoryview]:
        """Whatever is left."""
        while self._piece or self._more():
            piece, self._piece = self._piece, memoryview(b"")
            yield piece

    def _more(self) -> bool:
        piece = next(self._pieces, b"")
        self._came += len(piece)
        limits = self._limits
        content = self._came - _END_LIMIT - limits.files * _HEADERS
        limits.check(self.where, files=0, size=content)
        limits.check(self.where, files=0, size=min(self._came, limits.size), packed=self._packed)
        self._piece = memoryview(piece)
        return bool(piece)


@dataclass(slots=True)
class _Extended:
    """What extended headers said of the member that follows them."""

    kinds: set[bytes] = field(default_factory=set)
    said: dict[str, str] = field(default_factory=dict)


def members(tape: Tape, limits: Limits, packed: int) -> Generator[TarMember, None, None]:
    """The members in order; what is not read of a member is passed over.

    Raises:
        ArchiveError: damaged, cut off, more than the limits allow, something else than files
            and folders, an unsafe name, or anything that readers read differently.
    """
    count = size = 0
    extended = _Extended()
    while (block := tape.block()) != _ZEROS:
        tar_header.check_sum(block, tape.where)
        count += 1
        limits.check(tape.where, files=count, size=size, packed=packed)
        if block[156:157] in _EXTENSIONS:
            _extend(extended, block, tape)
            count -= block[156:157] != b"g"
            continue
        member = _member(block, extended.said, tape)
        extended = _Extended()
        size += member.size
        limits.check_file(tape.where, member.path, member.size)
        limits.check(tape.where, files=count, size=size, packed=packed)
        yield member
        _pass(member.pieces)
        _pass(tape.content(-member.size % BLOCK))
    if extended.kinds:
        raise _fault(tape, Reason.TRUNCATED, "ends behind an extended header")
    _finish(tape)


def _extend(extended: _Extended, block: bytes, tape: Tape) -> None:
    kind = block[156:157]
    size = tar_header.number(block[124:136], tape.where)
    if size > tar_header.EXTENDED_LIMIT:
        raise _fault(tape, Reason.BYTES, f"an extended header of {size} bytes")
    data = b"".join(tape.content(size))
    _pass(tape.content(-size % BLOCK))
    records = tar_header.records(data, kind, tape.where)
    if kind == b"g":
        if records:
            raise _fault(tape, Reason.CONTRADICTION, "a name or size for all members at once")
        return
    if kind in extended.kinds or records.keys() & extended.said.keys():
        raise _fault(tape, Reason.CONTRADICTION, "two extended headers for one member")
    extended.kinds.add(kind)
    extended.said |= records


def _member(block: bytes, said: dict[str, str], tape: Tape) -> TarMember:
    typeflag = block[156:157]
    short = tar_header.name_of(block, tape.where)
    name = said.get("path", short)
    if typeflag not in _FILES and typeflag != b"5":
        other = (Reason.SPECIAL, f"a member of type {typeflag!r}")
        raise _fault(tape, *_REFUSED.get(typeflag, other), name)
    if not _agree(name, short, block[:_SURELY_HELD]):
        raise _fault(tape, Reason.CONTRADICTION, f"a file with two names, also {short!r}", name)
    if "linkpath" in said or block[157:257].strip(b"\0"):
        raise _fault(tape, Reason.CONTRADICTION, "a file that is a link as well", name)
    size = _size(block, said, tape, name)
    folder = typeflag == b"5" or name.endswith("/")  # as tar wrote folders before 1988
    path = "" if folder and is_root(name) else safe_in(tape.where, name)
    if folder and size:
        raise _fault(tape, Reason.CONTRADICTION, "a folder with content", name)
    mode = tar_header.number(block[100:108], tape.where) & 0o7777
    return TarMember(path, folder, mode, size, tape.content(size))


def _agree(name: str, short: str, field: bytes) -> bool:
    """Whether an extended name can go with the name in the header itself.

    Writers cut long names off, or put others into their place; short ones they write twice.
    """
    raw = name.rstrip("/").encode("utf-8", "surrogateescape")
    held = len(raw) <= _SURELY_HELD and raw.isascii()
    return name == short or not held or short.rstrip("/") == name.rstrip("/") or not any(field)


def _size(block: bytes, said: dict[str, str], tape: Tape, name: str) -> int:
    short = tar_header.number(block[124:136], tape.where)
    if "size" not in said:
        return short
    size = tar_header.decimal(said["size"], tape.where)
    # What eleven digits cannot hold is written as nothing, as zero, or as the largest number.
    unsaid = {0, tar_header.SIZE_LIMIT - 1} if size >= tar_header.SIZE_LIMIT else set()
    if short != size and short not in unsaid:
        fault = f"a file of two sizes, {size} and {short}"
        raise _fault(tape, Reason.CONTRADICTION, fault, name)
    return size


def _finish(tape: Tape) -> None:
    """Two blocks of zeros end a tar; whatever follows is zeros too, which fill up a record."""
    if tape.block() != _ZEROS:
        raise _fault(tape, Reason.TRAILING, "a lone block of zeros between members")
    size = 0
    for piece in tape.rest():
        size += len(piece)
        if size > _END_LIMIT or bytes(piece).strip(b"\0"):
            raise _fault(tape, Reason.TRAILING, "bytes behind the end")


def _pass(pieces: Iterator[memoryview]) -> None:
    for _ in pieces:
        pass


def _fault(tape: Tape, reason: Reason, message: str, member: str = "") -> ArchiveError:
    said = f"{tape.where}: {member!r} is {message}" if member else f"{tape.where}: {message}"
    return ArchiveError(reason, said, member=member)
