"""The verb lock: resolve, fetch, make the planned layers, and write down what they come out as.

The order is forced by what needs what: Debian packages give the C library and the interpreter,
the interpreter builds the sdists, both decide which wheels fit, and all of them make the layers.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement as ParsedRequirement
from packaging.utils import canonicalize_name

from hps.build.archives import lock_archives, lock_files
from hps.build.conflicts import check_conflicts
from hps.build.functions import FUNCTIONS
from hps.build.graph import Graph, PlannedLayer
from hps.build.healing import healing
from hps.build.image import check_wheels, index_lines, realise
from hps.build.kept import keeps_debs, keeps_python
from hps.build.sdists import SdistLocker, find_links, narrowed
from hps.build.workbench import Workbench
from hps.build.writing import scratch
from hps.config.schema import DebianSource, Target
from hps.derivation.record import Step
from hps.derivation.scheduler import Outputs
from hps.digest import Digest
from hps.errors import LockError, OfflineError
from hps.lock.apt import Suite
from hps.lock.debian import DebianArchive, PackageSet, archive_of, resolve_debs
from hps.lock.python import PythonRequest, Requirement, ResolvedWheel, resolve
from hps.lock.records import (
    Deb,
    Layer,
    Lock,
    LockedTarget,
    Package,
    Resolver,
    Sdist,
    Wheel,
)
from hps.store.debian_archive import expand
from hps.store.request import NewRequest, PythonOrigin

_ARCHITECTURES = {"linux/amd64": "amd64", "linux/arm64": "arm64"}
_GLIBC = re.compile(r"(\d+)\.(\d+)")
# What every image needs to be one: the skeleton of the file system, its users, the loader.
_ALWAYS = ("base-files", "base-passwd", "libc-bin")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Which pins of the old lock are not kept: all, or those of some packages."""

    everything: bool = False
    packages: frozenset[str] = frozenset()

    def choice(self) -> Literal["none", "all"] | frozenset[str]:
        """In the words of the resolvers."""
        return "all" if self.everything else (self.packages or "none")

    def names(self, project: str) -> bool:
        """Whether a Python project is chosen anew, however its name is spelled."""
        asked = {canonicalize_name(name) for name in self.packages}
        return self.everything or canonicalize_name(project) in asked


def make_lock(bench: Workbench, names: Sequence[str], old: Lock | None, upgrade: Upgrade) -> Lock:
    """Lock these targets anew and keep the others as they are.

    Raises:
        ResolutionError, ConflictError: what hps.toml asks for cannot be had together.
        FetchError, IntegrityError: an artifact could not be fetched, or is not what it should be.
        BuildError: a layer could not be made.
    """
    locked: dict[str, LockedTarget] = {}
    resolver: Resolver | None = old.resolver if old else None
    if old is not None and dict(old.functions) != FUNCTIONS:
        names = tuple(bench.project.config.targets)  # the layers of all of them are other ones now
    with bench.store.session():
        for name in names:
            before = old.target(name) if old else None
            work = partial(_lock_target, bench, name, before, upgrade, resolver)
            locked[name], resolver = healing(bench, work)
    kept = {target.name: target for target in old.targets} if old else {}
    targets = [(kept | locked).get(name) for name in bench.project.config.targets]
    if resolver is None:
        raise LockError("there is nothing to lock")
    return Lock(
        resolver=resolver,
        source_date_epoch=bench.project.config.lock.source_date_epoch,
        functions=FUNCTIONS,
        targets=tuple(target for target in targets if target is not None),
    )


def _lock_target(
    bench: Workbench,
    name: str,
    old: LockedTarget | None,
    upgrade: Upgrade,
    resolver: Resolver | None,
    _healed: bool,
) -> tuple[LockedTarget, Resolver]:
    config = bench.project.target(name)
    inputs = bench.project.inputs(name)
    kept = None if upgrade.everything else old
    if kept is not None and keeps_debs(kept, dict(inputs), upgrade.packages):
        debs, build_debs = kept.debs, kept.build_debs
    else:
        bench.progress.note(f"{name}: resolving Debian packages")
        debs, build_debs = _debs(bench, config, old, upgrade)
    target = LockedTarget(
        name=name,
        platform=config.platform,
        python_version=config.python_version,
        glibc=glibc(debs),
        debs=debs,
        build_debs=build_debs,
        inputs=inputs,
    )
    if kept and resolver and keeps_python(kept, dict(inputs), upgrade.packages, target.glibc):
        target = target.model_copy(update={"wheels": kept.wheels, "sdists": kept.sdists})
    else:
        target, resolver = _python(bench, target, config, old=old, upgrade=upgrade)
    target = target.model_copy(
        update={
            "archives": lock_archives(bench, target, config, old, upgrade.names),
            "files": lock_files(bench, config),
        }
    )
    return _with_layers(bench, target, config, old), resolver


def _build_wheels(
    bench: Workbench, target: LockedTarget, config: Target, requirements: Sequence[Requirement]
) -> tuple[Wheel, ...]:
    """Build dependencies of an sdist, resolved like all others and fetched."""
    chosen = resolve(python_request(bench, target, config, requirements)).wheels
    return locked_wheels(bench, config.python.index, chosen)


