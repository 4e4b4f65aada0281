"""The pages on which HTTP servers list a folder: nginx, Apache, lighttpd, Python. Pure.

Only direct children are let in. Links to a parent, to elsewhere and to other hosts are what such
pages hold anyway and are left alone; names that cannot be told apart from a way out are refused.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urljoin, urlsplit

from hps.monitor.source import SourceError, Trouble

# Bounded parts only: a hostile page shall cost no more than its length.
_ANCHOR = re.compile(r"<a\s([^<>]{1,8192})>", re.IGNORECASE)
_HREF = re.compile(
    r"""(?:^|\s)href\s{0,9}=\s{0,9}(?:"([^"]*)"|'([^']*)'|([^\s"']+))""", re.IGNORECASE
)
_TITLE = re.compile(r"<title>\s{0,99}(index of|directory)\b", re.IGNORECASE)
_TAIL = 1 << 10  # characters within which the end of the page comes
_HEAD = 16 << 10  # characters within which the title comes


@dataclass(frozen=True, slots=True)
class Child:
    """One entry of a folder: its name, decoded, and whether it is a folder."""

    name: str
    is_folder: bool


def children(url: str, page: str) -> tuple[Child, ...]:
    """What a page at this address lists, without doubles, in the order of their names.

    Args:
        url: of the page, after redirects; ends with a slash.
        page: HTML.

    Raises:
        SourceError: MALFORMED: the page is no listing of a folder (an `index.html` of the model
            would hide its other files), or a name in it cannot be. TRUNCATED: its end is missing.
    """
    if not _TITLE.search(page, 0, _HEAD):
        raise SourceError(
            Trouble.MALFORMED,
            "the server does not list the folder of the model",
            expected="a page with the title: Index of …, or: Directory listing for …",
            hint="let the server list folders (autoindex), remove index.html, or publish the "
            "model packed",
        )
    if "</html>" not in page[-_TAIL:].lower():
        raise SourceError(Trouble.TRUNCATED, "the list of a folder of the model ended early")
    found = {child for href in _links(page) if (child := _child(url, href)) is not None}
    return tuple(sorted(found, key=lambda each: (each.name, each.is_folder)))


def _links(page: str) -> Iterator[str]:
    for anchor in _ANCHOR.finditer(page):
        match = _HREF.search(anchor[1])
        if match is not None:
            yield html.unescape(match[1] or match[2] or match[3] or "").strip()


def _child(base: str, href: str) -> Child | None:
    """The child that a link leads to; None for a link that leads elsewhere."""
    folder = urlsplit(base)
    try:
        target = urlsplit(urljoin(base, href))
    except ValueError as error:
        raise _hostile(href) from error
    elsewhere = (target.scheme, target.netloc) != (folder.scheme, folder.netloc)
    if elsewhere or target.path == folder.path or not target.path.startswith(folder.path):
        return None
    raw = target.path.removeprefix(folder.path)
    name = _decoded(raw.removesuffix("/"), href)
    if target.query or target.fragment or "/" in raw.removesuffix("/"):
        raise _hostile(href)  # no server lists grandchildren, or leaves these signs as they are
    return Child(name, raw.endswith("/"))


def _decoded(raw: str, href: str) -> str:
    try:
        name = unquote(raw, errors="strict")
    except UnicodeDecodeError as error:
        raise _hostile(href) from error
    if name in {"", ".", ".."} or "/" in name or not name.isprintable():
        raise _hostile(href)
    return name


def _hostile(href: str) -> SourceError:
    return SourceError(
        Trouble.MALFORMED,
        "the server lists a name that cannot be that of a file",
        got=repr(href[:200]),
        hint="rename the file, or publish the model packed",
    )
