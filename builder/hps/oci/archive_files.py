"""The files of a layout inside an archive, read in place.

POSIX.1-2001 pax interchange format and its ustar predecessor. An archive is read by others too,
and they must see the same files: what two readers of tar could take for different things is
refused, so there is no way to name a member but its header, and no member that is no plain file.
Nothing is unpacked, and memory does not grow with the archive.
"""

import io
import os
import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from hps.errors import IntegrityError, LimitError, MalformedError, UsageError
from hps.oci.documents import open_regular
from hps.oci.layout_files import MOST_FILES

_BLOCK = tarfile.BLOCKSIZE
_SIZE, _PREFIX = slice(124, 136), slice(345, 500)  # fields of a header
_OCTAL = re.compile(rb" *[0-7]+[ \0]*")
_BINARY = 0x80  # first byte of a size beyond 8 GiB, as GNU tar writes it
_LARGEST_HEADER = 4 << 10  # bytes of pax records; those that may stand here have a few dozen
_LARGEST_END = 1 << 20  # bytes behind the last member; writers fill up to 10 KiB
# Times and sizes: records that change neither the name nor the kind of a member.
_PAX_KEYS = frozenset({"atime", "ctime", "mtime", "size"})
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,4}) ([^=\n]+)=([^\n]+)\n")
_PAX_NUMBER = {"size": re.compile(rb"[0-9]+"), "time": re.compile(rb"-?[0-9]+(\.[0-9]+)?")}


