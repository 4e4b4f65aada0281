"""What a killed hps leaves in Docker, and that nothing else is taken for it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from hps.derivation.sandbox import Command
from hps.oci.abandoned import NUMBER, Process, is_abandoned, started
from hps.oci.docker import DockerSandbox
from hps.oci.engine import Engine
from hps.oci.image import Image
from tests.oci.images import Blobs, busybox, busybox_image

HERE = Process("boot pid:[1] time:[2] user:0", 100, 5000)
REPOSITORY = Path(__file__).resolve().parents[2]

RUN = """
import sys, time
from hps.oci.engine import Engine, Run
with Engine.connect(sys.argv[1]) as engine, engine.started(Run("demo:busybox", command=("600",))):
    print("started", flush=True)
    time.sleep(600)
"""
SANDBOX = """
import sys
from pathlib import Path
from hps.derivation.sandbox import Command
from hps.oci.docker import DockerSandbox
root = Path(sys.argv[2])
script = "echo > /out/started; /bin/busybox sleep 600"
command = Command(argv=["/bin/sh", "-c", script], root=root, output=root.parent / "out")
DockerSandbox(sys.argv[1]).run(command)
"""


@pytest.mark.parametrize(
    ("labels", "begun", "expected"),
    [
        (HERE.labels(), 5000, False),
        (HERE.labels(), None, True),
        (HERE.labels(), 5001, True),  # its number was used again
        (Process("other pid:[1] time:[2] user:0", 100, 5000).labels(), None, False),
        (Process(HERE.place.replace("[1]", "[9]"), 100, 5000).labels(), None, False),
        (Process(HERE.place.replace("user:0", "user:1"), 100, 5000).labels(), None, False),
        ({}, None, False),
        ({NUMBER: "100"}, None, False),
        (HERE.labels() | {NUMBER: "../100"}, None, False),
        (HERE.labels() | {NUMBER: ""}, None, False),
    ],
)
def test_only_what_is_known_to_be_dead_is_abandoned(
    labels: dict[str, str], begun: int | None, expected: bool
) -> None:
    asked: list[int] = []

    def look(number: int) -> int | None:
        asked.append(number)
        return begun

    assert is_abandoned(labels, HERE, look) is expected
    assert asked in ([], [100])


def test_without_a_known_place_nothing_is_judged() -> None:
    nowhere = Process("", 100, 5000)
    assert not is_abandoned(nowhere.labels(), nowhere, lambda _: None)


def test_this_process_is_alive_and_a_zombie_is_not() -> None:
    here = Process.this()
    assert here.number == os.getpid()
    assert f"user:{os.getuid()}" in here.place
    assert started(here.number) == here.started > 0
    with subprocess.Popen(["sleep", "600"]) as child:
        assert (started(child.pid) or 0) >= here.started
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert started(child.pid) is None  # nobody has taken notice of its end
    assert started(child.pid) is None


def test_a_name_with_parentheses_does_not_mislead(tmp_path: Path) -> None:
    program = tmp_path / "a) Z 1 2 ("
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "600"]) as child:
        try:
            assert (started(child.pid) or 0) >= Process.this().started
        finally:
            child.kill()


@pytest.fixture
def engine(docker_host: str) -> Iterator[Engine]:
    with Engine.connect(docker_host) as engine:
        yield engine


@pytest.fixture
def image(engine: Engine, tmp_path: Path) -> Image:
    blobs = Blobs(tmp_path / "blobs")
    # As process 1 `sleep` alone would ignore SIGTERM, and be waited for.
    script = "trap exit TERM; /bin/busybox sleep $0 & wait"
    image = busybox_image(blobs, entrypoint=["/bin/sh", "-c", script], command=["600"])
    engine.load(image, blobs.path)
    return image


def containers(engine: Engine) -> set[str]:
    return {str(container.id) for container in engine.client.containers.list(all=True)}


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "builder")},
        stdout=subprocess.PIPE,
        text=True,
    )


def read(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def test_a_run_that_was_killed_leaves_a_container_that_the_next_removes(
    docker_host: str, engine: Engine, image: Image
) -> None:
    with start(RUN, docker_host) as living, start(RUN, docker_host) as killed:
        try:
            assert read(living.stdout) + read(killed.stdout) == "started\nstarted\n"
            killed.kill()
            killed.wait()
            running = engine.client.containers.list()
            assert len(running) == 2  # Docker does not care
            gone = [one for one in running if one.labels[NUMBER] == str(killed.pid)]
            assert engine.remove_abandoned() == [str(one.short_id) for one in gone]
            (left,) = engine.client.containers.list(all=True)
            assert left.labels[NUMBER] == str(living.pid)
            assert engine.remove_abandoned() == []
        finally:
            killed.kill()
            living.send_signal(signal.SIGINT)
            living.wait()
    assert containers(engine) == set()


def test_containers_of_others_are_never_touched(engine: Engine, image: Image) -> None:
    here = Process.this()
    with subprocess.Popen(["true"]) as ended:
        pass
    dead = Process(here.place, ended.pid, 1)
    others = [
        {},
        {"hps.process": "mine"},
        Process(here.place.replace(here.place.split()[0], "0" * 36), dead.number, 1).labels(),
        Process(here.place + "0", dead.number, 1).labels(),
        here.labels(),
    ]
    create = engine.client.containers.create
    kept = {str(create("demo:busybox", labels=labels).id) for labels in others}
    try:
        gone = create("demo:busybox", labels=dead.labels())
        assert engine.remove_abandoned() == [gone.short_id]
        assert containers(engine) == kept
    finally:
        for each in kept:
            engine.client.containers.get(each).remove(force=True)


def test_a_sandbox_that_was_killed_is_removed_by_the_next(
    docker_host: str, engine: Engine, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "bin").symlink_to("usr/bin")
    (root / "usr/bin/busybox").write_bytes(busybox())
    (root / "usr/bin/busybox").chmod(0o755)
    (root / "usr/bin/sh").symlink_to("busybox")
    (tmp_path / "out").mkdir()
    with start(SANDBOX, docker_host, str(root)) as killed:
        while not (tmp_path / "out" / "started").exists():
            assert killed.poll() is None
        killed.kill()
    assert len(containers(engine)) == 1
    sandbox = DockerSandbox(docker_host)
    sandbox.run(Command(argv=["/bin/sh", "-c", ":"], root=root, output=tmp_path / "out"))
    sandbox.close()
    assert containers(engine) == set()
