"""Packed models that no honest publisher makes, as data: a name, the bytes, the reason to refuse.

Where a number stands in a comment it is that of an attack in the list that the design was made
from: names (16), links (17), special members (18), one name for two (19), bombs (21), two readings
(22); the CVE numbers are those of CPython's tarfile and zipfile.
"""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import zstandard

from hps.archive.refusal import Reason
from hps.model.extract import ModelLimits, Top
from tests.model.tars import (
    END,
    extended,
    folder,
    header,
    member,
    padded,
    patched,
    pax,
    raw_zip,
    records,
    zip_of,
)


@dataclass(frozen=True)
class Attack:
    """One hostile archive.

    Args:
        name: of the test.
        data: the archive.
        reason: with which it must be refused.
        limits: that it runs into.
        top: the folder that is asked for.
        member: that the refusal must name; None where no single one is at fault.
    """

    name: str
    data: bytes
    reason: Reason
    limits: ModelLimits = field(default_factory=ModelLimits)
    top: Top | None = None
    member: str | None = None


HONEST = member(b"model.pdmodel", b"m" * 700) + member(b"model.pdiparams", b"p" * 1300) + END
ZIP = zip_of([("a.bin", b"a" * 100), ("b.bin", b"b" * 100)])
PACKED = zip_of([("a.bin", b"a" * 1000), ("b.bin", b"b" * 1000)], method=zipfile.ZIP_DEFLATED)
_END = ZIP.rindex(b"PK\5\6")
_CENTRAL = ZIP.index(b"PK\1\2")
_SECOND = ZIP.index(b"PK\3\4", 4)
_SMALL = ModelLimits(files=5, size=10_000, file_size=6_000, ratio=50, ratio_from=5_000, depth=4)
_MIB = bytes(1 << 20)


def attacks() -> Iterator[Attack]:
    """The whole corpus."""
    yield from _names()
    yield from _links()
    yield from _special()
    yield from _twice()
    yield from _too_much()
    yield from _tar_readings()
    yield from _stream_readings()
    yield from _zip_readings()
    yield from _top()
    yield from _regressions()


NAMES = (  # (16)
    ("absolute", b"/etc/cron.d/x", Reason.NAME_ABSOLUTE),
    ("absolute-twice", b"//x", Reason.NAME_ABSOLUTE),
    ("unc", b"\\\\server\\share\\x", Reason.NAME_ABSOLUTE),
    ("parent", b"../x", Reason.NAME_PARENT),
    ("parent-inside", b"a/../../x", Reason.NAME_PARENT),
    ("parent-harmless", b"a/../x", Reason.NAME_PARENT),
    ("parent-dotted", b"./a/../..", Reason.NAME_PARENT),
    ("parent-backslash", b"..\\x", Reason.NAME_PARENT),
    ("backslash", b"a\\b", Reason.NAME_BACKSLASH),
    ("drive", b"C:x", Reason.NAME_FORM),
    ("drive-slash", b"C:/x", Reason.NAME_DRIVE),
    ("drive-backslash", b"c:\\x", Reason.NAME_DRIVE),
    ("newline", b"a\nb", Reason.NAME_CONTROL),
    ("escape", b"\x1b[2Jx", Reason.NAME_CONTROL),
    ("control-of-latin-1", "a\x9bb".encode(), Reason.NAME_CONTROL),
    ("delete", b"a\x7f", Reason.NAME_CONTROL),
    ("right-to-left", "a\u202eb".encode(), Reason.NAME_FORM),
    ("no-break-blank", "a\u00a0".encode(), Reason.NAME_FORM),
    ("decomposed", "u\u0308".encode(), Reason.NAME_FORM),
    ("latin-1", b"\xfcber", Reason.NAME_ENCODING),
    ("overlong-utf-8", b"\xc0\xaf", Reason.NAME_ENCODING),
    ("surrogate", b"\xed\xa0\x80", Reason.NAME_ENCODING),
    ("trailing-dot", b"a.", Reason.NAME_ENDING),
    ("trailing-blank", b"a ", Reason.NAME_ENDING),
    ("trailing-dot-of-a-folder", b"a./b", Reason.NAME_ENDING),
    ("three-dots", b".../x", Reason.NAME_ENDING),
    ("device-of-windows", b"NUL", Reason.NAME_RESERVED),
    ("device-of-windows-folder", b"com1/x", Reason.NAME_RESERVED),
    ("long-part", b"a" * 256, Reason.NAME_LONG),
    ("long-part-utf-8", "é".encode() * 128, Reason.NAME_LONG),
    ("long-path", (b"a" * 200 + b"/") * 6 + b"x", Reason.NAME_LONG),
    ("deep", b"a/" * 40 + b"x", Reason.NAME_DEEP),
    ("deepest", b"a/" * 1900 + b"x", Reason.NAME_DEEP),
)


