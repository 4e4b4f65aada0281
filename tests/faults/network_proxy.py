"""A TCP proxy on the way to a source, which does to the bytes what networks do to them.

    with Proxy(("127.0.0.1", port)) as proxy:
        proxy.fault = Fault("corrupt", at=17, size=2)
        ...
        proxy.fault = FINE

A fault takes hold of the connections that are there and of those that come. Offsets count from the
moment that it took hold of a connection. What was held back goes on its way when it is over.
Ports that a server tells for further connections (FTP's data, redirects of WebHDFS to data nodes)
are led through the proxy, too.
"""

import contextlib
import re
import select
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

_SECONDS = 20.0
_TICK = 0.02
_PIECE = 1 << 16
_PASSIVE = re.compile(rb"\(\|\|\|(\d+)\|\)")
_OLD_PASSIVE = re.compile(rb"(?<=,)(\d+),(\d+)(?=\))")
_REDIRECT = re.compile(rb"(?<=Location: http://)[\w.-]+:(\d+)")
Listen = Callable[[], socket.socket]


@dataclass(frozen=True)
class Fault:
    """What happens on the way.

    Args:
        kind: one of `KINDS`, or `fine`.
        at: bytes that get through before.
        size: of what is lost, changed or doubled.
        up: it happens to what the client sends.
        status: of an answer that the server never gave.
        target: a redirect to there.
        over: set when the next fault begins.
    """

    kind: str
    at: int = 0
    size: int = 1
    up: bool = False
    status: int = 503
    target: str = ""
    over: threading.Event = field(default_factory=threading.Event, compare=False)

    def __str__(self) -> str:
        return f"{self.kind} {'up' if self.up else 'down'} at {self.at} of {self.size}"


FINE = "fine"
# Of any TCP connection, and of HTTP only.
KINDS = (
    "refuse", "hang-up", "black-hole", "stall", "reset", "truncate", "corrupt", "drop", "double",
    "slow",
)  # fmt: skip
HTTP_KINDS = ("redirect", "status")


class _EndError(Exception):
    """The connection comes to its end; a reset when it is said."""

    def __init__(self, *, reset: bool) -> None:
        self.reset = reset


