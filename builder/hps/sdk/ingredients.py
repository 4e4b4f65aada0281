"""Fetching and reading what packages are made of: the lock, PaddleX's wheel, the project's sdk."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from hps.archive.zip_archive import ZipArchive
from hps.build.workbench import Workbench
from hps.config.load import read_text
from hps.digest import Digest
from hps.errors import ConfigError, LockError
from hps.layer.tree import tree_entries
from hps.lock.environment import environment_digest
from hps.lock.records import Lock, LockedTarget, Wheel
from hps.lock.stale import fresh_target
from hps.sdk.catalogue import Pipeline
from hps.sdk.catalogue_files import FOLDER
from hps.sdk.package import ClientWheel, Environment, Ingredients
from hps.sdk.wheel import Project, wheel

PADDLEX = "paddlex"
_CONFIGS = "paddlex/configs/pipelines/"
_LARGEST = 1 << 20  # bytes of a configuration, a script, a module
_LEFT_OUT = ("__pycache__", "*.pyc", ".*")


def gather(
    bench: Workbench, pipelines: Iterable[Pipeline], *, server: bool, client: bool
) -> Ingredients:
    """All that these packages are made of.

    Args:
        bench: the tools; PaddleX's wheel is fetched when the store lacks it.
        pipelines: whose configurations are needed.
        server: whether server parts are wanted.
        client: whether client parts are.

    Raises:
        LockError: there is no lock, it is stale, or has not exactly one PaddleX.
        FetchError, IntegrityError: the wheel cannot be had, or is not what the lock says.
        ConfigError: a file of the project's sdk is missing or at fault.
    """
    project = bench.project
    lock = project.require_lock()
    targets = _fresh_targets(bench, lock)
    owner, locked = _paddlex(targets)
    sdk = project.root / FOLDER
    files = sorted({one.config_file for one in pipelines}) if server else []
    return Ingredients(
        paddlex=locked.version,
        environments=tuple(
            Environment(
                one.name, project.target(one.name).device, environment_digest(one.layers, one.base)
            )
            for one in targets
        ),
        epoch=lock.source_date_epoch,
        start_script=_start_script(sdk / "common" / "server.sh") if server else None,
        configs=_configs(bench, owner, locked, files) if files else {},
        client=client_wheel(project.root, lock.source_date_epoch) if client else None,
    )


def _fresh_targets(bench: Workbench, lock: Lock) -> list[LockedTarget]:
    names = bench.project.target_names(())
    return [fresh_target(lock, name, bench.project.inputs(name)) for name in names]


def _paddlex(targets: Iterable[LockedTarget]) -> tuple[str, Wheel]:
    """The one PaddleX of a lock, and a target that has it."""
    found: dict[Digest, tuple[str, Wheel]] = {}
    for target in targets:
        for one in target.wheels:
            if one.name == PADDLEX:
                found.setdefault(one.digest, (target.name, one))
    if len(found) != 1:
        raise LockError(
            "packages are made for one PaddleX, and the lock has "
            + (", ".join(sorted(one.file for _, one in found.values())) or "none"),
            hint=f"ask for the same {PADDLEX}==VERSION in every target, then: hps lock",
        )
    return next(iter(found.values()))


def _configs(
    bench: Workbench, target: str, locked: Wheel, files: Iterable[str]
) -> Mapping[str, bytes]:
    """Default configurations from PaddleX's wheel; nothing else of it is read."""
    bench.fetch(target, [locked])
    archive = ZipArchive(bench.store.path(locked.digest), locked.file)
    held = {one.name: one for one in archive.members}
    if missing := [file for file in files if _CONFIGS + file not in held]:
        raise ConfigError(
            f"{locked.file} has no {_CONFIGS}{missing[0]}",
            details=tuple(f"{_CONFIGS}{file} is missing" for file in missing[1:]),
            hint="`config` in pipeline.toml names the file; it may be for another PaddleX",
        )
    return {file: archive.read(held[_CONFIGS + file], _LARGEST) for file in files}


def _start_script(path: Path) -> bytes:
    text = read_text(path, hint="it starts the server of each package")
    if "\r" in text or not text.startswith("#!"):
        raise ConfigError(f"{path} is no script that Linux can start", expected="#! and LF")
    return text.encode()


def client_wheel(root: Path, epoch: int) -> ClientWheel:
    """The wheel of `sdk/hps_client` of a project.

    Args:
        root: of the project, whose LICENSE goes into the wheel.
        epoch: time of every member.

    Raises:
        ConfigError, BuildError: something of it is missing or cannot be in a wheel.
    """
    folder = root / FOLDER / "hps_client"
    settings = folder / "pyproject.toml"
    project = Project.parse(read_text(settings, hint="it describes the client"), str(settings))
    licence = read_text(root / "LICENSE", hint="each wheel carries its licence").encode()
    files = {name: data for one in project.packages for name, data in _sources(folder / one, one)}
    data = wheel(project, files, licence=licence, epoch=epoch)
    return ClientWheel(project.name, project.version, project.wheel_name, data)


def _sources(folder: Path, name: str) -> Iterable[tuple[str, bytes]]:
    for entry in tree_entries(folder, f"/{name}", _LEFT_OUT):
        if entry.kind == "directory":
            continue
        if entry.open is None:
            raise ConfigError(f"{folder} holds a link, {entry.path}", expected="files and folders")
        with entry.open() as file:
            yield entry.path, file.read()
