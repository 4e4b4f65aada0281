"""The update as a state machine: single paths by example."""

import dataclasses
from datetime import UTC, datetime

import pytest

from hps import canonical
from hps.errors import UsageError
from hps.model.policy import Known
from hps.monitor.backoff import Backoff
from hps.monitor.events import (
    Done,
    Event,
    Failed,
    Moment,
    Offered,
    Request,
    Rules,
    Served,
    Waiting,
    Wish,
)
from hps.monitor.sighting import Mark
from hps.monitor.state import Cause, State
from hps.monitor.transitions import Outcome, Phase, Step
from hps.monitor.update import OPERATOR, advance, due, recover, rollback_target

RULES = Rules(retry=Backoff(1.0, 8.0), repeat=Backoff(100.0, 1000.0), load_time=60.0)
PREPARED = (Step.PULL, Step.VERIFY, Step.STAGE, Step.INSPECT)
ALL = (*PREPARED, Step.LOAD, Step.PROBE, Step.ACTIVATE)


def mark(number: int, *, settled: bool = True) -> Mark:
    return Mark(f"donefile {number}", "others", f"model {number}", settled)


def known(sequence: int) -> Known:
    return Known(sequence, None, frozenset(), datetime.fromtimestamp(sequence, UTC))


class Play:
    """A state, and events one after another."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules = rules
        self.state = State()
        self.now = 1000.0

    def send(self, event: Event) -> "Play":
        self.state = advance(self.state, event, Moment(self.now), self.rules)
        return self

    def offer(self, number: int) -> "Play":
        return self.send(Offered(mark(number)))

    def do(self, *steps: Step, identity: str = "") -> "Play":
        for step in steps:
            found = due(self.state, self.now, self.rules)
            assert found.step is step, found
            content = identity or f"content {found.number}"
            seen = known(found.number) if step is Step.VERIFY else None
            self.send(Done(step, content, known=seen))
        return self

    def fail(self, outcome: Outcome, reason: str = "why") -> "Play":
        return self.send(Failed(self.step(), outcome, reason))

    def ask(self, *numbers: int) -> "Play":
        return self.send(Served(numbers))

    def wish(self, wish: Wish, number: int | None = None) -> "Play":
        return self.send(Request(wish, number, "by somebody"))

    def wait(self) -> float:
        """Let the time pass for which it waits; returns how long that was."""
        found = due(self.state, self.now, self.rules)
        assert found.step is Step.WAIT
        assert found.until is not None
        waited, self.now = found.until - self.now, found.until
        return waited

    def live(self, number: int) -> "Play":
        self.offer(number).do(*ALL, identity=f"content {number}")
        assert self.state.busy is None
        return self

    def crash(self) -> "Play":
        read = State.from_json(canonical.loads(canonical.dumps(self.state.as_json())))
        assert read == dataclasses.replace(self.state, offer=None)
        self.state = recover(read, Moment(self.now), self.rules)
        return self

    def step(self) -> Step:
        assert self.state.busy is not None
        return self.state.busy.step

    def number(self) -> int | None:
        return None if self.state.update is None else self.state.update.number

    def last_mark(self) -> Mark | None:
        return self.state.last_mark

    def place(self) -> tuple[Phase, Step] | None:
        return None if self.state.update is None else self.state.update.place


def test_an_update_goes_from_sight_to_live_step_by_step() -> None:
    play = Play()
    phases = []
    play.offer(1)
    for step in ALL:
        assert play.state.update is not None
        phases.append(str(play.state.update.phase))
        play.do(step)
    assert phases == ["detected", "pulled", "verified", "staged", "staged", "loaded", "probed"]
    assert play.place() == (Phase.LIVE, Step.NOTHING)
    assert play.state.live is not None
    assert (play.state.live.number, play.state.live.identity) == (1, "content 1")
    assert play.state.processed == mark(1)
    assert play.state.known == known(1)
    assert due(play.state, play.now, RULES).step is Step.NOTHING


def test_what_was_live_is_kept_and_all_else_may_go() -> None:
    play = Play()
    for number in (1, 2, 3, 4):
        play.live(number)
    assert [one.number for one in play.state.kept] == [2, 3]
    assert play.state.retained == {2, 3, 4}
    play.offer(5).do(*PREPARED)
    assert play.state.retained == {2, 3, 4, 5}


def test_the_sequence_counts_when_it_is_live_and_the_time_when_it_is_verified() -> None:
    play = Play().live(1).offer(2).do(Step.PULL, Step.VERIFY)
    assert play.state.known.sequence == 1
    assert play.state.known.floor == known(2).floor
    play.do(Step.STAGE, Step.INSPECT, Step.LOAD, Step.PROBE, Step.ACTIVATE)
    assert play.state.known == known(2)


@pytest.mark.parametrize("step", PREPARED)
def test_content_that_fails_before_the_server_sees_it_is_refused(step: Step) -> None:
    play = Play().live(1).offer(2).do(*PREPARED[: PREPARED.index(step)])
    play.fail(Outcome.CONTENT, "rollback")
    assert play.place() == (Phase.REFUSED, Step.NOTHING)
    assert play.state.live is not None
    assert play.state.live.number == 1
    assert play.state.processed == mark(2)
    if step is not Step.PULL:
        assert play.state.reason_against("content 2") == "rollback"


def test_refused_content_is_known_again_and_not_verified_again() -> None:
    play = Play().live(1).offer(2).do(Step.PULL).fail(Outcome.CONTENT, "rollback")
    play.offer(3).do(Step.PULL, identity="content 2")
    assert play.place() == (Phase.REFUSED, Step.NOTHING)
    assert play.state.update is not None
    assert play.state.update.reason == "rollback"
    assert play.state.last_mark == mark(3)


def test_the_live_content_seen_again_is_no_update() -> None:
    play = Play().live(1)
    play.offer(2).do(Step.PULL, identity="content 1")
    assert play.state.busy is None
    assert play.state.processed == mark(2)
    assert play.state.highest == 1


@pytest.mark.parametrize("step", ALL)
def test_passing_failures_are_tried_again_for_ever_with_longer_waits(step: Step) -> None:
    play = Play().live(1).offer(2).do(*ALL[: ALL.index(step)])
    waits = []
    for _ in range(6):
        play.fail(Outcome.PASSING)
        waits.append(play.wait())
        if play.step() is Step.ASK:
            play.ask(1)
        for back in (Step.WITHDRAW, Step.LOAD, Step.PROBE):
            if play.step() is back and back is not step:
                play.do(back)
        assert play.step() is step
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    play.do(*ALL[ALL.index(step) :])
    assert play.state.live is not None
    assert play.state.live.number == 2


def test_a_server_that_names_a_time_is_left_alone_that_long() -> None:
    play = Play().offer(1)
    play.send(Failed(Step.PULL, Outcome.PASSING, "server", after=5.0))
    assert play.wait() == 5.0
    play.send(Failed(Step.PULL, Outcome.PASSING, "server", after=1e9))
    assert play.wait() == 8.0


def test_bytes_broken_on_the_way_are_pulled_again_at_once_and_afresh() -> None:
    play = Play().offer(1).do(Step.PULL, identity="broken").fail(Outcome.BROKEN, "digest-mismatch")
    assert play.place() == (Phase.REFUSED, Step.PULL)
    assert play.wait() == 1.0
    assert due(play.state, play.now, RULES).afresh
    play.do(*ALL, identity="whole")
    assert play.state.live is not None


def test_the_very_same_broken_bytes_are_pulled_at_a_slow_pace() -> None:
    play = Play().offer(1).do(Step.PULL, identity="broken").fail(Outcome.BROKEN, "digest-mismatch")
    waits = []
    for _ in range(6):
        waits.append(play.wait())
        play.do(Step.PULL, identity="broken")
        assert play.place() == (Phase.REFUSED, Step.PULL)
    assert waits == [1.0, 100.0, 200.0, 400.0, 800.0, 1000.0]
    play.crash()
    assert play.wait() == 1000.0
    play.offer(2).do(*ALL)
    assert play.state.live is not None


def test_what_is_refused_twice_in_the_middle_of_a_pull_is_pulled_at_a_slow_pace() -> None:
    """A size may have been forged on the way; one that is right is too large tomorrow as well."""
    play = Play().live(1).offer(2).fail(Outcome.BROKEN, "too-large")
    assert play.place() == (Phase.REFUSED, Step.PULL)
    assert play.wait() == 1.0
    waits = []
    for _ in range(3):
        play.fail(Outcome.BROKEN, "too-large")
        waits.append(play.wait())
    assert waits == [100.0, 200.0, 400.0]
    play.do(*ALL, identity="content 2")
    assert play.state.live is not None
    assert play.state.live.number == 2


def test_what_the_source_took_back_is_forgotten() -> None:
    play = Play().live(1).offer(2).fail(Outcome.GONE)
    assert play.number() is None
    assert play.state.last_mark == mark(1)
    play.offer(2)
    assert play.number() == 2


def test_what_was_really_pulled_counts_and_not_what_was_seen_before() -> None:
    play = Play().offer(1).send(Done(Step.PULL, "content 2", mark(2, settled=False)))
    play.do(*ALL[1:])
    assert play.last_mark() == mark(2, settled=False)
    play.offer(3).do(Step.PULL, Step.VERIFY, identity="content 3").offer(4)
    play.do(*ALL[2:]).send(Done(Step.PULL, "content 5", mark(4)))
    play.do(*ALL[1:])
    assert play.state.busy is None


def test_a_load_without_an_answer_is_asked_about_and_never_issued_again() -> None:
    play = Play().live(1).offer(2).do(*PREPARED).fail(Outcome.UNKNOWN, "load-unknown")
    asked = 0
    while play.place() == (Phase.STAGED, Step.ASK):
        play.wait()
        play.ask(1)
        asked += 1
    assert asked > 5
    assert play.now == 1060.0 or play.now > 1060.0
    assert play.place() == (Phase.QUARANTINED, Step.WITHDRAW)
    assert play.state.retained == {1, 2}
    play.fail(Outcome.HANGS)
    assert play.place() == (Phase.QUARANTINED, Step.WITHDRAW)
    play.wait()
    play.do(Step.WITHDRAW)
    assert play.place() == (Phase.QUARANTINED, Step.LOAD)
    assert play.wait() == 100.0
    play.do(Step.LOAD, Step.PROBE, Step.ACTIVATE)


def test_a_late_answer_is_found_by_asking() -> None:
    play = Play().live(1).offer(2).do(*PREPARED).fail(Outcome.UNKNOWN, "load-unknown")
    play.ask(1)
    play.ask(1, 2)
    play.do(Step.PROBE, Step.ACTIVATE)


def test_quarantine_gives_way_to_something_newer() -> None:
    play = Play().live(1).offer(2).do(*PREPARED).fail(Outcome.HANGS, "load-hangs")
    play.offer(3)
    assert play.place() == (Phase.QUARANTINED, Step.WITHDRAW)  # never two loads at once
    play.do(Step.WITHDRAW).do(*ALL)
    assert play.state.live is not None
    assert play.state.live.identity == "content 3"


@pytest.mark.parametrize("step", [Step.LOAD, Step.PROBE, Step.ACTIVATE])
def test_content_that_fails_in_the_server_is_rolled_back_and_barred(step: Step) -> None:
    play = Play().live(1).offer(2).do(*ALL[: ALL.index(step)]).fail(Outcome.CONTENT, "probe-failed")
    assert play.place() == (Phase.ROLLED_BACK, Step.WITHDRAW)
    assert play.state.retained == {1, 2}
    play.fail(Outcome.HANGS)
    assert play.wait() == 2.0
    play.do(Step.WITHDRAW)
    assert play.place() == (Phase.ROLLED_BACK, Step.NOTHING)
    assert play.state.reason_against("content 2") is not None
    assert play.state.retained == {1}


def test_a_hold_keeps_what_is_live_and_lets_preparing_go_on() -> None:
    play = Play().live(1).wish(Wish.HOLD).offer(2).do(*PREPARED)
    found = due(play.state, play.now, RULES)
    assert (found.step, found.waiting, found.until) == (Step.WAIT, Waiting.RELEASE, None)
    play.crash()
    play.ask(1)  # after a crash, first of all
    play.do(Step.WITHDRAW)
    assert due(play.state, play.now, RULES).waiting is Waiting.RELEASE
    play.wish(Wish.RELEASE).do(Step.LOAD, Step.PROBE, Step.ACTIVATE)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_hold_takes_out_of_the_server_what_is_not_live_yet(steps: int) -> None:
    play = Play().live(1).offer(2).do(*ALL[: 4 + steps]).wish(Wish.HOLD)
    play.do(Step.WITHDRAW)
    assert due(play.state, play.now, RULES).waiting is Waiting.RELEASE


def test_what_may_answer_already_is_only_carried_on() -> None:
    play = Play().live(1).offer(2).do(*ALL[:-1]).fail(Outcome.UNKNOWN, "load-unknown")
    play.wish(Wish.HOLD)
    with pytest.raises(UsageError, match="may answer requests already"):
        play.wish(Wish.REFUSE)
    play.wait()
    play.ask(2)
    play.do(Step.ACTIVATE)
    assert play.state.live is not None
    assert play.state.live.number == 2


def test_what_may_answer_already_and_is_lost_begins_anew() -> None:
    play = Play().live(1).offer(2).do(*ALL[:-1]).crash().wish(Wish.HOLD)
    play.ask()
    assert due(play.state, play.now, RULES).waiting is Waiting.RELEASE
    play.ask()  # a question of routine: the live one is gone, too
    assert play.state.update is not None
    assert (play.state.update.cause, play.state.update.number) == (Cause.REVIVAL, 1)
    play.do(Step.LOAD, Step.PROBE, Step.ACTIVATE)
    play.do(*PREPARED, identity="content 2")
    assert due(play.state, play.now, RULES).waiting is Waiting.RELEASE


def test_approval_is_asked_for_before_the_server_sees_it() -> None:
    play = Play(dataclasses.replace(RULES, approval=True)).offer(1).do(*PREPARED)
    assert due(play.state, play.now, play.rules).waiting is Waiting.APPROVAL
    with pytest.raises(UsageError):
        play.wish(Wish.APPROVE, 7)
    play.wish(Wish.APPROVE, 1).do(Step.LOAD, Step.PROBE, Step.ACTIVATE)


def test_an_operator_can_refuse_and_change_their_mind() -> None:
    play = Play(dataclasses.replace(RULES, approval=True)).offer(1).do(*PREPARED)
    play.wish(Wish.REFUSE, 1)
    assert play.place() == (Phase.REFUSED, Step.NOTHING)
    assert play.state.reason_against("content 1") == OPERATOR
    assert play.last_mark() == mark(1)
    play.wish(Wish.APPROVE, 1)
    assert play.last_mark() is None  # the next look finds it new
    assert play.state.reason_against("content 1") is None
    with pytest.raises(UsageError):
        play.wish(Wish.REFUSE)


def test_a_newer_offer_takes_the_place_of_one_that_waits() -> None:
    play = Play().wish(Wish.HOLD).offer(1).do(*PREPARED).offer(2)
    assert play.state.update is not None
    assert (play.state.update.number, play.place()) == (2, (Phase.DETECTED, Step.PULL))


def test_a_newer_offer_lets_one_that_moves_finish() -> None:
    play = Play().offer(1).do(Step.PULL).offer(2)
    assert play.state.last_mark == mark(2)
    play.do(*ALL[1:4], identity="content 1")
    play.do(Step.LOAD, Step.PROBE, Step.ACTIVATE).do(*ALL)
    assert play.state.live is not None
    assert play.state.live.number == 2


def test_an_operator_rolls_back_and_the_source_does_not_undo_it() -> None:
    play = Play().live(1).live(2).wish(Wish.HOLD).wish(Wish.ROLLBACK)
    assert play.state.update is not None
    assert play.state.update.cause is Cause.OPERATOR
    play.do(Step.INSPECT, Step.LOAD, Step.PROBE, Step.ACTIVATE)
    assert play.state.live is not None
    assert play.state.live.number == 1
    assert play.state.known.sequence == 2
    assert play.state.reason_against("content 2") == OPERATOR
    play.wish(Wish.RELEASE).offer(3).do(Step.PULL, identity="content 2")
    assert play.place() == (Phase.REFUSED, Step.NOTHING)
    play.wish(Wish.ROLLBACK, 2).do(Step.INSPECT, Step.LOAD, Step.PROBE, Step.ACTIVATE)
    assert play.state.reason_against("content 2") is None


def test_a_rollback_goes_before_what_is_under_way() -> None:
    play = Play().live(1).live(2).offer(3).do(*ALL[:6]).wish(Wish.ROLLBACK, 1)
    assert 1 in play.state.retained
    play.do(Step.WITHDRAW)
    assert play.state.reason_against("content 3") == OPERATOR
    play.do(Step.INSPECT, Step.LOAD, Step.PROBE, Step.ACTIVATE)
    assert play.state.live is not None
    assert play.state.live.number == 1


def test_a_rollback_to_what_is_not_there_is_an_error() -> None:
    with pytest.raises(UsageError, match="no earlier generation"):
        rollback_target(State(), None)
    play = Play().live(1).live(2)
    with pytest.raises(UsageError, match="no such generation") as raised:
        play.wish(Wish.ROLLBACK, 2)
    assert raised.value.expected == "1"


def test_a_rollback_that_the_server_hangs_on_is_undone() -> None:
    play = Play().live(1).live(2).wish(Wish.ROLLBACK).do(Step.INSPECT).fail(Outcome.HANGS)
    assert play.place() == (Phase.ROLLED_BACK, Step.WITHDRAW)
    play.do(Step.WITHDRAW)
    assert play.state.live is not None
    assert play.state.live.number == 2


def test_a_server_that_lost_the_live_generation_gets_it_back_whatever_it_says() -> None:
    play = Play().live(1).ask()
    for outcome in (Outcome.CONTENT, Outcome.HANGS, Outcome.UNKNOWN, Outcome.PASSING):
        play.fail(outcome)
        while play.place() != (Phase.STAGED, Step.LOAD):
            if due(play.state, play.now, RULES).step is Step.WAIT:
                play.wait()
            elif play.step() is Step.ASK:
                play.ask()
            else:
                play.do(Step.WITHDRAW)
    play.do(Step.LOAD, Step.PROBE, Step.ACTIVATE)
    assert play.state.live is not None
    assert play.state.live.number == 1
    assert play.state.barred == ()


def test_a_revived_generation_that_answers_wrongly_is_loaded_afresh() -> None:
    play = Play().live(1).ask().do(Step.LOAD).fail(Outcome.CONTENT, "probe-failed")
    assert play.place() == (Phase.STAGED, Step.WITHDRAW)
    assert play.wait() == 1.0
    play.do(Step.WITHDRAW, Step.LOAD, Step.PROBE, Step.ACTIVATE)


def test_a_rollback_that_comes_too_late_to_stop_an_update_follows_it() -> None:
    play = Play().live(1).live(2).offer(3).do(*ALL[:-1]).fail(Outcome.PASSING)
    play.wish(Wish.ROLLBACK, 1)
    play.wait()
    play.ask(2, 3)
    play.do(Step.ACTIVATE, Step.INSPECT, Step.LOAD, Step.PROBE, Step.ACTIVATE)
    assert play.state.live is not None
    assert play.state.live.number == 1


def test_a_rollback_outlives_a_server_that_lost_what_it_was_to_stop() -> None:
    play = Play().live(1).live(2).offer(3).do(*ALL[:-1]).fail(Outcome.PASSING)
    play.wish(Wish.ROLLBACK, 1)
    play.wait()
    play.ask()
    play.do(Step.INSPECT, Step.LOAD, Step.PROBE, Step.ACTIVATE)
    assert play.state.reason_against("content 3") == OPERATOR  # it does not come back by itself
    assert play.last_mark() == mark(3)


def test_a_revival_that_fails_gives_way_to_something_newer() -> None:
    play = Play().live(1).ask().fail(Outcome.CONTENT).offer(2)
    play.wait()
    play.ask()
    play.do(Step.WITHDRAW).do(*ALL)
    assert play.state.live is not None
    assert play.state.live.number == 2


@pytest.mark.parametrize("done", range(len(ALL)))
def test_a_new_process_carries_on_or_begins_anew(done: int) -> None:
    play = Play().live(1).offer(2).do(*ALL[:done]).crash()
    assert play.state.staging == 2
    if done < 3:
        assert play.number() is None
        play.offer(2)
        assert play.number() == 2  # what was pulled lies under this number
        play.do(*ALL)
    elif done == 3:
        play.do(*ALL[3:])
    else:
        assert play.step() is Step.ASK
        play.ask(1, 2)
        play.do(*((Step.ACTIVATE,) if done == 6 else (Step.PROBE, Step.ACTIVATE)))
    assert play.state.live is not None
    assert play.state.live.number == 2


def test_a_new_process_that_finds_nothing_in_the_server_undoes_before_it_loads_again() -> None:
    play = Play().live(1).offer(2).do(*PREPARED).crash()
    play.ask(1)
    play.do(Step.WITHDRAW, Step.LOAD, Step.PROBE, Step.ACTIVATE)


def test_an_answer_to_what_was_not_asked_is_a_fault_in_the_caller() -> None:
    with pytest.raises(ValueError, match="not what was to be done"):
        Play().send(Done(Step.PULL))
    with pytest.raises(ValueError, match="not what was to be done"):
        Play().offer(1).send(Done(Step.LOAD))
    with pytest.raises(ValueError, match="no identity"):
        Play().offer(1).send(Done(Step.PULL))
    with pytest.raises(ValueError, match="no failure"):
        Play().offer(1).fail(Outcome.DONE)


def test_text_from_outside_fits_into_the_journal() -> None:
    play = Play().offer(1)
    play.send(Failed(Step.PULL, Outcome.PASSING, "server", "\x1b[31m\udcff" + "x" * 10_000))
    assert play.state.update is not None
    assert play.state.update.detail == "[31m" + "x" * 496
    play.crash()
