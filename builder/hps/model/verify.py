"""Verifying models that lie on this machine: folders, archives, or a manifest alone."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hps.archive.refusal import ArchiveError
from hps.errors import IntegrityError, MalformedError, UsageError
from hps.model import checksums, manifest
from hps.model.extract import Top, unpack
from hps.model.folder import Watch, check_folder
from hps.model.folder_manifests import read_manifests
from hps.model.judge import Judgement, Offer, judge
from hps.model.policy import Known, ModelPolicy, Trust
from hps.model.refusal import Reason, Refusal
from hps.model.release import ModelRelease, ReleaseFile, time_text
from hps.oci.documents import read_document

_SIGNATURE_END = ".sig"


@dataclass(frozen=True, slots=True)
class Rules:
    """What models are held against.

    Args:
        policy: whom to trust, and for what.
        now: the time.
        top: the folder inside an archive that is the model.
        watch: see `read_folder`.
    """

    policy: ModelPolicy
    now: datetime
    top: str | None = None
    watch: Watch = lambda _: None


@dataclass(frozen=True, slots=True)
class ModelVerdict:
    """What was found about one model.

    Args:
        what: its path.
        release: what trusted keys say of it.
        refusals: why it is bad; none when it is good.
        notes: what people should know of a good one.
        hashed: whether its files were read; those that nobody trusted has signed are not.
    """

    what: str
    release: ModelRelease | None
    refusals: tuple[Refusal, ...]
    notes: tuple[str, ...] = ()
    hashed: bool = False

    @property
    def good(self) -> bool:
        """Whether it may be used."""
        return not self.refusals

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        release = self.release
        said: dict[str, Any] = {}
        if release is not None:
            said = {
                "model": release.name,
                "channel": release.channel or None,
                "sequence": release.sequence,
                "version": release.version or None,
                "issued": None if release.issued is None else time_text(release.issued),
                "expires": None if release.expires is None else time_text(release.expires),
                "group": None if release.group is None else release.group.name,
                "runtime": dict(release.runtime),
                "probe": release.probe is not None,
                "files": len(release.files),
                "size": release.size,
                "identity": str(release.identity),
            }
        return {
            "what": self.what,
            "verdict": "good" if self.good else "bad",
            "hashed": self.hashed,
            "release": said or None,
            "refusals": [one.as_json() for one in self.refusals],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class _Found:
    """A model, and what it brought along."""

    what: str
    folder: Path | None  # None for a manifest alone
    offer: Offer
    files: tuple[ReleaseFile, ...] = ()  # of its checksums
    fault: Refusal | None = None

    @property
    def release(self) -> ModelRelease | None:
        return self.offer.signed.release if self.offer.signed else None


def verify_models(paths: Sequence[Path], rules: Rules) -> list[ModelVerdict]:
    """Judge models by their manifests, then hold every file of each against its own.

    Models of a group are good only together, so they are given together.

    Args:
        paths: folders, archives, or manifests (`….sig`) alone.
        rules: what they are held against.

    Raises:
        UsageError: something cannot be read.
        StagingError: an archive cannot be unpacked here.
    """
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(_opened(path, rules)) for path in paths]
        releases = [one.release for one in found if one.release is not None]
        return [_verdict(one, releases, rules) for one in found]


def exit_code(verdicts: Sequence[ModelVerdict]) -> int:
    """The sum of the bits of all reasons, as of `hps verify`; 0 when all is good."""
    code = 0
    for verdict in verdicts:
        for one in verdict.refusals:
            code |= one.reason.bit
    return code


def _verdict(found: _Found, releases: Sequence[ModelRelease], rules: Rules) -> ModelVerdict:
    if found.fault is not None:
        return ModelVerdict(found.what, None, (found.fault,))
    others = [one for one in releases if one is not found.release]
    decided: Judgement = judge(
        replace(found.offer, group=others), rules.policy, Known(), now=rules.now
    )
    release = found.release
    if not decided.accepted:
        return ModelVerdict(found.what, release, decided.refusals)
    if found.folder is None:
        notes = (*decided.notes, "only its manifest was looked at, none of its files")
        return ModelVerdict(found.what, release, (), notes)
    signed = rules.policy.trust is Trust.SIGNATURE and release is not None
    files = release.files if signed and release is not None else found.files
    try:
        refusals = check_folder(
            found.folder, files, beside=() if signed else checksums.NAMES, watch=rules.watch
        )
    except IntegrityError as error:  # more than any model holds, or longer than was allowed
        refusals = (Refusal(Reason.SET_MISMATCH, error.message),)
    return ModelVerdict(found.what, release, refusals, decided.notes, hashed=True)


@contextlib.contextmanager
def _opened(path: Path, rules: Rules) -> Iterator[_Found]:
    if path.is_symlink():
        raise UsageError(f"{path} is a symbolic link", hint="name what it leads to")
    if path.is_dir():
        yield _looked_at(str(path), path, rules)
    elif path.name.endswith(_SIGNATURE_END):
        yield _manifest_alone(path, rules)
    elif path.is_file():
        with tempfile.TemporaryDirectory(prefix="hps-model-") as name:
            try:
                unpack(path, Path(name), top=None if rules.top is None else Top(rules.top))
            except ArchiveError as error:
                fault = Refusal(Reason.UNSAFE_FILE, f"{error.message} ({error.reason})")
                yield _Found(str(path), None, Offer(), fault=fault)
                return
            yield _looked_at(str(path), Path(name), rules)
    else:
        raise UsageError(f"there is no {path}", expected="a folder, an archive, or a manifest")


def _looked_at(what: str, folder: Path, rules: Rules) -> _Found:
    if rules.policy.trust is not Trust.SIGNATURE:
        return _listed(what, folder)
    try:
        signed = manifest.read(read_manifests(folder), rules.policy.keys)
    except MalformedError as error:
        return _Found(what, folder, Offer(fault=_told(error)))
    return _Found(what, folder, Offer(signed))


def _manifest_alone(path: Path, rules: Rules) -> _Found:
    try:
        document = read_document(path, limit=manifest.LARGEST)
    except MalformedError as error:
        return _Found(str(path), None, Offer(fault=_told(error)))
    except IntegrityError as error:
        raise UsageError(error.message) from error
    try:
        signed = manifest.read([document], rules.policy.keys)
    except MalformedError as error:
        return _Found(str(path), None, Offer(fault=_told(error)))
    return _Found(str(path), None, Offer(signed))


def _listed(what: str, folder: Path) -> _Found:
    place = next((folder / name for name in checksums.NAMES if (folder / name).is_file()), None)
    if place is None:
        return _Found(what, folder, Offer())
    try:
        files = checksums.parse(read_document(place, limit=checksums.LARGEST))
    except (ValueError, IntegrityError) as error:
        return _Found(what, folder, Offer(fault=f"{place.name}: {error}"))
    return _Found(what, folder, Offer(listed=True), files)


def _told(error: MalformedError) -> str:
    return "; ".join([error.message, *([error.got] if error.got else [])])
