"""Writing packages: a folder and an archive of each, whole or not at all."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hps.digest import Blob, Digest
from hps.errors import BuildError, UsageError
from hps.oci.directory import replacing
from hps.sdk.archive import Member, gzip, tar
from hps.sdk.catalogue import Pipeline
from hps.sdk.package import Ingredients, members
from hps.store import whole_file
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import Bundle
from hps.trust.package_verification import MANIFEST, is_package
from hps.trust.predicates import SIGNATURE
from hps.trust.statement import About, Statement
from hps.trust.verification import BUNDLE_SUFFIX


@dataclass(frozen=True, slots=True)
class Assembled:
    """A package that was written."""

    pipeline: Pipeline
    folder: Path
    archive: Path
    manifest: Digest
    content: Blob  # of the archive
    files: int


def assemble(
    pipeline: Pipeline, made_of: Ingredients, output: Path, signer: AuthorisedSigner | None
) -> Assembled:
    """Write `OUTPUT/paddlex_hps_NAME_sdk/` and `OUTPUT/paddlex_hps_NAME_sdk.tar.gz`.

    What was there before stays until its successor is whole. A bundle of an older archive is
    gone before the archive changes, so that no moment shows a signature beside another file.

    Args:
        pipeline: of the catalogue.
        made_of: see `gather`.
        output: a folder; made with its parents.
        signer: signs the manifest and the archive; None leaves both unsigned.

    Raises:
        UsageError: something else lies where the package goes.
        BuildError: it cannot be written.
        KeyUnusableError: the key cannot sign.
    """
    found = members(pipeline, made_of)
    manifest = next(one for one in found if one.path == MANIFEST)
    if signer is not None:
        bundle = _bundle(MANIFEST, manifest.data, signer)
        found = (*found, Member(MANIFEST + BUNDLE_SUFFIX, bundle))
    folder = output / pipeline.package
    # Not with_suffix: a name may hold dots.
    archive = output / f"{pipeline.package}.tar.gz"
    packed = gzip(tar(found, folder=pipeline.package, epoch=made_of.epoch))
    beside = archive.with_name(archive.name + BUNDLE_SUFFIX)
    try:
        _refuse_foreign(folder)
        _write_folder(folder, found, made_of.epoch)
        beside.unlink(missing_ok=True)
        _write_file(archive, packed, made_of.epoch)
        if signer is not None:
            _write_file(beside, _bundle(archive.name, packed, signer), made_of.epoch)
    except OSError as error:
        raise BuildError(
            f"the package {folder} cannot be written: {error.strerror or error}",
            hint="make room or choose another folder with --output; no half package is left",
        ) from error
    content = Blob(Digest.of(packed), len(packed))
    return Assembled(pipeline, folder, archive, Digest.of(manifest.data), content, len(found))


def _bundle(name: str, data: bytes, signer: AuthorisedSigner) -> bytes:
    """A signature as `hps sign` lays it beside a file."""
    statement = Statement((About(name, Digest.of(data)),), SIGNATURE, {})
    return Bundle.sign(statement, signer).as_bytes()


def _refuse_foreign(folder: Path) -> None:
    """Only what this could have written is replaced."""
    if not os.path.lexists(folder) or is_package(folder):
        return
    if folder.is_dir() and not any(folder.iterdir()):
        return
    raise UsageError(
        f"{folder} exists and is not a package",
        hint="remove it, or choose another folder with --output",
    )


def _write_folder(destination: Path, found: Sequence[Member], epoch: int) -> None:
    with replacing(destination) as folder:
        for one in found:
            path = folder / one.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(one.data)
                file.flush()
                os.fchmod(file.fileno(), one.mode)
                os.fsync(file.fileno())
            os.utime(path, (epoch, epoch))
        for path in [folder, *(one for one in folder.rglob("*") if one.is_dir())]:
            path.chmod(0o755)
            os.utime(path, (epoch, epoch))


def _write_file(path: Path, data: bytes, epoch: int) -> None:
    with whole_file.replacing(path) as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(data)
        file.flush()
        os.utime(file.name, (epoch, epoch))