def _debs(
    bench: Workbench, config: Target, old: LockedTarget | None, upgrade: Upgrade
) -> tuple[tuple[Deb, ...], tuple[Deb, ...]]:
    """The packages of the image, and those that only the build environment has."""
    if bench.offline:
        raise OfflineError(
            "choosing Debian packages asks their archive, and nothing may be fetched",
            hint="leave out --offline; what hps.toml did not change is kept without asking anyone",
        )
    wanted = {*config.debian.packages, *_ALWAYS, f"python{config.python_version}"}
    before = {deb.name: deb.version for deb in (*old.debs, *old.build_debs)} if old else {}
    image = PackageSet(tuple(sorted(wanted)), preferences=before, upgrade=upgrade.choice())
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


def python_request(
    bench: Workbench, target: LockedTarget, config: Target, requirements: Sequence[Requirement]
) -> PythonRequest:
    """A request to the Python resolver for what fits a target."""
    major, minor = target.glibc.split(".")
    return PythonRequest(
        requirements=tuple(requirements),
        python_version=target.python_version,
        glibc=(int(major), int(minor)),
        index_url=bench.origins.python_index(config.python.index),
        platform=target.platform,
        as_of=bench.project.config.lock.as_of,
        prerelease=config.python.prerelease,
        offline=bench.offline,
    )


def _python(
    bench: Workbench,
    target: LockedTarget,
    config: Target,
    *,
    old: LockedTarget | None,
    upgrade: Upgrade,
) -> tuple[LockedTarget, Resolver]:
    """The target with its Python packages chosen; sdists are built for that."""
    locker = SdistLocker(bench, target, config, partial(_build_wheels, bench, target, config))
    lines = bench.project.requirements(target.name)
    sdists = [
        locker.lock(
            narrowed(text, [line.text for line in lines]),
            None if upgrade.names(ParsedRequirement(text).name) else old,
        )
        for text in sorted(config.python.sdists)
    ]
    bench.progress.note(f"{target.name}: resolving Python packages")
    asked = [Requirement(line.text, Path(line.file).name) for line in lines]
    packages: tuple[Package, ...] = (*old.wheels, *old.sdists) if old else ()
    with scratch(bench.store) as folder:
        request = replace(
            python_request(bench, target, config, asked),
            preferences={one.name: one.version for one in packages},
            upgrade=upgrade.choice(),
            find_links=find_links(bench, sdists, folder),
        )
        resolution = resolve(request)
    chosen = resolution.wheels
    wheels = _wheels(bench, config, chosen, {one.wheel for one in sdists})
    update = {"wheels": wheels, "sdists": _used(bench, sdists, chosen)}
    return target.model_copy(update=update), resolution.resolver


def _wheels(
    bench: Workbench, config: Target, chosen: Sequence[ResolvedWheel], built: set[str]
) -> tuple[Wheel, ...]:
    """Locked wheels; sizes that the index did not tell come from the files themselves."""
    return locked_wheels(bench, config.python.index, [w for w in chosen if w.file not in built])


def locked_wheels(
    bench: Workbench, alias: str, chosen: Sequence[ResolvedWheel]
) -> tuple[Wheel, ...]:
    """Records of resolved wheels of one index, fetched."""
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


def _with_layers(
    bench: Workbench, target: LockedTarget, config: Target, old: LockedTarget | None
) -> LockedTarget:
    """Make every planned layer and record what it came out as."""
    epoch = bench.project.config.lock.source_date_epoch
    graph = Graph(target, config, epoch)
    done = realise(bench, target, [layer.step for layer in graph.layers])
    check_wheels(target, graph, done)
    if old is not None and _same_layers(old, target, graph.layers, done):
        return target.model_copy(update={"layers": old.layers})
    indexes = [(layer.name, done[layer.step]["index"]) for layer in graph.layers]
    check_conflicts(bench, indexes, config.keep)
    known = {layer.diff_id: layer.paths for layer in old.layers} if old else {}
    layers = tuple(_layer(bench, layer, done[layer.step], known) for layer in graph.layers)
    return target.model_copy(update={"layers": layers})


def _same_layers(
    old: LockedTarget,
    target: LockedTarget,
    plan: Sequence[PlannedLayer],
    done: Mapping[Step, Outputs],
) -> bool:
    """Whether the layers are those of the old lock, whose conflicts have been looked for."""
    keep = f"targets.{target.name}.keep"
    before = [(one.name, one.kind, one.members, one.diff_id) for one in old.layers]
    now = [(one.name, one.kind, one.members, done[one.step]["layer"].digest.hex) for one in plan]
    return before == now and dict(old.inputs).get(keep) == dict(target.inputs).get(keep)


def _layer(
    bench: Workbench, planned: PlannedLayer, outputs: Outputs, known: Mapping[str, str]
) -> Layer:
    tar = outputs["layer"]
    lines = index_lines(bench, outputs["index"].digest)
    paths = known.get(tar.digest.hex)
    if paths is None:
        paths = base64.b64encode(b"".join(line.mark for line in lines)).decode()
    return Layer(
        name=planned.name,
        kind=planned.kind,  # type: ignore[arg-type] # one of the kinds, checked by the record
        members=planned.members,
        diff_id=tar.digest.hex,
        size=tar.size,
        entries=len(lines),
        paths=paths,
    )
