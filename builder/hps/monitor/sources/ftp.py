"""FTP and FTPS as a place of models.

The server says what a file is by MLST (RFC 3659), else by SIZE and MDTM, else in a list. A
connection that was lost since it was last used (idle ones are ended by every server) is made
anew once, so nobody above sees it. How one connection behaves is in `ftp_connection`.
"""

import contextlib
import ftplib
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from hps.errors import ConfigError
from hps.monitor.look import agree, too_large
from hps.monitor.source import (
    Caps,
    Donefile,
    Found,
    Patience,
    Reading,
    SourceError,
    Trouble,
    no_model,
    no_regular_file,
)
from hps.monitor.sources import ftp_replies as replies
from hps.monitor.sources.credentials import Secret
from hps.monitor.sources.ftp_connection import Transfer, Watch
from hps.monitor.sources.ftp_listing import Entry, Kind, wire_of
from hps.monitor.sources.ftp_session import Login, Session
from hps.monitor.sources.operation import Operations
from hps.monitor.sources.paced import paced

_PORTS = {"none": 21, "explicit": 21, "implicit": 990}

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class FtpPlace:
    """Where a model is published over FTP.

    Args:
        host: name or address, without a port.
        port: of the control connection.
        folder: of both; one that is not absolute is below the folder of the login.
        model: name of the packed model or of the model's folder, below `folder`.
        donefile: name likewise.
        packed: the model is one file; else it is a folder that the server lists.
        tls: none; explicit, by AUTH TLS (RFC 4217); or implicit, from the first byte on.
        user: empty for an anonymous login.
        password: of the user.
        authority: PEM file of certificates that are trusted beside those of this machine.
    """

    host: str
    port: int = 21
    folder: str
    model: str
    donefile: str
    packed: bool = True
    tls: Literal["none", "explicit", "implicit"] = "none"
    user: str = ""
    password: Secret | None = field(default=None, repr=False)
    authority: Path | None = None


