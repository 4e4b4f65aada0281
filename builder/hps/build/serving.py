"""Serving a pipeline: the server folder of its package, set to the weights that are locked."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hps.build.running import Mount
from hps.build.weights_tree import weights_tree
from hps.build.workbench import Workbench
from hps.config import pipeline_config
from hps.config.chosen import WEIGHTS_FOLDER
from hps.errors import BuildError, LockError, StoreError, UsageError
from hps.lock.records import LockedPipeline, LockedTarget

APP = "/app"  # where the launcher of an image finds a package
CONFIGURATION = "pipeline_config.yaml"
_SERVER = "server"
_LIMIT = 64 << 20  # bytes of a server folder; PaddleX's have some 10 kB
_FILES = 1000


@dataclass(frozen=True, slots=True)
class _Server:
    """The copy rule that takes the server folder out of a package (`hps.layer.archive.Rule`)."""

    from_: str = _SERVER
    to: str = APP
    executable: bool | None = None
    exclude: tuple[str, ...] = ()


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
    bench: Workbench, locked: LockedTarget, pipeline: LockedPipeline
) -> tuple[Mount, ...]:
    """What has to be shown in the image for a pipeline: the weights that it does not hold."""
    baked = {one.name for one in locked.baked()}
    names = sorted({name for _, name in pipeline.modules} - baked)
    return tuple(
        Mount(weights_tree(bench, locked, name), f"{WEIGHTS_FOLDER}/{name}") for name in names
    )


def model_folders(locked: LockedTarget, pipeline: LockedPipeline) -> dict[str, tuple[str, str]]:
    """By module, the name of its model and the folder of its files inside the image."""
    models = {one.name: one.model for one in locked.weights}
    if missing := sorted({name for _, name in pipeline.modules} - models.keys()):
        raise LockError(f"hps.lock holds no weights {missing[0]}", hint="hps lock")
    return {module: (models[name], f"{WEIGHTS_FOLDER}/{name}") for module, name in pipeline.modules}


def unpack_server(package: Path, folder: Path) -> None:
    """Copy the server folder of a package, a folder or a .tar.gz, to an empty folder.

    Raises:
        UsageError: it is no package.
        UnsafeArchiveError: the archive holds what none may hold.
    """
    source = package / _SERVER if (package / _SERVER).is_dir() else package
    if (source / CONFIGURATION).is_file():
        _copy(source, folder)
        return
    if not package.is_file():
        raise _no_package(package)
    _unpack(package, folder)
    if not (folder / CONFIGURATION).is_file():
        raise _no_package(package)


def _copy(source: Path, folder: Path) -> None:
    from hps.layer.tree import tree_entries  # noqa: PLC0415 - only who serves a package needs it

    entries = tree_entries(source, APP, ("__pycache__",), owner=source.name)
    if sum(entry.size for entry in entries) > _LIMIT or len(entries) > _FILES:
        raise _no_package(source)
    try:
        shutil.copytree(
            source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    except (OSError, shutil.Error) as error:
        raise StoreError(f"{source} cannot be copied to {folder}", got=error) from error


def _unpack(package: Path, folder: Path) -> None:
    from hps.archive.paths import Limits  # noqa: PLC0415
    from hps.layer.archive import archive_entries  # noqa: PLC0415 - likewise

    limits = Limits(files=_FILES, size=_LIMIT)
    spool = folder / ".spool"
    spool.mkdir()
    try:
        entries = archive_entries(
            package, package.name, "package", [_Server()], 1, spool, limits=limits
        )
        for entry in entries:
            place = folder / entry.path.removeprefix(APP.lstrip("/")).lstrip("/")
            if entry.kind == "directory":
                place.mkdir(parents=True, exist_ok=True)
            elif entry.kind == "file" and entry.open is not None:
                place.parent.mkdir(parents=True, exist_ok=True)
                with entry.open() as reader, place.open("wb") as written:
                    shutil.copyfileobj(reader, written)
                place.chmod(entry.permissions)
            else:
                raise BuildError(f"{package.name} holds a link: {entry.path}", got=entry.link)
    except OSError as error:
        raise StoreError(f"{package.name} cannot be unpacked to {folder}", got=error) from error
    finally:
        shutil.rmtree(spool)


def _no_package(package: Path) -> UsageError:
    return UsageError(
        f"{package} is no package of a pipeline",
        expected=f"a folder or .tar.gz with {_SERVER}/{CONFIGURATION}, as `hps assemble` makes it",
    )


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
