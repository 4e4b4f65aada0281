"""Which process a container belongs to, and whether that process is gone.

Docker keeps a container running when its client is killed. Each container of hps therefore has
labels that name the process it belongs to, and the next one removes what a dead one left. Only
what can be looked up here is ever found dead: a process of another machine or boot, of another
container, or of another user is not ours to judge.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

NUMBER = "hps.process.number"
_STARTED = "hps.process.started"
_PLACE = "hps.process.place"
_PROC = Path("/proc")
_ENDED = frozenset("ZX")  # a zombie has ended; somebody only has to take notice


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told from all others.

    Args:
        place: boot, namespaces and user: where its number means something, and whose it is; empty
            where /proc is not that of its own namespace, and nothing can be looked up.
        number: of the process there; used again when it has ended.
        started: in clock ticks since the boot (proc_pid_stat(5), field 22).
    """

    place: str
    number: int
    started: int

    @classmethod
    def this(cls) -> "Process":
        """The one that asks."""
        boot = _first_line(_PROC / "sys/kernel/random/boot_id")
        # The start time is counted by the clock of a time namespace.
        spaces = [_link(_PROC / "self/ns" / name) for name in ("pid", "time")]
        known = boot and all(spaces) and _link(_PROC / "self") == str(os.getpid())
        place = " ".join([boot, *spaces, f"user:{os.getuid()}"]) if known else ""
        return cls(place, os.getpid(), started(os.getpid()) or 0)

    def labels(self) -> dict[str, str]:
        """For a container that belongs to it."""
        return {_PLACE: self.place, NUMBER: str(self.number), _STARTED: str(self.started)}


def is_abandoned(
    labels: Mapping[str, str], here: Process, look: Callable[[int], int | None]
) -> bool:
    """Whether a container's process has ended; False where that cannot be known.

    Args:
        labels: of the container.
        here: the process that asks.
        look: gives when a process of this place started, None if it has ended.
    """
    if not here.place or labels.get(_PLACE) != here.place:
        return False
    number, begun = labels.get(NUMBER, ""), labels.get(_STARTED, "")
    if not (number.isdecimal() and begun.isdecimal()):
        return False
    return look(int(number)) != int(begun)


def started(number: int) -> int | None:
    """When a process started, in clock ticks since the boot; None if there is none any more."""
    try:
        text = (_PROC / str(number) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may hold some itself.
    state, *fields = text.rpartition(")")[2].split()
    return None if state in _ENDED else int(fields[18])


def _first_line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
