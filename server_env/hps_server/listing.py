"""Looks at a model repository on disk: the edge of `hps_server.repository`.

Only what Triton itself opens is looked at: the model directories, what lies in them and in their
version directories. What is deeper belongs to the model (a virtual environment, for instance,
is full of links that lead out).
"""

import errno
import os
from pathlib import Path

from hps_server.repository import Entry, Kind, Listing

_DEPTH = 3  # MODEL/VERSION/FILE
_LARGEST_CONFIG = 1 << 20


def read_listing(root: Path) -> Listing:
    """List a model repository as the current user sees it.

    Raises:
        OSError: the root is missing, no directory or not readable.
    """
    real = Path(os.path.realpath(root, strict=True))
    entries: dict[str, Entry] = {}
    configs: dict[str, str] = {}
    _walk(real, "", 1, entries)
    for path, entry in entries.items():
        if path.endswith("/config.pbtxt") and path.count("/") == 1 and entry.kind is Kind.FILE:
            configs[path.split("/")[0]] = _text(real / path)
    return Listing(entries, configs)


def backends_of(folder: Path) -> "frozenset[str]":
    """Names of the backends installed in a backend directory: a library, or a model.py."""
    if not folder.is_dir():
        return frozenset()
    return frozenset(
        entry.name
        for entry in folder.iterdir()
        if (entry / f"libtriton_{entry.name}.so").is_file() or (entry / "model.py").is_file()
    )


def _walk(real: Path, relative: str, depth: int, entries: "dict[str, Entry]") -> None:
    with os.scandir(real / relative) as found:
        names = sorted(entry.name for entry in found)
    for name in names:
        path = f"{relative}/{name}" if relative else name
        entry = entries[path] = _entry(real, path)
        if entry.kind is Kind.DIRECTORY and depth < _DEPTH:
            _walk(real, path, depth + 1, entries)


def _entry(real: Path, path: str) -> Entry:
    full = real / path
    try:
        target = Path(os.path.realpath(full, strict=True))
        if not target.is_relative_to(real):
            return Entry(Kind.OUTSIDE, target=str(target))
        return _folder(full, target) if full.is_dir() else _file(full)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return Entry(Kind.LOOP)
        return Entry(Kind.DANGLING if full.is_symlink() else Kind.UNREADABLE)


def _folder(full: Path, target: Path) -> Entry:
    # A link to a folder that holds it would be walked for ever; Triton follows it too.
    if full.is_symlink() and full.is_relative_to(target):
        return Entry(Kind.LOOP)
    readable = os.access(full, os.R_OK | os.X_OK)
    return Entry(Kind.DIRECTORY if readable else Kind.UNREADABLE)


def _file(full: Path) -> Entry:
    if not full.is_file():
        return Entry(Kind.SPECIAL)
    readable = os.access(full, os.R_OK)
    return Entry(Kind.FILE if readable else Kind.UNREADABLE, size=full.stat().st_size)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LARGEST_CONFIG).decode("utf-8", errors="replace")
