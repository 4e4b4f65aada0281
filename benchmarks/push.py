"""`hps copy` to and from a registry against `docker push`, `docker pull` and skopeo.

All move the same image through a registry of their own run, over plain HTTP on loopback: time and
bytes, the first time, again when nothing changed, and into another repository.
"""

import hashlib
import os
import shutil
import sys
import sysconfig
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from measuring import HPS, REPOSITORY, Row, against, parser, show, timed, workplace

from hps.config.target import ImageSettings
from hps.digest import Blob, Digest
from hps.oci.image import assemble
from hps.oci.layout import write_layout

sys.path.insert(0, str(REPOSITORY))

from tests.dockerd import docker_daemon
from tests.oci.registry_server import RegistryServer

_LAYERS = 8
_SKOPEO = ["skopeo", "--insecure-policy", "copy"]
_PLAIN = ["--preserve-digests"]
_NO_TLS = ["--dest-tls-verify=false"]


@dataclass
class Moved:
    """What one program took for one thing: seconds, and bytes that the registry got."""

    seconds: list[float] = field(default_factory=list)
    size: int = 0


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--megabytes", type=int, default=600, help="of layers, uncompressed")
    made.add_argument("--layout", type=Path, help="push this image instead (one image in it)")
    made.add_argument("--times", type=int, default=3)
    made.add_argument("--docker", action="store_true", help="also docker push and docker pull")
    given = made.parse_args()
    with workplace(Path(os.environ["HPS_STORE"]) if "HPS_STORE" in os.environ else None) as folder:
        layout = given.layout or _layout(folder, given.megabytes * 1_000_000)
        bench = _Bench(folder, layout.absolute(), given.times)
        with _engine(wanted=given.docker) as host:
            rows = bench.rows(host)
    show(rows, as_json=given.json)


@contextmanager
def _engine(*, wanted: bool) -> Iterator[str | None]:
    if not wanted:
        yield None
        return
    with docker_daemon() as host:
        yield host


