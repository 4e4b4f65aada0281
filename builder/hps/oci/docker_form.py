"""Images as Docker engines take them: what an engine cannot unpack is unpacked for it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from hps.digest import Digest
from hps.oci.image import MANIFEST_TYPE, Image, ImageLayer, manifest
from hps.oci.packing import codec, oci_type, unpacked


def for_docker(
    image: Image, opened: Callable[[ImageLayer], BinaryIO], folder: Path
) -> tuple[Image, Mapping[Digest, Path]]:
    """An image as engines before Docker 23 take it: no zstd, OCI's media types, the same image ID.

    Args:
        image: any.
        opened: opens the blob of a layer.
        folder: where layers are unpacked that have to be.

    Returns:
        The image, and where layers lie that had to be unpacked for it.

    Raises:
        UsageError: a layer is packed in a way that hps does not know.
        ArchiveError, IntegrityError: one is damaged.
    """
    layers: list[ImageLayer] = []
    files: dict[Digest, Path] = {}
    for layer in image.layers:
        if codec(layer.media_type) == "zst":
            plain = _unpack(layer, opened, folder / layer.diff_id.hex)
            layers.append(plain)
            files[plain.digest] = folder / layer.diff_id.hex
        else:
            layers.append(replace(layer, media_type=oci_type(layer.media_type)))
    if layers == list(image.layers) and image.media_type == MANIFEST_TYPE:
        return image, {}
    document = manifest(image.config, layers)
    return (
        replace(image, manifest=document, layers=tuple(layers), media_type=MANIFEST_TYPE),
        files,
    )


def _unpack(layer: ImageLayer, opened: Callable[[ImageLayer], BinaryIO], path: Path) -> ImageLayer:
    size = 0
    with path.open("wb") as writer, opened(layer) as file:
        for piece in unpacked(file, layer, f"the layer {layer.digest}"):
            size += writer.write(piece)
    return ImageLayer(layer.diff_id, size)
