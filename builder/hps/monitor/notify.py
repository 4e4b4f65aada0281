"""What a service tells systemd: that it is ready, how it stands, that it lives, that it stops.

Follows sd_notify(3): one datagram to the socket that NOTIFY_SOCKET names, `KEY=VALUE` lines. Where
nobody listens nothing is told, and nothing fails: a monitor that cannot speak to its supervisor
still serves models.
"""

import contextlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from hps.store.foreign_text import printable

_LONGEST_STATUS = 1000
_LONGEST_ADDRESS = 107  # sun_path of unix(7), without its end


def message(
    *,
    ready: bool = False,
    stopping: bool = False,
    alive: bool = False,
    status: str | None = None,
    failed: int | None = None,
) -> bytes:
    """The datagram; empty when there is nothing to say.

    Args:
        ready: the service has started.
        stopping: it is ending.
        alive: its watchdog is to be wound up again.
        status: one line for `systemctl status`; whatever would end the line is left out.
        failed: the errno of why it fails.
    """
    lines = [
        *["READY=1"] * ready,
        *["STOPPING=1"] * stopping,
        *["WATCHDOG=1"] * alive,
        *([] if status is None else [f"STATUS={printable(status, _LONGEST_STATUS)}"]),
        *([] if failed is None else [f"ERRNO={failed}"]),
    ]
    return "".join(f"{line}\n" for line in lines).encode()


@dataclass(frozen=True, slots=True)
class Notifier:
    """Tells the supervisor.

    Args:
        address: of its socket, a path or `@name`; None: there is none.
        watchdog: seconds within which it wants to hear that this process lives; None: it does not.
    """

    address: str | None = None
    watchdog: float | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str], pid: int) -> Self:
        """What the environment of this process says (sd_notify(3), sd_watchdog_enabled(3))."""
        address = environment.get("NOTIFY_SOCKET", "")
        if address[:1] not in {"/", "@"} or len(os.fsencode(address)) > _LONGEST_ADDRESS:
            return cls()
        meant = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        micros = environment.get("WATCHDOG_USEC", "")
        counts = meant and micros.isascii() and micros.isdigit() and 0 < int(micros[:20]) < 2**64
        return cls(address, int(micros) / 1e6 if counts else None)

    @property
    def interval(self) -> float | None:
        """Seconds between two signs of life: half of what is allowed, as systemd advises."""
        return None if self.watchdog is None else self.watchdog / 2

    def send(self, datagram: bytes) -> bool:
        """Send a `message`; says whether it was taken. Never waits."""
        if self.address is None or not datagram:
            return False
        place = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as client:
            client.sendto(datagram, place)
            return True
        return False
