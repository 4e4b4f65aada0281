"""Debian packages over a base image, as dpkg would unpack them there, without running scripts.

What is decided as by dpkg (Debian policy 7.6 and 10.7.3, dpkg(1)): a newer version takes the place
of the older one, and what the older one alone had goes away; a package that Replaces another wins
its paths; configuration files that somebody changed stay as they are; folders that are there keep
their mode and owner; a file that belongs to no package gives way.
"""

import hashlib
import os
import posixpath
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hps.archive.decompress import PIECE
from hps.archive.paths import Limits
from hps.errors import ConflictError
from hps.layer.base_dpkg import INFO, STATUS_FOLDER, BaseDpkg, Paragraph
from hps.layer.base_status import database_over
from hps.layer.deb_layer import (
    LocalDeb,
    Placing,
    UnpackedPackage,
    UnpackedPath,
    as_installed,
    beside,
    check_parents,
    merge_packages,
    path_entries,
    unpack_packages,
)
from hps.layer.debian_version import matches
from hps.layer.entry import Entry
from hps.layer.whiteout import whiteouts

_OWNER = "hps"


@dataclass
class _Over:
    """What is decided about the paths of packages over a base."""

    base: BaseDpkg
    folder: Path
    packages: Sequence[UnpackedPackage]
    replaced: Mapping[str, Paragraph]  # older versions in the base, by name
    lost: Mapping[str, set[str]]  # by new packages, to others
    base_lost: dict[str, set[str]] = field(default_factory=dict)  # by packages of the base


def deb_entries_over(
    debs: Sequence[LocalDeb],
    folder: Path,
    *,
    spool: Path,
    exclude: Sequence[str] = (),
    limits: Limits | None = None,
) -> list[Entry]:
    """The entries of a layer that adds packages to a base image, with dpkg's database of both.

    Args:
        debs: what is missing in the base, or newer; their order does not matter.
        folder: the unpacked base.
        spool: see `deb_entries`.
        exclude: likewise.
        limits: likewise.

    Raises:
        ConflictError: two packages bring one path; one of them may be the base's.
        UnsafeArchiveError, IntegrityError, StoreError: see `deb_entries`.
    """
    base = BaseDpkg(folder)
    left_out = tuple(one.strip("/") for one in exclude)
    placing = Placing(base.place, frozenset())
    packages = unpack_packages(debs, spool, left_out, placing, limits)
    chosen, lost = merge_packages(packages)
    check_parents(chosen)
    over = _Over(base, folder, packages, _replaced(base, packages), lost)
    kept = {path: one for path, one in chosen.items() if _comes(over, one)}
    gone = _vanished(over, chosen, placing)
    installed = [as_installed(package, lost, placing) for package in packages]
    database = database_over(base, installed, over.base_lost, left_out, _obsolete(over, chosen))
    names = {entry.path for entry in database}
    stale = [path for path in _stale_records(over) if path not in names]
    entries = list(path_entries(kept))
    entries += beside(database, kept)
    entries += whiteouts([*gone, *stale], _OWNER)
    return sorted(entries, key=lambda entry: entry.path.encode())


def _replaced(base: BaseDpkg, packages: Sequence[UnpackedPackage]) -> dict[str, Paragraph]:
    """The versions in the base of the packages that come; other architectures are others."""
    coming = {one.control.name: one.control.fields["Architecture"] for one in packages}
    return {
        one.name: one
        for one in base.paragraphs
        if one.is_installed
        and one.name in coming
        and (
            one.fields["Architecture"] == coming[one.name]
            or "all" in {one.fields["Architecture"], coming[one.name]}
        )
    }


def _comes(over: _Over, one: UnpackedPath) -> bool:
    """Whether a path of a package goes into the layer; False where what is there stays."""
    there = _kind(over.folder / one.path)
    if there is None:
        return not _was_removed(over, one)
    if one.kind == "directory":
        if there == "directory" or (over.folder / one.path).is_dir():
            return False
        _settle(over, one, there)
        return True
    if there == "directory":
        if one.kind == "symlink":
            return False
        raise ConflictError(
            f"the package {one.package} brings the file /{one.path}, which is a folder in the base",
            hint="leave the package out, or choose another base image",
        )
    return _settle(over, one, there) and not _stays_configured(over, one)


