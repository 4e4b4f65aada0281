"""The port behind which code runs that is not ours: sdist builds, bytecode, ldconfig."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Command:
    """One run inside a root file system, without network, seeing its declared inputs only.

    Args:
        argv: the program and its arguments; paths are those inside the sandbox.
        root: an unpacked root file system, mounted read-only at /.
        inputs: path inside the sandbox (below /in) to file or folder outside, read-only.
        output: a folder outside, writable at /out; the working directory is a fresh /tmp.
        environment: all that the program sees; nothing is inherited.
        timeout: seconds until it is killed with all its children.
    """

    argv: Sequence[str]
    root: Path
    output: Path
    inputs: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 1800.0


class Sandbox(Protocol):
    """Runs commands; bubblewrap and Docker are the adapters."""

    def run(self, command: Command) -> str:
        """Run to the end and return what it printed (stdout and stderr, its last 64 KiB).

        Raises:
            SandboxError: it cannot be started, ended with another code than 0 (the message holds
                the last lines of its output), or took longer than its timeout.
        """
        ...

    def close(self) -> None:
        """Kill what still runs and refuse what would start; for interrupts."""
        ...