def _names() -> Iterator[Attack]:
    for name, raw, reason in NAMES:
        plain = member(raw[:100]) if len(raw) <= 100 else pax((b"path", raw)) + member(raw[:100])
        yield Attack(f"name-{name}-tar", member(b"good") + plain + END, reason)
        gnu = extended(raw + b"\0", b"L") + member(raw[:100]) + END
        yield Attack(f"name-{name}-gnu", gnu, reason)
        yield Attack(f"name-{name}-zip", raw_zip([(b"good", b"1"), (raw, b"2")]), reason)
    # What a header cannot hold, an extended one and a zip can.
    nul = pax((b"path", b"a\0/../x")) + member(b"")
    yield Attack("name-nul-pax", nul + END, Reason.NAME_CONTROL)
    yield Attack("name-nul-gnu", extended(b"a\0b\0", b"L") + member(b"") + END, Reason.NAME_CONTROL)
    yield Attack("name-nul-zip", raw_zip([(b"a\0b", b"")]), Reason.NAME_CONTROL)
    yield Attack("name-empty-tar", member(b"") + END, Reason.NAME_EMPTY)
    yield Attack("name-empty-pax", pax((b"path", b"")) + member(b"") + END, Reason.NAME_EMPTY)
    yield Attack("name-empty-zip", raw_zip([(b"", b"x")]), Reason.NAME_EMPTY)
    yield Attack("name-root-as-file", member(b".") + END, Reason.NAME_EMPTY)
    yield Attack("name-slash", folder(b"/") + END, Reason.NAME_ABSOLUTE)
    prefix = member(b"x", prefix=b"../..") + END
    yield Attack("name-prefix-of-ustar", prefix, Reason.NAME_PARENT, member="../../x")
    yield Attack("name-folder", folder(b"../x/") + END, Reason.NAME_PARENT)


def _links() -> Iterator[Attack]:
    """(17): any link, wherever it leads; and what would be written through it."""
    for name, kind in (("symlink", b"2"), ("hardlink", b"1")):
        for target in (b"x", b"..", b"/etc/passwd", b"", b"a" * 100):
            data = member(b"x") + header(b"l", kind, link=target) + member(b"l/x") + END
            shown = target[:4].decode() or "nothing"
            yield Attack(f"{name}-to-{shown}", data, Reason.LINK, member="l")
        long = extended(b"t" * 300 + b"\0", b"K") + header(b"l", kind) + END
        yield Attack(f"{name}-long-gnu", long, Reason.LINK, member="l")
        yield Attack(
            f"{name}-pax", pax((b"linkpath", b"/etc")) + header(b"l", kind) + END, Reason.LINK
        )
    # A link that says that it is a file, and one with content.
    yield Attack("file-with-linkname", member(link=b"/etc/passwd") + END, Reason.CONTRADICTION)
    file = pax((b"linkpath", b"/etc/passwd")) + member()
    yield Attack("file-with-linkpath", file + END, Reason.CONTRADICTION)
    with_data = header(b"l", b"2", size=4, link=b"..") + padded(b"data") + END
    yield Attack("symlink-with-content", with_data, Reason.LINK)
    yield Attack("symlink-zip", zip_of([("l", b"/etc")], mode=0o120777), Reason.LINK, member="l")


