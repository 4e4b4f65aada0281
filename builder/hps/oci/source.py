"""Where an image comes from: any transport as a repository, and its blobs as files.

What comes out of a registry or an archive and is needed as a file lies in the store from then on:
an interrupted copy carries on, and what is there for another image is not fetched again.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hps.digest import Blob, Digest
from hps.errors import IntegrityError, StoreCorruptError, UsageError
from hps.oci.archive_files import ArchiveFiles
from hps.oci.docker_archive import DockerArchive
from hps.oci.layout_reading import is_attachment
from hps.oci.layout_registry import LayoutRegistry
from hps.oci.reference import Reference
from hps.oci.registry import Registry
from hps.oci.registry_client import RegistryClient
from hps.oci.transports import ImagePlace
from hps.store.blobs import Store
from hps.store.foreign_text import printable
from hps.store.sending import Sending, Sent

Connect = Callable[[Reference], contextlib.AbstractContextManager[RegistryClient]]


@dataclass(frozen=True, slots=True)
class Source:
    """An image where it is.

    Args:
        place: as the user gave it.
        registry: what holds it.
        wanted: tag or digest there.
        store: keeps what has to be a file.
        direct: opens a blob in place; None: the registry is on the network.
    """

    place: ImagePlace
    registry: Registry
    wanted: Digest | str
    store: Store
    direct: Callable[[Blob], BinaryIO] | None = None

    @property
    def is_remote(self) -> bool:
        """Whether blobs come over a network."""
        return self.direct is None

    def open(self, blob: Blob, sent: Sent = lambda _: None) -> BinaryIO:
        """A blob for who compares it with its digest; can be sought.

        Raises:
            FetchError, IntegrityError: as `Registry.stream`, where it has to be fetched first.
        """
        return self.keep(blob, sent).open("rb") if self.direct is None else self.direct(blob)

    def verified(self, blob: Blob) -> Sending:
        """A blob whose last byte comes only when all are right."""
        return Sending(blob, self.open(blob), lambda: self._damaged(blob))

    def has_file(self, blob: Blob) -> bool:
        """Whether the store has a file of this name and size; reads none of it."""
        return self.store.has(blob.digest) and self.store.size(blob.digest) == blob.size

    def keep(self, blob: Blob, sent: Sent = lambda _: None) -> Path:
        """The blob as a verified file of the store; raises as `open`, and StoreError."""
        if self.has_file(blob):
            with contextlib.suppress(StoreCorruptError):  # set aside, and fetched anew
                return self.store.path(blob.digest)
        with contextlib.ExitStack() as stack:
            writer = stack.enter_context(self.store.writer())

            def take(piece: bytes) -> None:
                writer.write(piece)
                sent(writer.size)

            def restart() -> None:
                nonlocal writer
                writer = stack.enter_context(self.store.writer())
                sent(0)

            self.registry.stream(blob, take, restart)
            writer.commit(blob.digest, blob.size)
        return self.store.path(blob.digest)

    def _damaged(self, blob: Blob) -> IntegrityError:
        return IntegrityError(
            f"the blob {blob.digest} of {self.registry.name} is damaged",
            expected=f"{blob.digest}, {blob.size} bytes",
            hint="do not use this image; copy it again",
        )


@contextlib.contextmanager
def open_source(place: ImagePlace, store: Store, connect: Connect) -> Iterator[Source]:
    """Open the place of an image for reading.

    Args:
        place: where it is.
        store: see Source.
        connect: opens a repository of a registry.

    Raises:
        UsageError: there is no such thing, or more than one and none was named.
        IntegrityError: an archive or layout is damaged.
        PublishError: no Docker engine answers.
    """
    with contextlib.ExitStack() as stack:
        if place.reference is not None:
            wanted = place.reference.wanted
            yield Source(place, stack.enter_context(connect(place.reference)), wanted, store)
            return
        if place.transport == "docker-daemon":
            docker = DockerArchive(stack.enter_context(_saved(place.name or "", store)))
            yield Source(place, docker, docker.digest, store, docker.open)
            return
        path = place.path or Path()
        if place.transport == "docker-archive":
            files = stack.enter_context(ArchiveFiles(path, links=True))
            docker = DockerArchive(files, place.name)
            yield Source(place, docker, docker.digest, store, docker.open)
            return
        if place.transport == "oci" and not (path / "index.json").is_file():
            raise UsageError(
                f"{path} is not an OCI image layout", hint="oci-archive: reads a layout in a tar"
            )
        layout = LayoutRegistry(
            path if place.transport == "oci" else stack.enter_context(ArchiveFiles(path))
        )
        yield Source(place, layout, _named(place, layout), store, layout.open)


def _named(place: ImagePlace, layout: LayoutRegistry) -> Digest | str:
    """Which manifest of a layout is meant: one that is named, or the only one."""
    if place.digest is not None or place.name is not None:
        return place.digest or place.name or ""
    found = [entry for entry in layout.entries if not is_attachment(entry)]
    if len(found) == 1:
        return found[0].digest
    names = [printable(entry.name or str(entry.digest)) for entry in found]
    raise UsageError(
        f"{layout.name} holds {len(found)} images and none was named",
        expected=f"one of: {', '.join(names)}" if names else "an image",
        hint=f"{place.transport}:{place.path}:NAME or {place.transport}:{place.path}@sha256:…",
    )


@contextlib.contextmanager
def _saved(name: str, store: Store) -> Iterator[ArchiveFiles]:
    """What an engine saves, as a file of its own for as long as it is read."""
    from hps.oci.engine import Engine  # noqa: PLC0415 - an extra, and slow to import

    path = store.workspace.new_path()
    try:
        with Engine.connect() as engine, path.open("xb") as file:
            engine.save(name, file.write)
        with ArchiveFiles(path, links=True) as files:
            yield files
    finally:
        path.unlink(missing_ok=True)
