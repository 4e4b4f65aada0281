"""Who chooses the Python packages of which target, and what it may remember.

uv runs on any machine and keeps the versions of an old lock where they fit. pip-tools runs in a
requirement collection image and forgets: its answer is a function of what is asked for, of the
index and of `as-of`, unless somebody asks to keep. Versions that another resolver chose are never
a preference, or comparing two resolvers would compare one with itself.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from hps.build.platforms import earlier
from hps.build.rc_targets import is_rc, rc_target
from hps.build.workbench import Workbench
from hps.lock.python import Name, PythonResolver
from hps.lock.records import Lock, LockedTarget, Resolver
from hps.lock.uv import Uv


@dataclass(frozen=True, slots=True)
class Choice:
    """What somebody says about resolvers.

    Args:
        name: who shall choose; None leaves each target with the one that chose it before, and
            new ones with the lock's, or uv.
        keep: versions of hps.lock are kept where they fit, by pip-tools and by another resolver
            too.
    """

    name: Name | None = None
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Chooser:
    """Who chooses for one target, and how.

    Args:
        resolver: it.
        anew: choose even though nothing of what is asked for changed.
        remembers: old versions are preferences.
        before: who chose the packages that are locked; None when none are.
    """

    resolver: PythonResolver
    anew: bool
    remembers: bool
    before: Resolver | None


def resolver_name(choice: Choice, name: str, old: Lock | None) -> Name:
    """Who shall choose for a target. What pip-tools runs in cannot be its own choice."""
    if is_rc(name):
        return "uv"
    if choice.name is not None or old is None:
        return choice.name or "uv"
    before = earlier(old, {}, name)
    return old.resolver_of(before).name if before else old.resolver.name


def chooser(
    bench: Workbench,
    name: str,
    old: Lock | None,
    choice: Choice,
    *,
    some_upgraded: bool,
    held: ExitStack,
) -> Chooser:
    """Who chooses for a target.

    Args:
        bench: the tools.
        name: of the target.
        old: the lock that there is.
        choice: what somebody says.
        some_upgraded: single packages are to be chosen anew, which asks to keep all others.
        held: keeps the image that pip-compile runs in for as long as it is open.

    Raises:
        LockError: pip-tools is asked for, and there is no image for it to run in.
        BuildError, FetchError, IntegrityError: that image cannot be built.
    """
    wanted = resolver_name(choice, name, old)
    locked = earlier(old, {}, name)
    before = old.resolver_of(locked) if old and locked else None
    other = before is not None and before.name != wanted
    keeps = choice.keep or some_upgraded
    if wanted == "uv":
        return Chooser(Uv(), anew=other, remembers=keeps or not other, before=before)
    from hps.build.rc import rc_resolver  # noqa: PLC0415 - a server and more, for pip-tools alone

    alias = bench.project.target(name).python.index
    collector = rc_target(bench.project.config, name)
    resolver = held.enter_context(rc_resolver(bench, collector, alias))
    asked = choice.name is not None and not keeps
    return Chooser(resolver, anew=asked or other, remembers=keeps, before=before)


def collectors(
    bench: Workbench, names: Sequence[str], old: Lock | None, choice: Choice
) -> tuple[str, ...]:
    """The requirement collection targets that pip-tools needs for some targets, each once.

    Raises:
        LockError: hps.toml has none for one of them.
    """
    config = bench.project.config
    needed = (name for name in names if resolver_name(choice, name, old) == "pip-tools")
    return tuple(dict.fromkeys(rc_target(config, name) for name in needed))


def with_resolvers(
    targets: tuple[LockedTarget, ...],
    by: Callable[[str], Resolver],
    latest: Mapping[Name, Resolver],
) -> tuple[Resolver | None, tuple[LockedTarget, ...]]:
    """The resolver of a lock, and its targets; those that another one chose say so.

    The lock's is that of the first target that people want; what pip-tools runs in comes last.

    Args:
        targets: of the lock.
        by: who chose the packages of a target, by its name.
        latest: the resolvers of this run, whose version and options the lock tells.
    """
    if not targets:
        return None, targets
    first = by(min(targets, key=lambda target: is_rc(target.name)).name)
    marked = []
    for target in targets:
        own = by(target.name)
        other = None if own.name == first.name else own
        marked.append(target.model_copy(update={"resolver": other}))
    return latest.get(first.name, first), tuple(marked)
