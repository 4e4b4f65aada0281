"""HDFS as a place of models, through WebHDFS or HttpFS.

The package `hdfs` knows the addresses, the operations, users, tokens and pairs of name nodes; the
requests themselves go through `hps.store.transport` (see `webhdfs_requests`). Follows the WebHDFS
REST API of Hadoop 2.7 and 3.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hps.errors import ConfigError, FetchError, UsageError
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
from hps.monitor.sources import http_faults
from hps.monitor.sources.credentials import Secret
from hps.monitor.sources.operation import Operations
from hps.monitor.sources.webhdfs_answers import (
    Status,
    found_of,
    hint_of,
    status_of,
    statuses_of,
    trouble_of,
    words_of,
)
from hps.monitor.sources.webhdfs_requests import Asked, LostError, package
from hps.monitor.sources.webhdfs_tickets import kerberos
from hps.store import url as address
from hps.store.foreign_text import printable
from hps.store.transport import AgainError, SlowError, Transport, pieces

_HELD = 1.0  # seconds after which a piece is handed on though it is not full


@dataclass(frozen=True, slots=True, kw_only=True)
class WebHdfsPlace:
    """Where a model is published on HDFS.

    Args:
        urls: of the name nodes, or of HttpFS; the one that is active is found.
        folder: of both; absolute.
        model: name of the packed model or of the model's folder, below `folder`.
        donefile: name likewise.
        packed: the model is one file; else it is a folder.
        user: whom a cluster without security believes us to be.
        token: a delegation token.
        kerberos: whether to log in by Kerberos, with the ticket of this process.
        authority: PEM file of certificates that are trusted beside those of this machine.
    """

    urls: tuple[str, ...]
    folder: str
    model: str
    donefile: str
    packed: bool = True
    user: str | None = None
    token: Secret | None = field(default=None, repr=False)
    kerberos: bool = False
    authority: Path | None = None


class WebHdfsSource:
    """See `hps.monitor.source.Source`."""

    def __init__(
        self, place: WebHdfsPlace, patience: Patience | None = None, caps: Caps | None = None
    ) -> None:
        for url in place.urls:
            _check(url)
        self._place = place
        self._patience = patience or Patience()
        self._caps = caps or Caps()
        self._urls = place.urls
        self._operations = Operations(self.name, self._patience.total)
        self._transport = Transport(netrc=False, authority=place.authority)
        self._checksums: dict[str, tuple[Status, str | None]] = {}

    @property
    def name(self) -> str:
        """See `Source`."""
        return f"{address.redact(self._place.urls[0]).rstrip('/')}{self._path('')}"

    def close(self) -> None:
        """See `Source`."""
        self._operations.close()
        self._transport.close()

    def donefile(self) -> Donefile | None:
        """See `Source`."""
        path = _joined(self._place.folder, self._place.donefile)
        with self._operation() as asked:
            status = self._status(asked, path)
            if status is None:
                return None
            found = self._identified(asked, path, status)
            content = b""
            if status.size:
                for piece in self._pieces(asked, path, status, 0):
                    content += piece
                    if len(content) >= self._caps.donefile:
                        break
            return Donefile(found, content[: self._caps.donefile])

    def model(self) -> tuple[Found, ...]:
        """See `Source`."""
        with self._operation() as asked:
            if self._place.packed:
                status = self._status(asked, self._path(""))
                if status is None:
                    raise no_model(self.name, packed=self._place.packed)
                return (self._identified(asked, self._path(""), status),)
            found = [found_of(path, status, asked.clock) for path, status in self._walk(asked)]
        if not found:
            raise no_model(self.name, packed=self._place.packed)
        return tuple(sorted(found, key=lambda each: each.path.encode()))

    @contextlib.contextmanager
    def read(self, found: Found, offset: int = 0) -> Iterator[Reading]:
        """See `Source`."""
        path = self._path(found.path)
        with self._operation() as asked:
            status = self._status(asked, path)
            if status is None:
                raise SourceError(Trouble.MISSING, f"there is no {self._title(path)}")
            now = found_of(found.path, status, asked.clock)
            if status.size > self._caps.bytes:
                raise too_large("bytes", self._caps.bytes, status.size)
            start = offset if agree(found, now) and offset <= status.size else 0
            if start == status.size:  # a name node refuses to open a file at its end
                yield Reading(start, now, iter(()))
            else:
                yield Reading(start, now, self._pieces(asked, path, status, start))

    @contextlib.contextmanager
    def _operation(self) -> Iterator[Asked]:
        try:
            with self._operations.one() as work, contextlib.ExitStack() as answers:
                asked = Asked(self._transport, self._patience, work, answers)
                place = replace(self._place, urls=self._urls)
                asked.client = client_of(place, asked, self._patience)
                yield asked
        finally:
            if self._operations.is_closed:  # a connection was in use when `close` came by
                self._transport.close()

    def _status(self, asked: Asked, path: str) -> Status | None:
        """What the name node says of a file; None when there is none."""
        _check_name(path)
        try:
            with self._explained(asked, path):
                status = status_of(asked.client.status(path))
        except SourceError as error:
            if error.trouble is Trouble.MISSING:
                return None
            raise
        if status.kind != "FILE":
            raise no_regular_file(self._title(path))
        return status

    def _identified(self, asked: Asked, path: str, status: Status) -> Found:
        """What is known of one file, with its checksum, which is asked for once."""
        known = self._checksums.get(path)
        if known is None or known[0] != status:
            checksum = self._checksum(asked, path)
            if checksum is not None and self._status(asked, path) != status:
                raise SourceError(Trouble.CHANGED, f"{self._title(path)} changes right now")
            known = (status, checksum)
            self._checksums[path] = known
        return found_of("", status, asked.clock, checksum=known[1])

    def _checksum(self, asked: Asked, path: str) -> str | None:
        """Of the whole file; None where there is none, as of a file that is being written."""
        try:
            with self._explained(asked, path):
                given = asked.client.checksum(path)
                return f"{given['algorithm']}:{given['bytes']}"
        except SourceError as error:
            if error.trouble in {Trouble.UNREACHABLE, Trouble.STALLED}:
                raise
            return None

    def _walk(self, asked: Asked) -> Iterator[tuple[str, Status]]:
        """All files below the model's folder."""
        waiting, seen = [""], 0
        while waiting:
            folder = waiting.pop()
            for status in self._statuses(asked, folder):
                seen += 1
                if seen > self._caps.files:
                    raise too_large("files and folders", self._caps.files, f"{seen} and more")
                path = f"{folder}{status.name}"
                _check_name(path)
                if status.kind == "FILE":
                    yield path, status
                elif status.kind != "DIRECTORY":
                    raise no_regular_file(self._title(self._path(path)))
                elif path.count("/") >= self._caps.depth:
                    raise too_large("folders below each other", self._caps.depth, path[:200])
                else:
                    waiting.append(f"{path}/")

    def _statuses(self, asked: Asked, folder: str) -> list[Status]:
        path = self._path(folder.rstrip("/"))
        _check_name(path)
        try:
            with self._explained(asked, path):
                return statuses_of(asked.client.list(path, status=True))
        except SourceError as error:
            if folder and error.trouble is Trouble.MISSING:  # it was listed a moment ago
                error.trouble = Trouble.CHANGED
            raise

    def _pieces(self, asked: Asked, path: str, status: Status, start: int) -> Iterator[bytes]:
        """The bytes from `start` on; short of what was announced they end by an error."""
        title, received = self._title(path), start
        with self._explained(asked, path):
            response = asked.client._open(path, offset=start)  # noqa: SLF001 - `read` would copy
            for piece in pieces(response.raw, title, asked.deadlines, held=_HELD):
                asked.work.check()
                received += len(piece)
                if received > status.size:
                    raise SourceError(Trouble.CHANGED, f"{title} is longer than it was announced")
                yield piece
            asked.work.check()  # a body that was shut looks whole
        if received < status.size:
            raise http_faults.truncated(title, f"{status.size} bytes", received)

    @contextlib.contextmanager
    def _explained(self, asked: Asked, path: str) -> Iterator[None]:
        """Turn what the package raises into an error of sources.

        Causes are left out: what `requests` raises holds the address, and so the token.
        """
        title = self._title(path)
        try:
            yield
        except LostError as lost:
            asked.work.check()
            again = lost.again
            raise SourceError(
                http_faults.trouble(again), f"cannot read {title}: {again.cause}"
            ) from None
        except AgainError as again:
            asked.work.check()
            raise SourceError(
                http_faults.trouble(again), f"cannot read {title}: {again.cause}"
            ) from None
        except SlowError as error:
            raise SourceError(Trouble.STALLED, error.message) from None
        except FetchError as error:
            raise http_faults.lasting(error) from None
        except UsageError as error:  # the authority cannot be used
            raise SourceError(Trouble.UNUSABLE, error.message, hint=error.hint) from None
        except package().HdfsError as error:
            asked.work.check()
            said = printable(asked.without_secrets(str(error).partition("\n")[0]))
            raise self._meant(error.exception, asked.status, said, title) from None
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            asked.work.check()
            raise SourceError(
                Trouble.MALFORMED,
                f"cannot read {title}: the answer is not that of WebHDFS",
                hint="name the HTTP address of the name node or of HttpFS in `url`",
            ) from None
        if asked.answered is not None:
            self._urls = _first(self._urls, asked.answered)

    def _meant(self, exception: str | None, status: int, said: str, title: str) -> SourceError:
        several, kerberos = len(self._urls), self._place.kerberos
        return SourceError(
            trouble_of(exception, status, said),
            f"cannot read {title}: {words_of(exception, said, several)}",
            hint=hint_of(exception, status, several, kerberos=kerberos),
        )

    def _path(self, path: str) -> str:
        model = _joined(self._place.folder, self._place.model)
        return f"{model}/{path}" if path else model

    def _title(self, path: str) -> str:
        return f"{address.redact(self._urls[0]).rstrip('/')}{path}"


