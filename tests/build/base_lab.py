"""Base images made for tests, in a real registry with TLS and users, and a project over one.

The image is made of real Debian packages (those of the laboratory's interpreter, without dash), two
packages of the suite's own in an old version, and a few files that somebody laid over them. Its
layers are packed with gzip, with zstd, and not at all; the last one takes something away.
"""

import base64
import gzip
import io
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zstandard

from hps import canonical
from hps.digest import Blob, Digest
from hps.layer.deb import control
from hps.layer.deb_layer import LocalDeb, deb_entries
from hps.layer.tar import write_layer
from hps.oci.image import CONFIG_TYPE, INDEX_TYPE, LAYER_TYPE, MANIFEST_TYPE
from hps.oci.reference import Reference
from hps.oci.registry import DOCKER_INDEX_TYPE, DOCKER_MANIFEST_TYPE, ManifestDocument
from hps.oci.registry_client import RegistryClient
from tests.build.laboratory import (
    STANDARD,
    UNUSED,
    Laboratory,
    copy_store,
    environment,
    only_once,
    own_keyring,
)
from tests.layer.packages import Part, folder, local, make_deb, symlink, tar_bytes
from tests.lock.indexes import Archive, Index
from tests.oci.registry_server import Authority, RegistryServer

DOCKER_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
USERS = {"reader": "secret"}
SITE = "usr/local/lib/python3.11/dist-packages"

CONFIG = """\
[project]
name = "lab"

[sources.registries.hub]

[sources.debian.os]
suites = ["bookworm"]
keyring = "archive.gpg"

[targets.cpu]
python-version = "3.11"

[targets.cpu.base]
image = "hub/team/os:1"

[targets.cpu.debian]
source = "os"
packages = ["dash", "gadget", "libc-bin"]

[targets.cpu.python]
requirements = ["app.in"]

[[targets.cpu.trees]]
from = "server"
to = "/srv/data/app"

[targets.cpu.image]
entrypoint = ["/usr/bin/python3.11", "-m", "app"]
large = 4000

[targets.cpu.image.environment]
LANG = "C.UTF-8"
"""


@dataclass(frozen=True)
class Packed:
    """A layer as a registry has it: the packed bytes, their type, and the plain tar's digest."""

    data: bytes
    media_type: str
    diff_id: Digest

    @classmethod
    def of(cls, tar: bytes, packing: str = "") -> "Packed":
        packers: dict[str, Callable[[bytes], bytes]] = {
            "": bytes,
            "+gzip": lambda data: gzip.compress(data, 1, mtime=0),
            "+zstd": zstandard.ZstdCompressor(level=1).compress,
        }
        return cls(packers[packing](tar), f"{LAYER_TYPE}{packing}", Digest.of(tar))

    @property
    def descriptor(self) -> dict[str, Any]:
        return descriptor(self.data, self.media_type)


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(data)), "size": len(data)}


@dataclass(frozen=True)
class BaseImage:
    """An image that a registry can be given.

    Args:
        layers: lowest first.
        settings: members of `config` of the configuration.
        docker: written with Docker's media types.
    """

    layers: tuple[Packed, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    architecture: str = "amd64"
    docker: bool = False

    @property
    def config(self) -> bytes:
        return canonical.dumps(
            {
                "architecture": self.architecture,
                "os": "linux",
                "config": dict(self.settings),
                "history": [
                    *({"created_by": f"layer {number}"} for number, _ in enumerate(self.layers)),
                    {"created_by": "CMD", "empty_layer": True},
                ],
                "rootfs": {"type": "layers", "diff_ids": [str(one.diff_id) for one in self.layers]},
            }
        )

    @property
    def manifest(self) -> ManifestDocument:
        layers = [one.descriptor for one in self.layers]
        if self.docker:
            layers = [{**one, "mediaType": DOCKER_LAYER_TYPE} for one in layers]
        media_type = DOCKER_MANIFEST_TYPE if self.docker else MANIFEST_TYPE
        config = descriptor(self.config, DOCKER_CONFIG_TYPE if self.docker else CONFIG_TYPE)
        document = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": config,
            "layers": layers,
        }
        return ManifestDocument(media_type, canonical.dumps(document))

    def index(self, *others: "BaseImage") -> ManifestDocument:
        """An index of this image and others, with an attestation, as Docker's builder makes one."""
        media_type = DOCKER_INDEX_TYPE if self.docker else INDEX_TYPE
        entries = [
            {
                **descriptor(one.manifest.data, one.manifest.media_type),
                "platform": {"os": "linux", "architecture": one.architecture},
            }
            for one in (*others, self)
        ]
        unknown = {"os": "unknown", "architecture": "unknown"}
        entries.append({**descriptor(b"{}", MANIFEST_TYPE), "platform": unknown})
        document = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
        return ManifestDocument(media_type, canonical.dumps(document))

    def blobs(self) -> tuple[bytes, ...]:
        return (self.config, *(one.data for one in self.layers))