def _special() -> Iterator[Attack]:
    """(18)."""
    kinds = {"character": b"3", "block": b"4", "pipe": b"6", "contiguous": b"7", "dump": b"D"}
    kinds |= {"volume": b"V", "solaris": b"X", "unknown": b"Z", "high": b"\xff"}
    for name, kind in kinds.items():
        yield Attack(f"special-{name}", header(b"s", kind) + END, Reason.SPECIAL, member="s")
    yield Attack("special-multivolume", header(b"s", b"M") + END, Reason.PARTS)
    for name, mode in (("device", 0o020644), ("pipe", 0o010644), ("socket", 0o140755)):
        yield Attack(f"special-{name}-zip", zip_of([("s", b"")], mode=mode), Reason.SPECIAL)
    yield Attack("sparse-gnu", header(b"s", b"S") + END, Reason.SPARSE, member="s")
    for key in (b"GNU.sparse.map", b"GNU.sparse.realsize", b"GNU.sparse.major", b"SCHILY.realsize"):
        yield Attack(f"sparse-{key.decode()}", pax((key, b"1")) + member() + END, Reason.SPARSE)
    for value in (b"-1", b"1e3", b"0x10", b"", b"9" * 30, "٣".encode()):
        shown = value.decode(errors="replace")[:3] or "nothing"
        data = pax((b"size", value)) + member() + END
        yield Attack(f"pax-size-{shown}", data, Reason.DAMAGED)
    yield Attack("pax-size-other", pax((b"size", b"3")) + member() + END, Reason.CONTRADICTION)
    large = pax((b"size", str(8**11).encode())) + member() + END
    yield Attack("pax-size-large-and-small", large, Reason.CONTRADICTION)
    yield Attack("pax-path-other", pax((b"path", b"y")) + member() + END, Reason.CONTRADICTION)
    yield Attack(
        "gnu-name-other", extended(b"y\0", b"L") + member() + END, Reason.CONTRADICTION, member="y"
    )
    twice = pax((b"path", b"x"), (b"path", b"x")) + member() + END
    yield Attack("pax-path-twice", twice, Reason.CONTRADICTION)
    yield Attack("pax-twice", pax() + pax() + member() + END, Reason.CONTRADICTION)
    both = pax((b"path", b"x")) + extended(b"x\0", b"L") + member() + END
    yield Attack("pax-and-gnu-name", both, Reason.CONTRADICTION)
    for key in (b"path", b"size", b"linkpath"):
        data = pax((key, b"4"), kind=b"g") + member() + END
        yield Attack(f"pax-global-{key.decode()}", data, Reason.CONTRADICTION)
    sparse = pax((b"GNU.sparse.name", b"y"), kind=b"g") + member() + END
    yield Attack("pax-global-sparse", sparse, Reason.SPARSE)
    for data in (
        b"5 a",
        b"99 path=x\n",
        b"x path=x\n",
        b"0 path=x\n",
        b"8 path=x",
        b"path",
        b"6 ab\n",
    ):
        yield Attack(f"pax-damaged-{data!r}", extended(data) + member() + END, Reason.DAMAGED)
    endless = b"9" * 5000 + b" path=x\n"
    yield Attack("pax-length-endless", extended(endless) + member() + END, Reason.DAMAGED)
    encoding = extended(records((b"path", b"\xff"))) + member() + END
    yield Attack("pax-path-latin-1", encoding, Reason.NAME_ENCODING)
    yield Attack("pax-at-the-end", member() + pax((b"path", b"x")) + END, Reason.TRUNCATED)
    full = header(b"d", b"5", size=4) + padded(b"data") + END
    yield Attack("folder-with-content", full, Reason.CONTRADICTION, member="d")
    old = member(b"d/") + END
    yield Attack("folder-of-1979-with-content", old, Reason.CONTRADICTION, member="d/")
    yield Attack("folder-with-content-zip", zip_of([("d/", b"x")]), Reason.CONTRADICTION)


