"""The verb lock: resolve, fetch, make the planned layers, and write down what they come out as.

The order is forced by what needs what: Debian packages give the C library and the interpreter,
the interpreter builds the sdists, both decide which wheels fit, and all of them make the layers.
Resolving the wheels takes longest. It begins at once, with what the old lock lets expect of the
others, and begins anew should they come out differently.
"""

import base64
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from hps.build.conflicts import check_conflicts
from hps.build.debs import choose_debs, glibc
from hps.build.functions import functions_of
from hps.build.graph import Graph, PlannedLayer
from hps.build.healing import healing
from hps.build.image import realise
from hps.build.kept import Upgrade, asked_for, check_upgraded, keeps_debs, keeps_python
from hps.build.platforms import differing, earlier
from hps.build.proof import check_wheels, index_lines
from hps.build.python_packages import (
    expected_request,
    locked_sdists,
    packages_request,
    with_python,
)
from hps.build.resolvers import Choice, Chooser, chooser, with_resolvers
from hps.build.workbench import Workbench
from hps.config.chosen import chosen_pipelines, unused_weights
from hps.config.platforms import base_name
from hps.config.schema import Config
from hps.config.target import Target
from hps.derivation.record import Step
from hps.derivation.scheduler import Outputs
from hps.errors import LockError
from hps.lock.python import Name
from hps.lock.records import (
    Layer,
    Lock,
    LockedTarget,
    Resolver,
)


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
        from hps.build.archives import require_files  # noqa: PLC0415 - see `locked_sdists`

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
    expected = expected_request(bench, name, old, upgrade, who)
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
            sdists = locked_sdists(bench, target, old, upgrade, who)
            bench.progress.note(f"{name}: resolving Python packages")
            request = packages_request(bench, target, old, upgrade, sdists, who=who)
            chosen = resolve_python(request)
            resolver = chosen.resolver
            target = with_python(bench, target, sdists, chosen.wheels)
    if not expected:  # what cannot be resolved is told before a long download
        target = _with_files(bench, target, old, upgrade)
    if chosen_pipelines(bench.project.config, name):
        from hps.build.weights import with_weights  # noqa: PLC0415 - YAML takes time to load

        target = with_weights(bench, target, kept)
    return _with_layers(bench, target, config, old), resolver


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


def _with_files(
    bench: Workbench, target: LockedTarget, old: LockedTarget | None, upgrade: Upgrade
) -> LockedTarget:
    """The target with its archives and plain files, fetched."""
    from hps.build.archives import lock_archives  # noqa: PLC0415 - see `locked_sdists`

    config = bench.project.target(target.name)
    archives, files = lock_archives(bench, target, config, old, upgrade.names)
    return target.model_copy(update={"archives": archives, "files": files})


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
