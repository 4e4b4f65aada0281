"""From the name of a base image to its manifest, configuration and layers, every byte verified.

A tag is asked for once; from then on everything is asked for by digest, so that a tag that moves
meanwhile changes nothing. OCI image specification 1.1 (image-index.md, manifest.md, config.md) and
Docker's "Image Manifest Version 2, Schema 2".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, cast

from hps import canonical
from hps.digest import Blob, Digest
from hps.errors import MalformedError, ResolutionError
from hps.lock.base_image import BaseName
from hps.lock.records import BaseLayer, LockedBase
from hps.oci.documents import DOCUMENT_LIMIT, Descriptor, Manifest
from hps.oci.image import CONFIG_TYPE, LAYER_TYPE
from hps.oci.registry import MANIFEST_TYPES, ManifestDocument, Registry
from hps.oci.shape import Members

_CONFIG_TYPES = {CONFIG_TYPE, "application/vnd.docker.container.image.v1+json"}
Packing = Literal[
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
]
# Docker's types become those of the same packing: the bytes are the same (OCI image-spec,
# media-types.md, "Compatibility Matrix").
_PACKINGS: dict[str, Packing] = {
    LAYER_TYPE: "application/vnd.oci.image.layer.v1.tar",
    f"{LAYER_TYPE}+gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    f"{LAYER_TYPE}+zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": (
        "application/vnd.oci.image.layer.v1.tar+gzip"
    ),
    "application/vnd.docker.image.rootfs.diff.tar.zstd": (
        "application/vnd.oci.image.layer.v1.tar+zstd"
    ),
}
_SUFFIXES = {"+gzip": ".tar.gz", "+zstd": ".tar.zst"}
_MOST_LAYERS = 120  # overlay file systems take 128 (Docker's own limit is 125)
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Listed:
    """One manifest of an index, and what it runs on: `os/architecture[/variant]`."""

    descriptor: Descriptor
    platform: str


def resolve_base(registry: Registry, wanted: BaseName, platform: str) -> tuple[LockedBase, bytes]:
    """Find out what a base image is made of.

    Args:
        registry: the repository.
        wanted: tag or digest.
        platform: linux/amd64 or linux/arm64.

    Returns:
        The record without what only its layers tell, and the bytes of its configuration.

    Raises:
        NotFoundError, FetchError: the registry does not have it, or cannot be reached.
        ResolutionError: it has no image for the platform, or one that hps cannot build upon.
        IntegrityError: bytes are not what their digest says, or contradict each other.
    """
    chosen, index = _manifest(registry, wanted, platform)
    manifest = _read_manifest(chosen, str(wanted))
    blob = Blob(manifest.config.digest, manifest.config.size)
    config = registry.read(blob, DOCUMENT_LIMIT)
    diff_ids = check_config(config, platform, str(wanted))
    if len(diff_ids) != len(manifest.layers):
        raise MalformedError(
            f"{wanted}: its manifest and its configuration contradict each other",
            expected=f"{len(diff_ids)} layers, as the configuration says",
            got=len(manifest.layers),
        )
    name = wanted.repository.rpartition("/")[2]
    layers = enumerate(zip(manifest.layers, diff_ids, strict=True), start=1)
    record = LockedBase(
        registry=wanted.registry,
        repository=wanted.repository,
        tag=wanted.tag,
        index=index.hex if index else None,
        manifest=chosen.digest.hex,
        manifest_size=len(chosen.data),
        config=blob.digest.hex,
        config_size=blob.size,
        layers=tuple(_layer(f"{name}-{number}", *one) for number, one in layers),
    )
    return record, config


def _manifest(
    registry: Registry, wanted: BaseName, platform: str
) -> tuple[ManifestDocument, Digest | None]:
    """The manifest for a platform, and the index that lists it, where there is one."""
    named = registry.manifest(wanted.wanted)
    if not named.is_index:
        return named, None
    descriptor = choose(listed(named, str(wanted)), platform, str(wanted))
    chosen = registry.manifest(descriptor.digest)
    if len(chosen.data) != descriptor.size or chosen.is_index:
        raise MalformedError(
            f"{wanted}: the manifest {descriptor.digest} is not what its index says",
            expected=f"a manifest of {descriptor.size} bytes",
            got=f"{'an index' if chosen.is_index else 'a manifest'} of {len(chosen.data)}",
        )
    return chosen, named.digest


def listed(index: ManifestDocument, name: str) -> list[Listed]:
    """The manifests of an index that say what they run on (image-index.md, `platform`)."""
    found = []
    try:
        for number, entry in enumerate(index.as_json()["manifests"]):
            where = f"manifests.{number}"
            descriptor = Descriptor.from_json(entry, where)
            members = Members(entry, where)
            if descriptor.media_type in MANIFEST_TYPES and members.has("platform"):
                found.append(Listed(descriptor, _platform(members)))
    except ValueError as error:
        raise MalformedError(
            f"{name}: its index does not follow the OCI image specification", details=(str(error),)
        ) from error
    return found


def _platform(members: Members) -> str:
    platform = members.one("platform", Members)
    parts = (platform.text("os"), platform.text("architecture"), platform.text_or_none("variant"))
    return "/".join(part for part in parts if part)


def choose(manifests: Sequence[Listed], platform: str, name: str) -> Descriptor:
    """The manifest for a platform; the first of several (image-index.md, `manifests`).

    One without a variant runs on every machine of the architecture, so it goes before others.
    amd64 has no other that does: v2 and up need newer machines. All of arm64 are v8 or newer.

    Raises:
        ResolutionError: there is none; names what there is.
    """
    fitting = [platform]
    fitting += [f"{platform}/v8"] if platform == "linux/arm64" else [f"{platform}/v1"]
    for wanted in fitting:
        for one in manifests:
            if one.platform == wanted:
                return one.descriptor
    there = sorted({one.platform for one in manifests if not one.platform.startswith("unknown")})
    raise ResolutionError(
        f"{name} has no image for {platform}",
        expected=platform,
        got=", ".join(there[:_SHOWN]) or "none that says what it runs on",
        hint="choose another base image, or another `platform` of the target",
    )


def check_config(config: bytes, platform: str, name: str) -> tuple[Digest, ...]:
    """The diff_ids of a configuration that is for this platform.

    Raises:
        ResolutionError: it is for another.
        MalformedError: it does not follow the specification.
    """
    try:
        value = canonical.loads(config, max_bytes=DOCUMENT_LIMIT)
        document = Members(value, "config")
        root = document.one("rootfs", Members)
        root.constant("type", "layers")
        diff_ids = root.digests("diff_ids")
        parts = [document.text("os"), document.text("architecture")]
    except ValueError as error:
        raise MalformedError(
            f"{name}: its configuration is not that of an image", details=(str(error),)
        ) from error
    if "/".join(parts) != platform:
        raise ResolutionError(
            f"{name} is for another platform than the target",
            expected=platform,
            got="/".join(parts),
            hint="choose another base image, or another `platform` of the target",
        )
    return diff_ids


def _read_manifest(document: ManifestDocument, name: str) -> Manifest:
    value = document.as_json()
    try:
        manifest = Manifest.from_json(value, "manifest")
    except ValueError as error:
        raise MalformedError(
            f"{name}: its manifest does not follow the OCI image specification",
            details=(str(error),),
        ) from error
    if manifest.config.media_type not in _CONFIG_TYPES:
        _refuse(name, "it is no image but something else", manifest.config.media_type)
    if not 0 < len(manifest.layers) <= _MOST_LAYERS:
        _refuse(name, f"it has {len(manifest.layers)} layers", f"1 to {_MOST_LAYERS} can be used")
    for number, entry in enumerate(cast("list[Any]", value["layers"])):
        _check_layer(entry, manifest.layers[number], f"{name}: layer {number + 1}")
    return manifest


def _check_layer(entry: dict[str, Any], layer: Descriptor, name: str) -> None:
    """Layers that the registry does not hold are refused: they would come from anywhere."""
    if entry.get("urls") or "foreign" in layer.media_type or "nondistributable" in layer.media_type:
        _refuse(name, "it lies elsewhere than in the registry (foreign layer)", layer.media_type)
    if layer.media_type not in _PACKINGS:
        _refuse(name, "it is packed in a way that hps does not know", layer.media_type)


def _layer(name: str, layer: Descriptor, diff_id: Digest) -> BaseLayer:
    media_type = _PACKINGS[layer.media_type]
    suffix = next((end for mark, end in _SUFFIXES.items() if media_type.endswith(mark)), ".tar")
    return BaseLayer(
        file=f"{name}{suffix}",
        sha256=layer.digest.hex,
        size=layer.size,
        media_type=media_type,
        diff_id=diff_id.hex,
    )


def _refuse(name: str, why: str, got: str) -> NoReturn:
    raise ResolutionError(
        f"{name} cannot be built upon: {why}", got=got, hint="choose another base image"
    )
