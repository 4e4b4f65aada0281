"""What one transfer has received so far, and whether that can be right; no request is made here."""

from collections.abc import Callable
from dataclasses import dataclass

from hps.errors import IntegrityError
from hps.store.url import redact

Sink = Callable[[bytes], object]


@dataclass(slots=True)
class Transfer:
    """Bytes on their way from one address to one sink, over several attempts if need be.

    Args:
        url: where they come from; its credentials never show in messages.
        sink: takes each piece, in order.
        restart: called before the bytes come again from the first one on.
        limit: more bytes than this are never read.
        exact: the size is known, and is `limit`.
        name: what people call them; the address itself if empty.
    """

    url: str
    sink: Sink
    restart: Callable[[], object]
    limit: int
    exact: bool = False
    received: int = 0
    total: int | None = None
    etag: str | None = None
    location: str = ""  # the address after redirects
    media_type: str = ""
    name: str = ""

    @property
    def title(self) -> str:
        """What errors call it."""
        return self.name or redact(self.url)

    def range_headers(self) -> dict[str, str]:
        """Ask for the rest only, if what is there may be carried on (RFC 9110, 13.1.5 and 14.2).

        Without a strong validator two halves could be of two files.
        """
        if not self.received or self.etag is None:
            return {}
        return {"Range": f"bytes={self.received}-", "If-Range": self.etag}

    def begin(self, announced: int | None, *, etag: str | None = None, offset: int = 0) -> None:
        """An answer starts at byte `offset` and announces so many bytes, if it says so.

        Raises:
            IntegrityError: the announced size cannot be right.
        """
        if offset == 0 and self.received:
            self.restart()
            self.received = 0
        self.etag = etag if etag and not etag.startswith("W/") else None
        self.total = None if announced is None else offset + announced
        if self.total is None:
            return
        if self.total > self.limit:
            raise self._fault(f"{self.total} bytes announced")
        if self.exact and self.total != self.limit:
            raise self._fault(f"{self.total} bytes announced")

    def add(self, piece: bytes) -> None:
        """Hand a piece on.

        Raises:
            IntegrityError: more bytes than there may be; the surplus never reaches the sink.
        """
        if self.received + len(piece) > self.limit:
            raise self._fault(f"{self.received + len(piece)} bytes and more")
        self.sink(piece)
        self.received += len(piece)

    def is_complete(self, *, framed: bool) -> bool:
        """Whether the end of an answer is the end of the bytes.

        `framed` tells that the server itself marked the end; a connection that merely closed
        may have been cut.

        Raises:
            IntegrityError: a marked end before the known size.
        """
        if self.total is not None and self.received < self.total:
            return False
        if self.exact and self.received < self.limit:
            if framed:
                raise self._fault(f"{self.received} bytes")
            return False
        return True

    def _fault(self, got: str) -> IntegrityError:
        return IntegrityError(
            f"wrong size: {self.title}",
            expected=f"{self.limit} bytes" if self.exact else f"at most {self.limit} bytes",
            got=got,
            hint="the server has another file under this name; use another mirror, "
            "or lock again if the change is known and wanted",
        )
