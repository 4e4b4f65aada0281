"""`kill -9` and a full disk at every effect of an update: old or new is live, and it carries on."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.monitor.disk import DiskError
from hps.monitor.journal import Journal, JournalError, read, repair
from hps.monitor.state import State
from tests.faults.tracer import can_trace
from tests.faults.update_process import Host, assert_whole

REPOSITORY = Path(__file__).resolve().parents[2]
MEMORY = Path("/dev/shm")

pytestmark = pytest.mark.skipif(not can_trace(), reason="the tracer knows Linux on x86-64")


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: thousands of calls of fsync(2) follow."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


def stopped(how: str, what: str, folder: Path) -> list[Path]:
    return [folder / name for name in run(how, what, folder)]


def run(how: str, what: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.update_process", how, what, str(folder)],
        cwd=REPOSITORY,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    printed: list[str] = json.loads(done.stdout)
    return printed


def check_whole(host: Host, allowed: set[int | None]) -> None:
    """What is live is whole and verified, on the disk and in the server."""
    live = host.generations.live()
    version = None if live is None else assert_whole(host.generations.path(live))
    assert version in allowed
    for number in host.generations.numbers():
        assert_whole(host.generations.path(number))
    active = host.server.facts["active"]
    if active is not None:
        assert_whole(host.generations.path(active))


def check_finished(host: Host, version: int, kept: int) -> None:
    live = host.generations.live()
    assert live is not None
    assert assert_whole(host.generations.path(live)) == version
    assert host.server.facts == {"loaded": [live], "active": live}
    assert len(host.generations.numbers()) == kept
    for name in ("staging", "removed"):
        assert list((host.folder / name).iterdir()) == []
    record = read(host.folder / "journal")[-1]
    state = State.from_json(record.state)
    assert state.busy is None
    assert state.live is not None
    assert state.live.number == live
    assert sorted(path.name for path in host.folder.iterdir()) == [
        "generations",
        "journal",
        "live",
        "lock",
        "removed",
        "staging",
    ]


@pytest.mark.parametrize("how", ["crash", "starve"])
def test_an_update_can_be_stopped_anywhere(fast: Path, how: str) -> None:
    places = stopped(how, "update", fast)
    assert len(places) > 50  # a walk that sees nothing is no test
    for place in places:
        host = Host(place)
        check_whole(host, {2, 3})
        numbers = [one.number for one in read(host.folder / "journal")]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert host.update(3) == 0
        check_finished(host, 3, kept=2)
        assert host.update(4) == 0
        check_finished(host, 4, kept=2)


@pytest.mark.parametrize("how", ["crash", "starve"])
def test_the_very_first_update_can_be_stopped_anywhere(fast: Path, how: str) -> None:
    places = stopped(how, "first", fast)
    assert len(places) > 50
    for place in places:
        host = Host(place)
        check_whole(host, {None, 1})
        assert host.update(1) == 0
        check_finished(host, 1, kept=1)


@pytest.mark.parametrize("what", ["first", "update"])
def test_everything_is_on_the_disk_before_it_counts(fast: Path, what: str) -> None:
    """Power loss: what is not synced when the next thing builds on it may be lost (fsync(2))."""
    effects = run("watch", what, fast)
    written: set[str] = set()  # and not yet on the disk
    renamed: set[str] = set()  # folders with names that are not yet on the disk
    for effect in effects:
        kind, *paths = effect.split()
        if kind == "write":
            assert not renamed, (effect, renamed)
            written.add(paths[0])
        elif kind == "fsync":
            written.discard(paths[0])
            renamed.discard(paths[0])
        elif kind in {"rename", "renameat2"} and not paths[1].startswith("/removed/"):
            moved = {path for path in written if f"{path}/".startswith(f"{paths[0]}/")}
            assert not moved, (effect, moved)
            renamed.add(str(Path(paths[1]).parent))
    assert (written, renamed) == (set(), set())
    writes = [place for place, one in enumerate(effects) if one == "write /journal/records.jsonl"]
    assert len(writes) > 7
    assert {effects[place + 1] for place in writes} == {"fsync /journal/records.jsonl"}


@pytest.mark.parametrize("how", ["crash", "starve"])
def test_a_compaction_loses_nothing_that_counts(fast: Path, how: str) -> None:
    for place in stopped(how, "compact", fast):
        host = Host(place)
        with Journal(host.folder / "journal") as journal:
            assert journal.last is not None
            assert State.from_json(journal.last.state).live is not None
        assert host.update(3) == 0
        check_finished(host, 3, kept=2)


def test_a_repair_can_be_stopped_anywhere(fast: Path) -> None:
    places = stopped("crash", "repair", fast)
    assert places
    for place in places:
        journal = Host(place).folder / "journal"
        try:
            records = read(journal)
        except JournalError:
            repair(journal)
            records = read(journal)
        state = State.from_json(records[-1].state)
        assert state.live is not None
        assert state.live.number == 2


def test_rights_that_were_lost_are_told(tmp_path: Path) -> None:
    host = Host(tmp_path / "place")
    assert host.update(1) == 0
    (host.folder / "journal").rename(host.folder / "moved")
    (host.folder / "journal").write_bytes(b"")
    with pytest.raises(DiskError):
        Journal(host.folder / "journal")
    with pytest.raises(DiskError):
        host.update(2)
    check_whole(host, {1})
