"""An image that somebody else has built, and what is said of it: claims, none of them verified.

Whoever builds the image again needs no trust in them: they only tell what to build, and the
digest tells whether it was true.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from hps.derivation.emulation import host_platform
from hps.digest import Blob, Digest
from hps.errors import IntegrityError, LockError, NotFoundError, UsageError
from hps.oci.archive_files import ArchiveFiles
from hps.oci.attachment import Attachment
from hps.oci.documents import DOCUMENT_LIMIT, Config, Manifest, parse
from hps.oci.image import MANIFEST_TYPE, Image
from hps.oci.layout_contents import Layout, blob_name
from hps.oci.layout_files import FolderFiles, LayoutFiles
from hps.oci.layout_reading import layout_faults, open_layout
from hps.oci.registry import Registry
from hps.release.provenance import BUILD_TYPE
from hps.store.foreign_text import printable
from hps.trust.attachments import PREDICATE_ANNOTATION
from hps.trust.bundle import BUNDLE_TYPE, Bundle
from hps.trust.dsse import Envelope
from hps.trust.evidence import evidence_of
from hps.trust.predicates import PAYLOAD_TYPE, PROVENANCE
from hps.trust.statement import Statement

_LARGEST = 8 << 20  # bytes of a bundle with provenance; that of a thousand artifacts has one


@dataclass(frozen=True, slots=True)
class Origin:
    """What a statement says that an image was built from: a target of a lock."""

    target: str
    lock: Digest


@dataclass(frozen=True, slots=True)
class Claimed:
    """An image that is claimed to be the one of a lock.

    Args:
        name: of the place where it is.
        manifest: its bytes.
        config: the bytes of its configuration.
        bundles: what lies beside it; not verified.
        layer: where a layer lies, when that is on this machine.
    """

    name: str
    manifest: bytes
    config: bytes
    bundles: tuple[Bundle, ...]
    layer: Callable[[Digest], Path] | None = field(default=None, compare=False)

    @property
    def digest(self) -> Digest:
        """Of the manifest."""
        return Digest.of(self.manifest)

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """Digests of its layers, not compressed, lowest first.

        Raises:
            MalformedError: the configuration does not follow the OCI image specification.
        """
        return parse(Config, Path(self.name), self.config).diff_ids

    def origins(self) -> tuple[Origin, ...]:
        """What hps says in statements about it that it was built from, each once."""
        found = (_origin(bundle, self.digest) for bundle in self.bundles)
        return tuple(dict.fromkeys(one for one in found if one is not None))

    def target(self, lock: Digest, asked: str | None) -> str:
        """Which target of a lock it is claimed to be.

        Anybody can lay a statement beside an image, so one that names this lock is enough.

        Args:
            lock: digest of the lock that is here.
            asked: the target that the user named.

        Raises:
            LockError: it is said to be made from another lock.
            UsageError: nothing says which target, or several are said.
        """
        said = [one for one in self.origins() if asked in {None, one.target}]
        here = [one.target for one in said if one.lock == lock]
        if said and not here:
            raise LockError(
                f"{self.name} was built from another hps.lock than the one that is here",
                expected=" or ".join(str(one.lock) for one in said[:3]),
                got=lock,
                hint="check out the commit of the image",
            )
        if asked is None and len(here) != 1:
            names = ", ".join(printable(name, 100) for name in here)
            raise UsageError(
                f"nothing beside {self.name} says which target of hps.lock it is"
                if not here
                else f"statements beside {self.name} say that it is several targets: {names}",
                hint="name it: --target NAME",
            )
        if asked is not None and not here and self.origins():
            names = ", ".join(printable(one.target, 100) for one in self.origins()[:5])
            raise UsageError(
                f"{self.name} is another target", expected=names, got=asked, hint="drop --target"
            )
        return asked or here[0]


def claimed_layout(folder: Path, platform: str | None = None) -> Claimed:
    """The image of a layout, every blob of which is hashed.

    Args:
        folder: of the layout.
        platform: which image, where an index lists several; None for this machine's.

    Raises:
        UsageError: there is no layout, or it does not hold one image for the platform.
        IntegrityError: it is damaged, or not what its index says.
    """
    found = _laid_out(FolderFiles(folder), platform)
    return replace(found, layer=lambda digest: folder / blob_name(digest))


def claimed_archive(path: Path, platform: str | None = None) -> Claimed:
    """The image of an archive, read in place; arguments and errors as in `claimed_layout`."""
    with ArchiveFiles(path) as files:
        return _laid_out(files, platform)


def claimed_in_registry(registry: Registry, wanted: Digest | str) -> Claimed:
    """An image in a registry; its layers are not fetched.

    Raises:
        UsageError: it is an index of several images.
        FetchError: it could not be had.
        IntegrityError: other bytes than a digest says, or no proper manifest.
    """
    name = f"{registry.name}{'@' if isinstance(wanted, Digest) else ':'}{wanted}"
    document = registry.manifest(wanted)
    if document.is_index:
        raise UsageError(
            f"{name} is an index of several images",
            hint="name one of them by its digest: NAME@sha256:…",
        )
    manifest = parse(Manifest, Path(name), document.data)
    config = registry.read(Blob(manifest.config.digest, manifest.config.size), DOCUMENT_LIMIT)
    bundles = _bundles(document.digest, _provenance(registry, document.digest))
    return Claimed(name, document.data, config, bundles)


def _laid_out(files: LayoutFiles, platform: str | None) -> Claimed:
    layout = open_layout(files)
    faults = layout_faults(files, layout)
    if faults:
        raise IntegrityError(
            f"{files.root} is not what its index says",
            hint="nothing of it should be used: copy it again, or hps verify",
            details=tuple(str(fault) for fault in faults),
        )
    image = _chosen(files, layout, platform)
    bundles = _bundles(image.digest, layout.attachments)
    return Claimed(str(files.root), image.manifest, image.config, bundles)


def _chosen(files: LayoutFiles, layout: Layout, platform: str | None) -> Image:
    """The one image of a layout, or that of its one index for a platform."""
    images = layout.all_images
    if platform is not None or (len(layout.indexes) == 1 and not layout.images):
        wanted = platform or host_platform()
        images = tuple(one for one in images if f"{one.platform}/".startswith(f"{wanted}/"))
        if not images:
            raise UsageError(
                f"{files.root} holds no image for {wanted}",
                expected=f"one of: {', '.join(one.platform for one in layout.all_images)}",
                got=wanted,
                hint="name one with --platform",
            )
    if len(images) != 1:
        raise UsageError(
            f"{files.root} holds {len(images)} images", expected="one, as hps build lays out"
        )
    return images[0]


def _bundles(subject: Digest, attachments: Iterable[Attachment]) -> tuple[Bundle, ...]:
    """Those that can be read: a stranger's broken one must not hide another."""
    found = (one.document for one in evidence_of(subject, attachments))
    return tuple(one for one in found if isinstance(one, Bundle))


