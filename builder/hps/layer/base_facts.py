"""What a base image provides, read from its own files: packages, Python, users."""

import csv
import email.parser
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from hps.layer.accounts import rows
from hps.layer.base_dpkg import BaseDpkg
from hps.layer.image_root import ImageRoot

_GLIBC = re.compile(r"(?:\d+:)?(\d+)\.(\d+)")
_DISTRIBUTION = re.compile(r"[^/]+\.(?:dist-info/METADATA|egg-info/PKG-INFO|egg-info)")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_LINE = 1 << 14  # characters; a path has at most 4096 bytes, and a RECORD says a digest behind it
_HEAD = 1 << 16  # bytes of a METADATA that its first fields are in


def base_facts(folder: Path, python: str) -> dict[str, Any]:
    """What hps.lock says of a base beside its layers; JSON.

    Args:
        folder: the unpacked image.
        python: the target's version, for instance 3.11.
    """
    dpkg = BaseDpkg(folder)
    debs = sorted(
        {
            (one.name, one.fields["Version"], one.fields["Architecture"])
            for one in dpkg.paragraphs
            if one.is_installed
        }
    )
    libc = dpkg.installed.get("libc6")
    version = _GLIBC.match(libc.fields["Version"]) if libc else None
    return {
        "debs": [list(one) for one in debs],
        "glibc": f"{version[1]}.{version[2]}" if version else None,
        "interpreter": interpreter(dpkg.root, python),
        "python": [list(one) for one in projects(dpkg.root, python)],
        "passwd": _numbers(dpkg.root, "etc/passwd"),
        "group": _numbers(dpkg.root, "etc/group"),
    }


def interpreter(root: ImageRoot, python: str) -> str | None:
    """The Python of a version: one that was made from source (/usr/local), else Debian's.

    The former is what a shell of such an image finds, and where its vendor has put the packages.
    It has a standard library beside it; a link or script of the name is none.
    """
    debian, own = f"usr/bin/python{python}", f"usr/local/bin/python{python}"
    made = root.exists(f"usr/local/lib/python{python}/os.py")
    places = (own, debian) if made else (debian, own)
    return next((f"/{place}" for place in places if root.exists(place)), None)


def install_folders(python: str, found: str | None) -> tuple[str, ...]:
    """Where an interpreter looks for packages, in its order (site.py): Debian's, else CPython's.

    Without one, Debian's will be laid over the base.
    """
    if found is not None and found.startswith("/usr/local/"):
        return (f"usr/local/lib/python{python}/site-packages",)
    return (
        f"usr/local/lib/python{python}/dist-packages",
        "usr/lib/python3/dist-packages",
        f"usr/lib/python{python}/dist-packages",
    )


def projects(root: ImageRoot, python: str) -> Iterator[tuple[str, str, str]]:
    """Name, version and folder of every Python package, in the order in which Python finds them."""
    for folder in install_folders(python, interpreter(root, python)):
        found: set[tuple[str, str]] = set()
        for path in root.files(folder):
            inside = path.removeprefix(f"{folder}/")
            if _DISTRIBUTION.fullmatch(inside):
                named = _named((root.read(path) or b"")[:_HEAD])
                found |= {named} if named else set()
        for name, version in sorted(found):
            yield name, version, folder


def _named(metadata: bytes) -> tuple[str, str] | None:
    """Name and version that core metadata say, in their normal forms; None when they say none."""
    head = email.parser.HeaderParser().parsestr(metadata.decode("utf-8", "replace"))
    name, version = str(head.get("Name", "")).strip(), str(head.get("Version", "")).strip()
    try:
        return (canonicalize_name(name), str(Version(version))) if _NAME.fullmatch(name) else None
    except InvalidVersion:
        return None


def recorded(root: ImageRoot, folder: str, name: str) -> list[str]:
    """What goes away with an installed package: what it says of itself, and what it lists.

    The lists are RECORD, and `installed-files.txt` of older installers. Without one its other files
    stay, as nothing tells which they are: where the new one brings them too, that is a conflict.
    Files outside of the folder (scripts) go too, and so do bytecode of what goes and folders that
    would be empty; what is neither in the folder nor below /usr/local stays.
    """
    found: list[str] = []
    for path in root.files(folder):
        if not _DISTRIBUTION.fullmatch(path.removeprefix(f"{folder}/")):
            continue
        named = _named((root.read(path) or b"")[:_HEAD])
        if named is None or named[0] != name:
            continue
        info = posixpath.dirname(path)
        found += [path] if info == folder else root.files(info)
        rows = [row for line in _lines(root, f"{info}/RECORD") for row in csv.reader([line])]
        found += [place for row in rows if (place := _place(folder, row))]
        lines = _lines(root, f"{info}/installed-files.txt")
        found += [place for line in lines if (place := _place(info, [line]))]
    safe = ("usr/local/", f"{folder}/")  # a RECORD must not lead to what is somebody else's
    listed = {one for one in found if one.startswith(safe) and root.holds(one)}
    gone = {one for one in listed if not root.is_folder(one)}  # nor name all that is in a folder
    gone |= {compiled for one in gone for compiled in _bytecode(root, one)}
    return _topmost(root, gone, folder)


def _bytecode(root: ImageRoot, path: str) -> Iterator[str]:
    """The compiled forms of a source file (PEP 3147)."""
    parent, _, name = path.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    if dot and suffix == "py":
        cache = f"{parent}/__pycache__"
        yield from (
            f"{cache}/{one}"
            for one in root.names(cache)
            if one.startswith(f"{stem}.") and one.endswith(".pyc")
        )


def _topmost(root: ImageRoot, gone: set[str], folder: str) -> list[str]:
    """Paths that go, and in place of all that is in a folder the folder itself."""
    parents = {parent for path in gone for parent in _above(path, folder)}
    for parent in sorted(parents, key=lambda one: -one.count("/")):
        if all(f"{parent}/{name}" in gone for name in root.names(parent)):
            gone.add(parent)
    return sorted(path for path in gone if posixpath.dirname(path) not in gone)


def _above(path: str, folder: str) -> Iterator[str]:
    """The folders above a path that lie in another."""
    while (path := posixpath.dirname(path)).startswith(f"{folder}/"):
        yield path


def _lines(root: ImageRoot, path: str) -> list[str]:
    """The lines of a list of files; none that is too long for a path, which csv would refuse."""
    text = (root.read(path) or b"").decode("utf-8", "replace")
    return [line for line in text.splitlines() if len(line) < _LINE]


def _place(folder: str, row: list[str]) -> str | None:
    place = posixpath.normpath(posixpath.join("/", folder, row[0])) if row else "/"
    return place.lstrip("/") or None


def _numbers(root: ImageRoot, path: str) -> list[list[str]]:
    """Name, number, group's number and home of passwd(5); name and number of group(5)."""
    text = (root.read(path) or b"").decode("utf-8", "replace")
    wide = path.endswith("passwd")
    return [
        [row[0], row[2], row[3], row[5]] if wide else [row[0], row[2]]
        for row in rows(text)
        if len(row) > (5 if wide else 2) and row[2].isdecimal()
    ]
