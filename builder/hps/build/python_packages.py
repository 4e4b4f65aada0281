"""The Python packages of a target: what a resolver is asked, and what is locked of its answer.

What the resolver can be asked depends on the Debian packages (the C library, the interpreter) and
on the wheels of the sdists; all of it is known when `packages_request` is called.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from packaging.requirements import Requirement as ParsedRequirement
from packaging.utils import canonicalize_name

from hps.build.kept import Upgrade, keeps_python
from hps.build.resolvers import Chooser
from hps.build.workbench import Workbench
from hps.config.target import Target
from hps.digest import Digest
from hps.lock.base_image import asked_for_in, provided
from hps.lock.python import PythonRequest, Requirement, ResolvedWheel
from hps.lock.records import LockedTarget, Package, Sdist, Wheel
from hps.store.request import NewRequest, PythonOrigin

_GLIBC = re.compile(r"(\d+)\.(\d+)")


def expected_request(
    bench: Workbench, name: str, old: LockedTarget | None, upgrade: Upgrade, who: Chooser
) -> PythonRequest | None:
    """What the Python resolver will be asked if glibc and the wheels of sdists stay as they were.

    They mostly do, and uv takes longer than what decides them. None when nothing will be asked, or
    certainly something else.
    """
    if old is None or not _GLIBC.fullmatch(old.glibc):
        return None
    config = bench.project.target(name)
    inputs = dict(bench.project.inputs(name))
    unchanged = keeps_python(old, inputs, upgrade.packages, old.glibc)
    if not upgrade.everything and not who.anew and unchanged:
        return None
    entries = {canonicalize_name(ParsedRequirement(text).name) for text in config.python.sdists}
    wheels = [Digest(one.wheel_sha256) for one in old.sdists]
    if entries != {one.name for one in old.sdists} or not all(map(bench.store.has, wheels)):
        return None
    facts = {"python_version": config.python_version, "platform": config.platform}
    return packages_request(bench, old.model_copy(update=facts), old, upgrade, old.sdists, who=who)


def locked_sdists(
    bench: Workbench,
    target: LockedTarget,
    old: LockedTarget | None,
    upgrade: Upgrade,
    who: Chooser,
) -> tuple[Sdist, ...]:
    """Every entry of `python.sdists`, locked and built."""
    # What speaks HTTP takes its time to load, and uv has begun by now.
    from hps.build.sdists import SdistLocker, narrowed  # noqa: PLC0415

    config = bench.project.target(target.name)
    locker = SdistLocker(bench, target, config, partial(_build_wheels, bench, target, config, who))
    lines = [line.text for line in bench.project.requirements(target.name)]
    return tuple(
        locker.lock(
            narrowed(text, lines), None if upgrade.names(ParsedRequirement(text).name) else old
        )
        for text in sorted(config.python.sdists)
    )


def packages_request(
    bench: Workbench,
    target: LockedTarget,
    old: LockedTarget | None,
    upgrade: Upgrade,
    sdists: Sequence[Sdist],
    *,
    who: Chooser,
) -> PythonRequest:
    """The request for the Python packages of a target."""
    lines = bench.project.requirements(target.name)
    asked = [Requirement(line.text, Path(line.file).name) for line in lines]
    packages: tuple[Package, ...] = (*old.wheels, *old.sdists) if old and who.remembers else ()
    before = {one.name: one.version for one in packages}
    # What a base has is preferred whatever is upgraded: a lock without a past would take it too.
    there = {name: one.version for name, one in provided(target.base).items()}
    everything = upgrade.everything and bool(there)
    return replace(
        python_request(bench, target, bench.project.target(target.name), asked),
        preferences=there | ({} if everything else before),
        upgrade="none" if everything else upgrade.choice(),
        built={one.wheel: bench.store.path(Digest(one.wheel_sha256)) for one in sdists},
    )


def with_python(
    bench: Workbench,
    target: LockedTarget,
    sdists: Sequence[Sdist],
    chosen: Sequence[ResolvedWheel],
) -> LockedTarget:
    """The target with the packages that were chosen, fetched."""
    built = {one.wheel for one in sdists}
    index = bench.project.target(target.name).python.index
    there = provided(target.base)
    again = {
        one.name: one.via
        for one in chosen
        if one.file not in built and one.name in there and one.version == there[one.name].version
    }
    for one in chosen:
        if one.name in there and one.version != there[one.name].version:
            bench.progress.note(
                f"note: {one.name} {one.version} is installed, the base image has "
                f"{there[one.name].version}"
            )
    new = [one for one in chosen if one.file not in built and one.name not in again]
    update = {
        "wheels": locked_wheels(bench, index, new),
        "sdists": _used(bench, sdists, chosen),
        "base": asked_for_in(target.base, again),
    }
    return target.model_copy(update=update)


def python_request(
    bench: Workbench, target: LockedTarget, config: Target, requirements: Sequence[Requirement]
) -> PythonRequest:
    """A request to the Python resolver for what fits a target."""
    major, minor = target.glibc.split(".")
    return PythonRequest(
        requirements=tuple(requirements),
        python_version=target.python_version,
        glibc=(int(major), int(minor)),
        index_url=bench.index_url(config.python.index),
        network=bench.origins.index_network().environment(os.environ),
        platform=target.platform,
        as_of=bench.project.config.lock.as_of,
        prerelease=config.python.prerelease,
        offline=bench.offline,
    )


def _build_wheels(
    bench: Workbench,
    target: LockedTarget,
    config: Target,
    who: Chooser,
    requirements: Sequence[Requirement],
) -> tuple[Wheel, ...]:
    """Build dependencies of an sdist, resolved like all others and fetched."""
    with who.resolver.expecting(None) as resolve:
        chosen = resolve(python_request(bench, target, config, requirements)).wheels
    return locked_wheels(bench, config.python.index, chosen)


def locked_wheels(
    bench: Workbench, alias: str, chosen: Sequence[ResolvedWheel]
) -> tuple[Wheel, ...]:
    """Records of resolved wheels of one index, fetched; sizes that it did not tell are theirs."""
    requests = [
        NewRequest(
            file=one.file,
            origin=PythonOrigin(alias=alias, project=one.name),
            digest=Digest(one.sha256),
            size=one.size,
        )
        for one in chosen
    ]
    watch = bench.progress.fetching([(one.file, one.size or 0) for one in chosen])
    blobs = bench.fetcher.fetch_new(requests, watch)
    return tuple(
        Wheel(
            file=one.file,
            sha256=blob.digest.hex,
            size=blob.size,
            name=one.name,
            version=one.version,
            index=alias,
            via=one.via,
        )
        for one, blob in zip(chosen, blobs, strict=True)
    )


def _used(
    bench: Workbench, sdists: Sequence[Sdist], chosen: Sequence[ResolvedWheel]
) -> tuple[Sdist, ...]:
    """The sdists whose wheels the resolver took, with who asked for them."""
    via = {one.file: one.via for one in chosen}
    for one in sdists:
        if one.wheel not in via:
            bench.progress.note(
                f"note: {one.file} was built, but the resolver took something else; "
                "narrow its entry in python.sdists, or remove it"
            )
    return tuple(
        one.model_copy(update={"via": via[one.wheel]}) for one in sdists if one.wheel in via
    )
