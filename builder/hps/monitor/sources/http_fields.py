"""What the head of an HTTP answer says of a file. Pure; follows RFC 9110."""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime

from hps.monitor.source import Found

_ETAG = re.compile(r'(?P<weak>W/)?"[\x21\x23-\x7e\x80-\xff]*"')  # section 8.8.3
_LONGEST_ETAG = 1024
_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")  # section 14.4
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,15})")
_DIGEST = re.compile(r"(?:^|,)\s*sha-256=(:?)([A-Za-z0-9+/]{43}=)(:?)\s*(?:,|;|$)", re.IGNORECASE)
_SHA256_BYTES = 32
_COMPRESSED = {"gzip": (".gz", ".tgz"), "x-gzip": (".gz", ".tgz"), "bzip2": (".bz2", ".tbz2")}


def found(path: str, head: Mapping[str, str], size: int | None) -> Found:
    """All that a head tells of the file it speaks of.

    Args:
        path: of the file in the model.
        head: fields by name, of any case.
        size: bytes of the whole file, as far as the answer tells.
    """
    modified = seconds(head.get("Last-Modified"))
    date = seconds(head.get("Date"))
    tokens = {**_etag(head.get("ETag")), **_digest(head)}
    if modified is not None:
        tokens["modified"] = str(modified)
    return Found(
        path,
        size,
        tokens,
        resolution=0.0 if "digest" in tokens else 1.0,
        age=None if modified is None or date is None else float(date - modified),
    )


def seconds(text: str | None) -> int | None:
    """Seconds since the epoch of an HTTP date, or None if it cannot be read (section 5.6.7)."""
    if text is None:
        return None
    try:
        when = parsedate_to_datetime(text)
        return int(when.replace(tzinfo=when.tzinfo or UTC).timestamp())
    except (ValueError, OverflowError):
        return None


def resume(file: Found, offset: int) -> dict[str, str] | None:
    """The fields that ask for the rest of this very file, or None where that cannot be asked.

    A weak ETag never says that bytes are equal (section 13.1.5).
    """
    validator = file.tokens.get("etag")
    if validator is None and "modified" in file.tokens:
        validator = formatdate(int(file.tokens["modified"]), usegmt=True)
    if validator is None:
        return None
    return {"Range": f"bytes={offset}-", "If-Range": validator}


def rest_size(head: Mapping[str, str], offset: int) -> int | None:
    """Size of the whole file where the answer is its rest from `offset` on; else None."""
    match = _RANGE.fullmatch(head.get("Content-Range", ""))
    if match is None:
        return None
    start, last, size = map(int, match.groups())
    return size if (start, last) == (offset, size - 1) else None


def size_in_range(head: Mapping[str, str]) -> int | None:
    """The size of the whole file that Content-Range tells, of any range or of none."""
    value = head.get("Content-Range", "")
    match = _RANGE.fullmatch(value)
    if match is not None:
        return int(match[3])
    match = _UNSATISFIED.fullmatch(value)
    return None if match is None else int(match[1])


def is_as_stored(head: Mapping[str, str], path: str) -> bool:
    """Whether the body is the file itself and no coding of it (section 8.4).

    Servers name the coding of a file that is stored compressed, `model.tar.gz`, in the same
    field; there the body is the file.
    """
    coding = head.get("Content-Encoding", "").strip().lower()
    return coding in {"", "identity"} or path.lower().endswith(_COMPRESSED.get(coding, ("\0",)))


def _etag(value: str | None) -> dict[str, str]:
    """An ETag by its strength; one that breaks the rules still tells when it changes."""
    value = (value or "").strip()
    if not value or len(value) > _LONGEST_ETAG:
        return {}
    match = _ETAG.fullmatch(value)
    strong = match is not None and match["weak"] is None
    return {"etag" if strong else "weak-etag": value}


def _digest(head: Mapping[str, str]) -> dict[str, str]:
    """The digest of the whole file (RFC 9530, section 3; before it RFC 3230, section 4.3.2)."""
    for name in ("Repr-Digest", "Digest"):
        match = _DIGEST.search(head.get(name, "")[:_LONGEST_ETAG])
        if match is None or match[1] != match[3]:
            continue
        try:
            raw = base64.b64decode(match[2], validate=True)
        except binascii.Error:
            continue
        if len(raw) == _SHA256_BYTES:
            return {"digest": f"sha256:{raw.hex()}"}
    return {}
