"""`hps run`: start an image."""

import contextlib
import shlex
import signal
import tempfile
import types
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from hps.build.image import Built, build
from hps.build.rootfs import root_file_system
from hps.build.running import (
    REST_PORT,
    Bubblewrapped,
    Mount,
    Run,
    Running,
    execute,
    free_ports,
    wait_until_ready,
    wanted_ports,
)
from hps.build.serving import (
    APP,
    locked_pipeline,
    model_folders,
    set_weights,
    unpack_server,
    weights_mounts,
)
from hps.build.weights import configuration
from hps.build.workbench import Workbench
from hps.cli.options import cache_options, platform_option, work_options, workbench
from hps.lock.stale import fresh_target


@click.command("run", context_settings={"ignore_unknown_options": True})
@click.argument("target")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--engine",
    type=click.Choice(["bubblewrap", "docker"]),
    default="bubblewrap",
    show_default=True,
    help="What starts the image; Docker needs a daemon.",
)
@click.option(
    "-m",
    "--models",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A model repository, shown read-only at /models.",
)
@click.option(
    "--pipeline",
    metavar="NAME",
    help="Serve this pipeline of hps.toml with the weights that are locked.",
)
@click.option(
    "--package",
    type=click.Path(exists=True, path_type=Path),
    help="The pipeline's package, a folder or .tar.gz of `hps assemble` (default: it is assembled "
    "from the project's catalogue, for this run only).",
)
@click.option(
    "-v", "--mount", "mounts", multiple=True, metavar="FOLDER:/INSIDE[:rw]", help="Show a folder."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65533),
    default=8000,
    show_default=True,
    help="HTTP there, gRPC and metrics on the next two; 0 takes free ones.",
)
@click.option(
    "--rest-port",
    type=click.IntRange(0, 65535),
    help="The REST facade of --pipeline there; 0 takes a free one. Without it there is none.",
)
@click.option(
    "--entrypoint", metavar="COMMAND", help="Run this in place of the image's entrypoint."
)
@click.option("--address", default="127.0.0.1", show_default=True, help="Where it listens.")
@click.option(
    "-e",
    "--env",
    "environment",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a variable inside; wins over the image's.",
)
@click.option(
    "--then",
    metavar="COMMAND",
    help="When the server is ready, and the REST facade too, run this command here with "
    "HPS_HTTP_PORT, HPS_GRPC_PORT, HPS_METRICS_PORT and HPS_REST_PORT set, then stop the image and "
    "end with the command's exit code; with 8 when that is 0 but the image ended by itself "
    "meanwhile.",
)
@click.option(
    "--deadline",
    type=click.FloatRange(1),
    default=300.0,
    show_default=True,
    help="Seconds within which the server must be ready for --then.",
)
@platform_option
@cache_options
@work_options
@click.pass_context
def command(
    context: click.Context,
    /,
    target: str,
    arguments: tuple[str, ...],
    *,
    engine: str,
    entrypoint: str | None,
    models: Path | None,
    pipeline: str | None,
    package: Path | None,
    mounts: tuple[str, ...],
    port: int,
    rest_port: int | None,
    address: str,
    environment: tuple[str, ...],
    then: str | None,
    deadline: float,
    platform: str | None,
    **_: object,
) -> int:
    """Build TARGET if needed and start it; ARGUMENTS replace the image's command.

    Of a target for several platforms the image for this machine is started. One for another machine
    (--platform) runs emulated, where qemu-user is installed: many times slower.

    \b
    hps run cpu --models sdk/examples/models
    hps run cpu --models models --port 0 --then 'python ask.py'
    hps run cpu --pipeline OCR --rest-port 8080
    hps run cpu --entrypoint python3 -- -c 'import paddle; print(paddle.__version__)'
    """
    words = None if entrypoint is None else tuple(shlex.split(entrypoint))
    given = dict(_pair(text) for text in environment)
    shown = [Mount.parse(text) for text in mounts]
    _check(pipeline, package, rest_port, given)
    wanted = wanted_ports(port, rest_port)
    bench = workbench(context)
    target = bench.project.one_target(target, platform)
    built = build(bench, target)
    settings = built.settings
    if words is not None:
        settings = settings.model_copy(update={"entrypoint": words, "command": ()})
    if models is not None:
        shown.append(Mount(models.absolute(), "/models"))
    with contextlib.ExitStack() as stack:
        if pipeline is not None:
            shown += _served(bench, target, pipeline, package, stack)
            arguments = ("--package", APP, *arguments)
        run = Run(
            root=root_file_system(bench, built, stack) if engine == "bubblewrap" else None,
            settings=settings,
            ports=free_ports(wanted) if engine == "bubblewrap" else wanted,
            arguments=arguments,
            mounts=shown,
            address=address,
            environment=given,
            platform=built.image.platform,
        )
        signal.signal(signal.SIGTERM, _interrupt)
        with _started(run, built, engine, bench.progress.note) as running:
            try:
                running.start()
                if rest_port == 0:
                    bench.progress.note(f"the REST facade gets port {running.ports.rest}")
                if then is None:
                    return running.wait()
                wait_until_ready(running, deadline)
                return execute(running, shlex.split(then), bench.progress.note)
            except KeyboardInterrupt:
                return running.stop()


