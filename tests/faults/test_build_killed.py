"""Builds that are interrupted, killed, or run beside each other: nothing is lost or wrong."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from hps.oci.layout import check_layout
from hps.store.verify import verify
from tests.build.laboratory import Laboratory, copy_tree

pytestmark = pytest.mark.network


def unmake(lab: Laboratory) -> None:
    """Forget the image and all layers but the first, with what was learnt about them."""
    shutil.rmtree(lab.folder / ".hps", ignore_errors=True)
    for layer in lab.target.layers[1:]:
        lab.blob(layer.digest).unlink(missing_ok=True)


def workspace(lab: Laboratory) -> list[Path]:
    return list((lab.store / "temporary").iterdir())


def start_and_wait_for_work(lab: Laboratory) -> "subprocess.Popen[str]":
    """A build that has begun to write."""
    before = set(workspace(lab))
    process = lab.start("build", "--frozen")
    while process.poll() is None and not set(workspace(lab)) - before:
        time.sleep(0.005)
    return process


def test_ctrl_c_ends_with_130_and_the_next_run_carries_on(lab: Laboratory) -> None:
    image = lab.image()
    unmake(lab)
    process = start_and_wait_for_work(lab)
    os.killpg(process.pid, signal.SIGINT)
    done = lab.finish(process, code=130)
    assert "interrupted; nothing is lost" in done.err
    assert not (lab.folder / ".hps").exists()
    assert "bwrap" not in processes_of(lab)
    assert lab.run("build", "--frozen").out == f"{image} cpu\n"
    check_layout(lab.layout)
    assert verify(lab.open().store).damaged == ()


def processes_of(lab: Laboratory) -> str:
    """The command lines of all processes that speak of this laboratory."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(lab.store) in line:
                lines.append(line)
    return "\n".join(lines)


def test_ctrl_c_while_locking_keeps_the_lock(lab: Laboratory) -> None:
    before = lab.lock_path.read_bytes()
    process = lab.start("lock", "--upgrade")
    time.sleep(0.6)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    # CPython ends by the signal itself when that struck in an exec() of text, as of dataclasses.
    assert lab.finish(process, code=None).code in {0, 130, -signal.SIGINT}
    assert lab.lock_path.read_bytes() == before
    assert list(lab.folder.glob(".hps.lock.*")) == []
    lab.run("build", "--frozen")


@pytest.mark.parametrize("delay", [0.0, 0.15, 0.4, 0.8])
def test_killed_at_any_moment(lab: Laboratory, delay: float) -> None:
    image = lab.image()
    unmake(lab)
    process = start_and_wait_for_work(lab)
    time.sleep(delay)
    process.kill()
    process.communicate()
    assert verify(lab.open().store).damaged == ()
    if (lab.layout / "index.json").exists():
        check_layout(lab.layout)
    assert lab.run("build", "--frozen").out == f"{image} cpu\n"
    check_layout(lab.layout)
    lab.run("store", "collect")
    assert workspace(lab) == []


def test_two_builds_and_a_collection_at_once(lab: Laboratory, tmp_path: Path) -> None:
    image = lab.image()
    unmake(lab)
    copy_tree(lab.folder, tmp_path / "second")
    second = Laboratory(tmp_path / "second", lab.store, lab.index, lab.environment)
    running = [
        lab.start("build", "--frozen"),
        second.start("build", "--frozen"),
        lab.start("store", "collect", "--wait"),
    ]
    outputs = [lab.finish(process).out for process in running]
    assert outputs[:2] == [f"{image} cpu\n"] * 2
    assert check_layout(lab.layout) == check_layout(second.layout)
    report = verify(lab.open().store)
    assert (report.damaged, report.missing) == ((), ())
    assert lab.run("build", "--frozen").err.startswith("cpu: up to date")
    assert second.run("build", "--frozen").err.startswith("cpu: up to date")
