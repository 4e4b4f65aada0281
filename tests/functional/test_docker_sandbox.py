"""Docker as the sandbox of builds: the same bytes as bubblewrap, and nothing left behind."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hps.oci.engine import Engine
from hps.oci.layout import check_layout
from tests.build.laboratory import Laboratory, tar_gz

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
    lab: Laboratory, docker: Engine
) -> None:
    """What the laboratory locked and built in bubblewrap is made again, from artifacts alone.

    All outputs are compared, then the lock and the image.
    """
    lock, image, made = lab.lock_path.read_bytes(), lab.image(), outputs(lab.store)
    kinds = {"bytecode/", "compiler/", "sdist/", "system/", "wheels/", "debian/", "archive/"}
    assert all(any(f'"{kind}' in text for text in made.values()) for kind in kinds)
    forget(lab)
    lab.lock_path.unlink()
    done = lab.run("lock", "--sandbox", "docker")
    assert {f"made {step}" for step in ("system configuration", "bytecode crafted")} <= {
        *done.err.splitlines()
    }
    assert lab.lock_path.read_bytes() == lock
    assert lab.run("build", "--frozen", "--offline", "--sandbox", "docker").out == f"{image} cpu\n"
    # A lock looks for requirements that the base has forgotten since.
    assert made.items() <= outputs(lab.store).items()
    (found,) = check_layout(lab.layout)
    assert [layer.digest for layer in found.layers][: len(lab.target.layers)] == [
        layer.digest for layer in lab.target.layers
    ]
    assert containers(docker) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_build_leaves_no_container(
    lab: Laboratory, docker: Engine, number: signal.Signals
) -> None:
    never_ends(lab)
    before = lab.lock_path.read_bytes()
    events = docker.client.events(decode=True, filters={"event": "start", "type": "container"})
    # Below nohup(1) SIGHUP is ignored, and hps leaves it so.
    here = ("env", "--default-signal=HUP")
    process = lab.start("lock", "--sandbox", "docker", before=here)
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
    lab.add_wheel("base", "1.5")
    assert "made bytecode base" in lab.run("lock", "-P", "base", "--sandbox", "docker").err
    assert containers(docker) == []


def test_without_an_engine_the_error_says_what_to_do(lab: Laboratory, tmp_path: Path) -> None:
    lab.environment["DOCKER_HOST"] = f"unix://{tmp_path}/no.sock"
    lab.add_wheel("base", "1.5")
    done = lab.run("lock", "-P", "base", "--sandbox", "docker", code=6)
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