def push(
    registry: RegistryClient,
    image: BaseImage,
    tag: str,
    *,
    indexed: bool = True,
    others: Sequence[BaseImage] = (),
) -> Digest:
    """Put an image there; gives the digest that the tag names.

    Args:
        registry: the repository.
        image: what the tag is to name.
        tag: of it.
        indexed: by an index, with an attestation.
        others: images for other platforms, which are there; the index lists them too.
    """
    for data in (*image.blobs(), b"{}"):
        registry.upload(Blob(Digest.of(data), len(data)), partial(io.BytesIO, data))
    if not indexed:
        registry.put(image.manifest, tag)
        return image.manifest.digest
    registry.put(image.manifest)
    # The attestation is there as well: a registry takes no index whose manifests it lacks.
    empty = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(b"{}", "application/vnd.oci.empty.v1+json"),
        "layers": [],
    }
    attestation = ManifestDocument(MANIFEST_TYPE, canonical.dumps(empty))
    registry.put(attestation)
    document = image.index(*others).as_json()
    document["manifests"][-1] |= descriptor(attestation.data, MANIFEST_TYPE)
    index = ManifestDocument(image.index().media_type, canonical.dumps(document))
    registry.put(index, tag)
    return index.digest


def debs_layer(debs: Sequence[LocalDeb], spool: Path) -> bytes:
    """A plain tar of packages with dpkg's database, by the functions that hps makes layers with."""
    out = io.BytesIO()
    write_layer(
        deb_entries(debs, spool=spool, exclude=("/usr/share/doc", *UNUSED)), out.write, epoch=0
    )
    return out.getvalue()


def own_debs(target: Path) -> tuple[list[LocalDeb], list[LocalDeb]]:
    """The suite's own packages: the versions of the base image, and those of the archive.

    libgadget loses a file, a folder and a configuration file, and moves one to gadget-data.
    """
    old, new = target / "old", target / "new"
    old.mkdir(parents=True)
    new.mkdir()
    conffile = {"conffiles": b"/etc/gadget.conf\n/etc/gadget.old\n/etc/gadget.edited\n"}
    fewer = {"conffiles": b"/etc/gadget.conf\n/etc/gadget.edited\n"}
    base = [
        make_deb(
            old,
            "libgadget",
            [
                *(folder("./usr/"), folder("./usr/lib/"), folder("./usr/lib/gadget/")),
                *(folder("./usr/lib/gadget/old/"), folder("./etc/")),
                Part("./usr/lib/gadget/kept.txt", b"one\n"),
                Part("./usr/lib/gadget/old/gone.txt", b"gone\n"),
                Part("./usr/lib/gadget/moved.txt", b"moved\n"),
                Part("./etc/gadget.conf", b"as shipped\n"),
                Part("./etc/gadget.edited", b"as shipped\n"),
                Part("./etc/gadget.old", b"old\n"),
            ],
            extra=conffile,
        )
    ]
    later = [
        make_deb(
            new,
            "libgadget",
            [
                *(folder("./usr/"), folder("./usr/lib/"), folder("./usr/lib/gadget/")),
                Part("./usr/lib/gadget/kept.txt", b"two\n"),
                folder("./etc/"),
                Part("./etc/gadget.conf", b"newly shipped\n"),
                Part("./etc/gadget.edited", b"newly shipped\n"),
            ],
            version="2.0",
            extra=fewer,
        ),
        make_deb(
            new,
            "gadget",
            [
                *(folder("./bin/"), Part("./bin/gadget", b"#!/bin/sh\n", mode=0o755)),
                symlink("./bin/gizmo", "gadget"),
                *(folder("./usr/"), folder("./usr/lib/"), folder("./usr/lib/python3/")),
                folder("./usr/lib/python3/dist-packages/"),
                Part("./usr/lib/python3/dist-packages/gadget.py", b"NAME = 'gadget'\n"),
            ],
            version="2.0",
            Depends="libgadget (>= 2), dash",
            extra={
                "postinst": b"#!/bin/sh\nupdate-alternatives --install /usr/bin/tool tool "
                b"/bin/gadget 50\n"
            },
        ),
    ]
    return base, later


