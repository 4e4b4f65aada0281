# ruff: noqa: S321 - FTP is what was asked for; TLS is offered
"""One control connection of FTP and the data connections beside it, with every step bounded.

`ftplib` speaks the protocol. What it leaves open is closed here: replies that never end, steps
without a deadline, data connections to third hosts, TLS sessions that are not reused. Follows
RFC 959, RFC 2428 (EPSV), RFC 3659 (REST) and RFC 4217 (TLS).
"""

import contextlib
import ftplib
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader

from hps.monitor.source import PIECE, Patience
from hps.monitor.sources.ftp_replies import OutOfStepError
from hps.store.cancellation import Cancellation

_LINES = 1000  # of one reply
_HIGHEST_PORT = 65535
_HELD = 1.0  # seconds after which a piece is handed on though it is not full
_LAST_WORD = 10.0  # seconds for the reply after the last byte


@dataclass(frozen=True, slots=True)
class Watch:
    """The operation that runs, and the connections that end with it."""

    work: Cancellation
    sockets: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def add(self, handle: socket.socket) -> None:
        """End this connection when the operation is called off."""
        self.sockets.enter_context(self.work.watching(handle))


@dataclass(frozen=True, slots=True)
class Line:
    """A TCP connection, and a second handle of it.

    Only the handle is shut by other threads: shutting a TLS socket that is read elsewhere would
    make `ssl` hand out what is still encrypted.
    """

    sock: socket.socket
    handle: socket.socket

    def close(self) -> None:
        """Close both."""
        self.sock.close()
        self.handle.close()


