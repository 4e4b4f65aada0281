"""Taking paths of lower layers away (OCI image specification 1.1, layer.md, "Whiteouts")."""

import posixpath
from collections.abc import Collection, Iterable, Iterator

from hps.layer.entry import Entry

_PREFIX = ".wh."


def whiteouts(paths: Iterable[str], owner: str) -> Iterator[Entry]:
    """An entry for each path that is to be hidden, with all below it.

    Args:
        paths: of layers below; nothing of the same layer.
        owner: who takes them away.
    """
    for path in sorted(set(paths)):
        folder, name = posixpath.split(path)
        yield Entry(posixpath.join(folder, f"{_PREFIX}{name}"), "file", owner)


def hidden(path: str) -> str | None:
    """The path that an entry hides, or None for one that is what it seems."""
    folder, name = posixpath.split(path)
    return posixpath.join(folder, name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else None


def is_below(path: str, gone: Collection[str]) -> bool:
    """Whether a path is one of those that were taken away, or below one."""
    while path:
        if path in gone:
            return True
        path = posixpath.dirname(path)
    return False
