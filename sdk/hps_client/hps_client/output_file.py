"""A file in an answer: base64, or a URL from which it can be had for some time."""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from hps_client.errors import InvalidAnswer

MEBIBYTE = 1024 * 1024
_MAGIC = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"%PDF-", ".pdf"),
)


@dataclass(frozen=True)
class OutputFile:
    """An image, a table or a document that a pipeline made.

    Attributes:
        text: What stood in the answer.
    """

    text: str

    def __repr__(self) -> str:
        return f"OutputFile({self.url!r})" if self.url else f"OutputFile(<{len(self.text)} base64>)"

    @property
    def url(self) -> Optional[str]:
        """Where it lies, if the server answers with URLs."""
        return self.text if self.text[:8].lower().startswith(("http://", "https://")) else None

    def data(self, *, timeout: Optional[float] = 60.0, limit: int = 256 * MEBIBYTE) -> bytes:
        """Its bytes; those of a URL are fetched, every time.

        Args:
            timeout: Seconds that fetching may take in all.
            limit: Most bytes to take from a URL.

        Raises:
            InvalidAnswer: it is neither base64 nor a URL, or larger than the limit.
            ConnectionFailed: the URL's server cannot be reached or refuses.
            DeadlineExceeded: fetching took too long.
        """
        if self.url is not None:
            from hps_client.fetch import fetch  # noqa: PLC0415 - few answers hold URLs

            return fetch(self.url, timeout=timeout, limit=limit)
        try:
            return base64.b64decode(self.text, validate=True)
        except (ValueError, binascii.Error) as error:
            raise InvalidAnswer(f"a file in the answer is not base64: {error}", "") from error

    def save(self, path: os.PathLike[str], *, timeout: Optional[float] = 60.0) -> Path:
        """Write it to a file; a path without a suffix gets the one that its content tells.

        Raises:
            OSError: it cannot be written.
            InvalidAnswer, ConnectionFailed, DeadlineExceeded: as `data`.
        """
        content = self.data(timeout=timeout)
        target = Path(path)
        if not target.suffix:
            target = target.with_name(target.name + self.suffix_of(content))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return target

    @staticmethod
    def suffix_of(content: bytes) -> str:
        """`.jpg` and so on by the first bytes, `.bin` for what is not known."""
        for magic, suffix in _MAGIC:
            if content.startswith(magic):
                return suffix
        return ".webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else ".bin"
