"""`hps build --challenge`: the options, and the report for people."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hps.cli.options import project, report, target_names, wants_json, workbench

if TYPE_CHECKING:
    from hps.release.challenge import Report, Result
    from hps.release.challenge_compare import LayerDifference, PathDifference, Side

F = TypeVar("F", bound=Callable[..., Any])
_HEX_COLUMNS = 16


def challenge_options(function: F) -> F:
    """What belongs to --challenge."""
    for option in (
        click.option(
            "--python",
            "pythons",
            multiple=True,
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="With --challenge: another interpreter that has what hps needs.",
        ),
        click.option(
            "--together",
            is_flag=True,
            help="With --challenge: one build under all conditions that can be combined.",
        ),
        click.option(
            "--only",
            multiple=True,
            metavar="CONDITION",
            help="With --challenge: this condition alone.",
        ),
        click.option(
            "--challenge",
            is_flag=True,
            help="Build again from artifacts alone under varied conditions (folder, user, clock, "
            "locale, processors, ...) and compare; code 7 when one differs.",
        ),
    ):
        function = option(function)
    return function


def check_options(context: click.Context) -> bool:
    """Whether it is a challenge; raises click.UsageError for options that would mean nothing."""
    given = context.params
    own = {"only": "--only", "together": "--together", "pythons": "--python"}
    others = {"check": "--check", "output": "--output"}
    if not given["challenge"]:
        for name, option in own.items():
            if given[name]:
                raise click.UsageError(f"{option} belongs to --challenge")
        return False
    for name, option in others.items():
        if given[name]:
            raise click.UsageError(f"--challenge and {option} exclude each other")
    if given["sandbox"] != "bubblewrap":
        raise click.UsageError("--challenge varies what bubblewrap runs, not --sandbox docker")
    return True


def challenge(context: click.Context, targets: tuple[str, ...]) -> None:
    """Challenge the image of each target, print the report, and end with its exit code."""
    from hps.release import challenge

    given = context.params
    bench = workbench(context)
    reports = [
        challenge.challenge(
            bench,
            name,
            only=given["only"],
            at_once=given["together"],
            pythons=given["pythons"],
        )
        for name in _for_this_machine(context, targets)
    ]
    if wants_json(context):
        report([one.as_json() for one in reports])
    else:
        for one in reports:
            click.echo("\n".join(lines(one)))
    context.exit(max(one.exit_code for one in reports))


def _for_this_machine(context: click.Context, targets: tuple[str, ...]) -> list[str]:
    """The targets that can be challenged: what varies is this machine, not an emulated one."""
    from hps.derivation.emulation import host_platform

    opened, here = project(context), host_platform()
    names = target_names(context, targets)
    ours = [name for name in names if opened.target(name).platform == here]
    for name in names:
        if name not in ours:
            other = opened.target(name).platform
            click.echo(f"{name} is left out: it is for {other}; this machine varies", err=True)
    if not ours:
        raise click.UsageError(f"--challenge is for images of this machine, {here}")
    return ours


def lines(challenged: "Report") -> list[str]:
    """A report for people."""
    names = max(len(one.condition.name) for one in challenged.results)
    states = max(len(_state(one)) for one in challenged.results)
    found = [f"{challenged.target} {challenged.digest}"]
    found += [
        f"  {one.condition.name:{names}}  {_state(one):{states}}  "
        f"{one.reason if one.condition.impossible else one.condition.varies}"
        for one in challenged.results
    ]
    for one in challenged.results:
        found += _told(one)
    found += [
        f"  {one.name} is left out: {one.impossible or one.alone}" for one in challenged.left_out
    ]
    tried = len(challenged.results) - challenged.count("not possible here")
    return [*found, f"{challenged.count('identical')} of {tried} identical"]


def _state(result: "Result") -> str:
    return f"{result.state}, {result.seconds:.1f} s" if result.seconds else result.state


def _told(result: "Result") -> list[str]:
    if result.state == "failed":
        return ["", f"{result.condition.name} failed:", *_indented(result.reason)]
    found = [line for layer in result.differences for line in _layer(layer)]
    if result.state == "different" and not found:
        found = [f"  image: {result.image}; its layers are the same"]
    return ["", f"{result.condition.name}:", *found] if found else []


def _layer(layer: "LayerDifference") -> list[str]:
    at = "" if layer.tar_offset is None else f", first at byte {layer.tar_offset} of the tar"
    found = [
        f"  layer {layer.layer}: {layer.count} paths differ{at}",
        f"    expected: {layer.expected}",
        f"    got:      {layer.got}",
    ]
    for path in layer.paths:
        found += _path(path)
    if layer.count > len(layer.paths):
        found.append(f"    and {layer.count - len(layer.paths)} more")
    if layer.diffoscope:
        found += ["    diffoscope:", *_indented(layer.diffoscope, "      ")]
    return found


def _path(path: "PathDifference") -> list[str]:
    at = "" if path.offset is None else f" at byte {path.offset}"
    found = [f"    /{path.path}: {', '.join(path.what)}{at}"]
    for name in path.what:
        if name in {"kind", "mode", "size", "uid", "gid"} or (name == "content" and not path.sides):
            values = [getattr(line, name, None) for line in (path.expected, path.got)]
            shown = [f"{value:04o}" if name == "mode" else str(value) for value in values]
            found.append(f"      {name}: expected {shown[0]}, got {shown[1]}")
    for word, side in zip(("expected", "got"), path.sides or (), strict=False):
        found += [f"      {word} (byte {side.tar_offset} of the tar):", *_dump(side)]
    return found


def _dump(side: "Side") -> list[str]:
    from hps.release.challenge_compare import as_text

    rows = [side.data[at : at + _HEX_COLUMNS] for at in range(0, len(side.data), _HEX_COLUMNS)]
    return [
        f"        {side.start + n * _HEX_COLUMNS:08x}  {row.hex(' '):{3 * _HEX_COLUMNS}} "
        f"|{as_text(row)}|"
        for n, row in enumerate(rows)
    ]


def _indented(text: str, by: str = "  ") -> list[str]:
    return [f"{by}{line}" for line in text.splitlines()]
