"""The Docker engine: hands over images and runs them, through the `docker` package.

Docker Engine API 1.41 (Docker 20.10) and later. Images are never built there: an image is sent,
and what the engine calls it afterwards is compared.
"""

import contextlib
import dataclasses
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hps.errors import HpsError, NotFoundError, PublishError, RunError, UsageError
from hps.oci.abandoned import NUMBER, Process, is_abandoned
from hps.oci.abandoned import started as process_started
from hps.oci.archive import BlobPlace, archive_pieces
from hps.oci.image import Image

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container as DockerContainer

# Seconds from SIGTERM to SIGKILL, whatever the engine: the launcher's own grace is 30 for Triton,
# 30 for what runs beside it, and a little.
STOP_SECONDS = 70
_DEFAULT_HOST = "unix:///var/run/docker.sock"
_CONNECT_SECONDS = 10
_ANSWER_SECONDS = 600  # between two pieces of an answer, while the engine unpacks a large layer


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of this machine that a container sees at `target`."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """What to start, and what of this machine it may see.

    Args:
        image: NAME:TARGET or an image ID.
        entrypoint: replaces the entrypoint of the image; None keeps it.
        command: replaces the command of the image; empty keeps it.
        ports: port inside to port on 127.0.0.1; 0 takes a free one.
        mounts: files and folders, absolute; read-only unless `writable`.
        environment: added to that of the image.
        user: replaces the user of the image.
        read_only: nothing but mounts, /tmp, /run and `home` can be written.
        home: of `owner` (uid, gid): empty, and writable all the same.
        shared_memory: bytes of /dev/shm; Triton's Python backend passes tensors there.
    """

    image: str
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] = ()
    ports: Mapping[int, int] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    read_only: bool = False
    home: str | None = None
    owner: tuple[int, int] = (0, 0)
    shared_memory: int = 1 << 30


def run_arguments(run: Run) -> dict[str, Any]:
    """The arguments of `containers.create` of the `docker` package."""
    arguments: dict[str, Any] = {
        "image": run.image,
        "command": list(run.command) or None,
        "environment": dict(run.environment),
        "mounts": mounts(run.mounts),
        "ports": {
            f"{inside}/tcp": ("127.0.0.1", outside or None) for inside, outside in run.ports.items()
        },
        "security_opt": ["no-new-privileges"],
        "shm_size": run.shared_memory,
    }
    if run.entrypoint is not None:
        arguments["entrypoint"] = list(run.entrypoint)
    if run.user is not None:
        arguments["user"] = run.user
    if run.read_only:
        arguments["read_only"] = True
        folders = {"/tmp": "exec,mode=1777", "/run": "mode=1777"}  # noqa: S108 - inside
        if run.home is not None:
            folders[run.home] = "mode=0755,uid={},gid={}".format(*run.owner)
        arguments["tmpfs"] = folders
    return arguments


def mounts(wanted: tuple[Mount, ...]) -> list[dict[str, Any]]:
    """Bind mounts as the engine's API takes them; unlike volumes they never make a source."""
    return [
        {
            "Type": "bind",
            "Source": str(mount.source),
            "Target": mount.target,
            "ReadOnly": not mount.writable,
        }
        for mount in wanted
    ]


class Container:
    """A container that has been started."""

    def __init__(self, container: "DockerContainer") -> None:
        self._container = container

    @property
    def ports(self) -> dict[int, int]:
        """Port inside to port on 127.0.0.1."""
        with translated(RunError, "Docker does not tell the ports of a container"):
            self._container.reload()
        return {
            int(inside.partition("/")[0]): int(bindings[0]["HostPort"])
            for inside, bindings in self._container.ports.items()
            if bindings
        }

    def output(self, *, stdout: bool = True, stderr: bool = True) -> Iterator[bytes]:
        """What it prints to one stream or both, from the beginning until it ends."""
        with translated(RunError, "Docker does not pass on the output of a container"):
            yield from self._container.logs(stdout=stdout, stderr=stderr, stream=True, follow=True)

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        with translated(RunError, "Docker does not tell how a container ended"):
            return int(self._container.wait(timeout=None)["StatusCode"])

    def stop(self) -> None:
        """Ask it to end (SIGTERM); kill it after 70 s, the launcher's own grace."""
        with translated(RunError, "a container cannot be stopped"):
            self._container.stop(timeout=STOP_SECONDS)


