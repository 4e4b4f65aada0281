"""The verb lock: resolve, fetch, make the planned layers, and write down what they come out as.

The order is forced by what needs what: Debian packages give the C library and the interpreter,
the interpreter builds the sdists, both decide which wheels fit, and all of them make the layers.
Resolving the wheels takes longest. It begins at once, with what the old lock lets expect of the
others, and begins anew should they come out differently.
"""

import base64
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement as ParsedRequirement
from packaging.utils import canonicalize_name

from hps.build.conflicts import check_conflicts
from hps.build.debs import choose_debs, glibc
from hps.build.functions import functions_of
from hps.build.graph import Graph, PlannedLayer
from hps.build.healing import healing
from hps.build.image import check_wheels, index_lines, realise
from hps.build.kept import asked_for, check_upgraded, keeps_debs, keeps_python
from hps.build.platforms import differing, earlier
from hps.build.resolvers import Choice, Chooser, chooser, with_resolvers
from hps.build.workbench import Workbench
from hps.config.chosen import chosen_pipelines, unused_weights
from hps.config.platforms import base_name
from hps.config.schema import Config
from hps.config.target import Target
from hps.derivation.record import Step
from hps.derivation.scheduler import Outputs
from hps.digest import Digest
from hps.errors import LockError
from hps.lock.base_image import asked_for_in, provided
from hps.lock.python import Name, PythonRequest, Requirement, ResolvedWheel
from hps.lock.records import (
    Layer,
    Lock,
    LockedTarget,
    Package,
    Resolver,
    Sdist,
    Wheel,
)
from hps.store.request import NewRequest, PythonOrigin

_GLIBC = re.compile(r"(\d+)\.(\d+)")


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


def make_lock(
    bench: Workbench,
    names: Sequence[str],
    old: Lock | None,
    upgrade: Upgrade,
    choice: Choice = Choice(),  # noqa: B008 - it cannot be changed
) -> Lock:
    """Lock these targets anew and keep the others as they are.

    Args:
        bench: the tools.
        names: of the targets.
        old: the lock that there is.
        upgrade: whose versions are not kept.
        choice: who chooses Python packages. Where pip-tools does, what it runs in is locked.

    Raises:
        UsageError: a package to upgrade is in none of them.
        ResolutionError, ConflictError: what hps.toml asks for cannot be had together.
        FetchError, IntegrityError: an artifact could not be fetched, or is not what it should be.
        BuildError: a layer could not be made.
    """
    if upgrade.packages:
        _check_upgraded(bench, names, old, upgrade)
    locked: dict[str, LockedTarget] = {}
    by = {one.name: old.resolver_of(one) for one in old.targets} if old else {}
    latest: dict[Name, Resolver] = {}
    if old is not None and dict(old.functions) != functions_of(old.targets):
        # The layers of all of them are other ones now; what was never locked stays so.
        known = {*names, *(target.name for target in old.targets)}
        names = tuple(name for name in bench.project.config.targets if name in known)
    _require_files(bench, names)
    with bench.store.session(), ExitStack() as held:
        for name in names:
            before = earlier(old, locked, name, bench.project.target(name).platform)
            some = bool(upgrade.packages)
            who = chooser(bench, name, old, choice, some_upgraded=some, held=held)
            work = partial(_lock_target, bench, name, before, upgrade, who)
            locked[name], by[name] = healing(bench, work)
            latest[by[name].name] = by[name]
    kept = {target.name: target for target in old.targets} if old else {}
    found = ((kept | locked).get(name) for name in bench.project.config.targets)
    resolver, targets = with_resolvers(
        tuple(target for target in found if target is not None), by.__getitem__, latest
    )
    if resolver is None:
        raise LockError("there is nothing to lock")
    if note := unused_note(bench.project.config):
        bench.progress.note(note)
    for line in differing(targets):
        bench.progress.note(f"note: {line}")
    return Lock(
        resolver=resolver,
        source_date_epoch=bench.project.config.lock.source_date_epoch,
        functions=functions_of(targets),
        targets=targets,
    )


def _require_files(bench: Workbench, names: Sequence[str]) -> None:
    """Files that somebody has to bring are asked for before any work is done."""
    targets = [bench.project.target(name) for name in names]
    if any(one.files or any(not archive.wheel for archive in one.archives) for one in targets):
        from hps.build.archives import require_files  # noqa: PLC0415 - see _sdists

        require_files(bench, names)


def unused_note(config: Config) -> str | None:
    """What to tell of weights that hps.toml names and that are not locked, if there are any."""
    names = unused_weights(config)
    if not names:
        return None
    return (
        f"note: the weights {', '.join(names)} are not locked: no pipeline of a target uses them; "
        "name them in `weights` of [pipelines.NAME], or remove them from hps.toml"
    )


def _check_upgraded(
    bench: Workbench, names: Sequence[str], old: Lock | None, upgrade: Upgrade
) -> None:
    """Of a target that was never locked nobody knows what it will hold: then nothing is refused."""
    targets = [target for name in names if (target := old.target(name) if old else None)]
    if len(targets) < len(names):
        return
    asked: set[str] = set()
    for name in names:
        lines = [line.text for line in bench.project.requirements(name)]
        asked |= asked_for(bench.project.target(name), lines)
    check_upgraded(upgrade.packages, targets, asked)


