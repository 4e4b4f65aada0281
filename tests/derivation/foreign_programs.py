"""Programs for arm64, a few instructions each, written word by word (Arm ARM, C6.2)."""

import struct

_BASE = 0x400000  # where they are loaded
_HEAD = 64 + 56  # the ELF header and one program header
_WRITE, _EXIT, _EXECVE = 64, 93, 221  # asm-generic/unistd.h
_SVC = 0xD4000001
_BRANCH_TO_ITSELF = 0x14000000


def says(text: str, code: int = 0) -> bytes:
    """Prints a text and ends with an exit code."""
    data = text.encode()
    words = [_mov(8, _WRITE), _mov(0, 1), 0, _mov(2, len(data)), _SVC]
    words += [_mov(8, _EXIT), _mov(0, code), _SVC]
    words[2] = _adr(1, 4 * (len(words) - 2))
    return elf(words, data)


def starts(path: str, code: int = 42) -> bytes:
    """Becomes another program without arguments; ends with an exit code when it cannot."""
    words = [_mov(8, _EXECVE), 0, 0, _mov(2, 0), _SVC, _mov(8, _EXIT), _mov(0, code), _SVC]
    name = path.encode() + b"\0"
    name += bytes(-len(name) % 8)
    start = 4 * len(words)
    words[1] = _adr(0, start - 4)
    words[2] = _adr(1, start + len(name) - 8)
    return elf(words, name + struct.pack("<QQ", _BASE + _HEAD + start, 0))


def never_ends() -> bytes:
    """Runs until it is killed."""
    return elf([_BRANCH_TO_ITSELF], b"")


def elf(words: list[int], data: bytes) -> bytes:
    """A static program (ELF-64): all of it in one segment."""
    body = struct.pack(f"<{len(words)}I", *words) + data
    size = _HEAD + len(body)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, _BASE + _HEAD, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return ident + head + segment + body


def _mov(register: int, value: int) -> int:
    return 0xD2800000 | value << 5 | register


def _adr(register: int, offset: int) -> int:
    return 0x10000000 | (offset & 3) << 29 | (offset >> 2 & 0x7FFFF) << 5 | register
