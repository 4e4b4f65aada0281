"""Unpacking a packed model into a private staging folder, trusting nothing in the archive.

An archive holds files and folders and nothing else; every name is judged before a byte of its
file is written (`hps.model.member_names`), every byte is hashed as it is written
(`hps.model.staging`), and what two readers could read differently is refused
(`hps.archive.tar_stream`, `hps.archive.zip_archive`). Archives inside the archive stay files.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from hps.archive import tar_header
from hps.archive.ahead import ahead
from hps.archive.decompress import PIECE, Codec, codec_of
from hps.archive.paths import Limits, is_root
from hps.archive.refusal import ArchiveError, Reason
from hps.archive.tar_stream import Tape, members
from hps.archive.whole_stream import unpacked
from hps.archive.zip_archive import Member, ZipArchive
from hps.errors import IntegrityError
from hps.model.member_names import MemberNames, portable
from hps.model.staging import Room, Staging, Trouble, UnpackedFile, Watch, free_bytes

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # APPNOTE.TXT 4.3.7, and 4.3.16 for an empty one
_FORMS = "a tar (plain, gz, bz2, xz, zst) or a zip"
_RESERVE = 64 << 20  # bytes left free on the disk, for the journal and for others


@dataclass(frozen=True, slots=True)
class ModelLimits(Limits):
    """How much one packed model may hold.

    Args:
        depth: parts of a path.
    """

    files: int = 10_000
    size: int = 1 << 40
    file_size: int = 1 << 40
    ratio: int = 200
    ratio_from: int = 1 << 30
    depth: int = 32


@dataclass(frozen=True, slots=True)
class Top:
    """The folder inside an archive that is the model: `--unpacked_filename` of Paddle Serving.

    Args:
        path: of that folder; it is not part of the paths of the unpacked files.
        beside: what to do with files that lie beside it. Paddle Serving's monitor left them alone.
    """

    path: str
    beside: Literal["refuse", "leave"] = "refuse"


@dataclass(frozen=True, slots=True)
class _Offer:
    """A member of any archive; `pieces` are good until the next one is asked for."""

    name: str  # empty for the root itself
    folder: bool
    mode: int
    size: int
    pieces: Iterator[bytes] | Iterator[memoryview]


def unpack(
    archive: Path,
    staging: Path,
    *,
    limits: ModelLimits | None = None,
    top: Top | None = None,
    room: Room = free_bytes,
    reserve: int = _RESERVE,
    watch: Watch = lambda _: None,
) -> tuple[UnpackedFile, ...]:
    """Unpack a tar (plain, gz, bz2, xz, zst) or zip; its bytes say which it is, not its name.

    On an error the folder holds a part, which the caller removes; nothing else is ever touched.

    Args:
        archive: the file.
        staging: an empty folder that only this user can write.
        limits: how much it may hold.
        top: where in the archive the model lies; None: all of it is the model.
        room: asks for free space.
        reserve: bytes left free on the disk.
        watch: called with the length of each piece that is written, at most 1 MiB; what it raises
            ends the unpacking.

    Returns:
        All files, sorted bytewise by path.

    Raises:
        ArchiveError: the archive is refused, with a reason code; the same bytes always are.
        StagingError: this machine could not take them; the same archive may do next time.
    """
    limits = limits or ModelLimits()
    where = archive.name
    with (
        Staging(staging, room=room, reserve=reserve, watch=watch) as target,
        _opened(archive) as file,
        # Closed before the file is: a thread reads ahead, and descriptors are used again.
        closing(_offers(file, where, limits, target)) as offers,
    ):
        names = MemberNames(where, limits.files)
        wanted = _Wanted(top, limits.depth, where)
        found = [
            target.file(place, offer.mode, offer.size, offer.pieces)
            for offer in offers
            if (place := _place(offer, names, wanted, target)) is not None
        ]
        wanted.check_seen()
        if not found:
            raise ArchiveError(Reason.EMPTY, f"{where} holds no file")
    return tuple(sorted(found, key=lambda one: one.path.encode()))


def _place(offer: _Offer, names: MemberNames, wanted: "_Wanted", target: Staging) -> str | None:
    """Where a file goes in the staging folder; folders are made, other things left out."""
    if not offer.name:
        return None
    path = wanted.judged(offer.name)
    names.add(path, folder=offer.folder)
    place = wanted.inside(path, folder=offer.folder)
    if place is None or offer.folder:
        if place:
            target.folder(place)
        return None
    return place


class _Wanted:
    """Which members belong to the model."""

    def __init__(self, top: Top | None, depth: int, where: str) -> None:
        self._where = where
        self._depth = depth
        self._seen = top is None
        self._top = ""
        self._leave = top is not None and top.beside == "leave"
        if top is not None:
            self._top = portable(top.path, depth=depth) + "/"

    def judged(self, name: str) -> str:
        """The safe path that a member's name stands for."""
        try:
            return portable(name, depth=self._depth)
        except ArchiveError as error:
            raise ArchiveError(
                error.reason, f"{self._where}: {error.message}", member=name, got=error.got
            ) from error

    def inside(self, path: str, *, folder: bool) -> str | None:
        """The path below the top folder; None for what is not below it."""
        if not self._top:
            return path
        if folder and self._top.startswith(f"{path}/"):
            self._seen = self._seen or self._top == f"{path}/"
            return None
        if path.startswith(self._top):
            self._seen = True
            return path.removeprefix(self._top)
        if self._leave:
            return None
        raise ArchiveError(
            Reason.TOP_BESIDE,
            f"{self._where}: {path!r} lies beside the folder {self._top!r}",
            member=path,
        )

    def check_seen(self) -> None:
        """At the end: the top folder must have been there."""
        if not self._seen:
            raise ArchiveError(
                Reason.TOP_MISSING,
                f"{self._where} does not hold the folder {self._top!r}",
                hint="name the folder inside the archive, as `--unpacked_filename` did",
            )


