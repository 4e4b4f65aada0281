"""What belongs to an image: its manifests, its blobs, and what speaks of it.

All of it is known before a blob moves. Documents have been compared with their digests; what
strangers laid beside an image and cannot be read is left behind, and told.

OCI image specification 1.1, image-index.md and manifest.md; for what speaks of an image the
distribution specification 1.1 ("Listing referrers") and cosign's tags.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from hps.digest import Blob, Digest
from hps.errors import IntegrityError, LimitError, MalformedError, NotFoundError, UsageError
from hps.oci.attachment import Attachment, fallback_tag
from hps.oci.documents import Descriptor
from hps.oci.image_reading import read_manifest
from hps.oci.layout_reading import ATTACHMENT_LIMIT, MOST_ENTRIES
from hps.oci.packing import is_unshared
from hps.oci.registry import INDEX_TYPES, ManifestDocument, Registry
from hps.store.foreign_text import printable

# What cosign 2 keeps beside an image: signatures, attestations, the older SBOMs.
ATTACHMENT_ENDINGS = (".sig", ".att", ".sbom")

_STREAMS = 6  # documents that are asked for at once
_Found = TypeVar("_Found")
_Wanted = TypeVar("_Wanted")


@dataclass(frozen=True, slots=True)
class Part(Blob):
    """A configuration or layer of an image, as its manifest lists it."""

    media_type: str = ""


@dataclass(frozen=True, slots=True)
class Shipment:
    """An image, an index of images or any other manifest, with all that belongs to it.

    Args:
        root: what was asked for.
        children: the manifests of an index, each once.
        parts: the blobs of all manifests, each once, the largest first.
        attachments: signatures and attestations, of the root and of its children.
        left_behind: what was found beside the image and cannot come along, for people.
    """

    root: ManifestDocument
    children: tuple[ManifestDocument, ...]
    parts: tuple[Part, ...]
    attachments: tuple[Attachment, ...] = ()
    left_behind: tuple[str, ...] = ()

    @property
    def images(self) -> tuple[ManifestDocument, ...]:
        """The manifests that are no index."""
        return self.children if self.root.is_index else (self.root,)

    @property
    def size(self) -> int:
        """Of all parts, in bytes."""
        return sum(part.size for part in self.parts)


def survey(
    registry: Registry,
    wanted: Digest | str,
    *,
    platform: str | None = None,
    attachments: bool = True,
) -> Shipment:
    """Find out what belongs to an image.

    Args:
        registry: where it is.
        wanted: tag or digest.
        platform: of an index this image only, for instance linux/arm64; None: the whole index.
        attachments: look for signatures and attestations too.

    Raises:
        NotFoundError: there is no such manifest, or one that the index lists is not there.
        UsageError: an index has no image for the platform.
        FetchError, IntegrityError: as `Registry.manifest`.
    """
    root = registry.manifest(wanted)
    if root.is_index and platform is not None:
        root = registry.manifest(platform_digest(registry.name, root, platform))
    children = _children(registry, root) if root.is_index else ()
    images = children if root.is_index else (root,)
    parts = _parts(registry.name, images)
    if not attachments:
        return Shipment(root, children, parts)
    subjects = dict.fromkeys(one.digest for one in (root, *children))
    found: list[Attachment] = []
    left: list[str] = []
    for ones, notes in _together(registry, lambda one: _attachments(registry, one), subjects):
        found += ones
        left += notes
    return Shipment(root, children, parts, tuple(found), tuple(left))


def platform_digest(name: str, index: ManifestDocument, platform: str) -> Digest:
    """The image of an index for a platform; without a variant, any variant will do.

    Raises:
        UsageError: there is none, or more than one.
    """
    found: dict[Digest, str] = {}
    there: set[str] = set()
    for entry in _entries(name, index):
        one = Descriptor.from_json(entry, "entry")
        described = entry.get("platform") if isinstance(entry, dict) else None
        fields = described if isinstance(described, dict) else {}
        parts = [fields.get(key) for key in ("os", "architecture", "variant")]
        text = "/".join(str(part) for part in parts if part)
        there.add(text)
        if text == platform or text.startswith(f"{platform}/"):
            found[one.digest] = text
    exact = [digest for digest, text in found.items() if text == platform] or list(found)
    if len(exact) == 1:
        return exact[0]
    raise UsageError(
        f"{name} holds {len(exact)} images for {printable(platform)}",
        expected=f"one of: {', '.join(printable(one) for one in sorted(there) if one)}",
        got=platform,
    )


def _children(registry: Registry, index: ManifestDocument) -> tuple[ManifestDocument, ...]:
    listed = [Descriptor.from_json(entry, "entry") for entry in _entries(registry.name, index)]
    by_digest = {one.digest: one for one in listed}

    def fetch(entry: Descriptor) -> ManifestDocument:
        if entry.media_type in INDEX_TYPES:
            raise MalformedError(
                f"{registry.name}: the index {index.digest} lists another index",
                hint="copy the inner one by its digest",
            )
        child = registry.manifest(entry.digest)
        if child.media_type != entry.media_type or len(child.data) != entry.size:
            raise MalformedError(
                f"{registry.name}: the index {index.digest} lists something else than it says",
                expected=f"{entry.media_type}, {entry.size} bytes",
                got=f"{child.media_type}, {len(child.data)} bytes",
            )
        return child

    try:
        return tuple(_together(registry, fetch, by_digest.values()))
    except NotFoundError as error:
        raise NotFoundError(
            f"the index {index.digest} of {registry.name} is not whole: {error.message}",
            hint="--platform takes the image of one platform",
        ) from error


def _entries(name: str, index: ManifestDocument) -> list[object]:
    entries = index.as_json()["manifests"]
    if len(entries) > MOST_ENTRIES:
        raise LimitError(
            f"{name}: the index {index.digest} lists too much",
            expected=f"at most {MOST_ENTRIES}",
            got=len(entries),
        )
    try:
        for number, entry in enumerate(entries):
            Descriptor.from_json(entry, f"manifests.{number}")
    except ValueError as error:
        raise MalformedError(
            f"{name}: the index {index.digest} does not follow its specification",
            details=(printable(str(error)),),
        ) from error
    return list(entries)


def _parts(name: str, images: Iterable[ManifestDocument]) -> tuple[Part, ...]:
    found: dict[Digest, Part] = {}
    for image in images:
        manifest = read_manifest(f"{name}@{image.digest}", image)
        for one in (manifest.config, *manifest.layers):
            known = found.setdefault(one.digest, Part(one.digest, one.size, one.media_type))
            if known.size != one.size:
                raise MalformedError(
                    f"{name}@{image.digest}: one blob has two sizes",
                    expected=f"{known.size} bytes",
                    got=f"{one.size} bytes",
                )
            if is_unshared(one.media_type) and not is_unshared(known.media_type):
                found[one.digest] = Part(one.digest, one.size, one.media_type)
    return tuple(sorted(found.values(), key=lambda part: (-part.size, part.digest)))


def _attachments(registry: Registry, subject: Digest) -> tuple[list[Attachment], list[str]]:
    """What speaks of one manifest, and what of it cannot come along."""
    found: list[Attachment] = []
    left: list[str] = []

    def take(what: str, read: Callable[[], Attachment]) -> None:
        try:
            found.append(read())
        except NotFoundError:
            if not what.startswith("sha256-"):
                left.append(f"{what}: it is listed and not there")
        except IntegrityError as error:
            left.append(f"{what}: {error.message}")

    for ending in ATTACHMENT_ENDINGS:
        tag = f"{fallback_tag(subject)}{ending}"
        take(tag, lambda tag=tag: _attachment(registry, tag, None))  # type: ignore[misc] # mypy infers no type for a default of a lambda
    try:
        listed = registry.referrers(subject)
    except IntegrityError as error:
        return found, [*left, f"the list of referrers of {subject.short}: {error.message}"]
    for entry in listed.descriptors:
        what = f"referrer {entry.digest.short}"
        take(what, lambda entry=entry: _attachment(registry, entry.digest, subject))  # type: ignore[misc] # likewise
    if listed.left_out:
        left.append(f"there are more referrers of {subject.short} than hps looks at")
    return found, left


def _attachment(registry: Registry, wanted: Digest | str, subject: Digest | None) -> Attachment:
    """A manifest and the blobs that it names, in memory; raises IntegrityError for all others."""
    document = registry.manifest(wanted)
    if document.is_index:
        raise MalformedError("an index, where an attachment should be")
    manifest = read_manifest(f"{registry.name} {wanted}", document)
    about = manifest.subject.digest if manifest.subject else None
    if subject is not None and about != subject:
        raise MalformedError("it is listed as a referrer and speaks of something else")
    every = (manifest.config, *manifest.layers)
    named = tuple(dict.fromkeys(Blob(one.digest, one.size) for one in every))
    size = sum(one.size for one in named)
    if len(named) > MOST_ENTRIES or size > ATTACHMENT_LIMIT:
        raise LimitError(
            f"it names {len(named)} blobs with {size} bytes, which is too much",
            expected=f"at most {MOST_ENTRIES} blobs with {ATTACHMENT_LIMIT} bytes",
        )
    kind = manifest.artifact_type
    if kind is None and subject is not None:  # of a referrer (distribution specification 1.1)
        kind = manifest.config.media_type
    return Attachment(
        document.data,
        document.media_type,
        tuple(registry.read(blob, ATTACHMENT_LIMIT) for blob in named),
        artifact_type=kind,
        annotations=manifest.annotations,
        subject=about,
        tag=wanted if isinstance(wanted, str) else None,
    )


def _together(
    registry: Registry, work: Callable[[_Wanted], _Found], wanted: Iterable[_Wanted]
) -> Iterator[_Found]:
    """Several at once, in order; the first that fails ends all."""
    pool = ThreadPoolExecutor(_STREAMS, thread_name_prefix="document")
    try:
        yield from list(pool.map(work, wanted))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        registry.abandon()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