def _settle(over: _Over, one: UnpackedPath, there: str) -> bool:
    """Who has a path that a package of the base may have too; True when the new one does."""
    owner = over.base.owners.get(one.path)
    if owner is None or owner == one.package or owner in over.replaced:
        return True
    new = next(each.control for each in over.packages if each.control.name == one.package)
    old = over.base.installed[owner]
    if matches(new.fields.get("Replaces", ""), owner, old.fields["Version"]):
        over.base_lost.setdefault(owner, set()).add(one.path)
        return True
    if matches(old.fields.get("Replaces", ""), one.package, new.fields["Version"]):
        over.lost[one.package].add(one.path)
        return False
    raise ConflictError(
        f"the packages {owner} (of the base image) and {one.package} both bring /{one.path}",
        got=f"a {there} and a {one.kind}",
        hint="leave the package out; dpkg would not install it there either",
    )


def _package(over: _Over, one: UnpackedPath) -> UnpackedPackage:
    return next(each for each in over.packages if each.control.name == one.package)


def _was_removed(over: _Over, one: UnpackedPath) -> bool:
    """A configuration file that somebody removed from the base stays away (policy 10.7.3)."""
    old = over.replaced.get(one.package)
    return (
        one.shipped in _package(over, one).control.conffiles
        and old is not None
        and one.shipped in old.conffiles
    )


def _stays_configured(over: _Over, one: UnpackedPath) -> bool:
    """A configuration file that somebody changed stays as it is, also where nobody shipped it."""
    if one.shipped not in _package(over, one).control.conffiles:
        return False
    old = over.replaced.get(one.package)
    shipped = old.conffiles.get(one.shipped) if old else None
    return shipped is None or shipped != _md5(over.folder / one.path)


def _vanished(over: _Over, chosen: Mapping[str, UnpackedPath], placing: Placing) -> list[str]:
    """What older versions had and nobody has now; the topmost paths of it."""
    conffiles = {
        placing.place(path, old.name) for old in over.replaced.values() for path in old.conffiles
    }
    old_paths = {
        placing.place(path, old.name)
        for old in over.replaced.values()
        for path in over.base.listed(old)
    }
    candidates = old_paths - chosen.keys() - conffiles
    if not candidates:
        return []
    others = {
        placing.place(path, one.name)
        for one in over.base.paragraphs
        if one.is_installed and over.replaced.get(one.name) is not one
        for path in over.base.listed(one)
    }
    gone: set[str] = set()
    needed = {parent for path in chosen for parent in _parents(path)}
    for path in sorted(candidates - others, key=lambda one: -one.count("/")):
        place = over.folder / path
        kind = _kind(place)
        if kind == "directory":
            inside = (f"{path}/{name}" for name in os.listdir(place))  # noqa: PTH208
            if path not in needed and all(one in gone for one in inside):
                gone.add(path)
        elif kind is not None and not (kind == "symlink" and place.is_dir()):
            gone.add(path)
    return sorted(path for path in gone if posixpath.dirname(path) not in gone)


def _parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _obsolete(over: _Over, chosen: Mapping[str, UnpackedPath]) -> dict[str, dict[str, str]]:
    """Configuration files of older versions that are still there, with their MD5, by package."""
    found: dict[str, dict[str, str]] = {}
    for package in over.packages:
        old = over.replaced.get(package.control.name)
        for path, md5 in old.conffiles.items() if old else ():
            shipped = path in package.control.conffiles or path in chosen
            if not shipped and _kind(over.folder / path) == "file":
                found.setdefault(package.control.name, {})[path] = md5
    return found


def _stale_records(over: _Over) -> Iterator[str]:
    """Files of the database that speak of older versions."""
    for old in over.replaced.values():
        stems: Collection[str] = {f"{old.name}.", f"{old.identity}."}
        for path in over.base.root.files(INFO):
            name = posixpath.basename(path)
            if any(name.startswith(one) and "." not in name[len(one) :] for one in stems):
                yield path
        for path in (f"{STATUS_FOLDER}/{old.name}", f"{STATUS_FOLDER}/{old.name}.md5sums"):
            if over.base.root.holds(path):
                yield path


def _kind(place: Path) -> str | None:
    try:
        mode = place.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(mode):
        return "symlink"
    return "directory" if stat.S_ISDIR(mode) else "file"


def _md5(place: Path) -> str:
    hasher = hashlib.md5(usedforsecurity=False)
    with place.open("rb") as file:
        while piece := file.read(PIECE):
            hasher.update(piece)
    return hasher.hexdigest()
