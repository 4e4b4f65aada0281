"""Models in registries: what the manifest of an artifact says, written and read. Pure.

OCI image specification 1.1, manifest.md ("Guidelines for Artifact Usage") and annotations.md. An
image manifest with `artifactType` ARTIFACT_TYPE, the empty configuration, and as layers either

* one archive: its media type is one of ARCHIVE_TYPES, its title the name of the file; or
* the files of a folder, one layer for each: the media type is FILE_TYPE, the title
  (`org.opencontainers.image.title`) the path below the model's folder, part by part with `/`.

Publishers push the blobs first and the manifest last, under its tag: that is the donefile. What
`oras push` and others write is read too (see `read`); annotations of the manifest are for people
and nothing is believed of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hps import canonical
from hps.digest import Blob, Digest
from hps.model.archive import Form
from hps.model.paths import check_path, check_paths
from hps.oci.attachment import EMPTY, EMPTY_TYPE
from hps.oci.documents import DOCUMENT_LIMIT, Descriptor, Manifest
from hps.oci.image import MANIFEST_TYPE, descriptor
from hps.store.foreign_text import printable

ARTIFACT_TYPE = "application/vnd.hps.model.v1"
FILE_TYPE = "application/vnd.hps.model.file.v1"
ARCHIVE_TYPES: Mapping[Form, str] = {
    Form.TAR: "application/vnd.hps.model.archive.v1.tar",
    Form.TAR_GZ: "application/vnd.hps.model.archive.v1.tar+gzip",
    Form.TAR_ZST: "application/vnd.hps.model.archive.v1.tar+zstd",
    Form.ZIP: "application/vnd.hps.model.archive.v1.zip",
}

TITLE = "org.opencontainers.image.title"
VERSION = "org.opencontainers.image.version"
NAME = "vnd.hps.model.name"
CHANNEL = "vnd.hps.model.channel"
SEQUENCE = "vnd.hps.model.sequence"

# What others call an archive; the archive itself says which it is.
_ARCHIVES = frozenset(
    {
        *ARCHIVE_TYPES.values(),
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/x-tar",
        "application/tar",
        "application/tar+gzip",
        "application/gzip",
        "application/x-gzip",
        "application/zstd",
        "application/x-bzip2",
        "application/x-xz",
        "application/zip",
    }
)
_ENDINGS = (
    *(".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"),
    *(".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".zip"),
)
_UNPACK = "io.deis.oras.content.unpack"  # "true": a folder that ORAS packed and would unpack


@dataclass(frozen=True, slots=True)
class Layer:
    """One file of an artifact.

    Args:
        path: below the folder of the model, as the publisher wrote it: not yet a safe path.
            Empty for the one archive of a packed model.
        blob: its bytes.
    """

    path: str
    blob: Blob


def is_archive_name(name: str) -> bool:
    """Whether a name ends like that of an archive, for places that tell nothing else."""
    return name.lower().endswith(_ENDINGS)


def write(layers: Iterable[Layer], annotations: Mapping[str, str]) -> bytes:
    """The manifest of a model that is a folder, as canonical JSON.

    Args:
        layers: all files.
        annotations: of the manifest: VERSION, NAME, CHANNEL, SEQUENCE.

    Raises:
        ValueError: there is no file, more than one manifest may name, or a name that no model
            may have.
    """
    listed = sorted(layers, key=_order)
    if not listed:
        raise ValueError("a model has at least one file")
    check_paths(each.path for each in listed)
    return _manifest([_titled(FILE_TYPE, each.blob, each.path) for each in listed], annotations)


def write_packed(form: Form, name: str, archive: Blob, annotations: Mapping[str, str]) -> bytes:
    """The manifest of a model that is one archive, as canonical JSON.

    Args:
        form: of the archive.
        name: of its file, as `oras pull` would write it.
        archive: its bytes.
        annotations: see `write`.

    Raises:
        ValueError: the name is none that a file of a model may have.
    """
    return _manifest([_titled(ARCHIVE_TYPES[form], archive, check_path(name))], annotations)


def read(document: object) -> tuple[Layer, ...]:
    """The files of an artifact, bytewise by path; a packed model is one layer without a path.

    A layer that stands alone is an archive when it has one of ARCHIVE_TYPES; or, in what other
    tools wrote, when its title ends like an archive's, when ORAS would unpack it, or when it has
    no title and the type of an archive. Everything else is a file by its title.

    Args:
        document: an image manifest, as `canonical.loads` gave it.

    Raises:
        ValueError: it holds no model, or a layer that is neither.
    """
    layers = Manifest.from_json(document, "manifest").layers
    if not layers:
        raise ValueError("it has no layers")
    if len(layers) == 1 and _is_archive(layers[0]):
        return (Layer("", _blob(layers[0])),)
    return tuple(sorted((_file(each, number) for number, each in enumerate(layers)), key=_order))


def checksums(layers: Sequence[Layer]) -> bytes:
    """What a manifest states of its layers, as a donefile would (see `hps.model.donefile`)."""
    if [each.path for each in layers] == [""]:
        return f"{layers[0].blob.digest}\n".encode()
    lines = [f"{each.blob.digest.hex}  {each.path}\n" for each in layers]
    return "".join(lines).encode("utf-8", "backslashreplace")


def _is_archive(layer: Descriptor) -> bool:
    title = layer.annotations.get(TITLE)
    if layer.media_type in ARCHIVE_TYPES.values() or layer.annotations.get(_UNPACK) == "true":
        return True
    if title is None:
        return layer.media_type in _ARCHIVES
    # `oras push FILE` calls any file a layer of an image: the title says more than the type.
    return layer.media_type != FILE_TYPE and is_archive_name(title)


def _file(layer: Descriptor, number: int) -> Layer:
    title = layer.annotations.get(TITLE)
    if not title:
        raise ValueError(
            f"layer {number} of the type {printable(layer.media_type)} has no {TITLE}, and is no "
            "archive that stands alone"
        )
    if layer.media_type in ARCHIVE_TYPES.values() or layer.annotations.get(_UNPACK) == "true":
        raise ValueError(f"layer {number} is an archive beside other layers")
    return Layer(title, _blob(layer))


def _blob(layer: Descriptor) -> Blob:
    return Blob(layer.digest, layer.size)


def _order(layer: Layer) -> bytes:
    return layer.path.encode("utf-8", "surrogatepass")  # bad names are told apart later


def _titled(media_type: str, blob: Blob, title: str) -> dict[str, Any]:
    return {**descriptor(media_type, blob.digest, blob.size), "annotations": {TITLE: title}}


def _manifest(layers: list[dict[str, Any]], annotations: Mapping[str, str]) -> bytes:
    data = canonical.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": descriptor(EMPTY_TYPE, Digest.of(EMPTY), len(EMPTY)),
            "layers": layers,
            **({"annotations": dict(annotations)} if annotations else {}),
        }
    )
    if len(data) > DOCUMENT_LIMIT:
        raise ValueError(
            f"its manifest has {len(data)} bytes, and registries take {DOCUMENT_LIMIT}: pack it"
        )
    return data
