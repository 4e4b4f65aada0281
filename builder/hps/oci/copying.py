"""Copying an image from one place to another; what it is made of is known before a blob moves."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from hps.errors import UsageError
from hps.oci.moving import JOBS, Moved, Mover, Watch
from hps.oci.registry import Registry
from hps.oci.shipment import Shipment, survey
from hps.oci.source import Connect, Source, open_source
from hps.oci.transports import ImagePlace
from hps.store.blobs import Store

if TYPE_CHECKING:
    from hps.oci.compressing import Packing

# Takes the repository that an image comes from, and what would be copied.
Allow = Callable[[Registry, Shipment], None]
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # what Go calls them


class Destination(Protocol):
    """Where an image goes."""

    def take(self, source: Source, shipment: Shipment, mover: Mover) -> Moved:
        """Put it there, whole or not at all."""

    def plan(self, source: Source, shipment: Shipment, mover: Mover) -> Moved:
        """What `take` would do, without doing it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How an image is to be copied.

    Args:
        platform: of an index this image only; None: all of it, or for Docker the platform there.
        attachments: signatures and attestations come along.
        dry: only say what would be done.
        mounts: repositories of the destination's registry that may have blobs of the image.
        jobs: blobs at once.
        packing: of plain layers; None: all stays as it is, and so does the digest.
    """

    platform: str | None = None
    attachments: bool = True
    dry: bool = False
    mounts: tuple[str, ...] = ()
    jobs: int = JOBS
    packing: "Packing | None" = None


def copy(
    origin: ImagePlace,
    goal: ImagePlace,
    *,
    store: Store,
    connect: Connect,
    watch: Watch,
    wishes: Wishes,
    allow: Allow | None = None,
) -> Moved:
    """Copy an image, or an index of images, with what speaks of it.

    Args:
        origin: where it is.
        goal: where it shall be.
        store: keeps blobs that have to be files.
        connect: opens a repository of a registry.
        watch: who is told how far it is.
        wishes: see there.
        allow: is asked when it is known what would be copied, with the attachments that stay
            behind; raises where that may not be.

    Raises:
        UsageError: one of the places is not there, or cannot hold such a thing.
        FetchError, IntegrityError: the source could not be read.
        PublishError: the destination refused it.
        BuildError: a file cannot be written.
    """
    if wishes.packing is not None and (wishes.dry or goal.transport.startswith("docker-")):
        raise UsageError(
            "layers are packed for registries, layouts and their archives, and never on trial",
            got=f"{goal}, dry run" if wishes.dry else goal,
            hint="leave --compress away",
        )
    if origin == goal:
        raise UsageError(f"{origin} is both ends of the copy", hint="name another place")
    with (
        store.session(),
        open_source(origin, store, connect) as opened,
        _open(goal, connect, wishes) as (destination, platform, abandon),
    ):
        source = opened
        shipment = survey(
            source.registry,
            source.wanted,
            platform=wishes.platform or platform,
            attachments=wishes.attachments or allow is not None,
        )
        if allow is not None:
            allow(source.registry, shipment)
        if not wishes.attachments:
            shipment = replace(shipment, attachments=(), left_behind=())
        mover = Mover(watch, wishes.jobs, (source.registry.abandon, abandon))
        if wishes.packing is not None:
            from hps.oci.compressing import compressed  # noqa: PLC0415 - few want it

            source, shipment = compressed(source, shipment, wishes.packing, mover)
        return (destination.plan if wishes.dry else destination.take)(source, shipment, mover)


@contextlib.contextmanager
def _open(
    goal: ImagePlace, connect: Connect, wishes: Wishes
) -> Iterator[tuple[Destination, str | None, Callable[[], None]]]:
    """The destination, the platform that it wants, and what ends its calls."""
    if goal.reference is not None:
        from hps.oci.to_registry import RegistryDestination  # noqa: PLC0415 - one of several

        with connect(goal.reference) as registry:
            mounts = wishes.mounts
            yield RegistryDestination(registry, goal.reference, mounts), None, registry.abandon
        return
    from hps.oci import to_files  # noqa: PLC0415 - as above

    if goal.digest is not None:
        raise UsageError(
            f"{goal} says what shall come out, and a place has to have a name",
            hint=f"write {replace(goal, digest=None)}:NAME",
        )
    if goal.transport == "docker-daemon":
        from hps.oci.engine import Engine  # noqa: PLC0415 - as above

        with Engine.connect() as engine:
            platform = engine.platform()
            yield to_files.DockerDestination(goal, engine), platform, lambda: None
    elif goal.transport == "oci":
        yield to_files.LayoutDestination(goal), None, lambda: None
    else:
        docker = goal.transport == "docker-archive"
        yield to_files.ArchiveDestination(goal), _machine() if docker else None, lambda: None


def _machine() -> str:
    """The platform of this machine."""
    name = os.uname().machine
    return f"linux/{_ARCHITECTURES.get(name, name)}"
