"""Folders of FTP and FTPS servers.

What broke off is carried on with APPE, as many servers refuse REST for STOR (RFC 3659, section
5.4); where that is forbidden, too, it is sent anew. Whether a rename replaces a file RFC 959
leaves open: some servers do it (vsftpd, pyftpdlib), some refuse (proftpd as it comes, IIS).
"""

import contextlib
import ftplib
from collections.abc import Iterator
from dataclasses import replace

from hps.monitor.source import Found, Patience, SourceError, Trouble
from hps.monitor.sources import ftp_replies as replies
from hps.monitor.sources.ftp import FtpPlace, FtpSource, context_of, found_of, login_of
from hps.monitor.sources.ftp_connection import Transfer, Watch
from hps.monitor.sources.ftp_session import Session
from hps.monitor.sources.operation import Operations
from hps.publish.content import Content, Sent
from hps.publish.destination import TakenError


class FtpFolder:
    """See `hps.publish.destination.Folder`.

    Args:
        place: its folder; model and donefile say nothing here.
        patience: with networks.
    """

    def __init__(self, place: FtpPlace, patience: Patience) -> None:
        self._place = place
        self._patience = patience
        self._operations = Operations(self.name, patience.total)
        self._context = context_of(place.authority)
        self._kept: Session | None = None
        self._begun: set[str] = set()

    @property
    def name(self) -> str:
        """See `Folder`."""
        place = self._place
        scheme = "ftps" if place.tls == "implicit" else "ftp"
        host = f"[{place.host}]" if ":" in place.host else place.host
        return f"{scheme}://{host}:{place.port}/{place.folder.strip('/')}".rstrip("/")

    def source(self, name: str) -> FtpSource:
        """See `Folder`."""
        return FtpSource(replace(self._place, model=name, donefile=name), self._patience)

    def look(self, name: str) -> Found | None:
        """See `Folder`."""
        with self._session(name) as session:
            entry = session.look(name)
        return None if entry is None else found_of("", entry)

    def renames(self) -> bool:
        """See `Folder`."""
        return True

    def send(self, name: str, content: Content, sent: Sent) -> None:
        """See `Folder`."""
        with self._session(name) as session:
            transfer, held = self._store(session, name, content.blob.size)
            with contextlib.closing(transfer), content.open(held, sent) as pieces:
                for piece in pieces:
                    transfer.send(piece)
                transfer.end()
            session.finish(transfer)

    def rename(self, name: str, new: str) -> None:
        """See `Folder`."""
        with self._session(new) as session:
            try:
                session.rename(name, new)
            except ftplib.error_perm:
                if session.look(new) is not None and session.look(name) is not None:
                    raise TakenError from None
                raise

    def remove(self, name: str) -> None:
        """See `Folder`."""
        with self._session(name) as session:
            try:
                session.remove(name)
            except ftplib.error_perm as error:
                if not replies.is_missing(error):
                    raise

    def close(self) -> None:
        """See `Folder`."""
        self._operations.close()
        self._drop()

    def _store(self, session: Session, name: str, size: int) -> tuple[Transfer, int]:
        """Begin a transfer, behind what the server has of it where that may be carried on with."""
        if name in self._begun:
            entry = session.look(name)
            held = 0 if entry is None else entry.size or 0
            if 0 < held < size:
                try:
                    return session.store(name, carry_on=True), held
                except (ftplib.error_perm, ftplib.error_temp) as error:
                    if not replies.is_reply(error):
                        raise
            if entry is not None:  # nor does every server write over it
                session.remove(name)
        self._begun.add(name)
        return session.store(name, carry_on=False), 0

    @contextlib.contextmanager
    def _session(self, name: str) -> Iterator[Session]:
        """The connection, made anew when it was lost; an error ends it, unless it is a reply."""
        secret = "" if self._place.password is None else self._place.password.read()
        title = f"{self.name}/{name}"
        with self._operations.one() as work:
            watch = Watch(work)
            with watch.sockets:
                try:
                    yield self._entered(watch, secret)
                except (ftplib.Error, OSError, EOFError, ValueError) as error:
                    if not replies.is_reply(error):
                        self._drop()
                    work.check()
                    raise _explained(error, title, secret) from None
                except BaseException:  # nobody knows what the connection would say next
                    self._drop()
                    raise

    def _entered(self, watch: Watch, secret: str) -> Session:
        session = self._kept
        if session is not None:
            session.watched(watch)
            return session
        try:
            session = Session(login_of(self._place, secret, self._context), self._patience, watch)
        except ftplib.error_perm as error:
            raise replies.not_let_in(error, self.name, secret) from None
        self._kept = session
        session.go_to(self._place.folder or ".")
        return session

    def _drop(self) -> None:
        session, self._kept = self._kept, None
        if session is not None:
            session.close()


def _explained(error: BaseException, title: str, secret: str) -> SourceError:
    """A 550 or 553 of what may not be written is no missing file."""
    found = replies.explained(error, title, secret, verb="write")
    if replies.code_of(error) == "552":  # RFC 959: exceeded storage allocation
        found.trouble = Trouble.REFUSED
    return found