def laid_over() -> bytes:
    """What somebody laid over the packages: users, Python packages, folders of their own."""
    info, app = f"{SITE}/base-1.0.dist-info", f"{SITE}/app-0.9.dist-info"
    record = "app.py,,\napp_old.py,,\napp-0.9.dist-info/METADATA,,\napp-0.9.dist-info/RECORD,,\n"
    parts = [
        Part(
            "etc/passwd", b"root:x:0:0:root:/root:/bin/bash\napp:x:1234:1234::/srv/data:/bin/sh\n"
        ),
        Part("etc/group", b"root:x:0:\nshadow:x:42:\napp:x:1234:\n"),
        Part("etc/shadow", b"root:*:19000:0:99999:7:::\napp:!:19000:0:99999:7:::\n", mode=0o640),
        Part("etc/gadget.edited", b"edited\n"),
        folder("root/", 0o700),
        folder("srv/data/", 0o2750),
        Part("opt/gone.txt", b"gone\n"),
        Part("opt/own.txt", b"of nobody\n"),
        *(folder(f"{SITE}/"), Part(f"{SITE}/base.py", b"VERSION = 'the base image'\n")),
        Part(f"{info}/METADATA", b"Metadata-Version: 2.1\nName: Base\nVersion: 1.0\n"),
        *(Part(f"{SITE}/app.py", b"VERSION = '0.9'\n"), Part(f"{SITE}/app_old.py", b"")),
        Part(f"{app}/METADATA", b"Metadata-Version: 2.1\nName: app\nVersion: 0.9\n"),
        Part(f"{app}/RECORD", record.encode()),
    ]
    return tar_bytes(parts)


SETTINGS = {
    "User": "app",
    "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C", "OF_BASE=yes"],
    "Cmd": ["bash"],
    "WorkingDir": "/srv/data",
    "ExposedPorts": {"9000/tcp": {}, "53/udp": {}},
    "Labels": {"org.example.of": "base"},
    "Volumes": {"/srv/data": {}},
    "StopSignal": "SIGINT",
}


@pytest.fixture(scope="session")
def base_layers(shared: Path, debs: Path) -> tuple[bytes, ...]:
    """The plain tars of the base image, lowest first."""
    place = shared / "base-layers"
    with only_once(place) as empty:
        if empty:
            with tempfile.TemporaryDirectory() as spool:
                old, _ = own_debs(Path(spool) / "own")
                real = [local(path) for path in sorted((debs / "pool").rglob("*.deb"))]
                packages = [one for one in real if one.name != "dash"] + old
                (place / "0").write_bytes(debs_layer(packages, Path(spool)))
    gone = tar_bytes([Part("opt/.wh.gone.txt")])
    return ((place / "0").read_bytes(), laid_over(), gone)


@pytest.fixture(scope="session")
def base_image(base_layers: tuple[bytes, ...]) -> BaseImage:
    packed = zip(base_layers, ("+gzip", "+zstd", ""), strict=True)
    return BaseImage(tuple(Packed.of(tar, packing) for tar, packing in packed), SETTINGS)


@dataclass
class BaseLaboratory(Laboratory):
    """A project over a base image, with the registry that has it."""

    registry: RegistryServer | None = None
    docker: Path = Path()
    host: str = ""

    def client(self, repository: str = "team/os") -> RegistryClient:
        assert self.registry is not None
        assert self.registry.authority is not None
        return RegistryClient(
            Reference(self.registry.host, repository),
            environment={"DOCKER_CONFIG": str(self.docker)},
            home=Path("/nonexistent"),
            authority=self.registry.authority.path,
        )

    def document(self, digest: str) -> Any:
        """A blob of the image's layout."""
        blob = self.layout / "blobs" / "sha256" / digest.removeprefix("sha256:")
        return json.loads(blob.read_bytes())

    def unpacked(self, place: Path) -> Path:
        """The image's root file system, by skopeo and tar; nothing of it is hps's doing."""
        name = json.loads((self.layout / "index.json").read_bytes())["manifests"][0]
        reference = name["annotations"]["org.opencontainers.image.ref.name"]
        source = f"oci:{self.layout}:{reference}"
        plain = place / "plain"
        run("skopeo", "copy", "--quiet", "--dest-decompress", source, f"dir:{plain}")
        root = place / "root"
        root.mkdir()
        for layer in json.loads((plain / "manifest.json").read_bytes())["layers"]:
            tar = plain / layer["digest"].removeprefix("sha256:")
            for entry in run("tar", "--list", "--file", str(tar)).splitlines():
                folder, _, name = entry.rpartition("/")
                if name.startswith(".wh."):
                    gone = root / folder / name.removeprefix(".wh.")
                    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
            run("tar", "-x", "-p", "--exclude=.wh.*", "-f", str(tar), "-C", str(root))
        return root

    def dpkg(self, root: Path, *words: str) -> str:
        """What this machine's dpkg says of another root."""
        done = subprocess.run(
            ["dpkg-query" if words[0] in {"-l", "-S"} else "dpkg", f"--root={root}", *words],
            check=False,
            capture_output=True,
            text=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "COLUMNS": "200"},
        )
        assert not done.stderr, done.stderr
        return done.stdout

    def push(self, image: BaseImage, tag: str = "1", *, indexed: bool = True) -> Digest:
        with self.client() as registry:
            return push(registry, image, tag, indexed=indexed)


