"""`hps.build.running`: ports, command lines, and real programs that bubblewrap runs."""

import contextlib
import http.client
import json
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from hps.build.running import (
    Bubblewrapped,
    Mount,
    Ports,
    Run,
    command_line,
    execute,
    free_ports,
    wait_until_ready,
    wanted_ports,
)
from hps.config.target import ImageSettings, User
from hps.errors import RunError, UsageError
from tests.servers import Certificate

PYTHON = str(Path(sys.executable).resolve())  # a virtual environment may lie where nothing is shown
INSIDE = "/tmp/server"  # where programs of these tests see the folder of this file
HOME = "/tmp/home"

# Commands beside the image. Its end is known to hps when bubblewrap has ended: a zombie.
TELL_PORTS = """
import json, os, sys
print(json.dumps({name: value for name, value in os.environ.items() if name.startswith("HPS_")}))
sys.exit(7)
"""
END_IT = """
import http.client, os, pathlib, sys, time
connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["HPS_HTTP_PORT"]))
connection.request("POST", "/end")
try:
    connection.getresponse()
except (OSError, http.client.HTTPException):
    pass
def lives(pid):
    state = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return "(bwrap) " in state and "(bwrap) Z " not in state
hps = pathlib.Path(f"/proc/{os.getppid()}/task/{os.getppid()}/children")
others = [pid for pid in hps.read_text().split() if int(pid) != os.getpid()]
while any(map(lives, others)):
    time.sleep(0.01)
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("first", "rest", "ports"),
    [
        (8000, None, (8000, 8001, 8002, None)),
        (8000, 8003, (8000, 8001, 8002, 8003)),
        (8000, 0, (8000, 8001, 8002, 0)),
        (0, None, (0, 0, 0, None)),
        (0, 8000, (0, 0, 0, 8000)),
        (0, 0, (0, 0, 0, 0)),
    ],
)
def test_ports_that_are_wanted(first: int, rest: int | None, ports: tuple[int, ...]) -> None:
    assert wanted_ports(first, rest) == ports


@pytest.mark.parametrize("rest", [8000, 8001, 8002])
def test_the_facade_has_a_port_of_its_own(rest: int) -> None:
    with pytest.raises(UsageError, match=f"cannot have port {rest}"):
        wanted_ports(8000, rest)


@pytest.mark.parametrize("wanted", [(0, 0, 0, None), (0, 0, 0, 0), (8000, 8001, 8002, 0)])
def test_free_ports_can_be_taken(wanted: tuple[int, int, int, int | None]) -> None:
    ports = free_ports(Ports(*wanted))
    chosen = [port for port, number in zip(ports, wanted, strict=True) if number == 0]
    assert len({*ports}) == 4
    for port in chosen:
        assert port
        with socket.socket() as one:
            one.bind(("127.0.0.1", port))
    assert [port for port in ports if port not in chosen] == [
        number for number in wanted if number != 0
    ]


def test_bubblewrap_is_told_the_ports() -> None:
    run = Run(Path("/"), ImageSettings(entrypoint=("serve",)), wanted_ports(8000, 9000))
    line = " ".join(command_line(run, "bwrap"))
    for name, port in (("HTTP", 8000), ("GRPC", 8001), ("METRICS", 8002), ("REST", 9000)):
        assert f"--setenv HPS_{name}_PORT {port} " in line
    assert "--setenv HPS_ADDRESS 127.0.0.1 " in line
    run = Run(Path("/"), ImageSettings(entrypoint=("serve",)), wanted_ports(8000))
    assert "HPS_REST_PORT" not in " ".join(command_line(run, "bwrap"))


@contextlib.contextmanager
def started(
    rest: int | None,
    arguments: Sequence[str] = (),
    mounts: Sequence[Mount] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Bubblewrapped]:
    """The program beside this file, in the root of this machine."""
    settings = ImageSettings(
        user=User(home=HOME),
        entrypoint=(PYTHON, f"{INSIDE}/serving_program.py"),
        environment={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    run = Run(
        root=Path("/"),
        settings=settings,
        ports=free_ports(wanted_ports(0, rest)),
        arguments=arguments,
        mounts=[Mount(Path(__file__).parent, INSIDE), *mounts],
        environment=environment or {},
    )
    with Bubblewrapped(run) as running:
        running.start()
        yield running


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
def test_ready_is_who_has_a_ready_facade(secured: bool, tmp_path: Path) -> None:
    """The program serves the facade when Triton was found ready, and its first answer is no."""
    certificate = Certificate.make(tmp_path)
    shown = (["--tls", "/tmp/tls"], [Mount(tmp_path, "/tmp/tls")]) if secured else ([], [])
    with started(0, *shown) as running:
        wait_until_ready(running, 60)
        connection = http.client.HTTPConnection("127.0.0.1", running.ports.rest, timeout=10)
        if secured:
            trusted = ssl.create_default_context(cafile=str(certificate.path))
            connection = http.client.HTTPSConnection(
                "127.0.0.1", running.ports.rest, timeout=10, context=trusted
            )
        with contextlib.closing(connection):
            connection.request("GET", "/health/ready")
            assert connection.getresponse().status == 200


def test_a_facade_that_never_answers_is_told() -> None:
    with started(0, environment={"HPS_REST_PORT": "0"}) as running:
        with pytest.raises(RunError, match="not ready within 3 s"):
            wait_until_ready(running, 3)
        assert running.ended() is None


def test_without_a_facade_nobody_waits_for_one() -> None:
    with started(None) as running:
        wait_until_ready(running, 60)
        assert running.ports.rest is None
        assert running.ended() is None


def test_an_image_that_ends_is_not_waited_for() -> None:
    with started(0, ["--tls", "/no/such/folder"]) as running:
        with pytest.raises(RunError, match="ended before it was ready") as caught:
            wait_until_ready(running, 60)
        assert caught.value.got == "exit code 1"


@pytest.mark.parametrize("rest", [None, 0])
def test_a_command_finds_the_ports_and_its_code_is_passed_on(
    rest: int | None, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP", "GRPC", "METRICS", "REST"):
        monkeypatch.delenv(f"HPS_{name}_PORT", raising=False)
    notes: list[str] = []
    with started(rest) as running:
        assert execute(running, [sys.executable, "-c", TELL_PORTS], notes.append) == 7
        assert notes == []
        told = json.loads(capfd.readouterr().out)
        ports = running.ports._asdict()
        assert {name: told.get(f"HPS_{name.upper()}_PORT") for name in ports} == {
            name: None if port is None else str(port) for name, port in ports.items()
        }
        with pytest.raises(UsageError, match="cannot run /no/such"):
            execute(running, ["/no/such"], notes.append)


def test_an_image_that_ends_beside_a_good_command_is_a_fault() -> None:
    notes: list[str] = []
    with started(None) as running:
        wait_until_ready(running, 60)
        with pytest.raises(RunError, match="ended by itself while") as caught:
            execute(running, [sys.executable, "-c", END_IT, "0"], notes.append)
        assert (caught.value.got, notes) == ("exit code 5", [])


def test_a_failed_command_wins_and_the_end_of_the_image_is_told() -> None:
    notes: list[str] = []
    with started(None) as running:
        wait_until_ready(running, 60)
        assert execute(running, [sys.executable, "-c", END_IT, "9"], notes.append) == 9
    (note,) = notes
    assert "error[run-failed]" in note
    assert "exit code 5" in note