@dataclass
class _Bench:
    folder: Path
    layout: Path
    times: int
    found: dict[str, Moved] = field(default_factory=dict)

    def rows(self, host: str | None) -> list[Row]:
        """All measurements; in turns, so that other work on the machine meets all."""
        if host is not None:
            self._load(host)
        for number in range(self.times):
            self._pushes(number, host)
            self._pulls(number, host)
        return self._table()

    def _pushes(self, number: int, host: str | None) -> None:
        hps = [*HPS, "copy", "--store", str(self.folder / f"store-{number}")]
        source = f"oci:{self.layout}"

        def skopeo(*more: str) -> Callable[[str], list[str]]:
            return lambda place: [*_SKOPEO, *_NO_TLS, *more, source, f"docker://{place}"]

        ways: dict[str, Callable[[str], list[str]]] = {
            "hps, as it is": lambda place: [*hps, source, f"docker://{place}"],
            "skopeo, as it is": skopeo(*_PLAIN),
            "hps --compress gzip": lambda place: [
                *(*hps, "--compress", "gzip", source, f"docker://{place}")
            ],
            "skopeo, gzip": skopeo("--dest-compress", "--format", "oci"),
        }
        for what, way in ways.items():
            with self._registry(what, number) as registry:
                self._time(f"push: {what}", way(f"{registry.host}/a/b:1"), registry)
                self._time(f"push again: {what}", way(f"{registry.host}/a/b:2"), registry)
                if what == "hps, as it is":
                    mount = [*way(f"{registry.host}/a/c:1"), "--mount-from", "a/b"]
                    self._time("push elsewhere: hps, mounted", mount, registry)
                if what == "skopeo, as it is":
                    self._time("push elsewhere: skopeo", way(f"{registry.host}/a/c:1"), registry)
        if host is not None:
            with self._registry("docker", number) as registry:
                for what, name in {"push": "a/b:1", "push again": "a/b:2"}.items():
                    tag = f"{registry.host}/{name}"
                    timed(_docker(host, "tag", "measured:1", tag))
                    self._time(f"{what}: docker, gzip", _docker(host, "push", tag), registry)

    def _pulls(self, number: int, host: str | None) -> None:
        out = self.folder / "out"
        with self._registry("pull", number) as registry:
            place = f"{registry.host}/a/b:1"
            timed([*_SKOPEO, *_NO_TLS, *_PLAIN, f"oci:{self.layout}", f"docker://{place}"])
            ways = {
                "pull: hps": [
                    *(*HPS, "pull", place, "-o", str(out / "hps")),
                    *("--store", str(out / "store")),
                ],
                "pull: skopeo": [
                    *(*_SKOPEO, "--src-tls-verify=false", *_PLAIN),
                    *(f"docker://{place}", f"oci:{out / 'skopeo'}:x"),
                ],
            }
            if host is not None:
                ways["pull: docker, unpacked too"] = _docker(host, "pull", place)
            for what, line in ways.items():
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir()
                if host is not None and "docker" in what:
                    timed(_docker(host, "system", "prune", "--all", "--force"))
                self._time(what, line, None)
            shutil.rmtree(out, ignore_errors=True)
        if host is not None:
            self._load(host)

    @contextmanager
    def _registry(self, what: str, number: int) -> Iterator[RegistryServer]:
        folder = self.folder / f"registry-{what.replace(' ', '-')}-{number}"
        try:
            with RegistryServer.start(folder) as registry:
                yield registry
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _time(self, what: str, line: Sequence[str], registry: RegistryServer | None) -> None:
        before = 0 if registry is None else _kept(registry)
        moved = self.found.setdefault(what, Moved())
        moved.seconds.append(timed(line).seconds)
        if registry is not None:
            moved.size = _kept(registry) - before

    def _load(self, host: str) -> None:
        archive = self.folder / "image.tar"
        if not archive.exists():
            timed([*HPS, "copy", f"oci:{self.layout}", f"docker-archive:{archive}:measured:1"])
        timed(_docker(host, "system", "prune", "--all", "--force"))
        timed(_docker(host, "load", "--input", str(archive)))

    def _table(self) -> list[Row]:
        """Each program beside its peer of the same kind; the fastest of several runs."""
        peers = {
            "push: hps, as it is": ["push: skopeo, as it is", "push: docker, gzip"],
            "push: hps --compress gzip": ["push: skopeo, gzip", "push: docker, gzip"],
            "push again: hps, as it is": [
                "push again: skopeo, as it is",
                "push again: docker, gzip",
            ],
            "push elsewhere: hps, mounted": ["push elsewhere: skopeo"],
            "pull: hps": ["pull: skopeo", "pull: docker, unpacked too"],
        }
        seconds = {what: min(moved.seconds) for what, moved in self.found.items()}
        rows = [Row(what, value) for what, value in seconds.items() if what not in peers]
        by_name = {row.what: row for row in rows}
        for what, others in peers.items():
            named = [by_name[other] for other in others if other in by_name]
            rows += [against(what, seconds[what], peer) for peer in named]
        sizes = {what: moved.size for what, moved in self.found.items() if "push:" in what}
        return rows + [Row(f"bytes, {what}", size / 1e6, "MB") for what, size in sizes.items()]


def _docker(host: str, *words: str) -> list[str]:
    return ["docker", "--host", host, *words]


def _kept(registry: RegistryServer) -> int:
    """Bytes of everything that a registry keeps."""
    blobs = registry.folder / "data"
    return sum(path.stat().st_size for path in blobs.rglob("data") if path.is_file())


def _layout(folder: Path, size: int) -> Path:
    """An image whose layers are files of this Python, as many as are wanted."""
    blobs = folder / "blobs"
    blobs.mkdir()
    roots = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")]
    files = iter([path for root in dict.fromkeys(roots) for path in sorted(root.rglob("*"))])
    layers: list[Blob] = []
    number = 0
    while len(layers) < _LAYERS:
        made = folder / "layer"
        with tarfile.open(made, "w") as tar:
            while tar.fileobj is not None and tar.fileobj.tell() < size / _LAYERS:
                path = next(files, None)
                if path is None:  # once more, under other names
                    files = iter(sorted(roots[0].rglob("*")))
                    number += 1
                elif path.is_file() and not path.is_symlink():
                    tar.add(path, f"{number}{path}", recursive=False)
        with made.open("rb") as file:
            digest = Digest(hashlib.file_digest(file, "sha256").hexdigest())
        layers.append(Blob(digest, made.stat().st_size))
        made.rename(blobs / digest.hex)
    image = assemble("measured:1", ImageSettings(), layers, platform="linux/amd64", epoch=0)
    write_layout(folder / "layout", [image], lambda digest: blobs / digest.hex)
    return folder / "layout"


if __name__ == "__main__":
    main()
