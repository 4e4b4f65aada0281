"""A sandbox in which something is varied: each program sees more files and variables."""

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hps.derivation.sandbox import Command, Sandbox
from hps.errors import SandboxError

_DAY = 86400  # a build takes less, and what is changed is changed by years


class VariedSandbox:
    """Runs commands in another sandbox, each with files and variables added.

    Args:
        inner: what runs them.
        files: path inside the sandbox (below /in) to path outside.
        environment: added to that of each command.
        clock: what the clock inside must say, in seconds since 1970; 0 is not looked at.
    """

    def __init__(
        self,
        inner: Sandbox,
        files: Mapping[str, Path],
        environment: Mapping[str, str],
        clock: float,
    ) -> None:
        self._inner = inner
        self._files = files
        self._environment = environment
        self._clock = clock
        self._looked_at: set[tuple[Path, str]] = set()

    def run(self, command: Command) -> str:
        """See `hps.derivation.sandbox.Sandbox.run`."""
        self._look_at_clock(command)
        return self._inner.run(self._varied(command))

    def close(self) -> None:
        """See `hps.derivation.sandbox.Sandbox.close`."""
        self._inner.close()

    def _varied(self, command: Command) -> Command:
        return dataclasses.replace(
            command,
            inputs={**command.inputs, **self._files},
            environment={**command.environment, **self._environment},
        )

    def _look_at_clock(self, command: Command) -> None:
        """Refuse to go on with the true clock: ld.so only warns when it cannot preload."""
        key = (command.root, command.argv[0])
        if not self._clock or key in self._looked_at or "python" not in command.argv[0]:
            return
        program = "import time; print(int(time.time()))"
        with tempfile.TemporaryDirectory(prefix="hps-clock-") as output:
            told = self._inner.run(
                self._varied(
                    Command([command.argv[0], "-I", "-c", program], command.root, Path(output))
                )
            )
        last = told.split()[-1:]
        if not last or not last[0].isdigit() or abs(int(last[0]) - self._clock) > _DAY:
            raise SandboxError(
                "the clock of the sandbox could not be changed",
                expected=f"about {self._clock:.0f} s since 1970",
                got=told.strip()[-500:],
                hint="libfaketime of this machine does not fit the image's C library",
            )
        self._looked_at.add(key)
