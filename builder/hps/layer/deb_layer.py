"""Many Debian packages as one layer, as dpkg would unpack them, without running their scripts."""

import hashlib
import posixpath
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from hps.archive.decompress import damage
from hps.archive.paths import Limits
from hps.errors import ConflictError, IntegrityError, UnsafeArchiveError
from hps.layer import dpkg_database, merged_usr
from hps.layer.deb import ControlArchive, control_archive, data_members
from hps.layer.debian_version import matches
from hps.layer.dpkg_database import Installed
from hps.layer.entry import Entry, Kind
from hps.layer.spool import Content, Spool
from hps.layer.tar_reader import Member

_THREADS = 2
# Modes that mean something; all others become 0755 or 0644, so set-user-ID bits are gone.
_MODES = {"tmp": 0o1777, "var/tmp": 0o1777, "run/lock": 0o1777}


@dataclass(frozen=True, slots=True)
class LocalDeb:
    """A locked package and where its bytes lie on this machine."""

    name: str
    architecture: str
    version: str
    path: Path

    @property
    def file(self) -> str:
        """What it is called in errors: in a store its file name is a digest."""
        return f"{self.name}_{self.version}_{self.architecture}.deb"


@dataclass(frozen=True, slots=True)
class Placing:
    """Where paths of packages lie in the image.

    Args:
        place: path as shipped and package, to the path without links in its folders.
        links: paths that packages ship as folders and that are links in the image.
    """

    place: Callable[[str, str], str] = lambda path, _: merged_usr.merged(path)
    links: Collection[str] = frozenset(merged_usr.LINKS)


@dataclass(frozen=True, slots=True)
class UnpackedPath:
    """One path of one package, where it lies in the image."""

    path: str
    kind: Kind
    package: str
    shipped: str  # as the package names it
    executable: bool = False
    link: str = ""
    content: Content | None = None


@dataclass(frozen=True, slots=True)
class UnpackedPackage:
    """One package, unpacked into the spool."""

    control: ControlArchive
    listed: tuple[str, ...]  # as shipped, in the archive's order, without what is excluded
    paths: Mapping[str, UnpackedPath]
    md5: Mapping[str, str]  # by path as shipped


def deb_entries(
    debs: Sequence[LocalDeb],
    *,
    spool: Path,
    exclude: Sequence[str] = (),
    limits: Limits | None = None,
) -> list[Entry]:
    """The entries of one layer that holds all these packages and dpkg's database of them.

    A path that two packages ship is decided as dpkg does (Debian policy 7.6): folders are
    shared, a package that Replaces the other wins, anything else is a conflict.

    Args:
        debs: the packages; their order does not matter.
        spool: a folder of the caller, for unpacked contents; entries read from it until the
            layer is written, then the caller removes it.
        exclude: folders of the image (`/usr/share/man`) that are left out; copyright files stay.
        limits: how much one package may hold.

    Returns:
        Entries sorted by path. Modes are 0755 or 0644, uid and gid 0; /tmp, /var/tmp and
        /run/lock are 1777.

    Raises:
        UnsafeArchiveError: a package is damaged or holds what none may hold.
        IntegrityError: a package is another one than `debs` says.
        ConflictError: two packages bring one path, naming both.
        StoreError: the spool's disk is full.
    """
    left_out = tuple(folder.strip("/") for folder in exclude)
    placing = Placing()
    packages = unpack_packages(debs, spool, left_out, placing, limits)
    chosen, lost = merge_packages(packages)
    check_parents(chosen)
    entries = list(path_entries(chosen))
    entries += merged_usr.link_entries(chosen, "base-files")
    installed = [as_installed(package, lost, placing) for package in packages]
    entries += beside(dpkg_database.entries(installed, left_out), chosen)
    return sorted(entries, key=lambda entry: entry.path.encode())


def unpack_packages(
    debs: Sequence[LocalDeb],
    spool: Path,
    left_out: Sequence[str],
    placing: Placing,
    limits: Limits | None = None,
) -> list[UnpackedPackage]:
    """Unpack packages into a spool, sorted by name; raises as `deb_entries` does."""
    ordered = sorted(debs, key=lambda deb: (deb.name, deb.architecture))
    # Decoders work without the interpreter's lock, so a second thread has something to do.
    with ThreadPoolExecutor(_THREADS) as pool:
        work = partial(
            _unpacked, folder=spool, left_out=left_out, placing=placing, limits=limits or Limits()
        )
        packages = list(pool.map(work, ordered))
    _check_once(packages)
    return packages


