"""Serving a pipeline: the server folder of its package, set to the weights that are locked."""

from collections.abc import Mapping
from contextlib import ExitStack
from os.path import lexists
from pathlib import Path

from hps.build.running import Mount
from hps.build.weights_tree import tree_name, weights_tree
from hps.build.workbench import Workbench
from hps.config import pipeline_config
from hps.config.chosen import WEIGHTS_FOLDER
from hps.errors import LockError, UsageError
from hps.lock.records import LockedPipeline, LockedTarget

APP = "/app"  # where the launcher of an image finds a package
CONFIGURATION = "pipeline_config.yaml"


def locked_pipeline(locked: LockedTarget, name: str) -> LockedPipeline:
    """A pipeline of a target as it is locked; raises UsageError."""
    found = next((one for one in locked.pipelines if one.name == name), None)
    if found is None:
        raise UsageError(
            f"hps.lock has no pipeline {name} for {locked.name}",
            expected=f"one of: {', '.join(one.name for one in locked.pipelines) or 'none'}",
            got=name,
            hint=f"declare [pipelines.{name}] in hps.toml, then `hps lock`",
        )
    return found


def weights_mounts(
    bench: Workbench, locked: LockedTarget, pipeline: LockedPipeline, held: ExitStack
) -> tuple[Mount, ...]:
    """What has to be shown in the image for a pipeline: the weights that it does not hold.

    As long as `held` is open, no collection removes them, whatever is locked meanwhile.
    """
    baked = {one.name for one in locked.baked()}
    names = sorted({name for _, name in pipeline.modules} - baked)
    mounts = []
    with bench.store.session():  # no collection until the trees are held
        for name in names:
            tree = weights_tree(bench, locked, name)
            held.enter_context(bench.store.hold_tree(tree_name(locked.files_of(name))))
            mounts.append(Mount(tree, f"{WEIGHTS_FOLDER}/{name}"))
    return tuple(mounts)


def model_folders(locked: LockedTarget, pipeline: LockedPipeline) -> dict[str, tuple[str, str]]:
    """By module, the name of its model and the folder of its files inside the image."""
    models = {one.name: one.model for one in locked.weights}
    if missing := sorted({name for _, name in pipeline.modules} - models.keys()):
        raise LockError(f"hps.lock holds no weights {missing[0]}", hint="hps lock")
    return {module: (models[name], f"{WEIGHTS_FOLDER}/{name}") for module, name in pipeline.modules}


def unpack_server(bench: Workbench, pipeline: str, package: Path, folder: Path) -> None:
    """Copy the server folder of a package, a folder or a .tar.gz, to an empty folder.

    Each file must be what the package's manifest says. Where the project has a policy, the
    manifest must be signed as that asks.

    Raises:
        UsageError: it is no package, or one of another pipeline, or the policy cannot be read.
        IntegrityError: it is not what its manifest says, or not trusted.
        UnsafeArchiveError: the archive holds what none may hold.
    """
    # What verifies takes time to load, and most runs name no package.
    from hps.build.served_package import copy_server  # noqa: PLC0415
    from hps.trust.policy_file import POLICY, read_policy  # noqa: PLC0415

    policy = bench.project.root / POLICY
    copy_server(package, folder, pipeline, read_policy(policy) if lexists(policy) else None)


def set_weights(
    folder: Path,
    given: Mapping[str, tuple[str, str]],
    own: pipeline_config.Document | None = None,
) -> None:
    """Write into the configuration of a server folder where the files of its models are.

    Args:
        folder: of the server.
        given: by module, see `model_folders`.
        own: the configuration of hps.toml, where it names one; else that of the folder is used.

    Raises:
        ConfigError: it cannot be read, or has other modules.
    """
    path = folder / CONFIGURATION
    document = own or pipeline_config.read(path.read_bytes(), CONFIGURATION)
    made = pipeline_config.write(pipeline_config.with_weights(document, given))
    path.unlink()
    path.write_bytes(made)
    for one in (folder, *folder.rglob("*")):  # for the user of a container, whatever the umask
        one.chmod(0o755 if one.is_dir() or one.stat().st_mode & 0o100 else 0o644)
