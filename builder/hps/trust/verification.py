"""Verifying what lies on this machine: layouts, files, folders of files."""

import hashlib
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from hps.digest import Digest
from hps.errors import IntegrityError, LimitError, MalformedError, UsageError
from hps.oci.documents import open_regular, read_document
from hps.oci.image import Image
from hps.oci.layout import Layout, layout_faults, open_layout
from hps.trust.bundle import LARGEST
from hps.trust.evidence import bundle_evidence, evidence_of
from hps.trust.judge import Evidence, judge
from hps.trust.policy import Policy
from hps.trust.verdict import Reason, Verdict

BUNDLE_SUFFIX = ".sigstore.json"
_MOST_FILES = 100_000  # of a folder


def verify_layout(
    folder: Path, policy: Policy, *, now: datetime, asked: Digest | None = None
) -> list[Verdict]:
    """Judge every image of a layout, then hash every blob of it.

    Signatures come first: what nobody trusted has signed is not read through. A fault of the
    layout's content is a reason against each of its images.

    Args:
        folder: the layout.
        policy: whom to trust.
        now: the time, for statements that end.
        asked: the digest that the caller wants; any other image is a mismatch.

    Raises:
        UsageError: there is no layout.
    """
    name = str(folder)
    try:
        layout = open_layout(folder)
    except IntegrityError as error:
        return [Verdict(name, asked, reasons=(_unreadable(error),))]
    if not layout.images:
        return [Verdict(name, asked, reasons=(Reason("blob-missing", name, "it holds no image"),))]
    images = layout.images
    if asked is not None and all(image.digest != asked for image in images):
        text = f"it holds {images[0].digest}"
        return [Verdict(name, asked, reasons=(Reason("subject-mismatch", name, text),))]
    judged = [_judge_image(name, image, layout, policy, now) for image in images]
    faults = tuple(
        Reason(f"blob-{fault.kind}", fault.path, fault.text)
        for fault in layout_faults(folder, layout)
    )
    return [
        Verdict(one.subject, one.digest, one.accepted, one.reasons + faults, one.notes)
        for one in judged
    ]


def verify_file(
    path: Path,
    policy: Policy,
    *,
    now: datetime,
    bundle: Path | None = None,
    asked: Digest | None = None,
) -> Verdict:
    """Judge a file by the bundle beside it (`FILE.sigstore.json`), or by another.

    Raises:
        UsageError: the file cannot be read.
    """
    digest = _digest(path)
    if asked is not None and asked != digest:
        text = f"it is {digest}"
        return Verdict(str(path), digest, reasons=(Reason("subject-mismatch", str(path), text),))
    beside = bundle or path.with_name(path.name + BUNDLE_SUFFIX)
    evidence: list[Evidence] = []
    if bundle is not None or os.path.lexists(beside):
        try:
            evidence = [bundle_evidence(str(beside), read_document(beside, limit=LARGEST))]
        except IntegrityError as error:
            return Verdict(str(path), digest, reasons=(_unreadable(error),))
    found = judge(evidence, digest, policy, now=now)
    return Verdict(str(path), digest, found.accepted, found.reasons, found.notes)


def verify_folder(folder: Path, policy: Policy, *, now: datetime) -> list[Verdict]:
    """Judge every file of a folder by the bundle beside it.

    A file without a bundle, a bundle without its file, and whatever is no regular file are
    reasons of their own: nothing in the folder is passed over.

    Raises:
        UsageError: the folder cannot be read.
    """
    files, verdicts = [], []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            reason = Reason("blob-extra", str(path), "neither a file nor a folder")
            verdicts.append(Verdict(str(path), None, reasons=(reason,)))
        elif path.is_file():
            files.append(path)
    if len(files) > _MOST_FILES:
        reason = Reason("limit-exceeded", str(folder), f"{len(files)} files")
        return [Verdict(str(folder), None, reasons=(reason,))]
    names = set(files)
    for path in files:
        if not path.name.endswith(BUNDLE_SUFFIX):
            verdicts.append(verify_file(path, policy, now=now))
        elif path.with_name(path.name.removesuffix(BUNDLE_SUFFIX)) not in names:
            reason = Reason("blob-missing", str(path), "the file that it signs is not there")
            verdicts.append(Verdict(str(path), None, reasons=(reason,)))
    if not verdicts:
        reason = Reason("blob-missing", str(folder), "it holds nothing")
        verdicts.append(Verdict(str(folder), None, reasons=(reason,)))
    return verdicts


def _judge_image(
    folder: str, image: Image, layout: Layout, policy: Policy, now: datetime
) -> Verdict:
    evidence: Sequence[Evidence] = evidence_of(image.digest, layout.attachments)
    found = judge(evidence, image.digest, policy, now=now)
    name = f"{folder} ({image.reference})" if image.reference else folder
    return Verdict(name, image.digest, found.accepted, found.reasons, found.notes)


def _unreadable(error: IntegrityError) -> Reason:
    """Which reason an error of reading is: damaged bytes, or a document that is none."""
    text = "; ".join([error.message, *error.details, *([error.got] if error.got else [])])
    if isinstance(error, LimitError):
        return Reason("limit-exceeded", "document", text)
    if isinstance(error, MalformedError):
        return Reason("document-malformed", "document", text)
    return Reason("blob-damaged", "document", text)


def _digest(path: Path) -> Digest:
    try:
        with open_regular(path) as reader:
            return Digest(hashlib.file_digest(reader, "sha256").hexdigest())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
