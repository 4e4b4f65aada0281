"""Base images that `hps lock` refuses, and registries that misbehave, as whole processes."""

import json
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hps.digest import Digest
from tests import servers
from tests.build.base_lab import BaseImage, BaseLaboratory, Packed, make_project
from tests.layer.packages import Part, folder, tar_bytes
from tests.lock.indexes import Index
from tests.oci.registry_server import RegistryServer
from tests.servers import HostileServer

STATUS = (
    b"Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\nArchitecture: amd64\n"
    b"Description: made for a test\n"
)
SMALL = [
    *(folder("etc/"), Part("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")),
    Part("var/lib/dpkg/status", STATUS),
    Part("usr/bin/python3.11", b"none\n", mode=0o755),
]


@pytest.fixture
def lab(tmp_path: Path, base_registry: tuple[RegistryServer, Path]) -> Iterator[BaseLaboratory]:
    """A project over a base image without Debian packages of its own; nothing is downloaded."""
    server, docker = base_registry
    (tmp_path / "empty").touch()
    make_project(tmp_path / "project", tmp_path / "empty")
    with Index() as index:
        made = BaseLaboratory(
            tmp_path / "project", tmp_path / "store", index, registry=server, docker=docker
        )
        assert server.authority is not None
        made.environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(tmp_path / "home"),
            "PYTHONPATH": "builder",
            "HPS_STORE": str(tmp_path / "store"),
            "HPS_INDEX_DEFAULT": index.url,
            "HPS_REGISTRY_HUB": f"https://{server.host}",
            "HPS_REGISTRY_CA": str(server.authority.path),
            "DOCKER_CONFIG": str(docker),
        }
        repository = Path(__file__).resolve().parents[2]
        made.environment["PYTHONPATH"] = f"{repository / 'builder'}:{repository}"
        text = made.config.read_text()
        first, _, rest = text.partition("[targets.cpu.debian]")
        made.config.write_text(
            first + "[targets.cpu.python]" + rest.split("[targets.cpu.python]")[1]
        )
        yield made


def image(*parts: Part, packing: str = "+gzip") -> BaseImage:
    return BaseImage((Packed.of(tar_bytes([*SMALL, *parts]), packing),))


@pytest.mark.parametrize(
    ("part", "told", "packing"),
    [
        (Part("dev/null", kind=tarfile.CHRTYPE), "a device", "+gzip"),
        (Part("../../etc/shadow", b"x"), "unsafe name", "+zstd"),
    ],
    ids=["device", "escape"],
)
def test_layers_with_what_no_image_needs(
    lab: BaseLaboratory, part: Part, told: str, packing: str
) -> None:
    """tests/layer/test_base_root.py has more of them."""
    lab.push(image(part, packing=packing))
    done = lab.run("lock", code=6)
    assert told in done.err
    assert not lab.lock_path.exists()


def test_a_layer_that_unpacks_to_something_else(lab: BaseLaboratory) -> None:
    good = Packed.of(tar_bytes(SMALL), "+gzip")
    lab.push(BaseImage((replace(good, diff_id=Digest.of(b"another")),)))
    done = lab.run("lock", code=5)
    assert "unpacks to something else than its image says" in done.err


def test_a_base_without_a_c_library(lab: BaseLaboratory) -> None:
    parts = [part for part in SMALL if part.name != "var/lib/dpkg/status"]
    lab.push(BaseImage((Packed.of(tar_bytes(parts)),)))
    done = lab.run("lock", code=3)
    assert "no C library that hps knows" in done.err
    assert "libc6" in done.err


def test_a_base_without_python(lab: BaseLaboratory) -> None:
    parts = [part for part in SMALL if "python" not in part.name]
    lab.push(BaseImage((Packed.of(tar_bytes(parts)),)))
    done = lab.run("lock", code=3)
    assert "no Python of the target's version" in done.err
    assert "[targets.cpu.debian]" in done.err


def test_a_base_for_another_platform(lab: BaseLaboratory) -> None:
    lab.push(replace(image(), architecture="arm64"))
    done = lab.run("lock", code=3)
    assert "no image for linux/amd64" in done.err
    assert "linux/arm64" in done.err


