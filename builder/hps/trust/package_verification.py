"""Verifying a package that `hps assemble` wrote: its manifest is signed, and lists the rest.

docs/reference/pipelines.md, "The manifest".
"""

import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from hps import canonical
from hps.digest import Digest
from hps.errors import IntegrityError, MalformedError
from hps.oci.documents import open_regular, read_document
from hps.oci.layout_files import FolderFiles
from hps.oci.shape import Members
from hps.trust.evidence import bundle_evidence
from hps.trust.judge import judge, malformed
from hps.trust.verdict import Reason, Verdict
from hps.trust.verification import BUNDLE_SUFFIX, Check, file_digest, verify_file

MANIFEST = "manifest.json"
FORMAT = 1  # of the manifest; a reader refuses any other
LARGEST = 4 << 20  # bytes of a manifest
_LARGEST_MEMBER = 2**40
_MODES = {"0644": False, "0755": True}


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a package, by its path below the package; `size` in bytes."""

    path: str
    digest: Digest
    size: int
    executable: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says, as far as it is looked at: of which pipeline, and each member."""

    pipeline: str | None
    members: Mapping[str, Member]

    @classmethod
    def parse(cls, data: bytes, where: str) -> Self:
        """Read a manifest; raises MalformedError when it is none of this format."""
        try:
            document = Members(canonical.loads(data, max_bytes=LARGEST), "manifest")
            document.constant("format", FORMAT)
            found = document.each("members", _member)
            if len({one.path for one in found}) != len(found):
                raise ValueError("a member is listed twice")  # noqa: TRY301
            return cls(document.text_or_none("pipeline"), {one.path: one for one in found})
        except ValueError as error:
            raise MalformedError(f"{where} is no manifest", got=error) from error


def is_package(folder: Path) -> bool:
    """Whether a folder claims to be a package: its manifest has a format and members."""
    try:
        found = canonical.loads(read_document(folder / MANIFEST, limit=LARGEST))
    except (OSError, ValueError, IntegrityError):
        return False
    return isinstance(found, dict) and {"format", "package", "members"} <= found.keys()


def verify_package(folder: Path, check: Check, *, asked: Digest | None = None) -> Verdict:
    """Judge the manifest by the bundle beside it, then hash every member that it lists.

    Members of a package that nobody trusted has signed are not read; that they are there, and as
    long as they should be, is looked at all the same. Nothing may be missing or too much.

    Args:
        folder: of the package, whatever it is called.
        check: what it is held against.
        asked: the digest that the manifest must have.

    Raises:
        UsageError: the manifest cannot be read.
    """
    place = folder / MANIFEST
    verdict = replace(verify_file(place, check, asked=asked), subject=str(folder))
    try:
        data = read_document(place, limit=LARGEST)
        if Digest.of(data) != verdict.digest:
            raise MalformedError(f"{place} changed while it was read")
        members = Manifest.parse(data, str(place)).members
        names = FolderFiles(folder).names()
    except IntegrityError as error:
        return replace(verdict, reasons=(*verdict.reasons, malformed(error, str(place))))
    known = {MANIFEST, MANIFEST + BUNDLE_SUFFIX, *members}
    reasons = [
        Reason("blob-extra", str(folder / name), "the manifest does not list it")
        for name in sorted(names - known)
    ]
    for member in members.values():
        reasons += _faults(folder, member, check, hashed=verdict.good)
    return replace(verdict, reasons=(*verdict.reasons, *reasons), hashed=verdict.good)


def judge_manifest(data: bytes, bundle: bytes | None, where: str, check: Check) -> Verdict:
    """Judge a manifest that was read already by its bundle; no member is looked at.

    Args:
        data: the manifest.
        bundle: what lies beside it, if anything does.
        where: the manifest's name.
        check: what it is held against.
    """
    digest = Digest.of(data)
    evidence = [] if bundle is None else [bundle_evidence(where + BUNDLE_SUFFIX, bundle)]
    found = judge(evidence, digest, check.policy, now=check.now)
    return Verdict(where, digest, found.accepted, found.reasons, found.notes, hashed=True)


def _faults(folder: Path, member: Member, check: Check, *, hashed: bool) -> list[Reason]:
    """What is wrong with one member; its bytes are read only when that is worth it."""
    path = folder / member.path
    try:
        with open_regular(path) as file:
            found = path.lstat()
            size = file.seek(0, 2)
    except FileNotFoundError:
        return [Reason("blob-missing", str(path), "the manifest lists it")]
    except OSError as error:
        return [Reason("blob-damaged", str(path), f"it cannot be read: {error.strerror}")]
    if size != member.size:
        text = f"it has {size} bytes instead of {member.size}"
        return [Reason("blob-damaged", str(path), text)]
    # Only whether it runs: what else a mode says depends on the umask of whoever unpacked it.
    if bool(found.st_mode & stat.S_IXUSR) != member.executable:
        text = "it may be run and should not" if not member.executable else "it cannot be run"
        return [Reason("blob-damaged", str(path), text)]
    if hashed and (digest := file_digest(path, check)) != member.digest:
        return [Reason("blob-damaged", str(path), f"it is {digest}, not {member.digest}")]
    return []


def _member(value: object, where: str) -> Member:
    fields = Members(value, where)
    path, mode = fields.text("path"), fields.text("mode")
    parts = path.split("/")
    if not path.isprintable() or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{where}.path leads out of the package, or is none")
    if path in (MANIFEST, MANIFEST + BUNDLE_SUFFIX):
        raise ValueError(f"{where}.path is the manifest's own")
    if mode not in _MODES:
        raise ValueError(f"{where}.mode is not {' or '.join(_MODES)}")
    digest = Digest(fields.text("sha256"))
    return Member(path, digest, fields.whole("size", below=_LARGEST_MEMBER), _MODES[mode])
