"""Verifying what lies in a registry.

OCI distribution specification 1.1. Anybody who may push can lay documents beside an image; one
that cannot be read is evidence that does not count, and hides no other.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from hps.digest import Blob, Digest
from hps.errors import IntegrityError, LimitError, MalformedError, NotFoundError
from hps.oci.attachment import Attachment, attestation_tag
from hps.oci.documents import Descriptor, Index, Manifest, parse
from hps.oci.layout_reading import MOST_ENTRIES
from hps.oci.registry import ManifestDocument, Registry
from hps.trust.bundle import BUNDLE_TYPE
from hps.trust.bundle import LARGEST as LARGEST_BUNDLE
from hps.trust.dsse import LARGEST as LARGEST_ENVELOPE
from hps.trust.evidence import evidence_of
from hps.trust.judge import Evidence, judge, malformed
from hps.trust.simple_signing import signature_tag
from hps.trust.verdict import Reason, Verdict
from hps.trust.verification import Check

_ALL_EVIDENCE = 2 * LARGEST_BUNDLE  # bytes that are read about one image
_EVIDENCE_SECONDS = 300.0  # after which no further referrer of an image is looked at
_STREAMS = 4  # blobs that are fetched at once; memory is a piece of each
_LARGEST_SIGNATURE = 64 << 10  # bytes of a simple signature's payload


def verify_registry(
    registry: Registry,
    wanted: Digest | str,
    check: Check,
    *,
    asked: Digest | None = None,
    signatures_only: bool = False,
) -> list[Verdict]:
    """Judge an image, or an index and every image of it, then read and hash every blob.

    The signature of an index covers no image below it: each must be signed for itself. Blobs of
    what nobody trusted has signed are not fetched.

    Args:
        registry: the repository.
        wanted: tag or digest.
        check: what it is held against.
        asked: the digest that the tag should have.
        signatures_only: fetches no blob.

    Raises:
        NotFoundError: there is no such manifest.
        FetchError: something could not be had.
    """
    name = f"{registry.name}{'@' if isinstance(wanted, Digest) else ':'}{wanted}"
    try:
        document = registry.manifest(wanted)
    except IntegrityError as error:
        return [Verdict(name, None, reasons=(malformed(error, name),))]
    if asked is not None and document.digest != asked:
        reason = Reason("subject-mismatch", name, f"it is {document.digest}, not {asked}")
        return [Verdict(name, document.digest, reasons=(reason,))]
    verifier = _Verifier(registry, check)
    try:
        found = [verifier.judged(name, document)]
        images = [(0, document)]
        if document.is_index:
            images = []
            for child in verifier.children(name, document):
                images.append((len(found), child))
                one = verifier.judged(f"{registry.name}@{child.digest}", child)
                found.append(replace(one, listed_by=document.digest))
    except IntegrityError as error:
        return [Verdict(name, document.digest, reasons=(malformed(error, name),))]
    if signatures_only or not found[0].good:
        return found
    good = [(at, image) for at, image in images if found[at].good]
    contents = verifier.contents([image for _, image in good])
    for (at, _), reasons in zip(good, contents, strict=True):
        found[at] = replace(found[at], reasons=reasons, hashed=True)
    return found


@dataclass(frozen=True, slots=True)
class _Verifier:
    """One repository, and what it is held against."""

    registry: Registry
    check: Check

    def judged(self, name: str, document: ManifestDocument) -> Verdict:
        """The verdict by signatures alone."""
        subject = document.digest
        evidence = [
            *self._older(subject, signature_tag(subject), _LARGEST_SIGNATURE),
            *self._older(subject, attestation_tag(subject), LARGEST_ENVELOPE),
            *self._referrers(subject),
        ]
        found = judge(evidence, subject, self.check.policy, now=self.check.now)
        return Verdict(name, subject, found.accepted, found.reasons, found.notes)

    def children(self, name: str, index: ManifestDocument) -> Iterator[ManifestDocument]:
        """The manifests of an index."""
        listed = parse(Index, Path(name), index.data).manifests
        if len(listed) > MOST_ENTRIES:
            raise LimitError(
                f"{name} lists too much", expected=f"at most {MOST_ENTRIES}", got=len(listed)
            )
        for entry in listed:
            child = self.registry.manifest(entry.digest)
            if child.is_index or child.media_type != entry.media_type:
                raise MalformedError(
                    f"{name} lists something else than it says",
                    expected=f"an image manifest, {entry.media_type}",
                    got=child.media_type,
                )
            yield child

    def contents(self, images: Sequence[ManifestDocument]) -> list[tuple[Reason, ...]]:
        """What is wrong with the blobs of each image; each blob is read once, end to end."""
        named = [self._named(image) for image in images]
        faults = self._faults({blob for one in named if isinstance(one, tuple) for blob in one})
        return [
            tuple(fault for blob in one if (fault := faults[blob]))
            if isinstance(one, tuple)
            else (one,)
            for one in named
        ]

    def _named(self, image: ManifestDocument) -> tuple[Blob, ...] | Reason:
        """The blobs that a manifest names, each once, or why it cannot be read."""
        name = f"{self.registry.name}@{image.digest}"
        try:
            manifest = parse(Manifest, Path(name), image.data)
        except IntegrityError as error:
            return malformed(error, name)
        blobs = (Blob(one.digest, one.size) for one in (manifest.config, *manifest.layers))
        return tuple(dict.fromkeys(blobs))

    def _faults(self, blobs: Collection[Blob]) -> Mapping[Blob, Reason | None]:
        """What is wrong with each blob; several are fetched at once, in pieces that are dropped."""
        pool = ThreadPoolExecutor(_STREAMS, thread_name_prefix="blob")
        try:
            # Largest first: the last one to end should be a small one.
            ordered = sorted(blobs, key=lambda blob: (-blob.size, blob.digest))
            running = {blob: pool.submit(self._blob_fault, blob) for blob in ordered}
            done, _ = wait(running.values(), return_when=FIRST_EXCEPTION)
            for future in running.values():
                if future in done:
                    future.result()  # the first that failed ends it
            return {blob: future.result() for blob, future in running.items()}
        except BaseException:
            self.registry.abandon()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _blob_fault(self, blob: Blob) -> Reason | None:
        where = f"{self.registry.name}@{blob.digest}"
        try:
            self.registry.stream(blob, lambda piece: self.check.watch(len(piece)), lambda: None)
        except NotFoundError:
            return Reason("blob-missing", where, "the registry does not have it")
        except IntegrityError as error:
            return malformed(error, where)
        return None

    def _older(self, subject: Digest, tag: str, limit: int) -> list[Evidence]:
        """What cosign 2 keeps at a tag, one layer for each document of at most `limit` bytes."""
        try:
            document = self.registry.manifest(tag)
            manifest = parse(Manifest, Path(tag), document.data)
            attachment = self._attachment(document, manifest, tag=tag, limit=limit)
        except NotFoundError:
            return []
        except IntegrityError as error:
            return [_unreadable(f"what is kept at {tag}", error)]
        return evidence_of(subject, [attachment])

    def _referrers(self, subject: Digest) -> list[Evidence]:
        """Bundles, small ones first: a stranger's large one must not use up the allowance."""
        try:
            listed = self.registry.referrers(subject, BUNDLE_TYPE)
        except IntegrityError as error:
            return [_unreadable("the list of referrers", error)]
        found: list[Evidence] = []
        manifests: list[tuple[int, ManifestDocument, Manifest]] = []
        deadline, late = time.monotonic() + _EVIDENCE_SECONDS, False
        for entry in listed.descriptors:
            if late := time.monotonic() > deadline:
                break
            try:
                manifests += self._bundle_manifest(subject, entry)
            except (NotFoundError, IntegrityError) as error:
                found.append(_unreadable(f"referrer {entry.digest.short}", error))
        left = _ALL_EVIDENCE
        for size, document, manifest in sorted(manifests, key=lambda one: one[0]):
            if late := time.monotonic() > deadline:
                break
            allowed, left = min(LARGEST_BUNDLE, left), max(0, left - size)
            try:
                attachment = self._attachment(document, manifest, tag=None, limit=allowed)
            except (NotFoundError, IntegrityError) as error:
                found.append(_unreadable(f"referrer {document.digest.short}", error))
                continue
            found += evidence_of(subject, [attachment])
        if listed.left_out or late:
            more = LimitError("there are more referrers, or slower ones, than are looked at")
            found.append(Evidence("the list of referrers", more))
        return found

    def _bundle_manifest(
        self, subject: Digest, entry: Descriptor
    ) -> Iterator[tuple[int, ManifestDocument, Manifest]]:
        """A referrer with a bundle, and how large that is; nothing for one of another type."""
        document = self.registry.manifest(entry.digest)
        manifest = parse(Manifest, Path(f"referrer {entry.digest.short}"), document.data)
        if manifest.artifact_type != BUNDLE_TYPE:
            return
        if manifest.subject is None or manifest.subject.digest != subject:
            raise MalformedError("it is listed as a referrer and speaks of something else")
        yield sum(one.size for one in manifest.layers), document, manifest

    def _attachment(
        self, document: ManifestDocument, manifest: Manifest, *, tag: str | None, limit: int
    ) -> Attachment:
        if len(manifest.layers) > MOST_ENTRIES:
            raise LimitError(
                f"it has {len(manifest.layers)} layers", expected=f"at most {MOST_ENTRIES}"
            )
        if sum(one.size for one in manifest.layers) > _ALL_EVIDENCE:
            raise LimitError("its layers are too large", expected=f"at most {_ALL_EVIDENCE} bytes")
        blobs = [self.registry.read(Blob(one.digest, one.size), limit) for one in manifest.layers]
        return Attachment(
            document.data,
            document.media_type,
            (b"", *blobs),  # the configuration says nothing that counts
            artifact_type=manifest.artifact_type,
            annotations=manifest.annotations,
            subject=manifest.subject.digest if manifest.subject else None,
            tag=tag,
        )


def _unreadable(where: str, error: NotFoundError | IntegrityError) -> Evidence:
    """Evidence that cannot be read does not count, whatever the reason."""
    if isinstance(error, MalformedError):
        return Evidence(where, error)
    return Evidence(where, MalformedError(error.message, got=error.got))
