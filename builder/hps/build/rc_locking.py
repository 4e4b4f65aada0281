"""`hps lock` where pip-tools chooses: what pip-compile runs in is locked, and written, before."""

from collections.abc import Sequence

from hps.build.functions import functions_of
from hps.build.kept import Upgrade
from hps.build.locking import make_lock
from hps.build.resolvers import Choice, collectors
from hps.build.workbench import Workbench
from hps.lock.records import Lock
from hps.lock.stale import changes


def lock_targets(
    bench: Workbench, names: Sequence[str], old: Lock | None, upgrade: Upgrade, choice: Choice
) -> Lock:
    """Lock targets, and before them the requirement collection images that pip-tools needs.

    Those that are locked as hps.toml asks stay as they are, unless they are named and all is to be
    upgraded; uv chooses for them. hps.lock is written with them first: they are built from it.

    Args:
        bench: the tools.
        names: of the targets.
        old: the lock that there is.
        upgrade: whose versions are not kept.
        choice: who chooses Python packages.

    Raises:
        LockError: hps.toml has no requirement collection image for one of the targets.
        HpsError: as `make_lock` and `build` do.
    """
    needed = collectors(bench, names, old, choice)
    first = [
        name
        for name in needed
        if not _is_fresh(bench, old, name) or (upgrade.everything and name in names)
    ]
    if first:
        bench.progress.note(f"locking {', '.join(first)} first: pip-tools runs there")
        old = make_lock(bench, first, old, Upgrade(everything=upgrade.everything))
        bench.project.write_lock(old)
    return make_lock(bench, [name for name in names if name not in first], old, upgrade, choice)


def _is_fresh(bench: Workbench, old: Lock | None, name: str) -> bool:
    locked = old.target(name) if old else None
    return (
        old is not None
        and locked is not None
        and dict(old.functions) == functions_of(old.targets)
        and not changes(locked.inputs, bench.project.inputs(name))
    )