class FtpSource:
    """See `hps.monitor.source.Source`."""

    def __init__(
        self, place: FtpPlace, patience: Patience | None = None, caps: Caps | None = None
    ) -> None:
        if not place.host or set("@/ ") & set(place.host):
            raise ConfigError(
                "the host of an FTP source is no host",
                expected="a name or an address, without user, password and path",
            )
        self._place = place
        self._patience = patience or Patience()
        self._caps = caps or Caps()
        self._operations = Operations(self.name, self._patience.total)
        self._context = context_of(place.authority)
        self._session: Session | None = None
        self._watch: Watch | None = None
        self._secret = ""
        self._wires: dict[str, str] = {}  # of names that are not UTF-8, by path

    @property
    def name(self) -> str:
        """See `Source`."""
        place = self._place
        scheme = "ftps" if place.tls == "implicit" else "ftp"
        host = f"[{place.host}]" if ":" in place.host else place.host
        port = "" if place.port == _PORTS[place.tls] else f":{place.port}"
        return f"{scheme}://{host}{port}/{_joined(place.folder, place.model).lstrip('/')}"

    def close(self) -> None:
        """See `Source`."""
        if not self._operations.close():
            self._drop()

    def donefile(self) -> Donefile | None:
        """See `Source`."""
        path = _joined(self._place.folder, self._place.donefile)
        with self._operation():
            entry = self._look(path)
            if entry is None:
                return None
            found = found_of("", entry)
            try:
                return Donefile(found, self._beginning(path, found))
            except SourceError as error:
                if error.trouble is Trouble.MISSING:  # removed a moment ago
                    return None
                raise

    def model(self) -> tuple[Found, ...]:
        """See `Source`."""
        with self._operation():
            if self._place.packed:
                entry = self._look(self._path(""))
                if entry is None:
                    raise no_model(self.name, packed=self._place.packed)
                return (found_of("", entry),)
            self._wires.clear()
            found = [self._settled(path, entry) for path, entry in self._walk()]
        if not found:
            raise no_model(self.name, packed=self._place.packed)
        return tuple(sorted(found, key=lambda each: each.path.encode()))

    @contextlib.contextmanager
    def read(self, found: Found, offset: int = 0) -> Iterator[Reading]:
        """See `Source`."""
        path = self._path(found.path)
        with self._operation():
            entry = self._look(path)
            if entry is None:
                raise SourceError(Trouble.MISSING, f"there is no {self._title(path)}")
            now = found_of(found.path, entry)
            if now.size is not None and now.size > self._caps.bytes:
                raise too_large("bytes", self._caps.bytes, now.size)
            start = offset if agree(found, now) and offset <= (now.size or offset) else 0
            if start and start == now.size:
                yield Reading(start, now, iter(()))
                return
            with self._reading(path, now, start) as reading:
                yield reading

    @contextlib.contextmanager
    def _operation(self) -> Iterator[None]:
        try:
            with self._operations.one() as work:
                watch = Watch(work)
                with watch.sockets:
                    self._watch = watch
                    if self._session is not None:
                        self._session.watched(watch)
                    yield
        finally:
            if self._operations.is_closed:
                self._drop()

    def _beginning(self, path: str, found: Found) -> bytes:
        """The first bytes of a file, as many as a donefile may have."""
        content = b""
        with self._reading(path, found, 0) as reading:
            for piece in reading.pieces:
                content += piece
                if len(content) >= self._caps.donefile:
                    break
        return content[: self._caps.donefile]

    @contextlib.contextmanager
    def _reading(self, path: str, found: Found, start: int) -> Iterator[Reading]:
        """Read a file from `start` on; left early, the connection is dropped with it."""

        def begin(session: Session) -> tuple[Transfer, int]:
            session.go_to(self._wire(_parent(path)))
            return session.retrieve(self._wire(path).rpartition("/")[2], start)

        try:
            transfer, begun = self._ask(path, begin)
        except SourceError as error:
            # 550 says too little: a file that can be seen and not be read is another thing.
            if error.trouble is Trouble.MISSING and self._look(path) is not None:
                error.trouble = Trouble.REFUSED
            raise
        try:
            yield Reading(begun, found, self._pieces(path, transfer, found, begun))
        finally:
            transfer.close()
            if not transfer.is_finished:
                self._drop()

    def _pieces(self, path: str, transfer: Transfer, found: Found, start: int) -> Iterator[bytes]:
        received, size = start, found.size
        try:
            for piece in paced(transfer.pieces(), self._patience, self.name):
                received += len(piece)
                if received > self._caps.bytes:
                    raise too_large("bytes", self._caps.bytes, f"{received} and more")
                if size is not None and received > size:
                    raise SourceError(
                        Trouble.CHANGED, f"{self._title(path)} is longer than it was announced"
                    )
                yield piece
            self._finish(transfer, complete=received == size)
        except (ftplib.Error, OSError, EOFError, ValueError) as error:
            self._check()
            raise replies.explained(error, self._title(path), self._secret) from None
        if size is not None and received < size:
            raise SourceError(
                Trouble.TRUNCATED,
                f"{self._title(path)} ended early",
                expected=f"{size} bytes",
                got=f"{received} bytes",
            )

    def _finish(self, transfer: Transfer, *, complete: bool) -> None:
        """Hear what the server says at the end; with all bytes there it does not matter."""
        session = self._session
        try:
            if session is not None:
                session.finish(transfer)
        except (ftplib.Error, OSError, EOFError):
            self._check()
            if not complete:
                raise

    def _look(self, path: str) -> Entry | None:
        """What the server says of one file; None when it, or its folder, is not there."""

        def look(session: Session) -> Entry | None:
            try:
                session.go_to(self._wire(_parent(path)))
            except ftplib.error_perm as error:
                if replies.is_missing(error):
                    return None
                raise
            return session.look(self._wire(path).rpartition("/")[2])

        entry = self._ask(path, look)
        if entry is not None and entry.kind is not Kind.FILE:
            raise no_regular_file(self._title(path))
        return entry

    def _walk(self) -> Iterator[tuple[str, Entry]]:
        """All files below the model's folder, as the server lists them."""
        waiting, seen = [""], 0
        while waiting:
            folder = waiting.pop()
            for entry in self._entries(folder):
                seen += 1
                if seen > self._caps.files:
                    raise too_large("files and folders", self._caps.files, f"{seen} and more")
                path = f"{folder}{entry.name}"
                if entry.wire != wire_of(entry.name) or folder.rstrip("/") in self._wires:
                    above = self._wires.get(folder.rstrip("/"), wire_of(folder.rstrip("/")))
                    self._wires[path] = f"{above}/{entry.wire}".lstrip("/")
                if entry.kind is Kind.FILE:
                    yield path, entry
                elif entry.kind is not Kind.FOLDER:
                    raise no_regular_file(self._title(self._path(path)))
                elif path.count("/") >= self._caps.depth:
                    raise too_large("folders below each other", self._caps.depth, path[:200])
                else:
                    waiting.append(f"{path}/")

    def _entries(self, folder: str) -> list[Entry]:
        path = self._path(folder.rstrip("/"))

        def entries(session: Session) -> list[Entry]:
            session.go_to(self._wire(path))
            return session.entries()

        try:
            return self._ask(path, entries)
        except SourceError as error:
            if folder and error.trouble is Trouble.MISSING:  # it was listed a moment ago
                error.trouble = Trouble.CHANGED
            raise

    def _settled(self, path: str, entry: Entry) -> Found:
        """What is known of a listed file, asked for where the list does not tell."""
        told = entry.size is not None and entry.modified is not None
        if told or (self._session is not None and not self._session.tells):
            return found_of(path, entry)
        looked = self._look(self._path(path))
        if looked is None:
            raise SourceError(
                Trouble.CHANGED, f"{self._title(self._path(path))} was removed meanwhile"
            )
        return found_of(path, looked)

    def _ask(self, path: str, action: Callable[[Session], _Result]) -> _Result:
        """Do something on a connection that is logged in; once more if it had been lost."""
        again = self._session is not None and self._session.is_used
        while True:
            try:
                session = self._session or self._log_in()
                result = action(session)
            except (ftplib.Error, OSError, EOFError, ValueError) as error:
                if not replies.is_reply(error):
                    self._drop()
                self._check()
                if again and replies.is_lost(error):
                    again = False
                    continue
                raise replies.explained(error, self._title(path), self._secret) from None
            except BaseException:  # nobody knows what the connection would say next
                self._drop()
                raise
            session.is_used = True
            return result

    def _log_in(self) -> Session:
        place = self._place
        self._secret = "" if place.password is None else place.password.read()
        login = login_of(place, self._secret, self._context)
        try:
            self._session = Session(login, self._patience, self._watching)
        except ftplib.error_perm as error:
            raise replies.not_let_in(error, self.name, self._secret) from None
        return self._session

    @property
    def _watching(self) -> Watch:
        if self._watch is None:
            raise AssertionError("asked outside of an operation")
        return self._watch

    def _check(self) -> None:
        self._watching.work.check()

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _path(self, path: str) -> str:
        """Where a file of the model is, for people."""
        model = _joined(self._place.folder, self._place.model)
        return f"{model}/{path}" if path else model

    def _wire(self, path: str) -> str:
        """The same for the server."""
        model = _joined(self._place.folder, self._place.model)
        inner = path.removeprefix(f"{model}/")
        if inner != path and inner in self._wires:
            return f"{wire_of(model)}/{self._wires[inner]}"
        return wire_of(path)

    def _title(self, path: str) -> str:
        return f"{self.name.partition('://')[0]}://{self._place.host}/{path.lstrip('/')}"


