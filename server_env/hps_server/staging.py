"""A package's model repository, made ready for one start in a folder of its own.

The package stays as it is: it may be read-only, signed, or in use by another server. Which of
config_cpu.pbtxt and config_gpu.pbtxt holds depends on the device; settings go into the copy.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hps_server.pbtxt import PbtxtError, messages, parse, scalar, without

CONFIG = "config.pbtxt"
DEVICES = ("cpu", "gpu")


class StagingError(Exception):
    """The repository cannot be made ready; the message says why."""


@dataclass(frozen=True)
class Placement:
    """Where the models run.

    Args:
        device: `cpu` or `gpu`.
        gpus: their numbers; empty leaves what the package says.
        instances: of each model that holds a pipeline; None leaves what the package says.
    """

    device: str = "cpu"
    gpus: "tuple[int, ...]" = ()
    instances: "int | None" = None


def stage(source: Path, target: Path, placement: Placement) -> None:
    """Copy a package's model_repo to an empty folder and write each model's config.pbtxt.

    Links are copied as links: the judge of the repository refuses those that lead out.

    Raises:
        StagingError: a model has no configuration for the device, or something cannot be copied.
    """
    try:
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        for model in sorted(target.iterdir()):
            if model.is_dir() and not model.is_symlink():
                _configure(model, placement)
    except shutil.Error as error:
        raise StagingError("; ".join(str(each[2]) for each in error.args[0])) from error
    except OSError as error:
        raise StagingError(str(error)) from error


def _configure(model: Path, placement: Placement) -> None:
    choices = [model / f"config_{device}.pbtxt" for device in DEVICES]
    chosen = model / CONFIG
    if not chosen.is_file():
        wanted = model / f"config_{placement.device}.pbtxt"
        if not wanted.is_file():
            held = ", ".join(path.name for path in choices if path.is_file()) or "none"
            raise StagingError(
                f"the model {model.name} cannot run on the device {placement.device}: "
                f"{wanted.name} is missing (there is: {held})"
            )
        chosen.write_bytes(wanted.read_bytes())
    for path in choices:
        path.unlink(missing_ok=True)
    text = chosen.read_text(encoding="utf-8", errors="replace")
    try:
        chosen.write_text(placed(text, placement), encoding="utf-8")
    except PbtxtError as error:
        raise StagingError(f"{model.name}/{CONFIG}: {error}") from error


def placed(config: str, placement: Placement) -> str:
    """A model's configuration with its instances where they are wanted.

    A model that only hands requests on stays as it is: its engine does the work.

    Raises:
        PbtxtError: the text is no text format.
    """
    message = parse(config)
    keys = [scalar(each, "key") for each in messages(message, "parameters")]
    groups = messages(message, "instance_group")
    kind = scalar(groups[0], "kind") if groups else None
    gpu = kind == "KIND_GPU"
    if "engine" in keys or (placement.instances is None and not (gpu and placement.gpus)):
        return config
    count = placement.instances or (scalar(groups[0], "count") if groups else None) or 1
    named = placement.gpus or (_listed(groups[0].get("gpus", [])) if groups else ())
    where = f"kind: {kind or 'KIND_CPU'}" + (
        f" gpus: [ {', '.join(map(str, named))} ]" if gpu and named else ""
    )
    rest = without(config, "instance_group").rstrip()
    return f"{rest}\ninstance_group [ {{ count: {count} {where} }} ]\n"


def _listed(values: "Sequence[object]") -> "tuple[str, ...]":
    return tuple(value for value in values if isinstance(value, str))
