"""Reading hps.toml: either a Config, or one error that names every fault of the file."""

import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hps.config import check, explain
from hps.config.deep_key import DEEP_KEY
from hps.config.fault import Fault, found
from hps.config.positions import positions
from hps.config.schema import Config
from hps.errors import ConfigError

LIMIT = 1 << 20  # bytes; people write hps.toml, and people do not write more
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def load(path: Path) -> Config:
    """Read and check hps.toml; what `[monitor]` says is checked too, and read by `load_monitor`.

    UTF-8 with or without a byte order mark, LF or CRLF (TOML 1.0.0, "Spec").

    Raises:
        ConfigError: with one line for each fault of the file in `details`:
            `hps.toml:LINE: key.path: what is wrong (expected X, got Y); hint`.
    """
    return parse(read_text(path, hint="write a first one with `hps init`"), str(path))


def parse(text: str, file: str) -> Config:
    """The Config that a text means; `file` names it in errors. Raises ConfigError as `load`."""
    try:
        return _parsed(text, file)
    except RecursionError as error:
        raise ConfigError(
            f"{file} is nested too deeply", hint="hps.toml needs no more than six levels"
        ) from error


def _parsed(text: str, file: str) -> Config:
    document = read_toml(text, file)
    faults = list(_monitor_faults(document.pop("monitor", None)))
    faults += check.faults(document)
    config = None
    try:
        # Strict: "64" is no number and 1 is no truth. Arrays are tuples in the schema.
        config = Config.model_validate(frozen(document), strict=True)
    except ValidationError as error:
        faults += explain.faults(error)
    if config is not None and not faults:
        return config
    raise faulty(file, text, faults, "docs/reference/hps-toml.md")


def _monitor_faults(table: object) -> tuple[Fault, ...]:
    if table is None:
        return ()
    from hps.config.load_monitor import faults  # noqa: PLC0415 - few files have one

    return faults({"monitor": table})


def faulty(file: str, text: str, faults: list[Fault], page: str) -> ConfigError:
    """One error for all faults of a file.

    Args:
        file: its name.
        text: what it holds, to find the lines.
        faults: at least one.
        page: where every key is described.
    """
    return ConfigError(
        f"{file} has {len(faults)} fault{'s' * (len(faults) != 1)}",
        details=_lines(faults, text, Path(file).name),
        hint=f"every key is described in {page}",
    )


def read_toml(text: str, file: str) -> dict[str, Any]:
    """The document that a text holds; `file` names it in the ConfigError that is raised."""
    if deep := DEEP_KEY.search(text):
        line = text.count("\n", 0, deep.start()) + 1
        raise _syntax(file, f"{line}: a key of more than 32 parts")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        what = _PLACE.sub("", str(error))
        where = f"{place[1]}:{place[2]}" if place and place[1] else str(text.count("\n") + 1)
        raise _syntax(file, f"{where}: {what}") from error
    except ValueError as error:  # a number of thousands of digits
        raise _syntax(file, f"1: {error}") from error


def _syntax(file: str, fault: str) -> ConfigError:
    return ConfigError(
        f"{file} is not TOML",
        details=(f"{Path(file).name}:{fault}",),
        hint="nothing behind this place was read; the grammar is TOML 1.0.0",
    )


def _lines(faults: list[Fault], text: str, name: str) -> tuple[str, ...]:
    lines = positions(text)
    ordered = sorted(faults, key=lambda fault: found(fault.path, lines))
    return tuple(dict.fromkeys(fault.line(name, lines) for fault in ordered))


def frozen(value: Any) -> Any:
    """The same document with tuples for arrays, as the schemas have them."""
    if isinstance(value, list):
        return tuple(frozen(item) for item in value)
    if isinstance(value, dict):
        return {key: frozen(item) for key, item in value.items()}
    return value


def read_text(path: Path, *, hint: str) -> str:
    """The text of a small file that people write.

    Args:
        path: the file.
        hint: what to do when there is no such file.

    Raises:
        ConfigError: it is missing, no plain file, unreadable, too large, or not UTF-8.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} is not a plain file")
        with path.open("rb") as stream:
            data = stream.read(LIMIT + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no {path}", hint=hint) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if len(data) > LIMIT:
        raise ConfigError(
            f"{path} is too large", expected=f"at most {LIMIT} bytes", hint="is it the right file?"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path} is not UTF-8",
            details=(f"{path.name}:{line}: byte 0x{data[error.start]:02x}",),
            hint="save it as UTF-8",
        ) from error