def _unpacked(
    deb: LocalDeb, folder: Path, left_out: Sequence[str], placing: Placing, limits: Limits
) -> UnpackedPackage:
    with Spool(folder / f"{deb.name}_{deb.architecture}.contents") as spool:
        return _spooled(deb, spool, left_out, placing, limits)


def _spooled(
    deb: LocalDeb, spool: Spool, left_out: Sequence[str], placing: Placing, limits: Limits
) -> UnpackedPackage:
    control = control_archive(deb.path, deb.file)
    _check_identity(deb, control)
    conffiles, md5 = control.conffiles, dict(control.md5sums)
    hash_all = not md5  # dpkg computes what the package does not promise
    listed: list[str] = []
    paths: dict[str, UnpackedPath] = {}
    with damage(deb.file), data_members(deb.path, limits, deb.file) as members:
        for member in members:
            if not member.path:
                continue
            hasher = hashlib.md5(usedforsecurity=False)
            tap = hasher.update if hash_all or member.path in conffiles else None
            one = _unpacked_path(member, deb, spool, tap, paths, placing=placing)
            _add(one, paths, deb, placing)
            if tap is not None and member.kind == "file":
                md5[member.path] = hasher.hexdigest()
            listed.append(member.path)
    # Left out only now: a copyright file may be a hard link to something that is left out.
    kept = _kept(paths, left_out)
    listed = [path for path in dict.fromkeys(listed) if _is_listed(path, kept, deb.name, placing)]
    return UnpackedPackage(control, tuple(listed), kept, {p: md5[p] for p in listed if p in md5})


def _check_identity(deb: LocalDeb, control: ControlArchive) -> None:
    expected = (deb.name, deb.version, deb.architecture)
    got = tuple(control.fields[field] for field in ("Package", "Version", "Architecture"))
    if got != expected:
        raise IntegrityError(
            f"{deb.file} is another package than the lock says",
            expected=" ".join(expected),
            got=" ".join(got),
        )


def _unpacked_path(
    member: Member,
    deb: LocalDeb,
    spool: Spool,
    tap: Callable[[bytes], object] | None,
    paths: Mapping[str, UnpackedPath],
    *,
    placing: Placing,
) -> UnpackedPath:
    path = placing.place(member.path, deb.name)
    if member.kind == "hardlink":
        target = paths.get(placing.place(member.link, deb.name))
        if target is None or target.kind == "directory":
            raise UnsafeArchiveError(
                f"{deb.file}: {member.path} is a hard link to what the package does not hold",
                got=member.link,
            )
        return replace(target, path=path, shipped=member.path)
    content = None
    if member.reader is not None:
        where = f"{deb.file}: {member.path}"
        content = spool.add(member.reader, member.size, where, tap)
    executable = bool(member.mode & 0o100)
    return UnpackedPath(path, member.kind, deb.name, member.path, executable, member.link, content)


def _add(
    one: UnpackedPath, paths: dict[str, UnpackedPath], deb: LocalDeb, placing: Placing
) -> None:
    other = paths.get(one.path)
    if _leads_to_itself(one, placing) and (other is not None or one.shipped in placing.links):
        return  # /bin/x -> /usr/bin/x, or /bin -> usr/bin, made good by merged /usr
    both_directories = other is not None and other.kind == one.kind == "directory"
    if other is not None and not both_directories and not _leads_to_itself(other, placing):
        raise UnsafeArchiveError(f"{deb.file} holds {one.path} twice")
    paths[one.path] = one


def _leads_to_itself(one: UnpackedPath, placing: Placing) -> bool:
    if one.kind != "symlink":
        return False
    target = posixpath.normpath(posixpath.join("/", posixpath.dirname(one.shipped), one.link))
    return placing.place(target.lstrip("/"), one.package) == one.path


def _is_left_out(one: UnpackedPath, folders: Sequence[str]) -> bool:
    """Whether an excluded folder holds it; copyright files and the links to them never are."""
    if not any(f"{one.path}/".startswith(f"{folder}/") for folder in folders):
        return False
    if one.kind != "directory" and fnmatchcase(one.path, "usr/share/doc/*/copyright"):
        return False
    return not (one.kind == "symlink" and posixpath.dirname(one.path) == "usr/share/doc")


