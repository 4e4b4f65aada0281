"""What can be set about a start: by argument, by environment, by file, in this order.

The file that HPS_SERVER_CONFIG or `--config` names is TOML or YAML; its keys are the arguments'
names. Its table `serving` holds settings of the models (`hps_server.settings`); each is handed to
them as HPS_SERVER_NAME, unless the environment says otherwise already.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hps_server.health import DEFAULT_PORT
from hps_server.logs import FORMATS

CONFIG = "HPS_SERVER_CONFIG"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - a server in a container
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
NO_POLLING = (
    "poll loads what it finds half copied, and one model whose process ends at import stops it for "
    "ever; use explicit, and load over gRPC"
)
_SERVING = "serving"
_LARGEST = 1 << 20
_SETTING = re.compile(r"[a-z][a-z0-9_]{0,40}")


class ConfigurationError(ValueError):
    """A setting that cannot be meant; the message says which and why."""


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:  # noqa: PLR2004 - ports have 16 bits
        raise ValueError("a port is 0 to 65535")
    return number


def _positive(kind: "Callable[[str], Any]") -> "Callable[[str], Any]":
    def read(text: str) -> Any:
        number = kind(text)
        if not 0 < number < float("inf"):
            raise ValueError("it must be more than 0")
        return number

    return read


def _grace(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError("it must not be less than 0")
    return number


def _devices(text: str) -> "tuple[int, ...]":
    numbers = tuple(int(each) for each in text.split(","))
    if len(set(numbers)) != len(numbers) or min(numbers) < 0:
        raise ValueError("numbers of GPUs, such as 0,1")
    return numbers


def _one_of(*allowed: str) -> "Callable[[str], str]":
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"it is one of {', '.join(allowed)}")
        return text

    return read


def _control(text: str) -> str:
    if text == "poll":
        raise ValueError(NO_POLLING)
    return _one_of("explicit", "none")(text)


def _level(text: str) -> str:
    return _one_of(*LEVELS)(text.upper())


@dataclass(frozen=True)
class Setting:
    """One thing that can be set.

    Args:
        name: of the argument, without dashes in front; with underscores the attribute's.
        variable: in the environment.
        read: makes a value of a text; raises ValueError.
        default: when nobody sets it.
        help: one line.
    """

    name: str
    variable: str
    read: "Callable[[str], Any]"
    default: Any
    help: str

    @property
    def attribute(self) -> str:
        """What it is called in the options."""
        return self.name.replace("-", "_")


_seconds = _positive(float)
SETTINGS = (
    # `hps run` sets these four ports and the address.
    Setting("http-port", "HPS_HTTP_PORT", _port, DEFAULT_PORT, "KServe v2 over HTTP"),
    Setting("grpc-port", "HPS_GRPC_PORT", _port, 8001, "KServe v2 over gRPC"),
    Setting("metrics-port", "HPS_METRICS_PORT", _port, 8002, "Triton's metrics"),
    Setting("rest-port", "HPS_REST_PORT", _port, 0, "the REST facade; 0 is off"),
    Setting("address", "HPS_ADDRESS", str, EVERYWHERE, "where to listen"),
    Setting("device", "PADDLEX_HPS_DEVICE_TYPE", _one_of("cpu", "gpu"), "cpu", "cpu or gpu"),
    Setting("devices", "HPS_SERVER_DEVICES", _devices, None, "GPUs, such as 0,1"),
    Setting("instances", "HPS_SERVER_INSTANCES", _positive(int), None, "of each pipeline"),
    Setting("queue", "HPS_SERVER_QUEUE", _positive(int), None, "most requests inside a model"),
    Setting("deadline", "HPS_SERVER_DEADLINE", float, None, "seconds, when a request has none"),
    Setting(
        "shared-memory", "HPS_SERVER_SHARED_MEMORY", _positive(int), None, "MiB for each process"
    ),
    Setting(
        "model-control-mode",
        "HPS_SERVER_MODEL_CONTROL_MODE",
        _control,
        "explicit",
        "explicit or none",
    ),
    Setting("log-level", "PADDLEX_HPS_LOGGING_LEVEL", _level, "INFO", "of Triton and the models"),
    Setting("log-format", "HPS_LOG_FORMAT", _one_of(*FORMATS), FORMATS[0], "text or json"),
    Setting("load-timeout", "HPS_SERVER_LOAD_TIMEOUT", _seconds, 300.0, "seconds until ready"),
    Setting("grace", "HPS_SERVER_GRACE", _grace, 30, "seconds for open requests at the stop"),
    Setting("probe-interval", "HPS_SERVER_PROBE_INTERVAL", _seconds, 5.0, "seconds"),
    Setting("probe-deadline", "HPS_SERVER_PROBE_DEADLINE", _seconds, 5.0, "seconds for a probe"),
    Setting(
        "hang-deadline", "HPS_SERVER_HANG_DEADLINE", _seconds, 600.0, "seconds of one inference"
    ),
    Setting("rest-deadline", "HPS_REST_DEADLINE", _seconds, 300.0, "seconds for a REST request"),
    Setting("rest-max-body", "HPS_REST_MAX_BODY", _positive(int), 128, "MiB"),
    Setting("rest-token-file", "HPS_REST_TOKEN_FILE", Path, None, "holds the bearer token"),
    Setting("rest-tls-certificate", "HPS_REST_TLS_CERTIFICATE", Path, None, "PEM, with its chain"),
    Setting("rest-tls-key", "HPS_REST_TLS_KEY", Path, None, "PEM"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser one argument for each setting, and `--config`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"TOML or YAML; {CONFIG}")
    for each in SETTINGS:
        default = "" if each.default is None else f"; default: {each.default}"
        parser.add_argument(
            f"--{each.name}", metavar="VALUE", help=f"{each.help} ({each.variable}{default})"
        )


def complete(options: argparse.Namespace, environment: "Mapping[str, str]") -> None:
    """Give every setting in `options` its value, and `options.serving` that of the models.

    Raises:
        ConfigurationError: a value that cannot be read, or an unknown key of the file.
    """
    path = options.config or (Path(environment[CONFIG]) if environment.get(CONFIG) else None)
    document = read_file(path) if path is not None else {}
    serving = document.pop(_SERVING, {})
    options.serving = serving_environment(serving)
    names = {each.attribute: each for each in SETTINGS}
    unknown = sorted(key for key in document if key.replace("-", "_") not in names)
    if unknown:
        known = ", ".join(each.name for each in SETTINGS)
        raise ConfigurationError(f"{path}: unknown keys {', '.join(unknown)}; there are: {known}")
    file = {key.replace("-", "_"): value for key, value in document.items()}
    for each in SETTINGS:
        setattr(options, each.attribute, _value(each, options, environment, file))
    if (options.rest_tls_certificate is None) != (options.rest_tls_key is None):
        raise ConfigurationError("--rest-tls-certificate and --rest-tls-key go together")


def _value(
    setting: Setting,
    options: argparse.Namespace,
    environment: "Mapping[str, str]",
    file: "Mapping[str, Any]",
) -> Any:
    places = (
        (f"--{setting.name}", getattr(options, setting.attribute)),
        (setting.variable, environment.get(setting.variable) or None),
        (f"{setting.attribute} of the file", file.get(setting.attribute)),
    )
    for place, found in places:
        if found is not None:
            listed = isinstance(found, list)
            text = ",".join(map(str, found)) if listed else str(found)
            try:
                return setting.read(text)
            except ValueError as error:
                raise ConfigurationError(f"{place}: {text!r}: {error}") from error
    return setting.default


def serving_environment(serving: Any) -> "dict[str, str]":
    """What the table `serving` means as environment of the models.

    Raises:
        ConfigurationError: it is no table of names and plain values.
    """
    if not isinstance(serving, dict):
        raise ConfigurationError(f"{_SERVING}: expected a table, got {type(serving).__name__}")
    made = {}
    for key, value in serving.items():
        name = str(key).replace("-", "_")
        if not _SETTING.fullmatch(name):
            raise ConfigurationError(f"{_SERVING}: {key!r} is no name of a setting")
        plain = value if isinstance(value, str) else json.dumps(value, default=str)
        made[f"HPS_SERVER_{name.upper()}"] = plain
    return made


def read_file(path: Path) -> "dict[str, Any]":
    """Read a settings file, TOML or YAML by its name.

    Raises:
        ConfigurationError: it cannot be read, or is no table.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST).decode("utf-8")
        document = _parse_toml(text) if path.suffix == ".toml" else _parse_yaml(text)
    except (OSError, ValueError, ImportError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: expected a table, got {type(document).__name__}")
    return document


def _parse_toml(text: str) -> Any:
    if sys.version_info < (3, 11):  # noqa: UP036 - the image may have Python 3.10
        raise ValueError("TOML needs Python 3.11; write YAML")
    import tomllib  # noqa: PLC0415 - not there in Python 3.10

    return tomllib.loads(text)


def _parse_yaml(text: str) -> Any:
    import yaml  # noqa: PLC0415 - in the image for PaddleX; only this needs it

    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def model_environment(
    options: argparse.Namespace, environment: "Mapping[str, str]"
) -> "dict[str, str]":
    """What the models see of the settings; a variable that the user has set wins over the file."""
    made = {key: value for key, value in options.serving.items() if not environment.get(key)}
    given: Sequence[tuple[str, Any]] = (
        ("HPS_SERVER_QUEUE", options.queue),
        ("HPS_SERVER_DEADLINE", options.deadline),
        ("HPS_SERVER_LOG_FORMAT", options.log_format if options.log_format != "text" else None),
        ("PADDLEX_HPS_LOGGING_LEVEL", options.log_level),
        ("PADDLEX_HPS_DEVICE_TYPE", options.device),
    )
    made.update({key: str(value) for key, value in given if value is not None})
    return made
