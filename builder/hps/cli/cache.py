"""`hps cache`: share what was built with a team, and get what others have built."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from hps.cli.cache_report import as_json, told
from hps.cli.options import (
    cache_option,
    configured_signer,
    json_option,
    key_option,
    project,
    report,
    store_option,
    wants_json,
    workbench,
)
from hps.cli.progress import make_progress
from hps.cli.sizes import size
from hps.errors import KeyUnusableError, UsageError

if TYPE_CHECKING:
    from hps.build.share import Offered
    from hps.build.workbench import Workbench
    from hps.cache.patience import PatientCache
    from hps.cache.push import Pushed


@click.group("cache")
def command() -> None:
    """Share layers with a team: fill a cache, get from it, see what it has.

    A cache is a folder, an HTTP server, a registry or an S3 bucket that holds step outputs and
    signed traces: the word of somebody who has made a step what it came out as. [cache.NAME] of
    hps.toml names it, and whose word counts. `hps build` asks it by itself before it makes
    anything.

    A cache is not trusted. What it gives is compared with the digests of hps.lock; a trace without
    a signature that the policy believes is not used. Whatever it does costs time at worst.

    \b
    hps cache push --key release       what was built here, for others
    hps cache status                   what the caches have of the locked targets
    hps cache pull                     bring it here without building
    hps build                          ask, and make what they do not have
    hps build --no-cache               ask nobody
    """


@command.command("push")
@click.argument("targets", nargs=-1)
@click.option(
    "--cache",
    "cache",
    metavar="NAME|URL",
    help="Where it goes: a name of hps.toml, an address or the path of a folder (default: the only "
    "cache of hps.toml).",
)
@key_option
@click.option(
    "--include",
    multiple=True,
    metavar="NAME",
    help="Send what is made of this artifact too, though hps.toml says that it may not be "
    "redistributed; may be repeated.",
)
@click.option(
    "--again",
    is_flag=True,
    help="Send outputs that the cache says it has: it may hold other bytes under their names.",
)
@store_option
@json_option
@click.pass_context
def push(
    context: click.Context,
    /,
    *,
    targets: tuple[str, ...],
    cache: str | None,
    include: tuple[str, ...],
    again: bool,
    **_: object,
) -> None:
    """Share what was built here for TARGETS (default: all).

    Outputs that the lock proves go up packed, each once; what is there already is not sent. Then
    the traces, signed with a key of the role `build` (--key, HPS_KEY or [signing] of hps.toml).
    What others have made is theirs to share and is left out. An interrupted push carries on.

    \b
    hps build && hps cache push --key release
    hps cache push cpu --cache oci://registry.example.org/team/cache
    hps cache push --cache /mnt/shared/hps
    """
    from hps.build.share import push as share

    signer = configured_signer(context)
    if signer is None:
        raise KeyUnusableError(
            "no key is configured, and traces count by who signed them",
            expected="--key NAME, HPS_KEY, or `key` in [signing] of hps.toml",
            hint="hps key generate NAME makes a key",
        )
    opened = project(context)
    bench = workbench(context)
    names = opened.target_names(targets)
    if bench.sharing is None:
        raise UsageError("there is no cache to fill")
    chosen = bench.sharing.named(cache or _only(opened.config.cache))
    watch = make_progress().moving
    results = []
    for name in names:
        wanted = [one for one in include if len(names) == 1 or _binds(bench, name, one)]
        done = share(bench, name, chosen, signer, watching=watch, include=wanted, again=again)
        results.append(_pushed_facts(name, chosen.name, done))
        if not wants_json(context):
            for line in _pushed(name, done):
                click.echo(line, err=not line.startswith(name))
    if wants_json(context):
        report(results)


@command.command("pull")
@click.argument("targets", nargs=-1)
@cache_option
@store_option
@json_option
@click.pass_context
def pull(context: click.Context, /, *, targets: tuple[str, ...], **_: object) -> None:
    """Bring what caches have of TARGETS (default: all) into the store; nothing is made.

    Traces are believed by policy, every byte is compared with its digest, every layer with
    hps.lock. Misses are no error: `hps build` makes them. A cache that does not answer ends it
    with code 4.

    \b
    hps cache pull
    hps cache pull cpu --cache team
    """
    from hps.build.share import pull as get

    bench = workbench(context)
    asked = [get(bench, name) for name in project(context).target_names(targets)]
    if wants_json(context):
        report([as_json(one) for one in asked])
    for one in asked if not wants_json(context) else ():
        for number, line in enumerate(told(one)):
            click.echo(line, err=number > 0)
    _check_alive(context, (one.caches for one in asked))


@command.command("status")
@click.argument("targets", nargs=-1)
@cache_option
@store_option
@json_option
@click.pass_context
def status(context: click.Context, /, *, targets: tuple[str, ...], **_: object) -> None:
    """Show what each cache has of TARGETS (default: all), whatever this store has.

    A line each: target, cache, how many of the locked outputs it has with traces that the policy
    believes, and the bytes that would travel. No output is fetched.
    """
    from hps.build.share import look

    bench = workbench(context)
    found = [one for name in project(context).target_names(targets) for one in look(bench, name)]
    if wants_json(context):
        report([_offered_facts(one) for one in found])
    for one in found if not wants_json(context) else ():
        rate = 100 * one.whole / one.outputs if one.outputs else 100.0
        click.echo(
            f"{one.target}  {one.cache.name}  {one.whole} of {one.outputs} outputs ({rate:.0f} %), "
            f"{size(one.wire)} ({size(one.plain)} unpacked)"
        )
        for why in one.cache.tally.refused:
            click.echo(f"not used: {why}", err=True)
    _check_alive(context, ((one.cache,) for one in found))


def _only(caches: Iterable[str]) -> str:
    names = list(caches)
    if len(names) == 1:
        return names[0]
    raise UsageError(
        "which cache is meant?" if names else "hps.toml names no cache",
        expected=f"--cache {'|'.join(names)}" if names else "--cache URL, or [cache.NAME]",
        hint="docs/how-to/share-a-cache.md",
    )


def _binds(bench: "Workbench", name: str, word: str) -> bool:
    """Whether a target has an artifact of that name that may not be redistributed."""
    from hps.build.redistribution import bound

    target = bench.project.require_lock().target(name)
    return target is not None and any(
        one.name == word for one in bound(bench.project.config, target)
    )


def _check_alive(context: click.Context, groups: "Iterable[Iterable[PatientCache]]") -> None:
    """Raise FetchError when a cache was given up: it was asked for by name here."""
    from hps.errors import FetchError

    dead = {one.name: one.tally.given_up for each in groups for one in each if not one.alive}
    if dead:
        error = FetchError(
            f"not all of the caches answered: {', '.join(dead)}",
            details=tuple(f"{name}: {why}" for name, why in dead.items()),
            hint="`hps build` goes on without them",
        )
        if wants_json(context):  # stdout has its one document already
            click.echo(str(error), err=True)
            context.exit(error.exit_code)
        raise error


def _pushed(name: str, done: "Pushed") -> list[str]:
    sent = f"{len(done.sent)} outputs, {size(done.wire)} ({size(done.plain)} unpacked)"
    there = f"{len(done.there)} outputs and {done.known} traces were there"
    lines = [f"{name}: sent {sent}, {len(done.traces)} traces; {there}; {done.seconds:.1f} s"]
    lines += [
        f"kept here: {label}: {', '.join(names)} may not be redistributed (--include NAME)"
        for label, names in done.held.items()
    ]
    if done.strange:
        lines.append(f"left out: {len(done.strange)} steps that others have made")
    if done.unmade:
        shown = ", ".join(done.unmade[:5])
        lines.append(f"left out: {len(done.unmade)} steps that were not made here: {shown}")
    return lines


def _pushed_facts(name: str, cache: str, done: "Pushed") -> dict[str, Any]:
    from hps.build.sharing import shown

    return {
        "target": name,
        "cache": shown(cache),
        "outputs": {"sent": len(done.sent), "there": len(done.there)},
        "traces": {"sent": len(done.traces), "there": done.known},
        "bytes": {"wire": done.wire, "plain": done.plain},
        "held": {label: list(names) for label, names in done.held.items()},
        "left_out": {"made_by_others": done.strange, "not_made": done.unmade},
        "seconds": round(done.seconds, 3),
    }


def _offered_facts(one: "Offered") -> dict[str, Any]:
    return {
        "target": one.target,
        "cache": one.cache.name,
        "outputs": one.outputs,
        "believed": one.believed,
        "whole": one.whole,
        "hit_rate": round(one.whole / one.outputs, 4) if one.outputs else 1.0,
        "bytes": {"wire": one.wire, "plain": one.plain},
        "refused": list(one.cache.tally.refused),
        "given_up": one.cache.tally.given_up,
    }
