"""Docker as the sandbox of builds: the same bytes as bubblewrap, and nothing left behind."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hps.oci.engine import Engine
from hps.oci.layout import check_layout
from tests.build.laboratory import Laboratory, copy_store, tar_gz

pytestmark = [pytest.mark.network, pytest.mark.slow]

SYSTEM = '[build-system]\nrequires = []\nbuild-backend = "craft"\nbackend-path = ["."]\n'
NEVER_ENDS = """\
import time

def build_wheel(folder, settings=None, metadata=None):
    while True:
        time.sleep(60)
"""


@pytest.fixture
def docker(lab: Laboratory, docker_host: str) -> Iterator[Engine]:
    lab.environment["DOCKER_HOST"] = docker_host
    with Engine.connect(docker_host) as engine:
        yield engine


def outputs(store: Path) -> dict[str, str]:
    """What every step gave: the text of its trace, by derivation."""
    folder = store / "traces"
    return {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()}


def artifacts(lab: Laboratory) -> set[str]:
    """What a build from nothing has: the artifacts of the lock."""
    target = lab.target
    found = {*target.debs, *target.build_debs, *target.wheels, *target.archives, *target.files}
    for sdist in target.sdists:
        found |= {sdist, *sdist.build}
    return {artifact.sha256 for artifact in found}


def forget(lab: Laboratory) -> None:
    """Leave only artifacts in the store, and no image."""
    for folder in ("traces", "trees", "roots"):
        subprocess.run(["find", str(lab.store / folder), "-type", "f", "-delete"], check=True)
    subprocess.run(["rm", "-rf", str(lab.folder / ".hps"), str(lab.store / "trees")], check=True)
    (lab.store / "trees").mkdir()
    kept = artifacts(lab)
    for path in (lab.store / "blobs" / "sha256").iterdir():
        if path.name not in kept:
            path.unlink()


def containers(engine: Engine) -> list[Any]:
    return list(engine.client.containers.list(all=True))


def test_every_step_gives_the_same_bytes_in_docker_and_in_bubblewrap(
    lab: Laboratory, docker: Engine, tmp_path: Path
) -> None:
    """Both begin with the artifacts alone; all outputs are compared, then the image."""
    copy_store(lab.store, tmp_path / "other")
    other = Laboratory(lab.folder, tmp_path / "other", lab.index, dict(lab.environment))
    other.environment["HPS_STORE"] = str(other.store)
    images, layers, made = [], [], []
    for one, sandbox in ((lab, "bubblewrap"), (other, "docker")):
        forget(one)
        done = one.run("build", "--frozen", "--offline", "--sandbox", sandbox)
        assert {f"made {step}" for step in ("system configuration", "wheel crafted")} <= {
            *done.err.splitlines()
        }
        images.append(done.out)
        (image,) = check_layout(one.layout)
        layers.append((image.image_id, [layer.digest for layer in image.layers]))
        made.append(outputs(one.store))
    assert images[0] == images[1]
    assert layers[0] == layers[1]
    assert made[0] == made[1]
    kinds = {"bytecode/", "compiler/", "sdist/", "system/", "wheels/", "debian/", "archive/"}
    assert all(any(f'"{kind}' in text for text in made[0].values()) for kind in kinds)
    assert containers(docker) == []


def test_a_lock_made_in_docker_is_the_same_lock(lab: Laboratory, docker: Engine) -> None:
    before = lab.lock_path.read_bytes()
    forget(lab)
    lab.lock_path.unlink()
    lab.run("lock", "--sandbox", "docker")
    assert lab.lock_path.read_bytes() == before
    assert containers(docker) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_build_leaves_no_container(
    lab: Laboratory, docker: Engine, number: signal.Signals
) -> None:
    never_ends(lab)
    before = lab.lock_path.read_bytes()
    events = docker.client.events(decode=True, filters={"event": "start", "type": "container"})
    process = lab.start("lock", "--sandbox", "docker")
    next(iter(events))
    process.send_signal(number)
    done = lab.finish(process, code=None)
    events.close()
    assert done.code == 130  # as for Ctrl-C
    assert "nothing is lost" in done.err
    assert containers(docker) == []
    assert lab.lock_path.read_bytes() == before


def test_a_killed_build_leaves_one_that_the_next_build_removes(
    lab: Laboratory, docker: Engine
) -> None:
    never_ends(lab)
    events = docker.client.events(decode=True, filters={"event": "start", "type": "container"})
    process = lab.start("lock", "--sandbox", "docker")
    next(iter(events))
    process.kill()
    lab.finish(process, code=-signal.SIGKILL)
    events.close()
    assert len(containers(docker)) == 1
    lab.edit("never-ends", "crafted>=1", lab.folder / "app.in")
    lab.edit('"never-ends"', '"crafted"')
    lab.run("build", "--check", "--sandbox", "docker", "--offline")
    assert containers(docker) == []


def test_without_an_engine_the_error_says_what_to_do(lab: Laboratory, tmp_path: Path) -> None:
    lab.environment["DOCKER_HOST"] = f"unix://{tmp_path}/no.sock"
    done = lab.run("build", "--check", "--sandbox", "docker", code=6)
    assert "no Docker engine answers at" in done.err
    assert "systemctl start docker" in done.err
    assert lab.run("build", "--frozen", "--sandbox", "docker").err.startswith("cpu: up to date")


def never_ends(lab: Laboratory) -> None:
    """Ask for a project whose build backend never ends, in place of the laboratory's own."""
    files = {"pyproject.toml": SYSTEM, "craft.py": NEVER_ENDS}
    data = tar_gz({f"never-ends-1.0/{name}": text for name, text in files.items()})
    lab.index.add("never_ends-1.0.tar.gz", data)
    lab.edit("crafted>=1", "never-ends", lab.folder / "app.in")
    lab.edit('"crafted"', '"never-ends"')