@contextmanager
def _opened(archive: Path) -> Iterator[BinaryIO]:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with _reading(archive.name):
        file = os.fdopen(os.open(archive, flags), "rb", buffering=0)
    with file:
        yield file


def _reading(where: str) -> Trouble:
    return Trouble(f"cannot read {where}")


def _offers(
    file: BinaryIO, where: str, limits: ModelLimits, target: Staging
) -> Generator[_Offer, None, None]:
    with _reading(where):
        head = os.pread(file.fileno(), tar_header.BLOCK, 0)
    if head.startswith(_ZIP):
        yield from _zip_offers(file, where, limits, target)
        return
    codec = _codec(head, where)
    packed = os.fstat(file.fileno()).st_size
    with ahead(unpacked(file, codec, where)) as pieces:
        tape = Tape(_read(pieces, where), where, limits, packed)
        for one in members(tape, limits, packed):
            yield _Offer(one.path, one.folder, one.mode, one.size, one.pieces)


def _read(pieces: Iterator[bytes], where: str) -> Iterator[bytes]:
    with _reading(where):
        yield from pieces


def _codec(head: bytes, where: str) -> Codec:
    """What a tar is packed with; a tar that is not is told first, whatever its first name is."""
    try:
        tar_header.check_sum(head, where)
    except (ArchiveError, IndexError) as error:  # the latter for a few bytes
        codec = codec_of(head)
        if codec == "none" and head != bytes(tar_header.BLOCK):  # a tar without members
            raise ArchiveError(
                Reason.NO_ARCHIVE, f"{where} is no archive", expected=_FORMS, got=head[:16]
            ) from error
        return codec
    return "none"


def _zip_offers(
    file: BinaryIO, where: str, limits: ModelLimits, target: Staging
) -> Generator[_Offer, None, None]:
    # By descriptor, so that each member is read from the file that was judged.
    with _reading(where):
        archive = ZipArchive(
            Path(f"/proc/self/fd/{file.fileno()}"), where, limits, unflagged="utf-8"
        )
    target.expect(sum(member.size for member in archive.members))
    for name in archive.folders:
        yield _Offer("" if is_root(name) else name, True, 0, 0, iter(()))
    for member in archive.members:
        pieces = _zip_pieces(archive, member, where)
        yield _Offer(member.name, False, member.mode, member.size, pieces)


def _zip_pieces(archive: ZipArchive, member: Member, where: str) -> Iterator[bytes]:
    try:
        with _reading(where), archive.open(member) as reader:
            while piece := reader.read(PIECE):
                yield piece
    except IntegrityError as error:
        raise ArchiveError(
            Reason.DAMAGED,
            f"{where}: {member.name!r} is damaged",
            member=member.name,
            expected=error.expected,
            got=error.got,
        ) from error