def _kept(paths: Mapping[str, UnpackedPath], folders: Sequence[str]) -> dict[str, UnpackedPath]:
    """What stays of a package, and the folders above it."""
    kept = {path: one for path, one in paths.items() if not _is_left_out(one, folders)}
    for path in list(kept):
        while (path := posixpath.dirname(path)) and path not in kept and path in paths:
            kept[path] = paths[path]
    return kept


def _is_listed(
    shipped: str, kept: Mapping[str, UnpackedPath], package: str, placing: Placing
) -> bool:
    return placing.place(shipped, package) in kept or shipped in placing.links


def _check_once(packages: Sequence[UnpackedPackage]) -> None:
    names = [package.control.name for package in packages]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConflictError(
            "a Debian package is there twice", got=", ".join(twice), hint="lock again: hps lock"
        )


def merge_packages(
    packages: Sequence[UnpackedPackage],
) -> tuple[dict[str, UnpackedPath], dict[str, set[str]]]:
    """What stays at each path, and what each package has lost to one that replaces it."""
    controls = {package.control.name: package.control for package in packages}
    chosen: dict[str, UnpackedPath] = {}
    lost: dict[str, set[str]] = {name: set() for name in controls}
    for package in packages:
        for path, one in package.paths.items():
            other = chosen.setdefault(path, one)
            if other is one or other.kind == one.kind == "directory":
                continue
            winner = _winner(one, other, controls)
            chosen[path] = winner
            lost[(other if winner is one else one).package].add(path)
    return chosen, lost


def _winner(
    one: UnpackedPath, other: UnpackedPath, controls: Mapping[str, ControlArchive]
) -> UnpackedPath:
    replaces = _replaces(controls[one.package], controls[other.package])
    replaced = _replaces(controls[other.package], controls[one.package])
    if replaces == replaced or "directory" in {one.kind, other.kind}:
        raise ConflictError(
            f"the packages {other.package} and {one.package} both bring /{one.path}",
            got=f"a {other.kind} and a {one.kind}",
            hint="leave one of the two packages out; dpkg would not install both either",
        )
    return one if replaces else other


def _replaces(winner: ControlArchive, loser: ControlArchive) -> bool:
    relations = winner.fields.get("Replaces", "")
    return matches(relations, loser.name, loser.fields["Version"])


def check_parents(chosen: Mapping[str, UnpackedPath]) -> None:
    """Nothing lies below a file or a link: it would be written somewhere else."""
    good = {""}
    for path, one in chosen.items():
        parent = posixpath.dirname(path)
        while parent not in good:
            above = chosen.get(parent)
            if above is not None and above.kind != "directory":
                kind = ConflictError if above.package != one.package else UnsafeArchiveError
                raise kind(
                    f"/{parent} is a {above.kind} of {above.package}, "
                    f"but {one.package} brings /{path} below it"
                )
            good.add(parent)
            parent = posixpath.dirname(parent)


def path_entries(chosen: Mapping[str, UnpackedPath]) -> Iterator[Entry]:
    """The entries of a layer, sorted; hard links within one package stay links."""
    first: dict[Content, str] = {}
    for path, one in sorted(chosen.items(), key=lambda item: item[0].encode()):
        content = one.content
        if content is None:
            yield Entry(path, one.kind, one.package, link=one.link, mode=_MODES.get(path))
        elif content.size and (target := first.setdefault(content, path)) != path:
            # Two paths have one Content only when the package holds them as hard links.
            yield Entry(
                path, "hardlink", one.package, one.executable, link=target, open=content.open
            )
        else:
            yield Entry(path, "file", one.package, one.executable, content.size, open=content.open)


def beside(made: Sequence[Entry], chosen: Mapping[str, UnpackedPath]) -> Iterator[Entry]:
    """What is made here; the package dpkg ships some of its folders, none ships its files."""
    for entry in made:
        other = chosen.get(entry.path)
        if other is None:
            yield entry
        elif not other.kind == entry.kind == "directory":
            raise ConflictError(
                f"the package {other.package} brings /{entry.path}, which is dpkg's own"
            )


def as_installed(
    package: UnpackedPackage, lost: Mapping[str, Collection[str]], placing: Placing
) -> Installed:
    """A package for dpkg's database, without the paths that it has lost."""
    name = package.control.name
    gone = lost[name]
    listed = [path for path in package.listed if placing.place(path, name) not in gone]
    md5 = {path: package.md5[path] for path in listed if path in package.md5}
    return Installed(package.control, tuple(listed), md5)
