"""What a pull gives, how hard it tries, and why it is given up. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hps.digest import Digest
from hps.errors import HpsError
from hps.monitor.look import Look
from hps.store.retry import Deadlines


class Cause(StrEnum):
    """Why a pull was given up though the source may be well; a label of metrics."""

    DISK = "disk"
    DEADLINE = "deadline"
    UNSTEADY = "unsteady"  # what is published changed during every single pull
    STOPPED = "stopped"


class PullError(HpsError):
    """A model could not be pulled, for a reason that is not the source's."""

    reference = "pull"
    exit_code = 4

    def __init__(
        self,
        cause: Cause,
        message: str,
        *,
        expected: object = None,
        got: object = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, expected=expected, got=got, hint=hint)
        self.cause = cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How hard a pull tries; all times in seconds.

    Args:
        attempts: in a row, for one file or one look, that get no further than the one before.
        rounds: pulls in all, when what is published changes meanwhile.
        total: for everything, with all waits.
        first_delay: before the second attempt; doubles for each further one, with jitter.
        longest_delay: bound of every wait, also of what a server asks for.
        minimum_rate: bytes a second, on average over `rate_window`, below which it is given up.
        rate_window: see `minimum_rate`.
        reserve: bytes of the disk that stay free.
    """

    attempts: int = 5
    rounds: int = 4
    total: float = 6 * 3600.0
    first_delay: float = 0.5
    longest_delay: float = 60.0
    minimum_rate: int = 1024
    rate_window: float = 60.0
    reserve: int = 1 << 30

    def as_deadlines(self) -> Deadlines:
        """The same for `hps.store.retry`."""
        return Deadlines(
            first_delay=self.first_delay,
            longest_delay=self.longest_delay,
            minimum_rate=self.minimum_rate,
            rate_window=self.rate_window,
        )


@dataclass(frozen=True, slots=True)
class PulledFile:
    """One file as it lies on the disk.

    Args:
        path: of the model; empty for a packed one.
        location: where it lies.
        size: in bytes.
        digest: of these bytes, taken while they were written or carried on.
    """

    path: str
    location: Path
    size: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Pulled:
    """A model that was pulled while nothing changed at its source.

    Args:
        files: in bytewise order of their paths.
        before: the look before the first byte.
        after: the look after the last byte; like `before`.
        received: bytes that came over the network, with those that were thrown away.
    """

    files: tuple[PulledFile, ...]
    before: Look
    after: Look
    received: int

    @property
    def donefile(self) -> bytes | None:
        """What the donefile holds, cut off at `Caps.donefile`; None without one."""
        return None if self.after.donefile is None else self.after.donefile.content
