"""Locking archives and plain files: which bytes, by digest and size."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from hps.build.workbench import Workbench, file_origin
from hps.config.target import Archive, PlainFile, Target
from hps.digest import Blob, Digest
from hps.errors import ResolutionError
from hps.lock.python_tags import choose_wheel, ranks
from hps.lock.records import LockedArchive, LockedFile, LockedTarget
from hps.store import plain_file
from hps.store.python_index import IndexFile
from hps.store.request import NewRequest, PythonOrigin


def require_files(bench: Workbench, names: Iterable[str]) -> None:
    """Refuse, before anything is resolved, files of targets that only a person can bring.

    Raises:
        NotFoundError: some are neither in the store nor where hps.toml says; all are told.
    """
    requests = {
        (request.file, request.digest): request
        for name in names
        for file in _declared(bench.project.target(name))
        for request in [_request(bench, file)]
        if request.digest is None or not bench.store.has(request.digest)
    }
    plain_file.require(requests.values())


def lock_archives(
    bench: Workbench,
    target: LockedTarget,
    config: Target,
    old: LockedTarget | None,
    upgraded: Callable[[str], bool],
) -> tuple[tuple[LockedArchive, ...], tuple[LockedFile, ...]]:
    """Every archive and every plain file of a target: which bytes, fetched.

    Wheels come from their index, files from where they are. What `old` locked for a wheel is kept
    while it fits, unless its project is upgraded.
    """
    declared = _declared(config)
    requests = [_request(bench, file) for file in declared]
    watch = bench.progress.fetching([(request.file, 0) for request in requests])
    blobs = iter(bench.fetcher.fetch_new(requests, watch) if requests else ())
    known = {
        archive.name: archive
        for archive in (old.archives if old and old.platform == target.platform else ())
        if archive.project and not upgraded(archive.project)
    }
    archives = tuple(
        (_kept(archive, known.get(archive.name)) or _wheel(bench, target, archive))
        if archive.wheel
        else _file(archive, next(blobs))
        for archive in config.archives
    )
    files = tuple(
        LockedFile(file=file.file, sha256=blob.digest.hex, size=blob.size, to=file.to)
        for file, blob in zip(config.files, blobs, strict=True)
    )
    return archives, files


def _declared(config: Target) -> tuple[Archive | PlainFile, ...]:
    """The archives that are files, then the plain files."""
    return (*(one for one in config.archives if not one.wheel), *config.files)


def _kept(archive: Archive, old: LockedArchive | None) -> LockedArchive | None:
    asked = Requirement(str(archive.wheel))
    if old is None or old.version is None or old.project != canonicalize_name(asked.name):
        return None
    fits = asked.specifier.contains(old.version, prereleases=True) and old.index == archive.index
    return old if fits else None


def _file(archive: Archive, blob: Blob) -> LockedArchive:
    return LockedArchive(
        name=archive.name, file=str(archive.file), sha256=blob.digest.hex, size=blob.size
    )


def _request(bench: Workbench, wanted: Archive | PlainFile) -> NewRequest:
    return NewRequest(
        file=str(wanted.file),
        origin=file_origin(bench.project.root, wanted),
        digest=Digest(wanted.sha256) if wanted.sha256 else None,
    )


def _wheel(bench: Workbench, target: LockedTarget, archive: Archive) -> LockedArchive:
    requirement = Requirement(str(archive.wheel))
    index = bench.python_index(archive.index)
    files = index.files(requirement.name)
    file = choose_file(files, requirement, target, bench.project.config.lock.as_of)
    told = files[file].sha256
    request = NewRequest(
        file=file,
        origin=PythonOrigin(alias=archive.index, project=requirement.name),
        digest=Digest(told) if told else None,
    )
    watch = bench.progress.fetching([(file, 0)])
    blob = bench.fetcher.fetch_new([request], watch)[0]
    return LockedArchive(
        name=archive.name,
        file=file,
        sha256=blob.digest.hex,
        size=blob.size,
        index=archive.index,
        project=canonicalize_name(requirement.name),
        version=str(parse_wheel_filename(file)[1]),
    )


def choose_file(
    files: Mapping[str, IndexFile],
    requirement: Requirement,
    target: LockedTarget,
    as_of: datetime | None,
) -> str:
    """The wheel of the highest version that a requirement, the target and the time allow.

    Raises:
        ResolutionError: none does; the versions that exist are told.
    """
    versions: dict[Version, list[str]] = {}
    for name, file in files.items():
        late = as_of is not None and (file.upload_time is None or file.upload_time > as_of)
        version = _wheel_version(name)
        if version is not None and file.yanked is None and not late:
            versions.setdefault(version, []).append(name)
    major, minor = (int(part) for part in target.glibc.split("."))
    ranked = ranks(target.python_version, target.platform, (major, minor))
    for version in sorted(versions, reverse=True):
        prereleases = bool(requirement.specifier.prereleases)
        if requirement.specifier.contains(version, prereleases=prereleases):
            chosen = choose_wheel(versions[version], ranked)
            if chosen:
                return chosen
    raise ResolutionError(
        f"no wheel fits {requirement}",
        expected=f"a wheel for Python {target.python_version}, glibc {target.glibc}, "
        f"{target.platform}",
        got=f"versions {_list(sorted(versions))}",
    )


def _wheel_version(name: str) -> Version | None:
    try:
        return parse_wheel_filename(name)[1]
    except InvalidWheelFilename:
        return None  # an sdist, or a wheel from before the rules: pip ignores it too


def _list(versions: Sequence[Version]) -> str:
    return ", ".join(str(version) for version in versions[-8:]) or "none"