@pytest.fixture(scope="session")
def base_registry(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RegistryServer, Path]]:
    """A registry with TLS and users, and Docker's configuration of one of them."""
    made = tmp_path_factory.mktemp("base-registry")
    authority = Authority.make(made)
    with RegistryServer.start(made / "registry", authority=authority, users=USERS) as server:
        (name, password), *_ = USERS.items()
        auth = base64.b64encode(f"{name}:{password}".encode()).decode()
        (made / "docker").mkdir()
        (made / "docker" / "config.json").write_text(
            json.dumps({"auths": {server.host: {"auth": auth}}})
        )
        yield server, made / "docker"


@pytest.fixture(scope="session")
def base_archive(debs: Path, shared: Path) -> Iterator[Archive]:
    """A signed archive with the interpreter's packages and the suite's own."""
    place = Path(tempfile.mkdtemp(prefix="hps"))  # a short path: gpg-agent's socket lies below
    try:
        with Archive(place) as served:
            _, own = own_debs(place / "own")
            stanzas = [path.read_text() for path in sorted(debs.glob("*.stanza"))]
            pool = place / "pool" / "own"
            pool.mkdir(parents=True)
            for deb in own:
                shutil.copy(deb.path, pool / deb.file)
                stanzas.append(stanza(deb, f"pool/own/{deb.file}"))
            served.publish("bookworm", *stanzas)
            served.server.folder("/debian/pool/own", pool)
            served.server.folder("/debian/pool", debs / "pool")
            yield served
    finally:
        shutil.rmtree(place)


def stanza(deb: LocalDeb, pool: str) -> str:
    data = deb.path.read_bytes()
    fields = "".join(f"{name}: {value}\n" for name, value in control(deb.path).items())
    return f"{fields}Filename: {pool}\nSize: {len(data)}\nSHA256: {Digest.of(data).hex}\n"


def make_project(place: Path, keyring: Path) -> None:
    (place / "server").mkdir(parents=True)
    (place / "server" / "main.py").write_text("print('serving')\n")
    (place / "hps.toml").write_text(CONFIG)
    (place / "app.in").write_text("app\n")
    shutil.copy(keyring, place / "archive.gpg")


@pytest.fixture
def empty_base_lab(
    tmp_path: Path,
    debs: Path,
    base_archive: Archive,
    base_registry: tuple[RegistryServer, Path],
) -> Iterator[BaseLaboratory]:
    """A project over a base image that nobody has locked, with an empty store."""
    del debs
    make_project(tmp_path / "project", base_archive.keyring)
    server, docker = base_registry
    with Index() as index:
        for file, data in STANDARD:
            index.add(file, data)
        made = BaseLaboratory(
            tmp_path / "project", tmp_path / "store", index, registry=server, docker=docker
        )
        assert server.authority is not None
        made.environment = environment(tmp_path, index, base_archive) | {
            "HPS_REGISTRY_HUB": f"https://{server.host}",
            "HPS_REGISTRY_CA": str(server.authority.path),
            "DOCKER_CONFIG": str(docker),
        }
        yield made


@pytest.fixture(scope="session")
def locked_base(
    shared: Path,
    tmp_path_factory: pytest.TempPathFactory,
    base_image: BaseImage,
    base_archive: Archive,
    base_registry: tuple[RegistryServer, Path],
) -> Path:
    """A folder with `project` and `store`: locked and built over the base image, once."""
    place = shared / "base-laboratory"
    server, docker = base_registry
    with only_once(place) as empty, Index() as index:
        if empty:
            make_project(place / "project", base_archive.keyring)
            for file, data in STANDARD:
                index.add(file, data)
            made = BaseLaboratory(
                place / "project", place / "store", index, registry=server, docker=docker
            )
            assert server.authority is not None
            made.environment = environment(place, index, base_archive) | {
                "HPS_REGISTRY_HUB": f"https://{server.host}",
                "HPS_REGISTRY_CA": str(server.authority.path),
                "DOCKER_CONFIG": str(docker),
            }
            made.push(base_image)
            made.run("lock")
            made.run("build", "--frozen")
    return place


@pytest.fixture
def base_lab(
    tmp_path: Path,
    empty_base_lab: BaseLaboratory,
    locked_base: Path,
    base_image: BaseImage,
    base_archive: Archive,
) -> BaseLaboratory:
    """A project over a base image, locked and built, of the test's own."""
    empty_base_lab.push(base_image)
    shutil.rmtree(empty_base_lab.folder)
    shutil.copytree(locked_base / "project", empty_base_lab.folder)
    own_keyring(empty_base_lab.folder, base_archive)
    copy_store(locked_base / "store", tmp_path / "store")
    return empty_base_lab
