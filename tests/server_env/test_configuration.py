"""What can be set about a start: argument before environment before file before default."""

import argparse
from pathlib import Path

import pytest

from hps_server.configuration import (
    ConfigurationError,
    add_arguments,
    complete,
    model_environment,
)


def options(
    arguments: list[str] | None = None, environment: dict[str, str] | None = None
) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    made = parser.parse_args(arguments or [])
    complete(made, environment or {})
    return made


def test_defaults() -> None:
    made = options()
    assert (made.http_port, made.grpc_port, made.metrics_port, made.rest_port) == (
        *(8000, 8001, 8002),
        0,
    )
    assert (made.device, made.devices, made.model_control_mode) == ("cpu", None, "explicit")
    assert (made.log_level, made.log_format, made.queue) == ("INFO", "text", None)


def test_the_nearest_word_wins(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text("http-port = 1\ngrpc_port = 2\nmetrics-port = 3\ndevices = [0, 1]\n")
    environment = {
        "HPS_SERVER_CONFIG": str(file),
        "HPS_HTTP_PORT": "10",
        "HPS_GRPC_PORT": "20",
        "HPS_ADDRESS": "",  # as compose files set what is not set
    }
    made = options(["--http-port", "100"], environment)
    assert (made.http_port, made.grpc_port, made.metrics_port) == (100, 20, 3)
    assert (made.devices, made.address) == ((0, 1), "0.0.0.0")


def test_settings_of_the_models(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('queue = 4\n[serving]\nstrict = true\nthreads = 2\npipeline = "a:b"\n')
    made = options(["--config", str(file), "--log-format", "json", "--log-level", "debug"])
    assert model_environment(made, {"HPS_SERVER_THREADS": "9"}) == {
        "HPS_SERVER_STRICT": "true",
        "HPS_SERVER_PIPELINE": "a:b",
        "HPS_SERVER_QUEUE": "4",
        "HPS_SERVER_LOG_FORMAT": "json",
        "PADDLEX_HPS_LOGGING_LEVEL": "DEBUG",
        "PADDLEX_HPS_DEVICE_TYPE": "cpu",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--http-port", "70000"], "--http-port: '70000': a port is 0 to 65535"),
        (["--http-port", "x"], "--http-port: 'x'"),
        (["--devices", "0,0"], "numbers of GPUs"),
        (["--devices", "-1"], "numbers of GPUs"),
        (["--device", "tpu"], "one of cpu, gpu"),
        (["--instances", "0"], "more than 0"),
        (["--load-timeout", "nan"], "more than 0"),
        (["--log-level", "loud"], "one of DEBUG"),
        (["--model-control-mode", "poll"], "poll loads what it finds half copied"),
        (["--rest-tls-key", "k"], "go together"),
    ],
)
def test_what_cannot_be_meant(arguments: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said.replace("'", ".")):
        options([arguments[0] + "=" + arguments[1]])


def test_a_variable_that_cannot_be_meant_is_named() -> None:
    with pytest.raises(ConfigurationError, match="HPS_HTTP_PORT: 'eighty'"):
        options([], {"HPS_HTTP_PORT": "eighty"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 1", "unknown keys colour; there are: http-port"),
        ("http-port = ", "Invalid value"),
        ("http-port = 'x'", "http_port of the file: 'x'"),
        ("serving = 1", "expected a table, got int"),
        ("[serving]\n'a b' = 1", "'a b' is no name of a setting"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        options(["--config", str(file)])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        options(["--config", str(tmp_path / "none.toml")])
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="utf-8"):
        options(["--config", str(tmp_path / "binary.toml")])


def test_yaml(tmp_path: Path) -> None:
    # PyYAML is in the image; here its interface is all that is needed.
    file = tmp_path / "server.yaml"
    file.write_text("http-port: 1\nserving: {strict: true}\n")
    made = options(["--config", str(file)])
    assert (made.http_port, made.serving) == (1, {"HPS_SERVER_STRICT": "true"})
    file.write_text("a: [")
    with pytest.raises(ConfigurationError, match="parsing"):
        options(["--config", str(file)])