class Proxy:
    """One proxy in front of one server; for many threads.

    Args:
        upstream: address of the server.
        listen: gives a socket that listens, on any port.
    """

    def __init__(self, upstream: tuple[str, int], listen: Listen | None = None) -> None:
        self._host, self._port = upstream
        self._listen = listen or (lambda: socket.create_server(("127.0.0.1", 0)))
        self._fault = Fault(FINE)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._ports: dict[int, int] = {}
        self._guard = threading.Lock()
        self.met: Counter[str] = Counter()  # connections that a fault of a kind did something to
        self._listener = self._listen()
        self.address: tuple[str, int] = self._listener.getsockname()[:2]

    def __enter__(self) -> Self:
        self._start(self._accept, self._listener, self._port)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._fault.over.set()
        for thread in list(self._threads):
            thread.join(_SECONDS)
            assert not thread.is_alive()

    @property
    def fault(self) -> Fault:
        """What happens just now."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        before, self._fault = self._fault, fault
        before.over.set()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)
        with self._guard:
            self._threads = [one for one in self._threads if one.is_alive()]
            thread.start()
            self._threads.append(thread)

    def _accept(self, listener: socket.socket, port: int, *, once: bool = False) -> None:
        left = _SECONDS
        with listener:
            while not self._stopping.is_set() and left > 0:
                ready, _, _ = select.select([listener], [], [], _TICK * 5)
                if not ready:
                    left -= _TICK * 5 * once
                    continue
                connection, _ = listener.accept()
                self._start(self._serve, connection, port)
                if once:
                    return

    def _serve(self, client: socket.socket, port: int) -> None:
        client.settimeout(_SECONDS)
        with client, contextlib.suppress(OSError):
            try:
                if self._fault.kind in {"refuse", "hang-up"}:
                    self.met[self._fault.kind] += 1
                    raise _EndError(reset=self._fault.kind == "refuse")
                with socket.create_connection((self._host, port), _SECONDS) as server:
                    _Flow(self, client, server).run()
            except _EndError as end:
                if end.reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    @property
    def stopping(self) -> bool:
        """Whether all connections are to end."""
        return self._stopping.is_set()

    def led(self, data: bytes) -> bytes:
        """What a server says, with its further ports led through here."""
        data = _PASSIVE.sub(lambda found: b"(|||%d|)" % self._led(int(found[1]), once=True), data)
        if data.startswith(b"227 "):
            data = _OLD_PASSIVE.sub(self._led_old, data)
        host, _ = self.address
        return _REDIRECT.sub(
            lambda found: b"%s:%d" % (host.encode(), self._led(int(found[1]), once=False)), data
        )

    def _led_old(self, found: re.Match[bytes]) -> bytes:
        high, low = divmod(self._led(int(found[1]) * 256 + int(found[2]), once=True), 256)
        return b"%d,%d" % (high, low)

    def _led(self, port: int, *, once: bool) -> int:
        if not once and port in self._ports:
            return self._ports[port]
        listener = self._listen()
        own: int = listener.getsockname()[1]
        self._start(lambda: self._accept(listener, port, once=once))
        if not once:
            self._ports[port] = own
        return own


class _Flow:
    """One connection, in both directions, in one thread."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self._fault = proxy.fault
        self._passed = {True: 0, False: 0}  # bytes since the fault took hold, up and down

    def run(self) -> None:
        open_ = [self._client, self._server]
        while open_ and not self._proxy.stopping:
            ready, _, _ = select.select(open_, [], [], _TICK * 5)
            for one in ready:
                up = one is self._client
                data = one.recv(_PIECE)
                if not data:
                    open_.remove(one)
                    with contextlib.suppress(OSError):
                        (self._server if up else self._client).shutdown(socket.SHUT_WR)
                    if not up:
                        return
                    continue
                self._pass(data if up else self._proxy.led(data), up=up)

    def _pass(self, data: bytes, *, up: bool) -> None:
        fault = self._proxy.fault
        if fault is not self._fault:
            self._fault, self._passed = fault, {True: 0, False: 0}
        to = self._server if up else self._client
        before = self._passed[up]
        self._passed[up] += len(data)
        if fault.kind == "black-hole":
            self._meet()
            fault.over.wait()
            raise _EndError(reset=True)  # as TCP gives up
        if fault.kind in HTTP_KINDS:
            if up and not before and data.split(b" ", 2)[1:2] != [fault.target.encode()]:
                self._answer(fault)
            to.sendall(data)
        elif fault.kind == FINE or fault.up is not up or before + len(data) <= fault.at:
            to.sendall(data)
        else:
            self._meet()
            self._harm(fault, data, max(fault.at - before, 0), to)

    def _harm(self, fault: Fault, data: bytes, at: int, to: socket.socket) -> None:
        """What becomes of a piece that the fault is in."""
        begun = self._passed[fault.up] - len(data) > fault.at
        size = fault.size
        match fault.kind:
            case "stall":
                to.sendall(data[:at])
                fault.over.wait()
                to.sendall(data[at:])
            case "reset" | "truncate":
                to.sendall(data[:at])
                raise _EndError(reset=fault.kind == "reset")
            case "slow":
                while data and not fault.over.wait(_TICK):
                    to.sendall(data[:size])
                    data = data[size:]
                to.sendall(data)
            case "corrupt" if not begun:
                bad = bytes(each ^ (1 << (at + size) % 8) for each in data[at : at + size])
                to.sendall(data[:at] + bad + data[at + size :])
            case "drop" if not begun:
                to.sendall(data[:at] + data[at + size :])
            case "double" if not begun:
                to.sendall(data[: at + size] + data[at:])
            case _:
                to.sendall(data)

    def _answer(self, fault: Fault) -> None:
        """Answer in the server's place."""
        self._meet()
        head = f"HTTP/1.1 {fault.status} Somewhere\r\nContent-Length: 0\r\nConnection: close\r\n"
        if fault.kind == "redirect":
            head = head.replace(str(fault.status), "302", 1) + f"Location: {fault.target}\r\n"
        else:
            head += "Retry-After: 86400\r\n"
        self._client.sendall(f"{head}\r\n".encode())
        raise _EndError(reset=False)

    def _meet(self) -> None:
        self._proxy.met[self._fault.kind] += 1
