"""What of an image that is copied may not be handed on: who made it says so, where it can be read.

Nothing here is a proof: a stranger may leave out what binds an artifact, and nobody is kept from
copying with other tools. It keeps people from handing on by accident what they may not.
"""

from collections.abc import Iterator
from pathlib import Path

from hps.build.project import Project
from hps.build.redistribution import Bound, bound_by_bill, bound_inside
from hps.digest import Blob, Digest
from hps.errors import MalformedError
from hps.oci.documents import DOCUMENT_LIMIT, Config, parse
from hps.oci.image_reading import read_manifest
from hps.oci.registry import Registry
from hps.oci.shipment import Shipment
from hps.trust.bundle import Bundle
from hps.trust.dsse import Envelope
from hps.trust.evidence import evidence_of
from hps.trust.predicates import PAYLOAD_TYPE, SBOM
from hps.trust.statement import Statement


def bound_in(registry: Registry, shipment: Shipment, project: Project | None) -> tuple[Bound, ...]:
    """What of an image is bound, each name once.

    Args:
        registry: the repository that it comes from.
        shipment: the image, with what speaks of it. Its SBOMs count whoever signed them: they can
            only bind.
        project: whose hps.toml and hps.lock are asked about the layers too; None: there is none.

    Raises:
        ConfigError, LockError: the project is at fault, and the image holds layers of it.
        FetchError, IntegrityError: a configuration could not be read.
    """
    found: dict[str, Bound] = {}
    if project is not None and project.lock_path.is_file():
        layers = {part.digest for part in shipment.parts} | set(_diff_ids(registry, shipment))
        for target in project.require_lock().targets:
            if target.name in project.config.targets:
                for one in bound_inside(project.config, target, layers):
                    found.setdefault(one.name, one)
    for bill in _bills(shipment):
        for one in bound_by_bill(bill.predicate):
            found.setdefault(one.name, one)
    return tuple(found.values())


def _diff_ids(registry: Registry, shipment: Shipment) -> Iterator[Digest]:
    """Of every image: layers that were packed on the way have other digests."""
    for image in shipment.images:
        name = f"{registry.name}@{image.digest}"
        config = read_manifest(name, image).config
        try:
            data = registry.read(Blob(config.digest, config.size), DOCUMENT_LIMIT)
            yield from parse(Config, Path(name), data).diff_ids
        except MalformedError:
            continue  # no image, or none that can be run: it has no layers of ours


def _bills(shipment: Shipment) -> Iterator[Statement]:
    """The SBOMs beside an image or the images of an index, as far as they can be read."""
    for subject in dict.fromkeys(one.digest for one in (shipment.root, *shipment.children)):
        for evidence in evidence_of(subject, shipment.attachments):
            document = evidence.document
            if not isinstance(document, Bundle) or not isinstance(document.content, Envelope):
                continue
            if document.content.payload_type != PAYLOAD_TYPE:
                continue
            try:
                statement = Statement.from_bytes(document.content.payload)
            except MalformedError:
                continue  # it says nothing
            about = {one.digest for one in statement.subjects}
            if statement.predicate_type == SBOM and subject in about:
                yield statement
