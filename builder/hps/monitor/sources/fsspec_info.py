"""What file systems of fsspec say of a file, each in its own words. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hps.monitor.source import Found

# The stores in which an ETag or generation stands for one content for ever.
_STORES = frozenset(
    {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "tos", "obs", "hf"}
)
_ETAGS = ("ETag", "etag")
_TIMES = (
    *("mtime", "LastModified", "last_modified", "modified", "updated", "modificationTime"),
    *("Last-Modified", "date_modified"),
)
_IDS = ("VersionId", "version_id", "generation", "ino", "blob_id", "fileId")
_CHECKSUMS = ("md5Hash", "crc32c", "content_md5", "md5", "checksum", "sha", "oid")
_HEX = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")
_LONGEST = 1024
_MILLISECONDS = 1e11  # seconds of the year 5138: what is more counts in milliseconds


def found(path: str, info: Mapping[str, Any], protocol: str) -> Found:
    """All that a file system tells of one file.

    Args:
        path: of the file in the model.
        info: as `AbstractFileSystem.info` gives it; nothing but `size` and `type` is the same
            everywhere.
        protocol: the scheme of its addresses.
    """
    tokens = {
        **_etag(_first(info, _ETAGS)),
        **_token("id", info, _IDS),
        **_token("checksum", info, _CHECKSUMS),
        **_digest(info),
    }
    settles = bool(tokens.keys() & {"etag", "id", "checksum"}) and protocol in _STORES
    modified = seconds(_first(info, _TIMES))
    if modified is not None:
        tokens["modified"] = modified
    size = info.get("size")
    fine = "digest" in tokens or settles
    return Found(
        path,
        size if type(size) is int and size >= 0 else None,
        tokens,
        resolution=0.0 if fine else 1.0,
    )


def seconds(value: object) -> str | None:
    """A time as seconds since the epoch, with the decimals that it has."""
    if isinstance(value, str):
        if _NUMBER.fullmatch(value):
            return value
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=value.tzinfo or UTC)
        return f"{moment.timestamp():.6f}".rstrip("0").rstrip(".")
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e16:  # noqa: PLR2004 - what no clock tells
        return str(value / 1000 if value > _MILLISECONDS else value)
    return None


def _first(info: Mapping[str, Any], keys: tuple[str, ...]) -> object:
    return next((info[key] for key in keys if info.get(key) not in (None, "", "null")), None)


def _etag(value: object) -> dict[str, str]:
    if not isinstance(value, str) or len(value) > _LONGEST:
        return {}
    return {"weak-etag" if value.startswith("W/") else "etag": value}


def _token(name: str, info: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, str]:
    given = [f"{key}={info[key]}" for key in keys if _is_text(info.get(key))]
    return {name: " ".join(given)[:_LONGEST]} if given else {}


def _is_text(value: object) -> bool:
    return isinstance(value, str | int | bytes) and value not in ("", "null", b"")


def _digest(info: Mapping[str, Any]) -> dict[str, str]:
    """The sha256 that the few tell who know it."""
    large = info.get("lfs")
    value = info.get("sha256") or (large.get("sha256") if isinstance(large, Mapping) else None)
    if isinstance(value, str) and _HEX.fullmatch(value):
        return {"digest": f"sha256:{value}"}
    return {}