def test_a_base_with_a_damaged_dpkg(lab: BaseLaboratory) -> None:
    lab.push(image(Part("var/lib/dpkg/status", b"nonsense\n")))
    assert "var/lib/dpkg/status is damaged" in lab.run("lock", code=6).err


def test_a_user_whom_the_image_does_not_know(lab: BaseLaboratory) -> None:
    lab.push(BaseImage(image().layers, {"User": "stranger"}))
    done = lab.run("lock", code=3)
    assert "run by a user whom it does not know" in done.err
    assert "stranger" in done.err


def test_no_such_image(lab: BaseLaboratory) -> None:
    lab.edit("team/os:1", "team/os:absent")
    assert "does not exist" in lab.run("lock", code=4).err


def test_nobody_says_where_the_registry_is(lab: BaseLaboratory) -> None:
    del lab.environment["HPS_REGISTRY_HUB"]
    lab.environment["PATH"] = str(lab.folder)  # no Docker that has a default
    done = lab.run("lock", code=4)
    assert "HPS_REGISTRY_HUB" in done.err


def test_who_is_not_let_in(lab: BaseLaboratory) -> None:
    lab.push(image())
    lab.environment["DOCKER_CONFIG"] = str(lab.folder)
    done = lab.run("lock", code=4)
    assert "wants to know who asks" in done.err
    assert "secret" not in done.err


def test_a_stranger_to_tls(lab: BaseLaboratory) -> None:
    lab.push(image())
    del lab.environment["HPS_REGISTRY_CA"]
    assert "certificate" in lab.run("lock", code=4).err


def test_bytes_that_the_registry_has_damaged(lab: BaseLaboratory) -> None:
    made = image(Part("opt/one", b"of this test alone"))
    lab.push(made)
    assert lab.registry is not None
    path = lab.registry.blob_path(Digest.of(made.layers[0].data).hex)
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    done = lab.run("lock", code=5)
    assert "the bytes are not what was promised" in done.err
    blobs = lab.store / "blobs" / "sha256"
    assert not [path for path in blobs.iterdir() if path.stat().st_size == len(data)]


def test_a_body_without_end_is_cut_off(lab: BaseLaboratory) -> None:
    """A server that goes on to send is left at the announced size."""
    made = image()
    with HostileServer() as server:
        paths = {
            "/manifests/1": (made.manifest.data, made.manifest.media_type),
            f"/blobs/{Digest.of(made.config)}": (made.config, "application/octet-stream"),
        }
        for path, (body, media_type) in paths.items():
            server.script(f"/v2/team/os{path}", servers.fine(body, media_type=media_type))
        layer = made.layers[0].data
        server.script(f"/v2/team/os/blobs/{Digest.of(layer)}", servers.fine(layer + bytes(8 << 20)))
        lab.environment["HPS_REGISTRY_HUB"] = f"http://{server.host}"
        done = lab.run("lock", code=5)
    assert "expected" in done.err
    temporary = lab.store / "temporary"
    assert (
        not temporary.is_dir() or sum(one.stat().st_size for one in temporary.iterdir()) < 1 << 20
    )


def test_offline_needs_a_lock(lab: BaseLaboratory) -> None:
    lab.push(image())
    done = lab.run("lock", "--offline", code=4)
    assert "asked of its registry" in done.err


def test_what_docker_says_about_a_registry_holds(lab: BaseLaboratory, tmp_path: Path) -> None:
    """A dead address first: the next one is asked."""
    lab.push(image(Part("var/lib/dpkg/status", b"nonsense\n")))
    with HostileServer() as gone:
        pass
    here = lab.environment["HPS_REGISTRY_HUB"]
    lab.environment["HPS_REGISTRY_HUB"] = f"http://{gone.host} {here}"
    assert "var/lib/dpkg/status is damaged" in lab.run("lock", code=6).err
    shutil.rmtree(tmp_path / "store")
    assert json.loads((lab.docker / "config.json").read_text())["auths"]
