"""The port behind which models are published: HTTP, FTP, HDFS, AFS, registries, directories.

A source says what is there and hands out bytes. It decides nothing: whether something is new, how
long to wait, whether bytes are right, and how often to try again is decided by its callers, for
all kinds of places in the same way (`hps.monitor.sighting`, `hps.monitor.pull`).
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from hps.errors import HpsError

PIECE = 1 << 20  # bytes of the largest piece that a source hands out


class Trouble(StrEnum):
    """Why a source did not do what it was asked; a label of metrics and of `history`."""

    UNREACHABLE = "unreachable"  # no connection, connection lost, name not found
    STALLED = "stalled"  # nothing came in time, or too slowly
    REFUSED = "refused"  # credentials or permissions
    MISSING = "missing"  # it was there a moment ago, or is named and not there
    MALFORMED = "malformed"  # an answer or listing that cannot be understood, or that is hostile
    TRUNCATED = "truncated"  # fewer bytes than announced
    CHANGED = "changed"  # replaced while it was read
    TOO_LARGE = "too-large"  # beyond a cap
    SERVER = "server"  # the server says that it has a fault of its own (HTTP 5xx, FTP 4xx)
    UNUSABLE = "unusable"  # the program or package that reaches it is missing or broken here


class SourceError(HpsError):
    """A place could not be looked at or read; says whether it may be better next time.

    Args:
        trouble: the kind of it.
        message: as for every `HpsError`; never holds a secret.
        after: seconds that the server asks to be left alone (Retry-After), if it does.
    """

    reference = "source"
    exit_code = 4

    def __init__(
        self,
        trouble: Trouble,
        message: str,
        *,
        after: float | None = None,
        expected: object = None,
        got: object = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, expected=expected, got=got, hint=hint)
        self.trouble = trouble
        self.after = after


def no_model(name: str, *, packed: bool) -> SourceError:
    """There is a donefile, and nothing of the model beside it."""
    return SourceError(Trouble.MISSING, f"there is no {'' if packed else 'file in '}{name}")


def no_regular_file(title: str) -> SourceError:
    """A link, a device or a folder stands where a file of a model is to be."""
    return SourceError(
        Trouble.MALFORMED,
        f"{title} is no regular file",
        hint="a model holds files and folders only: replace links by what they lead to",
    )


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one network step may take; all times in seconds.

    Args:
        connect: until a connection stands.
        idle: without a single byte.
        total: for one look, or for one file, whatever comes.
        minimum_rate: bytes a second, on average over `rate_window`, below which it is given up.
        rate_window: see `minimum_rate`.
    """

    connect: float = 15.0
    idle: float = 30.0
    total: float = 3600.0
    minimum_rate: int = 1024
    rate_window: float = 60.0


@dataclass(frozen=True, slots=True)
class Caps:
    """What a source may offer at most; looked at before and while it is pulled.

    Args:
        files: in a directory.
        depth: folders below each other in a directory.
        bytes: of all files together, as they come over the network.
        donefile: bytes of a donefile that are read.
    """

    files: int = 10_000
    depth: int = 32
    bytes: int = 1 << 40
    donefile: int = 64 << 10


@dataclass(frozen=True, slots=True)
class Found:
    """What a place says of one file at one moment.

    Args:
        path: relative to the model, POSIX, as the source names it: data, not yet a safe path.
            Empty for a packed model and for the donefile.
        size: bytes, None where the place does not tell.
        tokens: whatever tells one content from another there: "etag" (strong), "modified"
            (decimal seconds since the epoch, with as many decimals as the place has), "digest"
            ("sha256:…"), "checksum" (the place's own), "id" (inode, file id, version id), and
            "weak-etag". Only what the place really says; nothing made up.
        resolution: seconds between two values of "modified" that differ: 1 for HTTP and FTP, 60
            for `hadoop fs -ls`, 0.001 for WebHDFS; 0 where the tokens hold content identity.
        age: seconds from "modified" to the place's own clock when it was looked at, where it
            tells the time (HTTP's Date); not above `resolution`, its tokens may still come to
            stand for other bytes. None where it does not tell. Not compared.
    """

    path: str
    size: int | None
    tokens: Mapping[str, str] = field(default_factory=dict)
    resolution: float = 1.0
    age: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Donefile:
    """The donefile, and what it holds.

    Args:
        found: what the place says of it.
        content: its first bytes, at most `Caps.donefile`; a hint, trusted for nothing.
    """

    found: Found
    content: bytes


@dataclass(frozen=True, slots=True)
class Reading:
    """Bytes of one file, from `start` on.

    Args:
        start: the offset of the first byte that comes: what was asked for, or 0 where the place
            cannot resume or the file is another one now.
        found: what the place says of the file that is being read.
        pieces: the bytes, each piece at most `PIECE` long. Raises SourceError; ends early only
            by an error, also when fewer bytes come than were announced.
    """

    start: int
    found: Found
    pieces: Iterator[bytes]


class Source(Protocol):
    """One place where one model is published. Used by one thread at a time.

    All methods raise SourceError, keep `Patience` and `Caps`, and may be called again after any
    error: connections that were lost are made anew. `close` may come from another thread, also
    while a method runs, which then ends within a second or at its next byte.
    """

    @property
    def name(self) -> str:
        """The place for people, logs and metrics, without secrets: `ftp://host/models/ocr`."""
        ...

    def donefile(self) -> Donefile | None:
        """Look at the donefile; None says that the place was asked and has none."""
        ...

    def model(self) -> tuple[Found, ...]:
        """What makes up the model now: one file with an empty path, or all files of a directory.

        The order is bytewise by path. Raises SourceError(MISSING) when there is none.
        """
        ...

    def read(self, found: Found, offset: int = 0) -> contextlib.AbstractContextManager[Reading]:
        """Read a file that `model` has found, from `offset` on if it is still the same."""
        ...

    def close(self) -> None:
        """Close connections and end children; the object is of no use afterwards."""
        ...