def dial(host: str, port: int, seconds: float, watch: Watch) -> Line:
    """Connect to the first address of a host that answers; seconds are for each address.

    Raises:
        OSError: none did.
        Cancelled: the operation was called off.
    """
    failure: OSError = OSError("the host has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, protocol)
        line = Line(sock, sock.dup())
        try:
            sock.settimeout(seconds)
            watch.add(line.handle)
            sock.connect(address)
            watch.work.check()
        except OSError as error:
            line.close()
            failure = error
            watch.work.check()
        except BaseException:
            line.close()
            raise
        else:
            return line
    raise failure


class Connection(ftplib.FTP_TLS):
    """A control connection; text is bytes, one character each (Latin-1).

    Args:
        context: of TLS.
        patience: bounds each step.
        watch: the operation during which it is opened; replace it for each further one.
    """

    def __init__(self, context: ssl.SSLContext, patience: Patience, watch: Watch) -> None:
        super().__init__(context=context, timeout=patience.idle, encoding="latin-1")
        self.watch = watch
        self.resumes = True
        self._replies: BufferedReader | None = None
        self._patience = patience
        self._extended = True
        self._is_private = False
        self._line: Line | None = None

    def open(self, host: str, port: int, *, implicit: bool) -> None:
        """Connect, and wait for the greeting."""
        self.host, self.port = host, port
        self._line = dial(host, port, self._patience.connect, self.watch)
        sock = self._line.sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # idle while data flows
        sock.settimeout(self._patience.idle)
        self.af = sock.family
        self._use(self._encrypted(sock) if implicit else sock)
        self.welcome = self.getresp()

    def auth(self) -> str:
        """Begin TLS; what came in before it is thrown away with its buffer."""
        reply = self.voidcmd("AUTH TLS")
        self._use(self._encrypted(self._control))
        return reply

    def prot_p(self) -> str:
        """Encrypt data connections from now on."""
        reply = super().prot_p()
        self._is_private = True
        return reply

    def close(self) -> None:
        """Close the connection, without a word."""
        super().close()
        if self._replies is not None:
            self._replies.close()
        if self._line is not None:
            self._line.close()

    def watched(self, watch: Watch) -> None:
        """From now on end with another operation."""
        self.watch = watch
        if self._line is not None:
            watch.add(self._line.handle)

    def putcmd(self, line: str) -> None:
        """Send a command.

        Raises:
            OutOfStepError: something was said already, which would be taken for its reply.
        """
        if self._is_ahead():
            raise OutOfStepError
        super().putcmd(line)

    def getline(self) -> str:
        """Read one line; its end is a line feed, and a lone CR ends nothing."""
        if self._replies is None:
            raise EOFError
        line = self._replies.readline(self.maxline + 1)
        if len(line) > self.maxline:
            raise ftplib.Error(f"a line of more than {self.maxline} bytes")
        if not line:
            raise EOFError
        return line.decode(self.encoding).rstrip("\r\n")

    def getmultiline(self) -> str:
        """Read one reply (RFC 959, section 4.2), which has an end."""
        lines = [self.getline()]
        code = lines[0][:3]
        if lines[0][3:4] == "-":
            while lines[-1][:3] != code or lines[-1][3:4] == "-":
                lines.append(self.getline())
                if len(lines) > _LINES:
                    raise ftplib.Error(f"a reply of more than {_LINES} lines")
        return "\n".join(lines)

    def data(self, command: str, offset: int = 0) -> "tuple[Transfer, int]":
        """Begin a transfer; gives the offset at which it begins, 0 where REST is refused."""
        host, port = self._passive()
        line = dial(host, port, self._patience.connect, self.watch)
        transfer = Transfer(self, line)
        try:
            if offset:
                offset = self._skip(offset)
            reply = self.sendcmd(command)
            if reply[:1] == "2":  # some send 200 before the 150
                reply = self.getresp()
            _expect_data(reply)
            line.sock.settimeout(self._patience.idle)
            if self._is_private:
                transfer.encrypt(self._encrypted(line.sock, self._session()))
        except BaseException:
            transfer.close()
            raise
        return transfer, offset

    def last_word(self) -> None:
        """Wait for the reply after a transfer."""
        self._control.settimeout(min(_LAST_WORD, self._patience.idle))
        try:
            self.voidresp()
        finally:
            self._control.settimeout(self._patience.idle)

    @property
    def _control(self) -> socket.socket:
        if self.sock is None:
            raise EOFError
        return self.sock

    def _use(self, sock: socket.socket) -> None:
        self.sock = sock
        self._replies = sock.makefile("rb")

    def _is_ahead(self) -> bool:
        """Whether bytes have come that nobody asked for.

        A reply that was doubled on the way stands there, and every later one would answer the
        command before: the time of a file would be taken for its size.
        """
        control = self._control
        control.settimeout(0)
        try:
            return self._replies is not None and bool(self._replies.peek(1))
        except ssl.SSLWantReadError:
            return False
        finally:
            control.settimeout(self._patience.idle)

    def _encrypted(
        self, sock: socket.socket, session: ssl.SSLSession | None = None
    ) -> ssl.SSLSocket:
        wrapped = self.context.wrap_socket(
            sock, server_hostname=self.host, do_handshake_on_connect=False, session=session
        )
        try:
            wrapped.do_handshake()
        except BaseException:
            wrapped.close()
            raise
        return wrapped

    def _session(self) -> ssl.SSLSession | None:
        """Of the control connection: by it servers know that both are of one client."""
        return self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None

    def _passive(self) -> tuple[str, int]:
        """Where to connect to: the host of the control connection, whatever a reply says."""
        peer: str = self._control.getpeername()[0]
        port = self._extended_port() if self._extended else None
        if port is None:
            _, port = ftplib.parse227(self.sendcmd("PASV"))
        if not 0 < port <= _HIGHEST_PORT:
            raise ftplib.error_proto(f"a data connection to port {port}")
        return peer, port

    def _extended_port(self) -> int | None:
        try:
            reply = self.sendcmd("EPSV")
        except ftplib.error_perm:
            if self.af != socket.AF_INET:
                raise
            self._extended = False
            return None
        try:
            return ftplib.parse229(reply, ("", 0))[1]
        except ValueError as error:
            raise ftplib.error_proto(reply[:200]) from error

    def _skip(self, offset: int) -> int:
        try:
            self.sendcmd(f"REST {offset}")
        except ftplib.error_perm:
            self.resumes = False
            return 0
        return offset


def _expect_data(reply: str) -> None:
    if reply[:1] != "1":
        raise ftplib.error_reply(reply)


class Transfer:
    """One data connection; `close` it in the end.

    Attributes:
        is_finished: whether the server said that it was, so that the control connection serves on.
    """

    def __init__(self, connection: Connection, line: Line) -> None:
        self._connection = connection
        self._line = line
        self._sock = line.sock
        self.is_finished = False

    def encrypt(self, sock: ssl.SSLSocket) -> None:
        """Read from this TLS connection instead."""
        self._sock = sock

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()
        self._line.close()

    def send(self, piece: bytes) -> None:
        """Send bytes of a file that is stored."""
        self._connection.watch.work.check()
        self._sock.sendall(piece)

    def end(self) -> None:
        """Say that all bytes were sent: TLS has a word for it, which some servers wait for."""
        if isinstance(self._sock, ssl.SSLSocket):
            with contextlib.suppress(OSError):  # servers that close at once
                self._sock.unwrap()

    def pieces(self) -> Iterator[bytes]:
        """What comes, until the other side closes; what came before an error is handed on too."""
        buffer = memoryview(bytearray(PIECE))
        held, begun = 0, time.monotonic()
        work = self._connection.watch.work
        failure: Exception | None = None
        ended = False
        while not ended:
            try:
                count = self._sock.recv_into(buffer[held:])
                ended = count == 0
                held += count
            except (OSError, ValueError) as error:  # ValueError: read after it was shut
                failure, ended = error, True
            work.check()  # what is left in a connection that was shut is not handed on
            now = time.monotonic()
            if held == PIECE or (held and (ended or now - begun > _HELD)):
                yield bytes(buffer[:held])
                held, begun = 0, time.monotonic()
        if failure is not None:
            raise failure
