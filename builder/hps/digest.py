"""Digests: the names by which hps knows bytes."""

import hashlib
import re
from dataclasses import dataclass
from typing import Self

_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, order=True, slots=True)
class Digest:
    """A sha256 digest, written `sha256:` and 64 lower-case hexadecimal digits.

    Follows the OCI image specification, descriptor.md, section "Digests". Other algorithms are
    refused: one algorithm means one name for the same bytes.
    """

    hex: str

    def __post_init__(self) -> None:
        if not _HEX.fullmatch(self.hex):
            raise ValueError(f"not a sha256 digest: {self.hex!r}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `sha256:<hex>`; raises ValueError for anything else."""
        algorithm, colon, value = text.partition(":")
        if algorithm != "sha256" or not colon:
            raise ValueError(f"expected sha256:<64 hexadecimal digits>, got {text!r}")
        return cls(value)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The digest of bytes in memory."""
        return cls(hashlib.sha256(data).hexdigest())

    @property
    def short(self) -> str:
        """The first twelve digits, for people."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"sha256:{self.hex}"


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes by name and length: what the store hands out and what a trace records.

    Args:
        digest: of the bytes.
        size: in bytes.
    """

    digest: Digest
    size: int
