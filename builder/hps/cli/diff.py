"""`hps diff`: two locks compared."""

from dataclasses import asdict
from pathlib import Path

import click

from hps.cli.options import json_option, report, wants_json
from hps.cli.sizes import size
from hps.lock import text
from hps.lock.difference import Difference, difference

_MARKS = {"added": "+", "removed": "-", "changed": "~"}


@click.command("diff")
@click.argument("old", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("new", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@click.pass_context
def command(context: click.Context, /, old: Path, new: Path, **_: object) -> None:
    """Compare the locks OLD and NEW: packages, layers, and bytes that have to move.

    \b
    git show HEAD~1:hps.lock > old.lock && hps diff old.lock hps.lock
    """
    locks = [text.read(path.read_bytes(), name=str(path)) for path in (old, new)]
    found = difference(locks[0], locks[1])
    if wants_json(context):
        report(asdict(found))
    else:
        show(found, data=True)


def show(found: Difference, *, data: bool = False) -> None:
    """Print a difference; on stderr unless it is the data that was asked for."""

    def line(words: str) -> None:
        click.echo(words, err=not data)

    for one in found.packages:
        versions = " -> ".join(version for version in (one.old, one.new) if version)
        line(f"{_MARKS[one.change]} {one.target} {one.kind} {one.name} {versions}")
    for layer in found.layers:
        old = layer.old[:12] or "new"
        line(f"  {layer.target} layer {layer.name}: {old} -> {layer.new[:12]}, {size(layer.size)}")
    share = f" ({100 * found.moved / found.total:.1f} %)" if found.total else ""
    line(f"{size(found.moved)} of {size(found.total)} have to move{share}")
