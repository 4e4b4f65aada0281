"""Choosing the Debian packages of a target: what is asked of which archive."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal

from hps.build.workbench import Workbench
from hps.config.schema import DebianSource
from hps.config.target import Target
from hps.errors import LockError, OfflineError
from hps.layer.debian_version import compare
from hps.lock.apt import Suite
from hps.lock.base_image import installed
from hps.lock.debian import DebianArchive, PackageSet, archive_of, resolve_debs
from hps.lock.records import BaseDeb, Deb, LockedBase
from hps.store.debian_archive import expand

_ARCHITECTURES = {"linux/amd64": "amd64", "linux/arm64": "arm64"}
_GLIBC = re.compile(r"(\d+)\.(\d+)")
# What every image needs to be one: the skeleton of the file system, its users, the loader.
_ALWAYS = ("base-files", "base-passwd", "libc-bin")


def choose_debs(
    bench: Workbench,
    config: Target,
    preferences: Mapping[str, str],
    upgrade: Literal["none", "all"] | frozenset[str],
    base: LockedBase | None = None,
) -> tuple[tuple[Deb, ...], tuple[Deb, ...]]:
    """The packages of the image, and those that only the build environment has.

    Over a base image these are the ones that it lacks, or has in a version that is too old.

    Args:
        bench: the tools.
        config: of the target.
        preferences: versions of an earlier lock, by name; kept while the archive has them.
        upgrade: which preferences are not kept.
        base: what the packages are laid over.

    Raises:
        OfflineError: nothing may be fetched.
        ResolutionError, FetchError, IntegrityError, LockError: see `resolve_debs`.
    """
    there = installed(base)
    image, build = _wanted(config, base)
    if config.debian is None or not (image | build) - there.keys():
        return (), ()
    if bench.offline:
        raise OfflineError(
            "choosing Debian packages asks their archive, and nothing may be fetched",
            hint="leave out --offline; what hps.toml did not change is kept without asking anyone",
        )
    kept = {
        name: version for name, version in preferences.items() if not _newer(there, name, version)
    }
    first = PackageSet(tuple(sorted(image - there.keys())), preferences=kept, upgrade=upgrade)
    sets = [first]
    if config.build.packages:
        sets.append(replace(first, packages=tuple(sorted((image | build) - there.keys()))))
    archive = _archive(bench, config, config.debian.source)
    if base is not None:
        archive = replace(archive, status=_status(bench, base, config.python_version))
    found = resolve_debs(archive, sets)
    names = {deb.name for deb in found[0]}
    return found[0], tuple(deb for deb in found[-1] if deb.name not in names)


def _wanted(config: Target, base: LockedBase | None) -> tuple[set[str], set[str]]:
    """The packages that the image and its build environment need, by name.

    A base that is a system already has what makes one; Python is added where it has none.
    """
    image = set(config.debian.packages) if config.debian else set()
    image |= set() if installed(base) else {*_ALWAYS}
    image |= set() if base and base.interpreter else {f"python{config.python_version}"}
    return image, {*config.build.packages}


def _newer(there: Mapping[str, BaseDeb], name: str, version: str) -> bool:
    """Whether a base has a package in a later version than an old lock prefers."""
    return name in there and compare(there[name].version, version) > 0


def _status(bench: Workbench, base: LockedBase, python: str) -> bytes:
    """Dpkg's status of a base image, read from its own layers; one of its own where it has none."""
    from hps.build.base import base_outputs  # noqa: PLC0415 - most targets have no base
    from hps.build.base_tree import base_tree  # noqa: PLC0415
    from hps.layer.base_dpkg import BaseDpkg  # noqa: PLC0415

    root = base_outputs(bench, base, python)["root"].digest
    dpkg = BaseDpkg(base_tree(bench.store, root))
    lines = [
        one.text if "Status" in one.fields else f"{one.text}Status: install ok installed\n"
        for one in dpkg.paragraphs
    ]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _archive(bench: Workbench, config: Target, alias: str) -> DebianArchive:
    source = bench.project.config.sources.debian[alias]
    suites = tuple(_suite(bench, alias, source, name) for name in source.suites)
    return DebianArchive(
        source=alias,
        suites=suites,
        components=source.components,
        architecture=_ARCHITECTURES[config.platform],
        keyring=bench.project.root / source.keyring if source.keyring else None,
        snapshot=source.snapshot is not None,
        cache=bench.store.root / "indexes",
    )


def _suite(bench: Workbench, alias: str, source: DebianSource, name: str) -> Suite:
    archive = archive_of(name)
    if source.snapshot is None:
        return Suite(name, bench.origins.debian_mirrors(alias, archive, name)[0], archive)
    if not source.fallbacks:
        raise LockError(
            f"[sources.debian.{alias}] asks for a snapshot and names no snapshot archive",
            expected=f"sources.debian.{alias}.fallbacks with at least one address",
        )
    # The time is known, so that every field can be filled in.
    return Suite(name, str(expand(source.fallbacks[0], archive, source.snapshot)), archive)


def glibc(debs: Iterable[Deb], base: LockedBase | None = None) -> str:
    """The version of the C library, for instance 2.36; it bounds which wheels fit.

    Of a base image it is that of its libc6, unless a newer one is laid over it.
    """
    for deb in debs:
        match = _GLIBC.match(deb.version)
        if deb.name == "libc6" and match:
            return f"{match[1]}.{match[2]}"
    if base is not None and base.glibc is not None:
        return base.glibc
    raise LockError(
        "the target has no C library that hps knows",
        expected="libc6 among its Debian packages" + (" or those of its base" if base else ""),
    )
