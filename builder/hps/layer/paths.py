"""Names and sizes inside archives: what is let in, and what no honest archive holds."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hps.errors import UnsafeArchiveError

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:([\\/]|$)")
_PATH_BYTES = 4096  # PATH_MAX of Linux
_PART_BYTES = 255  # NAME_MAX of Linux
_PARTS = 256  # far beyond real trees, and within what recursive removal can take


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one archive may hold; far above what real wheels and debs hold.

    Args:
        files: entries, directories included.
        size: bytes when unpacked.
        ratio: bytes unpacked for each byte packed, above `ratio_from` bytes unpacked. Deflate
            itself stops at 1032:1, so only overlapping or nested tricks get beyond.
        ratio_from: below this many unpacked bytes the ratio is not looked at.
        links: symbolic links followed in one path; Linux stops at 40 (path_resolution(7)).
    """

    files: int = 200_000
    size: int = 64 * 2**30
    ratio: int = 2000
    ratio_from: int = 100 * 2**20
    links: int = 40

    def check(self, where: str, *, files: int, size: int, packed: int | None = None) -> None:
        """Refuse an archive that holds too much; call it with what is declared or read so far.

        Raises:
            UnsafeArchiveError: naming the archive `where` and the limit.
        """
        if files > self.files:
            raise UnsafeArchiveError(
                f"{where} holds too many files", expected=f"at most {self.files}", got=files
            )
        if size > self.size:
            raise UnsafeArchiveError(
                f"{where} unpacks to too many bytes", expected=f"at most {self.size}", got=size
            )
        if packed is not None and size > self.ratio_from and size > packed * self.ratio:
            raise UnsafeArchiveError(
                f"{where} is a decompression bomb",
                expected=f"at most {self.ratio} bytes for each byte packed",
                got=f"{size} bytes from {packed}",
            )


def safe(name: str) -> str:
    """The normalised relative POSIX path that an archive's entry name stands for.

    `./usr//bin/` becomes `usr/bin`. A backslash inside a name is let through, because Debian's
    systemd units hold them; as a separator that could mean something elsewhere it is not.

    Raises:
        UnsafeArchiveError: the name is absolute, empty or the root itself, has a `..` part, a
            drive, a control character, is not UTF-8, is longer than Linux takes, or deeper than any
            real tree.
    """
    fault = _fault(name)
    if fault:
        raise UnsafeArchiveError(f"unsafe name in an archive: {name!r}", got=fault)
    path = "/".join(part for part in name.split("/") if part not in {"", "."})
    if not path:
        raise UnsafeArchiveError(f"unsafe name in an archive: {name!r}", got="no name at all")
    return path


def _fault(name: str) -> str | None:
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        return "not UTF-8"
    faults = (
        (_CONTROL.search(name), "a control character"),
        (name.startswith(("/", "\\")), "an absolute path"),
        (_DRIVE.match(name), "a drive"),
        (".." in name and ".." in re.split(r"[\\/]", name), "a way out (..)"),
        (name.count("/") >= _PARTS, f"more than {_PARTS} parts"),
        (len(raw) > _PATH_BYTES, f"more than {_PATH_BYTES} bytes"),
        (
            len(raw) > _PART_BYTES and max(map(len, raw.split(b"/"))) > _PART_BYTES,
            f"a part of more than {_PART_BYTES} bytes",
        ),
    )
    return next((text for present, text in faults if present), None)


def check_unique(
    where: str, paths: Iterable[str], *, case_collisions: Literal["refuse", "allow"]
) -> None:
    """Refuse an archive that names a path twice.

    Args:
        where: the archive, for the error.
        paths: normalised by `safe`; files and links, not directories.
        case_collisions: whether names that differ only in case or Unicode form are refused.
            A wheel must work where they are one file; a deb is made for Linux and may hold them.

    Raises:
        UnsafeArchiveError: with every fault in `details`.
    """
    seen: dict[str, str] = {}
    faults = []
    for path in paths:
        key = path if case_collisions == "allow" else _folded(path)
        other = seen.get(key)
        if other is not None:
            faults.append(f"{path!r} twice" if other == path else f"{other!r} and {path!r}")
        seen[key] = path
    if faults:
        raise UnsafeArchiveError(
            f"{where} names a path more than once", details=tuple(sorted(faults))
        )


def _folded(path: str) -> str:
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
