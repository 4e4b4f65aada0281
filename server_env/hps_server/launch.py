"""`python3 -m hps_server.launch`: checks a model repository and runs Triton on it.

The entry point of the image. What Triton would hang on is refused with a reason first, what
hangs all the same is ended by a deadline. All models are named as start-up models, so that no
port answers before every one of them is ready.

Exit codes: 0 stopped by a signal, 2 refused or wrong arguments, 3 a model did not load in time,
4 a model failed to load, 5 the server ended by itself, 137 it had to be killed when stopping.
"""

import argparse
import importlib.metadata
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from hps_server.health import DEFAULT_PORT, is_ready
from hps_server.listing import backends_of, read_listing
from hps_server.repository import Fault, Verdict, inspect, numpy_faults
from hps_server.shared_memory import Regions, remove_abandoned
from hps_server.supervise import Plan, Supervisor

REFUSED = 2
PORTS = (
    ("--http-port", "HPS_HTTP_PORT", DEFAULT_PORT),
    ("--grpc-port", "HPS_GRPC_PORT", 8001),
    ("--metrics-port", "HPS_METRICS_PORT", 8002),
)
EVERYWHERE = "0.0.0.0"  # noqa: S104 - a server in a container
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX puts it; names are random and locked
_STUB_USAGE = 1  # what the stub ends with when it is started without arguments
_MARGIN = 5.0  # seconds that Triton gets beyond its own exit timeout


def say(line: str) -> None:
    """Talk goes to stderr, beside Triton's log."""
    sys.stderr.write(f"hps-server: {line}\n")
    sys.stderr.flush()


def parse_arguments(arguments: "Sequence[str] | None") -> argparse.Namespace:
    """Read the command line; what stands after `--` goes to tritonserver as it is."""
    parser = argparse.ArgumentParser(
        prog="python3 -m hps_server.launch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model-repository", type=Path, required=True, metavar="DIR")
    add("--load-model", action="append", default=[], metavar="NAME", help="default: all models")
    add("--allow-empty", action="store_true", help="start without any model")
    # `hps run` sets these four; an argument wins.
    for name, variable, default in PORTS:
        add(name, type=int, default=int(os.environ.get(variable, default)), metavar="PORT")
    add("--address", default=os.environ.get("HPS_ADDRESS", EVERYWHERE), help="where to listen")
    add("--load-timeout", type=float, default=300.0, metavar="SECONDS", help="until ready")
    add("--grace", type=int, default=30, metavar="SECONDS", help="for open requests at the stop")
    add("--triton", type=Path, default=Path("/opt/tritonserver"), metavar="DIR")
    add("--check", action="store_true", help="only judge the repository")
    add("server_arguments", nargs="*", metavar="-- ARGUMENT", help="passed to tritonserver")
    return parser.parse_args(arguments)


def server_command(
    options: argparse.Namespace, models: "Sequence[str]", prefix: str
) -> "list[str]":
    """Triton's command line.

    Readiness is not strict: strict, Triton says not ready for seconds while a new version of one
    model replaces the old one, and a load balancer would drop a server that is serving.
    """
    address = options.address
    return [
        str(options.triton / "bin" / "tritonserver"),
        f"--model-repository={options.model_repository.absolute()}",
        f"--backend-directory={options.triton / 'backends'}",
        "--model-control-mode=explicit",
        *[f"--load-model={name}" for name in models],
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        "--strict-readiness=false",
        f"--exit-timeout-secs={options.grace}",
        *[f"--{service}-address={address}" for service in ("http", "grpc", "metrics")],
        f"--http-port={options.http_port}",
        f"--grpc-port={options.grpc_port}",
        f"--metrics-port={options.metrics_port}",
        *options.server_arguments,
    ]


def server_environment(
    environment: "Mapping[str, str]", triton: Path, home: "str | None"
) -> "dict[str, str]":
    """What Triton sees: its libraries in reach, and a home that can be written.

    The Python stub finds its libraries where the wheel had them, which is not where the image
    has them. Paddle, PaddleX and Matplotlib make folders in HOME when they are imported.

    Args:
        environment: the launcher's own.
        triton: the folder of Triton.
        home: a folder instead of HOME, when that cannot be written.
    """
    library = str(triton / "lib")
    paths = [path for path in environment.get("LD_LIBRARY_PATH", "").split(":") if path]
    if library not in paths:
        paths.insert(0, library)
    changed = {"LD_LIBRARY_PATH": ":".join(paths)}
    if home is not None:
        changed["HOME"] = home
    return {**environment, **changed}


