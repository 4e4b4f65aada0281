"""Reading zip archives of any make, with the same result as `hps.layer.tar_reader`.

Wheels are installed through the stricter `hps.archive.zip_archive`. A zip that people pack holds
links, empty folders and other compressions than deflate, which that one refuses.
"""

import errno
import stat
import struct
import zipfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from hps.archive.decompress import damage
from hps.archive.paths import Limits
from hps.errors import UnsafeArchiveError
from hps.layer.tar_reader import Member, safe_member

_UNIX = 3  # "version made by" (APPNOTE.TXT 4.4.2)
_ENCRYPTED = 1  # general purpose bit 0 (APPNOTE.TXT 4.4.4)
_LINK_BYTES = 4096


def members(path: Path, where: str, limits: Limits) -> Generator[Member, None, None]:
    """The members of a zip archive, in the order of its central directory.

    Args:
        path: the archive.
        where: its name, for errors.
        limits: how much it may hold.

    Raises:
        UnsafeArchiveError: damaged, encrypted, an unsafe name, a device, or more than the limits
            allow.
    """
    packed = path.stat().st_size
    with damage(where), _oddities(where), zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        size = sum(info.file_size for info in infos)
        limits.check(where, files=len(infos), size=size, packed=packed)
        for info in infos:
            yield from _members(archive, info, where)


@contextmanager
def _oddities(where: str) -> Iterator[None]:
    """What zipfile raises on headers that make no sense to it, next to BadZipFile."""
    try:
        yield
    except (NotImplementedError, RuntimeError, ValueError, OverflowError, struct.error) as error:
        raise UnsafeArchiveError(f"{where} cannot be read as a zip", got=error) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a seek to before the start
            raise
        raise UnsafeArchiveError(f"{where} is damaged", got=error) from error


def _members(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str
) -> Generator[Member, None, None]:
    # zipfile cuts `filename` at a NUL; the original name is what other readers see.
    path = safe_member(info.orig_filename, where)
    mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
    kind = stat.S_IFMT(mode)
    if info.flag_bits & _ENCRYPTED or kind not in {0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:
        raise UnsafeArchiveError(
            f"{where} holds something that is no plain file, folder or link: {path!r}",
            got="encrypted" if info.flag_bits & _ENCRYPTED else f"mode {mode:o}",
        )
    if info.is_dir() or kind == stat.S_IFDIR:
        yield Member(path, "directory", 0o755, 0, "", None)
        return
    if not path:
        raise UnsafeArchiveError(f"{where} holds a file in place of its root")
    with closing(archive.open(info)) as reader:
        if kind == stat.S_IFLNK:
            link = reader.read(_LINK_BYTES).decode("utf-8")
            yield Member(path, "symlink", 0o777, 0, link, None)
        else:
            yield Member(path, "file", stat.S_IMODE(mode), info.file_size, "", reader)  # type: ignore[arg-type]
