"""Base64 that has one text for the same bytes (RFC 4648, sections 3.3 and 3.5)."""

import base64


def unbase64(text: object) -> bytes:
    """Decode standard base64; raises ValueError for any other text of the same bytes."""
    if not isinstance(text, str):
        raise ValueError(f"base64 is a string, got {type(text).__name__}")  # noqa: TRY004 - one kind of fault
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode("ascii") != text:
        raise ValueError("the base64 has bits that mean nothing")
    return data


def to_base64(data: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(data).decode("ascii")
