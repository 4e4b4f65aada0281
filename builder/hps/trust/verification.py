"""Verifying what lies on this machine: layouts, archives, files, folders of files."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from hps.digest import Digest
from hps.errors import IntegrityError, UsageError
from hps.oci.archive_files import ArchiveFiles
from hps.oci.attachment import tag_subject
from hps.oci.documents import open_regular, read_document
from hps.oci.layout_contents import Layout, blob_name
from hps.oci.layout_files import FolderFiles, LayoutFiles
from hps.oci.layout_reading import layout_faults, open_layout
from hps.trust.bundle import LARGEST
from hps.trust.evidence import bundle_evidence, evidence_of
from hps.trust.judge import Evidence, judge, malformed
from hps.trust.policy import Policy
from hps.trust.verdict import Reason, Verdict

BUNDLE_SUFFIX = ".sigstore.json"
_MARK = "oci-layout"  # the file that makes a folder a layout
_PIECE = 1 << 20  # bytes hashed at once


@dataclass(frozen=True, slots=True)
class Check:
    """What everything is held against.

    Args:
        policy: whom to trust.
        now: the time, for statements that end.
        watch: called with a number of bytes after each piece that was hashed, from several
            threads; an IntegrityError that it raises becomes a reason.
    """

    policy: Policy
    now: datetime
    watch: Callable[[int], object] = lambda _: None


def verify_layout(
    source: Path | LayoutFiles, check: Check, *, asked: Digest | None = None
) -> list[Verdict]:
    """Judge every image and index of a layout, then hash every blob of it.

    The signature of an index covers no image below it: each must be signed for itself.

    Signatures come first: layers of images that nobody trusted has signed are not read; that
    they are there and as long as they should be is looked at all the same. A fault of the
    layout's content is a reason against each of its images.

    Args:
        source: a folder, or the files of an archive.
        check: what it is held against.
        asked: the digest that the caller wants, of something that `index.json` lists itself.

    Raises:
        UsageError: there is no layout, or it holds something else than images.
    """
    files = FolderFiles(source) if isinstance(source, Path) else source
    name = str(files.root)
    try:
        layout = open_layout(files)
    except IntegrityError as error:
        return [Verdict(name, None, reasons=(malformed(error, name),))]
    listed = layout.listed
    if not listed:
        return [Verdict(name, None, reasons=(Reason("blob-missing", name, "it holds no image"),))]
    if asked is not None and asked not in listed:
        reason = Reason("subject-mismatch", name, f"it holds {listed[0]}, not {asked}")
        return [Verdict(name, listed[0], reasons=(reason,))]
    judged = list(_judged(name, layout, check))
    hashed = any(one.good for one in judged)
    faults = _strangers(layout) + _content(files, layout, check, hashed=hashed)
    return [replace(one, reasons=one.reasons + faults, hashed=hashed) for one in judged]


def verify_archive(path: Path, check: Check, *, asked: Digest | None = None) -> list[Verdict]:
    """Judge an image archive, read in place (see `verify_layout`).

    Raises:
        UsageError: it cannot be read, or holds something else than images.
    """
    try:
        files = ArchiveFiles(path)
    except IntegrityError as error:
        return [Verdict(str(path), None, reasons=(malformed(error, str(path)),))]
    with files:
        if _MARK not in files.names() and "index.json" not in files.names():
            return [verify_file(path, check, asked=asked)]
        return verify_layout(files, check, asked=asked)


def verify_file(
    path: Path, check: Check, *, bundle: Path | None = None, asked: Digest | None = None
) -> Verdict:
    """Judge a file by the bundle beside it (`FILE.sigstore.json`), or by another.

    Raises:
        UsageError: the file cannot be read.
    """
    name = str(path)
    try:
        digest = file_digest(path, check)
    except IntegrityError as error:
        return Verdict(name, None, reasons=(malformed(error, name),))
    if asked is not None and asked != digest:
        reason = Reason("subject-mismatch", name, f"it is {digest}, not {asked}")
        return Verdict(name, digest, reasons=(reason,), hashed=True)
    beside = bundle or bundle_path(path)
    evidence: list[Evidence] = []
    if bundle is not None or os.path.lexists(beside):
        try:
            evidence = [bundle_evidence(str(beside), read_document(beside, limit=LARGEST))]
        except IntegrityError as error:
            reason = malformed(error, str(beside))
            return Verdict(name, digest, reasons=(reason,), hashed=True)
    found = judge(evidence, digest, check.policy, now=check.now)
    return Verdict(name, digest, found.accepted, found.reasons, found.notes, hashed=True)


def verify_folder(folder: Path, check: Check) -> list[Verdict]:
    """Judge every file of a folder by the bundle beside it, and every layout as one.

    A file without a bundle, a bundle without its file, and whatever is no plain file are reasons
    of their own: nothing in the folder is passed over.

    Raises:
        UsageError: the folder cannot be read.
    """
    try:
        names = FolderFiles(folder).names()
    except IntegrityError as error:
        return [Verdict(str(folder), None, reasons=(malformed(error, str(folder)),))]
    layouts = _outermost(Path(name).parent for name in names if Path(name).name == _MARK)
    files = sorted(
        folder / name
        for name in names
        if not any(Path(name).is_relative_to(layout) for layout in layouts)
    )
    if not files and not layouts:
        reason = Reason("blob-missing", str(folder), "it holds nothing")
        return [Verdict(str(folder), None, reasons=(reason,))]
    among = set(files)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing frees the interpreter's lock
        judged = list(pool.map(lambda path: _judge_member(path, among, check), files))
    found = [one for one in judged if one is not None]
    for layout in sorted(layouts):
        found += verify_layout(folder / layout, check)
    return found


def is_layout(folder: Path) -> bool:
    """Whether a folder claims to be an image layout."""
    return os.path.lexists(folder / _MARK)


def bundle_path(path: Path) -> Path:
    """Where the bundle of a file lies."""
    return path.with_name(path.name + BUNDLE_SUFFIX)


def _judge_member(path: Path, among: set[Path], check: Check) -> Verdict | None:
    """A file of a folder; None for a bundle, which is looked at with its file."""
    if path.is_symlink() or not path.is_file():
        reason = Reason("blob-extra", str(path), "neither a file nor a folder")
        return Verdict(str(path), None, reasons=(reason,))
    if not path.name.endswith(BUNDLE_SUFFIX):
        return verify_file(path, check)
    if path.with_name(path.name.removesuffix(BUNDLE_SUFFIX)) in among:
        return None
    reason = Reason("blob-missing", str(path), "the file that it signs is not there")
    return Verdict(str(path), None, reasons=(reason,))


def _outermost(folders: Iterable[Path]) -> set[Path]:
    found: set[Path] = set()
    for folder in sorted(folders, key=lambda one: len(one.parts)):
        if not any(folder.is_relative_to(other) for other in found):
            found.add(folder)
    return found


def _judged(folder: str, layout: Layout, check: Check) -> Iterator[Verdict]:
    """By signatures alone: each index with its images behind it, then the other images."""
    seen: set[Digest] = set()
    for index in layout.indexes:
        yield _judge(_called(folder, index.reference), index.digest, layout, check)
        for image in index.images:
            if image.digest not in seen:
                seen.add(image.digest)
                found = _judge(f"{folder}@{image.digest}", image.digest, layout, check)
                yield replace(found, listed_by=index.digest)
    for image in layout.images:
        # Some clients list the images of an index in index.json too.
        if image.reference is not None or image.digest not in seen:
            yield _judge(_called(folder, image.reference), image.digest, layout, check)


def _called(folder: str, reference: str | None) -> str:
    return f"{folder} ({reference})" if reference else folder


def _judge(name: str, subject: Digest, layout: Layout, check: Check) -> Verdict:
    evidence = evidence_of(subject, layout.attachments)
    found = judge(evidence, subject, check.policy, now=check.now)
    return Verdict(name, subject, found.accepted, found.reasons, found.notes)


def _strangers(layout: Layout) -> tuple[Reason, ...]:
    """Manifests that pass for attachments and speak of no image or index here.

    Nobody judges an attachment, so it must not be a way to bring an image along that another
    client finds by its name.
    """
    subjects = set(layout.subjects)
    found = []
    for one in layout.attachments:
        known = one.subject if one.tag is None else tag_subject(one.tag)
        if known not in subjects:
            text = f"called {one.tag or 'nothing'}, it speaks of no image of this layout"
            found.append(Reason("blob-extra", blob_name(one.digest), text))
    return tuple(found)


def _content(
    files: LayoutFiles, layout: Layout, check: Check, *, hashed: bool
) -> tuple[Reason, ...]:
    try:
        faults = layout_faults(files, layout, watch=check.watch, hashed=hashed)
    except IntegrityError as error:
        return (malformed(error, str(files.root)),)
    return tuple(Reason(f"blob-{fault.kind}", fault.path, fault.text) for fault in faults)


def file_digest(path: Path, check: Check) -> Digest:
    """The sha256 of a plain file, read in pieces; raises UsageError when it cannot be read."""
    hasher = hashlib.sha256()
    buffer = memoryview(bytearray(_PIECE))
    try:
        with open_regular(path) as reader:
            while count := reader.readinto(buffer):
                hasher.update(buffer[:count])
                check.watch(count)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    return Digest(hasher.hexdigest())
