"""An image as bytes: configuration, manifest, index. No I/O; the same inputs give the same bytes.

Follows the OCI image specification 1.1: config.md, manifest.md, image-index.md, annotations.md.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hps import canonical
from hps.digest import Blob, Digest
from hps.errors import ConfigError

if TYPE_CHECKING:  # its models take long to import, and who verifies an image needs none
    from hps.config.target import ImageSettings

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"  # not compressed: docs/adr/0004
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
REFERENCE_ANNOTATION = "org.opencontainers.image.ref.name"

HISTORY = "hps build"  # the same for every layer: names of layers must not change the image

# The specification leaves a variant to the architecture; without one, arm64 tools disagree
# whether v8 is meant.
_PLATFORMS = {
    "linux/amd64": {"architecture": "amd64", "os": "linux"},
    "linux/arm64": {"architecture": "arm64", "os": "linux", "variant": "v8"},
}

# One path component of a name and a tag as Docker writes them; narrower than the grammar of
# org.opencontainers.image.ref.name.
_REFERENCE = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*:\w[\w.-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ImageLayer(Blob):
    """A layer as a manifest lists it: a blob, its media type, and what is inside.

    Args:
        digest: of the blob.
        size: of the blob, in bytes.
        media_type: how the tar is packed; layers that hps makes are plain.
        uncompressed: digest of the plain tar where the blob is packed.
    """

    media_type: str = LAYER_TYPE
    uncompressed: Digest | None = None

    @property
    def diff_id(self) -> Digest:
        """The digest of the plain tar (config.md, `rootfs.diff_ids`)."""
        return self.uncompressed or self.digest

    @classmethod
    def of(cls, blob: Blob) -> "ImageLayer":
        """A blob as a layer: itself, or a plain tar."""
        return blob if isinstance(blob, cls) else cls(blob.digest, blob.size)


@dataclass(frozen=True, slots=True)
class Foundation:
    """What an image takes over from the one that it is laid over.

    Args:
        layers: of the base, lowest first, as they came.
        history: of the base (config.md, `history`).
        kept: members of `config` that nothing else decides.
        ports: members of `ExposedPorts` that are no TCP ports.
    """

    layers: tuple[ImageLayer, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    kept: Mapping[str, Any] = field(default_factory=dict)
    ports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """An assembled image: the two documents, and the layers that they name, lowest first.

    Args:
        reference: NAME:TARGET, or None for an image that carries no name.
        platform: for instance linux/amd64 or linux/arm64/v8.
        config: the bytes of the configuration.
        manifest: the bytes of the manifest.
        layers: blob of each layer, packed or not.
        media_type: of the manifest; images of others may have Docker's.
    """

    reference: str | None
    platform: str
    config: bytes
    manifest: bytes
    layers: tuple[ImageLayer, ...]
    media_type: str = MANIFEST_TYPE

    @property
    def digest(self) -> Digest:
        """The digest of the manifest: the name under which registries know the image."""
        return Digest.of(self.manifest)

    @property
    def image_id(self) -> Digest:
        """The digest of the configuration: what Docker calls the image ID."""
        return Digest.of(self.config)


def assemble(
    reference: str | None,
    settings: "ImageSettings",
    layers: Sequence[Blob],
    *,
    platform: str,
    epoch: int,
    base: Foundation | None = None,
) -> Image:
    """Make the image of a target.

    Args:
        reference: what `image_reference` gave, or None for an image without a name.
        settings: `[targets.NAME.image]`.
        layers: lowest first; plain blobs are uncompressed tars.
        platform: linux/amd64 or linux/arm64.
        epoch: seconds since 1970, for every time stamp.
        base: what it is laid over.
    """
    below = base or Foundation()
    all_layers = (*below.layers, *map(ImageLayer.of, layers))
    config = image_config(settings, all_layers, platform=platform, epoch=epoch, base=below)
    return Image(reference, platform, config, manifest(config, all_layers), all_layers)


def image_reference(project: str, target: str) -> str:
    """NAME:TARGET, the name under which Docker and layouts know the image.

    Raises:
        ConfigError: Docker's grammar of names is narrower than that of hps.toml.
    """
    text = f"{project}:{target}"
    if not _REFERENCE.fullmatch(text):
        raise ConfigError(
            f"{text!r} cannot name an image",
            expected="lower-case letters and digits, single separators between them (. _ -)",
            hint="change `name` of [project] or the name of the target in hps.toml",
        )
    return text


def image_config(
    settings: "ImageSettings",
    layers: Sequence[Blob],
    *,
    platform: str,
    epoch: int,
    base: Foundation | None = None,
) -> bytes:
    """The image configuration, canonical JSON (config.md).

    Args:
        settings: `[targets.NAME.image]`.
        layers: lowest first; plain blobs are uncompressed tars.
        platform: linux/amd64 or linux/arm64.
        epoch: seconds since 1970, for `created` and every history entry.
        base: what it is laid over; its layers are the first of `layers`.
    """
    below = base or Foundation()
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    optional: dict[str, Any] = {
        "Env": [f"{name}={value}" for name, value in sorted(settings.environment.items())],
        "Entrypoint": list(settings.entrypoint),
        "Cmd": list(settings.command),
        "ExposedPorts": {
            port: {} for port in (*(f"{one}/tcp" for one in settings.ports), *below.ports)
        },
        "Labels": dict(settings.labels),
        **below.kept,
    }
    return canonical.dumps(
        {
            **platform_fields(platform),
            "created": created,
            "config": {
                "User": f"{settings.user.uid}:{settings.user.gid}",
                "WorkingDir": settings.working_directory,
                **{key: value for key, value in optional.items() if value},
            },
            "history": [
                *below.history,
                *({"created": created, "created_by": HISTORY} for _ in layers[len(below.layers) :]),
            ],
            "rootfs": {
                "type": "layers",
                "diff_ids": [str(ImageLayer.of(layer).diff_id) for layer in layers],
            },
        }
    )


def manifest(config: bytes, layers: Iterable[Blob]) -> bytes:
    """The image manifest, canonical JSON (manifest.md)."""
    return canonical.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(CONFIG_TYPE, Digest.of(config), len(config)),
            "layers": [
                descriptor(layer.media_type, layer.digest, layer.size)
                for layer in map(ImageLayer.of, layers)
            ],
        }
    )


def docker_manifest(images: Iterable[Image]) -> bytes:
    """`manifest.json`, by which Docker before 25 finds the images of an archive.

    Docker image specification 1.2, "Combined Image JSON + Filesystem Changeset Format"; the
    paths point at the blobs of the layout, so that nothing is stored twice.
    """
    return canonical.dumps(
        [
            {
                "Config": f"blobs/sha256/{image.image_id.hex}",
                "RepoTags": [] if image.reference is None else [image.reference],
                "Layers": [f"blobs/sha256/{layer.digest.hex}" for layer in image.layers],
            }
            for image in sorted(images, key=image_order)
        ]
    )


def image_order(image: Image) -> tuple[str, str]:
    """How images of one layout are sorted: by reference, then by digest."""
    return (image.reference or "", image.digest.hex)


def descriptor(media_type: str, digest: Digest, size: int) -> dict[str, Any]:
    """A reference to bytes (descriptor.md)."""
    return {"mediaType": media_type, "digest": str(digest), "size": size}


def platform_fields(platform: str) -> dict[str, str]:
    """The fields of a platform, in indexes and configurations (image-index.md)."""
    known = _PLATFORMS.get(platform)
    if known is not None:
        return known
    parts = platform.split("/")
    return dict(zip(("os", "architecture", "variant"), parts, strict=False))