class Engine:
    """A Docker engine that has answered."""

    def __init__(self, client: "docker.DockerClient") -> None:
        self.client = client

    @classmethod
    def connect(cls, host: str | None = None) -> "Engine":
        """Connect to `host`, else to what DOCKER_HOST says, else to the local socket.

        Raises:
            UsageError: the `docker` package is not installed.
            PublishError: no engine answers.
        """
        try:
            import docker  # noqa: PLC0415 - an extra, and slow to import
        except ImportError as error:
            raise UsageError(
                "the Python package `docker` is not installed", hint="pip install 'hps[docker]'"
            ) from error
        tried = host or os.environ.get("DOCKER_HOST") or _DEFAULT_HOST
        hint = (
            "start Docker (`systemctl start docker`), or set DOCKER_HOST to where it listens; your "
            "user needs access to the socket; `hps build` and `hps run` do without Docker"
        )
        with translated(PublishError, f"no Docker engine answers at {tried}", hint):
            _probe(tried)
            if host is None:
                client = docker.from_env(timeout=_CONNECT_SECONDS)
            else:
                client = docker.DockerClient(base_url=host, timeout=_CONNECT_SECONDS)
            try:
                client.ping()
            except BaseException:
                client.close()
                raise
        client.api.timeout = _ANSWER_SECONDS
        return cls(client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def load(self, image: Image, blob_path: BlobPlace, *, tag: str | None = None) -> str:
        """Hand an image over and tag it; only an image that came out right gets the tag.

        Args:
            image: without a reference it gets a tag only if `tag` says one.
            blob_path: where the blob of a layer lies, or its bytes, opened; gzip and plain tars.
            tag: its name in the engine, [REGISTRY/]NAME[:TAG], instead of its reference.

        Returns:
            The engine's ID of the image: the digest of the configuration, or that of the manifest
            in engines that keep images in containerd.

        Raises:
            PublishError: the engine refused the image or made another one of it.
            StoreCorruptError: a layer is missing or damaged.
        """
        name = image.reference or str(image.image_id)
        with translated(PublishError, f"Docker did not take {name}"):
            found = self._found(image)
            said = "" if found else self._send(image, blob_path)
            found = found or self._found(image)
            if found is None:
                raise PublishError(
                    f"Docker made something else of {name}",
                    expected=image.image_id,
                    got=said or "no answer",
                    hint="compare with `docker inspect`; the old tag is unchanged",
                )
            tag = tag or image.reference
            if tag is not None:
                self._tag(found, tag)
        return found

    def find(self, image: Image) -> str | None:
        """The engine's ID of exactly this image, if it has it; raises PublishError."""
        with translated(PublishError, "Docker does not tell its images"):
            return self._found(image)

    def platform(self) -> str:
        """What it runs, for instance linux/amd64; raises PublishError."""
        with translated(PublishError, "Docker does not tell its platform"):
            found = self.client.version()
        return f"{found['Os']}/{found['Arch']}"

    def save(self, name: str, sink: Callable[[bytes], object]) -> None:
        """Hand what `docker save` gives of an image to a sink.

        Args:
            name: [HOST/]NAME:TAG or an image ID.
            sink: takes the pieces; what it raises ends it.

        Raises:
            NotFoundError: Docker has no such image.
            PublishError: it does not hand it over.
        """
        import docker.errors  # noqa: PLC0415 - an extra, and slow to import

        with translated(PublishError, f"Docker does not hand over {name}"):
            try:
                self.client.images.get(name)  # the other call answers 500 for what is not there
                pieces = self.client.api.get_image(name)
            except docker.errors.NotFound as error:
                raise NotFoundError(
                    f"Docker has no image {name}", hint="`docker images` lists what it has"
                ) from error
        while True:
            with translated(PublishError, f"Docker does not hand over {name}"):
                piece = next(pieces, b"")
            if not piece:
                return
            sink(piece)

    def remove_abandoned(self) -> list[str]:
        """Remove, running or not, the containers of hps processes that were killed.

        Returns:
            Their short IDs.

        Raises:
            PublishError: the engine does not tell its containers.
        """
        import docker.errors  # noqa: PLC0415 - an extra, and slow to import

        here = Process.this()
        removed = []
        with translated(PublishError, "Docker does not tell its containers"):
            found = self.client.api.containers(all=True, filters={"label": NUMBER})
        for one in found:
            if is_abandoned(one["Labels"], here, process_started):
                # Another hps may be removing it now; what stays is for the next to remove.
                with contextlib.suppress(docker.errors.APIError):
                    self.client.api.remove_container(one["Id"], v=True, force=True)
                    removed.append(one["Id"][:12])
        return removed

    @contextlib.contextmanager
    def started(self, run: Run) -> Iterator[Container]:
        """Start a container; stop it (SIGTERM, after 70 s SIGKILL) and remove it at the end.

        Raises:
            RunError: it cannot be created, started or removed.
        """
        failure = f"{run.image} cannot be started in Docker"
        with translated(RunError, failure):
            container = self.client.containers.create(
                **run_arguments(run), labels=Process.this().labels()
            )
        try:
            with translated(RunError, failure):
                container.start()
            yield Container(container)
        finally:
            with translated(RunError, f"the container {container.short_id} cannot be removed"):
                container.stop(timeout=STOP_SECONDS)
                container.remove(v=True, force=True)

    def _tag(self, image_id: str, name: str) -> None:
        import docker.utils  # noqa: PLC0415 - an extra, and slow to import

        repository, tag = docker.utils.parse_repository_tag(name)
        self.client.api.tag(image_id, repository, tag)

    def _found(self, image: Image) -> str | None:
        """The engine's ID of exactly this image, if it has it."""
        import docker.errors  # noqa: PLC0415 - an extra, and slow to import

        for digest in (image.image_id, image.digest):
            with contextlib.suppress(docker.errors.ImageNotFound):
                return str(self.client.images.get(str(digest)).id)
        return None

    def _send(self, image: Image, blob_path: BlobPlace) -> str:
        """Send the image without a name, so that no tag moves before it is compared."""
        nameless = dataclasses.replace(image, reference=None)
        pieces = archive_pieces([nameless], blob_path, epoch=0)
        # Read to the end even after a fault: an answer left half-read keeps its socket.
        events = list(self.client.api.load_image(pieces, quiet=True))  # type: ignore[no-untyped-call]
        for event in events:
            fault = event.get("error") or event.get("message")
            if fault:
                raise PublishError(
                    f"Docker refused {image.reference or image.image_id}", got=str(fault).strip()
                )
        return " ".join(str(event.get("stream", "")).strip() for event in events).strip()


def _probe(host: str) -> None:
    """Fail early where nobody listens: the `docker` package would leave its socket open."""
    scheme, _, path = host.partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_CONNECT_SECONDS)
            probe.connect(path)


@contextlib.contextmanager
def translated(kind: type[HpsError], message: str, hint: str | None = None) -> Iterator[None]:
    """Turn what the `docker` package and its connection raise into an error of hps."""
    import docker.errors  # noqa: PLC0415 - an extra, and slow to import
    import requests  # noqa: PLC0415 - comes with docker
    import urllib3.exceptions  # noqa: PLC0415 - comes with docker

    try:
        yield
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        reason = error.explanation if isinstance(error, docker.errors.APIError) else None
        raise kind(message, got=reason or error, hint=hint) from error
