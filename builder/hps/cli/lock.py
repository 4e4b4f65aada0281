"""`hps lock`: decide every artifact and layer."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from hps.build.kept import Upgrade
from hps.build.locking import unused_note
from hps.build.project import CONFIG, Project, write_atomically
from hps.build.rc_locking import lock_targets
from hps.build.resolvers import Choice
from hps.cli.diff import show
from hps.cli.options import json_option, project, report, wants_json, work_options, workbench
from hps.config.chosen import unused_weights
from hps.config.edit import set_value
from hps.errors import LockError, LockStaleError
from hps.lock.difference import difference
from hps.lock.python import Name
from hps.lock.records import Lock
from hps.lock.stale import changes, fresh_target

if TYPE_CHECKING:
    from hps.build.base import TagNow


@click.command("lock")
@click.argument("targets", nargs=-1)
@click.option("--check", is_flag=True, help="Only compare hps.lock with hps.toml; exit 3 if stale.")
@click.option("-U", "--upgrade", is_flag=True, help="Choose every version anew.")
@click.option(
    "-P",
    "--upgrade-package",
    "packages",
    multiple=True,
    metavar="NAME",
    help="Choose the version of this package anew, Python's or Debian's.",
)
@click.option(
    "--as-of",
    metavar="TIME",
    help="Write this time to lock.as-of in hps.toml first: `now` or 2026-11-21T00:00:00Z.",
)
@click.option(
    "--resolver",
    type=click.Choice(["uv", "pip-tools"]),
    help="Who chooses Python packages (default: who chose them before; uv for a new lock).",
)
@click.option(
    "--keep",
    is_flag=True,
    help="Keep versions of hps.lock that fit, with pip-tools and after another resolver too.",
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
    upgrade: bool,
    packages: tuple[str, ...],
    as_of: str | None,
    resolver: Name | None,
    keep: bool,
    **_: object,
) -> None:
    """Resolve TARGETS (default: all, or `default-targets` of hps.toml), make their layers.

    Versions of an existing lock are kept as long as they fit. Packages are fetched and layers are
    made, because the lock records what each layer comes out as.

    pip-tools runs pip-compile in the image of the target rc-NAME or rc-DEVICE, where it reaches
    the index and nothing else. It forgets what it chose before, unless --keep or -P ask for it.

    --check --json tells of each target what is `stale` (empty when nothing is) and, where its
    `base` image has a tag, what it names `now` and whether it has `moved`.

    \b
    hps lock                      lock all targets
    hps lock --check              is hps.lock what hps.toml asks for? have base images moved on?
    hps lock -P numpy             a newer numpy, all else as it is
    hps lock --as-of now          let the resolver see what was published until now
    hps lock --resolver pip-tools cpu
    """
    if check:
        _check(context, project(context), targets)
        return
    if as_of is not None:
        _set_time(project(context), as_of)
    bench = workbench(context)
    names = bench.project.target_names(targets)
    old = _old(bench.project, everything=upgrade)
    asked = Upgrade(upgrade, frozenset(packages))
    lock = lock_targets(bench, names, old, asked, Choice(resolver, keep=keep))
    changed = bench.project.write_lock(lock)
    if wants_json(context):
        report(
            {
                "changed": changed,
                "targets": [target.name for target in lock.targets],
                "resolvers": {one.name: lock.resolver_of(one).name for one in lock.targets},
                "unused_weights": list(unused_weights(bench.project.config)),
            }
        )
        return
    if old is not None and changed:
        show(difference(old, lock))
    click.echo("hps.lock is written" if changed else "hps.lock is unchanged", err=True)


def _old(opened: Project, *, everything: bool) -> Lock | None:
    try:
        return opened.read_lock()
    except LockError as error:
        if everything:
            return None  # nothing of it is kept anyway
        error.hint = (
            "take a whole one back from your history, or `hps lock --upgrade` makes a new one "
            "without looking at this one"
        )
        raise


def _check(context: click.Context, opened: Project, targets: tuple[str, ...]) -> None:
    names = opened.target_names(targets)
    lock = opened.require_lock()
    if note := unused_note(opened.config):
        click.echo(note, err=True)
    if wants_json(context):
        _check_as_json(context, opened, lock, names)
        return
    for name in names:
        fresh_target(lock, name, opened.inputs(name))
    if gone := _gone(opened, lock):
        raise LockStaleError(
            "hps.lock holds targets that hps.toml no longer has",
            details=tuple(gone),
            hint="hps lock",
        )
    click.echo("hps.lock is what hps.toml asks for", err=True)
    for name, tag in _tags_now(context, lock, names).items():
        if line := tag.line():
            click.echo(f"note: {name}: {line}", err=True)


def _check_as_json(
    context: click.Context, opened: Project, lock: Lock, names: tuple[str, ...]
) -> None:
    """One document that says the same, of every target; what is stale ends with code 3."""
    stale: dict[str, tuple[str, ...]] = {}
    for name in names:
        target = lock.target(name)
        stale[name] = ("the target is not locked",)
        if target is not None:
            stale[name] = changes(target.inputs, opened.inputs(name))
    stale |= dict.fromkeys(_gone(opened, lock), ("hps.toml no longer has the target",))
    tags = _tags_now(context, lock, [name for name in names if not stale[name]])
    report(
        {
            name: {
                "stale": list(lines),
                "base": tags[name].as_json() if name in tags else None,
            }
            for name, lines in stale.items()
        }
    )
    if any(stale.values()):
        context.exit(LockStaleError.exit_code)


def _gone(opened: Project, lock: Lock) -> list[str]:
    """Targets that are locked and that hps.toml no longer has."""
    return sorted({target.name for target in lock.targets} - set(opened.config.targets))


def _tags_now(context: click.Context, lock: Lock, names: Sequence[str]) -> "dict[str, TagNow]":
    if not any((target := lock.target(name)) and target.base for name in names):
        return {}
    from hps.build.base import tags_now

    return tags_now(workbench(context), lock, names)


def _set_time(opened: Project, text: str) -> None:
    try:
        time = datetime.now(UTC) if text == "now" else datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"--as-of: not a time: {text!r}") from None
    if time.tzinfo is None:
        raise click.UsageError("--as-of: say the zone, for instance 2026-11-21T00:00:00Z")
    path = opened.root / CONFIG
    edited = set_value(path.read_bytes().decode(), ["lock", "as-of"], time.replace(microsecond=0))
    write_atomically(path, edited.encode())
