"""Reading the catalogue of a project: `sdk/pipelines/NAME/pipeline.toml`."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from hps.config.load import read_text
from hps.errors import ConfigError, UsageError
from hps.sdk.catalogue import HINT, Pipeline, contradictions, parse

FOLDER = "sdk"
FILE = "pipeline.toml"


def read_catalogue(root: Path) -> Mapping[str, Pipeline]:
    """Every pipeline of a project, by name, sorted.

    Args:
        root: of the project.

    Raises:
        ConfigError: there is no catalogue, or files of it are at fault; all faults of all files
            are in `details`.
    """
    folder = root / FOLDER / "pipelines"
    try:
        places = sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    except OSError as error:
        raise ConfigError(
            f"there is no catalogue of pipelines in {folder}: {error.strerror}",
            hint="run it in a project that has one, or name the project with -C",
        ) from error
    found: dict[str, Pipeline] = {}
    faults: list[str] = []
    for place in places:
        try:
            text = read_text(place / FILE, hint="each folder there describes one pipeline")
            found[place.name] = parse(text, f"{place.name}/{FILE}", place.name)
        except ConfigError as error:
            faults += error.details or (error.message,)
    faults += contradictions(found.values())
    if faults or not found:
        raise ConfigError(
            f"the catalogue {folder} has {len(faults)} fault{'s' * (len(faults) != 1)}"
            if faults
            else f"the catalogue {folder} is empty",
            details=tuple(faults),
            hint=HINT,
        )
    return found


def chosen(
    catalogue: Mapping[str, Pipeline], names: Sequence[str], *, every: bool
) -> tuple[Pipeline, ...]:
    """The pipelines that were asked for, each once, in the order of the catalogue.

    Raises:
        UsageError: names and `every` together, neither, or a name that is none.
    """
    known = list(catalogue)
    if every and names:
        raise UsageError("--all and names contradict each other", got=" ".join(names))
    if not every and not names:
        raise UsageError(
            "no pipeline was named",
            expected=f"NAME..., or --all for these {len(known)}",
            details=_columns(known),
            hint=f"for instance: hps assemble {'OCR' if 'OCR' in catalogue else known[0]}",
        )
    if unknown := [name for name in dict.fromkeys(names) if name not in catalogue]:
        raise UsageError(
            f"the catalogue has no pipeline {', '.join(unknown)}",
            details=tuple(f"{name}: {_meant(name, known)}" for name in unknown),
            hint="hps assemble without names lists them",
        )
    return tuple(one for name, one in catalogue.items() if every or name in names)


def _meant(name: str, known: Sequence[str]) -> str:
    """A name is often written in another case, or as the name of its package."""
    plain = name.lower().removeprefix("paddlex_hps_").removesuffix("_sdk").replace("-", "_")
    spelled = {one.lower().replace("-", "_"): one for one in known}
    near = get_close_matches(plain, spelled, n=1)
    return f'did you mean "{spelled[near[0]]}"?' if near else "nothing is called like it"


def _columns(names: Sequence[str], width: int = 96) -> tuple[str, ...]:
    """Names in lines of at most `width` characters."""
    lines = [""]
    for name in names:
        if lines[-1] and len(lines[-1]) + 2 + len(name) > width:
            lines.append("")
        lines[-1] += ("  " if lines[-1] else "") + name
    return tuple(lines)
