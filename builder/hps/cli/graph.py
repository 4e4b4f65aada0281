"""`hps graph`: the steps of a target, for dot(1) or as JSON."""

import json

import click

from hps.build.graph import Graph
from hps.cli.options import json_option, platform_option, project, report, wants_json
from hps.derivation.record import Step
from hps.lock.stale import fresh_target


@click.command("graph")
@click.argument("target")
@platform_option
@json_option
@click.pass_context
def command(context: click.Context, /, target: str, platform: str | None, **_: object) -> None:
    """Print the build graph of TARGET in the DOT language.

    \b
    hps graph cpu | dot -Tsvg > graph.svg
    """
    opened = project(context)
    name = opened.one_target(target, platform)
    lock = opened.require_lock()
    locked = fresh_target(lock, name, opened.inputs(name))
    graph = Graph(locked, opened.target(name), lock.source_date_epoch)
    steps: dict[Step, None] = {}
    for layer in graph.layers:
        _collect(layer.step, steps)
    numbers = {step: f"s{number}" for number, step in enumerate(steps)}
    if wants_json(context):
        report(
            [
                {
                    "id": numbers[step],
                    "kind": step.kind,
                    "label": step.label,
                    "needs": [
                        numbers[value[0]]
                        for value in step.inputs.values()
                        if isinstance(value, tuple)
                    ],
                }
                for step in steps
            ]
        )
        return
    click.echo("digraph hps {\n  rankdir=LR; node [shape=box];")
    for step, number in numbers.items():
        click.echo(f"  {number} [label={json.dumps(step.label)}];")
        for value in step.inputs.values():
            if isinstance(value, tuple):
                click.echo(f"  {numbers[value[0]]} -> {number};")
    click.echo("}")


def _collect(step: Step, steps: dict[Step, None]) -> None:
    if step in steps:
        return
    for value in step.inputs.values():
        if isinstance(value, tuple):
            _collect(value[0], steps)
    steps[step] = None
