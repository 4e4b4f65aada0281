"""`python3 -m hps_server.launch`: checks what is to be served and runs Triton on it.

The entry point of the image. It serves a package (`--package`, the `server` folder that
`hps assemble` writes) or any model repository (`--model-repository`). What Triton would hang on is
refused with a reason first, what hangs all the same is ended by a deadline. All models are named
as start-up models, so that no port answers before every one of them is ready. When the first
argument is a program (`/bin/bash server.sh`), it is run instead.

Exit codes: 0 stopped by a signal, 2 refused or wrong arguments, 3 a model did not load in time,
4 a model failed to load, 5 the server ended by itself (after a crash only when it was started four
times within an hour), 137 it had to be killed when stopping.
"""

import argparse
import importlib.metadata
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hps_server.companions import rest, watch
from hps_server.configuration import (
    ConfigurationError,
    add_arguments,
    complete,
    model_environment,
)
from hps_server.fit import compare, this_image
from hps_server.health import local
from hps_server.listing import backends_of, read_listing
from hps_server.logs import Log, restated
from hps_server.package import NAME, PackageError, read_package
from hps_server.probe import Ready
from hps_server.processes import stubs
from hps_server.repository import Fault, Verdict, inspect, numpy_faults
from hps_server.shared_memory import Regions, remove_abandoned
from hps_server.staging import Placement, StagingError, stage
from hps_server.supervise import RESTART, SERVER_DIED, Plan, Supervisor, held

REFUSED = 2
CONFIGURATION = "pipeline_config.yaml"
MODELS = "model_repo"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX puts it; names are random and locked
_STUB_USAGE = 1  # what the stub ends with when it is started without arguments
_MARGIN = 5.0  # seconds that Triton gets beyond its own exit timeout
_RESTARTS = 3  # new starts of a server within an hour
_HOUR = 3600.0
_GPUS = ("/dev/nvidiactl", "/dev/dxg", "/dev/nvhost-gpu")  # a card, Windows' Linux, a Jetson
_SHELLS = ("bash", "sh")
_TRITON_LEVELS = {
    "DEBUG": ["--log-verbose=1"],
    "INFO": [],
    "WARNING": ["--log-info=false"],
    "ERROR": ["--log-info=false", "--log-warning=false"],
    "CRITICAL": ["--log-info=false", "--log-warning=false"],
}


def program(arguments: "Sequence[str]") -> "list[str] | None":
    """The program to run in place of the launcher, as `docker run IMAGE /bin/bash server.sh` asks.

    The image's entrypoint gets such a command as its arguments.
    """
    first = arguments[0] if arguments else ""
    runs = first in _SHELLS or (first.startswith("/") and os.access(first, os.X_OK))
    return list(arguments) if runs and not Path(first).is_dir() else None


def parse_arguments(
    arguments: "Sequence[str] | None", environment: "Mapping[str, str]" = os.environ
) -> argparse.Namespace:
    """Read the command line, the environment and the settings file.

    What stands after `--` goes to tritonserver as it is.
    """
    parser = argparse.ArgumentParser(
        prog="python3 -m hps_server.launch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--package", type=Path, metavar="DIR", help="a package's folder `server`")
    what.add_argument("--model-repository", type=Path, metavar="DIR")
    add("--load-model", action="append", default=[], metavar="NAME", help="default: all models")
    add("--allow-empty", action="store_true", help="start without any model")
    add("--allow-mismatch", action="store_true", help="serve a package that does not fit")
    add("--triton", type=Path, default=Path("/opt/tritonserver"), metavar="DIR")
    add("--check", action="store_true", help="only judge what is there")
    add_arguments(parser)
    add("server_arguments", nargs="*", metavar="-- ARGUMENT", help="passed to tritonserver")
    options = parser.parse_args(arguments)
    try:
        complete(options, environment)
    except ConfigurationError as error:
        parser.error(str(error))
    if options.rest_port and options.package is None:
        parser.error("--rest-port needs --package: it serves the operations of a package")
    return options


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
        f"--model-control-mode={options.model_control_mode}",
        *[f"--load-model={name}" for name in models if options.model_control_mode == "explicit"],
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        *_shared_memory(options.shared_memory),
        *_TRITON_LEVELS[options.log_level],
        "--strict-readiness=false",
        f"--exit-timeout-secs={options.grace}",
        *[f"--{service}-address={address}" for service in ("http", "grpc", "metrics")],
        f"--http-port={options.http_port}",
        f"--grpc-port={options.grpc_port}",
        f"--metrics-port={options.metrics_port}",
        *options.server_arguments,
    ]


def _shared_memory(mebibytes: "int | None") -> "list[str]":
    if mebibytes is None:
        return []
    return [f"--backend-config=python,shm-default-byte-size={mebibytes << 20}"]


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
    given = list(sys.argv[1:] if arguments is None else arguments)
    instead = program(given)
    if instead is not None:
        os.execvp(instead[0], instead)  # noqa: S606 - what the user asked for, as every entrypoint
    options = parse_arguments(given)
    say = Log(options.log_format)
    with tempfile.TemporaryDirectory(prefix="hps-server-") as scratch:
        environment = dict(os.environ)
        environment.update(model_environment(options, environment))
        if options.package is not None:
            problem = _unpack(options, environment, Path(scratch), say)
            if problem:
                return _refuse(options.package, [problem], say)
        return _judge_and_serve(options, environment, Path(scratch), say)


