"""How the tar of a layer is packed: what media types say, and unpacking it without trust.

OCI image specification 1.1, layer.md; Docker image manifest version 2, schema 2, "Media types". No
other codec is known to any engine.
"""

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

from hps.archive.decompress import PIECE, Codec, damage, decompressed
from hps.digest import Digest
from hps.errors import IntegrityError, UsageError
from hps.oci.image import LAYER_TYPE, ImageLayer

GZIP_TYPE = f"{LAYER_TYPE}+gzip"
ZSTD_TYPE = f"{LAYER_TYPE}+zstd"
_DOCKER = "application/vnd.docker.image.rootfs"
_UNSHARED = "application/vnd.oci.image.layer.nondistributable.v1.tar"

_CODECS: dict[str, Codec] = {
    LAYER_TYPE: "none",
    GZIP_TYPE: "gz",
    ZSTD_TYPE: "zst",
    f"{_DOCKER}.diff.tar": "none",
    f"{_DOCKER}.diff.tar.gzip": "gz",
    f"{_DOCKER}.diff.tar.zstd": "zst",
    # Layers that their makers do not want to be passed on; deprecated, and still about.
    f"{_DOCKER}.foreign.diff.tar": "none",
    f"{_DOCKER}.foreign.diff.tar.gzip": "gz",
    _UNSHARED: "none",
    f"{_UNSHARED}+gzip": "gz",
    f"{_UNSHARED}+zstd": "zst",
}
_TYPES = {"none": LAYER_TYPE, "gz": GZIP_TYPE, "zst": ZSTD_TYPE}


def codec(media_type: str) -> Codec | None:
    """How a layer of this media type is packed; None for what is no layer that hps knows."""
    return _CODECS.get(media_type)


def is_unshared(media_type: str) -> bool:
    """Whether its maker says that a layer must not be passed on (layer.md, "Non-Distributable")."""
    return ".foreign." in media_type or media_type.startswith(_UNSHARED)


def oci_type(media_type: str) -> str:
    """The media type of OCI for a layer that is packed the same.

    Raises:
        UsageError: it is no layer that hps knows.
    """
    return _TYPES[_known(media_type)]


def unpacked(file: BinaryIO, layer: ImageLayer, where: str) -> Iterator[bytes]:
    """The plain tar of a layer in pieces; nobody may trust them before the last one has come.

    Args:
        file: the blob, at its start; its own digest has been compared, or will be.
        layer: how it is packed, and what must be inside.
        where: for messages.

    Raises:
        UsageError: it is packed in a way that hps does not know.
        ArchiveError: it is damaged.
        IntegrityError: another tar is inside than the configuration of the image says.
    """
    hasher = hashlib.sha256()
    found = _known(layer.media_type)
    with damage(where):
        reader = decompressed(file, found)
        while piece := reader.read(PIECE):
            hasher.update(piece)
            yield piece
    got = Digest(hasher.hexdigest())
    if got != layer.diff_id:
        raise IntegrityError(
            f"{where}: another layer is packed in there than the image says",
            expected=layer.diff_id,
            got=got,
            hint="do not use this image; ask who published it",
        )


def _known(media_type: str) -> Codec:
    found = codec(media_type)
    if found is None:
        raise UsageError(
            "the image has a layer that is packed in a way that hps does not know",
            expected=f"one of: {', '.join(_TYPES.values())}",
            got=media_type,
            hint="copy it between registries and layouts only; there it stays as it is",
        )
    return found
