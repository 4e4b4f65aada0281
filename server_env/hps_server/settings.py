"""How a pipeline is served: the block `Serving: hps:` of its configuration, and the environment.

PaddleX reads the rest of `Serving` itself and passes over this block. A variable
HPS_SERVER_NAME wins over the key `name`. Limits of inputs have a block of their own (`limits`).
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hps_server.admission import DECODED_PAGES
from hps_server.limits import Limits

PREFIX = "HPS_SERVER_"
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class SettingsError(Exception):
    """Settings that cannot be meant; the message names each."""


@dataclass(frozen=True)
class Settings:
    """What can be set beside the limits of inputs.

    Args:
        strict: refuse requests with fields that the operation does not know.
        queue: most requests that are inside at a time; more are turned away at once with 503.
        deadline: seconds for a request that brings none of its own; 0 is no end.
        threads: for decoding, encoding and calls of other services.
        probe: whether a small real request is made to see that the pipeline answers.
        pipeline: `module:function` that makes the pipeline, called as PaddleX's create_pipeline.
        log_format: `text` or `json`.
        limits: of what a request may hold.
        pages: of a document that are read; PaddleX's `Serving.extra.max_num_input_imgs`.
    """

    strict: bool = False
    queue: int = 256
    deadline: float = 0.0
    threads: int = 8
    probe: bool = True
    pipeline: str = "paddlex:create_pipeline"
    log_format: str = "text"
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    pages: "int | None" = DECODED_PAGES


def read_settings(
    configuration: "Mapping[str, Any]", environment: "Mapping[str, str]" = os.environ
) -> Settings:
    """Settings of a pipeline's configuration, with those of the environment before them.

    Raises:
        SettingsError: unknown keys, wrong types, values out of range; all of them.
    """
    block = (configuration.get("Serving") or {}).get("hps") or {}
    if not isinstance(block, dict):
        raise SettingsError(f"Serving.hps: expected a mapping, got {type(block).__name__}")
    readers: dict[str, Callable[[Any], Any]] = {
        "strict": _flag,
        "queue": _between(int, 1, 1 << 20),
        "deadline": _between(float, 0, 86400),
        "threads": _between(int, 1, 1024),
        "probe": _flag,
        "pipeline": _reference,
        "log_format": _format,
    }
    values: dict[str, Any] = {}
    faults = [f"Serving.hps.{key}: unknown" for key in block.keys() - {*readers, "limits"}]
    for key, read in readers.items():
        variable = PREFIX + key.upper()
        for where, found in ((variable, environment.get(variable)), (key, block.get(key))):
            if found is not None:
                try:
                    values[key] = read(found)
                except (TypeError, ValueError) as error:
                    faults.append(f"{where}: {error}")
                break
    try:
        values["limits"] = Limits.from_settings(block.get("limits") or {}, environment)
    except ValueError as error:
        faults.append(str(error))
    extra = (configuration.get("Serving") or {}).get("extra") or {}
    values["pages"] = extra.get("max_num_input_imgs", DECODED_PAGES)
    if faults:
        raise SettingsError("; ".join(sorted(faults)))
    return Settings(**values)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text not in _TRUE | _FALSE:
        raise ValueError(f"expected true or false, got {value!r}")
    return text in _TRUE


def _between(kind: "type[int | float]", low: float, high: float) -> "Callable[[Any], Any]":
    def read(value: Any) -> Any:
        if isinstance(value, bool):
            raise TypeError(f"expected a number, got {value!r}")
        number = kind(value)
        if not low <= number <= high:
            raise ValueError(f"expected {low:g} to {high:g}, got {value!r}")
        return number

    return read


def _reference(value: Any) -> str:
    module, colon, function = str(value).partition(":")
    if not (colon and function.isidentifier() and all(map(str.isidentifier, module.split(".")))):
        raise ValueError(f"expected module:function, got {value!r}")
    return str(value)


def _format(value: Any) -> str:
    if value not in {"text", "json"}:
        raise ValueError(f"expected text or json, got {value!r}")
    return str(value)