def login_of(place: FtpPlace, password: str, context: ssl.SSLContext) -> Login:
    """How to get in there."""
    return Login(
        host=place.host,
        port=place.port,
        tls=place.tls,
        context=context,
        user=place.user,
        password=password,
    )


def context_of(authority: Path | None) -> ssl.SSLContext:
    """What TLS trusts; raises ConfigError where the authority cannot be used."""
    context = ssl.create_default_context()
    if authority is None:
        return context
    try:
        context.load_verify_locations(authority)
    except OSError as error:  # ssl.SSLError is one
        why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(
            f"the authority {authority} cannot be used: {why}",
            hint="name a PEM file with the certificate of the authority",
        ) from error
    return context


def found_of(path: str, entry: Entry) -> Found:
    """A file as sources show it."""
    tokens = {}
    if entry.modified is not None:
        tokens["modified"] = entry.modified.text
    elif entry.listed is not None:
        tokens["weak-etag"] = entry.listed
    if entry.unique is not None:
        tokens["id"] = entry.unique
    resolution = 1.0 if entry.modified is None else entry.modified.resolution
    return Found(path, entry.size, tokens, resolution=resolution)


def _joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name.strip('/')}" if folder else name.strip("/")


def _parent(path: str) -> str:
    folder, slash, _ = path.rpartition("/")
    return folder or slash
