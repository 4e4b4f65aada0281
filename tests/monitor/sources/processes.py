"""Servers as processes of the tests, on ports of their own."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

SECONDS = 60.0  # for a start or an end, on a machine that does much else


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that nobody listens on, below those that the system gives to outgoing connections."""
    found: list[int] = []
    for port in random.sample(range(20_000, 32_000), 1000):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return tuple(found)
    raise AssertionError("no free ports")


@contextlib.contextmanager
def listening(
    command: Sequence[str], *ports: int, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a server, from when it listens on its ports."""
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            for port in ports:
                _wait_for(process, port)
            yield
        finally:
            others = _descendants(process.pid)
            process.terminate()
            process.wait(SECONDS)
            for other in others:  # vsftpd leaves those whose client went away in a transfer
                with contextlib.suppress(ProcessLookupError):
                    os.kill(other, signal.SIGKILL)


def _descendants(pid: int) -> set[int]:
    """Its children, and theirs, as far as they are there while this looks."""
    with contextlib.suppress(OSError):
        tasks = list(Path(f"/proc/{pid}/task").glob("*/children"))
        found = {int(child) for task in tasks for child in task.read_text().split()}
        return found.union(*map(_descendants, found))
    return set()


def _wait_for(process: "subprocess.Popen[bytes]", port: int) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"{process.args!r} does not listen")
