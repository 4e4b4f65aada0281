"""The manifests that lie in a model's folder: read, and written whole or not at all."""

from pathlib import Path

from hps.errors import IntegrityError, MalformedError, PublishError, UsageError
from hps.model import manifest
from hps.model.folder import is_manifest
from hps.model.manifest import LARGEST, MOST_SIGNATURES
from hps.model.release import MANIFEST
from hps.oci.documents import read_document
from hps.store.whole_file import replacing


def read_manifests(folder: Path) -> tuple[bytes, ...]:
    """All manifests at the top of a folder, `model.sig` first; none when there are none.

    Raises:
        UsageError: the folder cannot be read.
        MalformedError: one is no plain file, too large, or there are too many.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if is_manifest(path.name))
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {error.strerror or error}") from error
    if len(names) > MOST_SIGNATURES:
        raise MalformedError(f"{folder} holds too many manifests", expected=MOST_SIGNATURES)
    names.sort(key=lambda name: name != MANIFEST)
    try:
        return tuple(read_document(folder / name, limit=LARGEST) for name in names)
    except MalformedError:
        raise
    except IntegrityError as error:
        raise MalformedError(error.message) from error


def write_manifest(folder: Path, document: bytes, name: str = MANIFEST) -> None:
    """Write a manifest into a folder, over one that is there.

    Raises:
        PublishError: it cannot be written.
    """
    try:
        with replacing(folder / name) as file:
            file.write(document)
        (folder / name).chmod(0o644)
    except OSError as error:
        raise PublishError(
            f"{folder / name} cannot be written: {error.strerror or error}",
            hint="the manifest of a model lies in its folder",
        ) from error


def next_sequence(folder: Path) -> int:
    """One more than the number of the release whose manifest lies in a folder.

    Raises:
        UsageError: there is none, or it has no number.
    """
    try:
        last = manifest.claimed(read_document(folder / MANIFEST, limit=LARGEST)).sequence
    except IntegrityError as error:
        raise UsageError(
            f"the number of the last release of {folder} is not known",
            got=error.message,
            hint="--sequence 1 for the first; later, pack the folder with its last model.sig",
        ) from error
    if last is None:
        raise UsageError(f"{folder / MANIFEST} has no number", hint="say --sequence")
    return last + 1
