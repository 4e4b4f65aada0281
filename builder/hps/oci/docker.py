"""What hps does with Docker: it hands images over, and runs code of packages without network."""

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hps.derivation.emulation import emulated
from hps.derivation.sandbox import Command
from hps.digest import Digest
from hps.errors import PublishError, SandboxError, UsageError
from hps.oci.abandoned import Process
from hps.oci.docker_form import for_docker
from hps.oci.documents import open_regular
from hps.oci.engine import Engine, Mount, mounts, translated
from hps.oci.layout import read_layout
from hps.oci.layout_contents import blob_name
from hps.oci.sandbox_root import mounted_folders, root_image, root_tar

if TYPE_CHECKING:
    from docker.models.containers import Container

_KEPT_OUTPUT = 1 << 16
_HINT = "the engine must run on this machine and see its files"


def load_layout(layout: Path, name: str, *, tag: str | None = None, host: str | None = None) -> str:
    """Hand an image of a layout to Docker and return its ID there.

    Args:
        layout: a folder that `write_layout` wrote.
        name: NAME:TARGET, as the index of the layout has it.
        tag: another name for it in Docker.
        host: address of the engine; without it DOCKER_HOST, then the local socket.

    Raises:
        UsageError: there is no layout, or no such image in it.
        IntegrityError: the layout is damaged.
        PublishError: no engine answers, or it refused the image.
    """
    images = read_layout(layout)
    image = next((image for image in images if image.reference == name), None)
    if image is None:
        raise UsageError(
            f"{layout} holds no image {name}",
            expected=f"one of: {', '.join(sorted(str(image.reference) for image in images))}",
            got=name,
        )
    with (
        Engine.connect(host) as engine,
        tempfile.TemporaryDirectory(prefix=".hps-load-", dir=layout.parent) as folder,
    ):
        ready = image
        files: Mapping[Digest, Path] = {}
        if engine.find(image) is None:
            ready, files = for_docker(
                image, lambda layer: open_regular(layout / blob_name(layer.digest)), Path(folder)
            )
        return engine.load(
            ready, lambda digest: files.get(digest, layout / blob_name(digest)), tag=tag
        )


class DockerSandbox:
    """Runs each command in a container without network, capabilities or a writable root.

    Docker needs an image, and the root is a folder. The large folders of the root are mounted;
    an image holds only what must not be a mount: the links and files beside them, and /etc, into
    which the engine writes files of its own. That image is known by digest, so it is sent once.
    Docker reads stdout and stderr apart and does not keep their order, so the output is all of
    stdout and then all of stderr.
    """

    def __init__(self, host: str | None = None) -> None:
        """Args: host: address of the engine; without it DOCKER_HOST, then the local socket."""
        self._host = host
        self._engine: Engine | None = None
        self._running: set[Container] = set()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, command: Command) -> str:
        """See `hps.derivation.sandbox.Sandbox.run`."""
        name = Path(command.argv[0]).name
        failure = f"Docker cannot run {name}"
        with translated(SandboxError, failure, _HINT), self._started(command) as container:
            code = _wait(container, command.timeout)
            streams = [
                container.logs(stdout=True, stderr=False)[-_KEPT_OUTPUT:],
                container.logs(stdout=False, stderr=True)[-_KEPT_OUTPUT:],
            ]
        output = b"".join(streams)[-_KEPT_OUTPUT:].decode(errors="replace")
        lines = tuple(
            line
            for stream in streams
            for line in stream.decode(errors="replace").rstrip().splitlines()[-10:]
        )
        if code is None:
            raise SandboxError(
                f"{name} did not end within {command.timeout:g} s and was killed", details=lines
            )
        if code != 0:
            raise SandboxError(
                f"{name} failed in the sandbox",
                expected="exit code 0",
                got=_exit(code),
                details=lines,
            )
        return output

    def close(self) -> None:
        """Kill what still runs and refuse what would start; for interrupts."""
        with self._lock:
            self._closed = True
            for container in self._running:
                _kill(container)
            if self._engine is not None:
                self._engine.close()

    def _connected(self) -> Engine:
        """The engine; not asked for before something has to run."""
        with self._lock:
            if self._closed:
                raise SandboxError("the build was interrupted before this step began")
            if self._engine is None:
                try:
                    self._engine = Engine.connect(self._host)
                    self._engine.remove_abandoned()
                except PublishError as error:
                    raise SandboxError(error.message, got=error.got, hint=error.hint) from error
            return self._engine

    @contextlib.contextmanager
    def _started(self, command: Command) -> "Iterator[Container]":
        engine = self._connected()
        image = _send_root(engine, command.root)
        container = engine.client.containers.create(
            **sandbox_arguments(emulated(command), image, _user(engine)),
            labels=Process.this().labels(),
        )
        try:
            with self._lock:
                if self._closed:
                    raise SandboxError("the build was interrupted before this step began")
                self._running.add(container)
                container.start()
            yield container
        finally:
            with self._lock:
                self._running.discard(container)
            container.remove(v=True, force=True)


def _send_root(engine: Engine, root: Path) -> str:
    data = root_tar(root)
    with tempfile.TemporaryDirectory(prefix="hps-root-") as folder:
        path = Path(folder, "layer.tar")
        path.write_bytes(data)
        try:
            return engine.load(root_image(data), lambda _: path)
        except PublishError as error:
            raise SandboxError(
                f"Docker did not take the root file system {root}", got=error.got
            ) from error


def _user(engine: Engine) -> str:
    """Who owns the output: this user; in an engine without root that is its uid 0."""
    if "name=rootless" in engine.client.info().get("SecurityOptions", []):
        return "0:0"
    return f"{os.getuid()}:{os.getgid()}"


def sandbox_arguments(command: Command, image: str, user: str) -> dict[str, Any]:
    """The arguments of `containers.create` of the `docker` package."""
    binds = [
        *(Mount(command.root / name, f"/{name}") for name in mounted_folders(command.root)),
        *(Mount(outside, inside) for inside, outside in sorted(command.inputs.items())),
        Mount(command.output, "/out", writable=True),
    ]
    # The engine sets these two by itself; a name without a value takes them away again.
    environment = {"HOSTNAME": None, "PATH": None, **command.environment}
    return {
        "image": image,
        "entrypoint": [command.argv[0]],
        "command": list(command.argv[1:]),
        "environment": environment,
        "user": user,
        "hostname": "sandbox",
        "working_dir": "/tmp",  # noqa: S108 - inside the sandbox
        "network_mode": "none",
        "read_only": True,
        "tmpfs": {"/tmp": "exec,mode=1777", "/run": "mode=1777"},  # noqa: S108 - inside
        "mounts": mounts(tuple(binds)),
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "log_config": {"Type": "json-file", "Config": {"max-size": "8m", "max-file": "2"}},
    }


def _wait(container: "Container", timeout: float) -> int | None:
    """The exit code, or None when the time is over and the container was killed."""
    import requests  # noqa: PLC0415 - comes with docker

    try:
        return int(container.wait(timeout=timeout)["StatusCode"])
    except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError) as error:
        # Which of the two is raised for a timeout depends on the kind of socket.
        if "timed out" not in str(error):
            raise
    _kill(container)
    return None


def _kill(container: "Container") -> None:
    import docker.errors  # noqa: PLC0415 - an extra, and slow to import

    with contextlib.suppress(docker.errors.APIError):  # it ended by itself
        container.kill()


def _exit(code: int) -> str:
    if code <= 128:  # noqa: PLR2004 - Docker, "Exit status": 128 + signal
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(code - 128).name}"
    return f"exit code {code}"
