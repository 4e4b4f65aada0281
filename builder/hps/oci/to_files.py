"""An image on its way into a layout, an archive or a Docker engine.

All of them appear whole or not at all. What is there already in the layout stays; of two images
with one name the later one has it.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from hps.digest import Digest
from hps.errors import UsageError
from hps.oci.archive import BlobPlace, write_archive
from hps.oci.archive_files import is_tar
from hps.oci.arrival import arrived
from hps.oci.attachment import Attachment, tag_subject
from hps.oci.docker_form import for_docker
from hps.oci.engine import Engine
from hps.oci.image import Image
from hps.oci.index import ImageIndex
from hps.oci.layout import write_layout
from hps.oci.layout_contents import Layout, blob_name, layers
from hps.oci.layout_reading import open_layout
from hps.oci.moving import Moved, Mover, shipped
from hps.oci.registry import Placed
from hps.oci.shipment import Part, Shipment
from hps.oci.source import Source
from hps.oci.transports import ImagePlace
from hps.store.locking import exclusive
from hps.store.sending import Sent


@dataclass(frozen=True, slots=True)
class LayoutDestination:
    """A folder with an image layout, or one that becomes it."""

    place: ImagePlace

    def take(self, source: Source, shipment: Shipment, mover: Mover) -> Moved:
        """Put an image there; its layers are links into the store.

        Raises:
            UsageError: the folder is something else, or the shipment is no image.
            FetchError, IntegrityError: the source could not be read.
            BuildError: the layout cannot be written.
        """
        folder = Path(os.path.realpath(self.place.path or Path()))
        new = arrived(source, shipment, self.place.name)
        placed = mover.each(shipment.parts, _keep(source))
        folder.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(folder.with_name(f".{folder.name}.lock"), wait=True):
            old = open_layout(folder) if (folder / "oci-layout").is_file() else Layout(())
            both, before = _joined(old, new, self.place.name)
            ours = {blob.digest: blob for blob in layers(new.all_images)}
            write_layout(
                folder,
                both.images,
                lambda digest: (
                    source.store.path(digest) if digest in ours else folder / blob_name(digest)
                ),
                both.attachments,
                both.indexes,
            )
        return _moved(self.place, shipment, placed, before=before)

    def plan(self, source: Source, shipment: Shipment, mover: Mover) -> Moved:
        """What `take` would do, without doing it."""
        del mover
        arrived(source, shipment, self.place.name)
        return _moved(self.place, shipment, _wanted(source, shipment), dry=True)


@dataclass(frozen=True, slots=True)
class ArchiveDestination:
    """A file: an image layout in a tar, or what `docker load` reads; hps writes both in one."""

    place: ImagePlace
    epoch: int = 0

    def take(self, source: Source, shipment: Shipment, mover: Mover) -> Moved:
        """Write the archive; raises as `LayoutDestination.take`."""
        path = self._path()
        layout = arrived(source, shipment, self.place.name)
        placed = _fetched(source, shipment, mover)
        files: Mapping[Digest, Path] = {}
        with _scratch(source) as folder:
            if self.place.transport == "docker-archive":
                image, files = for_docker(self._image(layout), source.open, folder)
                # Attachments speak of the manifest: where that is another one, of nothing here.
                kept = layout.attachments if image.digest == shipment.root.digest else ()
                layout = Layout((image,), kept)
            write_archive(
                path,
                layout.images,
                _opening(source, layout.all_images, files),
                epoch=self.epoch,
                attachments=layout.attachments,
                indexes=layout.indexes,
            )
        return _moved(self.place, shipment, placed)

    def plan(self, source: Source, shipment: Shipment, mover: Mover) -> Moved:
        """What `take` would do, without doing it."""
        del mover
        self._path()
        layout = arrived(source, shipment, self.place.name)
        if self.place.transport == "docker-archive":
            self._image(layout)
        return _moved(self.place, shipment, _wanted(source, shipment), dry=True)

    def _path(self) -> Path:
        path = self.place.path or Path()
        if path.exists() and not is_tar(path) and (not path.is_file() or path.stat().st_size):
            raise UsageError(
                f"{path} exists and is no archive",
                hint="choose another name; hps replaces only what it could have written",
            )
        return path

    def _image(self, layout: Layout) -> Image:
        return only_image(layout, str(self.place))


@dataclass(frozen=True, slots=True)
class DockerDestination:
    """A Docker engine."""

    place: ImagePlace
    engine: Engine

    def take(self, source: Source, shipment: Shipment, mover: Mover) -> Moved:
        """Hand the image over; it gets its name when it has come out right.

        Raises:
            UsageError: the shipment is an index, or no image.
            PublishError: the engine refused it.
            FetchError, IntegrityError: the source could not be read.
        """
        image = only_image(arrived(source, shipment, None), str(self.place))
        placed = _fetched(source, shipment, mover)
        with _scratch(source) as folder:
            ready = image
            files: Mapping[Digest, Path] = {}
            if self.engine.find(image) is None:
                ready, files = for_docker(image, source.open, folder)
            found = self.engine.load(ready, _opening(source, [ready], files), tag=self.place.name)
        return _moved(self.place, shipment, placed, image_id=found)

    def plan(self, source: Source, shipment: Shipment, mover: Mover) -> Moved:
        """What `take` would do, without doing it."""
        del mover
        only_image(arrived(source, shipment, None), str(self.place))
        return _moved(self.place, shipment, _wanted(source, shipment), dry=True)


def only_image(layout: Layout, where: str) -> Image:
    """The one image of a layout; raises UsageError for an index."""
    if layout.indexes:
        raise UsageError(
            f"{where} can hold the image of one platform only",
            got="an index of several",
            hint="--platform chooses one, for instance --platform linux/amd64",
        )
    return layout.images[0]


def _joined(old: Layout, new: Layout, name: str | None) -> tuple[Layout, Digest | None]:
    """What is there and what comes, and which image had its name before."""
    roots = set(new.listed)
    images = [one for one in old.images if one.reference != name and one.digest not in roots]
    indexes = [one for one in old.indexes if one.reference != name and one.digest not in roots]
    there: list[Image | ImageIndex] = [*old.images, *old.indexes]
    replaced = [one.digest for one in there if one.reference == name]
    kept = Layout((*images, *new.images), (), (*indexes, *new.indexes))
    subjects = set(kept.subjects)
    coming = {(one.digest, one.tag) for one in new.attachments}
    tags = {one.tag for one in new.attachments if one.tag is not None}
    attachments = [
        one
        for one in old.attachments
        if _subject(one) in subjects
        and (one.digest, one.tag) not in coming
        and (one.tag is None or one.tag not in tags)
    ]
    both = Layout(kept.images, (*attachments, *new.attachments), kept.indexes)
    before = next((one for one in replaced if one not in roots), None)
    return both, before


def _subject(attachment: Attachment) -> Digest | None:
    if attachment.subject is not None:
        return attachment.subject
    return None if attachment.tag is None else tag_subject(attachment.tag)


def _keep(source: Source) -> Callable[[Part, Sent], Placed]:
    """Makes each blob a file of the store."""

    def keep(part: Part, sent: Sent) -> Placed:
        there = source.has_file(part)
        source.keep(part, sent)
        return Placed.THERE if there else Placed.SENT

    return keep


def _fetched(source: Source, shipment: Shipment, mover: Mover) -> Sequence[tuple[Part, Placed]]:
    """Fetch what comes over a network; what is here is verified when it is read."""
    if source.is_remote:
        return mover.each(shipment.parts, _keep(source))
    return tuple((part, Placed.SENT) for part in shipment.parts)


@contextlib.contextmanager
def _scratch(source: Source) -> Iterator[Path]:
    """A folder on the disk of the store, gone with the block or with the process."""
    folder = source.store.workspace.new_path()
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wanted(source: Source, shipment: Shipment) -> Sequence[tuple[Part, Placed]]:
    return tuple(
        (part, Placed.THERE if source.has_file(part) else Placed.SENT) for part in shipment.parts
    )


def _opening(source: Source, images: Iterable[Image], files: Mapping[Digest, Path]) -> BlobPlace:
    """Where the layers of images are read; those of the source are verified on the way."""
    blobs = {blob.digest: blob for blob in layers(images)}

    def find(digest: Digest) -> Path | BinaryIO:
        if digest in files:
            return files[digest]
        if source.is_remote:
            return source.store.path(digest)
        return cast("BinaryIO", source.verified(blobs[digest]))  # read() and a context suffice

    return find


def _moved(
    place: ImagePlace,
    shipment: Shipment,
    placed: Sequence[tuple[Part, Placed]],
    *,
    before: Digest | None = None,
    image_id: str | None = None,
    dry: bool = False,
) -> Moved:
    attachments = () if image_id else shipped(shipment)
    return Moved(
        place=str(place),
        root=shipment.root.digest,
        media_type=shipment.root.media_type,
        parts=tuple(placed),
        attachments=attachments,
        before=before,
        notes=shipment.left_behind,
        image_id=image_id,
        dry=dry,
    )
