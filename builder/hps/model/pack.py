"""Releases made of folders: hashed, described, bound together, signed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from hps.errors import IntegrityError, UsageError
from hps.model import manifest
from hps.model.folder import Watch, read_folder
from hps.model.folder_manifests import read_manifests, write_manifest
from hps.model.probe import Probe
from hps.model.refusal import Refusal
from hps.model.release import MANIFEST, ModelRelease, ReleaseFile, together
from hps.trust.authorised import AuthorisedSigner
from hps.trust.predicates import MODEL

# model_signing passes over these at the top of a model unless it is told not to (`hashing.py`):
# with them, the two would not verify the same.
_PASSED_OVER = (".git", ".gitattributes", ".github", ".gitignore")
_MOST_TOLD = 20


@dataclass(frozen=True, slots=True)
class Model:
    """A folder that becomes a release.

    Args:
        name: of the model.
        folder: of its files.
        probe: see `ModelRelease`.
    """

    name: str
    folder: Path
    probe: Probe | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What all releases that are made at one time have in common; see `ModelRelease`."""

    channel: str
    sequence: int
    issued: datetime
    expires: datetime
    version: str = ""
    runtime: Mapping[str, str] = field(default_factory=dict)


def sign_models(
    models: Sequence[Model],
    terms: Terms,
    signer: AuthorisedSigner,
    *,
    group: str | None = None,
    watch: Watch = lambda _: None,
) -> tuple[ModelRelease, ...]:
    """Hash folders and write a manifest into each; with several, bind them together.

    Args:
        models: that are released at once.
        terms: of the release.
        signer: a key that may sign model releases.
        group: the name under which they go live together.
        watch: see `read_folder`.

    Raises:
        UsageError: a folder holds what no model may, or what it is called or described by is
            not what a reader would take.
        KeyUnusableError: the key may not sign model releases, or cannot be reached.
        PublishError: a manifest cannot be written.
    """
    signer.signer(MODEL)  # before large files are read for nothing
    releases = tuple(_release(one, terms, watch) for one in models)
    try:
        if group is not None:
            releases = together(group, releases)
        documents = [manifest.sign(one, signer) for one in releases]
    except ValueError as error:
        raise UsageError("that cannot be released", got=error) from error
    for one, document in zip(models, documents, strict=True):
        write_manifest(one.folder, document)
    return releases


def add_signature(
    folder: Path, signer: AuthorisedSigner, *, watch: Watch = lambda _: None
) -> tuple[ModelRelease, str]:
    """Sign the release of a folder with a further key, after holding the folder against it.

    Whose signature is there already is not looked at: who signs has to know what.

    Returns:
        The release, and the name of the manifest that was written: `model.NAME.sig`, called after
        the key.

    Raises:
        UsageError: there is no release, or the folder is not what it lists.
        KeyUnusableError: the key may not sign model releases, or cannot be reached.
        PublishError: the manifest cannot be written.
    """
    signer.signer(MODEL)
    documents = read_manifests(folder)
    if not documents:
        raise UsageError(f"{folder} has no {MANIFEST}", hint="hps model pack makes the first")
    release = manifest.claimed(documents[0])
    if not release.sequenced:
        raise UsageError(f"{folder / MANIFEST} is of another tool, which alone can sign it again")
    found = read_folder(folder, watch=watch)
    if found.refusals or found.files != release.files:
        raise UsageError(f"{folder} is not what its {MANIFEST} lists", hint="hps model verify says")
    word = "".join(each for each in signer.name if each.isascii() and each.isalnum())
    name = f"model.{word or signer.public.fingerprint[:16]}.sig"
    write_manifest(folder, manifest.sign(release, signer), name)
    return release, name


def check_packed(release: ModelRelease, packed: Iterable[ReleaseFile], where: Path) -> None:
    """Make sure that what was packed is what was signed.

    Raises:
        IntegrityError: the folder was changed in between.
    """
    if sorted(packed, key=_path) != sorted(release.files, key=_path):
        raise IntegrityError(
            f"the folder of {where} was changed while it was packed",
            hint="pack it when nobody writes there, or a copy of it",
        )


def _path(one: ReleaseFile) -> str:
    return one.path


def _release(model: Model, terms: Terms, watch: Watch) -> ModelRelease:
    found = read_folder(model.folder, watch=watch)
    if found.refusals:
        raise _refused(model.folder, found.refusals)
    if passed := sorted({one.path.split("/")[0] for one in found.files} & {*_PASSED_OVER}):
        raise UsageError(
            f"{model.folder} holds {', '.join(passed)}, which model_signing passes over",
            hint="pack a copy without what belongs to git",
        )
    _check_alone(model.folder)
    bare = ModelRelease(
        model.name,
        found.files,
        channel=terms.channel,
        sequence=terms.sequence,
        issued=terms.issued,
        expires=terms.expires,
    )
    return replace(bare, version=terms.version, runtime=terms.runtime, probe=model.probe)


def _check_alone(folder: Path) -> None:
    """Refuse further signatures: they are of an earlier release, and would contradict this one."""
    others = sorted(path.name for path in folder.glob("model.*.sig"))
    if others:
        raise UsageError(
            f"{folder} holds signatures of its last release: {', '.join(others)}",
            hint="remove them, and have the new release signed again with hps model sign",
        )


def _refused(folder: Path, refusals: Collection[Refusal]) -> UsageError:
    told = [f"{one.path!r}: {one.text}" for one in refusals]
    more = [f"and {len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else []
    return UsageError(
        f"{folder} holds what no model may",
        details=(*told[:_MOST_TOLD], *more),
        hint="a model is plain files in folders, with names that mean the same everywhere",
    )
