"""An image with packed layers, for registries that are far away: fewer bytes, and another digest.

What was signed is the manifest, and the manifest names plain layers (docs/adr/0004), so this is
done only where it is asked for. Configuration, diff_ids and image ID stay. What was packed once is
remembered as a trace: the next push finds it.
"""

import contextlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Literal

from hps import canonical
from hps.derivation.record import Derivation
from hps.digest import Blob, Digest
from hps.errors import NotReproducibleError, UsageError
from hps.oci.moving import Mover
from hps.oci.packing import GZIP_TYPE, ZSTD_TYPE, codec
from hps.oci.registry import DOCKER_MANIFEST_TYPE, ManifestDocument, Placed
from hps.oci.shipment import Part, Shipment
from hps.oci.source import Source
from hps.store.sending import Sent

Packing = Literal["gzip", "zstd"]

_GZIP_LEVEL = 6  # what gzip(1) and Docker take
_ZSTD_LEVEL = 3  # what zstd(1) takes
_GZIP_HEADER = 16 + zlib.MAX_WBITS  # zlib.compressobj: a gzip file, without name and time
_DOCKER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True, slots=True)
class _Packed:
    """A packed layer, by the digest of the plain one."""

    blob: Blob
    media_type: str


def compressed(
    source: Source, shipment: Shipment, packing: Packing, mover: Mover
) -> tuple[Source, Shipment]:
    """The same images with packed layers; layers that are packed already stay.

    Args:
        source: where the plain layers are.
        shipment: what is to be copied.
        packing: how.
        mover: tells how far it is.

    Returns:
        Where the blobs of the new shipment are, and the shipment; nothing speaks of it yet.

    Raises:
        UsageError: Docker's manifests know no zstd.
        FetchError, IntegrityError: the source could not be read.
        StoreError: the store cannot be written.
    """
    plain = [part for part in shipment.parts if codec(part.media_type) == "none"]
    if packing == "zstd" and any(one.media_type == DOCKER_MANIFEST_TYPE for one in shipment.images):
        raise UsageError(
            f"{source.place} has a manifest of Docker's, which knows no zstd", hint="use gzip"
        )
    found: dict[Digest, Blob] = {}

    def pack(part: Part, sent: Sent) -> Placed:
        found[part.digest], new = _packed(source, part, packing, sent)
        return Placed.SENT if new else Placed.THERE

    mover.each(plain, pack)
    packed = {
        part.digest: _Packed(found[part.digest], _type(part.media_type, packing)) for part in plain
    }
    blobs = {one.blob.digest for one in packed.values()}
    return replace(source, direct=_opening(source, blobs)), _shipment(shipment, packed)


def _shipment(old: Shipment, packed: Mapping[Digest, _Packed]) -> Shipment:
    """What is to be copied now: documents that name the packed layers, and nothing beside them."""
    images = {one.digest: _document(one, packed) for one in old.images}
    root = _index(old.root, images) if old.root.is_index else images[old.root.digest]
    new = [Part(one.blob.digest, one.blob.size, one.media_type) for one in packed.values()]
    kept = [part for part in old.parts if part.digest not in packed]
    parts = {part.digest: part for part in (*new, *kept)}
    note = (
        f"the layers were packed: the image has the digest {root.digest} and not "
        f"{old.root.digest}; signatures speak of the old one and stayed behind"
    )
    return Shipment(
        root,
        tuple(images[one.digest] for one in old.children),
        tuple(sorted(parts.values(), key=lambda part: (-part.size, part.digest))),
        left_behind=(*old.left_behind, note),
    )


def _packed(source: Source, part: Part, packing: Packing, sent: Sent) -> tuple[Blob, bool]:
    """The packed layer as a blob of the store, and whether it had to be made."""
    store = source.store
    derivation = _derivation(part.digest, packing)
    known = store.traces.get(derivation.digest)
    if known is not None and "layer" in known and store.has(known["layer"].digest):
        return known["layer"], False
    with source.verified(part) as reader, store.writer() as writer:
        compress, flush = _compressor(packing)
        for piece in reader:
            writer.write(compress(piece))
            sent(reader.position)
        writer.write(flush())
        blob = writer.commit()
    record = {"kind": derivation.kind, "parameters": dict(derivation.parameters)}
    # Two builds of one version of zlib may differ: then the first one is remembered.
    with contextlib.suppress(NotReproducibleError):
        store.traces.put(derivation.digest, record, {"layer": blob})
    return blob, True


def _derivation(layer: Digest, packing: Packing) -> Derivation:
    if packing == "gzip":
        version, level = zlib.ZLIB_RUNTIME_VERSION, _GZIP_LEVEL
    else:
        import zstandard  # noqa: PLC0415 - native code that few need

        version, level = ".".join(map(str, zstandard.ZSTD_VERSION)), _ZSTD_LEVEL
    parameters = {"codec": packing, "level": level, "library": version}
    return Derivation("packed-layer/1", f"packed {layer.short}", {"layer": layer}, parameters)


def _compressor(packing: Packing) -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    if packing == "gzip":
        gzip = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_HEADER)
        return gzip.compress, gzip.flush
    import zstandard  # noqa: PLC0415 - as above

    zstd = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
    return zstd.compress, zstd.flush


def _type(media_type: str, packing: Packing) -> str:
    if media_type.startswith("application/vnd.docker."):
        return _DOCKER_GZIP
    return GZIP_TYPE if packing == "gzip" else ZSTD_TYPE


def _document(document: ManifestDocument, packed: Mapping[Digest, _Packed]) -> ManifestDocument:
    """A manifest that names the packed layers; everything else in it stays."""
    value = document.as_json()
    layers = [_layer(one, packed.get(Digest.parse(one["digest"]))) for one in value["layers"]]
    return ManifestDocument(document.media_type, canonical.dumps({**value, "layers": layers}))


def _layer(named: dict[str, Any], packed: _Packed | None) -> dict[str, Any]:
    if packed is None:
        return named
    return {
        **named,
        "mediaType": packed.media_type,
        "digest": str(packed.blob.digest),
        "size": packed.blob.size,
    }


def _index(index: ManifestDocument, images: Mapping[Digest, ManifestDocument]) -> ManifestDocument:
    value = index.as_json()
    entries = []
    for entry in value["manifests"]:
        image = images[Digest.parse(entry["digest"])]
        entries.append({**entry, "digest": str(image.digest), "size": len(image.data)})
    return ManifestDocument(index.media_type, canonical.dumps({**value, "manifests": entries}))


def _opening(source: Source, packed: set[Digest]) -> Callable[[Blob], BinaryIO]:
    """Opens what was packed from the store, and all else where it is."""

    def find(blob: Blob) -> BinaryIO:
        return source.store.open(blob.digest) if blob.digest in packed else source.open(blob)

    return find
