"""Resolving Debian packages: names in, the exact closure out.

apt chooses, in a private root without installed packages and without recommendations; what was
chosen is read from the signed indexes.
"""

import contextlib
import difflib
import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hps import canonical
from hps.errors import IntegrityError, LockError, NotFoundError, ResolutionError
from hps.lock.apt import Apt, Index, Suite, UnsatisfiableError, find_keyring, sources
from hps.lock.debian_index import (
    Package,
    fields,
    read_package,
    relation_groups,
    release_digests,
    requesters,
    stanza_name,
    stanzas,
)
from hps.lock.records import Deb

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class DebianArchive:
    """Where packages come from.

    Args:
        source: alias in hps.toml.
        suites: in the order of preference when a version is in several; with addresses.
        components: for instance main.
        architecture: Debian's name: amd64, arm64.
        keyring: OpenPGP keyring that signs the archive; None for Debian's own.
        snapshot: the addresses are of a snapshot, so old indexes are meant.
        cache: folder in which indexes are kept between runs; None to keep none.
        status: what is installed already, as dpkg's status file says it.
    """

    source: str
    suites: tuple[Suite, ...]
    components: tuple[str, ...] = ("main",)
    architecture: str = "amd64"
    keyring: Path | None = None
    snapshot: bool = False
    cache: Path | None = None
    status: bytes = b""


@dataclass(frozen=True, slots=True)
class PackageSet:
    """What is wanted from an archive.

    Args:
        packages: names; the closure is added.
        asked_by: what `via` says of a named package.
        preferences: versions of an earlier lock, by name; kept while the archive has them.
        upgrade: which preferences are not kept.
    """

    packages: tuple[str, ...]
    asked_by: str = "hps.toml"
    preferences: Mapping[str, str] = field(default_factory=dict)
    upgrade: Literal["none", "all"] | frozenset[str] = "none"


def archive_of(suite: str) -> Literal["debian", "debian-security"]:
    """Which archive has a suite."""
    return "debian-security" if suite.endswith("-security") else "debian"


def resolve_debs(archive: DebianArchive, sets: Sequence[PackageSet]) -> tuple[tuple[Deb, ...], ...]:
    """The closure of each set, sorted by name; the indexes are fetched once.

    Raises:
        ResolutionError: a package does not exist, or no set of versions fits.
        FetchError: the archive could not be reached.
        IntegrityError: a signature or checksum is wrong, or an index too old.
        LockError: apt or the keyring is missing.
    """
    keyring = find_keyring(archive.keyring)
    text = sources(archive.suites, archive.components, keyring, snapshot=archive.snapshot)
    with tempfile.TemporaryDirectory(prefix="hps-apt-") as name, _lists(archive, text) as kept:
        root = Path(name)
        apt = Apt(root, kept or root / "state/lists", archive.architecture, archive.status)
        _update(apt, text, cached=kept is not None)
        names = {name for wanted in sets for name in wanted.packages}
        _check_names(names, apt.indexes())
        chosen = [_simulate(apt, wanted) for wanted in sets]
        found = _look_up({item for closure in chosen for item in closure}, apt.indexes())
    return tuple(
        _records(archive, wanted, [found[item] for item in closure])
        for wanted, closure in zip(sets, chosen, strict=True)
    )


@contextlib.contextmanager
def _lists(archive: DebianArchive, text: str) -> Iterator[Path | None]:
    """The cached indexes of exactly these sources, for one process at a time."""
    if archive.cache is None:
        yield None
        return
    identity = {"sources": text, "architecture": archive.architecture}
    folder = archive.cache / canonical.digest(identity, domain="hps-apt-lists-v1").hex[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "in-use").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder / "lists"


def _update(apt: Apt, text: str, *, cached: bool) -> None:
    """Fetch the indexes and check them against the signed Release files.

    apt verifies what it fetches, but takes indexes that it already has on trust: a cache that was
    damaged is emptied once, and fetched anew.
    """
    try:
        apt.update(text)
        _verify(apt.indexes())
    except IntegrityError:
        if not cached:
            raise
        shutil.rmtree(apt.lists)
        (apt.lists / "partial").mkdir(parents=True)
        apt.update(text)
        _verify(apt.indexes())


