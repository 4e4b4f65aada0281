"""What ends the loop of a model is told, seen, and not for good; the others go on."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hps.monitor.keeper import Keeper
from hps.monitor.ownership import owned
from tests.monitor.looked_after import SHORT, TERMS, LookedAfter
from tests.monitor.test_logs import restored
from tests.monitor.test_runner import release

__all__ = ["restored"]


@pytest.fixture
def one(tmp_path: Path) -> Iterator[LookedAfter]:
    yield LookedAfter(tmp_path, terms=TERMS)
    release(tmp_path)


class Kept:
    """A keeper of a model, and a way to wait for what it does."""

    def __init__(self, one: LookedAfter) -> None:
        self.one = one
        self.ended = threading.Event()
        self.keeper = Keeper(
            one.runner, one.pulse, one.stop, waits=SHORT, ended=lambda _: self.ended.set()
        )
        self.keeper.start()

    def until(self, condition: Callable[[], object]) -> None:
        for _ in range(6000):
            if condition():
                return
            self.ended.wait(0.01)
        raise AssertionError(self.one.log.getvalue())

    def stop(self) -> int:
        self.one.stop.set()
        self.keeper.join(60)
        assert self.ended.is_set()
        return self.keeper.code


def test_a_bug_is_seen_and_the_model_is_looked_after_again(one: LookedAfter) -> None:
    one.publish(1)
    one.world.fails["load"] = [ZeroDivisionError("a bug")] * 2
    kept = Kept(one)
    kept.until(lambda: one.status.ready)
    assert one.served == "1"
    assert kept.stop() == 0
    lines = one.logged("ended")
    assert len(lines) == 2
    assert "ZeroDivisionError" in lines[0]["traceback"]
    assert one.pulse.standing() == ()


def test_while_it_lies_it_is_seen_everywhere(one: LookedAfter) -> None:
    one.publish(1)
    one.world.fails["inspect"] = [ZeroDivisionError("a bug")] * 100_000
    kept = Kept(one)
    kept.until(lambda: one.pulse.standing() == ("ocr",) and one.status.observed.mishap)
    assert one.pulse.late() == (), "a new process would not help"
    mishap = one.status.observed.mishap
    assert mishap is not None
    assert (mishap.reason, mishap.detail) == ("fault", "ZeroDivisionError: a bug")
    assert not one.status.ready
    kept.until(lambda: len(one.logged("ended")) > 2)
    one.stop.set()
    kept.keeper.join(60)
    if kept.keeper.fault is not None:
        assert kept.keeper.code == 1


def test_a_damaged_journal_waits_for_a_person(one: LookedAfter) -> None:
    one.publish(1)
    one.once()
    path = one.state / "journal" / "records.jsonl"
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b"phase", b"phasE", 1))
    one.stop = threading.Event()
    one.runner = one.made()
    kept = Kept(one)
    kept.until(lambda: one.pulse.standing() == ("ocr",))
    assert one.status.observed.mishap is not None
    assert one.status.observed.mishap.reason == "journal-damaged"
    path.write_bytes(sound)
    kept.until(lambda: one.status.ready)
    assert one.served == "1"
    assert kept.stop() == 0


def test_the_exit_code_is_that_of_what_ended_it(one: LookedAfter) -> None:
    one.publish(1)
    one.once()
    (one.state / "journal" / "records.jsonl").write_bytes(b"nonsense\n" * 3)
    keeper = Keeper(one.made(), one.pulse, one.stop, once=True)
    keeper.start()
    keeper.join(60)
    assert (keeper.is_alive(), keeper.code) == (False, 8)


def test_a_second_monitor_stands_by_and_takes_over(one: LookedAfter) -> None:
    one.publish(1)
    one.once()
    one.stop = threading.Event()
    one.runner = one.made()
    with owned(one.state / "lock", now=0.0):
        kept = Kept(one)
        kept.until(lambda: len(one.logged("waiting")) > 1)
        assert one.pulse.standing() == (), "it waits by right"
        assert not one.status.ready
        assert len(one.logged("ended")) == 1, "said once, not each time"
    kept.until(lambda: one.status.ready)
    assert kept.stop() == 0