def _unpack(
    options: argparse.Namespace, environment: "dict[str, str]", scratch: Path, say: Log
) -> "Fault | str":
    """Compare a package with the image and make its models ready; why it cannot be served."""
    folder = options.package.absolute()
    try:
        package = read_package(folder / NAME)
        if not (folder / CONFIGURATION).is_file():
            return Fault(CONFIGURATION, "is missing", "Name the folder `server` of a package")
        fit = compare(package, this_image(environment))
        if fit.misfit and not options.allow_mismatch:
            return fit.misfit
        if fit.misfit or fit.warning:
            say.say("warning", fit.misfit or fit.warning)
        if options.device == "gpu" and not any(map(os.path.exists, _GPUS)):
            say.say("warning", "no GPU is in sight; PADDLEX_HPS_DEVICE_TYPE=cpu does without")
        placement = Placement(options.device, options.devices or (), options.instances)
        options.model_repository = scratch / "models"
        stage(folder / MODELS, options.model_repository, placement)
    except (PackageError, StagingError) as error:
        return str(error)
    environment["HPS_PACKAGE"] = str(folder / NAME)
    if not environment.get("PADDLEX_HPS_PIPELINE_CONFIG_PATH"):
        environment["PADDLEX_HPS_PIPELINE_CONFIG_PATH"] = str(folder / CONFIGURATION)
    return ""


def _judge_and_serve(
    options: argparse.Namespace, environment: "dict[str, str]", scratch: Path, say: Log
) -> int:
    shown = options.package or options.model_repository
    try:
        verdict = judge(options)
    except OSError as error:
        return _refuse(shown, [Fault(".", str(error), "Mount a model repository there")], say)
    if verdict.faults:
        return _refuse(shown, verdict.faults, say)
    if options.check:
        return _approve(verdict, say)
    home = None if _writable(environment.get("HOME")) else _folder(scratch / "home")
    environment = server_environment(environment, options.triton, home)
    faults = _runtime_faults(options, verdict, environment)
    if faults:
        return _refuse(shown, faults, say)
    return _serve(options, verdict, environment, scratch, say)


def _serve(
    options: argparse.Namespace,
    verdict: Verdict,
    environment: "Mapping[str, str]",
    scratch: Path,
    say: Log,
) -> int:
    abandoned = remove_abandoned(SHARED_MEMORY)
    if abandoned:
        say(f"removed {abandoned} regions of shared memory of servers that were killed")
    starts: list[float] = []
    with held():
        while True:
            starts = [at for at in starts if time.monotonic() - at < _HOUR] + [time.monotonic()]
            regions = Regions(SHARED_MEMORY)
            try:
                code = _run(options, verdict, environment, scratch, regions=regions, say=say)
            finally:
                regions.remove()
            if code != RESTART:
                return code
            if len(starts) > _RESTARTS:
                say(f"error: the server was started {len(starts)} times within an hour; no more")
                return SERVER_DIED
            say("starting the server anew")


def _run(
    options: argparse.Namespace,
    verdict: Verdict,
    environment: "Mapping[str, str]",
    scratch: Path,
    *,
    regions: Regions,
    say: Log,
) -> int:
    state = scratch / "state.json"
    state.unlink(missing_ok=True)  # of the server before
    beside = [watch(options, state)]
    if options.rest_port:
        beside.append(rest(options, state))
    plan = Plan(
        argv=server_command(options, verdict.models, regions.prefix),
        environment=environment,
        models=verdict.models,
        ready=Ready((local(options.address), options.http_port), verdict.models),
        load_timeout=options.load_timeout,
        grace=options.grace * len(beside) + _MARGIN,
        keep=[regions.lock],
        companions=beside,
        over=_without_models if _only_python(options) else None,
        rewrite=restated if options.log_format == "json" else None,
    )
    return Supervisor(plan, say).run()


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
    if options.rest_port:
        ports["rest"] = options.rest_port
    return faults + port_faults(options.address, ports)


def _refuse(shown: Path, faults: "Sequence[Fault | str]", say: Log) -> int:
    say(f"error: refused to start: {len(faults)} fault(s) in {shown}")
    for fault in faults:
        say(f"  {fault}")
    return REFUSED


def _approve(verdict: Verdict, say: Log) -> int:
    say(f"the repository is sound: {', '.join(verdict.models) or 'no model'}")
    return 0


def _numpy_version() -> "str | None":
    try:
        return importlib.metadata.version("numpy")
    except importlib.metadata.PackageNotFoundError:
        return None


def _without_models(server: int) -> bool:
    return not stubs(server)


def _only_python(options: argparse.Namespace) -> bool:
    """Whether every model has processes of its own to look for."""
    return backends_of(options.triton / "backends") == {"python"}


def _folder(path: Path) -> str:
    path.mkdir()
    return str(path)


def _writable(folder: "str | None") -> bool:
    return folder is not None and Path(folder).is_dir() and os.access(folder, os.W_OK)


if __name__ == "__main__":
    sys.exit(main())
