"""`hps load`: hand an image to a Docker daemon."""

import click

from hps.build.image import build
from hps.cli.options import json_option, report, wants_json, work_options, workbench
from hps.oci.docker import load_layout
from hps.oci.image import image_reference


@click.command("load")
@click.argument("target")
@click.option("-t", "--tag", help="Name and tag in Docker (default: PROJECT:TARGET).")
@work_options
@json_option
@click.pass_context
def command(context: click.Context, /, target: str, *, tag: str | None, **_: object) -> None:
    """Build TARGET if needed, load it into Docker, and check that Docker has the same image ID."""
    bench = workbench(context)
    bench.project.target(target)
    built = build(bench, target, verify=True)
    name = image_reference(bench.project.config.project.name, target)
    image = load_layout(built.layout, name, tag=tag)
    if wants_json(context):
        report({"name": tag or name, "image_id": image})
    else:
        click.echo(f"{image} {tag or name}")