def _twice() -> Iterator[Attack]:
    """(19): what is one file on some system, or for some reader."""
    pairs = (
        ("same", "m", "m", Reason.DUPLICATE),
        ("same-dotted", "m", "./m", Reason.DUPLICATE),
        ("same-slashes", "a/m", "a//m", Reason.DUPLICATE),
        ("case", "m", "M", Reason.COLLISION),
        ("case-of-a-folder", "a/x", "A/y", Reason.COLLISION),
        ("case-folded", "straße", "STRASSE", Reason.COLLISION),
        ("case-of-kelvin", "k", "\u212a", Reason.NAME_FORM),
        ("unicode-form", "\u00fc", "u\u0308", Reason.NAME_FORM),
        ("case-greek", "ς", "Σ", Reason.COLLISION),
        ("file-then-below", "m", "m/x", Reason.FILE_AS_FOLDER),
        ("below-then-file", "m/x", "m", Reason.FILE_AS_FOLDER),
        ("file-then-far-below", "m", "m/a/b/c", Reason.FILE_AS_FOLDER),
    )
    for name, one, two, reason in pairs:
        tar = member(one.encode()) + member(two.encode(), b"other") + END
        yield Attack(f"twice-{name}-tar", tar, reason)
        packed = raw_zip([(one.encode(), b"1"), (two.encode(), b"2")])
        yield Attack(f"twice-{name}-zip", packed, reason)
    both = member(b"m") + folder(b"m/") + END
    yield Attack("twice-file-then-folder", both, Reason.DUPLICATE, member="m")
    both = folder(b"m/") + member(b"m") + END
    yield Attack("twice-folder-then-file", both, Reason.DUPLICATE, member="m")
    yield Attack("twice-folder", folder(b"m") + folder(b"m/") + END, Reason.DUPLICATE)
    both = member(b"m/x") + folder(b"M/") + END
    yield Attack("twice-folder-case", both, Reason.COLLISION, member="M")


def _too_much() -> Iterator[Attack]:
    """(21)."""
    many = b"".join(member(b"f%d" % count) for count in range(6)) + END
    yield Attack("bomb-files", many, Reason.FILES, _SMALL)
    yield Attack(
        "bomb-files-zip", raw_zip([(b"f%d" % n, b"") for n in range(6)]), Reason.FILES, _SMALL
    )
    deep = member(b"a/b/c/x") + member(b"d/e/f") + END
    yield Attack("bomb-folders-without-entries", deep, Reason.FILES, _SMALL)
    marks = pax((b"comment", b"x"), kind=b"g") * 6 + member() + END
    yield Attack("bomb-global-headers", marks, Reason.FILES, _SMALL)
    yield Attack("bomb-depth", member(b"a/b/c/d/x") + END, Reason.NAME_DEEP, _SMALL)
    two = member(b"a", b"a" * 6000) + member(b"b", b"b" * 6000) + END
    yield Attack("bomb-bytes", two, Reason.BYTES, _SMALL)
    yield Attack("bomb-file", member(b"a", b"a" * 7000) + END, Reason.FILE_BYTES, _SMALL)
    zipped = zip_of([("a", b"a" * 6000), ("b", b"b" * 6000)])
    yield Attack("bomb-bytes-zip", zipped, Reason.BYTES, _SMALL)
    yield Attack("bomb-file-zip", zip_of([("a", b"a" * 7000)]), Reason.FILE_BYTES, _SMALL)
    zeros = member(b"a", bytes(5_500)) + END
    yield Attack("bomb-ratio-gz", gzip.compress(zeros), Reason.BOMB, _SMALL)
    yield Attack("bomb-ratio-bz2", bz2.compress(zeros), Reason.BOMB, _SMALL)
    yield Attack("bomb-ratio-zst", zstandard.compress(zeros), Reason.BOMB, _SMALL)
    packed = zip_of([("a", bytes(5_900))], method=zipfile.ZIP_DEFLATED)
    limits = ModelLimits(ratio=20, ratio_from=5_000)
    yield Attack("bomb-ratio-zip", packed, Reason.BOMB, limits)
    # Says that it is small, and goes on for ever behind its end.
    tail = gzip.compress(member() + END + _MIB * 8)
    limits = ModelLimits(ratio=50, ratio_from=1 << 20)
    yield Attack("bomb-behind-the-end", tail, Reason.BOMB, limits)
    yield Attack(
        "bomb-zeros-behind-the-end", zstandard.compress(HONEST + _MIB * 17), Reason.TRAILING
    )
    for told in (b"\x80" + b"\xff" * 11, b"77777777777\0", b"\x80\0\0\0" + b"\xff" * 8):
        data = header(b"x", size=told) + END
        yield Attack(f"bomb-declared-{told[:4].hex()}", data, Reason.FILE_BYTES, _SMALL)
    for kind in (b"x", b"g", b"L", b"K"):
        data = header(b"e", kind, size=1 << 40) + bytes(4096)
        yield Attack(f"bomb-extended-{kind.decode()}", data, Reason.BYTES)
    twice = gzip.compress(gzip.compress(HONEST + bytes(range(256)) * 4, 0))
    yield Attack("nested-compression", twice, Reason.DAMAGED)


