"""What a layer holds for the dynamic linker: libraries, links, its configuration, version notes.

One pass over the tar gives facts as lines of JSON; whoever audits an image or looks at its stack
reads these and no payload.
"""

import base64
import fnmatch
import itertools
import json
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from hps.archive.decompress import PIECE, codec_of, damage, decompressed, window
from hps.archive.paths import Limits
from hps.errors import StoreCorruptError
from hps.layer.elf import MAGIC, Elf, ElfError, ReadAt, exports, read_elf
from hps.layer.entry import Kind
from hps.layer.spool import Spool
from hps.layer.tar_reader import Member, members

_NOTE = 1 << 16  # bytes of a note; a version file has less than 10 KiB
_CACHE = 1 << 24  # bytes of ld.so.cache; one of 4,000 libraries has 300 KiB
LINKER_CACHE = "etc/ld.so.cache"
LINKER_CONFIGURATION = "etc/ld.so.conf"
_NOTES = (
    LINKER_CONFIGURATION,
    "etc/ld.so.conf.d/*.conf",
    # Where the parts of a GPU stack say which version they are.
    "*/cudnn_version*.h",
    "*/NvInferVersion.h",
    "usr/local/cuda*/version.json",
    "*/paddle/version/__init__.py",
    "*/nvidia_*.dist-info/METADATA",
    "*/tensorrt*.dist-info/METADATA",
    "*/paddlepaddle*.dist-info/METADATA",
)
_NOTED = re.compile("|".join(f"(?:{fnmatch.translate(pattern)})" for pattern in _NOTES))
# What names a library in the text of a program: `libfoo.so`, `libfoo.so.1`, as dlopen(3) takes it.
# The end is rare and is looked for first; the beginning lies at most _STEM bytes before it.
_END = re.compile(rb"\.so(?:\.[0-9]{1,9}){0,5}(?![A-Za-z0-9_])")
_BEGIN = re.compile(rb"lib[A-Za-z0-9_+-][A-Za-z0-9_+.-]*\Z")
_STEM = 104
_NAME_LENGTH = 200  # bytes; longer than any name
_ENDS = 100_000  # ends in one file that are looked at: bytes of strangers must not take for ever
_SOURCE = 1 << 20  # bytes of a Python module that is looked through
_MODULE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\.[^/]+)?\.so")


@dataclass(frozen=True, slots=True)
class Thing:
    """One path of a layer, as far as the dynamic linker cares.

    Args:
        path: as in the tar, without a trailing slash.
        kind: of the entry.
        link: where a link points; a hard link's target is a path of the same layer.
        size: bytes of a file.
        elf: what an ELF file says.
        module: whether Python can import it (it exports PyInit_NAME).
        fault: why a file that begins like an ELF file cannot be read as one.
        note: the bytes of a configuration or version file.
        names: names of libraries in the bytes of an ELF file or Python module, sorted; those that
            it needs, and its own, too.
    """

    path: str
    kind: Kind
    link: str = ""
    size: int = 0
    elf: Elf | None = None
    module: bool = False
    fault: str = ""
    note: bytes | None = None
    names: tuple[str, ...] = ()

    def dump(self) -> bytes:
        """One line of JSON."""
        elf = astuple(self.elf) if self.elf else None
        note = None if self.note is None else base64.b64encode(self.note).decode()
        fields = [self.path, self.kind, self.link, self.size, elf, self.module, self.fault, note]
        fields.append(self.names)
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def read_things(lines: Iterable[bytes]) -> Iterator[Thing]:
    """Read what `Thing.dump` wrote, line by line.

    Raises:
        StoreCorruptError: a line is not one of these facts.
    """
    for number, line in enumerate(lines, 1):
        try:
            yield _thing(json.loads(line))
        except (ValueError, TypeError, RecursionError) as error:
            raise StoreCorruptError(
                f"line {number} of a layer's libraries cannot be read",
                got=line[:200],
                hint="hps store verify",
            ) from error


def _thing(fields: list[Any]) -> Thing:
    path, kind, link, size, elf, module, fault, note, names = fields
    return Thing(
        path,
        kind,
        link,
        size,
        None if elf is None else _elf(elf),
        module,
        fault,
        None if note is None else base64.b64decode(note, validate=True),
        tuple(names),
    )


