"""How much a request may ask for: sizes, pixels, pages, and where files may be fetched from.

Every limit has a safe default. The pipeline's configuration changes one under
`Serving: hps: limits:`, and the environment wins over it: `max_pixels` is `HPS_SERVER_MAX_PIXELS`.
Lists are comma-separated in the environment.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

MIB = 1 << 20
PREFIX = "HPS_SERVER_"


class LimitsError(ValueError):
    """The limits cannot be read; `faults` says all that is wrong, one sentence each."""

    def __init__(self, faults: "list[str]") -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Limits:
    """What one request may hold and make the server do.

    Attributes:
        max_request_bytes: JSON document of a request, bytes.
        max_file_bytes: one file, decoded or fetched, bytes.
        max_total_bytes: all files of one request together, bytes.
        max_unpacked_bytes: content of a compressed tar archive, bytes.
        max_archive_members: files and folders in a tar archive.
        max_files: files in one request.
        max_pixels: one image, one frame of a TIFF, or one page of a PDF as it is rendered; pixels.
            PaddleX refuses more than 178,956,970 itself, but after decoding.
        max_total_pixels: all images and pages that one request makes PaddleX decode, pixels.
        max_pages: pages of a PDF or frames of a TIFF. How many of them are read is PaddleX's
            `Serving: extra: max_num_input_imgs`.
        fetch_schemes: schemes of URLs that are fetched; none at all: URLs are refused.
        fetch_allow_hosts: patterns (`*.example.org`) of hosts; empty allows every public one.
        fetch_deny_hosts: patterns of hosts that are never asked; wins over the other list.
        fetch_allow_private: also ask private, shared and loopback addresses. Link-local,
            metadata, multicast and reserved addresses stay refused.
        fetch_proxy: URL of the proxy that fetches go through; the proxy then resolves names, so
            that it must refuse inside addresses. Proxies of the environment are not used.
        fetch_max_redirects: redirects that are followed, each checked anew.
        fetch_connect_seconds: time for one connection, TLS included.
        fetch_total_seconds: time for one file, redirects included.
        fetch_min_bytes_per_second: slower senders are given up after five seconds.
        fetch_parallel: files that are fetched at the same time.
    """

    max_request_bytes: int = 256 * MIB
    max_file_bytes: int = 128 * MIB
    max_total_bytes: int = 256 * MIB
    max_unpacked_bytes: int = 512 * MIB
    max_archive_members: int = 10_000
    max_files: int = 256
    max_pixels: int = 178_956_970
    max_total_pixels: int = 500_000_000
    max_pages: int = 2_000
    fetch_schemes: "tuple[str, ...]" = ("http", "https")
    fetch_allow_hosts: "tuple[str, ...]" = ()
    fetch_deny_hosts: "tuple[str, ...]" = ()
    fetch_allow_private: bool = False
    fetch_proxy: str = ""
    fetch_max_redirects: int = 5
    fetch_connect_seconds: float = 5.0
    fetch_total_seconds: float = 30.0
    fetch_min_bytes_per_second: int = 1024
    fetch_parallel: int = 16

    @classmethod
    def from_settings(
        cls,
        mapping: "Mapping[str, Any] | None" = None,
        environment: "Mapping[str, str] | None" = None,
    ) -> "Limits":
        """The limits of a configuration, changed by the environment.

        Args:
            mapping: the block `Serving: hps: limits:`.
            environment: variables; those of other settings are left alone.

        Raises:
            LimitsError: unknown keys or unusable values; all of them are told.
        """
        faults: list[str] = []
        values: dict[str, Any] = {}
        if mapping is not None and not isinstance(mapping, Mapping):
            raise LimitsError([f"limits must be a mapping, not {type(mapping).__name__}"])
        given, variables = dict(mapping or {}), environment or {}
        for name, read in _READERS.items():
            variable = PREFIX + name.upper()
            where, value = f"limits.{name}", given.pop(name, None)
            if variable in variables:
                where, value = variable, variables[variable]
            if value is None:
                continue
            try:
                values[name] = read(value)
            except ValueError as error:
                faults.append(f"{where} {error}")
        known = ", ".join(_READERS)
        faults += [f"limits.{name} is unknown; known are {known}" for name in map(str, given)]
        faults += _schemes_fault(values.get("fetch_schemes", ()))
        if faults:
            raise LimitsError(faults)
        return cls(**values)


def _whole(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"must be a whole number from 1, not {value!r}")
    return value


def _count(value: Any) -> int:
    return 0 if value in (0, "0") and not isinstance(value, bool) else _whole(value)


def _seconds(value: Any) -> float:
    try:
        seconds = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = float("nan")
    if not 0 < seconds <= 24 * 3600:
        raise ValueError(f"must be seconds above 0 and within a day, not {value!r}")
    return seconds


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "0": False, "false": False}
    if str(value).lower() not in words:
        raise ValueError(f"must be true or false, not {value!r}")
    return words[str(value).lower()]


def _words(value: Any) -> "tuple[str, ...]":
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"must be a list of words, not {value!r}")
    return tuple(word.strip().lower() for word in words if word.strip())


def _proxy(value: Any) -> str:
    if not isinstance(value, str) or (value and not re.fullmatch(r"https?://[^\s@]+", value)):
        raise ValueError("must be an http or https URL without credentials, or empty")
    return value


def _schemes_fault(schemes: "tuple[str, ...]") -> "list[str]":
    strange = sorted(set(schemes) - {"http", "https"})
    return [f"limits.fetch_schemes holds {name!r}; only http and https" for name in strange]


_BY_TYPE: "dict[Any, Callable[[Any], Any]]" = {
    int: _whole,
    float: _seconds,
    bool: _truth,
    str: _proxy,
}
_READERS: "dict[str, Callable[[Any], Any]]" = {
    field.name: _BY_TYPE.get(field.type, _words) for field in fields(Limits)
}
_READERS["fetch_max_redirects"] = _count
VARIABLES = frozenset(PREFIX + name.upper() for name in _READERS)
