"""`hps monitor status` and the like: what the files of a host say, and what is asked of it."""

import getpass
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hps.cli.options import json_option, report, wants_json
from hps.errors import UsageError

if TYPE_CHECKING:
    from hps.config.monitor import Monitor
    from hps.monitor.events import Wish
    from hps.monitor.history import Past
    from hps.monitor.operator import Answer, Asked, Desk
    from hps.monitor.recorded import Recorded
    from hps.monitor.status import ModelStatus

F = TypeVar("F", bound=Callable[..., Any])
_PAUSE = 0.1  # seconds between two looks for an answer


def settings_file(context: click.Context, given: Path | None) -> Path:
    """The file with `[monitor]`: the one that is named, else hps.toml."""
    folder: Path = context.find_root().obj["directory"]
    return folder / (given or "hps.toml")


def _place_options(function: F) -> F:
    for option in (
        click.option(
            "--config",
            type=click.Path(dir_okay=False, path_type=Path),
            envvar="HPS_MONITOR_CONFIG",
            metavar="FILE",
            help="The settings of the monitor (default: $HPS_MONITOR_CONFIG, else hps.toml).",
        ),
        click.option(
            "--state",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="FOLDER",
            help="Where it keeps its files, instead of what the settings say; for one that runs "
            "by flags, `.hps` in `local_tmp_path`.",
        ),
    ):
        function = option(function)
    return function


def _asking_options(function: F) -> F:
    for option in (
        click.option("--reason", default="", metavar="TEXT", help="Why, for the history."),
        click.option(
            "--wait",
            type=click.FloatRange(0, 3600),
            default=10.0,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait for the monitor's answer.",
        ),
        json_option,
    ):
        function = option(function)
    return _place_options(function)


@dataclass(frozen=True, slots=True)
class _Host:
    """The models of a host: where their files are, and what the settings say, if they are known."""

    state: Path
    monitor: "Monitor | None"

    @classmethod
    def of(cls, context: click.Context) -> "_Host":
        from hps.config.load_monitor import load_monitor

        given = context.params
        config = given["config"] or _of_the_group(context)
        folder: Path = context.find_root().obj["directory"]
        if given["state"] is not None:
            return cls(folder / given["state"], load_monitor(folder / config) if config else None)
        path = settings_file(context, config)
        monitor = load_monitor(path)
        return cls(path.parent / monitor.state, monitor)

    @property
    def names(self) -> tuple[str, ...]:
        from hps.monitor.recorded import names_in

        return tuple(self.monitor.models) if self.monitor else names_in(self.state)

    def read(self, name: str) -> "Recorded":
        from hps.monitor.recorded import Recorded, model_folder

        if name not in self.names:
            raise UsageError(
                f"there is no model {name}",
                expected=", ".join(self.names) or None,
                hint="`hps monitor status` lists all",
            )
        return Recorded.read(model_folder(self.state, name), name)

    def status(self, found: "Recorded", most: int = 10) -> "ModelStatus":
        from hps.monitor.events import Rules
        from hps.monitor.status import Observed

        model = self.monitor.models.get(found.name) if self.monitor else None
        rules = Rules(approval=model is not None and model.approve)
        observed = Observed(
            verified=found.verified,
            max_age=None if model is None else model.max_age,
            members=() if model is None else model.members,
        )
        return found.status(rules=rules, observed=observed, most=most)


def _of_the_group(context: click.Context) -> Path | None:
    parent = context.parent
    config: Path | None = None if parent is None else parent.params.get("config")
    return config


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@_place_options
@json_option
@click.pass_context
def status(context: click.Context, /, *, models: tuple[str, ...], **_: Any) -> None:
    """Say how models stand: what is live, what is under way, what was refused and why.

    It reads the monitor's files. Whether the model server really serves what is live is known to
    a running monitor only: ask its page, or /status.
    """
    host = _Host.of(context)
    now = time.time()
    found = [host.read(name) for name in models or host.names]
    rows = [(one, host.status(one)) for one in found]
    if wants_json(context):
        report({"models": [_status_json(one, model, now) for one, model in rows]})
        return
    for one, model in rows:
        click.echo("\n".join(_status_lines(one, model, now)))


