"""One HTTP connection on which every step is under the deadline of the call that uses it.

`http.client` knows one time-out per read. A server that sends a byte now and then would hold a
call for ever, so here each read and write gets what is left of the call.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import select
import socket
import ssl
from typing import Any, Iterator, List, Mapping, Optional, Tuple, Union

from hps_client.address import Address
from hps_client.call import Call
from hps_client.errors import ClientError, ConnectionFailed, InvalidAnswer

_PIECE = 1024 * 1024


class TimedSocket:
    """The part of a socket that http.client uses."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.call = Call(None)
        self.answered = False
        self.sent = False
        self._closing = False
        self._readers = 0

    def sendall(self, data: Union[bytes, memoryview]) -> None:
        """Send everything before the deadline."""
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            self.sock.settimeout(self.call.remaining())
            self.sent = True  # of a failed sendall nobody knows how much went out
            self.sock.sendall(view[start : start + _PIECE])

    def receive_into(self, buffer: Any) -> int:
        """Read what there is before the deadline."""
        self.sock.settimeout(self.call.remaining())
        size = self.sock.recv_into(buffer)
        self.answered = self.answered or size > 0
        return size

    def makefile(self, mode: str, buffering: int = -1) -> io.BufferedReader:  # noqa: ARG002
        """The reading half, as http.client asks for it (`"rb"`)."""
        self._readers += 1
        return io.BufferedReader(_Reader(self), _PIECE // 16)

    def close(self) -> None:
        """Close when the last reader is closed: http.client closes first and reads then."""
        self._closing = True
        if self._readers == 0:
            self.sock.close()

    def reader_closed(self) -> None:
        """One reader less."""
        self._readers -= 1
        if self._closing:
            self.close()

    def shut_down(self) -> None:
        """End both directions from another thread; whoever reads wakes up."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # ssl's would drop its state


class _Reader(io.RawIOBase):
    def __init__(self, timed: TimedSocket) -> None:
        super().__init__()
        self._timed = timed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._timed.receive_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._timed.reader_closed()


class Connection:
    """One connection; not for two threads at once."""

    def __init__(self, address: Address, context: Optional[ssl.SSLContext]) -> None:
        self.address = address
        self._context = context
        self._http = http.client.HTTPConnection(address.host, address.port)
        self._timed: Optional[TimedSocket] = None

    def open(self, call: Call, at_most: float) -> None:
        """Connect.

        Raises:
            ConnectionFailed: nobody answers, or not with a certificate that is trusted.
            DeadlineExceeded: the call's time is over.
        """
        try:
            self._timed = TimedSocket(self._connect(call, at_most))
        except (OSError, ValueError) as error:
            call.remaining()  # was it the call's deadline, or the connection's?
            raise ConnectionFailed(
                f"no connection to {self.address}: {_reason(error)}", _hint(error)
            ) from error
        self._http.sock = self._timed

    def alive(self) -> bool:
        """Whether the idle connection looks open: nothing has come, no end either."""
        if self._timed is None or self._timed.sock.fileno() < 0:
            return False
        poll = select.poll() if hasattr(select, "poll") else None
        if poll is None:
            return not select.select([self._timed.sock], [], [], 0)[0]
        poll.register(self._timed.sock, select.POLLIN)
        return not poll.poll(0)

    def exchange(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: List[bytes],
        call: Call,
        limit: int,
    ) -> Tuple[int, http.client.HTTPMessage, bytes]:
        """Send one request and read its answer to the end.

        Returns:
            Status, headers, body.

        Raises:
            ConnectionFailed, DeadlineExceeded, CallCancelled, InvalidAnswer: as named.
        """
        timed = self._timed
        if timed is None:
            raise ConnectionFailed(f"the connection to {self.address} is closed", "")
        timed.call, timed.answered, timed.sent = call, False, False
        try:
            with self._failures(timed, call):
                call.attach(timed.shut_down)
                broken = self._send(method, path, headers, body)
                with self._http.getresponse() as response:
                    content = _read(response, limit)
                if broken or response.will_close:
                    self.close()
                return response.status, response.headers, content
        finally:
            call.attach(None)

    def close(self) -> None:
        """Close it; it cannot be used again."""
        self._http.close()
        if self._timed is not None:
            self._timed.close()
        self._timed = None

    @property
    def open_still(self) -> bool:
        """Whether another request may follow."""
        return self._timed is not None

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: List[bytes]) -> bool:
        """Send; True when the server stopped reading: it may have answered early (413, 401)."""
        self._http.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            self._http.putheader(name, value)
        if body:
            self._http.putheader("Content-Length", str(sum(map(len, body))))
        try:
            self._http.endheaders()
            for piece in body:
                self._http.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            return True
        return False

    def _connect(self, call: Call, at_most: float) -> socket.socket:
        host, port = self.address.host, self.address.port
        sock = socket.create_connection((host, port), call.remaining(at_most))
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is None:
                return sock
            sock.settimeout(call.remaining(at_most))
            return self._context.wrap_socket(sock, server_hostname=host)
        except BaseException:
            sock.close()
            raise

    @contextlib.contextmanager
    def _failures(self, timed: TimedSocket, call: Call) -> Iterator[None]:
        """Turn what http.client and sockets raise into this package's errors."""
        try:
            yield
        except (OSError, http.client.RemoteDisconnected) as error:
            self.close()
            call.remaining()  # its own time-out and cancellation come first
            if isinstance(error, ClientError):
                raise
            if isinstance(error, socket.timeout):  # clocks differ by a hair
                raise call.exceeded() from error
            raise ConnectionFailed(
                f"the connection to {self.address} broke: {_reason(error)}",
                "did the server stop, or something between close the connection?",
                sent=timed.sent,
                answered=timed.answered,
            ) from error
        except (http.client.HTTPException, ValueError) as error:
            self.close()
            call.remaining()
            raise InvalidAnswer(
                f"{self.address} answers, but not in HTTP as it should: {_reason(error)}",
                "is it the right port? Triton: 8000 is HTTP, 8001 gRPC, 8002 metrics",
            ) from error
        except BaseException:
            self.close()
            raise


def _read(response: http.client.HTTPResponse, limit: int) -> bytes:
    announced = response.length  # None: chunked, or until the connection ends
    if announced is not None and announced > limit:
        raise _too_long(f"{announced} bytes are announced", limit)
    pieces: List[bytes] = []
    size = 0
    while True:
        piece = response.read(_PIECE)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise _too_long("more bytes come", limit)
    if announced is not None and size < announced:
        raise http.client.IncompleteRead(b"", announced - size)
    return b"".join(pieces) if len(pieces) != 1 else pieces[0]


def _too_long(what: str, limit: int) -> InvalidAnswer:
    return InvalidAnswer(
        f"the answer is too long: {what}, {limit} are allowed",
        "raise max_answer_bytes=, or let the server answer with URLs",
    )


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _hint(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "give the authority of the server's certificate as ca_file="
    if isinstance(error, ssl.SSLError):
        return "does this port speak TLS? Without it write http://"
    if isinstance(error, socket.gaierror):
        return "is the host's name right?"
    return "is the server running, and is the port published?"
