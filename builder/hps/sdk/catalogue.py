"""The catalogue: one small file for each pipeline, `sdk/pipelines/NAME/pipeline.toml`.

It says what PaddleX does not: under which names Triton serves the operations of a pipeline, which
fields of their requests hold files, how many requests fit into one call. Everything else is read
from PaddleX. This module decides and reads nothing; `hps.sdk.catalogue_files` reads.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from hps.config.deep_key import DEEP_KEY
from hps.config.fault import Fault, choice, found, shown
from hps.config.positions import positions
from hps.errors import ConfigError

MOST_REQUESTS = 64  # in one call of a pipeline; Triton's queues hold more
HINT = "every key is described in docs/reference/pipelines.md"

# It becomes the name of a folder and of an archive: nothing in it may lead anywhere.
PipelineName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=64)
]
ModelName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=64)
]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6}){2}$")]
OperationId = Annotated[str, StringConstraints(pattern=r"^[a-z][A-Za-z0-9]{0,63}$")]
Endpoint = Annotated[str, StringConstraints(pattern=r"^/[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
FileField = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z_]\w*(\[\]|\{\})?(\.[A-Za-z_]\w*(\[\]|\{\})?)*$", max_length=128
    ),
]
ConfigFile = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.yaml$")
]
Extra = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
Device = Literal["cpu", "gpu"]
Media = Literal["image", "document", "video", "audio", "table", "tar", "chat"]

_EXPECTED = {
    "bool_type": "true or false",
    "int_type": "an integer",
    "string_type": "a string",
    "tuple_type": "an array",
    "model_type": "a table",
    "too_short": "at least one",
}
_PROBLEMS = {"missing": "is missing", "extra_forbidden": "unknown key"}


class _Table(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=lambda name: name.replace("_", "-"),
        validate_by_name=False,
        validate_by_alias=True,
    )


class Operation(_Table):
    """`[[operations]]`: something that can be asked of a pipeline."""

    id: OperationId = Field(description="PaddleX's operation id, for instance infer.")
    model: ModelName = Field(description="Name of the Triton model that answers.")
    endpoint: Endpoint = Field(description="Path in PaddleX's basic serving and in the façade.")
    batch: int = Field(
        1, ge=1, le=MOST_REQUESTS, description="Most requests in one call of the pipeline."
    )
    files: tuple[FileField, ...] = Field(
        (), description="Fields of the request that hold a file: an address or base64."
    )
    media: Media | None = Field(None, description="What such a file may be.")
    remote: bool = Field(default=False, description="Talks to other services and holds no weights.")
    device: Literal["cpu"] | None = Field(
        None, description="Only where the operation never needs the pipeline's device."
    )


class Pipeline(_Table):
    """One pipeline of the catalogue."""

    name: PipelineName = Field(description="PaddleX's name of the pipeline.")
    sdk_version: Version = Field(description="Version of the package, MAJOR.MINOR.PATCH.")
    app: PipelineName | None = Field(
        None, description="The pipeline whose schemas and application serve this one."
    )
    config: ConfigFile | None = Field(
        None, description="File in PaddleX's configs/pipelines; default: NAME.yaml."
    )
    devices: tuple[Device, ...] = Field(min_length=1, description="What it runs on.")
    extras: tuple[Extra, ...] = Field(description="Extras of PaddleX that it needs.")
    operations: tuple[Operation, ...] = Field(min_length=1, description="What it can be asked.")

    @property
    def package(self) -> str:
        """The name of the package's folder and archive."""
        return f"paddlex_hps_{self.name}_sdk"

    @property
    def config_file(self) -> str:
        """The default configuration, below configs/pipelines of PaddleX."""
        return self.config or f"{self.name}.yaml"

    @property
    def engine(self) -> str:
        """The Triton model that holds the pipeline.

        One operation is the engine itself; several share one, and forward to it.
        """
        if len(self.operations) == 1:
            return self.operations[0].model
        return re.sub("[^a-z0-9]", "-", self.name.lower()) + "-pipeline"


