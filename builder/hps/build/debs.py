"""Choosing the Debian packages of a target: what is asked of which archive."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal

from hps.build.workbench import Workbench
from hps.config.schema import DebianSource, Target
from hps.errors import LockError, OfflineError
from hps.lock.apt import Suite
from hps.lock.debian import DebianArchive, PackageSet, archive_of, resolve_debs
from hps.lock.records import Deb
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
) -> tuple[tuple[Deb, ...], tuple[Deb, ...]]:
    """The packages of the image, and those that only the build environment has.

    Args:
        bench: the tools.
        config: of the target.
        preferences: versions of an earlier lock, by name; kept while the archive has them.
        upgrade: which preferences are not kept.

    Raises:
        OfflineError: nothing may be fetched.
        ResolutionError, FetchError, IntegrityError, LockError: see `resolve_debs`.
    """
    if bench.offline:
        raise OfflineError(
            "choosing Debian packages asks their archive, and nothing may be fetched",
            hint="leave out --offline; what hps.toml did not change is kept without asking anyone",
        )
    wanted = {*config.debian.packages, *_ALWAYS, f"python{config.python_version}"}
    image = PackageSet(tuple(sorted(wanted)), preferences=preferences, upgrade=upgrade)
    sets = [image]
    if config.build.packages:
        sets.append(replace(image, packages=tuple(sorted(wanted | {*config.build.packages}))))
    archive = _archive(bench, config)
    found = resolve_debs(archive, sets)
    names = {deb.name for deb in found[0]}
    return found[0], tuple(deb for deb in found[-1] if deb.name not in names)


def _archive(bench: Workbench, config: Target) -> DebianArchive:
    alias = config.debian.source
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


def glibc(debs: Iterable[Deb]) -> str:
    """The version of the C library, for instance 2.36; it bounds which wheels fit."""
    for deb in debs:
        match = _GLIBC.match(deb.version)
        if deb.name == "libc6" and match:
            return f"{match[1]}.{match[2]}"
    raise LockError("the target has no C library", expected="libc6 among its Debian packages")
