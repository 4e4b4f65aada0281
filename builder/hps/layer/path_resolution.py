"""Following symbolic links inside an image, as a process in it would (path_resolution(7))."""

import posixpath
from collections.abc import Callable

from hps.archive.paths import Limits
from hps.errors import UnsafeArchiveError


class Nothing(Exception):  # noqa: N818 - not an error: there is nothing at a path
    """Raised by a look at a path where nothing is."""


def resolve(path: str, link: Callable[[str], str | None]) -> str | None:
    """The path without links, relative to the root; None when nothing is there.

    An absolute target starts at the image's own root, and `..` never leads out of it.

    Args:
        path: from the root, with or without a slash before it.
        link: where a link at a path that has no links before its last part points; None for
            anything else that is there. Raises `Nothing` where nothing is.

    Raises:
        UnsafeArchiveError: the links go in circles.
    """
    left, done, links = path.split("/")[::-1], "", 0
    while left:
        part = left.pop()
        if part in {"", "."}:
            continue
        if part == "..":
            done = posixpath.dirname(done)
            continue
        here = posixpath.join(done, part)
        try:
            target = link(here)
        except Nothing:
            return None
        if target is None:
            done = here
            continue
        links += 1
        if links > Limits().links:
            raise UnsafeArchiveError(f"the links at /{path} go in circles")
        done = "" if target.startswith("/") else done
        left += target.split("/")[::-1]
    return done
