"""The layers of a base image as one folder, and the list of what is in it.

A base comes packed, and nobody but its registry vouches for what a layer unpacks to: each is
compared with its diff_id while it is unpacked, before a byte of it is laid down.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hps.archive.decompress import PIECE, Codec, damage, decompressed
from hps.archive.paths import Limits
from hps.digest import Digest
from hps.errors import IntegrityError
from hps.layer.index import IndexLine
from hps.layer.unpack import Owned, unpack
from hps.lock.base_image import BASE
from hps.store.filesystem import explain

_CODECS: Mapping[str, Codec] = {"tar": "none", "tar+gzip": "gz", "tar+zstd": "zst"}
_IMPLIED = Owned(0o755, 0, 0)  # a folder that no layer names


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A layer as its registry has it: where its bytes lie, how they are packed, what is inside."""

    path: Path
    media_type: str
    diff_id: Digest


def lay_down(
    layers: Iterable[PackedLayer], destination: Path, scratch: Path, limits: Limits | None = None
) -> dict[str, Owned]:
    """Unpack a base image, lowest layer first.

    Args:
        layers: of the image.
        destination: an empty folder.
        scratch: another empty folder on a disk with room for the largest layer, unpacked.
        limits: how much one layer may hold.

    Returns:
        Modes and owners by path; a path that a later layer took away may be among them.

    Raises:
        IntegrityError: a layer is another one than its diff_id says.
        UnsafeArchiveError: a layer is damaged, or holds what no image needs.
        StoreError: the disk is full, or cannot be written.
    """
    owned: dict[str, Owned] = {}
    unpack(plain_tars(layers, scratch, limits or Limits()), destination, limits, owned)
    return owned


def plain_tars(
    layers: Iterable[PackedLayer], scratch: Path, limits: Limits | None = None
) -> Iterator[Path]:
    """Each layer as a plain tar that has its diff_id; one at a time, gone when the next comes."""
    for layer in layers:
        plain = scratch / layer.diff_id.hex
        try:
            _inflate(layer, plain, limits or Limits())
            yield plain
        finally:
            plain.unlink(missing_ok=True)


def _inflate(layer: PackedLayer, plain: Path, limits: Limits) -> None:
    where = f"the layer {layer.diff_id} of the base image"
    codec = _CODECS[layer.media_type.rpartition(".")[2]]
    packed = layer.path.stat().st_size
    hasher, size = hashlib.sha256(), 0
    with damage(where), layer.path.open("rb") as source, decompressed(source, codec) as reader:
        try:
            with plain.open("wb") as sink:
                while piece := reader.read(PIECE):
                    size += len(piece)
                    limits.check(where, files=0, size=size, packed=packed)
                    hasher.update(piece)
                    sink.write(piece)
        except OSError as error:
            if error.errno is None:  # of the decoder
                raise
            raise explain(error, "unpack", plain) from error
    if hasher.hexdigest() != layer.diff_id.hex:
        raise IntegrityError(
            f"{where} unpacks to something else than its image says",
            expected=layer.diff_id,
            got=f"sha256:{hasher.hexdigest()}",
            hint="do not use this base image; ask who published it",
        )


def base_lines(
    root: Path, owned: Mapping[str, Owned], owners: Mapping[str, str]
) -> Iterator[IndexLine]:
    """What an unpacked base holds, sorted by the bytes of the path; reads every file once.

    Args:
        root: the folder.
        owned: what `lay_down` gave.
        owners: Debian package by path, links resolved.
    """
    for path in sorted(_paths(root)):
        place = root / path
        status = place.lstat()
        facts = owned.get(path, _IMPLIED)
        owner = owners.get(path, BASE)
        if place.is_symlink():
            target = str(place.readlink())
            yield IndexLine(path, "symlink", 0o777, 0, target, owner, facts.uid, facts.gid)
        elif place.is_dir():
            yield IndexLine(path, "directory", facts.mode, 0, "", owner, facts.uid, facts.gid)
        else:
            content = _digest(place)
            yield IndexLine(
                path, "file", facts.mode, status.st_size, content, owner, facts.uid, facts.gid
            )


def _paths(root: Path) -> Iterator[str]:
    top = str(root)
    for folder, folders, files in os.walk(top):
        inside = folder[len(top) + 1 :]
        for name in (*folders, *files):
            yield f"{inside}/{name}" if inside else name


def _digest(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            hasher.update(piece)
    return hasher.hexdigest()