@click.command()
@click.argument("model")
@click.option(
    "-n", "--number", "most", type=click.IntRange(1), default=20, help="At most so many updates."
)
@_place_options
@json_option
@click.pass_context
def history(context: click.Context, /, *, model: str, most: int, **_: Any) -> None:
    """List the updates of MODEL, the newest first: what they held, and what became of them."""
    found = _Host.of(context).read(model)
    rows = found.history[:most]
    if wants_json(context):
        report({"model": model, "updates": [one.as_json() for one in rows]})
        return
    for row in rows:
        click.echo("\n".join(_past_lines(row)))
    if not rows:
        click.echo("no updates yet", err=True)


@click.command()
@click.argument("model")
@click.option("--to", "number", type=click.IntRange(1), metavar="N", help="To this generation.")
@_asking_options
@click.pass_context
def rollback(context: click.Context, /, *, model: str, number: int | None, **_: Any) -> None:
    """Make an earlier generation of MODEL live again, the one before unless --to names another.

    What was live is not taken from the source again until `approve` names it. The number of its
    release stays the lowest that is taken, so that nobody can put old releases back this way.
    """
    from hps.monitor.events import Wish
    from hps.monitor.update import rollback_target

    host = _Host.of(context)
    found = host.read(model)
    _ask(context, found, Wish.ROLLBACK, rollback_target(found.state, number).number)


@click.command()
@click.argument("model")
@_asking_options
@click.pass_context
def hold(context: click.Context, /, *, model: str, **_: Any) -> None:
    """Keep what is live: nothing that the source offers goes live until `release`."""
    from hps.monitor.events import Wish

    _ask(context, _Host.of(context).read(model), Wish.HOLD, None)


@click.command()
@click.argument("model")
@_asking_options
@click.pass_context
def release(context: click.Context, /, *, model: str, **_: Any) -> None:
    """End `hold`: what the source offers may go live again."""
    from hps.monitor.events import Wish

    _ask(context, _Host.of(context).read(model), Wish.RELEASE, None)


@click.command()
@click.argument("model")
@click.option("--number", type=click.IntRange(1), metavar="N", help="This generation.")
@_asking_options
@click.pass_context
def approve(context: click.Context, /, *, model: str, number: int | None, **_: Any) -> None:
    """Let the generation that waits go live, or let one that was refused be offered again.

    It is the one that `status` shows when you ask; a newer one that comes in between is not
    approved with it.
    """
    from hps.monitor.events import Wish

    found = _Host.of(context).read(model)
    _ask(context, found, Wish.APPROVE, number or _at_hand(found, Wish.APPROVE))


@click.command()
@click.argument("model")
@click.option("--number", type=click.IntRange(1), metavar="N", help="This generation.")
@_asking_options
@click.pass_context
def refuse(context: click.Context, /, *, model: str, number: int | None, **_: Any) -> None:
    """Drop the update that is under way; its content is not taken again until `approve`."""
    from hps.monitor.events import Wish

    found = _Host.of(context).read(model)
    _ask(context, found, Wish.REFUSE, number or _at_hand(found, Wish.REFUSE))


@click.command()
@click.argument("model")
@_place_options
@json_option
@click.pass_context
def repair(context: click.Context, /, *, model: str, **_: Any) -> None:
    """Keep the whole records of a damaged journal of MODEL; the damaged file stays beside it.

    The newest whole record says where the monitor carries on. Look whether `status` then shows
    what is really served: a record that is lost may have raised the number below which releases
    are refused. The monitor must not run.
    """
    from hps.monitor.journal import RECORDS
    from hps.monitor.journal import repair as mend
    from hps.monitor.ownership import owned
    from hps.monitor.recorded import JOURNAL, LOCK, model_folder

    folder = model_folder(_Host.of(context).state, model)
    if not (folder / JOURNAL / RECORDS).exists():
        raise UsageError(f"there is no journal of {model} in {folder.parent}")
    with owned(folder / LOCK, now=time.time()):
        aside, lost = mend(folder / JOURNAL)
    if wants_json(context):
        report({"model": model, "aside": None if aside is None else str(aside), "lost": lost})
    elif aside is None:
        click.echo("the journal is whole; nothing was changed")
    else:
        click.echo(f"{lost} lines are lost; the damaged file is {aside}")


def _at_hand(found: "Recorded", wish: "Wish") -> int:
    """The generation that a person means who names none."""
    from hps.monitor.events import Wish
    from hps.monitor.transitions import Phase

    busy, last = found.state.busy, found.state.update
    if busy is not None:
        return busy.number
    if wish is Wish.APPROVE and last is not None and last.phase is not Phase.LIVE:
        return last.number
    raise UsageError(
        f"there is nothing to {wish}", hint="`hps monitor status` shows what is under way"
    )


