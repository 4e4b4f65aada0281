"""`hps why`: from a path of an image back to who asked for it."""

from dataclasses import asdict

import click

from hps.build.finding import Origin, find
from hps.build.healing import healing
from hps.build.image import build
from hps.build.reasons import reasons
from hps.cli.options import (
    json_option,
    platform_option,
    project,
    report,
    wants_json,
    work_options,
    workbench,
)
from hps.cli.sizes import size
from hps.config.platforms import base_name
from hps.errors import UsageError


@click.command("why")
@click.argument("path")
@click.option("-t", "--target", help="The image (default: the first default target).")
@platform_option
@work_options
@json_option
@click.pass_context
def command(
    context: click.Context, /, path: str, *, target: str | None, platform: str | None, **_: object
) -> None:
    """Say which layer, artifact and requirement brought PATH into an image.

    PATH may be a pattern. The image is built first when it is not there.

    \b
    hps why /usr/bin/python3.11
    hps why '*/libssl.so*' --target cpu
    """
    opened = project(context)
    first = base_name(opened.target_names(())[0])
    name = opened.one_target(target or first, platform)
    bench = workbench(context)
    found = healing(bench, lambda _: find(bench, build(bench, name), path))
    if not found:
        raise UsageError(f"the image {name} has no path {path}", hint="try a pattern: '*/NAME'")
    locked = opened.require_lock().target(name)
    config = opened.config.targets[name]
    lines = {
        (owner, layer): reasons(locked, config, owner, layer)
        for owner, layer in {(one.owner, one.layer) for one in found}
    }
    if wants_json(context):
        report([asdict(one) | {"because": list(lines[one.owner, one.layer])} for one in found])
        return
    for one in found:
        _show(one, lines[one.owner, one.layer])


def _show(one: Origin, because: tuple[str, ...]) -> None:
    what = size(one.size) if one.kind == "file" else one.kind
    arrow = f" -> {one.content}" if one.kind == "symlink" else ""
    click.echo(f"{one.path}{arrow} ({what})")
    click.echo(f"  layer {one.layer}")
    for below in one.over:
        click.echo(f"  over layer {below['layer']}, {below['owner']}")
    for line in because:
        click.echo(f"  {line}")
