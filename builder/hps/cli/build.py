"""`hps build`: images from hps.lock, proved against it."""

from pathlib import Path

import click

from hps.build.image import Built, build
from hps.cli.options import json_option, project, report, wants_json, work_options, workbench
from hps.cli.progress import size


@click.command("build")
@click.argument("targets", nargs=-1)
@click.option(
    "--frozen",
    is_flag=True,
    help="Refuse a stale lock and resolve nothing. It is always so; the word says it to readers.",
)
@click.option("--check", is_flag=True, help="Make every layer again from its artifacts, compare.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write the OCI image layout there (default: .hps/images/TARGET); one target only. "
    "A name that ends in .tar gives an archive for `docker load`.",
)
@work_options
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    targets: tuple[str, ...],
    *,
    check: bool,
    output: Path | None,
    **_: object,
) -> None:
    """Build TARGETS (default: all) from hps.lock.

    Every layer is compared with the digest that the lock predicts; a difference ends the build
    with code 7 and names the layer and the first path. Prints the digest of each image.

    \b
    hps build --frozen            build all targets, refuse a stale lock
    hps build cpu --offline       use only what the store has
    hps build cpu --check         build again and compare byte for byte
    """
    names = project(context).target_names(targets)
    if output is not None and len(names) != 1:
        raise click.UsageError("--output takes one target")
    bench = workbench(context)
    archive = output if output is not None and output.suffix == ".tar" else None
    layout = None if archive else output
    results = [
        build(bench, name, again=check, verify=archive is not None, output=layout) for name in names
    ]
    if archive:
        from hps.oci.archive import write_archive

        write_archive(archive, [results[0].image], bench.store.path, epoch=0)
    if wants_json(context):
        report([as_json(one) for one in results])
        return
    for one in results:
        total = sum(layer.blob.size for layer in one.layers)
        state = "built" if one.changed else "up to date"
        bench.progress.note(
            f"{one.target}: {state}, {len(one.layers)} layers, {size(total)}, in {one.layout}"
        )
        click.echo(f"{one.image.digest} {one.target}")


def as_json(built: Built) -> dict[str, object]:
    """A built image for `--json`."""
    return {
        "target": built.target,
        "digest": str(built.image.digest),
        "image_id": str(built.image.image_id),
        "layout": str(built.layout),
        "changed": built.changed,
        "layers": [
            {
                "name": layer.name,
                "diff_id": str(layer.blob.digest),
                "size": layer.blob.size,
                "locked": layer.locked,
            }
            for layer in built.layers
        ],
    }
