"""What callers hand over, in the form that the wire wants: URL or base64."""

from __future__ import annotations

import base64
import binascii
import os
import re
from pathlib import Path
from typing import Any, BinaryIO, Mapping, Optional, Union
from urllib.parse import unquote_to_bytes

from hps_client.errors import InvalidInput
from hps_client.output_file import OutputFile

FileInput = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryIO, OutputFile]
"""A file: a path, a URL that the server can reach, a data URI, bytes, or an open binary file."""

PDF = 0
IMAGE = 1
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_PDF_WITHIN = 1024  # readers of PDF accept rubbish before the header, up to here


def is_url(text: str) -> bool:
    """Whether the server is to fetch it."""
    return text[:8].lower().startswith(("http://", "https://"))


def wire_file(value: Any) -> str:
    """A file as the wire wants it: URLs as they are, everything else as base64.

    Raises:
        InvalidInput: it cannot be read, or is nothing that holds a file.
    """
    if isinstance(value, OutputFile):
        return value.text
    if isinstance(value, str) and is_url(value):
        return value
    if isinstance(value, str) and value[:5].lower() == "data:":
        return encode(_from_data_uri(value))
    return encode(read(value))


def read(value: Any) -> Union[bytes, bytearray]:
    """The bytes of a path, of bytes, or of an open file.

    Raises:
        InvalidInput: there are none to have.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value) if isinstance(value, memoryview) else value
    if isinstance(value, (str, os.PathLike)):
        return _from_path(value)
    if not hasattr(value, "read"):
        raise InvalidInput(
            f"{type(value).__name__} is no file",
            "give a path, a URL, bytes or a file opened in binary mode",
        )
    content = value.read()
    if not isinstance(content, bytes):
        raise InvalidInput("the open file gives text, not bytes", 'open it with mode "rb"')
    return content


class Base64(str):
    """Base64 that was made here, so that JSON need not look for anything to escape in it."""

    __slots__ = ()


def encode(content: Union[bytes, bytearray]) -> Base64:
    """Bytes as base64.

    Raises:
        InvalidInput: there are no bytes.
    """
    if not len(content):
        raise InvalidInput("the file is empty", "an open file must stand at its beginning")
    return Base64(base64.b64encode(content), "ascii")


def file_type_of(text: str) -> Optional[int]:
    """The wire's `fileType` of a file on the wire: by its first bytes, None for a URL."""
    if is_url(text):
        return None
    head = text[: _PDF_WITHIN // 3 * 4]
    try:
        return PDF if b"%PDF-" in base64.b64decode(head) else IMAGE
    except binascii.Error:  # an OutputFile may hold anything; the server will say so
        return None


def data_uri(value: FileInput) -> str:
    """A file as a data URI, for fields that want one (images in chat messages).

    Raises:
        InvalidInput: it cannot be read.
    """
    if isinstance(value, str) and (is_url(value) or value[:5].lower() == "data:"):
        return value
    content = value.data() if isinstance(value, OutputFile) else bytes(read(value))
    kind = {".jpg": "image/jpeg", ".png": "image/png", ".gif": "image/gif", ".webp": "image/webp"}
    media = kind.get(OutputFile.suffix_of(content), "application/octet-stream")
    return f"data:{media};base64,{encode(content)}"


def wire_value(value: Any, where: str) -> Any:
    """A value as JSON has it: records by their wire names, tuples as lists.

    Raises:
        InvalidInput: JSON has no form for it.
    """
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, OutputFile):
        return value.text
    if hasattr(value, "to_wire"):
        return value.to_wire()
    if isinstance(value, Mapping):
        return {str(key): wire_value(one, where) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [wire_value(one, where) for one in value]
    if isinstance(value, (bytes, bytearray, os.PathLike)) or hasattr(value, "read"):
        return value  # a file inside a list: whoever knows that it is one encodes it
    raise InvalidInput(
        f"{where} holds {type(value).__name__}, which JSON does not know",
        "use numbers, strings, lists and dictionaries (of an array: .tolist())",
    )


def _from_path(value: Union[str, os.PathLike[str]]) -> bytes:
    text = os.fspath(value)
    scheme = _SCHEME.match(text)
    try:
        return Path(text).read_bytes()
    except (OSError, ValueError) as error:
        hint = "give a path, an http(s) URL, or the bytes themselves"
        if scheme and len(scheme.group(1)) > 1:
            hint = f"of URLs only http, https and data are known, not {scheme.group(1)!r}"
        reason = getattr(error, "strerror", None) or str(error)
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        raise InvalidInput(f"cannot read {shown!r}: {reason}", hint) from error


def _from_data_uri(uri: str) -> bytes:
    head, comma, body = uri[5:].partition(",")
    if not comma:
        raise InvalidInput("the data URI has no comma", "see RFC 2397")
    try:
        if head.lower().endswith(";base64"):
            return base64.b64decode(unquote_to_bytes(body), validate=True)
        return unquote_to_bytes(body)
    except ValueError as error:
        raise InvalidInput(f"the data URI cannot be read: {error}", "see RFC 2397") from error


_SHOWN = 200
