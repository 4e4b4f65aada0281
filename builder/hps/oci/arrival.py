"""What has been surveyed, as the images of a layout or of Docker."""

from hps.digest import Blob, Digest
from hps.errors import UsageError
from hps.oci.attachment import Attachment, fallback_index
from hps.oci.documents import DOCUMENT_LIMIT
from hps.oci.image import CONFIG_TYPE, Image
from hps.oci.image_reading import read_image, read_manifest
from hps.oci.index import ImageIndex
from hps.oci.layout_contents import Layout
from hps.oci.registry import ManifestDocument
from hps.oci.shipment import Shipment
from hps.oci.source import Source

_CONFIG_TYPES = frozenset({CONFIG_TYPE, "application/vnd.docker.container.image.v1+json"})


def arrived(source: Source, shipment: Shipment, name: str | None) -> Layout:
    """A shipment as what a layout holds.

    Args:
        source: of the configurations.
        shipment: an image or an index of images.
        name: of the image or index there.

    Raises:
        UsageError: it is something else.
        IntegrityError: documents contradict each other.
    """
    attachments = _with_lists(shipment)
    if not shipment.root.is_index:
        return Layout((image_of(source, shipment.root, name),), attachments)
    images = {child.digest: image_of(source, child, None) for child in shipment.children}
    listed = tuple(
        images[Digest.parse(entry["digest"])] for entry in shipment.root.as_json()["manifests"]
    )
    root = shipment.root
    return Layout((), attachments, (ImageIndex(name, root.data, listed, root.media_type),))


def image_of(source: Source, document: ManifestDocument, name: str | None) -> Image:
    """One image of a source; raises as `arrived`."""
    where = f"{source.registry.name}@{document.digest}"
    config = read_manifest(where, document).config
    if config.media_type not in _CONFIG_TYPES:
        raise UsageError(
            f"{where} is no image",
            expected=CONFIG_TYPE,
            got=config.media_type,
            hint="other artifacts can be copied from registry to registry",
        )
    data = source.registry.read(Blob(config.digest, config.size), DOCUMENT_LIMIT)
    return read_image(where, document, data, name)


def _with_lists(shipment: Shipment) -> tuple[Attachment, ...]:
    """The attachments, and the indexes by which readers of layouts find referrers."""
    subjects = (shipment.root, *shipment.children)
    lists = []
    for subject in dict.fromkeys(one.digest for one in subjects):
        about = [one for one in shipment.attachments if one.subject == subject and one.tag is None]
        if about:
            lists.append(fallback_index(subject, about))
    return (*shipment.attachments, *lists)
