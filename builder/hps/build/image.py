"""From a lock to an image: realise the planned layers, prove them, lay the image out."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hps.build.base_config import foundation, inherited
from hps.build.graph import Graph
from hps.build.healing import healing
from hps.build.proof import (
    BuiltLayer,
    check_facts,
    check_functions,
    check_plan,
    check_wheels,
    proved_layers,
)
from hps.build.redistribution import bound
from hps.build.sbom_step import SBOM_LIMIT, sbom_step
from hps.build.trees import trees_step
from hps.build.weights_tree import tree_name
from hps.build.workbench import Workbench, artifacts
from hps.config.target import ImageSettings
from hps.derivation.record import Step
from hps.derivation.scheduler import Lender, Outputs
from hps.digest import Blob, Digest
from hps.errors import HpsError, StoreError
from hps.lock.environment import with_environment
from hps.lock.records import Lock, LockedBase, LockedTarget
from hps.lock.stale import fresh_target
from hps.oci.attachment import Attachment
from hps.oci.documents import DOCUMENT_LIMIT
from hps.oci.image import Foundation, Image, assemble
from hps.oci.index import index
from hps.oci.layout_contents import Layout, Named
from hps.oci.layout_reading import layout_faults, open_layout
from hps.store.filesystem import may_only_read


@dataclass(frozen=True, slots=True)
class BuiltBase:
    """The base image below the layers of a built image, and the index of all that it holds."""

    locked: LockedBase
    index: Blob


@dataclass(frozen=True, slots=True)
class Proved:
    """What there is to say about an image that came out as its lock says."""

    lock: Lock
    target: LockedTarget
    image: Image
    sbom: bytes  # CycloneDX, canonical JSON


Attest = Callable[[Proved], Sequence[Attachment]]


@dataclass(frozen=True, slots=True)
class Made:
    """An image that came out as its lock says, not laid out yet."""

    target: str
    locked: LockedTarget
    image: Image
    settings: ImageSettings  # of its configuration
    layers: tuple[BuiltLayer, ...]
    steps: tuple[Step, ...]
    proved: Proved | None  # what is to be signed, where that was asked for
    base: BuiltBase | None = None
    lent: Lender | None = None  # what shared caches gave


@dataclass(frozen=True, slots=True)
class Built:
    """An image that was built and came out as its lock says."""

    target: str
    image: Image
    settings: ImageSettings  # of its configuration
    layers: tuple[BuiltLayer, ...]
    attachments: tuple[Attachment, ...]
    layout: Path
    changed: bool  # whether the layout had to be written
    rooted: bool  # whether the store knows that the project needs what it is made of
    base: BuiltBase | None = None


def build(
    bench: Workbench,
    name: str,
    *,
    again: bool = False,
    verify: bool = False,
    output: Path | None = None,
    attest: Attest | None = None,
    unsigned: bool = False,
) -> Built:
    """Build one target from hps.lock; nothing is resolved.

    A blob of the store that turns out to be damaged is fetched or made again. One that is not
    read is not seen: a build that has nothing to do reads no layer.

    The lock proves every layer but that of the trees. Who signs vouches for that one and for the
    SBOM too, so these two are made each time that something is attested, whatever the store says.

    Args:
        bench: the tools.
        name: of the target, for one platform.
        again: make every layer anew from its artifacts and compare.
        verify: hash every layer, also those that are laid out already.
        output: where the layout goes instead of `.hps/images/NAME`.
        attest: signs the image and says what it is.
        unsigned: where nobody signs, signatures of the same image that are laid out go.

    Raises:
        LockStaleError: hps.toml says something else than the lock was made from.
        FetchError, IntegrityError: an artifact is missing or not what the lock says.
        NotReproducibleError: a layer came out as something else than the lock says.
    """
    folder = output or bench.project.layout_path(name)

    def work(healed: bool) -> Built:
        one = make(bench, name, again=again, verify=verify, signed=attest is not None)
        attachments = tuple(attest(one.proved)) if attest and one.proved else ()
        layout = Layout((one.image,), attachments)
        changed = lay_out(bench, folder, layout, healed=healed, unsigned=unsigned)
        rooted = root(bench, one, changed=changed)
        settings, layers = one.settings, one.layers
        return Built(
            name, one.image, settings, layers, attachments, folder, changed, rooted, one.base
        )

    with bench.store.session():
        return healing(bench, work)


def make(
    bench: Workbench,
    name: str,
    *,
    again: bool = False,
    verify: bool = False,
    signed: bool = False,
) -> Made:
    """The image of a target, proved against its lock.

    Args:
        bench: the tools.
        name: of the target, for one platform.
        again: make every layer anew from its artifacts and compare.
        verify: hash every layer, also those that are laid out already.
        signed: make what somebody will vouch for, and anew what no lock proves.

    Raises:
        as `build`.
    """
    lock = bench.project.require_lock()
    locked = fresh_target(lock, name, bench.project.inputs(name))
    config = bench.project.target(name)
    check_facts(bench, lock, locked)
    graph = Graph(locked, config, lock.source_date_epoch)
    check_functions(lock)
    check_plan(locked, graph.layers)
    trees = trees_step(bench.project.root, config.trees, lock.source_date_epoch, graph.folders)
    reference = bench.project.reference(name)
    steps = [layer.step for layer in graph.layers] + ([trees] if trees else [])
    steps += [graph.base] if graph.base else []
    bill = None
    if signed:
        bill = sbom_step(graph, locked, reference, bound(bench.project.config, locked))
    steps += [bill] if bill else []
    unproved = [step for step in (trees, bill) if step and signed]
    lent = None if again else bench.lent(locked, graph)
    done = realise(bench, locked, steps, again=again, doubted=unproved, lender=lent)
    check_wheels(locked, graph, done)
    layers = list(proved_layers(bench, locked, graph.layers, done))
    if trees:
        layers.append(BuiltLayer.of("trees", done[trees], locked=False))
    below, settings = _foundation(bench, locked, config.image)
    settings = with_environment(settings, locked.layers, locked.base)
    image = assemble(
        reference,
        settings,
        [layer.blob for layer in layers],
        platform=config.platform,
        epoch=lock.source_date_epoch,
        base=below,
    )
    for blob in image.layers if verify else ():
        bench.store.path(blob.digest)
    proved = None
    if bill:
        sbom = bench.store.read(done[bill]["sbom"].digest, SBOM_LIMIT)
        proved = Proved(lock, locked, image, sbom)
    base = BuiltBase(locked.base, done[graph.base]["index"]) if locked.base and graph.base else None
    return Made(name, locked, image, settings, tuple(layers), tuple(steps), proved, base, lent)


def _foundation(
    bench: Workbench, locked: LockedTarget, settings: ImageSettings
) -> tuple[Foundation | None, ImageSettings]:
    """What an image takes over from its base, whose blobs are fetched where they are missing."""
    if locked.base is None:
        return None, settings
    bench.fetch(locked.name, locked.base.artifacts())
    config = bench.store.read(locked.base.document.digest, DOCUMENT_LIMIT)
    return foundation(locked.base, config), inherited(settings, locked.base, config)


def lay_out(
    bench: Workbench, folder: Path, layout: Layout, *, healed: bool, unsigned: bool = False
) -> bool:
    """Write a layout, unless it is there; whether it had to be written.

    Args:
        bench: the tools.
        folder: of the layout.
        layout: what it shall hold.
        healed: whether a blob was damaged: it was so in the layout too, they are one file.
        unsigned: of the same images, signatures that are laid out go when the layout has none.
    """
    if not healed and _is_there(folder, layout):
        return False
    if not (unsigned or layout.attachments) and (there := whole_layout(folder, layout.names)):
        if not healed:
            return False
        layout = there  # signed earlier, by keys that need not be at hand now
    from hps.oci.layout import write_layout  # noqa: PLC0415 - not needed when all is there

    hashed = _hashed(bench, folder)
    write_layout(folder, layout.images, hashed, layout.attachments, layout.indexes)
    return True


def whole_layout(folder: Path, names: Sequence[Named]) -> Layout | None:
    """A layout, if it holds these and nothing else; sizes are compared, bytes are not.

    Args:
        folder: of the layout.
        names: what it has to list, as `Layout.names` has it.
    """
    try:
        layout = open_layout(folder)
        whole = layout.names == tuple(names) and not layout_faults(folder, layout, hashed=False)
    except HpsError:
        return None  # then it is written anew
    return layout if whole else None


def root(bench: Workbench, one: Made, *, changed: bool) -> bool:
    """Let the store know that the project needs what an image is made of; whether it does."""
    made = {*_artifacts(one.locked), *(layer.blob.digest for layer in one.layers)}
    known = not changed and bench.store.roots.keeps(bench.project.root, one.target, made)
    return known or _keep(bench, one.locked, one.steps, one.lent)


def realise(
    bench: Workbench,
    locked: LockedTarget,
    steps: Sequence[Step],
    *,
    again: bool = False,
    doubted: Sequence[Step] = (),
    lender: Lender | None = None,
) -> Mapping[Step, Outputs]:
    """Make steps, after fetching the artifacts that this needs.

    Args:
        bench: the tools.
        locked: the target that they are of.
        steps: that are asked for.
        again: make all of them anew, and compare.
        doubted: make these anew, and compare.
        lender: what shared caches gave; None while a lock is made or checked.
    """
    scheduler = bench.scheduler(again=again, lender=lender)
    survey = scheduler.survey(steps, doubted=doubted)
    bench.fetch_for(locked, survey.artifacts)
    if survey.make and locked.base:  # its tree may be gone, and is made of these again
        bench.fetch(locked.name, locked.base.artifacts())
    return scheduler.realise(steps, doubted=doubted)


def _hashed(bench: Workbench, layout: Path) -> Callable[[Digest], Path]:
    """Where a layer is; hashed, unless the layout that is replaced links to this very file.

    It was hashed when it was linked, and an edit of one file must not read all other layers.
    """

    def path(digest: Digest) -> Path:
        found = bench.store.path_unread(digest)
        with contextlib.suppress(OSError):
            if found.samefile(layout / "blobs" / "sha256" / digest.hex):
                return found
        return bench.store.path(digest)

    return path


def _is_there(folder: Path, layout: Layout) -> bool:
    """Whether a folder holds this very layout; its index is read, its blobs are looked for."""
    there = index(layout.images, layout.attachments, layout.indexes)
    try:
        same = (folder / "index.json").read_bytes() == there
    except OSError:
        return False
    blobs = list(layout.subjects)
    for image in layout.all_images:
        blobs += [image.image_id, *(blob.digest for blob in image.layers)]
    blobs += [digest for one in layout.attachments for digest in one.digests()]
    return same and all((folder / "blobs" / "sha256" / blob.hex).is_file() for blob in blobs)


def _artifacts(locked: LockedTarget) -> set[Digest]:
    return {artifact.digest for artifact in artifacts(locked)}


def _keep(
    bench: Workbench, locked: LockedTarget, steps: Sequence[Step], lent: Lender | None
) -> bool:
    """Root what a target is made of and all that its steps came out as, against collection.

    Intermediate outputs count too: a trace whose outputs are gone would be collected, and with it
    the knowledge that leads to the layers. A store that may only be read is told nothing, and the
    build goes on: all that it needs was there.

    Returns:
        Whether the root was recorded.
    """
    digests = _artifacts(locked)
    digests |= {tree_name(locked.files_of(weights.name)) for weights in locked.weights}
    for outputs in bench.scheduler(lender=lent).survey(steps).known.values():
        digests |= {blob.digest for blob in outputs.values()}
    try:
        bench.store.roots.set(bench.project.root, locked.name, sorted(digests))
    except StoreError as error:
        if not may_only_read(error):
            raise
        bench.note_once(
            f"warning: the store {bench.store.root} may only be read, so it is not recorded there "
            f"that {bench.project.root} needs what it is made of: a collection by the store's "
            "owner may remove that (images that are laid out stay whole)"
        )
        return False
    return True