class ArchiveFiles(AbstractContextManager["ArchiveFiles"]):
    """The members of a tar as files of a layout (see LayoutFiles); a context manager.

    Args:
        path: of the archive; kept open, so that nobody can put another one in its place.
        links: symbolic links are names of other files of the archive, as `docker save` writes
            them for layers that are there twice.

    Raises:
        UsageError: the archive cannot be opened.
        MalformedError: it is cut off, holds links, devices or a name twice, or goes on behind its
            end.
        LimitError: it has more members than any layout.
    """

    def __init__(self, path: Path, *, links: bool = False) -> None:
        self._root = path
        self._links = links
        try:
            self._file = open_regular(path)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
        try:
            self._members = self._listed()
        except OSError as error:
            self._file.close()
            raise IntegrityError(f"{path} cannot be read: {error.strerror or error}") from error
        except BaseException:
            self._file.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    @property
    def root(self) -> Path:
        """See LayoutFiles."""
        return self._root

    def names(self) -> AbstractSet[str]:
        """See LayoutFiles."""
        return self._members.keys()

    def open(self, path: Path) -> BinaryIO:
        """See LayoutFiles."""
        name = path.relative_to(self._root).as_posix()
        if name not in self._members:
            raise FileNotFoundError(2, "no such member", str(path))
        offset, size = self._members[name]
        return cast("BinaryIO", io.BufferedReader(_Part(self._file.fileno(), offset, size)))

    def size(self, name: str) -> int | None:
        """How many bytes a file has; None if there is none of that name."""
        found = self._members.get(name)
        return None if found is None else found[1]

    def _listed(self) -> Mapping[str, tuple[int, int]]:
        """Offset and size of every file."""
        found: dict[str, tuple[int, int]] = {}
        links: dict[str, str] = {}
        seen: set[str] = set()
        for info, offset in self._headers():
            name = _plain_name(info)
            if name in seen:
                raise self._malformed(f"{info.name!r} is there twice")
            seen.add(name)
            if len(seen) > MOST_FILES:
                raise LimitError(
                    f"{self._root} holds too many files", expected=f"at most {MOST_FILES}"
                )
            if info.issym():
                links[name] = posixpath.normpath(posixpath.join(name, "..", info.linkname))
            elif not info.isdir():
                found[name] = (offset, info.size)
        for name, target in links.items():
            if target not in found:  # one step, to a file: nothing to go round in
                raise self._malformed(f"{name!r} is a link to no file of the archive")
        found |= {name: found[target] for name, target in links.items()}
        folders = {str(parent) for name in found for parent in Path(name).parents}
        if clash := sorted(folders & found.keys()):
            raise self._malformed(f"{clash[0]!r} is a file and a folder")
        return found

    def _headers(self) -> Iterator[tuple[tarfile.TarInfo, int]]:
        """Each member with the offset of its data."""
        end = os.fstat(self._file.fileno()).st_size
        at, size, extended = 0, None, False
        while True:
            block = self._read(at, _BLOCK)
            if block == bytes(_BLOCK):
                if extended:
                    raise self._malformed("an extension header without its member")
                self._check_end(at, end)
                return
            info = self._header(block)
            at += _BLOCK
            if info.type == tarfile.XHDTYPE and not extended:
                size, extended = self._pax_size(self._extension(info, at)), True
            else:
                info.size = info.size if size is None else size
                self._check_kind(info)
                yield info, at
                size, extended = None, False
            at += -(-info.size // _BLOCK) * _BLOCK
            if at > end:
                raise self._malformed(f"it is cut off in {info.name!r}")

    def _header(self, block: bytes) -> tarfile.TarInfo:
        # The names of a layout fit into the first field; readers differ about when the second one
        # (the prefix) counts, and about numbers in other forms.
        if any(block[_PREFIX]) or not (
            _OCTAL.fullmatch(block[_SIZE]) or block[_SIZE][0] == _BINARY
        ):
            raise self._malformed("a header that readers do not agree about")
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            raise self._malformed(f"no header where one must be ({error})") from error

    def _check_kind(self, info: tarfile.TarInfo) -> None:
        empty = info.size == 0
        hollow = {tarfile.DIRTYPE, tarfile.SYMTYPE} if self._links else {tarfile.DIRTYPE}
        if info.size < 0 or not (info.type == tarfile.REGTYPE or (info.type in hollow and empty)):
            raise self._malformed(f"{info.name!r} is no plain file (tar type {info.type!r})")

    def _extension(self, info: tarfile.TarInfo, at: int) -> bytes:
        if not 0 <= info.size <= _LARGEST_HEADER:
            raise self._malformed("an extension header is too long")
        return self._read(at, info.size)

    def _pax_size(self, records: bytes) -> int | None:
        """The size among the records of the next member (pax, "Extended Header")."""
        size, at = None, 0
        while at < len(records):
            record = _PAX_RECORD.match(records, at)
            if record is None or int(record[1]) != len(record[0]):
                raise self._malformed("an extension header that cannot be read")
            key = record[2].decode("utf-8", "replace")
            if key not in _PAX_KEYS:
                raise self._malformed(f"an extension header sets {key}")
            if not _PAX_NUMBER["size" if key == "size" else "time"].fullmatch(record[3]):
                raise self._malformed(f"an extension header with an odd {key}")
            if key == "size":
                if size is not None:
                    raise self._malformed("an extension header with two sizes")
                size = int(record[3])
            at = record.end()
        return size

    def _check_end(self, at: int, end: int) -> None:
        """Behind the last member there are zeros, a few and nothing else."""
        if end - at > _LARGEST_END or any(self._read(at, end - at)):
            raise self._malformed("it goes on behind its end")

    def _read(self, at: int, size: int) -> bytes:
        data = os.pread(self._file.fileno(), size, at)
        if len(data) != size:
            raise self._malformed("it is cut off")
        return data

    def _malformed(self, fault: str) -> MalformedError:
        return MalformedError(
            f"the archive {self._root} cannot be trusted",
            expected="plain files of an image layout, each once, and nothing behind them",
            got=fault,
        )


class _Part(io.RawIOBase):
    """A part of a file that others read at the same time: it keeps its own position.

    Args:
        descriptor: of the file; not closed.
        offset: where the part begins.
        size: of the part, in bytes.
    """

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        left = max(0, self._size - self._at)
        count = os.preadv(self._descriptor, [memoryview(buffer)[:left]], self._offset + self._at)
        self._at += count
        return count


def is_tar(path: Path) -> bool:
    """Whether a regular file begins like a tar (pax, "ustar Interchange Format", magic)."""
    try:
        with open_regular(path) as reader:
            return reader.read(_BLOCK)[257:262] == b"ustar"
    except OSError:
        return False


def _plain_name(info: tarfile.TarInfo) -> str:
    """`./blobs/sha256/` becomes `blobs/sha256`: the one other way in which tar(1) writes names."""
    name = info.name.removeprefix("./")
    return name.removesuffix("/") if info.isdir() else name
