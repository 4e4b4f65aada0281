"""The fields of tar headers, read and written: pure functions of blocks of 512 bytes.

POSIX.1-2001, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar 1.34, tar.h
("Basic Tar Format" of its manual) for base 256 and long names. What is made of the fields is
the reader's.
"""

from collections.abc import Iterator

from hps.archive.refusal import ArchiveError, Reason

BLOCK = 512
EXTENDED_LIMIT = 1 << 20  # bytes of pax records or of a long name, which are held in memory

SIZE_LIMIT = 8**11  # eleven octal digits: larger sizes and times need an extended header

_NAME, _PREFIX, _LINK = 100, 155, 100  # field widths
_ID_LIMIT = 8**7
_POSITIVE_256 = 0x80  # the mark of a positive number in base 256
_DIGITS = 20  # no number of a file needs as many
_KEYS = frozenset({b"path", b"linkpath", b"size"})


def check_sum(block: bytes, where: str) -> None:
    """Whether a block is a header.

    Raises:
        ArchiveError: its checksum is wrong.
    """
    stated = number(block[148:156], where)
    if stated != sum(block) - sum(block[148:156]) + 8 * 0x20:
        fault = "a header with a wrong checksum: no tar, or damaged"
        raise ArchiveError(Reason.DAMAGED, f"{where}: {fault}")


def number(field: bytes, where: str) -> int:
    """An octal field; or base 256, which GNU tar writes for large numbers."""
    if field[0] == _POSITIVE_256:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        fault = "a header with a damaged number"
        raise ArchiveError(Reason.DAMAGED, f"{where}: {fault}", got=field)
    return int(digits or b"0", 8)


def decimal(value: str, where: str) -> int:
    """A number of a pax record."""
    if not (value.isascii() and value.isdigit() and len(value) < _DIGITS):
        fault = "a damaged number in an extended header"
        raise ArchiveError(Reason.DAMAGED, f"{where}: {fault}", got=value)
    return int(value)


def records(data: bytes, kind: bytes, where: str) -> dict[str, str]:
    """What an extended header says of path, linkpath and size; other records say nothing here.

    Args:
        data: its content.
        kind: its typeflag: `x` and `g` for pax, `L` and `K` for long names of GNU tar.
        where: the archive, for errors.

    Raises:
        ArchiveError: damaged, says one thing twice, or speaks of a sparse file.
    """
    if kind in b"LK":
        return {"path" if kind == b"L" else "linkpath": text(data.rstrip(b"\0"), where)}
    found: dict[str, str] = {}
    for key, value in _pairs(data, where):
        if key in _KEYS:
            name = key.decode()
            if name in found:
                fault = f"an extended header that says {name} twice"
                raise ArchiveError(Reason.CONTRADICTION, f"{where}: {fault}", member=found[name])
            found[name] = text(value, where)
        elif key.startswith(b"GNU.sparse.") or key == b"SCHILY.realsize":
            raise ArchiveError(Reason.SPARSE, f"{where}: a sparse file")
    return found


def _pairs(data: bytes, where: str) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        blank = data.find(b" ", at, at + _DIGITS)
        length = data[at : max(blank, at)]
        end = at + int(length) if length.isdigit() else 0
        if not blank + 1 < end <= len(data):
            raise ArchiveError(Reason.DAMAGED, f"{where}: a damaged extended header")
        key, equals, value = data[blank + 1 : end].partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise ArchiveError(Reason.DAMAGED, f"{where}: a damaged extended header")
        yield key, value[:-1]
        at = end


def text(raw: bytes, where: str) -> str:
    """A name."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        fault = "a name that is not UTF-8"
        raise ArchiveError(Reason.NAME_ENCODING, f"{where}: {fault}", got=raw) from error


def name_of(block: bytes, where: str) -> str:
    """The name that a header has by itself, with the prefix of ustar."""
    name = text(block[:_NAME].partition(b"\0")[0], where)
    prefix = block[345 : 345 + _PREFIX].partition(b"\0")[0]
    if prefix and block[257:263] == b"ustar\0":
        name = f"{text(prefix, where)}/{name}"
    return name


def link_of(block: bytes, where: str) -> str:
    """The target that a header of a link has by itself."""
    return text(block[157 : 157 + _LINK].partition(b"\0")[0], where)


def header(
    path: str,
    typeflag: bytes,
    *,
    mode: int,
    epoch: int,
    size: int = 0,
    link: str = "",
    owner: tuple[int, int] = (0, 0),
) -> bytes:
    """The header blocks of a member; an extended header only for what ustar cannot hold.

    Args:
        path: of a folder with a slash at its end.
        typeflag: `0` for files, `1` hard links, `2` symbolic links, `5` folders.
        mode: permission bits.
        epoch: modification time, seconds since 1970, below `SIZE_LIMIT`.
        size: of a file's content.
        link: where a link points.
        owner: uid and gid.
    """
    extended: dict[str, str] = {}
    split = _split(path)
    if split is None:
        extended["path"] = path
        split = _ascii(path, _NAME), b""
    if len(link) > _LINK or not link.isascii():
        extended["linkpath"] = link
    numbers = {"mode": mode, "size": size, "uid": owner[0], "gid": owner[1]}
    for key, limit in (("size", SIZE_LIMIT), ("uid", _ID_LIMIT), ("gid", _ID_LIMIT)):
        if numbers[key] >= limit:
            extended[key] = str(numbers[key])
            numbers[key] = 0
    block = _block(split, numbers, epoch, typeflag, _ascii(link, _LINK))
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
    block = block.ljust(BLOCK, b"\0")
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
    return block + data + bytes(-len(data) % BLOCK)


def _record(key: str, value: str) -> bytes:
    """Length, blank, key=value, newline, where the length counts its own digits."""
    body = f" {key}={value}\n".encode()
    length = len(body) + 1
    while len(body) + len(str(length)) != length:
        length = len(body) + len(str(length))
    return str(length).encode() + body
