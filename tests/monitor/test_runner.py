"""One model looked after, from publish to serve: by a real journal, a real source, a double server."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hps.model.policy import ModelPolicy, Trust
from hps.monitor.events import Rules, Wish
from hps.monitor.journal import Journal
from hps.monitor.keeper import Keeper
from hps.monitor.ownership import OwnershipError, owned
from hps.monitor.server import Fault, ServerError
from hps.monitor.source import Caps, Found, SourceError, Trouble
from hps.monitor.sources.local import LocalSource
from hps.monitor.status import STATES
from tests.model import releases
from tests.monitor.looked_after import PATIENT, TERMS, LookedAfter
from tests.monitor.test_logs import restored

__all__ = ["restored"]
VERBS = ("inspect", "load", "probe", "activate")


@pytest.fixture
def one(tmp_path: Path) -> Iterator[LookedAfter]:
    yield (made := LookedAfter(tmp_path))
    release(tmp_path)
    made.stop.set()


def release(folder: Path) -> None:
    """Generations are read-only, and pytest removes the folder later."""
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def live(one: LookedAfter, version: int) -> None:
    one.publish(version)
    assert one.anew() == 0
    assert one.served == str(version)


def test_what_is_published_goes_live_and_is_told(one: LookedAfter) -> None:
    one.publish(1)
    assert one.once() == 0
    assert (one.live, one.served) == (1, "1")
    assert (one.state / "live" / "weights").read_text() == "1\n"
    assert one.status.ready
    assert one.status.state == "live" in STATES
    assert [(row.number, row.phase, row.over) for row in one.history()] == [(1, "live", True)]
    assert one.counted("swaps") == {("source",): 1}
    assert one.counted("updates") == {(): 1}
    assert one.counted("pulled_bytes")[()] > 0
    assert [verb for verb, _ in one.world.calls if verb != "live"] == list(VERBS)


def test_the_next_one_takes_its_place_and_old_ones_go_in_the_end(one: LookedAfter) -> None:
    for version in range(1, 6):
        live(one, version)
    assert one.live == 5
    assert one.status.kept == (3, 4)
    assert sorted(path.name for path in (one.state / "generations").iterdir()) == ["3", "4", "5"]
    assert list((one.state / "staging").iterdir()) == []


def test_nothing_new_is_nothing_to_write_down(one: LookedAfter) -> None:
    live(one, 1)
    one.once()
    size = (one.state / "journal" / "records.jsonl").stat().st_size
    for _ in range(3):
        one.runner.run(once=True)
    added = (one.state / "journal" / "records.jsonl").read_bytes()[size:].splitlines()
    assert len(added) == 3, "one record for each start, none for looks"
    assert one.served == "1"


def test_nothing_offered_is_no_fault_and_no_success(one: LookedAfter) -> None:
    assert one.once() == 8
    assert (one.status.state, one.status.observed.news) == ("empty", "absent")
    assert one.status.observed.mishap is None


def test_a_source_that_is_away_leaves_the_live_one(one: LookedAfter) -> None:
    live(one, 1)
    (one.published / "model.tar").unlink()
    assert one.anew() == 4
    assert one.served == "1"
    assert one.status.observed.mishap is not None
    assert one.status.observed.mishap.reason == "missing"
    assert one.counted("failures") == {("look", "missing"): 1}
    (line,) = one.logged("look-failed")
    assert line["reason"] == "missing"
    live(one, 2)


def test_what_nobody_signed_is_refused_where_a_signature_is_asked_for(tmp_path: Path) -> None:
    policy = ModelPolicy(name="ocr", channel="production", keys=(releases.trusted(),))
    one = LookedAfter(tmp_path, policy, {"verify": None, "keys": ["models.pub"]})
    one.publish(1)
    assert one.once() == 5
    assert one.live is None
    assert one.status.pending is not None
    assert (one.status.pending.phase, one.status.pending.reason) == ("refused", "unsigned")
    assert one.world.calls == [("live", 0)]
    assert one.counted("failures") == {("verify", "unsigned"): 1}


@pytest.mark.parametrize("verb", ["inspect", "load", "probe", "activate"])
def test_what_a_server_refuses_is_undone_and_the_old_one_serves(
    one: LookedAfter, verb: str
) -> None:
    live(one, 1)
    one.publish(2)
    one.world.fails[verb] = [ServerError(Fault.REFUSED, "there is no such operator")]
    assert one.anew() == 8
    assert (one.live, one.served) == (1, "1")
    assert sorted(one.world.loaded) == [1]
    newest = one.history()[0]
    assert (newest.number, newest.reason) == (2, "load-refused")
    assert "no such operator" in newest.detail
    (line,) = one.logged("not-live")
    assert (line["level"], line["reason"], line["generation"]) == ("error", "load-refused", 2)
    assert not (one.state / "generations" / "2").exists()
    assert one.anew() in {5, 8}, "it is what the source offers, and still not live"
    live(one, 3)


def test_a_server_that_is_away_is_tried_again(one: LookedAfter) -> None:
    one.terms = TERMS
    one.runner = one.made()
    one.world.fails["load"] = [ServerError(Fault.UNREACHABLE, "nobody there")] * 2
    one.publish(1)
    while one.once() != 0:
        pass
    assert one.served == "1"
    assert one.counted("failures") == {("load", "server-unreachable"): 2}


def test_a_generation_that_the_server_lost_comes_back(one: LookedAfter) -> None:
    live(one, 1)
    one.world.loaded.clear()
    one.world.active = None
    assert one.anew() == 0
    assert one.served == "1"
    assert one.counted("swaps")[("revival",)] == 1


class KilledError(Exception):
    """The process was killed here."""


@pytest.mark.parametrize("verb", VERBS)
def test_a_process_that_dies_in_a_step_leaves_what_the_next_one_carries_on(
    one: LookedAfter, verb: str
) -> None:
    live(one, 1)
    one.publish(2)
    one.world.fails[verb] = [KilledError()]
    with pytest.raises(KilledError):
        one.anew()
    assert one.served == "1"
    assert one.anew() == 0
    assert (one.live, one.served) == (2, "2")
    assert [(row.number, row.phase) for row in one.history()][:2] == [(2, "live"), (1, "live")]


@pytest.mark.parametrize("verb", VERBS)
def test_told_to_end_in_a_step_it_ends_and_the_next_one_carries_on(
    one: LookedAfter, verb: str
) -> None:
    """A step that fails because everything is being ended is none that failed."""
    live(one, 1)
    one.publish(2)
    one.world.waits = {verb}
    one.world.fails[verb] = [ServerError(Fault.UNREACHABLE, "the connection was closed")]
    one.runner = one.made()
    keeper = Keeper(one.runner, one.pulse, one.stop)
    keeper.start()
    assert one.world.reached.wait(60)
    one.stop.set()
    one.world.go.set()
    keeper.join(60)
    assert not keeper.is_alive()
    assert (keeper.fault, keeper.code) == (None, 0)
    assert one.logged("step-failed") == []
    assert one.history()[0].failures == 0
    one.world.waits = set()
    assert one.anew() == 0
    assert one.served == "2"


class Hanging(LocalSource):
    """A source whose reads or looks wait until it is closed, and then fail."""

    def __init__(self, one: LookedAfter, where: str) -> None:
        super().__init__(one.source()._place, Caps())
        self.where, self.reached, self.closed = where, threading.Event(), threading.Event()

    def donefile(self):  # type: ignore[no-untyped-def]
        self._hang("donefile")
        return super().donefile()

    def read(self, found: Found, offset: int = 0):  # type: ignore[no-untyped-def]
        self._hang("read")
        return super().read(found, offset)

    def close(self) -> None:
        self.closed.set()
        super().close()

    def _hang(self, where: str) -> None:
        if where == self.where:
            self.reached.set()
            assert self.closed.wait(60)
            raise SourceError(Trouble.UNREACHABLE, "it was closed")


@pytest.mark.parametrize("where", ["donefile", "read"])
def test_told_to_end_while_the_source_does_not_answer(one: LookedAfter, where: str) -> None:
    live(one, 1)
    one.publish(2)
    source = Hanging(one, where)
    keeper = Keeper(one.made(source), one.pulse, one.stop)
    keeper.start()
    assert source.reached.wait(60)
    one.stop.set()
    source.close()
    keeper.join(60)
    assert (keeper.is_alive(), keeper.fault, keeper.code) == (False, None, 0)
    assert one.logged("look-failed") == one.logged("step-failed") == []
    live(one, 2)


def test_requests_are_done_once_and_answered(one: LookedAfter) -> None:
    live(one, 1)
    live(one, 2)
    asked = one.ask(Wish.ROLLBACK, 1)
    assert one.anew() == 0
    assert (one.live, one.served) == (1, "1")
    answer = one.answer(asked)
    assert answer is not None
    assert answer.done
    newest = one.history()[0]
    assert (newest.cause, newest.number, newest.by) == ("operator", 1, "ada")
    assert one.anew() == 0
    assert one.live == 1, "what was rolled back does not come back by itself"


def test_a_request_that_was_done_before_a_crash_is_answered_and_not_done_again(
    one: LookedAfter,
) -> None:
    live(one, 1)
    live(one, 2)
    asked = one.ask(Wish.ROLLBACK, 1)
    written = (one.state / "requests" / f"{asked.id}.json").read_bytes()
    assert one.anew() == 0
    one.answer(asked)
    live(one, 3)
    place = one.state / "requests" / f"{asked.id}.json"
    place.write_bytes(written)
    place.chmod(0o600)
    assert one.anew() == 0
    answer = one.answer(asked)
    assert answer is not None
    assert "before" in answer.text
    assert one.served == "3"


def test_what_cannot_be_is_refused_with_the_reason(one: LookedAfter) -> None:
    live(one, 1)
    asked = one.ask(Wish.ROLLBACK, 7)
    assert one.anew() == 0
    answer = one.answer(asked)
    assert answer is not None
    assert not answer.done
    assert "no such generation" in answer.text
    assert one.served == "1"


def test_while_it_is_held_nothing_new_goes_live(one: LookedAfter) -> None:
    live(one, 1)
    one.ask(Wish.HOLD)
    one.publish(2)
    assert one.anew() == 0
    assert (one.served, one.status.held) == ("1", True)
    assert one.status.pending is not None
    one.ask(Wish.RELEASE)
    assert one.anew() == 0
    assert one.served == "2"


def test_an_approval_lets_it_go_live(one: LookedAfter) -> None:
    one.terms = replace(PATIENT, rules=replace(PATIENT.rules, approval=True))
    one.runner = one.made()
    one.publish(1)
    assert one.once() == 8
    assert one.status.approval == 1
    one.ask(Wish.APPROVE, 1)
    assert one.anew() == 0
    assert one.served == "1"


def test_what_a_person_dropped_is_no_fault(one: LookedAfter) -> None:
    live(one, 1)
    one.terms = replace(PATIENT, rules=replace(PATIENT.rules, approval=True))
    one.publish(2)
    assert one.anew() == 0
    one.ask(Wish.REFUSE, 2)
    assert one.anew() == 0
    assert one.served == "1"
    (line,) = one.logged("not-live")
    assert (line["level"], line["reason"]) == ("info", "operator")


def test_a_desk_that_others_may_write_to_stops_nobody(one: LookedAfter) -> None:
    live(one, 1)
    (one.state / "requests").chmod(0o777)
    (one.state / "requests" / "20270115T080000.000Z-00000000.json").write_text("{}")
    one.publish(2)
    assert one.anew() == 0
    assert one.served == "2"
    (line,) = one.logged("requests-unread")
    assert "0777" in line["message"]


def test_a_second_monitor_is_refused(one: LookedAfter) -> None:
    live(one, 1)
    with owned(one.state / "lock", now=0.0), pytest.raises(OwnershipError):
        one.anew()


def test_who_was_overtaken_does_nothing_more(one: LookedAfter) -> None:
    """Another monitor took the lock file away, as on a file system without locks."""
    live(one, 1)
    one.publish(2)
    inspect = one.world.begun

    def overtake(verb: str, number: int) -> None:
        if verb == "inspect":
            (one.state / "lock").unlink()
        inspect(verb, number)

    one.world.begun = overtake  # type: ignore[method-assign]
    with pytest.raises(OwnershipError):
        one.anew()
    assert ("load", 2) not in one.world.calls
    assert one.served == "1"


def test_an_update_that_ends_while_the_next_one_waits_is_told_as_well(one: LookedAfter) -> None:
    """The load fails in passing; something newer is seen meanwhile, and follows at once."""
    one.terms = TERMS
    one.runner = one.made()
    live(one, 1)
    begun = one.world.begun

    def publish(verb: str, number: int) -> None:
        begun(verb, number)
        if verb == "load" and number == 2 and 2 not in one.world.loaded:
            one.world.loaded[2] = {"weights": b"2\n"}  # it came to an end, and nobody heard
            one.publish(3)
            raise ServerError(Fault.UNKNOWN, "no answer in time")

    one.world.begun = publish  # type: ignore[method-assign]
    one.publish(2)
    while one.anew() or one.served != "3":
        pass
    rows = {row.number: (row.phase, row.over) for row in one.history()}
    assert rows == {1: ("live", True), 2: ("live", True), 3: ("live", True)}
    assert one.counted("swaps") == {("source",): 3}


def test_what_the_disk_of_this_host_lost_is_pulled_again(one: LookedAfter) -> None:
    live(one, 1)
    one.terms = replace(PATIENT, rules=Rules(approval=True, keep=2))
    one.publish(2)
    assert one.anew() == 0  # it is staged, and waits
    lost = one.state / "generations" / "2"
    release(one.folder)
    (lost / "weights").unlink()
    lost.rmdir()
    one.terms = PATIENT
    assert one.anew() == 0
    assert one.served == "2"
    assert one.counted("failures") == {("load", "staging-lost"): 1}


def test_a_live_generation_that_server_and_host_have_lost_is_told(one: LookedAfter) -> None:
    live(one, 1)
    release(one.folder)
    lost = one.state / "generations" / "1"
    (lost / "weights").unlink()
    lost.rmdir()
    one.world.loaded.clear()
    one.world.active = None
    assert one.anew() == 8
    assert one.status.observed.mishap is not None
    assert one.status.observed.mishap.reason == "staging-lost"
    one.publish(2)
    one.terms = TERMS
    while one.anew():
        pass
    assert one.served == "2"


def test_each_swap_of_what_nobody_vouches_for_is_logged(one: LookedAfter) -> None:
    live(one, 1)
    live(one, 2)
    one.ask(Wish.ROLLBACK, 1)
    assert one.anew() == 0
    lines = one.logged("live-unverified")
    assert [line["message"] for line in lines] == [
        f'generation {number} is live: verify = "none"' for number in (1, 2, 1)
    ]


def test_offered_and_nothing_there_is_logged_too(tmp_path: Path) -> None:
    policy = ModelPolicy(name="ocr", trust=Trust.OFFERED)
    one = LookedAfter(tmp_path, policy, {"verify": "offered"})
    live(one, 1)
    (line,) = one.logged("live-unverified")
    assert "nobody signed it" in line["message"]
    release(tmp_path)


def test_a_journal_of_a_newer_hps_ends_the_run_and_loses_nothing(one: LookedAfter) -> None:
    live(one, 1)
    with Journal(one.state / "journal") as journal:
        journal.append({"event": "step"}, {"new": True}, update=1, time=1.0, fence=99)
    before = (one.state / "journal" / "records.jsonl").read_bytes()
    with pytest.raises(Exception, match="newer hps"):
        one.anew()
    assert (one.state / "journal" / "records.jsonl").read_bytes() == before
