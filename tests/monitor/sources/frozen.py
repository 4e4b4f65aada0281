"""Servers that fall silent: their processes are stopped, so that connections stand and say nothing."""

import contextlib
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

_LISTENING = "0A"


@contextlib.contextmanager
def frozen(*ports: int) -> Iterator[None]:
    """Stop whoever listens at these ports of this machine, with all children."""
    stopped = _with_children(_listeners(ports))
    assert stopped, f"nobody listens at {ports}"
    assert os.getpid() not in stopped
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def deaf() -> Iterator[int]:
    """A port at which connections never come to stand: its queue is full (listen(2))."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def _listeners(ports: tuple[int, ...]) -> set[int]:
    inodes = {f"socket:[{inode}]" for inode in _inodes(ports)}
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # processes end
            if any(str(link.readlink()) in inodes for link in (folder / "fd").iterdir()):
                found.add(int(folder.name))
    return found


def _inodes(ports: tuple[int, ...]) -> set[str]:
    """Of the sockets that listen (proc(5), /proc/net/tcp)."""
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    return {
        row[9]
        for row in rows
        if row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) in ports
    }


def _with_children(pids: set[int]) -> set[int]:
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            found = re.match(r"(\d+) \(.*\) \S (\d+)", path.read_text(), re.DOTALL)
            if found is not None:
                parents[int(found[1])] = int(found[2])
    family = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family
