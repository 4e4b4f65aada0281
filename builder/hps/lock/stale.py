"""Staleness: does hps.toml still mean what hps.lock was made from?"""

from collections.abc import Sequence

from hps.errors import LockStaleError
from hps.lock.records import Lock, LockedTarget

Inputs = Sequence[tuple[str, str]]


def changes(locked: Inputs, now: Inputs) -> tuple[str, ...]:
    """The key paths whose meaning differs, each with what happened to it, in order."""
    before, after = dict(locked), dict(now)
    lines = []
    for key in sorted(before.keys() | after.keys()):
        if key not in before:
            lines.append(f"{key}: added since the lock was made")
        elif key not in after:
            lines.append(f"{key}: removed since the lock was made")
        elif before[key] != after[key]:
            lines.append(f"{key}: changed since the lock was made")
    return tuple(lines)


def fresh_target(lock: Lock, name: str, now: Inputs) -> LockedTarget:
    """The locked target, if it was made from what hps.toml says now.

    Raises:
        LockStaleError: the target is not locked, or its inputs changed; `details` name them.
    """
    target = lock.target(name)
    if target is None:
        raise LockStaleError(
            f"hps.lock does not hold the target {name}",
            expected=f"one of: {', '.join(target.name for target in lock.targets) or 'none'}",
            got=name,
            hint=f"hps lock {name}",
        )
    changed = changes(target.inputs, now)
    if changed:
        raise LockStaleError(
            f"hps.lock is stale: it was made from another hps.toml (target {name})",
            details=changed,
            hint="hps lock",
        )
    return target
