"""Source distributions: which one is taken, and what it says about how it is built.

Nothing of an sdist is executed here; that happens in the sandbox (`hps.derivation.sdist`).
"""

import io
import tarfile
import tomllib
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from lzma import LZMAError
from pathlib import Path
from typing import IO, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename
from packaging.version import Version

from hps.errors import BuildError, ResolutionError, UnsafeArchiveError
from hps.store.python_index import IndexFile

_LARGEST_PYPROJECT = 1 << 20  # bytes
_LARGEST_SDIST = 16 << 30  # bytes unpacked
_UNREADABLE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError),
    *(ValueError, RuntimeError),  # of zipfile: names that are not UTF-8; encrypted members
)


@dataclass(frozen=True, slots=True)
class BuildSystem:
    """`[build-system]` of pyproject.toml (PEP 517, 518)."""

    requires: tuple[str, ...]
    backend: str
    backend_path: tuple[str, ...] = ()


# PEP 517, "Source trees": what holds for a tree without a [build-system], as in pip.
LEGACY = BuildSystem(("setuptools>=40.8.0",), "setuptools.build_meta:__legacy__")


@dataclass(frozen=True, slots=True)
class ChosenSdist:
    """The sdist taken for a project."""

    file: str
    version: str
    origin: IndexFile


def choose_sdist(
    requirement: str,
    files: Mapping[str, IndexFile],
    *,
    python_version: str,
    as_of: datetime | None = None,
    prerelease: bool = False,
) -> ChosenSdist:
    """The newest sdist of a project that fits; a .tar.gz before a .zip.

    A yanked file is taken only for an exact pin (PEP 592).

    Args:
        requirement: an entry of `python.sdists`, such as jieba or jieba==0.42.1.
        files: what the index has of the project, by file name.
        python_version: of the target.
        as_of: files uploaded later do not exist.
        prerelease: whether pre-releases may be chosen.

    Raises:
        ResolutionError: none fits.
    """
    asked = Requirement(requirement)
    pinned = any(part.operator in ("==", "===") for part in asked.specifier)
    fitting: dict[tuple[Version, bool], str] = {}
    timeless = False
    for file, facts in sorted(files.items()):
        version = _sdist_version(file, asked.name)
        if version is None or not asked.specifier.contains(
            version, prereleases=prerelease or bool(asked.specifier.prereleases)
        ):
            continue
        if not _fits_python(facts.requires_python, python_version):
            continue
        if facts.yanked is not None and not pinned:
            continue
        if as_of is not None and (facts.upload_time is None or facts.upload_time > as_of):
            timeless = timeless or facts.upload_time is None
            continue
        fitting[version, file.endswith(".tar.gz")] = file
    if not fitting:
        raise ResolutionError(
            f"no sdist fits {requirement}",
            expected=f"a .tar.gz or .zip for Python {python_version}"
            + (f", uploaded before {as_of}" if as_of else ""),
            got=", ".join(sorted(files)[-5:]) or "no files",
            hint="the index reports no upload times (PEP 700), so `as-of` hides all its files"
            if timeless
            else "correct the entry in python.sdists of the target",
        )
    version, _ = best = max(fitting)
    return ChosenSdist(fitting[best], str(version), files[fitting[best]])


def _sdist_version(file: str, project: str) -> Version | None:
    try:
        name, version = parse_sdist_filename(file)
    except InvalidSdistFilename:
        return None
    return version if name == canonicalize_name(project) else None


def _fits_python(requires_python: str | None, python_version: str) -> bool:
    try:
        return SpecifierSet(requires_python or "").contains(python_version)
    except InvalidSpecifier:
        return True  # pip and uv ignore what they cannot read here


def build_requirements(sdist: Path) -> tuple[str, ...]:
    """What must be installed before the sdist's build backend can be asked anything."""
    return read_build_system(sdist).requires


def read_build_system(sdist: Path) -> BuildSystem:
    """The build system that an sdist declares, or the legacy one.

    Raises:
        BuildError: it is not an sdist, or its pyproject.toml is not valid.
        UnsafeArchiveError: it unpacks to too much.
    """
    try:
        text = _read_pyproject(sdist)
    except _UNREADABLE as error:
        raise BuildError(
            f"{sdist.name} cannot be read as an sdist: {error}",
            expected="a .tar.gz or .zip with one folder at the top (PEP 517)",
        ) from None
    if text is None:
        return LEGACY
    try:
        return parse_build_system(tomllib.loads(text.decode()))
    except (ValueError, TypeError, RecursionError, InvalidRequirement) as error:
        raise BuildError(f"pyproject.toml of {sdist.name} is not valid: {error}") from None


def parse_build_system(document: Mapping[str, Any]) -> BuildSystem:
    """Read `[build-system]`; ValueError, TypeError or InvalidRequirement tell what is wrong."""
    table = document.get("build-system")
    if table is None:
        return LEGACY
    if not isinstance(table, dict):
        raise TypeError("[build-system] is not a table")
    requires = _strings("requires", table.get("requires"))
    backend_path = _strings("backend-path", table.get("backend-path", []))
    for each in requires:
        if Requirement(each).url is not None:
            raise ValueError(f"{each!r} is an address; a lock names no host")
    backend = table.get("build-backend", LEGACY.backend)
    if not isinstance(backend, str):
        raise TypeError("[build-system] build-backend is not a string")
    return BuildSystem(requires, backend, backend_path)


def _strings(key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError(f"[build-system] {key} is not a list of strings")
    return tuple(value)


def _read_pyproject(sdist: Path) -> bytes | None:
    with sdist.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
        file.seek(0)
        return _from_zip(file) if is_zip else _from_tar(file)


def _is_pyproject(name: str) -> bool:
    parts = name.removeprefix("./").split("/")
    return len(parts) == 2 and parts[1] == "pyproject.toml"  # noqa: PLR2004 - FOLDER/pyproject.toml


def _from_zip(file: IO[bytes]) -> bytes | None:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if _is_pyproject(member.filename):
                return _limited(archive.open(member))
    return None


def _from_tar(file: IO[bytes]) -> bytes | None:
    with tarfile.open(fileobj=file, mode="r:*", encoding="utf-8") as archive:
        total = 0
        for member in archive:
            total += member.size
            if total > _LARGEST_SDIST:
                raise UnsafeArchiveError(
                    "an sdist unpacks to too many bytes", expected=f"at most {_LARGEST_SDIST}"
                )
            if member.isfile() and _is_pyproject(member.name):
                return _limited(archive.extractfile(member) or io.BytesIO())
    return None


def _limited(file: IO[bytes]) -> bytes:
    with file:
        data = file.read(_LARGEST_PYPROJECT + 1)
    if len(data) > _LARGEST_PYPROJECT:
        raise UnsafeArchiveError("a pyproject.toml of more than 1 MiB")
    return data