def stub_fault(stub: Path, environment: "Mapping[str, str]") -> "Fault | None":
    """Whether the Python backend's process can start at all; if not, every load would hang."""
    try:
        done = subprocess.run(
            [str(stub)], env=dict(environment), capture_output=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Fault(str(stub), f"cannot be started: {error}", "The image is broken: build it anew")
    if done.returncode == _STUB_USAGE:
        return None
    said = done.stderr.decode("utf-8", errors="replace").strip() or f"code {done.returncode}"
    hint = "Its libraries must be in the image, libpython of the image's Python among them"
    return Fault(str(stub), f"cannot start: {said}", hint)


def port_faults(address: str, ports: "Mapping[str, int]") -> "list[Fault]":
    """Ports that are taken: another server's answers would be mistaken for ours."""
    faults = []
    for name, port in ports.items():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except (OSError, OverflowError) as error:
                hint = "Choose another port, or stop what listens there"
                faults.append(Fault(f"--{name}-port={port}", str(error), hint))
    return faults


def judge(options: argparse.Namespace) -> Verdict:
    """Look at the repository and judge it.

    Raises:
        OSError: the repository cannot be listed.
    """
    listing = read_listing(options.model_repository)
    verdict = inspect(listing, backends_of(options.triton / "backends"), options.load_model)
    empty = options.allow_empty and not verdict.models and not options.load_model
    faults = () if empty else (*verdict.faults, *numpy_faults(verdict, _numpy_version()))
    return Verdict(verdict.models, faults, verdict.python, verdict.strings)


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_arguments(arguments)
    try:
        verdict = judge(options)
    except OSError as error:
        return _refuse(options, [Fault(".", str(error), "Mount a model repository there")])
    if verdict.faults or options.check:
        return _refuse(options, verdict.faults) if verdict.faults else _approve(verdict)
    with tempfile.TemporaryDirectory(prefix="hps-home-") as scratch:
        home = None if _writable(os.environ.get("HOME")) else scratch
        environment = server_environment(os.environ, options.triton, home)
        faults = _runtime_faults(options, verdict, environment)
        if faults:
            return _refuse(options, faults)
        return _serve(options, verdict, environment)


def _serve(options: argparse.Namespace, verdict: Verdict, environment: "Mapping[str, str]") -> int:
    abandoned = remove_abandoned(SHARED_MEMORY)
    if abandoned:
        say(f"removed {abandoned} regions of shared memory of servers that were killed")
    regions = Regions(SHARED_MEMORY)
    try:
        plan = Plan(
            argv=server_command(options, verdict.models, regions.prefix),
            environment=environment,
            models=verdict.models,
            ready=lambda: is_ready(options.address, options.http_port),
            load_timeout=options.load_timeout,
            grace=options.grace + _MARGIN,
            keep=[regions.lock],
        )
        return Supervisor(plan, say).run()
    finally:
        regions.remove()


def _runtime_faults(
    options: argparse.Namespace, verdict: Verdict, environment: "Mapping[str, str]"
) -> "list[Fault]":
    faults = []
    server = options.triton / "bin" / "tritonserver"
    if not os.access(server, os.X_OK):
        faults.append(Fault(str(server), "cannot be executed", "Name Triton's folder by --triton"))
    stub = options.triton / "backends" / "python" / "triton_python_backend_stub"
    broken = stub_fault(stub, environment) if verdict.python else None
    if broken is not None:
        faults.append(broken)
    ports = {
        "http": options.http_port,
        "grpc": options.grpc_port,
        "metrics": options.metrics_port,
    }
    return faults + port_faults(options.address, ports)


def _refuse(options: argparse.Namespace, faults: "Sequence[Fault]") -> int:
    say(f"error: refused to start: {len(faults)} fault(s) in {options.model_repository}")
    for fault in faults:
        say(f"  {fault}")
    return REFUSED


def _approve(verdict: Verdict) -> int:
    say(f"the repository is sound: {', '.join(verdict.models) or 'no model'}")
    return 0


def _numpy_version() -> "str | None":
    try:
        return importlib.metadata.version("numpy")
    except importlib.metadata.PackageNotFoundError:
        return None


def _writable(folder: "str | None") -> bool:
    return folder is not None and Path(folder).is_dir() and os.access(folder, os.W_OK)


if __name__ == "__main__":
    sys.exit(main())
