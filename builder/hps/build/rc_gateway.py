"""The one thing that pip-compile can reach while it chooses: an index, through hps.

A server on a Unix socket, which is shown inside the sandbox; there is no other network there. It
answers three kinds of GET: the page of a project, the digests of its releases, and a file that such
a page has listed. Everything else is refused. So nothing can be
sent anywhere but names of projects, to the index that is configured, and no address, proxy or
password of this machine is known inside. The index itself is asked by hps, as for everything that
hps fetches: its mirrors, credentials, certificates and deadlines hold here too.
"""

import contextlib
import os
import re
import socketserver
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import BinaryIO, Protocol, cast
from urllib.parse import unquote

from hps.digest import Digest
from hps.errors import HpsError, NotFoundError, UnsafeArchiveError
from hps.lock.pip_tools_index import (
    FILES,
    PAGE_TYPE,
    Offer,
    bare_wheel,
    offer,
    project_page,
    releases_page,
)
from hps.lock.python import PythonRequest
from hps.store.python_index import IndexFile, normalise

_PAGE = re.compile(r"/simple/([A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9._-]{0,253}[A-Za-z0-9])/")
_RELEASES = re.compile(r"/([A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9._-]{0,253}[A-Za-z0-9])/json")
_FILE = re.compile(rf"{FILES}([a-z0-9-]+)/([^/]+)")
_HOST = re.compile(r"127\.0\.0\.1:[0-9]{1,5}")
_METADATA_FILE = re.compile(r"[^/]+\.dist-info/METADATA")
LARGEST_METADATA = 16 << 20  # bytes
_SILENCE = 600.0  # seconds; a client that says nothing for so long has gone
_PIECE = 1 << 20
_NAME = "door"
_BYTES = "application/octet-stream"

Files = Callable[[str], Mapping[str, IndexFile]]


class Reader(Protocol):
    """Reads files of an index."""

    def metadata(self, project: str, file: str, facts: IndexFile) -> bytes:
        """METADATA of a wheel."""
        ...

    def fetch(self, project: str, file: str, facts: IndexFile) -> tuple[Digest, Path]:
        """Bring a file to this disk; gives its digest and where it is."""
        ...


class Gateway:
    """What a request may see of one index.

    Args:
        request: decides which files are shown.
        files: all files of a project, by its normalised name; NotFoundError when there is none.
        reader: of these files.
    """

    def __init__(self, request: PythonRequest, files: Files, reader: Reader) -> None:
        self._request = request
        self._files = files
        self._reader = reader
        self._lock = threading.RLock()
        self._offers: dict[str, Offer] = {}
        self._failure: BaseException | None = None

    @property
    def offers(self) -> dict[str, Offer]:
        """What was shown, by normalised name; a digest that had to be computed is in it."""
        with self._lock:
            return dict(self._offers)

    def check(self) -> None:
        """Raise what went wrong in an answer, if something did: pip knows less about it."""
        if self._failure is not None:
            raise self._failure

    @contextlib.contextmanager
    def open(self) -> Iterator[Path]:
        """Serve while the block runs; gives the socket, which only this user can reach.

        Raises:
            OSError: there can be no socket in the folder for temporary files.
        """
        with tempfile.TemporaryDirectory(prefix="hps-") as folder, _Server(folder, self) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            try:
                yield Path(folder, _NAME)
            finally:
                server.shutdown()
                thread.join()

    def answer(self, path: str, host: str) -> "tuple[str, bytes | Path]":
        """The media type and the body for a path.

        Raises:
            NotFoundError: there is no such thing, or it may not be seen.
            HpsError, OSError: the index could not be asked, or a file not read; kept for `check`,
                as is a fault of hps itself.
        """
        try:
            return self._answer(path, host)
        except NotFoundError:
            raise
        except BaseException as error:
            with self._lock:
                self._failure = self._failure or error
            raise

    def _answer(self, path: str, host: str) -> "tuple[str, bytes | Path]":
        if page := _PAGE.fullmatch(path):
            name = normalise(page[1])
            return PAGE_TYPE, project_page(name, self._offer(name))
        if (releases := _RELEASES.fullmatch(path)) and _HOST.fullmatch(host):
            name = normalise(releases[1])
            body = releases_page(name, self._offer(name), f"http://{host}")
            return "application/json", body
        if file := _FILE.fullmatch(path):
            return self._file(file[1], unquote(file[2]))
        raise NotFoundError(f"pip may not ask for {path[:200]!r}")

    def _offer(self, name: str) -> Offer:
        with self._lock:
            if name not in self._offers:
                self._offers[name] = offer(self._files(name), self._request)
            return self._offers[name]

    def _file(self, project: str, file: str) -> "tuple[str, bytes | Path]":
        with self._lock:
            shown = self._offers.get(project)
            facts = shown.files.get(file) if shown else None
            if shown is None or facts is None:
                raise NotFoundError(f"pip may not ask for a file that no page has listed: {file}")
            if facts.sha256 is not None:
                metadata = self._reader.metadata(project, file, facts)
                return _BYTES, bare_wheel(file, metadata)
            digest, place = self._reader.fetch(project, file, facts)
            known = replace(facts, sha256=digest.hex)  # pip-compile computes the same
            self._offers[project] = replace(shown, files={**shown.files, file: known})
            return _BYTES, place


def wheel_metadata(wheel: Path, file: str) -> bytes:
    """METADATA of a wheel, as pip itself would read it.

    Raises:
        UnsafeArchiveError: it is no readable wheel, or its METADATA is too large.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if _METADATA_FILE.fullmatch(name)]
            if len(names) != 1:
                raise UnsafeArchiveError(f"{file} must have one METADATA", got=", ".join(names))
            with archive.open(names[0]) as member:
                data = member.read(LARGEST_METADATA + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise UnsafeArchiveError(f"{file} is not a readable wheel: {error}") from None
    if len(data) > LARGEST_METADATA:
        raise UnsafeArchiveError(f"{file} has a METADATA of more than {LARGEST_METADATA} bytes")
    return data


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """One thread a connection; they end with the process at the latest."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # connections that wait; a Unix socket refuses more at once

    def __init__(self, folder: str, gateway: Gateway) -> None:
        self.gateway = gateway
        # The path of a Unix socket has at most 107 bytes, and a folder's may be longer.
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            super().__init__(f"/proc/self/fd/{handle}/{_NAME}", _Handler)
        finally:
            os.close(handle)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is nobody's fault; what hps does wrong is told by `check`."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SILENCE

    def do_GET(self) -> None:
        gateway = cast("_Server", self.server).gateway
        try:
            media_type, body = gateway.answer(self.path, self.headers.get("Host", ""))
        except (HpsError, OSError) as error:
            # Never a code that pip takes for a reason to try again.
            return self._send(HTTPStatus.NOT_FOUND, "text/plain", f"{error}\n".encode())
        return self._send(HTTPStatus.OK, media_type, body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: what is fetched is told by the progress."""

    def _send(self, status: HTTPStatus, media_type: str, body: bytes | Path) -> None:
        size = len(body) if isinstance(body, bytes) else body.stat().st_size
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if isinstance(body, bytes):
            self.wfile.write(body)
            return
        with body.open("rb") as source:
            _copy(source, cast("BinaryIO", self.wfile))


def _copy(source: BinaryIO, sink: BinaryIO) -> None:
    while piece := source.read(_PIECE):
        sink.write(piece)
