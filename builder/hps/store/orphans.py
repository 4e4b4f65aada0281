"""Sandboxes that outlive the process that started them.

bwrap asks to die with its parent only when it is set up; killed before that, its child waits for a
word that never comes (bubblewrap 0.8 to 0.11, `child_wait_fd`), or works on for nobody.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_SANDBOX = b"bwrap"


def kill_orphans(folder: Path) -> list[int]:
    """Kill the sandboxes that were to write into a folder of a writer that is dead.

    Args:
        folder: that writer's own, which no living process has a reason to name.

    Returns:
        Process numbers of what was killed; those of other users stay.
    """
    inside = os.fsencode(folder) + b"/"
    return [number for number in _numbers() if _killed(number, inside)]


def _numbers() -> Iterator[int]:
    with contextlib.suppress(OSError):  # no /proc, nothing to be found
        for entry in os.scandir(_PROC):
            if entry.name.isdecimal():
                yield int(entry.name)


def _killed(number: int, inside: bytes) -> bool:
    if not _works_in(number, inside):
        return False
    try:
        descriptor = os.pidfd_open(number)
    except OSError:
        return False
    try:
        # The number may have gone to another process since; what pidfd_open() holds has not.
        if not _works_in(number, inside):
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _works_in(number: int, inside: bytes) -> bool:
    try:
        program, *arguments = (_PROC / str(number) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return program.rpartition(b"/")[2] == _SANDBOX and any(
        argument.startswith(inside) for argument in arguments
    )
