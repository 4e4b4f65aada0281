"""The server folder of a package, held against the package's manifest while it is copied.

The package is read once: the bytes that were hashed are the bytes that are run, whatever happens
to the package meanwhile. docs/reference/pipelines.md, "The manifest".
"""

import contextlib
import errno
import hashlib
import shutil
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Protocol

from hps.archive.paths import Limits
from hps.errors import BuildError, IntegrityError, LimitError, StoreError, UsageError
from hps.layer.archive import archive_entries
from hps.layer.entry import Entry
from hps.oci.documents import open_regular
from hps.oci.layout_files import FolderFiles
from hps.trust.package_verification import LARGEST, MANIFEST, Manifest, Member, judge_manifest

if TYPE_CHECKING:
    from hps.trust.policy import Policy

CONFIGURATION = "pipeline_config.yaml"
SERVER = "server"
_TOP = "package"  # entries have paths of an image; this folder stands for the package
_LIMITS = Limits(files=1000, size=64 << 20)  # PaddleX's have some ten files and 10 kB
_PIECE = 1 << 20
_PYTHONS_OWN = "__pycache__"


class _Source(Protocol):
    """The files of a package."""

    def names(self) -> AbstractSet[str]:
        """Everything below its server folder that is no folder, relative to the package."""

    def open(self, path: str) -> BinaryIO:
        """Open a file; raises FileNotFoundError, or OSError for what is no file."""


def copy_server(package: Path, folder: Path, pipeline: str, policy: "Policy | None") -> None:
    """Copy the server folder of a package to an empty folder.

    All files of it must be those that the manifest lists, none missing and none too much, but for
    what Python itself leaves in `__pycache__`, which is not copied.

    Args:
        package: a folder, or an archive of one.
        folder: where the files go; on an error what is in it is good for nothing.
        pipeline: that the package must be of.
        policy: what the manifest's signature is held against; without one it need not be signed.

    Raises:
        UsageError: it is no package, or one of another pipeline, or has no server folder.
        IntegrityError: a file is another than the manifest says, or the policy does not trust it.
        UnsafeArchiveError: the archive is damaged, or holds what none may hold.
        StoreError: the folder cannot be written.
    """
    with _opened(package, folder) as source:
        manifest = _manifest(source, package, pipeline, policy)
        members = {one.path: one for one in _of_server(manifest, package)}
        for path in sorted(members.keys() | source.names()):
            if path in members:
                _copy(source, package, members[path], folder)
            elif _PYTHONS_OWN not in PurePosixPath(path).parts:
                raise _wrong(package, path, f"nothing: {MANIFEST} does not list it", "a file")


def _manifest(source: _Source, package: Path, pipeline: str, policy: "Policy | None") -> Manifest:
    where = str(package / MANIFEST)
    data = _small(source, MANIFEST, LARGEST)
    if data is None:
        raise _no_package(package)
    manifest = Manifest.parse(data, where)
    if policy is not None:
        _check_trusted(source, data, where, package, policy)
    if manifest.pipeline != pipeline:
        raise UsageError(
            f"{package} is the package of another pipeline",
            expected=pipeline,
            got=manifest.pipeline or f"{MANIFEST} names none",
            hint="name its pipeline with --pipeline, or another package",
        )
    return manifest


def _check_trusted(
    source: _Source, data: bytes, where: str, package: Path, policy: "Policy"
) -> None:
    from hps.trust.bundle import LARGEST as LARGEST_BUNDLE  # noqa: PLC0415 - needs cryptography
    from hps.trust.verification import BUNDLE_SUFFIX, Check  # noqa: PLC0415

    bundle = _small(source, MANIFEST + BUNDLE_SUFFIX, LARGEST_BUNDLE)
    verdict = judge_manifest(data, bundle, where, Check(policy, datetime.now(UTC)))
    if not verdict.good:
        raise IntegrityError(
            f"the project's policy does not trust the package {package}",
            details=tuple(_shown(f"{one.code}: {one.text}") for one in verdict.reasons),
            hint="`hps verify` of the unpacked package tells more; your own packages are signed by "
            "`hps assemble --key NAME`",
        )


def _of_server(manifest: Manifest, package: Path) -> list[Member]:
    found = [one for one in manifest.members.values() if one.path.startswith(f"{SERVER}/")]
    if f"{SERVER}/{CONFIGURATION}" not in manifest.members:
        raise UsageError(
            f"the package {package} has no server part",
            expected=f"{SERVER}/{CONFIGURATION}",
            hint="hps assemble, without --no-server",
        )
    _LIMITS.check(str(package), files=len(found), size=sum(one.size for one in found))
    return found