def _ask(context: click.Context, found: "Recorded", wish: "Wish", number: int | None) -> None:
    """Lay a request down, and wait for the answer while a monitor is there to give it."""
    from hps.monitor.operator import Desk

    given = context.params
    desk = Desk(found.folder)
    asked = desk.ask(wish, number, by=_who(), why=given["reason"], now=time.time())
    answer = None if found.holder is None else _answer(desk, asked, given["wait"])
    if answer is not None and not answer.done:
        raise UsageError(
            f"the monitor refused to {wish} {found.name}: {answer.text}", hint=answer.hint or None
        )
    if wants_json(context):
        report(
            {
                "request": asked.id,
                **asked.as_json(),
                "running": found.holder is not None,
                "answer": None if answer is None else answer.as_json(),
            }
        )
        return
    what = f"{wish} {found.name}" + ("" if number is None else f", generation {number}")
    if answer is not None:
        click.echo(f"{what}: {answer.text}")
    elif found.holder is None:
        click.echo(f"{what}: no monitor runs; it is done when one starts")
    else:
        click.echo(f"{what}: asked; the monitor has not answered yet, and will do it next")


def _answer(desk: "Desk", asked: "Asked", seconds: float) -> "Answer | None":
    until = time.monotonic() + seconds
    while (answer := desk.answer_to(asked)) is None and time.monotonic() < until:
        time.sleep(_PAUSE)
    return answer


def _who() -> str:
    """Who asks, for the history; behind sudo the person, not root."""
    if person := os.environ.get("SUDO_USER"):
        return person
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"user {os.getuid()}"


def _status_json(found: "Recorded", model: "ModelStatus", now: float) -> dict[str, Any]:
    facts = model.as_json(now)
    # What only a running monitor knows is not made up.
    for key in ("ready", "attention", "serving", "looked", "news", "next_look", "error"):
        facts.pop(key)
    holder = None if found.holder is None else found.holder.as_json()
    return {**facts, "folder": str(found.folder), "monitor": holder}


def _status_lines(found: "Recorded", model: "ModelStatus", now: float) -> Iterator[str]:
    from hps.monitor.logs import escaped
    from hps.monitor.status import commands
    from hps.monitor.words import lasted, named, reason, trusted

    live, pending, refused = model.live, model.pending, model.refused
    yield f"{escaped(model.name)}: {model.state}"
    if live is None:
        yield "  live      nothing"
    else:
        since = "" if live.since is None else f" for {lasted(now - live.since)}"
        yield f"  live      generation {live.number}{since}: {escaped(named(live.release))}"
        if by := trusted(live.release):
            yield f"            {by}"
    if pending is not None:
        why = f": {reason(pending.reason)} ({escaped(pending.reason)})" if pending.reason else ""
        waits = f", {pending.waiting}" if pending.waiting else f", next {pending.step}"
        yield f"  update    generation {pending.number}, {pending.phase}{waits}{why}"
        if pending.detail:
            yield f"            {escaped(pending.detail)}"
        yield from _todo(pending.reason)
    elif refused is not None:
        yield from (f"  {line}" for line in _past_lines(refused))
        yield from _todo(refused.reason)
    if model.is_stale(now):
        age = model.age(now)
        yield f"  stale     verified {'never' if age is None else f'{lasted(age)} ago'}"
    kept = ", ".join(map(str, reversed(model.kept))) or "none"
    yield f"  kept      {kept}"
    yield f"  monitor   {'none runs' if found.holder is None else escaped(str(found.holder))}"
    for what, words in commands(model).items():
        yield f"  to {what}: hps monitor {escaped(words)}"


def _todo(code: str) -> Iterator[str]:
    from hps.monitor.words import advice

    if found := advice(code):
        yield f"    to do   {found}"


def _past_lines(row: "Past") -> Iterator[str]:
    from hps.monitor.logs import escaped
    from hps.monitor.words import named, outcome, reason

    told = row.release is not None and (row.release.sequence is not None or row.release.name)
    held = f"  {escaped(named(row.release))}" if told else ""
    yield f"{row.ended}  generation {row.number:<5} {escaped(outcome(row))}{held}"
    if row.reason:
        failures = f" (failed {row.failures} times)" if row.failures > 1 else ""
        yield f"    {escaped(row.reason)}: {escaped(reason(row.reason))}{failures}"
    if row.detail:
        yield f"    {escaped(row.detail)}"
