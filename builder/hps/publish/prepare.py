"""From an archive or a folder to what is published: verified before a byte leaves."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from hps.archive.refusal import ArchiveError
from hps.errors import IntegrityError, MalformedError, UsageError
from hps.model import donefile, manifest
from hps.model.archive import Form, write_archive
from hps.model.donefile import Packed
from hps.model.extract import Top, unpack
from hps.model.folder import is_manifest
from hps.model.folder_manifests import read_manifests
from hps.model.pack import check_packed
from hps.model.release import ModelRelease, ReleaseFile
from hps.model.verify import ModelVerdict, Rules, verify_models
from hps.publish.content import Content
from hps.publish.group import faults, files_of, members_of

_MOST_TOLD = 20


class UnfitError(IntegrityError):
    """Nobody who trusts the same keys would take it, so it is not published."""

    reference = "model-unfit"


@dataclass(frozen=True, slots=True)
class Release:
    """What is published.

    Args:
        archive: of the model.
        form: of the archive, as its name ends.
        signed: what trusted keys say of it; None where it was asked for without a signature.
        manifest: its `model.sig`, of a group that of its first member; empty likewise.
        notes: of the judge, for people.
    """

    archive: Content
    form: str
    signed: ModelRelease | None
    manifest: bytes
    notes: tuple[str, ...] = ()

    def donefile(self, name: str) -> bytes:
        """The donefile of it, when the archive has this name."""
        if self.signed is None:
            return f"{self.archive.blob.digest}\n".encode()
        return donefile.write(self.signed, self.manifest, Packed(name, self.archive.blob))


@contextlib.contextmanager
def prepared(
    what: Path, rules: Rules | None, *, form: Form = Form.TAR_GZ, top: str = ""
) -> Iterator[Release]:
    """Verify an archive, or a folder, which is packed.

    Args:
        what: of them.
        rules: what it is held against; None: it need not be signed, only be safe to unpack.
        form: of the archive that is made of a folder.
        top: the folder in the archive that is the model.

    Raises:
        UsageError: it cannot be read.
        UnfitError: it is refused.
        StagingError: there is no room here to unpack it.
    """
    with tempfile.TemporaryDirectory(prefix="hps-publish-") as name:
        work = Path(name)
        if what.is_symlink():
            raise UsageError(f"{what} is a symbolic link", hint="name what it leads to")
        if what.is_dir():
            yield _of_folder(what, work / "archive", rules, form, top)
        elif what.is_file():
            yield _of_archive(what, work, rules, top)
        else:
            raise UsageError(f"there is no {what}", expected="an archive, or a folder of a model")


def ending(name: str) -> str:
    """How the name of an archive ends, without the dot: `tar.gz`."""
    parts = name.lower().split(".")
    packed = len(parts) > 2 and parts[-2] == "tar"  # noqa: PLR2004 - a name, tar, gz
    return ".".join(parts[-2:] if packed else parts[-1:]) if len(parts) > 1 else "tar"


def _of_folder(what: Path, out: Path, rules: Rules | None, form: Form, top: str) -> Release:
    judged = None if rules is None else _judged(what, what, rules)
    try:
        written = write_archive(what, out, form=form, top=top)
    except ArchiveError as error:
        raise UnfitError(f"{what} cannot be packed: {error.message} ({error.reason})") from error
    content = Content.of_file(out)
    if judged is None:
        return Release(content, str(form), None, b"")
    files = [ReleaseFile(one.path, one.digest, one.size, one.mode) for one in written.files]
    for member, release in judged.members.items():
        check_packed(release, files_of(member, files), what)
    if not judged.members:
        check_packed(judged.release, [one for one in files if not is_manifest(one.path)], what)
    return Release(content, str(form), judged.release, judged.manifest, judged.notes)


def _of_archive(what: Path, work: Path, rules: Rules | None, top: str) -> Release:
    content = Content.of_file(what)
    tree = work / "model"
    tree.mkdir()
    try:
        unpack(what, tree, top=Top(top) if top else None)
    except ArchiveError as error:
        raise UnfitError(f"{what} is refused: {error.message} ({error.reason})") from error
    if rules is None:
        return Release(content, ending(what.name), None, b"")
    judged = _judged(what, tree, rules)
    return Release(content, ending(what.name), judged.release, judged.manifest, judged.notes)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What may be published.

    Args:
        release: of the model; of a group that of its first member, under the group's name.
        manifest: the document that says so. That of any member names all the others by content.
        notes: for people.
        members: of a group, by their folders.
    """

    release: ModelRelease
    manifest: bytes
    notes: tuple[str, ...]
    members: Mapping[str, ModelRelease] = field(default_factory=dict)


def _judged(what: Path, folder: Path, rules: Rules) -> _Judged:
    """Verify a folder: of a model, or of a group."""
    members = members_of(folder)
    if not members:
        (verdict,) = _verified(what, (folder,), rules)
        release, document = _signed(what, folder, verdict)
        return _Judged(release, document, verdict.notes)
    wanted = rules.policy.name
    each = replace(rules, policy=replace(rules.policy, name=None))
    verdicts = _verified(what, tuple(folder / name for name in members), each)
    signed = {
        name: _signed(what, folder / name, verdict)
        for name, verdict in zip(members, verdicts, strict=True)
    }
    releases = {name: release for name, (release, _) in signed.items()}
    if told := list(faults(folder, releases, wanted)):
        raise _unfit(what, told)
    first, document = signed[members[0]]
    group = first.group.name if first.group is not None else first.name
    notes = dict.fromkeys(note for one in verdicts for note in one.notes)
    return _Judged(replace(first, name=group), document, tuple(notes), releases)


def _verified(what: Path, folders: tuple[Path, ...], rules: Rules) -> list[ModelVerdict]:
    verdicts = verify_models(folders, replace(rules, top=None))
    told = [f"{one.reason}: {one.text}" for found in verdicts for one in found.refusals]
    if told:
        raise _unfit(what, told)
    return verdicts


def _unfit(what: Path, told: list[str]) -> UnfitError:
    more = [f"and {len(told) - _MOST_TOLD} more"] * (len(told) > _MOST_TOLD)
    return UnfitError(
        f"{what} is refused, and would be by every monitor with the same keys",
        details=(*told[:_MOST_TOLD], *more),
        hint="hps model verify says more; hps model pack makes a release of a folder",
    )


def _signed(what: Path, folder: Path, verdict: ModelVerdict) -> tuple[ModelRelease, bytes]:
    """What was signed, with its document."""
    release = verdict.release
    try:
        (document, *_) = read_manifests(folder)
        claimed = manifest.claimed(document)
    except MalformedError as error:
        raise UnfitError(error.message) from error
    if release is None or claimed != release:
        raise IntegrityError(
            f"{what} was changed while it was read", hint="publish it when nobody writes there"
        )
    if not release.sequenced:
        raise UnfitError(
            "the model has no number, so monitors could not tell it from an older one",
            hint="make a release of it: hps model pack DIR --sequence 1",
        )
    return release, document
