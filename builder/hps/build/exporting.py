"""What a machine without a network needs to build targets: the artifacts of their lock, no more."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from hps.build.redistribution import leaving
from hps.build.workbench import Workbench, artifacts
from hps.digest import Blob
from hps.errors import UsageError
from hps.lock.stale import fresh_target
from hps.store.export_manifest import Exported, Manifest
from hps.store.export_write import Progress, Written, is_archive, write_archive, write_folder


@dataclass(frozen=True, slots=True)
class Export:
    """An export that is about to be written.

    Args:
        manifest: what it will hold.
        named: artifacts in it that may not be redistributed and were asked for by name.
    """

    manifest: Manifest
    named: tuple[str, ...]


def plan(bench: Workbench, names: Sequence[str], include: Collection[str] = ()) -> Export:
    """Decide what an export of targets holds, and fetch what the store lacks of it.

    Args:
        bench: the tools.
        names: of targets, each for one platform.
        include: artifacts that may not be redistributed and are asked for by name.

    Raises:
        LockStaleError: hps.lock is not what hps.toml means today.
        NotRedistributableError: something may not be handed on, and was not asked for by name.
        UsageError: a name of `include` binds nothing in any of the targets.
        FetchError: something is missing and cannot be fetched; raises as `Workbench.fetch`.
    """
    lock, config = bench.project.require_lock(), bench.project.config
    targets = [fresh_target(lock, name, bench.project.inputs(name)) for name in names]
    known = {target.name: {one.name for one in leaving(config, target).stays} for target in targets}
    for asked in include:
        if not any(asked in each for each in known.values()):
            raise UsageError(
                f"--include {asked}: nothing that may not be redistributed is called so",
                expected=f"one of: {', '.join(sorted(set().union(*known.values()))) or 'nothing'}",
                hint="leave it out, or name a target that has it",
            )
    named: dict[str, None] = {}
    for target in targets:
        decided = leaving(config, target, [one for one in include if one in known[target.name]])
        decided.require(f"exporting {target.name}")
        named |= dict.fromkeys(str(one) for one in decided.named)
    for target in targets:
        bench.fetch(target.name, artifacts(target))
    blobs = [
        Exported(Blob(one.digest, one.size), one.file)
        for target in targets
        for one in artifacts(target)
    ]
    return Export(Manifest.make(config.project.name, names, blobs), tuple(named))


def write(bench: Workbench, export: Export, place: Path, progress: Progress) -> Written:
    """Write an export to a folder, or to a tar where the name ends in .tar.

    Raises:
        UsageError: the folder holds something else.
        StoreError: it cannot be written.
        StoreCorruptError: a blob of the store is damaged; it is set aside.
    """
    writer = write_archive if is_archive(place) else write_folder
    with bench.store.session():
        return writer(bench.store, export.manifest, place, progress)