def _elf(fields: list[Any]) -> Elf:
    bits, machine, kind, linker, soname, needed, rpath, runpath, default, wants, defines = fields
    versions = tuple((library, tuple(names)) for library, names in wants)
    return Elf(
        bits=bits,
        machine=machine,
        kind=kind,
        interpreter=linker,
        soname=soname,
        needed=tuple(needed),
        rpath=rpath,
        runpath=runpath,
        default_folders=default,
        wants=versions,
        defines=tuple(defines),
    )


def layer_things(
    layer: Path, where: str, spool: Path, limits: Limits | None = None
) -> Iterator[Thing]:
    """Every path of a layer, in the order of its tar.

    Args:
        layer: the tar, plain or packed (OCI image-spec, "Image Layer Filesystem Changeset").
        where: what to call it in errors.
        spool: a folder for the plain tar of a packed one; the caller removes it.
        limits: how much it may hold.

    Raises:
        UnsafeArchiveError: it is damaged, or holds what no layer may hold.
        StoreError: the spool's disk is full.
    """
    limits = limits or Limits()
    packed = layer.stat().st_size
    plain = _plain(layer, where, spool, limits)
    with (
        plain.open("rb") as file,
        damage(where),
    ):
        for member in members(file, where, packed=packed, limits=limits, seek=True):
            if member.path:
                yield _look(member)


def _plain(layer: Path, where: str, spool: Path, limits: Limits) -> Path:
    """The layer itself, or what it unpacks to."""
    packed = layer.stat().st_size
    with layer.open("rb") as file:
        codec = codec_of(file.read(6))
    if codec == "none":
        return layer
    path = spool / "plain.tar"
    size = 0
    with (
        damage(where),
        Spool(path) as plain,
        window(layer, 0, packed) as source,
        decompressed(source, codec) as stream,
    ):
        while piece := stream.read(PIECE):
            size += len(piece)
            limits.check(where, files=0, size=size, packed=packed)
            plain.write(piece)
    return path


def _look(member: Member) -> Thing:
    if member.kind != "file" or member.reader is None:
        return Thing(member.path, member.kind, member.link)
    limit = _note_limit(member.path)
    if limit is not None:
        note = member.reader.read(limit + 1)
        return Thing(member.path, "file", size=member.size, note=note[:limit])
    if member.path.endswith(".py") and member.size <= _SOURCE:
        return Thing(member.path, "file", size=member.size, names=_names(member.reader))
    if member.size < len(MAGIC) or member.reader.read(len(MAGIC)) != MAGIC:
        return Thing(member.path, "file", size=member.size)
    read: ReadAt = partial(_read_at, member.reader, member.size)
    try:
        elf = read_elf(read)
        module = elf.kind == "library" and _is_module(member.path, read)
    except ElfError as error:
        return Thing(member.path, "file", size=member.size, fault=str(error))
    member.reader.seek(0)
    names = _names(member.reader)
    return Thing(member.path, "file", size=member.size, elf=elf, module=module, names=names)


def _names(reader: BinaryIO) -> tuple[str, ...]:
    """Names of libraries in bytes; a name on the border of two pieces is found in the second."""
    found: set[bytes] = set()
    tail, left = b"", _ENDS
    while (read := reader.read(PIECE)) and left > 0:
        piece = tail + read
        for end in itertools.islice(_END.finditer(piece), left):
            left -= 1
            if begin := _BEGIN.search(piece, max(0, end.start() - _STEM), end.start()):
                found.add(begin[0] + end[0])
        tail = piece[-_NAME_LENGTH:]
    return tuple(sorted(name.decode() for name in found))


def _note_limit(path: str) -> int | None:
    if path == LINKER_CACHE:
        return _CACHE
    return _NOTE if _NOTED.match(path) else None


def _is_module(path: str, read: ReadAt) -> bool:
    """PEP 489, "Export Hook Name"; names of modules that are not ASCII are not looked for."""
    name = _MODULE.fullmatch(posixpath.basename(path))
    return name is not None and exports(read, f"PyInit_{name[1]}")


def _read_at(reader: BinaryIO, size: int, offset: int, count: int) -> bytes:
    if offset >= size:
        return b""
    reader.seek(offset)
    return reader.read(count)
