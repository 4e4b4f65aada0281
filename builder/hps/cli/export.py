"""`hps export`: the Python packages of a target for other installers, and its SBOM."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import click

from hps.cli.options import index_option, platform_option, project, work_options, workbench
from hps.errors import IntegrityError

if TYPE_CHECKING:
    from hps.build.workbench import Workbench
    from hps.lock.records import LockedTarget, Sdist, Wheel

_LOOKUPS = 8  # pages of an index asked for at a time


_output = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file instead of stdout.",
)


def _arguments(function: Callable[..., None]) -> Callable[..., None]:
    return click.argument("target")(platform_option(_output(function)))


@click.group()
def command() -> None:
    """Write what pip and uv install the same Python packages from, or what an image is made of.

    The files for pip and uv are for the Python, platform and glibc of the target, and hold one
    file per package.
    """


@command.command()
@_arguments
@click.pass_context
def requirements(
    context: click.Context, target: str, platform: str | None, output: Path | None
) -> None:
    """Write a requirements.txt with hashes; it names no host.

    Install with `pip install --require-hashes -r FILE` or `uv pip sync --require-hashes FILE`.
    """
    from hps.lock.export import requirements as make

    _write(make(_locked(context, target, platform)), output)


@command.command()
@_arguments
@index_option
@click.pass_context
def pylock(
    context: click.Context,
    /,
    target: str,
    platform: str | None,
    output: Path | None,
    **_options: Any,
) -> None:
    """Write a pylock.toml (PEP 751) for this machine.

    The format demands an address for every file and hps.lock holds none, so each file is looked
    up on the indexes of this machine now. Credentials are left out.
    """
    from hps.lock.export import pylock as make

    locked = _locked(context, target, platform)
    addresses = _look_up(workbench(context), locked)
    _write(make(locked, lambda package: addresses[package.file]), output)


@command.command()
@click.argument("target", required=False)
@_output
@platform_option
@work_options
@click.pass_context
def sbom(
    context: click.Context,
    /,
    target: str | None,
    platform: str | None,
    output: Path | None,
    **_: object,
) -> None:
    """Write a software bill of materials (CycloneDX 1.6 JSON).

    Every artifact of the lock with its package URL, digest, licence and who needs it; TARGET may
    be left out when there is one, or one by default. The image need not be built: only wheels and
    the Debian layer are read, which are fetched and made when the store lacks them.
    """
    from hps.build.platforms import groups
    from hps.build.sbom_export import make_sbom

    opened = project(context)
    names = [target] if target else list(groups(opened.target_names(())))
    if len(names) != 1:
        raise click.UsageError(f"which target: {', '.join(names)}?")
    name = opened.one_target(names[0], platform)
    _write_bytes(make_sbom(workbench(context), name), output)


def _locked(context: click.Context, target: str, platform: str | None) -> "LockedTarget":
    from hps.lock.stale import fresh_target

    opened = project(context)
    name = opened.one_target(target, platform)
    return fresh_target(opened.require_lock(), name, opened.inputs(name))


def _look_up(bench: "Workbench", target: "LockedTarget") -> Mapping[str, str]:
    """The address of each file on this machine's indexes, by file name."""
    from hps.lock.export import python_packages
    from hps.store.request import PythonOrigin

    packages = python_packages(target)
    indexes = {
        alias: bench.python_index(alias)
        for alias in sorted({package.index for package in packages})
    }

    def look_up(package: "Wheel | Sdist") -> tuple[str, str]:
        place = indexes[package.index].place(
            PythonOrigin(alias=package.index, project=package.name), package.file
        )
        if place.digest is not None and place.digest != package.digest:
            raise IntegrityError(
                f"the index {package.index!r} has other bytes for {package.file}",
                expected=package.digest,
                got=place.digest,
                hint="use the index that the lock was made with (-p), or lock again",
            )
        return package.file, _public(place.url)

    with bench.index_http, ThreadPoolExecutor(_LOOKUPS) as threads:
        return dict(threads.map(look_up, packages))


def _public(url: str) -> str:
    """An address without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _write(text: str, output: Path | None) -> None:
    _write_bytes(text.encode(), output)


def _write_bytes(data: bytes, output: Path | None) -> None:
    if output is None:
        click.echo(data, nl=False)
        return
    from hps.build.project import write_atomically

    write_atomically(output, data)
