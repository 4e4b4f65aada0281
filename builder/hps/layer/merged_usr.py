"""Merged /usr: where a path of a package lies once /bin is a link to usr/bin.

What the maintainer scripts of usrmerge, usr-is-merged and base-files make of a system, given as
a pure function of paths. See Debian's release notes of bookworm, "The /usr merge is required".
"""

from collections.abc import Iterable

from hps.layer.entry import Entry

# Old path to (path where its content lies, target of the link as written).
LINKS = {
    "bin": ("usr/bin", "usr/bin"),
    "lib": ("usr/lib", "usr/lib"),
    "lib32": ("usr/lib32", "usr/lib32"),
    "lib64": ("usr/lib64", "usr/lib64"),
    "libx32": ("usr/libx32", "usr/libx32"),
    "sbin": ("usr/sbin", "usr/sbin"),
    # base-files.postinst: migrate_directory
    "var/lock": ("run/lock", "/run/lock"),
    "var/run": ("run", "/run"),
}
_ALWAYS = ("bin", "lib", "sbin")


def merged(path: str) -> str:
    """The path itself, or where it lies below /usr or /run."""
    for length in (1, 2):
        parts = path.split("/", length)
        place = LINKS.get("/".join(parts[:length]))
        if place is not None:
            return "/".join([place[0], *parts[length:]])
    return path


def link_entries(paths: Iterable[str], owner: str) -> list[Entry]:
    """The links themselves, for those whose folder exists; bin, lib and sbin always.

    Args:
        paths: what the layer holds, after `merged`.
        owner: who brings the links.
    """
    present = set(paths)
    return [
        Entry(path, "symlink", owner, link=link)
        for path, (place, link) in LINKS.items()
        if path in _ALWAYS or place in present
    ]
