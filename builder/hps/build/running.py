"""Starting an image: what every engine has, and bubblewrap, which needs no root and no daemon.

The process gets what a container runtime would give it (OCI image-spec, config.md: Env, User,
WorkingDir, Entrypoint, Cmd) and, as Docker does with `--network host`, the network of the host.
"""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from hps.config.schema import ImageSettings
from hps.derivation.bubblewrap import find_bwrap, root_arguments
from hps.errors import RunError, UsageError
from hps.store.inherited import inherited

PORT_NAMES = ("HPS_HTTP_PORT", "HPS_GRPC_PORT", "HPS_METRICS_PORT")
INTERRUPTED = 130  # the exit code of what was stopped before it began
_POLL = 0.2  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of this machine shown inside the image."""

    outside: Path
    inside: str
    writable: bool = False

    @classmethod
    def parse(cls, text: str) -> "Mount":
        """Read OUTSIDE:INSIDE or OUTSIDE:INSIDE:rw; raises UsageError."""
        outside, _, rest = text.partition(":")
        inside, _, mode = rest.partition(":")
        if not outside or not inside.startswith("/") or mode not in ("", "ro", "rw"):
            raise UsageError(
                f"cannot read the mount {text!r}", expected="FOLDER:/INSIDE or FOLDER:/INSIDE:rw"
            )
        return cls(Path(outside).absolute(), inside, mode == "rw")


@dataclass(frozen=True, slots=True)
class Run:
    """What to start, and with what.

    Args:
        root: the unpacked image; None when the engine has it by name.
        settings: its configuration.
        arguments: appended to the entrypoint in place of the image's command, when there are any.
        mounts: folders shown inside.
        ports: TCP ports on `address` for HTTP, gRPC and metrics, passed by environment.
        address: the servers listen there.
        environment: wins over the image's.
    """

    root: Path | None
    settings: ImageSettings
    ports: tuple[int, int, int]
    arguments: Sequence[str] = ()
    mounts: Sequence[Mount] = ()
    address: str = "127.0.0.1"
    environment: Mapping[str, str] = field(default_factory=dict)


def ports(first: int) -> tuple[int, int, int]:
    """Three ports from `first` on, or three free ones when it is 0.

    A free port can be taken by another program before it is used; what then fails is the start,
    with the server's own words.
    """
    if first:
        return first, first + 1, first + 2
    sockets = [socket.socket() for _ in range(3)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        found = [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
    return found[0], found[1], found[2]


def command_line(run: Run, bwrap: str) -> list[str]:
    """The bubblewrap command that starts the image."""
    user = run.settings.user
    line = [bwrap, "--unshare-all", "--share-net", "--die-with-parent", "--new-session"]
    line += ["--uid", str(user.uid), "--gid", str(user.gid), "--cap-drop", "ALL"]
    points = [mount.inside for mount in run.mounts]
    line += root_arguments(run.root, points) if run.root is not None else []
    line += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm"]  # noqa: S108 - inside the image
    line += ["--tmpfs", "/tmp", "--tmpfs", "/run", "--tmpfs", user.home]  # noqa: S108 - inside the image
    for mount in run.mounts:
        line += ["--bind" if mount.writable else "--ro-bind", str(mount.outside), mount.inside]
    line += ["--chdir", run.settings.working_directory, "--clearenv"]
    for name, value in sorted(_environment(run).items()):
        line += ["--setenv", name, value]
    command = run.arguments or run.settings.command
    return [*line, "--", *run.settings.entrypoint, *command]


def _environment(run: Run) -> dict[str, str]:
    made = {"HOME": run.settings.user.home, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    made |= run.settings.environment
    made |= {name: str(port) for name, port in zip(PORT_NAMES, run.ports, strict=True)}
    return made | {"HPS_ADDRESS": run.address} | dict(run.environment)


class Running(Protocol):
    """An image that an engine runs.

    Nothing is heard of the image before `start`: who calls it is ready to end it in order.
    """

    def start(self) -> None:
        """Let it run, its output going where this process's goes; once."""
        ...

    @property
    def ports(self) -> tuple[int, int, int]:
        """HTTP, gRPC and metrics on this machine."""
        ...

    @property
    def address(self) -> str:
        """Where they answer."""
        ...

    def ended(self) -> int | None:
        """Its exit code, or None while it runs."""
        ...

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        ...

    def stop(self) -> int:
        """End it in order; the exit code."""
        ...


class Bubblewrapped:
    """An image that bubblewrap runs; a context manager that ends it, children and all."""

    def __init__(self, run: Run) -> None:
        checked(run)
        self._run = run
        self._line = command_line(run, find_bwrap())
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """See Running."""
        # A session of its own: Ctrl-C reaches hps alone, which then ends the image in order.
        # Its environment is empty: that of bwrap can be read inside, in /proc/1/environ.
        self._process = subprocess.Popen(self._line, env={}, start_new_session=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def ports(self) -> tuple[int, int, int]:
        """See Running."""
        return self._run.ports

    @property
    def address(self) -> str:
        """See Running."""
        return self._run.address

    def ended(self) -> int | None:
        """See Running."""
        return None if self._process is None else self._process.poll()

    def wait(self) -> int:
        """See Running."""
        return INTERRUPTED if self._process is None else self._process.wait()

    def stop(self, grace: float = 35.0) -> int:
        """Ask the image's first process to end (SIGTERM), kill all after `grace` seconds."""
        if self._process is not None and self._process.poll() is None:
            _signal_inside(self._process.pid)
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self._process.kill()  # its process namespace goes with it
        return self.wait()


def checked(run: Run) -> None:
    """Refuse what cannot be started; raises UsageError."""
    if not run.settings.entrypoint and not run.arguments and not run.settings.command:
        raise UsageError(
            "the image has no entrypoint and no command",
            hint="name what to run after --, or set image.entrypoint in hps.toml",
        )
    for mount in run.mounts:
        if not mount.outside.exists():
            raise UsageError(f"there is nothing to mount at {mount.outside}")


def wait_until_ready(running: Running, deadline: float) -> None:
    """Wait until the server inside says that it is ready (KServe v2, `/v2/health/ready`).

    Raises:
        RunError: it ended, or was not ready within `deadline` seconds.
    """
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        code = running.ended()
        if code is not None:
            raise RunError(
                "the image ended before it was ready",
                got=f"exit code {code}",
                hint="its own words are above",
            )
        if _ready(running.address, running.ports[0]):
            return
        time.sleep(_POLL)
    raise RunError(f"the image was not ready within {deadline:g} s", hint="see its words above")


def execute(running: Running, command: Sequence[str]) -> int:
    """Run a command of this machine beside the image; it finds the ports in its environment."""
    told = {name: str(port) for name, port in zip(PORT_NAMES, running.ports, strict=True)}
    try:
        return subprocess.run(command, check=False, env=inherited() | told).returncode
    except OSError as error:
        raise UsageError(f"cannot run {command[0]}: {error.strerror}") from None


def _signal_inside(pid: int) -> None:
    """Send SIGTERM to what bwrap started.

    bwrap has no signal handler: a SIGTERM to itself would kill the process namespace at once, so
    the signal goes to the child of its child (bwrap's init, then the program).
    """
    for child in _children(pid):
        for grandchild in _children(child):
            os.kill(grandchild, signal.SIGTERM)


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []  # it has ended
    return [int(word) for word in text.split()]


def _ready(address: str, port: int) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=2)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