def _tar_readings() -> Iterator[Attack]:
    """(22): cut off, joined, followed by something, and damaged."""
    end = len(HONEST) - len(END)
    yield Attack("tar-cut-0", b"", Reason.NO_ARCHIVE)
    yield Attack("tar-cut-100", HONEST[:100], Reason.NO_ARCHIVE)
    for size in (
        300,
        512,
        700,
        1024,
        1536,
        end - 512,
        end - 1,
        end,
        end + 100,
        end + 512,
        end + 1000,
    ):
        yield Attack(f"tar-cut-{size}", HONEST[:size], Reason.TRUNCATED)
    yield Attack("tar-twice", HONEST + HONEST, Reason.TRAILING)
    joined = HONEST[:-512] + HONEST
    yield Attack("tar-lone-zero-block", joined, Reason.TRAILING)
    yield Attack("tar-text-behind", HONEST + b"x", Reason.TRAILING)
    yield Attack("tar-text-far-behind", HONEST + bytes(9000) + b"x", Reason.TRAILING)
    yield Attack("tar-zip-behind", HONEST + ZIP, Reason.TRAILING)
    yield Attack("tar-empty", END, Reason.EMPTY)
    yield Attack("tar-folders-only", folder(b"a") + END, Reason.EMPTY)
    yield Attack("tar-checksum", patched(HONEST, 2048 - 512 + 10, b"X"), Reason.DAMAGED)
    yield Attack("tar-first-checksum", patched(HONEST, 10, b"X"), Reason.NO_ARCHIVE)
    for name, told in (("letters", b"9999999\0"), ("negative-octal", b"-0000000001\0")):
        yield Attack(f"tar-size-{name}", header(b"x", size=told) + END, Reason.DAMAGED)
    yield Attack("tar-size-two", header(b"x", size=b"12\x0034") + END, Reason.DAMAGED)
    yield Attack("tar-mode-letters", header(b"x", mode=b"rw-r--r-") + END, Reason.DAMAGED)
    yield Attack("text", b"<html>404 Not Found</html>" * 40, Reason.NO_ARCHIVE)
    yield Attack("rar", b"Rar!\x1a\x07\x00" + bytes(600), Reason.NO_ARCHIVE)
    yield Attack("seven-zip", b"7z\xbc\xaf\x27\x1c" + bytes(600), Reason.NO_ARCHIVE)
    yield Attack("compress", b"\x1f\x9d" + bytes(600), Reason.NO_ARCHIVE)
    yield Attack("cpio", b"070701" + b"0" * 600, Reason.NO_ARCHIVE)


