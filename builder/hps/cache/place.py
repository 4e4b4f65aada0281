"""The port: where a shared cache keeps its bytes. It stores, hands out, and is not trusted.

Two kinds of things lie in a place: documents, which are small and have names, and blobs, which are
named by their sha256. Adapters: a folder, HTTP, a registry, S3 (`open_place`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hps.digest import Blob
from hps.errors import PublishError
from hps.store.transfer import Sink

# Who does not answer is given up soon: the work can always be done here.
ATTEMPTS = 2
# Bytes per second of one connection, below which a cache costs more time than it saves.
MINIMUM_RATE = 64 << 10
RATE_WINDOW = 15.0  # seconds over which the rate is measured


class ReadOnlyError(PublishError):
    """The place can be read and not written: no right, or a server that takes no PUT."""


class Place(Protocol):
    """Where documents and blobs lie; used by several threads at once.

    Reading raises FetchError when the place cannot be had, and IntegrityError when it sends
    another number of bytes than it may. Writing raises PublishError, and ReadOnlyError when it
    takes nothing at all.
    """

    @property
    def name(self) -> str:
        """The place for people, without secrets."""
        ...

    def read(self, document: str, limit: int) -> bytes | None:
        """A document; None when there is none.

        Raises:
            LimitError: it has more than `limit` bytes.
        """
        ...

    def prepare(self) -> None:
        """Make ready for writing; called before anything else by who pushes."""
        ...

    def write(self, document: str, data: bytes, names: tuple[Blob, ...] = ()) -> None:
        """Put a document there, over what has its name.

        Args:
            document: its name.
            data: its bytes.
            names: blobs that it speaks of, so that whoever collects what nobody names keeps them.
        """
        ...

    def has(self, blob: Blob) -> bool:
        """Whether a blob of this digest and size is there; its bytes are not looked at."""
        ...

    def upload(self, blob: Blob, content: Path) -> bool:
        """Put a blob there, unless it is; tells whether it was sent."""
        ...

    def stream(self, blob: Blob, sink: Sink, restart: Callable[[], object]) -> None:
        """Hand the bytes that lie under a digest to `sink`, in pieces; no digest is compared.

        Args:
            blob: digest and size; another number of bytes is refused.
            sink: takes the pieces.
            restart: called when all bytes come again from the first one on.

        Raises:
            NotFoundError: there is none.
        """
        ...

    def abandon(self) -> None:
        """End what other threads are doing with it; nothing works with it any more."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...
