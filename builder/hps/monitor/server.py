"""The port behind which model servers stand: Triton, Paddle Serving, or a command.

A server makes a verified generation live, and says what is live. It keeps the old one serving
until the new one has proved itself; whatever fails, the old one still serves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from hps.errors import HpsError
from hps.model.probe import Probe

__all__ = ["Fault", "Generation", "Probe", "Server", "ServerError"]


class Fault(StrEnum):
    """Why a server did not do what it was asked; a label of metrics and of `history`."""

    UNREACHABLE = "server-unreachable"
    REFUSED = "load-refused"  # the server said no, with a reason
    UNKNOWN = "load-unknown"  # no answer in time: it may be loading still
    HANGS = "load-hangs"  # it will never be done; only a new start of the server helps
    NOT_READY = "not-ready"  # loaded, and the version does not answer
    PROBE = "probe-failed"  # it answers, and not what was expected
    UNFIT = "unfit"  # looked at before: nothing that this server could load
    DISK = "disk"


class ServerError(HpsError):
    """A model server did not make a generation live; the old one serves on."""

    reference = "swap"
    exit_code = 8

    def __init__(
        self,
        fault: Fault,
        message: str,
        *,
        expected: object = None,
        got: object = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, expected=expected, got=got, hint=hint)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Generation:
    """A verified, read-only model directory on this machine.

    Args:
        number: counts up for each model on this host. In Triton its version directory is
            10^9 less the number: a request that names no version is answered by the highest one
            that is ready, so a new one answers nobody before the one before it goes
            (`servers.triton_config.version_of`).
        folder: holds the files of the model and nothing else.
    """

    number: int
    folder: Path


class Server(Protocol):
    """One model (or one group) on one model server.

    The steps are apart so that each can be journaled before it begins; each may be repeated after
    a crash with the same generation, and then finds out what was done already. All raise
    ServerError, keep deadlines of their own, and leave the old generation serving.
    """

    @property
    def name(self) -> str:
        """The server for people, logs and metrics: `triton 127.0.0.1:8001`."""
        ...

    def inspect(self, generation: Generation) -> None:
        """Look at what would be loaded, and refuse what the server would hang on."""
        ...

    def load(self, generation: Generation) -> None:
        """Put it where the server finds it and have it loaded beside the live one.

        Returns when this very generation says that it is ready.
        """
        ...

    def probe(self, generation: Generation, probe: Probe | None) -> None:
        """Ask this very generation, and compare; without a probe only that it is ready."""
        ...

    def activate(self, generation: Generation, old: Generation | None) -> None:
        """Make it the one that answers, and retire `old` once its requests are done."""
        ...

    def withdraw(self, generation: Generation) -> None:
        """Undo `load`: nothing of this generation stays in the server; the old one serves."""
        ...

    def live(self) -> Sequence[int]:
        """The numbers of the generations that the server itself says it serves, ascending."""
        ...
