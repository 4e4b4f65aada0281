"""What systemd hears: on real sockets, by path and in the abstract namespace."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.monitor.notify import Notifier, message


@pytest.fixture(params=["path", "abstract"])
def supervisor(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[str, socket.socket]]:
    """The address of a socket as systemd makes it, and the socket."""
    name = (
        str(tmp_path / "notify") if request.param == "path" else f"@hps-test-{os.urandom(8).hex()}"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name[1:]}" if name[0] == "@" else name)
        receiver.settimeout(5)
        yield name, receiver


def test_a_supervisor_hears_all_of_it(supervisor: tuple[str, socket.socket]) -> None:
    address, receiver = supervisor
    notifier = Notifier.of({"NOTIFY_SOCKET": address}, os.getpid())
    assert notifier.send(message(ready=True, status="3 models: all served"))
    assert receiver.recv(4096) == b"READY=1\nSTATUS=3 models: all served\n"
    assert notifier.send(message(alive=True))
    assert receiver.recv(4096) == b"WATCHDOG=1\n"
    assert notifier.send(message(stopping=True))
    assert receiver.recv(4096) == b"STOPPING=1\n"
    assert notifier.send(message(failed=28))
    assert receiver.recv(4096) == b"ERRNO=28\n"


def test_a_supervisor_that_has_gone_or_does_not_read_is_no_fault(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    notifier = Notifier(address)
    assert not notifier.send(message(alive=True))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        sent = sum(notifier.send(message(alive=True)) for _ in range(10_000))
        assert 0 < sent < 10_000  # the queue is full, and nobody waits
    assert not notifier.send(message(alive=True))


def test_without_a_supervisor_nothing_is_told() -> None:
    notifier = Notifier.of({}, 1)
    assert notifier == Notifier()
    assert notifier.interval is None
    assert not notifier.send(message(ready=True))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_wound_up_twice_as_often_as_it_must_be(
    variables: dict[str, str], expected: float | None
) -> None:
    assert Notifier.of({"NOTIFY_SOCKET": "/run/notify", **variables}, 7).interval == expected


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1234", "/" + "x" * 200])
def test_addresses_that_are_no_sockets_of_this_host_are_left_alone(address: str) -> None:
    assert Notifier.of({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"}, 1) == Notifier()


@given(st.text())
def test_a_status_is_one_line_whatever_it_holds(status: str) -> None:
    lines = message(ready=True, status=status).decode().split("\n")
    assert lines[0] == "READY=1"
    assert lines[1].startswith("STATUS=")
    assert lines[2:] == [""]
