"""The Python processes of a running Triton, as /proc shows them.

Triton 2.51 starts one for each instance of a Python model: a child of the server whose first
argument is the path of model.py. One that dies stays behind as a zombie without arguments.
"""

import contextlib
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_STUB = "triton_python_backend_stub"


@dataclass(frozen=True)
class Stub:
    """One living Python process.

    Args:
        pid: of the process.
        model: the name of its model.
        ticks: processor time that it has used, in clock ticks.
    """

    pid: int
    model: str
    ticks: int


def stubs(server: "int | None", proc: Path = PROC) -> "list[Stub]":
    """The living Python processes of a server, or of all servers in sight."""
    pids = _all(proc) if server is None else _children(server, proc)
    found = (_stub(pid, proc) for pid in pids)
    return [stub for stub in found if stub is not None]


def kill(server: int, model: str, proc: Path = PROC) -> "list[int]":
    """Kill a model's processes; returns which.

    A number is looked at again once it is held by a descriptor: it may be another process's by now.
    """
    killed = []
    for stub in stubs(server, proc):
        if stub.model != model:
            continue
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(stub.pid)
            try:
                again = _stub(stub.pid, proc)
                if again is not None and again.model == model:
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    killed.append(stub.pid)
            finally:
                os.close(descriptor)
    return killed


def _all(proc: Path) -> "Iterable[int]":
    return [int(path.name) for path in proc.iterdir() if path.name.isdigit()]


def _children(server: int, proc: Path) -> "Iterable[int]":
    # Each thread lists the children that it started itself (proc_pid_children(5)).
    for path in (proc / str(server) / "task").glob("*/children"):
        with contextlib.suppress(OSError):
            yield from map(int, path.read_text().split())


def _stub(pid: int, proc: Path) -> "Stub | None":
    try:
        arguments = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
        state = (proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    if len(arguments) < 2 or Path(os.fsdecode(arguments[0])).name != _STUB or state[0] in b"ZX":  # noqa: PLR2004 - program and model.py
        return None
    # REPOSITORY/MODEL/VERSION/model.py; utime and stime are fields 14 and 15 of stat.
    model = Path(os.fsdecode(arguments[1])).parent.parent.name
    return Stub(pid, model, int(state[11]) + int(state[12]))
