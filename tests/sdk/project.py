"""A project with a catalogue, a lock and a PaddleX of its own, for tests of packages.

The catalogue and server.sh are those of this repository. PaddleX is a wheel that holds nothing
but configurations; it lies in the store, so nothing is fetched. The client is a small one.
"""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hps.build.project import Project
from hps.lock import text
from hps.lock.records import Layer, Lock, LockedTarget, Resolver, Wheel
from hps.sdk.catalogue_files import read_catalogue
from hps.store.blobs import Store
from tests.build.laboratory import wheel as honest_wheel

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = read_catalogue(ROOT)
EPOCH = 1_700_000_000
PADDLEX = "3.7.2"
CONFIG = """\
[project]
name = "lab"

[sources.python.default]
[sources.debian.os]
suites = ["bookworm"]

[lock]
source-date-epoch = 1700000000

[targets.cpu]
device = "cpu"
python-version = "3.11"

[targets.cpu.debian]
source = "os"
packages = ["dash"]

[targets.cpu.python]
requirements = ["app.in"]

[targets.cpu.image]
entrypoint = ["/bin/sh"]
"""
PYPROJECT = """\
[project]
name = "hps-client"
version = "2.3.4"
description = "Asks."
requires-python = ">=3.8"
license = "Apache-2.0"
dependencies = []

[project.optional-dependencies]
grpc = ["tritonclient[grpc]>=2.41"]

[project.scripts]
hps-client = "hps_client.cli:main"

[tool.hatch.build.targets.wheel]
packages = ["hps_client"]
"""
CLIENT = '''\
"""The command line."""

import sys


def package_main(name):
    """Says what it would ask."""
    print(name, *sys.argv[1:])
    return 7


def main():
    """Of the wheel."""
    return package_main("any")
'''


@dataclass(frozen=True)
class Place:
    """A project and its store."""

    root: Path
    store: Path

    @property
    def output(self) -> Path:
        return self.root / "output"

    def words(self, *words: str) -> list[str]:
        """A command line of `hps assemble` that needs no network."""
        return ["-C", str(self.root), "assemble", *words, "--store", str(self.store), "--offline"]

    def write(self, path: str, data: str | bytes) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)
        return file

    def lock(
        self,
        *,
        wheels: Mapping[str, bytes] | None = None,
        layers: tuple[str, ...] = ("debian", "python"),
        stored: bool = True,
    ) -> None:
        """Write hps.lock with a PaddleX, which goes into the store unless told otherwise."""
        names = wheels or dict([paddlex()])
        locked = []
        for name, data in names.items():
            if stored:
                Store(self.store).add(data)
            locked.append(
                Wheel(
                    file=name,
                    sha256=hashlib.sha256(data).hexdigest(),
                    size=len(data),
                    name="paddlex",
                    version=name.split("-")[1],
                    index="default",
                )
            )
        project = Project.open(self.root)
        target = LockedTarget(
            name="cpu",
            platform="linux/amd64",
            python_version="3.11",
            glibc="2.36",
            wheels=tuple(locked),
            layers=tuple(layer(name) for name in layers),
            inputs=project.inputs("cpu"),
        )
        resolver = Resolver(name="uv", version="0.13.0", flags=("--universal",))
        lock = Lock(
            resolver=resolver, source_date_epoch=EPOCH, functions={"tar": 1}, targets=(target,)
        )
        (self.root / "hps.lock").write_bytes(text.write(lock))


def layer(name: str) -> Layer:
    """A layer whose digest follows from its name."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Layer(
        name=name, kind="wheels", members=(name,), diff_id=digest, size=1024, entries=1, paths=""
    )


def paddlex(version: str = PADDLEX, without: str = "") -> tuple[str, bytes]:
    """The name and the bytes of a wheel with a configuration for each pipeline."""
    files = {
        f"paddlex/configs/pipelines/{name}.yaml": f"pipeline_name: {name}\n".encode()
        for name in CATALOGUE
        if name != without
    }
    return honest_wheel("paddlex", version, files)


def make_project(root: Path, store: Path) -> Place:
    """A project that has everything."""
    place = Place(root, store)
    place.write("hps.toml", CONFIG)
    place.write("app.in", f"paddlex=={PADDLEX}\n")
    place.write("LICENSE", "Take it.\n")
    shutil.copytree(ROOT / "sdk" / "pipelines", root / "sdk" / "pipelines")
    shutil.copytree(ROOT / "sdk" / "common", root / "sdk" / "common")
    place.write("sdk/hps_client/pyproject.toml", PYPROJECT)
    place.write("sdk/hps_client/hps_client/__init__.py", '"""Asks."""\n')
    place.write("sdk/hps_client/hps_client/cli.py", CLIENT)
    place.write("sdk/hps_client/hps_client/py.typed", "")
    place.lock()
    return place
