"""Names of files in a model: what is let in, for lists, archives and folders alike. Pure.

A name that passes means one file on every file system, also on one that folds case or Unicode
forms, and leads nowhere out of the model's folder.
"""

import re
import unicodedata
from collections.abc import Iterable

from hps.archive.paths import folded

MOST_FILES = 10_000
MOST_PARTS = 32
LONGEST = 1024  # bytes; a quarter of what Linux takes, so that a staging folder fits before it
_LONGEST_PART = 255  # bytes, NAME_MAX of Linux
_DRIVE = re.compile(r"[A-Za-z]:")
# Devices of Windows ("Naming Files, Paths, and Namespaces").
_DEVICE = re.compile(r"CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³]", re.IGNORECASE)


def check_path(path: str) -> str:
    """Make sure that a name is a plain relative POSIX path of a file.

    Returns:
        The path, unchanged: a name that would have to be changed to be safe is refused, because
        the signed name and the name on the disk must be the same.

    Raises:
        ValueError: it is absolute, empty, has parts `.`, `..` or none, a backslash, a drive,
            signs that cannot be seen, a part that ends with a dot or space or is a device of other
            systems, is no NFC (Unicode
            Standard Annex 15), longer or deeper than any honest one, or not UTF-8.
    """
    if fault := _fault(path):
        raise ValueError(f"the path {path[:200]!r} {fault}")
    return path


def check_paths(paths: Iterable[str]) -> tuple[str, ...]:
    """Make sure that names are those of different files below one folder.

    Raises:
        ValueError: there are too many, one is no path (see `check_path`), two differ by case or
            Unicode form alone, or a file is also a folder.
    """
    checked = tuple(paths)
    if len(checked) > MOST_FILES:
        raise ValueError(f"{len(checked)} files, at most {MOST_FILES} are allowed")
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in checked:
        check_path(path)
        if (other := files.get(folded(path))) is not None:
            raise ValueError(f"the paths {other!r} and {path!r} can be one file")
        files[folded(path)] = path
        for folder in parents(path):
            if (other := folders.setdefault(folded(folder), folder)) != folder:
                raise ValueError(f"the folders {other!r} and {folder!r} can be one folder")
    if len(folders) > MOST_FILES:
        raise ValueError(f"{len(folders)} folders, at most {MOST_FILES} are allowed")
    if both := sorted(files.keys() & folders.keys()):
        raise ValueError(f"the path {files[both[0]]!r} is a file and a folder")
    return checked


def parents(path: str) -> list[str]:
    """The folders in which a file lies, the outermost first, without the model's own."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def in_order(path: str) -> list[str]:
    """The key by which lists of files are sorted: part by part, as model_signing sorts them."""
    return path.split("/")


def _fault(path: str) -> str | None:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "is not UTF-8"
    if not path or path.startswith("/"):
        return "is not relative"
    if size > LONGEST:
        return f"has more than {LONGEST} bytes"
    parts = path.split("/")
    faults = (
        (not path.isprintable(), "holds signs that cannot be seen"),
        ("\\" in path, "holds a backslash"),
        (_DRIVE.match(path), "begins with a drive"),
        (len(parts) > MOST_PARTS, f"has more than {MOST_PARTS} parts"),
        (any(part in ("", ".", "..") for part in parts), "has a part that is no name"),
        (any(part.endswith((".", " ")) for part in parts), "has a part that ends with . or space"),
        (
            any(len(part.encode()) > _LONGEST_PART for part in parts),
            f"has a part of more than {_LONGEST_PART} bytes",
        ),
        (any(map(_DEVICE.fullmatch, parts)), "has a part that is a device on other systems"),
        (not unicodedata.is_normalized("NFC", path), "is not in Unicode form NFC"),
    )
    return next((text for present, text in faults if present), None)
