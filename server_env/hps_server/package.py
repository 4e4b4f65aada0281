"""What a package says of itself: its pipeline, its operations, and the images that it fits.

`hps assemble` writes package.json beside pipeline_config.yaml; the launcher and each model read it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "package.json"
_LARGEST = 1 << 20


class PackageError(Exception):
    """package.json is missing or not what a package's should be; the message says where."""


@dataclass(frozen=True)
class Operation:
    """One thing that a pipeline does.

    Args:
        id: PaddleX's name of it, such as `infer`.
        model: the Triton model that offers it.
        endpoint: its path in PaddleX's basic serving, such as `/ocr`.
        batch: most requests that go into one call of the pipeline.
        files: the request's fields that hold a file, such as `file` or `imageLabelPairs[].image`.
        media: what these files may be: image, document, video, audio, table, tar or chat.
        remote: it asks another service and needs no weights.
    """

    id: str
    model: str
    endpoint: str
    batch: int = 1
    files: "tuple[str, ...]" = ()
    media: str = "document"
    remote: bool = False


@dataclass(frozen=True)
class Package:
    """The contents of package.json."""

    name: str
    pipeline: str
    sdk_version: str
    paddlex: str
    environments: "tuple[str, ...]"
    operations: "tuple[Operation, ...]"

    def operation(self, identity: str) -> Operation:
        """One operation by its id.

        Raises:
            PackageError: there is none of this name.
        """
        for operation in self.operations:
            if operation.id == identity:
                return operation
        known = ", ".join(operation.id for operation in self.operations)
        raise PackageError(f"{self.name} has no operation {identity!r}; it has {known}")


def location(environment: "Mapping[str, str]" = os.environ) -> Path:
    """Where package.json is: HPS_PACKAGE, else beside the pipeline's configuration.

    Raises:
        PackageError: neither is named.
    """
    named = environment.get("HPS_PACKAGE")
    if named:
        return Path(named)
    configuration = environment.get("PADDLEX_HPS_PIPELINE_CONFIG_PATH")
    if not configuration:
        raise PackageError("neither HPS_PACKAGE nor PADDLEX_HPS_PIPELINE_CONFIG_PATH is set")
    return Path(configuration).with_name(NAME)


def read_package(path: Path) -> Package:
    """Read and check package.json.

    Raises:
        PackageError: it cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise PackageError(f"{path}: larger than {_LARGEST} bytes")
        return _package(json.loads(data))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PackageError(f"{path}: {type(error).__name__}: {error}") from error


def _package(document: Any) -> Package:
    operations = tuple(_operation(item) for item in document["operations"])
    if not operations:
        raise ValueError("no operations")
    return Package(
        name=_text(document["package"]),
        pipeline=_text(document["pipeline"]),
        sdk_version=_text(document["sdk_version"]),
        paddlex=_text(document["paddlex"]),
        environments=tuple(_text(item) for item in document["environments"]),
        operations=operations,
    )


def _operation(item: Any) -> Operation:
    batch = item.get("batch", 1)
    if not isinstance(batch, int) or not 1 <= batch <= 1024:  # noqa: PLR2004 - far above use
        raise ValueError(f"batch {batch!r}")
    return Operation(
        id=_text(item["id"]),
        model=_text(item["model"]),
        endpoint=_text(item["endpoint"]),
        batch=batch,
        files=tuple(_text(name) for name in item.get("files", ())),
        media=_text(item.get("media", "document")),
        remote=item.get("remote", False) is True,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is no text")
    return value
