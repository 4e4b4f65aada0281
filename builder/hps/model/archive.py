"""Packing a model folder: the same files give the same archive, on any machine.

Members are sorted by the bytes of their paths, belong to root, carry one fixed time, and have the
mode 0755 or 0644; nothing depends on umask, locale or the order of a directory. No link is
followed: it is refused. A `.tar`, `.tar.gz` or `.zip` is the same for ever, because nothing in it
is compressed (what a compressor gives depends on its version, and weights hardly shrink); a
`.tar.zst` is compressed, and the same as long as the library for it is.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from hps.archive import tar_header
from hps.archive.refusal import ArchiveError, Reason
from hps.digest import Digest
from hps.errors import PublishError, UsageError
from hps.model.archive_encoders import Encoder, gzip, plain, zstd
from hps.model.archive_zip import ZipWriter
from hps.model.member_names import portable
from hps.model.packing import DEPTH, Listed, PackFolder
from hps.model.staging import UnpackedFile
from hps.store import whole_file

_EPOCH = 315532800  # 1980-01-01, the first that a zip can say; GNU tar warns of 1970
_ENDING = bytes(2 * tar_header.BLOCK)


class Form(StrEnum):
    """What an archive is; also the end of its name."""

    TAR = "tar"
    TAR_GZ = "tar.gz"
    TAR_ZST = "tar.zst"
    ZIP = "zip"


_ENCODERS: dict[Form, Callable[[], Encoder]] = {
    Form.TAR: plain,
    Form.TAR_GZ: gzip,
    Form.TAR_ZST: zstd,
    Form.ZIP: plain,
}


@dataclass(frozen=True, slots=True)
class ArchiveWritten:
    """What was packed.

    Args:
        digest: of the archive.
        size: of the archive, in bytes.
        files: what is in it, sorted bytewise by path, relative to the folder.
    """

    digest: Digest
    size: int
    files: tuple[UnpackedFile, ...]


def write_archive(folder: Path, out: Path, *, form: Form, top: str = "") -> ArchiveWritten:
    """Pack all that lies in a folder; the archive appears whole or not at all.

    Args:
        folder: of the model.
        out: where the archive goes, over what is there; not inside the folder.
        form: what it is to be.
        top: a folder inside the archive into which everything goes, as Paddle Serving's monitor
            wants it (`--unpacked_filename`).

    Raises:
        ArchiveError: the folder holds links, devices, names that no model may have, or no file;
            or it changed while it was read.
        UsageError: the folder cannot be read, or `out` lies in it.
        PublishError: the archive cannot be written.
    """
    if out.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{out} would lie in the folder that is packed", hint="put it elsewhere")
    prefix = f"{portable(top, depth=DEPTH)}/" if top else ""
    with PackFolder(folder) as source:
        listing = source.listing()
        if all(one.folder for one in listing):
            raise ArchiveError(Reason.EMPTY, f"{folder} holds no file")
        with _replacing(out) as file:
            sink = _Sink(file, _ENCODERS[form]())
            write = _write_zip if form is Form.ZIP else _write_tar
            files = tuple(write(source, listing, prefix, sink.write))
            sink.finish()
            source.check_unchanged(listing)
    return ArchiveWritten(Digest(sink.digest.hexdigest()), sink.size, files)


@contextmanager
def _replacing(out: Path) -> Iterator[BinaryIO]:
    try:
        with whole_file.replacing(out) as file:
            yield file
    except OSError as error:
        raise PublishError(
            f"{out} cannot be written: {error.strerror or error}",
            hint="make room or choose another place",
        ) from error


class _Sink:
    """Hashes and writes what an encoder makes of the bytes that come."""

    def __init__(self, file: BinaryIO, encoder: Encoder) -> None:
        self.digest = hashlib.sha256()
        self.size = 0
        self._file = file
        self._encoder = encoder
        next(encoder)

    def write(self, data: bytes) -> None:
        """Take bytes."""
        self._take(self._encoder.send(data))

    def finish(self) -> None:
        """Take the end."""
        self._take(self._encoder.send(None))

    def _take(self, encoded: bytes) -> None:
        self.digest.update(encoded)
        self.size += len(encoded)
        self._file.write(encoded)


def _write_tar(
    source: PackFolder, listing: tuple[Listed, ...], prefix: str, write: Callable[[bytes], None]
) -> Iterator[UnpackedFile]:
    for path in _parents(prefix):
        write(tar_header.header(f"{path}/", b"5", mode=0o755, epoch=_EPOCH))
    for one in listing:
        path = prefix + one.path
        if one.folder:
            write(tar_header.header(f"{path}/", b"5", mode=0o755, epoch=_EPOCH))
            continue
        write(tar_header.header(path, b"0", mode=one.mode, size=one.size, epoch=_EPOCH))
        digest = hashlib.sha256()
        for piece in source.content(one):
            digest.update(piece)
            write(piece)
        write(bytes(-one.size % tar_header.BLOCK))
        yield UnpackedFile(one.path, one.mode, one.size, Digest(digest.hexdigest()))
    write(_ENDING)


def _write_zip(
    source: PackFolder, listing: tuple[Listed, ...], prefix: str, write: Callable[[bytes], None]
) -> Iterator[UnpackedFile]:
    made = ZipWriter(write)
    for path in _parents(prefix):
        made.folder(path)
    for one in listing:
        if one.folder:
            made.folder(prefix + one.path)
            continue
        # A header tells the checksum of what follows it, so a file is read twice.
        digest, crc = source.sums(one)
        made.file(prefix + one.path, one.mode, one.size, crc, source.content(one))
        yield UnpackedFile(one.path, one.mode, one.size, digest)
    made.finish()


def _parents(prefix: str) -> list[str]:
    parts = prefix.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]
