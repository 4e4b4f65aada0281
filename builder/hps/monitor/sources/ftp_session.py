"""What is asked of an FTP server: who we are, what a folder holds, what a file is, its bytes.

Errors are those of `ftplib` and of connections; `hps.monitor.sources.ftp` tells them apart.
"""

import contextlib
import ftplib
import ssl
from dataclasses import dataclass, field

from hps.monitor.look import too_large
from hps.monitor.source import Patience
from hps.monitor.sources import ftp_listing as listing
from hps.monitor.sources import ftp_replies as replies
from hps.monitor.sources.ftp_connection import Connection, Transfer, Watch
from hps.monitor.sources.ftp_listing import Entry, Kind

_LISTING = 8 << 20  # bytes of the list of one folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How to get in.

    Args:
        host: name or address.
        port: of the control connection.
        tls: none, explicit or implicit.
        context: of TLS.
        user: empty for an anonymous one.
        password: empty for an anonymous one.
    """

    host: str
    port: int
    tls: str
    context: ssl.SSLContext = field(repr=False)
    user: str
    password: str = field(repr=False)


class Session:
    """A control connection that is logged in."""

    def __init__(self, login: Login, patience: Patience, watch: Watch) -> None:
        self._connection = Connection(login.context, patience, watch)
        self.is_used = False
        self._unknown: set[str] = set()
        self._home: str | None = None
        self._folder: str | None = None
        self._type: str | None = None
        try:
            self._enter(login)
        except BaseException:
            self._connection.close()
            raise

    def _enter(self, login: Login) -> None:
        connection = self._connection
        connection.open(login.host, login.port, implicit=login.tls == "implicit")
        user, password = listing.wire_of(login.user), listing.wire_of(login.password)
        connection.login(user, password, secure=login.tls == "explicit")
        if login.tls != "none":
            connection.prot_p()
        self._features = self._ask_features()
        if "UTF8" in self._features:
            self._try("OPTS UTF8 ON")

    @property
    def tells(self) -> bool:
        """Whether the server tells size or time of one file, other than in a list."""
        return "MLST" in self._features or not {"SIZE", "MDTM"} <= self._unknown

    def watched(self, watch: Watch) -> None:
        """From now on end with another operation."""
        self._connection.watched(watch)

    def close(self) -> None:
        """Close the connection, without a word."""
        self._connection.close()

    def go_to(self, folder: str) -> None:
        """Make a folder the current one (CWD); a relative one is below that of the login."""
        if not folder.startswith("/"):
            if self._home is None:
                self._home = self._connection.pwd()
            folder = f"{self._home.rstrip('/')}/{folder}"
        if folder != self._folder:
            self._folder = None
            self._connection.cwd(folder.rstrip("/") or "/")
            self._folder = folder

    def look(self, wire: str) -> Entry | None:
        """What the server says of a file in the current folder; None when there is none."""
        try:
            if "MLST" in self._features:
                return self._facts(wire)
            return self._by_size_and_time(wire)
        except ftplib.error_perm as error:
            if replies.is_missing(error):
                return None
            raise

    def entries(self) -> list[Entry]:
        """What the current folder holds."""
        if "MLST" in self._features:
            try:
                return listing.machine_entries(self._lines("MLSD"))
            except ftplib.error_perm as error:
                if not replies.is_unknown(error):
                    raise
                self._features -= {"MLST"}
        return self._listed()

    def retrieve(self, wire: str, offset: int) -> tuple[Transfer, int]:
        """Begin to read a file in the current folder; gives where it begins."""
        self._as("I")
        usable = offset if self._connection.resumes else 0
        return self._connection.data(f"RETR {wire}", usable)

    def store(self, wire: str, *, carry_on: bool) -> Transfer:
        """Begin to write a file in the current folder, or to append to it (APPE)."""
        self._as("I")
        transfer, _ = self._connection.data(f"{'APPE' if carry_on else 'STOR'} {wire}")
        return transfer

    def rename(self, wire: str, new: str) -> None:
        """Rename a file in the current folder (RFC 959, section 4.1.3)."""
        self._connection.sendcmd(f"RNFR {wire}")
        self._connection.voidcmd(f"RNTO {new}")

    def remove(self, wire: str) -> None:
        """Remove a file in the current folder."""
        self._connection.voidcmd(f"DELE {wire}")

    def finish(self, transfer: Transfer) -> None:
        """End a transfer of which all bytes came."""
        transfer.close()
        self._connection.last_word()
        transfer.is_finished = True

    def _ask_features(self) -> frozenset[str]:
        return replies.features(self._try("FEAT"))

    def _try(self, command: str) -> str:
        """Send what a server need not know."""
        try:
            return self._connection.sendcmd(command)
        except ftplib.error_perm:
            return ""

    def _as(self, form: str) -> None:
        if self._type != form:
            self._connection.voidcmd(f"TYPE {form}")
            self._type = form

    def _facts(self, wire: str) -> Entry | None:
        try:
            entry = listing.machine_facts(self._connection.sendcmd(f"MLST {wire}"), wire)
        except ftplib.error_perm as error:
            if not replies.is_unknown(error):
                raise
            self._features -= {"MLST"}
            return self._by_size_and_time(wire)
        if entry.kind is Kind.FILE and (entry.size is None or entry.modified is None):
            return self._by_size_and_time(wire)
        return entry

    def _by_size_and_time(self, wire: str) -> Entry | None:
        self._as("I")  # SIZE is that of this form (RFC 3659, section 4.1)
        size = self._value("SIZE", wire)
        modified = self._value("MDTM", wire)
        if size is None and modified is None:
            return next((each for each in self._listed() if each.wire == wire), None)
        return Entry(
            name=listing.name_of(wire),
            wire=wire,
            kind=Kind.FILE,
            size=None if size is None else listing.size_of(size),
            modified=None if modified is None else listing.time_of(modified),
        )

    def _value(self, command: str, wire: str) -> str | None:
        """The value in a reply 213; None where the server does not know the command."""
        if command in self._unknown:
            return None
        try:
            reply = self._connection.sendcmd(f"{command} {wire}")
        except ftplib.error_perm as error:
            if replies.is_unknown(error):
                self._unknown.add(command)
                return None
            raise
        return reply[4:] if reply.startswith("213") else ""

    def _listed(self) -> list[Entry]:
        """By LIST; with the option of Unix that shows names with a leading dot, where it works."""
        with contextlib.suppress(ftplib.error_perm):
            lines = self._lines("LIST -a")
            if any(line.endswith(" .") for line in lines):  # else it was taken for a name
                return listing.list_entries(lines)
        return listing.list_entries(self._lines("LIST"))

    def _lines(self, command: str) -> list[str]:
        self._as("A")
        content = bytearray()
        try:
            transfer, _ = self._connection.data(command)
        except (ftplib.error_perm, ftplib.error_temp) as error:
            if replies.is_empty_list(error):
                return []
            raise
        with contextlib.closing(transfer):
            for piece in transfer.pieces():
                content += piece
                if len(content) > _LISTING:
                    raise too_large("entries in one folder", _LISTING, f"{_LISTING} bytes of them")
        self._connection.last_word()
        return [line.removesuffix("\r") for line in content.decode("latin-1").split("\n")]