def _provenance(registry: Registry, subject: Digest) -> Iterator[Attachment]:
    """Referrers that may be provenance, as far as they can be read."""
    for entry in registry.referrers(subject, BUNDLE_TYPE).descriptors:
        if entry.annotations.get(PREDICATE_ANNOTATION, PROVENANCE) != PROVENANCE:
            continue
        try:
            document = registry.manifest(entry.digest)
            manifest = parse(Manifest, Path(f"{registry.name}@{entry.digest}"), document.data)
            if document.media_type != MANIFEST_TYPE or len(manifest.layers) != 1:
                continue
            (layer,) = manifest.layers
            bundle = registry.read(Blob(layer.digest, layer.size), _LARGEST)
        except (IntegrityError, NotFoundError):
            continue  # whoever may push can lay anything there; it must not hide a good one
        yield Attachment(
            document.data,
            blobs=(b"{}", bundle),
            artifact_type=manifest.artifact_type,
            subject=manifest.subject.digest if manifest.subject else None,
        )


def _origin(bundle: Bundle, image: Digest) -> Origin | None:
    """What a bundle says if it is provenance of this image by hps; None if it is not."""
    content = bundle.content
    if not isinstance(content, Envelope) or content.payload_type != PAYLOAD_TYPE:
        return None
    try:
        statement = Statement.from_bytes(content.payload)
        if statement.predicate_type != PROVENANCE:
            return None
        if all(about.digest != image for about in statement.subjects):
            return None
        definition = statement.predicate["buildDefinition"]
        if definition["buildType"] != BUILD_TYPE:
            return None
        external = definition["externalParameters"]
        target, lock = external["target"], external["lock"]["digest"]["sha256"]
        return Origin(target, Digest(lock)) if isinstance(target, str) else None
    except (IntegrityError, KeyError, TypeError, ValueError):
        return None
