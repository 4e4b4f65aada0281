"""Read file:// addresses like a plain web server would: files, and folders as a page of links."""

import html
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote
from urllib.request import url2pathname

from hps.errors import FetchError, NotFoundError
from hps.store import url as address
from hps.store.filesystem import PIECE
from hps.store.transfer import Transfer

_PAGES = {
    "index.html": "text/html",
    "index.json": "application/vnd.pypi.simple.v1+json",
}


def to_path(url: str) -> Path:
    """The path that a file:// address names (RFC 8089).

    Raises:
        FetchError: it names another host.
    """
    parts = address.split(url)
    if parts.netloc not in {"", "localhost"}:
        raise FetchError(
            f"cannot fetch {address.redact(url)}",
            expected="file:/// and an absolute path",
            got=f"the host {parts.hostname}",
            hint="write file:///path, with three slashes",
        )
    return Path(url2pathname(parts.path))


def stream_file(transfer: Transfer, check: Callable[[], object]) -> int:
    """Read a regular file into the transfer; `check` is called before each piece.

    Raises:
        NotFoundError: there is no such file.
        FetchError: it cannot be read, or is no regular file.
        IntegrityError: its size cannot be right.
    """
    path = to_path(transfer.url)
    with _open(path) as file:
        transfer.begin(os.fstat(file.fileno()).st_size)
        for piece in iter(lambda: file.read(PIECE), b""):
            check()
            transfer.add(piece)
    if not transfer.is_complete(framed=True):
        raise FetchError(
            f"{path} shrank while it was read",
            expected=f"{transfer.total} bytes",
            got=f"{transfer.received} bytes",
            hint="run again when nothing else writes to it",
        )
    return transfer.received


def stream_page(transfer: Transfer) -> None:
    """Read a folder's index page, or list the folder; a file is read as it is.

    Sets `location` so that relative links of the page resolve below the folder.
    """
    path = to_path(transfer.url)
    if not path.is_dir():
        stream_file(transfer, lambda: None)
        transfer.location, transfer.media_type = transfer.url, _PAGES.get(path.name, "")
        return
    transfer.location = path.as_uri() + "/"
    for name, media_type in _PAGES.items():
        if (path / name).is_file():
            transfer.media_type = media_type
            with _open(path / name) as file:
                for piece in iter(lambda: file.read(PIECE), b""):
                    transfer.add(piece)
            return
    transfer.media_type = "text/html"
    transfer.add(_listing(path))


def _listing(folder: Path) -> bytes:
    names = sorted(each.name + ("/" if each.is_dir() else "") for each in folder.iterdir())
    links = "".join(f'<a href="{quote(name)}">{html.escape(name)}</a>\n' for name in names)
    return f"<!DOCTYPE html><html><body>\n{links}</body></html>\n".encode()


def _open(path: Path) -> BinaryIO:
    """Open a regular file; O_NONBLOCK, so that a FIFO is refused and not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(
            f"there is no file {path}", hint="correct the path, or fetch from another place"
        ) from error
    except OSError as error:
        raise FetchError(
            f"cannot read {path}: {error.strerror}", hint="make the file readable"
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FetchError(
            f"cannot read {path}: not a regular file", hint="name a file, not a folder or device"
        )
    return os.fdopen(descriptor, "rb")
