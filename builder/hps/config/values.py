"""What a value of hps.toml may be: names, paths, addresses, versions, times."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


def _no_way_out(path: str) -> str:
    """A path is refused when reading it takes thought: `..`, `.`, `//`, control characters."""
    if any(character < " " for character in path):
        raise ValueError("a path holds no control characters")
    parts = path.removeprefix("/").removesuffix("/").split("/")
    if ".." in parts:
        raise ValueError("`..` in a path leads out of its folder")
    if path not in ("/", ".") and ("" in parts or "." in parts):
        raise ValueError("`//` and `.` in a path say nothing; leave them out")
    return path


def _with_zone(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(
            "a time without a zone means another instant on another machine; add Z at its end"
        )
    return value


def _one_project(text: str) -> str:
    """A dependency specifier (PEP 508) that an index can answer."""
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 (start time)

    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(f"not a requirement: {str(error).splitlines()[0]}") from error
    if requirement.url:
        raise ValueError("a requirement with an address is not one of an index; use `file`")
    return text


# Layers that hps makes and names itself; no other layer of an image may be called so.
BUILT_IN_LAYERS = ("debian", "system", "files", "python", "trees")

Name = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$", max_length=64)
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[^/\\\x00-\x1f]{1,255}$")]
RelativePath = Annotated[
    str, StringConstraints(min_length=1, pattern=r"^[^/\x00]"), AfterValidator(_no_way_out)
]
ImagePath = Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$"), AfterValidator(_no_way_out)]
DebianName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.+-]+$")]
SuiteName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9./+_-]*$")]
Address = Annotated[str, StringConstraints(pattern=r"^(https?|file)://[^\x00-\x20]+$")]
# No credentials, no query: what `store/registry_address.py` reads.
RegistryRoot = Annotated[
    str,
    StringConstraints(
        pattern=r"^(https?://)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)(:[0-9]{1,5})?"
        r"(/[A-Za-z0-9._~-]+)*/?$",
        max_length=2048,
    ),
]
CacheAddress = Annotated[str, StringConstraints(pattern=r"^(https?|file|s3|oci)://[^\x00-\x20]+$")]
Instant = Annotated[datetime, AfterValidator(_with_zone)]
SdistName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(==[A-Za-z0-9.!+_-]+)?$"),
]
Requirement = Annotated[str, AfterValidator(_one_project)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
LabelName = Annotated[str, StringConstraints(pattern=r"^[!-~]+$")]
# Names of PaddleX's models and pipelines: PP-LCNet_x0_5, PP-StructureV3, 3d_bev_detection.
ModelName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=64)
]
ModulePath = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", max_length=255)
]
Delivery = Literal["layer", "mount"]
Platform = Literal["linux/amd64", "linux/arm64"]
KeyName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=64)
]
# OCI distribution-spec, "Pulling manifests": a registry, a repository, and maybe a tag.
Reference = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+"
        r"(:[A-Za-z0-9_][A-Za-z0-9._-]*)?$",
        max_length=255,
    ),
]
# An alias of [sources.registries], a repository (distribution-spec, "Pulling manifests"), and which
# of its images: a tag, a digest, or both.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
BASE_REFERENCE = (
    rf"^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?(?:/{_PART})+"
    r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(?:@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$"
)
BaseReference = Annotated[str, StringConstraints(pattern=BASE_REFERENCE, max_length=512)]
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
DriverVersion = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{2,3}(\.[0-9]{1,3}){1,2}$")]
# What `Archive` and `PlainFile` say of the file that they take.
Obtain = Annotated[
    Text | None, Field(description="Where a person gets `file`; told when it is missing.")
]
Licence = Annotated[
    Text | None,
    Field(description="SPDX expression or name of the licence, for instance Apache-2.0."),
]
Redistributable = Annotated[
    bool,
    Field(
        description="false: what holds it goes to a shared cache, a registry or an export only "
        "when it is asked for by name (`--include NAME`)."
    ),
]


class Table(BaseModel):
    """A TOML table: unknown keys are faults, `-` in a key is `_` in Python."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=lambda name: name.replace("_", "-"),
        validate_by_name=False,
        validate_by_alias=True,
    )
