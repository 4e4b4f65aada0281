"""Starting an image: what every engine has, and bubblewrap, which needs no root and no daemon.

The process gets what a container runtime would give it (OCI image-spec, config.md: Env, User,
WorkingDir, Entrypoint, Cmd) and, as Docker does with `--network host`, the network of the host.
"""

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, Self

from hps.config.target import ImageSettings
from hps.derivation.bubblewrap import find_bwrap, root_arguments
from hps.derivation.emulation import find_emulator, processor_of, with_formats
from hps.errors import RunError, UsageError
from hps.oci.engine import STOP_SECONDS
from hps.store.inherited import inherited

REST_PORT = "HPS_REST_PORT"
PORT_NAMES = ("HPS_HTTP_PORT", "HPS_GRPC_PORT", "HPS_METRICS_PORT", REST_PORT)
INTERRUPTED = 130  # the exit code of what was stopped before it began
_POLL = 0.2  # seconds between two looks
_FACADE_READY = "/health/ready"


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


class Ports(NamedTuple):
    """TCP ports of an image.

    Args:
        http: Triton's.
        grpc: Triton's.
        metrics: Triton's.
        rest: that of the launcher's REST facade; None when it is not wanted.
    """

    http: int
    grpc: int
    metrics: int
    rest: int | None = None

    def environment(self) -> dict[str, str]:
        """The variables that tell programs of them."""
        named = zip(PORT_NAMES, self, strict=True)
        return {name: str(port) for name, port in named if port is not None}


@dataclass(frozen=True, slots=True)
class Run:
    """What to start, and with what.

    Args:
        root: the unpacked image; None when the engine has it by name.
        settings: its configuration.
        arguments: appended to the entrypoint in place of the image's command, when there are any.
        mounts: folders shown inside.
        ports: they are on `address`, and passed by environment.
        address: the servers listen there.
        environment: wins over the image's.
        platform: of the image; None when it is this machine's.
    """

    root: Path | None
    settings: ImageSettings
    ports: Ports
    arguments: Sequence[str] = ()
    mounts: Sequence[Mount] = ()
    address: str = "127.0.0.1"
    environment: Mapping[str, str] = field(default_factory=dict)
    platform: str | None = None


def wanted_ports(first: int, rest: int | None = None) -> Ports:
    """Three ports from `first` on, and one for the REST facade; 0 stands for a free one.

    Raises:
        UsageError: the facade's is one of the three.
    """
    if not first:
        return Ports(0, 0, 0, rest)
    wanted = Ports(first, first + 1, first + 2, rest)
    if rest in wanted[:3]:
        raise UsageError(
            f"the REST facade cannot have port {rest}",
            expected=f"another than those of Triton, {first} to {first + 2}",
            hint="name another --rest-port or --port; 0 takes free ones",
        )
    return wanted


def free_ports(wanted: Ports) -> Ports:
    """The wanted ports, each 0 replaced by a free one.

    A free port can be taken by another program before it is used; what then fails is the start,
    with the server's own words.
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in wanted]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        found = {one.getsockname()[1] for one in sockets}
    free = iter(found.difference(wanted))
    chosen = {name: next(free) for name, port in wanted._asdict().items() if port == 0}
    return wanted._replace(**chosen)


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


def _emulated(line: list[str], run: Run) -> list[str]:
    """The same, able to start programs for the image's processor where it is another one."""
    processor = processor_of(run.platform or "")
    return line if processor is None else with_formats(line, processor, find_emulator(processor))


def _environment(run: Run) -> dict[str, str]:
    made = {"HOME": run.settings.user.home, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    made |= run.settings.environment
    made |= run.ports.environment()
    processor = processor_of(run.platform or "")
    made |= {} if processor is None else {"QEMU_CPU": processor.model}
    return made | {"HPS_ADDRESS": run.address} | dict(run.environment)


class Running(Protocol):
    """An image that an engine runs.

    Nothing is heard of the image before `start`: who calls it is ready to end it in order.
    """

    def start(self) -> None:
        """Let it run, its output going where this process's goes; once."""
        ...

    @property
    def ports(self) -> Ports:
        """Those of this machine."""
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
        self._line = _emulated(command_line(run, find_bwrap()), run)
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
    def ports(self) -> Ports:
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

    def stop(self, grace: float = STOP_SECONDS) -> int:
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

    Its REST facade, which starts later, has to say so too when there is one.

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
        if _ready(running):
            return
        time.sleep(_POLL)
    raise RunError(f"the image was not ready within {deadline:g} s", hint="see its words above")


def execute(running: Running, command: Sequence[str], note: Callable[[str], None]) -> int:
    """Run a command of this machine beside the image; it finds the ports in its environment.

    Args:
        running: the image.
        command: the program and its arguments.
        note: told that the image ended meanwhile, when the command failed too.

    Returns:
        The exit code of the command.

    Raises:
        UsageError: it cannot be run.
        RunError: it went well, but the image ended by itself meanwhile.
    """
    told = inherited() | running.ports.environment()
    try:
        code = subprocess.run(command, check=False, env=told).returncode
    except OSError as error:
        raise UsageError(f"cannot run {command[0]}: {error.strerror}") from None
    ended = running.ended()
    if ended is not None:
        fault = RunError(
            f"the image ended by itself while {command[0]} ran",
            got=f"exit code {ended}",
            hint="its own words are above",
        )
        if code == 0:
            raise fault
        note(str(fault))
    return code


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


def _ready(running: Running) -> bool:
    triton = http.client.HTTPConnection(running.address, running.ports.http, timeout=2)
    if _status(triton, "/v2/health/ready") != http.client.OK:
        return False
    rest = running.ports.rest
    return rest is None or _facade_status(running.address, rest) == http.client.OK


def _facade_status(address: str, port: int) -> int | None:
    """What the REST facade answers, over TLS where it does not speak without."""
    plain = http.client.HTTPConnection(address, port, timeout=2)
    status = _status(plain, _FACADE_READY)
    if status is not None:
        return status
    # Whose certificate it has does not matter: nothing is told, and the answer opens nothing.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    secured = http.client.HTTPSConnection(address, port, timeout=2, context=context)
    return _status(secured, _FACADE_READY)


def _status(connection: http.client.HTTPConnection, path: str) -> int | None:
    """The status of an answer; None when there is none."""
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