def _check(
    pipeline: str | None, package: Path | None, rest_port: int | None, given: Mapping[str, str]
) -> None:
    """Refuse options that cannot go together, before anything is built."""
    if package is not None and pipeline is None:
        raise click.UsageError("--package: say with --pipeline which pipeline of hps.toml it is")
    if rest_port is not None and pipeline is None:
        raise click.UsageError("--rest-port: say with --pipeline which pipeline of hps.toml it is")
    if rest_port is not None and REST_PORT in given:
        raise click.UsageError(f"--rest-port and --env {REST_PORT} say the same thing twice")


def _served(
    bench: Workbench, target: str, name: str, package: Path | None, stack: contextlib.ExitStack
) -> list[Mount]:
    """What a pipeline needs: its package's server folder, and the weights that it loads."""
    locked = fresh_target(bench.project.require_lock(), target, bench.project.inputs(target))
    pipeline = locked_pipeline(locked, name)
    mounts = weights_mounts(bench, locked, pipeline, stack)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hps-server-")))
    folder.chmod(0o755)  # the user of the image reads it
    own = None
    if package is not None:
        unpack_server(bench, name, package, folder)
    else:
        _assemble_server(bench, name, folder)
        if bench.project.config.pipelines[name].config is not None:
            own = configuration(bench, locked, name)
    set_weights(folder, model_folders(locked, pipeline), own)
    return [*mounts, Mount(folder, APP)]


def _assemble_server(bench: Workbench, name: str, folder: Path) -> None:
    """Write the server folder of a package that is made for this run."""
    from hps.sdk.catalogue_files import chosen, read_catalogue
    from hps.sdk.ingredients import gather
    from hps.sdk.package import members

    (pipeline,) = chosen(read_catalogue(bench.project.root), (name,), every=False)
    with bench.store.session():
        made_of = gather(bench, [pipeline], server=True, client=False)
    for member in members(pipeline, made_of):
        top, _, path = member.path.partition("/")
        if top == "server":
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(member.data)
            place.chmod(member.mode)


def _started(
    run: Run, built: Built, engine: str, note: Callable[[str], None]
) -> contextlib.AbstractContextManager[Running]:
    if engine == "bubblewrap":
        return Bubblewrapped(run)
    from hps.build.docker_running import dockered

    return dockered(run, built.layout, str(built.image.reference), note)


def _pair(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark or not name:
        raise click.UsageError(f"--env: expected NAME=VALUE, got {text!r}")
    return name, value


def _interrupt(number: int, frame: types.FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
