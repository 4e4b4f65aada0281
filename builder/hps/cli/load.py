"""`hps load`: hand an image to a Docker daemon."""

import click

from hps.build.laid_out import laid_out
from hps.cli.options import (
    cache_options,
    json_option,
    platform_option,
    report,
    wants_json,
    work_options,
    workbench,
)
from hps.oci.docker import load_layout


@click.command("load")
@click.argument("target")
@click.option("-t", "--tag", help="Name and tag in Docker (default: PROJECT:TARGET).")
@platform_option
@cache_options
@work_options
@json_option
@click.pass_context
def command(
    context: click.Context, /, target: str, *, tag: str | None, platform: str | None, **_: object
) -> None:
    """Build TARGET if needed, load it into Docker, and check that Docker has the same image ID.

    Of a target for several platforms the image for this machine is loaded, or that of --platform.
    """
    bench = workbench(context)
    one = bench.project.one_target(target, platform)
    layout = laid_out(bench, (one,), verify=True)
    name = bench.project.reference(one)
    image = load_layout(layout, name, tag=tag)
    if wants_json(context):
        report({"name": tag or name, "image_id": image})
    else:
        click.echo(f"{image} {tag or name}")
