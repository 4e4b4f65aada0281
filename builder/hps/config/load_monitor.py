"""Reading `[monitor]`: from hps.toml, or from a file of its own on a host that builds nothing."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hps.config import explain
from hps.config.fault import Fault
from hps.config.load import faulty, frozen, read_text, read_toml
from hps.config.monitor import Monitor, MonitorFile
from hps.errors import ConfigError

_PAGE = "docs/reference/monitor.md"
_SECRETS = frozenset({"password", "token", "ugi"})


def load_monitor(path: Path) -> Monitor:
    """Read and check `[monitor]`.

    In a file with `[project]`, an hps.toml, the other tables are left to those who build; any
    other file holds `[monitor]` and nothing else.

    Raises:
        ConfigError: as `hps.config.load.load`, with one line for each fault in `details`.
    """
    return parse_monitor(read_text(path, hint="docs/how-to/monitor.md shows one"), str(path))


def parse_monitor(text: str, file: str) -> Monitor:
    """What a text says; `file` names it in errors. Raises ConfigError as `load_monitor`."""
    try:
        document = read_toml(text, file)
        if "project" in document:
            document = {key: value for key, value in document.items() if key == "monitor"}
        if "monitor" not in document:
            raise ConfigError(f"{file} has no [monitor]", hint="docs/how-to/monitor.md shows one")
        found = _validated(document)
        if isinstance(found, Monitor):
            return found
        raise faulty(file, text, list(found), _PAGE)
    except RecursionError as error:
        raise ConfigError(f"{file} is nested too deeply") from error


def faults(document: Mapping[str, Any]) -> tuple[Fault, ...]:
    """Every fault of a document with the one table `monitor`."""
    found = _validated(document)
    return () if isinstance(found, Monitor) else found


def _validated(document: Mapping[str, Any]) -> Monitor | tuple[Fault, ...]:
    try:
        # Strict: "64" is no number and 1 is no truth.
        return MonitorFile.model_validate(frozen(document), strict=True).monitor
    except ValidationError as error:
        return tuple(map(_discreet, explain.faults(error, MonitorFile)))


def _discreet(fault: Fault) -> Fault:
    """Errors go to logs: what stands where a secret is meant is not repeated there."""
    if fault.got and _SECRETS & {*fault.path}:
        return replace(fault, got="", hint='{ file = "…" } or { variable = "…" } says where it is')
    return fault