def _lock_target(
    bench: Workbench,
    name: str,
    old: LockedTarget | None,
    upgrade: Upgrade,
    who: Chooser,
    _healed: bool,
) -> tuple[LockedTarget, Resolver]:
    config = bench.project.target(name)
    kept = None if upgrade.everything else old
    expected = _expected(bench, name, old, upgrade, who)
    with who.resolver.expecting(expected) as resolve_python:
        target = _debian(bench, name, old, upgrade)
        if expected:
            target = _with_files(bench, target, old, upgrade)
        inputs = dict(target.inputs)
        resolver = who.before
        asked = None if who.anew else kept
        if asked and resolver and keeps_python(asked, inputs, upgrade.packages, target.glibc):
            target = target.model_copy(update={"wheels": asked.wheels, "sdists": asked.sdists})
        else:
            sdists = _sdists(bench, target, old, upgrade, who)
            bench.progress.note(f"{name}: resolving Python packages")
            request = _python_packages(bench, target, old, upgrade, sdists, who=who)
            chosen = resolve_python(request)
            resolver = chosen.resolver
            target = _with_python(bench, target, sdists, chosen.wheels)
    if not expected:  # what cannot be resolved is told before a long download
        target = _with_files(bench, target, old, upgrade)
    if chosen_pipelines(bench.project.config, name):
        from hps.build.weights import with_weights  # noqa: PLC0415 - YAML takes time to load

        target = with_weights(bench, target, kept)
    return _with_layers(bench, target, config, old), resolver


def _expected(
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
    return _python_packages(bench, old.model_copy(update=facts), old, upgrade, old.sdists, who=who)


def _debian(
    bench: Workbench, name: str, old: LockedTarget | None, upgrade: Upgrade
) -> LockedTarget:
    """The target with its Debian packages, and nothing else yet."""
    config = bench.project.target(name)
    inputs = bench.project.inputs(name)
    base = None
    if config.base is not None:
        from hps.build.base import lock_base  # noqa: PLC0415 - most targets have none

        base = lock_base(bench, name, config, None if upgrade.everything else old)
    if old and not upgrade.everything and keeps_debs(old, dict(inputs), upgrade.packages):
        debs, build_debs = old.debs, old.build_debs
    else:
        if base is not None:
            bench.fetch(name, base.artifacts())
        if config.debian is not None:
            bench.progress.note(f"{name}: resolving Debian packages")
        before = {deb.name: deb.version for deb in (*old.debs, *old.build_debs)} if old else {}
        debs, build_debs = choose_debs(bench, config, before, upgrade.choice(), base)
    return LockedTarget(
        name=name,
        platform=config.platform,
        python_version=config.python_version,
        glibc=glibc(debs, base),
        debs=debs,
        build_debs=build_debs,
        inputs=inputs,
        base=base,
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


def _with_files(
    bench: Workbench, target: LockedTarget, old: LockedTarget | None, upgrade: Upgrade
) -> LockedTarget:
    """The target with its archives and plain files, fetched."""
    from hps.build.archives import lock_archives  # noqa: PLC0415 - see _sdists

    config = bench.project.target(target.name)
    archives, files = lock_archives(bench, target, config, old, upgrade.names)
    return target.model_copy(update={"archives": archives, "files": files})


def _sdists(
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


def _python_packages(
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


def _with_python(
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
    new = [one for one in chosen if one.file not in built and one.name not in again]
    update = {
        "wheels": locked_wheels(bench, index, new),
        "sdists": _used(bench, sdists, chosen),
        "base": asked_for_in(target.base, again),
    }
    return target.model_copy(update=update)


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


def _with_layers(
    bench: Workbench, target: LockedTarget, config: Target, old: LockedTarget | None
) -> LockedTarget:
    """Make every planned layer and record what it came out as."""
    epoch = bench.project.config.lock.source_date_epoch
    graph = Graph(target, config, epoch)
    base = [graph.base] if graph.base else []
    done = realise(bench, target, [layer.step for layer in graph.layers] + base)
    check_wheels(target, graph, done)
    if config.device == "gpu":
        from hps.build.stack import check_stack  # noqa: PLC0415 - most targets have none

        check_stack(bench, target, config, graph.layers, done)
    if old is not None and _same_layers(old, target, graph.layers, done):
        return target.model_copy(update={"layers": old.layers})
    indexes = [(layer.name, done[layer.step]["index"]) for layer in graph.layers]
    below = done[graph.base]["index"] if graph.base else None
    check_conflicts(bench, indexes, config.keep, below)
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
    keep = f"targets.{base_name(target.name)}.keep"
    before = [(one.name, one.kind, one.members, one.diff_id) for one in old.layers]
    now = [(one.name, one.kind, one.members, done[one.step]["layer"].digest.hex) for one in plan]
    same = (old.base and old.base.layers) == (target.base and target.base.layers)
    return same and before == now and dict(old.inputs).get(keep) == dict(target.inputs).get(keep)


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