def _verify(indexes: Sequence[Index]) -> None:
    if not indexes:
        raise NotFoundError("the Debian archive has no packages for this architecture")
    for index in indexes:
        expected = release_digests(index.release.read_text(errors="replace")).get(index.entry)
        digest = hashlib.sha256()
        for piece in _pieces(index.path):
            digest.update(piece)
        if digest.hexdigest() != expected:
            raise IntegrityError(
                f"the package index of {index.suite} is not the one that its Release file lists",
                expected=expected,
                got=digest.hexdigest(),
            )


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _check_names(names: Iterable[str], indexes: Sequence[Index]) -> None:
    """Every name must be a real package: apt would take a virtual one or a pattern for it."""
    known = {stanza_name(stanza) for index in indexes for stanza in stanzas(_pieces(index.path))}
    missing = sorted(set(names) - known)
    if not missing:
        return
    details = []
    for name in missing:
        near = _providers(name, indexes) or difflib.get_close_matches(name, known, n=3, cutoff=0.75)
        details.append(f"{name}: did you mean {', '.join(near)}?" if near else name)
    raise ResolutionError(
        "the Debian suites have no such packages",
        details=tuple(details),
        hint="correct the names in debian.packages or build.packages, or add a suite or component",
    )


def _providers(virtual: str, indexes: Sequence[Index]) -> list[str]:
    found = set()
    for index in indexes:
        for stanza in stanzas(_pieces(index.path)):
            if b"\nProvides:" in stanza and virtual.encode() in stanza:
                groups = relation_groups(fields(stanza)["Provides"])
                if (virtual,) in groups:
                    found.add(stanza_name(stanza))
    return sorted(found)[:5]


def _simulate(apt: Apt, wanted: PackageSet) -> list[tuple[str, str, str]]:
    pins = {
        name: version
        for name, version in wanted.preferences.items()
        if wanted.upgrade != "all" and name not in wanted.upgrade
    }
    try:
        return apt.simulate(wanted.packages, pins)
    except UnsatisfiableError as error:
        # Packages of one source need each other in one version: an old pin may stand in the way.
        if not pins:
            raise _unsatisfiable(str(error)) from None
    try:
        return apt.simulate(wanted.packages, {})
    except UnsatisfiableError as error:
        raise _unsatisfiable(str(error)) from None


def _unsatisfiable(output: str) -> ResolutionError:
    _, found, reasons = output.partition("unmet dependencies:")
    lines = (reasons if found else output).splitlines()
    return ResolutionError(
        "no set of Debian packages fits",
        details=tuple(line.strip() for line in lines if line.strip())[:20],
        hint="the suites must fit each other (bookworm with bookworm-security), and the named "
        "packages must not conflict",
    )


def _look_up(
    wanted: set[tuple[str, str, str]], indexes: Sequence[Index]
) -> dict[tuple[str, str, str], Package]:
    """The packages of a closure; of several suites with one version, the first."""
    names = {name for name, _, _ in wanted}
    found: dict[tuple[str, str, str], Package] = {}
    for index in indexes:
        for stanza in stanzas(_pieces(index.path)):
            if stanza_name(stanza) in names:
                package = read_package(stanza, index.suite)
                found.setdefault((package.name, package.version, package.architecture), package)
    missing = sorted(name for name, version, arch in wanted if (name, version, arch) not in found)
    if missing:
        raise LockError(f"apt chose packages that its indexes do not list: {', '.join(missing)}")
    return found


def _records(
    archive: DebianArchive, wanted: PackageSet, packages: Sequence[Package]
) -> tuple[Deb, ...]:
    via = requesters(packages, wanted.packages, wanted.asked_by)
    archives = {suite.name: suite.archive for suite in archive.suites}
    return tuple(
        Deb(
            file=package.pool.rpartition("/")[2],
            sha256=package.sha256,
            size=package.size,
            name=package.name,
            version=package.version,
            architecture=package.architecture,
            source=archive.source,
            suite=package.suite,
            archive=archives[package.suite],
            pool=package.pool,
            via=via[package.name],
        )
        for package in sorted(packages, key=lambda package: package.name)
    )
