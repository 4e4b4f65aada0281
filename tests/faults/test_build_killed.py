"""Builds that are interrupted, killed, or run beside each other: nothing is lost or wrong."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.oci.layout import check_layout
from hps.store.verify import verify
from hps.trust.key_store import FOLDER
from tests.build.laboratory import Laboratory, copy_tree
from tests.faults.project_process import Place

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


KILLS = int(os.environ.get("HPS_KILLS") or 10)
BUILDS = 10 if os.environ.get("HPS_KILLS") else 4  # at once
SEED = int(os.environ.get("HPS_SEED") or random.SystemRandom().randrange(10**6))


def tree_of(pid: int) -> Iterator[int]:
    """A process and all that it started, sandboxes too."""
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from tree_of(int(child))


def kill_all(process: "subprocess.Popen[str]") -> None:
    for pid in list(tree_of(process.pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


WORK: dict[str, tuple[str, ...]] = {
    "signed build": ("build", "--frozen", "--key", "release"),
    "build": ("build", "--frozen"),
    "check": ("build", "--check"),
    "lock": ("lock",),
    "collect": ("store", "collect", "--wait"),
}


def forget(lab: Laboratory, chance: random.Random) -> None:
    """Forget the image, some of the layers and some of what is known about steps."""
    shutil.rmtree(lab.folder / ".hps", ignore_errors=True)
    for layer in lab.target.layers:
        if chance.random() < 0.25:
            lab.blob(layer.digest).unlink(missing_ok=True)
    for path in lab.store.glob("traces/??/*"):
        if chance.random() < 0.1:
            path.unlink()


def killed_once(lab: Laboratory, words: tuple[str, ...], after: float) -> float | None:
    """Start a command and kill it; the seconds that it took where it was done before."""
    process = lab.start(*words)
    start = time.monotonic()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after)
    done = process.poll() is not None
    kill_all(process)
    return time.monotonic() - start if done else None


@pytest.mark.slow
def test_killed_at_random_moments(lab: Laboratory) -> None:
    """Up to four kills in a row, then a signed build that is verified.

    `HPS_KILLS=500` for more, `HPS_SEED` to repeat.
    """
    chance = random.Random(SEED)
    image, lock = lab.image(), lab.lock_path.read_bytes()
    place = Place(lab.folder.parent)
    lab.environment[FOLDER] = str(place.keys.folder)
    lab.run("key", "generate", "release", "--no-passphrase")
    unsigned = place.reasons(["release"])
    typical = dict.fromkeys(WORK, 2.0)  # seconds that a command takes; follows the machine
    killed = Counter[str]()
    while killed.total() < KILLS:
        forget(lab, chance)
        for _ in range(chance.randint(1, 4)):
            name = chance.choices(list(WORK), [4, 2, 1, 2, 1])[0]
            took = killed_once(lab, WORK[name], chance.uniform(0, typical[name]))
            typical[name] = typical[name] * 1.05 if took is None else took
            killed[name] += took is None
            about = f"{killed}, seed {SEED}"
            assert verify(lab.open().store).damaged == (), about
            assert lab.lock_path.read_bytes() == lock, about
            if lab.layout.exists():
                check_layout(lab.layout)
                assert place.reasons(["release"]) in {frozenset(), unsigned}, about
        assert lab.run(*WORK["signed build"]).out == f"{image} cpu\n", about
        check_layout(lab.layout)
        assert place.reasons(["release"]) == frozenset(), about
    lab.run("store", "collect")
    assert workspace(lab) == []
    assert processes_of(lab) == ""
    print(f"{killed.total()} kills, {dict(killed)}, seed {SEED}")


@pytest.mark.slow
def test_builds_and_collections_at_once(lab: Laboratory, tmp_path: Path) -> None:
    """All give the same image, and nothing that is reachable is collected.

    With `HPS_KILLS` they are ten.
    """
    image = lab.image()
    unmake(lab)
    labs = [lab]
    for number in range(BUILDS - 1):
        copy_tree(lab.folder, tmp_path / str(number))
        labs.append(Laboratory(tmp_path / str(number), lab.store, lab.index, lab.environment))
    running = [each.start("build", "--frozen") for each in labs]
    collections = 0
    while any(process.poll() is None for process in running):
        lab.run("store", "collect", "--wait")
        collections += 1
    assert [lab.finish(process).out for process in running] == [f"{image} cpu\n"] * BUILDS
    assert collections > 0
    assert len({check_layout(each.layout) for each in labs}) == 1
    lab.run("store", "collect")
    report = verify(lab.open().store)
    assert (report.damaged, report.missing) == ((), ())
    for each in labs:
        assert each.run("build", "--frozen").err.startswith("cpu: up to date")