def parse(text: str, file: str, folder: str) -> Pipeline:
    """The pipeline that a file means.

    Args:
        text: the file.
        file: its name, for errors.
        folder: the name of the folder that it lies in, which must be the pipeline's.

    Raises:
        ConfigError: it means none; every fault is in `details`, with its line.
    """
    document = _document(text, file)
    try:
        pipeline = Pipeline.model_validate(_frozen(document))
    except ValidationError as error:
        # An array of one bad item is said to be too short besides: the item is told.
        errors = [one for one in error.errors() if one["type"] != "too_short" or not one["input"]]
        raise _faulty(text, file, [_fault(one) for one in errors]) from error
    if faults := list(_contradictions(pipeline, folder)):
        raise _faulty(text, file, faults)
    return pipeline


def contradictions(pipelines: Iterable[Pipeline]) -> tuple[str, ...]:
    """What pipelines say against each other: an `app` that is none, names that differ by case."""
    known = {one.name: one for one in pipelines}
    faults = []
    names: dict[str, str] = {}
    for one in known.values():
        other = names.setdefault(one.name.lower(), one.name)
        if other != one.name:  # one folder on file systems that fold case
            faults.append(f"{one.name} and {other} differ only by case")
        if one.app is not None and (one.app not in known or known[one.app].app is not None):
            hint = choice(one.app, sorted(known))
            faults.append(
                f"{one.name}: app: {one.app!r} is no pipeline with an application; {hint}"
            )
    return tuple(faults)


def _contradictions(pipeline: Pipeline, folder: str) -> Iterable[Fault]:
    """What a well-formed file says against itself or against where it lies."""
    if pipeline.name != folder:
        yield Fault(
            ("name",),
            "differs from the folder",
            shown(folder),
            shown(pipeline.name),
            hint="the folder is called as the pipeline is",
        )
    if pipeline.app == pipeline.name:
        yield Fault(("app",), "names the pipeline itself", hint="leave it out")
    for key in ("id", "model", "endpoint"):
        seen = [getattr(one, key) for one in pipeline.operations]
        for number, value in enumerate(seen):
            if value in seen[:number]:
                yield Fault(("operations", number, key), "is used twice", got=shown(value))
    for number, one in enumerate(pipeline.operations):
        if one.model == pipeline.engine and len(pipeline.operations) > 1:
            yield Fault(("operations", number, "model"), "is the name of the engine", got=one.model)
        if bool(one.files) != (one.media is not None):
            yield Fault(
                ("operations", number, "media" if one.media else "files"),
                "files and media go together",
            )


def _document(text: str, file: str) -> dict[str, Any]:
    if deep := DEEP_KEY.search(text):  # tomllib takes quadratic time for it
        line = text.count("\n", 0, deep.start()) + 1
        raise _no_toml(file, f"{file}:{line}: a key of more than 32 parts")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise _no_toml(file, f"{file}: nested too deeply") from error
    except ValueError as error:
        raise _no_toml(file, f"{file}: {error}") from error


def _no_toml(file: str, fault: str) -> ConfigError:
    hint = "nothing behind this place was read; the grammar is TOML 1.0.0"
    return ConfigError(f"{file} is not TOML", details=(fault,), hint=hint)


def _fault(error: Mapping[str, Any]) -> Fault:
    """What pydantic found, in the words of the file."""
    path, kind, context = error["loc"], error["type"], error.get("ctx", {})
    if kind in _PROBLEMS:
        hint = choice(str(path[-1]), _keys(path)) if kind == "extra_forbidden" else ""
        return Fault(path, _PROBLEMS[kind], hint=hint)
    expected = _EXPECTED.get(kind) or context.get("pattern") or context.get("expected") or ""
    if not expected:
        expected = str(error["msg"]).removeprefix("Input should be ")
    problem = "wrong type" if kind.endswith("_type") else "not allowed here"
    return Fault(path, problem, expected, shown(error["input"]))


def _keys(path: Sequence[str | int]) -> list[str]:
    model = Operation if path[0] == "operations" and len(path) > 1 else Pipeline
    return [field.alias or name for name, field in model.model_fields.items()]


def _faulty(text: str, file: str, faults: Sequence[Fault]) -> ConfigError:
    lines = positions(text)
    ordered = sorted(faults, key=lambda fault: found(fault.path, lines))
    return ConfigError(
        f"{file} has {len(faults)} fault{'s' * (len(faults) != 1)}",
        details=tuple(dict.fromkeys(fault.line(file, lines) for fault in ordered)),
        hint=HINT,
    )


def _frozen(value: Any) -> Any:
    """Arrays are tuples in the models."""
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return value
