"""Locking weights: which files each set has, and which module of a pipeline loads which."""

from collections.abc import Mapping, Sequence

from hps.archive.zip_archive import ZipArchive
from hps.build.workbench import Workbench, archive_name, archive_origin
from hps.build.writing import scratch
from hps.config import pipeline_config
from hps.config.chosen import ChosenPipeline, chosen_pipelines, chosen_weights
from hps.config.fault import spelled
from hps.config.load import read_text
from hps.config.schema import Weights
from hps.digest import Blob, Digest
from hps.errors import BuildError, ConfigError, IntegrityError
from hps.layer.weights import DESCRIPTION, Contents, archive_contents
from hps.lock.records import (
    Artifact,
    LockedPipeline,
    LockedTarget,
    LockedWeights,
    WeightsFile,
)
from hps.store.request import FileOrigin, NewRequest

PADDLEX = "paddlex"
_PIPELINES = "paddlex/configs/pipelines"

_Set = tuple[LockedWeights, tuple[WeightsFile, ...]]


def with_weights(bench: Workbench, target: LockedTarget, old: LockedTarget | None) -> LockedTarget:
    """The target with the weights of its pipelines, fetched and listed file by file.

    Args:
        bench: the tools.
        target: with its Python packages: PaddleX's own configurations come from its wheel.
        old: what was locked before; an archive whose entry means the same is not read again.

    Raises:
        ConfigError: weights and modules of a pipeline do not fit each other.
        FetchError, IntegrityError: an archive could not be fetched, or is another one.
        BuildError: an archive or folder holds no weights, or what none may hold.
    """
    config = bench.project.config
    sets = [_locked(bench, target, name, old) for name in chosen_weights(config, target.name)]
    models = {weights.name: weights.model for weights, _ in sets}
    pipelines = [
        _pipeline(bench, target, one, models) for one in chosen_pipelines(config, target.name)
    ]
    return target.model_copy(
        update={
            "weights": tuple(weights for weights, _ in sets),
            "weights_files": tuple(file for _, files in sets for file in files),
            "pipelines": tuple(pipelines),
        }
    )


def _locked(bench: Workbench, target: LockedTarget, name: str, old: LockedTarget | None) -> _Set:
    settings = bench.project.config.weights[name]
    if settings.directory is not None:
        return _folder(bench, name, settings)
    kept = _kept(target, name, old)
    if kept is not None:
        return kept[0].model_copy(update={"licence": settings.licence}), kept[1]
    return _archive(bench, name, settings)


def _kept(target: LockedTarget, name: str, old: LockedTarget | None) -> _Set | None:
    """What was locked, when hps.toml still says the same of where it is and what it is."""
    now, before = dict(target.inputs), dict(old.inputs) if old else {}
    keys = [spelled(("weights", name)), spelled(("weights", name, "model"))]
    found = next((one for one in old.weights if one.name == name), None) if old else None
    if old is None or found is None or found.archive is None:
        return None
    same = all(before.get(key) == now.get(key) for key in keys)
    return (found, old.files_of(name)) if same else None


def _archive(bench: Workbench, name: str, settings: Weights) -> _Set:
    file = archive_name(name, settings)
    request = NewRequest(
        file=file,
        origin=archive_origin(bench.project.root, settings),
        digest=Digest(settings.sha256) if settings.sha256 else None,
    )
    watch = bench.progress.fetching([(file, 0)])
    blob = bench.fetcher.fetch_new([request], watch)[0]
    with scratch(bench.store) as spool:
        contents = archive_contents(bench.store.path(blob.digest), file, name, spool)
    archive = Artifact(file=file, sha256=blob.digest.hex, size=blob.size)
    return _set(name, settings, contents, archive)


def _folder(bench: Workbench, name: str, settings: Weights) -> _Set:
    """A folder of the project; its files go into the store, where nobody edits them."""
    contents = bench.project.weights(name)
    weights, files = _set(name, settings, contents, None)
    requests = [
        NewRequest(
            file=file.file,
            origin=FileOrigin(paths=(bench.project.root / str(settings.directory) / file.path,)),
            digest=file.digest,
            size=file.size,
        )
        for file in files
    ]
    watch = bench.progress.fetching([(one.file, one.size) for one in files])
    _check_read(files, bench.fetcher.fetch_new(requests, watch))
    return weights, files


