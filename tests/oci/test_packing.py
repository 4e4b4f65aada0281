"""How layers are packed, and what is packed in them."""

import gzip
import io
import zlib

import pytest
import zstandard

from hps.archive.refusal import ArchiveError
from hps.digest import Digest
from hps.errors import HpsError, IntegrityError, UsageError
from hps.oci.image import LAYER_TYPE, ImageLayer
from hps.oci.packing import GZIP_TYPE, ZSTD_TYPE, codec, is_unshared, oci_type, unpacked
from tests.oci.images import layer_tar

TAR = layer_tar({"usr/share/large": bytes(range(256)) * 20_000})
DOCKER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
PACKED = {
    LAYER_TYPE: TAR,
    GZIP_TYPE: gzip.compress(TAR),
    ZSTD_TYPE: zstandard.compress(TAR),
    DOCKER_GZIP: gzip.compress(TAR[:1000]) + gzip.compress(TAR[1000:]),  # members, as eStargz has
}


def layer(media_type: str, data: bytes, inside: bytes = TAR) -> ImageLayer:
    return ImageLayer(Digest.of(data), len(data), media_type, Digest.of(inside))


def unpack(media_type: str, data: bytes, inside: bytes = TAR) -> bytes:
    return b"".join(unpacked(io.BytesIO(data), layer(media_type, data, inside), "the layer"))


@pytest.mark.parametrize("media_type", PACKED)
def test_a_layer_is_unpacked(media_type: str) -> None:
    assert unpack(media_type, PACKED[media_type]) == TAR


@pytest.mark.parametrize("media_type", PACKED)
def test_another_layer_inside_is_refused(media_type: str) -> None:
    with pytest.raises(IntegrityError, match="another layer is packed in there"):
        unpack(media_type, PACKED[media_type], inside=TAR + b"x")


@pytest.mark.parametrize("media_type", [GZIP_TYPE, ZSTD_TYPE])
@pytest.mark.parametrize("cut", [1, 3, 20, -9, -1])
def test_a_layer_that_was_cut_off_is_refused(media_type: str, cut: int) -> None:
    with pytest.raises((ArchiveError, IntegrityError)):
        unpack(media_type, PACKED[media_type][:cut])


@pytest.mark.parametrize("media_type", [GZIP_TYPE, ZSTD_TYPE])
def test_what_is_not_packed_so_is_refused(media_type: str) -> None:
    with pytest.raises(HpsError):
        unpack(media_type, TAR)
    with pytest.raises(HpsError):
        unpack(media_type, zlib.compress(TAR))


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "text/plain",
        "application/vnd.oci.image.layer.v1.tar+bzip2",
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "application/vnd.in-toto+json",
    ],
)
def test_unknown_layers_are_named(media_type: str) -> None:
    assert codec(media_type) is None
    with pytest.raises(UsageError, match="does not know"):
        oci_type(media_type)
    with pytest.raises(UsageError):
        unpack(media_type, TAR)


def test_dockers_types_are_those_of_oci() -> None:
    docker = "application/vnd.docker.image.rootfs"
    assert oci_type(f"{docker}.diff.tar") == LAYER_TYPE
    assert oci_type(f"{docker}.diff.tar.gzip") == GZIP_TYPE
    assert oci_type(f"{docker}.diff.tar.zstd") == ZSTD_TYPE
    assert is_unshared(f"{docker}.foreign.diff.tar.gzip")
    assert is_unshared("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
    assert not is_unshared(GZIP_TYPE)
