"""Starting an image in Docker; see `hps.build.running` for what every engine has."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from hps.build.running import INTERRUPTED, REST_PORT, Ports, Run, checked
from hps.derivation.emulation import is_registered, processor_of
from hps.errors import UsageError
from hps.oci.docker import load_layout
from hps.oci.engine import Container, Engine, Mount
from hps.oci.engine import Run as DockerRun

_FACADE_PORT = 8080  # where the REST facade listens inside
_LAST_WORDS = 5  # seconds for what was printed before the end to arrive


class Dockered:
    """A container that runs the image; what it says is kept by Docker until `start`."""

    def __init__(self, container: Container, ports: Ports, address: str) -> None:
        self.ports = ports
        self.address = address
        self._container = container
        self._code: int | None = None
        # Docker tells the end by answering a request; the answer is waited for beside. An event and
        # not join(): a join() that Ctrl-C interrupts takes a living thread for ended (bpo-45274).
        self._told = threading.Event()
        self._waiter = threading.Thread(target=self._wait, daemon=True)
        # Each stream is asked for by itself: together they come without saying which is which.
        self._speakers = [
            threading.Thread(target=self._pass_on, args=(name,), daemon=True)
            for name in ("stdout", "stderr")
        ]

    def start(self) -> None:
        """See Running."""
        self._waiter.start()
        for speaker in self._speakers:
            speaker.start()

    def ended(self) -> int | None:
        """See Running."""
        return self._code

    def wait(self) -> int:
        """See Running."""
        if self._waiter.ident is None:  # stopped before it began
            return INTERRUPTED
        while not self._told.wait(1):  # with a timeout, so that signals are handled
            pass
        for speaker in self._speakers:
            if speaker.ident is not None:
                speaker.join(_LAST_WORDS)
        return -1 if self._code is None else self._code

    def stop(self) -> int:
        """See Running."""
        self._container.stop()
        return self.wait()

    def _wait(self) -> None:
        try:
            self._code = self._container.wait()
        finally:
            self._told.set()

    def _pass_on(self, name: str) -> None:
        stream = sys.stdout if name == "stdout" else sys.stderr
        for piece in self._container.output(stdout=name == "stdout", stderr=name == "stderr"):
            stream.buffer.write(piece)
            stream.buffer.flush()


@contextlib.contextmanager
def dockered(run: Run, layout: Path, name: str, note: Callable[[str], None]) -> Iterator[Dockered]:
    """Load the image into Docker when it is not there, and start it.

    The image listens on its own ports; Docker maps them to those of the run on loopback, and
    chooses free ones for those that are 0. What an hps that was killed has left running there goes
    first: it may hold the ports.

    Args:
        run: what to start.
        layout: where the image is laid out.
        name: NAME:TARGET.
        note: told what was removed.

    Raises:
        PublishError: no engine answers, or it has another image under this name.
        UsageError: it is for another machine, and nothing runs its programs.
        RunError: the container cannot be started.
    """
    checked(run)
    processor = processor_of(run.platform or "")
    if processor is not None and not is_registered(processor):
        raise UsageError(
            f"Docker on this machine cannot run an image for {processor.platform}",
            expected=f"{processor.emulators[1]} in /proc/sys/fs/binfmt_misc",
            hint="apt-get install qemu-user-static binfmt-support, or --engine bubblewrap",
        )
    load_layout(layout, name)
    inside = ports_inside(run)
    with Engine.connect() as engine:
        for one in engine.remove_abandoned():
            note(f"removed the container {one}: the hps that started it was killed")
        with engine.started(docker_run(run, name, inside)) as container:
            mapped = container.ports
            found = {
                field: port and mapped.get(port, 0) for field, port in inside._asdict().items()
            }
            yield Dockered(container, Ports(**found), "127.0.0.1")


def ports_inside(run: Run) -> Ports:
    """Where the image listens: on the ports that it names, 0 where it names none.

    It names none for the REST facade, which gets one that nothing else has.
    """
    own = run.settings.ports
    http, grpc, metrics = (*own, 0, 0, 0)[:3]
    if run.ports.rest is None:
        return Ports(http, grpc, metrics)
    rest = next(
        port for port in range(_FACADE_PORT, _FACADE_PORT + len(own) + 1) if port not in own
    )
    return Ports(http, grpc, metrics, rest)


def docker_run(run: Run, name: str, inside: Ports) -> DockerRun:
    """What Docker is told of a run.

    Args:
        run: what to start.
        name: of the image.
        inside: where it listens, see `ports_inside`.
    """
    facade = {} if inside.rest is None else {REST_PORT: str(inside.rest)}
    return DockerRun(
        image=name,
        entrypoint=run.settings.entrypoint or None,
        command=tuple(run.arguments) or run.settings.command,
        ports={port: outside or 0 for port, outside in zip(inside, run.ports, strict=True) if port},
        mounts=tuple(Mount(one.outside, one.inside, one.writable) for one in run.mounts),
        environment={**run.environment, **facade},
        read_only=True,
        home=run.settings.user.home,
        owner=(run.settings.user.uid, run.settings.user.gid),
    )
