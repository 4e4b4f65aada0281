"""An image on its way into a registry: blobs, manifests, what speaks of it, and then its name.

The tag moves last, when everything is there that a reader of it may ask for, signatures too. What
was interrupted has left blobs without a name, which the next push finds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hps.digest import Digest
from hps.errors import NotFoundError, UsageError
from hps.oci.attachment import Attachment
from hps.oci.moving import Moved, Mover, shipped
from hps.oci.packing import is_unshared
from hps.oci.reference import Reference
from hps.oci.registry import ManifestDocument, Placed, WritableRegistry
from hps.oci.registry_push import push_referrers, push_tagged
from hps.oci.shipment import Part, Shipment
from hps.oci.source import Source
from hps.store.sending import Sent


@dataclass(frozen=True, slots=True)
class RegistryDestination:
    """A repository of a registry.

    Args:
        registry: the repository.
        reference: where it is, and under which tag the image shall be there.
        mounts: other repositories of the same registry that may have blobs of the image.
    """

    registry: WritableRegistry
    reference: Reference
    mounts: tuple[str, ...] = ()

    def take(self, source: Source, shipment: Shipment, mover: Mover) -> Moved:
        """Put an image there.

        Raises:
            UsageError: the reference has the digest of something else.
            PublishError: the registry refused something.
            FetchError, IntegrityError: the source could not be read.
        """
        self._check(shipment)
        mounts = self._mounts(source)

        def send(part: Part, sent: Sent) -> Placed:
            return self.registry.upload(part, lambda: source.open(part), mounts=mounts, sent=sent)

        ours = [part for part in shipment.parts if not is_unshared(part.media_type)]
        placed = mover.each(ours, send)
        for document in (*shipment.children, shipment.root):
            self.registry.put(document)
        self._attachments(shipment)
        before = self._name(shipment.root)
        return self._moved(shipment, placed, before)

    def plan(self, source: Source, shipment: Shipment, mover: Mover) -> Moved:
        """What `take` would do, without doing it: mounts count as sent, for nobody can know."""
        del source
        self._check(shipment)

        def ask(part: Part, sent: Sent) -> Placed:
            del sent
            return Placed.THERE if self.registry.has(part) else Placed.SENT

        ours = [part for part in shipment.parts if not is_unshared(part.media_type)]
        return self._moved(shipment, mover.each(ours, ask), self._named(), dry=True)

    def _check(self, shipment: Shipment) -> None:
        asked = self.reference.digest
        if asked is not None and asked != shipment.root.digest:
            raise UsageError(
                f"{self.reference} is the name of something else",
                expected=asked,
                got=shipment.root.digest,
                hint="leave the digest away, or copy the image that has it",
            )
        if asked is None and self.reference.tag is None:
            raise UsageError(
                f"{self.reference} does not say under which tag",
                hint=f"write {self.reference}:TAG; hps does not assume `latest`",
            )

    def _mounts(self, source: Source) -> tuple[str, ...]:
        """Repositories to mount from: that of the source, if it is of the same registry."""
        there = source.place.reference
        near = there is not None and there.host == self.reference.host
        first = (there.repository,) if near and there is not None else ()
        own = self.reference.repository
        return tuple(one for one in dict.fromkeys((*first, *self.mounts)) if one != own)

    def _attachments(self, shipment: Shipment) -> None:
        by_subject: dict[Digest, list[Attachment]] = {}
        for one in shipment.attachments:
            if one.tag is not None:
                push_tagged(self.registry, one)
            elif one.subject is not None:
                by_subject.setdefault(one.subject, []).append(one)
        for subject, referrers in by_subject.items():
            push_referrers(self.registry, subject, referrers)

    def _name(self, root: ManifestDocument) -> Digest | None:
        """Give the image its name; tells what had it before."""
        if self.reference.tag is None:
            return None
        before = self._named()
        if before != root.digest:  # tags of some registries may be written once only
            self.registry.put(root, self.reference.tag)
        return before

    def _named(self) -> Digest | None:
        if self.reference.tag is None:
            return None
        try:
            return self.registry.manifest(self.reference.tag).digest
        except NotFoundError:
            return None

    def _moved(
        self,
        shipment: Shipment,
        placed: Sequence[tuple[Part, Placed]],
        before: Digest | None,
        *,
        dry: bool = False,
    ) -> Moved:
        unshared = [part for part in shipment.parts if is_unshared(part.media_type)]
        notes = [
            f"the layer {part.digest.short} was not sent: its maker does not let it be passed on"
            for part in unshared
        ]
        return Moved(
            place=f"docker://{self.reference}",
            root=shipment.root.digest,
            media_type=shipment.root.media_type,
            parts=tuple(placed),
            attachments=shipped(shipment),
            before=None if before == shipment.root.digest else before,
            notes=(*shipment.left_behind, *notes),
            dry=dry,
        )
