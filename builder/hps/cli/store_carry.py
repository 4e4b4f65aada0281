"""`hps store export` and `hps store import`: a store carried on a disk."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hps.cli.options import index_option, json_option, project, wants_json
from hps.cli.sizes import size

if TYPE_CHECKING:
    from hps.store.blobs import Store


@click.command("export")
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.argument("place", type=click.Path(path_type=Path), metavar="DIR|ARCHIVE")
@click.option(
    "--include",
    multiple=True,
    metavar="NAME",
    help="Export this artifact too, though hps.toml says that it may not be redistributed; may be "
    "repeated.",
)
@click.option("--offline", is_flag=True, help="Fetch nothing; all of it has to be in the store.")
@index_option
@json_option
@click.pass_context
def export(
    context: click.Context,
    /,
    *,
    targets: tuple[str, ...],
    place: Path,
    include: tuple[str, ...],
    **_: object,
) -> None:
    """Write what TARGETS (default: all) are built from to a folder, or to a file NAME.tar.

    On a machine without a network `hps store import` takes it, and `hps build --frozen --offline`
    builds the same images from it. What the store lacks is fetched first. It holds the artifacts
    of hps.lock and nothing else; layers are made again from them (`hps cache push` carries
    layers).

    A folder that holds an export already is brought up to date: what is whole there stays, what is
    not needed any more is removed, and after an interruption the next run carries on. The same
    lock gives the same bytes.

    \b
    hps store export /media/stick/hps            all targets
    hps store export cpu cpu.tar                 one target, as an archive
    hps store export gpu disk --include cudnn    what may not be redistributed, by name
    """
    from hps.build.exporting import plan, write
    from hps.cli.options import workbench
    from hps.cli.store import progress_of

    context.params["store"] = _store(context).root
    opened = project(context)
    names = opened.target_names(targets)
    bench = workbench(context)
    planned = plan(bench, names, include)
    for one in planned.named:
        click.echo(f"asked for by name, and not to be handed on further: {one}", err=True)
    with progress_of("export", planned.manifest.size) as progress:
        done = write(bench, planned, place, progress)
    if wants_json(context):
        facts = {
            "path": str(place),
            "targets": list(planned.manifest.targets),
            "blobs": len(planned.manifest.blobs),
            "bytes": planned.manifest.size,
            "written": done.written,
            "written_bytes": done.size,
            "present": done.present,
        }
        click.echo(json.dumps(facts, indent=2))
        return
    there = f", {done.present} were there" if done.present else ""
    click.echo(
        f"{place}: {len(planned.manifest.blobs)} blobs, {size(planned.manifest.size)}, "
        f"for {', '.join(planned.manifest.targets)}{there}"
    )


@click.command("import")
@click.argument("place", type=click.Path(exists=True, path_type=Path), metavar="DIR|ARCHIVE")
@json_option
@click.pass_context
def import_(context: click.Context, /, *, place: Path, **_: object) -> None:
    """Bring an export into the store; every byte is compared with its digest.

    What the store has is not read again, so an interrupted import carries on. Damaged and missing
    blobs are listed (exit 5); those that are whole are kept all the same. Nothing is believed about
    what steps come out as: `hps build` makes the layers and compares them with hps.lock.

    \b
    hps store import /media/stick/hps
    hps store import cpu.tar && hps build --frozen --offline cpu
    """
    from hps.cli.store import progress_of
    from hps.store.export_read import read_export, read_manifest

    store, total = _store(context), read_manifest(place).size
    with (
        store.session(lambda: click.echo("waiting for others that use the store", err=True)),
        progress_of("import", total) as progress,
    ):
        done = read_export(store, place, progress)
    facts = {
        "path": str(place),
        "project": done.manifest.project,
        "targets": list(done.manifest.targets),
        "blobs": len(done.manifest.blobs),
        "bytes": done.manifest.size,
        "added": done.added,
        "added_bytes": done.size,
        "present": done.present,
    }
    if wants_json(context):
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo(
        f"{place}: {done.added} of {len(done.manifest.blobs)} blobs added, {size(done.size)}, "
        f"for {', '.join(done.manifest.targets)} of {done.manifest.project}"
    )


def _store(context: click.Context) -> "Store":
    store: Store = context.meta["hps.store"]
    return store