def _check_read(files: Sequence[WeightsFile], blobs: Sequence[Blob]) -> None:
    for file, blob in zip(files, blobs, strict=True):
        if (blob.digest, blob.size) != (file.digest, file.size):
            raise IntegrityError(
                f"{file.name} changed while it was read", expected=file.digest, got=blob.digest
            )


def _set(name: str, settings: Weights, contents: Contents, archive: Artifact | None) -> _Set:
    weights = LockedWeights(
        name=name,
        model=_model(name, settings, contents.description),
        licence=settings.licence,
        archive=archive,
        root=contents.root or None,
    )
    files = []
    for one in contents.files:
        folder, _, file = one.path.rpartition("/")
        files.append(
            WeightsFile(
                file=file,
                sha256=one.digest.hex,
                size=one.size,
                weights=name,
                folder=folder or None,
            )
        )
    return weights, tuple(files)


def _model(name: str, settings: Weights, description: bytes) -> str:
    """PaddleX's name of a model: PaddleX refuses weights that are called otherwise."""
    told: object = None
    if description:
        document = pipeline_config.read_description(description, f"{DESCRIPTION} of {name}")
        told = document.get("model_name")
    if isinstance(told, str) and settings.model not in {None, told}:
        raise ConfigError(
            f"weights.{name}.model: its {DESCRIPTION} names another model",
            expected=told,
            got=settings.model,
            hint="leave `model` out",
        )
    return settings.model or (told if isinstance(told, str) else name)


def _pipeline(
    bench: Workbench, target: LockedTarget, chosen: ChosenPipeline, models: Mapping[str, str]
) -> LockedPipeline:
    document = configuration(bench, target, chosen.name)
    settings = chosen.settings
    try:
        modules = pipeline_config.assign(
            document, named=settings.modules, found=settings.weights, models=models
        )
    except ConfigError as error:
        raise ConfigError(
            f"pipelines.{chosen.name}: {error.message}",
            details=error.details,
            got=error.got,
            hint=error.hint,
        ) from error
    for module in pipeline_config.modules(document):
        if module.path not in modules:
            bench.progress.note(
                f"note: {chosen.name} has no weights for {module.path} ({module.model}); it can "
                "only run with that module switched off"
            )
    return LockedPipeline(
        name=chosen.name, delivery=chosen.delivery, modules=tuple(modules.items())
    )


def configuration(
    bench: Workbench, target: LockedTarget, pipeline: str
) -> pipeline_config.Document:
    """The configuration of a pipeline: the project's own, or the one in the locked PaddleX.

    Raises:
        ConfigError: there is none, or it cannot be used.
    """
    settings = bench.project.config.pipelines.get(pipeline)
    if settings is not None and settings.config is not None:
        text = read_text(bench.project.root / settings.config, hint="correct `config` in hps.toml")
        return pipeline_config.read(text.encode(), settings.config)
    wheel = next((one for one in target.wheels if one.name == PADDLEX), None)
    if wheel is None:
        raise ConfigError(
            f"pipelines.{pipeline}: the target {target.name} has no PaddleX, whose configuration "
            "it could take",
            hint="require paddlex, or name a configuration of your own with `config`",
        )
    bench.fetch(target.name, [wheel])
    return default_configuration(
        ZipArchive(bench.store.path(wheel.digest), wheel.file), wheel.file, pipeline
    )


def default_configuration(
    archive: ZipArchive, file: str, pipeline: str
) -> pipeline_config.Document:
    """The configuration of a pipeline in a wheel of PaddleX; raises ConfigError."""
    members = {member.name: member for member in archive.members}
    member = members.get(f"{_PIPELINES}/{pipeline}.yaml")
    if member is None:
        names = [name.rpartition("/")[2] for name in members if name.startswith(f"{_PIPELINES}/")]
        known = sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))
        raise ConfigError(
            f"pipelines.{pipeline}: PaddleX has no pipeline of this name",
            expected=", ".join(known) or "a configuration in the wheel",
            got=pipeline,
            hint="correct the name, or name a configuration of your own with `config`",
        )
    if member.size > pipeline_config.LIMIT:
        raise BuildError(f"{file}: {member.name} is too large", got=f"{member.size} bytes")
    return pipeline_config.read(archive.read(member, pipeline_config.LIMIT), member.name)