def _copy(source: _Source, package: Path, member: Member, folder: Path) -> None:
    """Copy one file; raises IntegrityError when it is not what the manifest says."""
    place = folder / member.path.removeprefix(f"{SERVER}/")
    try:
        reader = source.open(member.path)
    except FileNotFoundError:
        raise _wrong(package, member.path, member.digest, "no file") from None
    except OSError as error:
        raise _wrong(package, member.path, "a file", error.strerror or error) from error
    hasher, size = hashlib.sha256(), 0
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with reader, place.open("xb") as written:
            while size <= member.size and (piece := reader.read(_PIECE)):
                size += len(piece)
                hasher.update(piece)
                written.write(piece)
        place.chmod(0o755 if member.executable else 0o644)
    except OSError as error:
        raise StoreError(f"{place} cannot be written", got=error.strerror or error) from error
    if size > member.size:
        raise _wrong(package, member.path, f"{member.size} bytes", "more")
    if hasher.hexdigest() != member.digest.hex:
        got = f"sha256:{hasher.hexdigest()}, {size} bytes"
        raise _wrong(package, member.path, f"{member.digest}, {member.size} bytes", got)


class _Folder:
    """A package that is a folder. Symbolic links count as files that cannot be read."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> AbstractSet[str]:
        """See _Source."""
        return {f"{SERVER}/{name}" for name in FolderFiles(self._root / SERVER).names()}

    def open(self, path: str) -> BinaryIO:
        """See _Source."""
        return open_regular(self._root / path)


@dataclass(frozen=True, slots=True)
class _Everything:
    """The copy rule that takes all of an archive (`hps.layer.archive.Rule`)."""

    from_: str = "."
    to: str = f"/{_TOP}"
    executable: bool | None = None
    exclude: tuple[str, ...] = ()


class _Archive:
    """A package that is an archive, unpacked to a folder that nobody else writes to."""

    def __init__(self, path: Path, spool: Path) -> None:
        entries = archive_entries(
            path, path.name, "package", [_Everything()], 1, spool, limits=_LIMITS
        )
        self._entries: dict[str, Entry] = {
            entry.path.removeprefix(f"{_TOP}/"): entry
            for entry in entries
            if entry.kind != "directory"
        }

    def names(self) -> AbstractSet[str]:
        """See _Source."""
        return {name for name in self._entries if name.startswith(f"{SERVER}/")}

    def open(self, path: str) -> BinaryIO:
        """See _Source."""
        entry = self._entries.get(path)
        if entry is None:
            raise FileNotFoundError(path)
        if entry.open is None:
            raise OSError(errno.ELOOP, f"a {entry.kind} to {_shown(entry.link)}")
        return entry.open()


@contextlib.contextmanager
def _opened(package: Path, folder: Path) -> Iterator[_Source]:
    if package.is_dir():
        yield _Folder(package)
        return
    spool = folder / ".spool"
    try:
        spool.mkdir()
        yield _archive(package, spool)
    except OSError as error:
        raise StoreError(f"{package} cannot be unpacked to {folder}", got=error) from error
    finally:
        shutil.rmtree(spool, ignore_errors=True)


def _archive(package: Path, spool: Path) -> _Archive:
    try:
        return _Archive(package, spool)
    except BuildError as error:
        if "copy rule" not in error.message:
            raise
        raise _no_package(package) from error  # there is no folder in it


def _small(source: _Source, path: str, limit: int) -> bytes | None:
    """The bytes of a document, or None when there is none; raises IntegrityError."""
    try:
        with source.open(path) as reader:
            data = reader.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise IntegrityError(f"{path} of the package cannot be read", got=error) from error
    if len(data) > limit:
        raise LimitError(f"{path} of the package is too large", expected=f"at most {limit} bytes")
    return data


def _wrong(package: Path, path: str, expected: object, got: object) -> IntegrityError:
    return IntegrityError(
        f"the package {package} is not what its manifest says: {_shown(path)}",
        expected=expected,
        got=got,
        hint="take the package again from where it came from, or make it with `hps assemble`; "
        "settings of your own go into `config` of [pipelines.NAME] in hps.toml",
    )


def _no_package(package: Path) -> UsageError:
    above = package.name == SERVER and (package.parent / MANIFEST).is_file()
    return UsageError(
        f"{package} is no package of a pipeline",
        expected=f"a folder or .tar.gz with {MANIFEST} and {SERVER}/, as `hps assemble` makes it",
        hint=f"name {package.parent}" if above else None,
    )


def _shown(text: str) -> str:
    """Text from outside, safe for terminals and for files in UTF-8."""
    return text if text.isprintable() else ascii(text)
