"""`hps init`: a first hps.toml to change."""

from pathlib import Path

import click

from hps.build.project import CONFIG, write_atomically
from hps.config.load import parse
from hps.config.scaffold import REQUIREMENTS, name_for, scaffold
from hps.errors import UsageError

_REQUIREMENTS = "requirements.in"


@click.command("init")
@click.argument("directory", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", help="Name of the project (default: that of the directory).")
@click.option("--force", is_flag=True, help="Replace an hps.toml that is there.")
@click.pass_context
def command(
    context: click.Context, directory: Path | None, name: str | None, *, force: bool
) -> None:
    """Write a commented hps.toml into DIRECTORY, which is made if need be.

    A requirements.in is written too unless there is one.
    """
    base: Path = context.find_root().obj["directory"]
    folder = (base / directory if directory else base).absolute()
    text = scaffold(name_for(folder.resolve().name) if name is None else name)
    parse(text, CONFIG)
    path = folder / CONFIG
    if (path.exists() or path.is_symlink()) and not force:
        raise UsageError(f"{path} is there already", hint="`hps init --force` replaces it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
        if not (folder / _REQUIREMENTS).exists():
            write_atomically(folder / _REQUIREMENTS, REQUIREMENTS.encode())
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    click.echo(f"{path} is written; read it and change what is not yours, then", err=True)
    click.echo("  hps lock            decides every artifact and layer, writes hps.lock", err=True)
    click.echo("  hps build --frozen  builds the image from it", err=True)
