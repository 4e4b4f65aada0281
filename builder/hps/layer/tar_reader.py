"""Reading tar streams strictly: what tarfile lets pass in silence is an error here."""

import tarfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from hps.archive.decompress import PIECE, damage
from hps.archive.paths import Limits, safe_in
from hps.errors import UnsafeArchiveError
from hps.layer.entry import Kind

_EXTENSIONS = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}
_EXTENSION_BYTES = 1 << 20  # tarfile reads extension headers into memory


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a tar; `reader` is good until the next member is asked for."""

    path: str  # "" is the root itself
    kind: Kind
    mode: int
    size: int
    link: str
    reader: BinaryIO | None


class _StrictTarInfo(tarfile.TarInfo):
    """Raises where tarfile takes a damaged or missing header for the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "_StrictTarInfo":
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # typeshed lacks it
            raise  # the block of zeros that ends an archive (POSIX pax, "ustar Interchange Format")
        except (tarfile.HeaderError, ValueError) as error:  # the latter for odd pax records
            raise tarfile.ReadError(f"no header where one must be ({error})") from error

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        # For every header, and open to subclasses (the comment above it in tarfile). Pythons with
        # the fix of CVE-2025-13462, Debian's among them, no longer call `frombuf`.
        if self.type in _EXTENSIONS and self.size > _EXTENSION_BYTES:
            raise tarfile.ReadError(f"an extension header of {self.size} bytes")
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return member


def members(
    stream: BinaryIO, where: str, *, packed: int, limits: Limits, seek: bool = False
) -> Generator[Member, None, None]:
    """The members of an uncompressed tar stream, in order, with safe names.

    Hard links give their target's normalised path as `link`; symbolic links theirs as written.

    Args:
        stream: read forwards only, unless `seek` is set.
        where: the archive's name, for errors.
        packed: bytes of the compressed archive, to tell a bomb.
        limits: how much it may hold.
        seek: the stream is a file: contents that nobody reads are stepped over, and the readers
            of those that somebody does read can seek.

    Raises:
        UnsafeArchiveError: damaged or cut off, an unsafe name, a device, pipe or sparse file, or
            more than the limits allow.
    """
    files = size = 0
    with (
        damage(where),
        tarfile.open(
            fileobj=stream,
            mode="r:" if seek else "r|",
            bufsize=PIECE,
            tarinfo=_StrictTarInfo,
            encoding="utf-8",
            errors="strict",
        ) as archive,
    ):
        for info in archive:
            archive.members = []  # type: ignore[attr-defined]  # tarfile keeps them all
            files, size = files + 1, size + max(info.size, 0)
            limits.check(where, files=files, size=size, packed=packed)
            reader = archive.extractfile(info) if info.isreg() else None
            yield _member(info, cast("BinaryIO | None", reader), where)


def check_header(path: Path, where: str) -> None:
    """Tell an uncompressed file that is no tar at all from one that is damaged.

    Raises:
        UnsafeArchiveError: its first block is no tar header.
    """
    with path.open("rb") as file:
        block = file.read(tarfile.BLOCKSIZE)
    if block == bytes(tarfile.BLOCKSIZE):
        return  # a tar without members
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise UnsafeArchiveError(
            f"{where} is not an archive",
            expected="a tar (plain, gz, bz2, xz, zst), zip or wheel",
            got=error,
        ) from error


def _member(info: tarfile.TarInfo, reader: BinaryIO | None, where: str) -> Member:
    kind = _kind(info)
    if kind is None or info.issparse() or info.size < 0:
        raise UnsafeArchiveError(
            f"{where} holds something that is no file, folder or link: {info.name!r}",
            got=f"tar type {info.type!r}",
        )
    path = safe_member(info.name, where)
    link = info.linkname
    if kind == "hardlink":
        link = safe_member(link, where)
    elif kind == "symlink" and (not link or not link.isprintable()):
        raise UnsafeArchiveError(f"{where}: {path} is a link with an unsafe target", got=link)
    if not path and kind != "directory":
        raise UnsafeArchiveError(f"{where} holds a {kind} in place of its root")
    size = info.size if kind == "file" else 0
    return Member(path, kind, info.mode & 0o7777, size, link, reader)


def _kind(info: tarfile.TarInfo) -> Kind | None:
    if info.isdir():
        return "directory"
    if info.issym():
        return "symlink"
    if info.islnk():
        return "hardlink"
    return "file" if info.isreg() else None


def safe_member(name: str, where: str) -> str:
    """A member's normalised path; "" for the root itself.

    Raises:
        UnsafeArchiveError: the name is unsafe; names the archive.
    """
    if name.rstrip("/") in {"", "."} and name:
        return ""
    return safe_in(where, name)
