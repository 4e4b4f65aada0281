"""`hps run` and `hps load` when they cannot: clear words, the right code, nothing left behind."""

import pytest

from hps.oci.engine import Engine
from hps.oci.layout import check_layout
from tests.build.laboratory import Laboratory

pytestmark = pytest.mark.network


def test_a_program_that_fails_gives_its_exit_code(lab: Laboratory) -> None:
    words = ["--entrypoint", "/usr/bin/python3.11", "--", "-c", "raise SystemExit(42)"]
    assert lab.run("run", "cpu", *words, code=42).out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("gpu",), "no target gpu"),
        (("cpu", "--env", "NAME"), "expected NAME=VALUE"),
        (("cpu", "--models", "absent"), "absent"),
        (("cpu", "--mount", "relative"), "FOLDER:/INSIDE"),
        (("cpu", "--port", "99999"), "--port"),
        (("cpu", "--engine", "podman"), "--engine"),
    ],
)
def test_mistakes_of_the_command_line(lab: Laboratory, words: tuple[str, ...], said: str) -> None:
    done = lab.run("run", *words, code=2)
    assert said in done.err
    assert done.out == ""


def test_a_stale_lock_starts_nothing(lab: Laboratory) -> None:
    lab.edit("large = 4000", "large = 5000")
    assert "targets.cpu.image.large" in lab.run("run", "cpu", code=3).err


def test_a_program_that_is_not_there(lab: Laboratory) -> None:
    done = lab.run("run", "cpu", "--entrypoint", "/no/such", code=None)
    assert done.code != 0
    assert "/no/such" in done.err


def test_a_damaged_layer_is_made_again_before_it_runs(lab: Laboratory) -> None:
    layer = lab.target.layers[-1].digest
    lab.damage(layer)
    words = ["--entrypoint", "/usr/bin/python3.11", "--", "-c", "import app; print(app.VERSION)"]
    done = lab.run("run", "cpu", *words)
    assert done.out == "1.0\n"
    assert f"the blob {layer} in the store is damaged" in done.err
    assert lab.open().store.check(layer) == lab.target.layers[-1].size


def test_loading_without_a_daemon_says_so(lab: Laboratory) -> None:
    lab.environment["DOCKER_HOST"] = "tcp://127.0.0.1:9"
    done = lab.run("load", "cpu", code=8)
    assert "error[publish-failed]" in done.err
    assert "hint:" in done.err


def test_what_is_damaged_is_made_again_before_it_is_loaded(lab: Laboratory) -> None:
    layer = lab.target.layers[2].digest
    lab.damage(layer)
    linked = lab.layout / "blobs" / "sha256" / layer.hex
    linked.unlink()
    linked.hardlink_to(lab.blob(layer))
    lab.environment["DOCKER_HOST"] = "tcp://127.0.0.1:9"
    assert "made tool" in lab.run("load", "cpu", code=8).err
    assert lab.open().store.check(layer) == lab.target.layers[2].size
    check_layout(lab.layout)


@pytest.mark.slow
def test_what_a_killed_run_left_in_docker_is_removed_by_the_next(
    lab: Laboratory, docker_host: str
) -> None:
    lab.environment["DOCKER_HOST"] = docker_host
    words = [
        "run",
        "cpu",
        "--engine",
        "docker",
        "--port",
        "0",
        "--entrypoint",
        "/usr/bin/python3.11",
    ]
    waits = "import time; print('up', flush=True); time.sleep(600)"
    with lab.start(*words, "--", "-c", waits) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "up\n"
        killed.kill()
    with Engine.connect(docker_host) as engine:
        (left,) = engine.client.containers.list()
        done = lab.run(*words, "--", "-c", "print('next')")
        assert done.out == "next\n"
        assert (
            f"removed the container {left.short_id}: the hps that started it was killed" in done.err
        )
        assert engine.client.containers.list(all=True) == []


@pytest.mark.slow
def test_what_docker_ran_gives_its_exit_code_when_it_is_stopped(
    lab: Laboratory, docker_host: str
) -> None:
    """More than once: the answer to "stop" and the exit code come on two connections."""
    lab.environment["DOCKER_HOST"] = docker_host
    words = ["run", "cpu", "--engine", "docker", "--port", "0"]
    words += ["--entrypoint", "/usr/bin/python3.11", "--", "-c"]
    ends = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "print('up', flush=True)\n"
        "time.sleep(600)"
    )
    for _ in range(6):
        with lab.start(*words, ends) as stopped:
            assert stopped.stdout is not None
            assert stopped.stdout.readline() == "up\n"
            stopped.terminate()
            assert stopped.wait(60) == 7
