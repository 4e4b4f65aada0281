"""The port through which requests leave this machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Protocol

from hps_client.address import Address
from hps_client.call import Call

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """How a server is reached.

    Attributes:
        address: Where it is.
        connect_timeout: Seconds that making a connection may take, of the call's time.
        headers: Sent with each request (gRPC: as metadata, in lower case).
        ca_file: PEM file of the authorities to trust instead of the system's.
        cert_file: PEM file of the client's certificate, with its key or with `key_file`.
        key_file: PEM file of the key.
        pool: Most idle connections to keep.
        max_answer_bytes: A longer answer is refused before it fills the memory.
    """

    address: Address
    connect_timeout: float = 10.0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: Optional[str] = None
    cert_file: Optional[str] = None
    key_file: Optional[str] = None
    pool: int = 16
    max_answer_bytes: int = 1024 * MEBIBYTE


class Transport(Protocol):
    """One way to a server. Safe for threads."""

    def infer(self, model: str, payload: bytes, call: Call, *, fresh: bool = False) -> bytes:
        """Send the bytes of tensor `input`, and give those of tensor `output`.

        Args:
            model: Triton's model name.
            payload: UTF-8 JSON.
            call: Deadline, name and brake.
            fresh: Use no connection that was used before: one that the server just closed looks
                the same as one that broke while it worked.

        Raises:
            ConnectionFailed, DeadlineExceeded, CallCancelled, RequestRefused, Unavailable,
            InvalidAnswer: what their names say.
        """

    def ready(self, model: Optional[str], call: Call) -> bool:
        """Whether a model, or with None the server, says that it is ready."""

    def close(self) -> None:
        """Close all connections; Triton waits for idle ones when it stops."""
