"""Tars and zips made byte by byte, for what no honest writer would write."""

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence

END = bytes(1024)


def number(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def header(
    name: bytes = b"x",
    kind: bytes = b"0",
    *,
    size: bytes | int = 0,
    mode: bytes | int = 0o644,
    link: bytes = b"",
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    device: bytes = b"",
) -> bytes:
    """One block with a right checksum; every field as given."""
    block = bytearray(512)
    fields = (
        (0, name),
        (100, mode if isinstance(mode, bytes) else number(mode, 8)),
        (108, number(0, 8)),
        (116, number(0, 8)),
        (124, size if isinstance(size, bytes) else number(size, 12)),
        (136, number(0, 12)),
        (148, b" " * 8),
        (156, kind),
        (157, link),
        (257, magic),
        (329, device),
        (345, prefix),
    )
    for at, data in fields:
        block[at : at + len(data)] = data
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: bytes = b"x", data: bytes = b"data", **fields: object) -> bytes:
    """A file with its content."""
    return header(name, size=len(data), **fields) + padded(data)  # type: ignore[arg-type]


def folder(name: bytes) -> bytes:
    return header(name, b"5", mode=0o755)


def records(*pairs: tuple[bytes, bytes]) -> bytes:
    made = b""
    for key, value in pairs:
        body = b" " + key + b"=" + value + b"\n"
        length = len(body) + 1
        while len(body) + len(str(length)) != length:
            length = len(body) + len(str(length))
        made += str(length).encode() + body
    return made


def extended(data: bytes, kind: bytes = b"x") -> bytes:
    """An extended header with this content: pax records, or a long name of GNU tar."""
    return member(b"././@PaxHeader", data, kind=kind)


def pax(*pairs: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    return extended(records(*pairs), kind)


def zip_of(
    files: Sequence[tuple[str, bytes]],
    *,
    method: int = zipfile.ZIP_STORED,
    mode: int = 0o100644,
    system: int = 3,
) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files:
            info = zipfile.ZipInfo(name)
            info.compress_type, info.create_system = method, system
            info.external_attr = mode << 16
            archive.writestr(info, data)
    return out.getvalue()


def raw_zip(files: Sequence[tuple[bytes, bytes]], flags: int = 0x800) -> bytes:
    """A stored zip with names that zipfile would not write."""
    local = central = b""
    for name, data in files:
        told = struct.pack("<5H3L", 20, flags, 0, 0, 0x21, zlib.crc32(data), len(data), len(data))
        offset = len(local)
        local += b"PK\3\4" + told + struct.pack("<2H", len(name), 0) + name + data
        rest = struct.pack("<5H2L", len(name), 0, 0, 0, 0, 0o100644 << 16, offset)
        central += b"PK\1\2" + struct.pack("<H", 3 << 8 | 20) + told + rest + name
    counts = (0, 0, len(files), len(files), len(central), len(local), 0)
    return local + central + b"PK\5\6" + struct.pack("<4H2LH", *counts)


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]