def client_of(place: WebHdfsPlace, asked: Asked, patience: Patience) -> Any:
    """A client of the package; a token is read anew each time, as it may be replaced.

    Raises:
        SourceError: UNUSABLE: a package is not installed, or the token cannot be read.
    """
    hdfs, urls = package(), ";".join(place.urls)
    timeout = (patience.connect, patience.idle)
    if place.token is not None:
        return hdfs.TokenClient(urls, place.token.read(), session=asked, timeout=timeout)
    if place.kerberos:
        return kerberos().KerberosClient(urls, session=asked, timeout=timeout)
    return hdfs.InsecureClient(urls, place.user, session=asked, timeout=timeout)


def _check(url: str) -> None:
    """Refuse an address that holds a secret, or is none of HTTP."""
    try:
        parts = address.split(url)
    except FetchError as error:
        raise ConfigError(error.message, expected=error.expected) from error
    plain = parts.scheme in {"http", "https"} and not (parts.query or parts.fragment)
    if not plain or "@" in parts.netloc or ";" in url:
        raise ConfigError(
            f"the address {address.redact(url)} is not that of a name node",
            expected="http:// or https://, a host and a port",
            hint="put credentials into a file or a variable and name that in the settings",
        )


def _check_name(path: str) -> None:
    """Refuse names that WebHDFS, or the package, would take for another file's.

    Data nodes decode a name twice (`a%41` is read as `aA`); the package puts the newest file in
    the place of `#LATEST`.
    """
    if "%" in path or "#LATEST" in path or not path.isprintable():
        raise SourceError(
            Trouble.MALFORMED,
            "WebHDFS cannot be trusted with a name",
            got=repr(path[:200]),
            hint="rename the file, publish the model packed, or use `bin` instead of `url`",
        )


def _first(urls: tuple[str, ...], answered: str) -> tuple[str, ...]:
    """The addresses, beginning with the one that answered."""
    return tuple(sorted(urls, key=lambda url: not answered.startswith(f"{url.rstrip('/')}/")))


def _joined(folder: str, name: str) -> str:
    return f"/{folder.strip('/')}/{name.strip('/')}".replace("//", "/")