def _stream_readings() -> Iterator[Attack]:
    yield Attack(
        "bz2-empty-streams", bz2.compress(b"") * 5000 + bz2.compress(HONEST), Reason.TRAILING
    )
    tiny = b"\x28\xb5\x2f\xfd\x00\x00" + bytes(3) * (3 << 19) + b"\x01\0\0"
    yield Attack("zst-empty-blocks", tiny, Reason.BOMB)
    slow = pax(*[(b"a", b"")] * 150_000, (b"path", b"../x")) + member(b"../x") + END
    yield Attack("pax-many-records", slow, Reason.NAME_PARENT)
    random = zlib.compress(bytes(range(256)), 0) * 900
    body = member(b"w", random) + END
    packers = {
        "gz": gzip.compress(body, 6),
        "bz2": bz2.compress(body),
        "xz": lzma.compress(body),
        "zst": zstandard.ZstdCompressor(write_checksum=True).compress(body),
    }
    for name, data in packers.items():
        for size in (len(data) // 2, len(data) - 1, len(data) - 4, len(data) - 9):
            yield Attack(f"{name}-cut-{len(data) - size}", data[:size], Reason.TRUNCATED)
        yield Attack(f"{name}-text-behind", data + b"rubbish!", _behind(name))
        yield Attack(f"{name}-zeros-behind", data + bytes(512), _behind(name))
        other = packers["xz" if name == "gz" else "gz"]
        yield Attack(f"{name}-other-stream-behind", data + other, _behind(name))
        yield Attack(f"{name}-twice", data + data, Reason.TRAILING)
    # One tar in two members: some readers stop after the first one (22).
    half = gzip.compress(body[: len(body) // 2]) + gzip.compress(body[len(body) // 2 :])
    yield Attack("gz-members", half, Reason.TRAILING)
    half = lzma.compress(body[:1000]) + lzma.compress(body[1000:])
    yield Attack("xz-streams", half, Reason.TRAILING)
    crc = patched(packers["gz"], len(packers["gz"]) - 8, b"\0\0\0\0")
    yield Attack("gz-checksum", crc, Reason.DAMAGED)
    length = patched(packers["gz"], len(packers["gz"]) - 4, b"\0\0\0\0")
    yield Attack("gz-size", length, Reason.DAMAGED)
    crc = patched(packers["zst"], len(packers["zst"]) - 4, b"\0\0\0\0")
    yield Attack("zst-checksum", crc, Reason.DAMAGED)
    yield Attack(
        "xz-index", patched(packers["xz"], len(packers["xz"]) - 20, b"\xff"), Reason.DAMAGED
    )
    skip = b"\x50\x2a\x4d\x18" + struct.pack("<L", 1000) + b"short"
    yield Attack("zst-skippable-cut", packers["zst"] + skip, Reason.TRUNCATED)
    # A window of 2 GiB, of which a decoder would have to keep all (RFC 8878, 3.1.1.1.2).
    yield Attack("zst-window", b"\x28\xb5\x2f\xfd\x00\xa8" + bytes(600), Reason.DAMAGED)
    yield Attack("gz-of-nothing", gzip.compress(b""), Reason.TRUNCATED)
    yield Attack("gz-of-text", gzip.compress(b"text" * 1000), Reason.DAMAGED)


def _behind(codec: str) -> Reason:
    """bz2 and zstd may go on with further streams; what is none is damage to the one, noise to the other."""
    return Reason.DAMAGED if codec == "bz2" else Reason.TRAILING


def _zip_readings() -> Iterator[Attack]:
    cut = (("end", -1), ("half", len(ZIP) // 2), ("directory", _END), ("start", 30))
    for name, at in cut:
        yield Attack(f"zip-cut-{name}", ZIP[:at], Reason.TRUNCATED)
    yield Attack("zip-text-behind", ZIP + b"x", Reason.TRAILING)
    yield Attack("zip-twice", ZIP + ZIP, Reason.CONTRADICTION)
    yield Attack("zip-two-ends", ZIP + ZIP[_END:], Reason.CONTRADICTION)
    inside = ZIP[: _END + 20] + struct.pack("<H", 22) + ZIP[_END:]
    yield Attack("zip-end-in-the-comment", inside, Reason.CONTRADICTION)
    yield Attack("zip-stub", b"#!/bin/sh\n" + ZIP, Reason.NO_ARCHIVE)
    yield Attack("zip-behind-a-tar", HONEST[:-512] + padded(ZIP), Reason.TRAILING)
    yield Attack("zip-empty", zip_of([]), Reason.EMPTY)
    few = patched(ZIP, _END + 8, struct.pack("<2H", 1, 1))
    yield Attack("zip-fewer-than-there-are", few, Reason.CONTRADICTION)
    many = patched(ZIP, _END + 8, struct.pack("<2H", 3, 3))
    yield Attack("zip-more-than-there-are", many, Reason.DAMAGED)
    yield Attack("zip-parts", patched(ZIP, _END + 4, b"\1\0"), Reason.PARTS)
    local = patched(ZIP, 30, b"A")
    yield Attack("zip-name-differs-locally", local, Reason.CONTRADICTION, member="a.bin")
    size = patched(ZIP, 22, struct.pack("<L", 90))
    yield Attack("zip-size-differs-locally", size, Reason.CONTRADICTION, member="a.bin")
    yield Attack("zip-crc-differs-locally", patched(ZIP, 14, bytes(4)), Reason.CONTRADICTION)
    yield Attack("zip-method-differs-locally", patched(ZIP, 8, b"\x08"), Reason.CONTRADICTION)
    yield Attack("zip-method", patched(ZIP, _CENTRAL + 10, b"\x0e\0"), Reason.METHOD)
    for bits in (0x1, 0x40, 0x2000):
        flags = patched(
            patched(ZIP, 6, struct.pack("<H", bits)), _CENTRAL + 8, struct.pack("<H", bits)
        )
        yield Attack(f"zip-encrypted-{bits:x}", flags, Reason.ENCRYPTED, member="a.bin")
    second = ZIP.index(b"PK\1\2", _CENTRAL + 4)
    overlap = patched(ZIP, second + 42, bytes(4))
    yield Attack("zip-overlap", overlap, Reason.CONTRADICTION)
    gap = ZIP[:_SECOND] + b"hidden" + ZIP[_SECOND:]
    gap = patched(gap, second + 6 + 42, struct.pack("<L", _SECOND + 6))
    gap = patched(gap, _END + 6 + 16, struct.pack("<L", _CENTRAL + 6))
    yield Attack("zip-gap", gap, Reason.TRAILING, member="b.bin")
    data = patched(ZIP, ZIP.index(b"aaaa"), b"A")
    yield Attack("zip-crc", data, Reason.DAMAGED, member="a.bin")
    start = PACKED.index(b"a.bin") + 5
    yield Attack("zip-deflate", patched(PACKED, start, b"\xff\xff"), Reason.DAMAGED, member="a.bin")
    yield from _zip64()


def _zip64() -> Iterator[Attack]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("a", "w", force_zip64=True) as file:
        file.write(b"a" * 100)
    wide = out.getvalue()
    at = wide.index(struct.pack("<HHQQ", 1, 16, 100, 100))
    yield Attack(
        "zip64-local-size", patched(wide, at + 4, struct.pack("<Q", 99)), Reason.CONTRADICTION
    )
    huge = patched(wide, at + 4, struct.pack("<Q", 2**63))
    yield Attack("zip64-local-size-huge", huge, Reason.CONTRADICTION)
    end = ZIP[_END:]
    length, start = struct.unpack_from("<2L", end, 12)

    def ended(count: int, length: int, start: int, offset: int = _END, extra: bytes = b"") -> bytes:
        record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, start)
        return ZIP[:_END] + record + extra + struct.pack("<4sLQL", b"PK\6\7", 0, offset, 1) + end

    yield Attack("zip64-end-differs", ended(1, length, start), Reason.CONTRADICTION)
    yield Attack("zip64-end-elsewhere", ended(2, length, start, 2**63), Reason.CONTRADICTION)
    yield Attack("zip64-end-before", ended(2, length, start, 0), Reason.CONTRADICTION)
    yield Attack("zip64-end-gap", ended(2, length, start, extra=b"hidden"), Reason.TRAILING)
    yield Attack("zip64-directory-elsewhere", ended(2, length, start - 1), Reason.CONTRADICTION)
    for kind, name in ((0x7075, "zip-name-twice"), (0x0001, "zip64-sizes-twice")):
        body = b"\1" + bytes(4) + b"other" if kind == 0x7075 else b""
        extra = struct.pack("<HH", kind, len(body)) + body
        extra = extra * (2 if kind == 1 else 1)
        central = patched(ZIP, _CENTRAL + 30, struct.pack("<H", len(extra)))
        where = _CENTRAL + 46 + 5
        central = central[:where] + extra + central[where:]
        central = patched(central, _END + len(extra) + 12, struct.pack("<L", length + len(extra)))
        yield Attack(name, central, Reason.CONTRADICTION, member="a.bin")


def _top() -> Iterator[Attack]:
    """What `--unpacked_filename` names must be there, and nothing beside it."""
    inside = member(b"m/x") + END
    yield Attack("top-missing", inside, Reason.TOP_BESIDE, top=Top("other"))
    leave = Top("other", beside="leave")
    yield Attack("top-missing-beside-left", inside, Reason.TOP_MISSING, top=leave)
    beside = member(b"m/x") + member(b"y") + END
    yield Attack("top-beside", beside, Reason.TOP_BESIDE, top=Top("m"), member="y")
    prefix = member(b"m/x") + member(b"mm/y") + END
    yield Attack("top-prefix-beside", prefix, Reason.TOP_BESIDE, top=Top("m"), member="mm/y")
    file = member(b"m") + END
    yield Attack("top-is-a-file", file, Reason.TOP_BESIDE, top=Top("m"), member="m")
    yield Attack("top-empty", folder(b"m") + END, Reason.EMPTY, top=Top("m"))
    hidden = member(b"m/x") + member(b"../y") + END
    beside_left = Top("m", beside="leave")
    yield Attack("top-escape-beside", hidden, Reason.NAME_PARENT, top=beside_left)


def _regressions() -> Iterator[Attack]:
    """What went wrong in CPython's readers."""
    # CVE-2007-4559: names with `..`, absolute ones.
    yield Attack("CVE-2007-4559", member(b"../../../../etc/passwd") + END, Reason.NAME_PARENT)
    # CVE-2024-12718: a folder member `..` or `.` whose mode and time go to what lies outside.
    yield Attack("CVE-2024-12718", folder(b"a/..") + END, Reason.NAME_PARENT)
    # CVE-2025-4138 and 4330: links that `data` lets through and that lead out.
    chain = header(b"a", b"2", link=b"b/../..") + header(b"b", b"2", link=b".") + END
    yield Attack("CVE-2025-4138", chain, Reason.LINK)
    hard = header(b"s", b"2", link=b"../f") + header(b"h", b"1", link=b"s") + END
    yield Attack("CVE-2025-4330", hard, Reason.LINK)
    # CVE-2025-4435: a refused member is written all the same when errors are passed over.
    yield Attack("CVE-2025-4435", member(b"/abs") + member(b"x") + END, Reason.NAME_ABSOLUTE)
    yield Attack("CVE-2025-4517", _path_max(), Reason.LINK)
    # CVE-2025-8194: a negative offset by a negative size, which reads for ever.
    for size in (b"\xff" * 12, b"\xff" + bytes(11), b"\xff" * 11 + b"\x00"):
        data = header(b"x", size=size) + END
        yield Attack(f"CVE-2025-8194-{size[-2:].hex()}", data, Reason.DAMAGED)
    # CVE-2025-13462: a type that is read again as another one.
    odd = header(b"x/", b"L", size=4) + padded(b"y\0") + header(b"x/", b"\0", size=4) + END
    yield Attack("CVE-2025-13462", odd, Reason.CONTRADICTION)
    # CVE-2019-20907: an extended record of length 0 is read for ever.
    yield Attack("CVE-2019-20907", extended(b"0 path=x\n") + member() + END, Reason.DAMAGED)
    # CVE-2024-0450: overlapping entries of a zip, a bomb without nesting.
    second = ZIP.index(b"PK\1\2", _CENTRAL + 4)
    yield Attack("CVE-2024-0450", patched(ZIP, second + 42, bytes(4)), Reason.CONTRADICTION)
    # CVE-2024-8088: names of a zip over which a path walks for ever.
    yield Attack("CVE-2024-8088", raw_zip([(b"//", b"")]), Reason.NAME_ABSOLUTE)
    # CVE-2025-8291: the locator of the zip64 end record points elsewhere.
    at = _END
    located = struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)
    yield Attack("CVE-2025-8291", ZIP[:at] + located + ZIP[at:], Reason.CONTRADICTION)
    # cpython#149486: symbolic links without a name.
    yield Attack("cpython-149486", header(b"", b"2", link=b"/etc") + END, Reason.LINK)
    # cpython#151558: a hard link becomes a copy of a link, which leads out from where it lies now.
    data = header(b"d/s", b"2", link=b"../f") + header(b"h", b"1", link=b"d/s") + END
    yield Attack("cpython-151558", data, Reason.LINK, member="d/s")
    # cpython#157190: a hard link to a symbolic link changes the mode of what lies outside.
    data = header(b"s", b"2", link=b"/etc/passwd") + header(b"h", b"1", link=b"s", mode=0o777)
    yield Attack("cpython-157190", data + END, Reason.LINK)


def _path_max() -> bytes:
    """Links so long that realpath(3) gives up, behind which `data` no longer sees the way out."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        path, part = "", "d" * 247
        for step in "abcdefghijklmnop":
            info = tarfile.TarInfo(path + part)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
            info = tarfile.TarInfo(path + step)
            info.type, info.linkname = tarfile.SYMTYPE, part
            archive.addfile(info)
            path += part + "/"
        info = tarfile.TarInfo("a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/" + "l" * 254)
        info.type, info.linkname = tarfile.SYMTYPE, "../" * 16
        archive.addfile(info)
    return out.getvalue()
