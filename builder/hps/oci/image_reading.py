"""An image from its two documents, wherever they came from; both have been compared with a digest.

OCI image specification 1.1, manifest.md and config.md; Docker's documents have the same fields.
"""

from collections.abc import Sequence
from pathlib import Path

from hps.digest import Digest
from hps.errors import IntegrityError
from hps.oci.documents import Config, Descriptor, Manifest, parse
from hps.oci.image import Image, ImageLayer
from hps.oci.packing import codec
from hps.oci.registry import ManifestDocument


def read_manifest(name: str | Path, document: ManifestDocument) -> Manifest:
    """What a manifest names; raises MalformedError."""
    return parse(Manifest, Path(name), document.data)


def read_image(
    name: str | Path, document: ManifestDocument, config: bytes, reference: str | None = None
) -> Image:
    """An image.

    Args:
        name: for messages.
        document: its manifest.
        config: the blob that the manifest names as its configuration.
        reference: under which name it is known from now on.

    Raises:
        MalformedError: a document does not follow its specification.
        IntegrityError: they contradict each other.
    """
    manifest = read_manifest(name, document)
    where = Path(name).with_name(f"{Path(name).name} (configuration)")
    read = parse(Config, where, config)
    _check_diff_ids(where, manifest.layers, read.diff_ids)
    parts = (read.os, read.architecture, read.variant)
    return Image(
        reference=reference,
        platform="/".join(part for part in parts if part),
        config=config,
        manifest=document.data,
        layers=tuple(
            ImageLayer(
                layer.digest,
                layer.size,
                layer.media_type,
                None if layer.digest == diff_id else diff_id,
            )
            for layer, diff_id in zip(manifest.layers, read.diff_ids, strict=True)
        ),
        media_type=document.media_type,
    )


def _check_diff_ids(path: Path, found: Sequence[Descriptor], diff_ids: Sequence[Digest]) -> None:
    if len(found) != len(diff_ids):
        raise IntegrityError(
            f"{path} and the manifest disagree about the number of layers",
            expected=len(diff_ids),
            got=len(found),
        )
    for layer, diff_id in zip(found, diff_ids, strict=True):
        if codec(layer.media_type) == "none" and layer.digest != diff_id:
            raise IntegrityError(
                f"{path} gives an uncompressed layer another diff_id than its digest",
                expected=diff_id,
                got=layer.digest,
            )
