"""Reading ar archives, as Debian packages are made of (deb(5), "FORMAT"; ar(5))."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hps.errors import UnsafeArchiveError

_MAGIC = b"!<arch>\n"
_HEADER = 60
_FIELDS = re.compile(
    rb"(?P<name>[!-~][ -~]{15})[0-9 ]{12}[0-9 ]{6}[0-9 ]{6}[0-7 ]{8}(?P<size>[0-9]+ *)`\n"
)


@dataclass(frozen=True, slots=True)
class Member:
    """One member: its name and where its bytes lie in the file."""

    name: str
    offset: int
    size: int


def members(path: Path, where: str) -> Iterator[Member]:
    """The members of an ar archive, in order; errors call it `where`.

    Raises:
        UnsafeArchiveError: it is not an ar archive, or a member is cut off or out of form.
    """
    total = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise UnsafeArchiveError(f"{where} is not an ar archive")
        offset = len(_MAGIC)
        while offset < total:
            file.seek(offset)
            member = _member(file.read(_HEADER), offset + _HEADER, where)
            offset = member.offset + member.size
            if offset > total:
                raise UnsafeArchiveError(
                    f"{where} ends inside its member {member.name}", expected=offset, got=total
                )
            yield member
            offset += offset % 2  # members start at even offsets


def _member(header: bytes, offset: int, where: str) -> Member:
    match = _FIELDS.fullmatch(header) if len(header) == _HEADER else None
    if match is None:
        raise UnsafeArchiveError(f"{where} has a damaged ar header", got=header)
    name = match["name"].decode("ascii").rstrip(" ").removesuffix("/")
    return Member(name, offset, int(match["size"]))
