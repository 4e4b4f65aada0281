"""What an ELF file says to the dynamic linker, read from bytes that nobody vouches for.

Only what ld.so(8) reads is read: program headers, the dynamic section, the versions that are needed
and defined. Section headers are not looked at: linkers may strip them and attackers may lie in
them. Every offset and count is checked against the file; each table has a limit that real files
stay far below. Sources: System V ABI, "Object Files" and "Dynamic Linking"; LSB Core 5.0,
"Symbol Versioning".
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

MAGIC = b"\x7fELF"
# Offset and count; gives fewer bytes at the end of the file.
ReadAt = Callable[[int, int], bytes]

_WIDE = 2  # ELFCLASS64
_HEADER = {1: 52, _WIDE: 64}  # bytes of the header, by EI_CLASS
_SEGMENT = {1: 32, _WIDE: 56}
_ET_EXEC, _ET_DYN = 2, 3
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH = 0, 1, 5, 10, 14, 15
_DT_RUNPATH, _DT_FLAGS_1 = 29, 0x6FFFFFFB
_DT_VERDEF, _DT_VERDEFNUM, _DT_VERNEED, _DT_VERNEEDNUM = (
    0x6FFFFFFC,
    0x6FFFFFFD,
    0x6FFFFFFE,
    0x6FFFFFFF,
)
_DF_1_NODEFLIB, _DF_1_PIE = 0x800, 0x08000000
_VER_FLG_BASE, _VER_FLG_WEAK = 1, 2
_SEGMENTS = 512  # kernels and linkers stop far earlier; real files have about 12
_DYNAMIC = 1 << 20  # bytes of a dynamic section; real ones have less than 2 KiB
_NEEDED = 4096  # libraries that one file needs
_NAME = 4096  # bytes of a name or search path
_VERSIONS = 1 << 20  # bytes of a table of versions
_ENTRIES = 16384  # versions in such a table; libraries of Qt have about 50
_PIECE = 1 << 20

Kind = Literal["executable", "library", "other"]


class ElfError(ValueError):
    """Bytes that begin like an ELF file and go on like none."""


@dataclass(frozen=True, slots=True)
class Elf:
    """One file, as the dynamic linker sees it.

    Args:
        bits: 32 or 64.
        machine: e_machine of the System V ABI: 62 for x86-64, 183 for AArch64.
        kind: an executable is started; a library is loaded; other: object files, core dumps.
        interpreter: path of the dynamic linker (PT_INTERP), if it names one.
        soname: what others know the library by.
        needed: names of libraries that are loaded with it, in order.
        rpath: DT_RPATH, as written; None without one.
        runpath: DT_RUNPATH, likewise.
        default_folders: False when it forbids the default folders (DF_1_NODEFLIB).
        wants: versions that must be defined by a needed library, by its name.
        defines: versions that it defines.
    """

    bits: Literal[32, 64]
    machine: int
    kind: Kind
    interpreter: str | None = None
    soname: str | None = None
    needed: tuple[str, ...] = ()
    rpath: str | None = None
    runpath: str | None = None
    default_folders: bool = True
    wants: tuple[tuple[str, tuple[str, ...]], ...] = ()
    defines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class _File:
    """A file whose header was read."""

    read: ReadAt
    order: str  # of struct
    wide: bool
    type: int
    machine: int
    segments: tuple[_Segment, ...]

    def take(self, offset: int, count: int, what: str) -> bytes:
        data = self.read(offset, count)
        if len(data) != count:
            raise ElfError(f"{what} lies behind the end of the file")
        return data

    def unpack(self, form: str, data: bytes, at: int = 0) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self.order + form, data, at)
        except struct.error:
            raise ElfError("a table is cut off") from None

    def place(self, address: int, what: str) -> tuple[int, int]:
        """Offset in the file of an address in memory, and the bytes that its segment has left."""
        for one in self.segments:
            if one.kind == _PT_LOAD and one.address <= address < one.address + one.size:
                inside = address - one.address
                return one.offset + inside, one.size - inside
        raise ElfError(f"{what} is in no loaded segment")


def read_elf(read: ReadAt) -> Elf:
    """Read one file.

    Args:
        read: gives bytes of it.

    Raises:
        ElfError: it is no ELF file, or contradicts itself.
    """
    file = _open(read)
    interpreter = next((one for one in file.segments if one.kind == _PT_INTERP), None)
    dynamic = next((one for one in file.segments if one.kind == _PT_DYNAMIC), None)
    bits: Literal[32, 64] = 64 if file.wide else 32
    linker = _interpreter(file, interpreter) if interpreter else None
    if dynamic is None:
        kind: Kind = "executable" if file.type in {_ET_EXEC, _ET_DYN} else "other"
        return Elf(bits, file.machine, kind, linker)
    entries = list(_dynamic(file, dynamic))
    facts = dict(entries)  # of several the last counts, as in glibc's elf_get_dynamic_info
    name = _names(file, facts)
    flags = facts.get(_DT_FLAGS_1, 0)
    soname = name(facts[_DT_SONAME]) if _DT_SONAME in facts else None
    started = file.type == _ET_EXEC or flags & _DF_1_PIE or (linker and soname is None)
    return Elf(
        bits,
        file.machine,
        "executable" if started else "library",
        linker,
        soname,
        _needed(entries, name),
        name(facts[_DT_RPATH]) if _DT_RPATH in facts else None,
        name(facts[_DT_RUNPATH]) if _DT_RUNPATH in facts else None,
        not flags & _DF_1_NODEFLIB,
        tuple(_wants(file, facts, name)),
        tuple(_defines(file, facts, name)),
    )


def exports(read: ReadAt, symbol: str) -> bool:
    """Whether the names of dynamic symbols of a file hold this one.

    Raises:
        ElfError: as `read_elf`.
    """
    file = _open(read)
    dynamic = next((one for one in file.segments if one.kind == _PT_DYNAMIC), None)
    facts = dict(_dynamic(file, dynamic)) if dynamic else {}
    if _DT_STRTAB not in facts:
        return False
    start, left = file.place(facts[_DT_STRTAB], "the table of names")
    wanted = b"\0" + symbol.encode() + b"\0"
    end = start + min(left, facts.get(_DT_STRSZ, 0))
    tail = b""
    for at in range(start, end, _PIECE):
        piece = tail + read(at, min(_PIECE, end - at))
        if wanted in piece:
            return True
        tail = piece[-len(wanted) :]
    return False


def _open(read: ReadAt) -> _File:
    head = read(0, 64)
    if len(head) < _HEADER[1] or head[:4] != MAGIC:
        raise ElfError("not an ELF file")
    wide = head[4]
    if wide not in _HEADER or head[5] not in {1, 2}:
        raise ElfError("neither of 32 nor of 64 bits, or in no known byte order")
    if len(head) < _HEADER[wide]:
        raise ElfError("the header is cut off")
    order = "<" if head[5] == 1 else ">"
    form = "HHIQQQIHHH" if wide == _WIDE else "HHIIIIIHHH"
    kind, machine, _, _, table, _, _, _, size, count = struct.unpack_from(order + form, head, 16)
    if count and size != _SEGMENT[wide]:
        raise ElfError(f"program headers of {size} bytes")
    if count > _SEGMENTS:
        raise ElfError(f"{count} program headers")
    file = _File(read, order, wide == _WIDE, kind, machine, ())
    data = file.take(table, count * size, "the table of program headers")
    segments = tuple(_segment(file, data, at) for at in range(0, len(data), size or 1))
    return _File(read, order, wide == _WIDE, kind, machine, segments)


def _segment(file: _File, data: bytes, at: int) -> _Segment:
    if file.wide:
        kind, _, offset, address, _, size = file.unpack("IIQQQQ", data, at)
    else:
        kind, offset, address, _, size = file.unpack("IIIII", data, at)
    return _Segment(kind, offset, address, size)


def _interpreter(file: _File, segment: _Segment) -> str:
    if segment.size > _NAME:
        raise ElfError("the name of its interpreter is too long")
    return _text(file.take(segment.offset, segment.size, "the name of its interpreter"))


def _dynamic(file: _File, segment: _Segment) -> Iterator[tuple[int, int]]:
    if segment.size > _DYNAMIC:
        raise ElfError(f"a dynamic section of {segment.size} bytes")
    data = file.take(segment.offset, segment.size, "the dynamic section")
    form, size = ("QQ", 16) if file.wide else ("II", 8)
    for at in range(0, len(data) - size + 1, size):
        tag, value = file.unpack(form, data, at)
        if tag == _DT_NULL:
            return
        yield tag, value


def _names(file: _File, facts: Mapping[int, int]) -> Callable[[int], str]:
    """What gives a name by its place in the table of names."""
    if _DT_STRTAB not in facts:

        def none(_: int) -> str:
            raise ElfError("names, and no table of names")

        return none
    start, left = file.place(facts[_DT_STRTAB], "the table of names")
    size = min(left, facts.get(_DT_STRSZ, 0))

    @lru_cache(maxsize=1024)
    def name(at: int) -> str:
        if at >= size:
            raise ElfError("a name lies outside of the table of names")
        data = file.read(start + at, min(_NAME, size - at))
        if b"\0" not in data:
            raise ElfError("a name does not end")
        return _text(data)

    return name


def _text(data: bytes) -> str:
    """Up to the first zero; what is not UTF-8 is shown and not lost."""
    return data.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def _needed(entries: list[tuple[int, int]], name: Callable[[int], str]) -> tuple[str, ...]:
    needed = [value for tag, value in entries if tag == _DT_NEEDED]
    if len(needed) > _NEEDED:
        raise ElfError(f"it needs {len(needed)} libraries")
    return tuple(dict.fromkeys(name(value) for value in needed))


def _table(file: _File, address: int, what: str) -> bytes:
    offset, left = file.place(address, what)
    return file.read(offset, min(left, _VERSIONS))


def _wants(
    file: _File, facts: Mapping[int, int], name: Callable[[int], str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Elf_Verneed: a chain of libraries, each with a chain of versions."""
    if _DT_VERNEED not in facts:
        return
    data, at = _table(file, facts[_DT_VERNEED], "the table of needed versions"), 0
    read = 0
    for _ in range(min(facts.get(_DT_VERNEEDNUM, 0), _NEEDED)):
        _, count, library, first, step = file.unpack("HHIII", data, at)
        versions: dict[str, None] = {}
        inner = at + first
        for _ in range(count):
            read += 1
            if read > _ENTRIES:
                raise ElfError(f"it needs more than {_ENTRIES} versions")
            _, flags, _, version, further = file.unpack("IHHII", data, inner)
            if not flags & _VER_FLG_WEAK:
                versions[name(version)] = None
            if not further:
                break
            inner += further
        yield name(library), tuple(versions)
        if not step:
            return
        at += step


def _defines(file: _File, facts: Mapping[int, int], name: Callable[[int], str]) -> Iterator[str]:
    """Elf_Verdef: a chain of versions; the first name of each is its own."""
    if _DT_VERDEF not in facts:
        return
    data, at = _table(file, facts[_DT_VERDEF], "the table of defined versions"), 0
    count = facts.get(_DT_VERDEFNUM, 0)
    if count > _ENTRIES:
        raise ElfError(f"it defines {count} versions")
    for _ in range(count):
        _, flags, _, names, _, first, step = file.unpack("HHHHIII", data, at)
        if not flags & _VER_FLG_BASE and names:
            (version, _) = file.unpack("II", data, at + first)
            yield name(version)
        if not step:
            return
        at += step
