"""Names and sizes inside archives: what is let in, and what no honest archive holds."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hps.archive.refusal import ArchiveError, Reason

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
        file_size: bytes of one file when unpacked.
        ratio: bytes unpacked for each byte packed, above `ratio_from` bytes unpacked. Deflate
            itself stops at 1032:1, so only overlapping or nested tricks get beyond.
        ratio_from: below this many unpacked bytes the ratio is not looked at.
        links: symbolic links followed in one path; Linux stops at 40 (path_resolution(7)).
    """

    files: int = 200_000
    size: int = 64 * 2**30
    file_size: int = 64 * 2**30
    ratio: int = 2000
    ratio_from: int = 100 * 2**20
    links: int = 40

    def check(self, where: str, *, files: int, size: int, packed: int | None = None) -> None:
        """Refuse an archive that holds too much; call it with what is declared or read so far.

        Raises:
            ArchiveError: naming the archive `where` and the limit.
        """
        if files > self.files:
            raise ArchiveError(
                Reason.FILES,
                f"{where} holds too many files",
                expected=f"at most {self.files}",
                got=files,
            )
        if size > self.size:
            raise ArchiveError(
                Reason.BYTES,
                f"{where} unpacks to too many bytes",
                expected=f"at most {self.size}",
                got=size,
            )
        if packed is not None and size > self.ratio_from and size > packed * self.ratio:
            raise ArchiveError(
                Reason.BOMB,
                f"{where} is a decompression bomb",
                expected=f"at most {self.ratio} bytes for each byte packed",
                got=f"{size} bytes from {packed}",
            )

    def check_file(self, where: str, member: str, size: int) -> None:
        """Refuse one file that is too large; call it with what is declared.

        Raises:
            ArchiveError: naming the archive, the file and the limit.
        """
        if size > self.file_size:
            raise ArchiveError(
                Reason.FILE_BYTES,
                f"{where} holds a file that is too large: {member!r}",
                member=member,
                expected=f"at most {self.file_size} bytes",
                got=size,
            )


def safe(name: str) -> str:
    """The normalised relative POSIX path that an archive's entry name stands for.

    `./usr//bin/` becomes `usr/bin`. A backslash inside a name is let through, because Debian's
    systemd units hold them; as a separator that could mean something elsewhere it is not.

    Raises:
        ArchiveError: the name is absolute, empty or the root itself, has a `..` part, a drive, a
            control character, is not UTF-8, is longer than Linux takes, or deeper than any real
            tree.
    """
    fault = _fault(name)
    path = "" if fault else "/".join(part for part in name.split("/") if part not in {"", "."})
    if not path:
        reason, text = fault or (Reason.NAME_EMPTY, "no name at all")
        raise ArchiveError(reason, f"unsafe name in an archive: {name!r}", member=name, got=text)
    return path


def safe_in(where: str, name: str) -> str:
    """As `safe`; the error names the archive as well."""
    try:
        return safe(name)
    except ArchiveError as error:
        raise ArchiveError(
            error.reason, f"{where}: {error.message}", member=name, got=error.got
        ) from error


def is_root(name: str) -> bool:
    """Whether an entry name stands for the root of its archive: `.` or `./`."""
    return name in {".", "./"}


def _fault(name: str) -> tuple[Reason, str] | None:
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        return Reason.NAME_ENCODING, "not UTF-8"
    faults = (
        (_CONTROL.search(name), Reason.NAME_CONTROL, "a control character"),
        (name.startswith(("/", "\\")), Reason.NAME_ABSOLUTE, "an absolute path"),
        (_DRIVE.match(name), Reason.NAME_DRIVE, "a drive"),
        (
            ".." in name and ".." in re.split(r"[\\/]", name),
            Reason.NAME_PARENT,
            "a way out (..)",
        ),
        (name.count("/") >= _PARTS, Reason.NAME_DEEP, f"more than {_PARTS} parts"),
        (len(raw) > _PATH_BYTES, Reason.NAME_LONG, f"more than {_PATH_BYTES} bytes"),
        (
            len(raw) > _PART_BYTES and max(map(len, raw.split(b"/"))) > _PART_BYTES,
            Reason.NAME_LONG,
            f"a part of more than {_PART_BYTES} bytes",
        ),
    )
    return next(((reason, text) for present, reason, text in faults if present), None)


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
        ArchiveError: with every fault in `details`.
    """
    seen: dict[str, str] = {}
    faults = []
    for path in paths:
        key = path if case_collisions == "allow" else folded(path)
        other = seen.get(key)
        if other is not None:
            faults.append(f"{path!r} twice" if other == path else f"{other!r} and {path!r}")
        seen[key] = path
    if faults:
        raise ArchiveError(
            Reason.DUPLICATE,
            f"{where} names a path more than once",
            details=tuple(sorted(faults)),
        )


def folded(path: str) -> str:
    """What a path becomes on a disk that takes upper and lower case, and Unicode forms, for one.

    The Unicode Standard, 3.13, "Default Caseless Matching", D145 (canonical caseless matching).
    """
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
