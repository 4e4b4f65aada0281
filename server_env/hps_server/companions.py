"""The programs that run beside Triton, as the launcher starts them.

Programs of their own, so that a fault in one of them does not end the server, and the launcher
stays one small loop.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hps_server.supervise import RESTART, Companion


def watch(options: argparse.Namespace, state: Path) -> Companion:
    """What sees that every model answers (`hps_server.watch`)."""
    arguments = [
        *_where(options),
        f"--state={state}",
        f"--interval={options.probe_interval}",
        f"--deadline={options.probe_deadline}",
        f"--hang={options.hang_deadline}",
        f"--load-timeout={options.load_timeout}",
    ]
    if options.model_control_mode == "explicit":
        arguments.append(f"--grpc-port={options.grpc_port}")

    def argv(server: int) -> "Sequence[str]":
        return [sys.executable, "-m", "hps_server.watch", f"--server={server}", *arguments]

    return Companion("the watch over the models", argv, restart=RESTART)


def rest(options: argparse.Namespace, state: Path) -> Companion:
    """The REST facade (`hps_server.rest`)."""
    arguments = [
        *_where(options),
        f"--state={state}",
        f"--port={options.rest_port}",
        f"--deadline={options.rest_deadline}",
        f"--max-body={options.rest_max_body << 20}",
        f"--grace={options.grace}",
    ]
    given = (
        ("--token-file", options.rest_token_file),
        ("--tls-certificate", options.rest_tls_certificate),
        ("--tls-key", options.rest_tls_key),
    )
    arguments += [f"{name}={value}" for name, value in given if value is not None]

    def argv(_server: int) -> "Sequence[str]":
        return [sys.executable, "-m", "hps_server.rest", *arguments]

    return Companion("the REST facade", argv)


def _where(options: argparse.Namespace) -> "list[str]":
    return [
        f"--address={options.address}",
        f"--http-port={options.http_port}",
        f"--log-format={options.log_format}",
    ]
