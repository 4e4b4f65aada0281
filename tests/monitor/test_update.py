"""The update as a state machine: single paths by example, everything else by chance."""

import dataclasses
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

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
from hps.monitor.server import Fault
from hps.monitor.sighting import Mark
from hps.monitor.source import Trouble
from hps.monitor.state import Cause, State
from hps.monitor.transitions import Outcome, Phase, Step, outcome_of
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


# --- by chance -----------------------------------------------------------------------------------


@dataclass
class Content:
    identity: str
    fails: Step | None  # the step at which it shows that it is bad


@dataclass
class World:
    """A source, a disk and a server that all misbehave; and what a person would call wrong."""

    offered: tuple[Mark, Content] | None = None
    network: bool = True
    corrupts: bool = False
    disk: bool = True
    server: str = "well"  # or away, slow, hanging
    pulled: dict[int, str] = field(default_factory=dict)
    verified: set[int] = field(default_factory=set)
    loaded: set[int] = field(default_factory=set)
    loading: int | None = None
    active: int | None = None
    garbage: int = 0

    def do(self, step: Step, number: int, contents: dict[str, Content]) -> Event:
        if step is Step.PULL:
            return self._pull(number)
        if step is Step.ASK:
            if self.server in {"away", "hanging"}:
                return Failed(step, outcome_of(Fault.UNREACHABLE), Fault.UNREACHABLE)
            return Served(tuple(sorted(self.loaded)))
        content = contents.get(self.pulled[number])
        if content is None:
            assert step is Step.VERIFY, "what is broken was let in"
            return Failed(step, Outcome.BROKEN, "digest-mismatch")
        if step in {Step.VERIFY, Step.STAGE, Step.INSPECT}:
            return self._prepare(step, number, content)
        return self._serve(step, number, content)

    def _pull(self, number: int) -> Event:
        if not self.network:
            return Failed(Step.PULL, outcome_of(Trouble.STALLED), Trouble.STALLED)
        if self.offered is None:
            return Failed(Step.PULL, outcome_of(Trouble.MISSING), Trouble.MISSING)
        self.garbage += 1
        identity = self.offered[1].identity
        wrong = f"garbage {number} {self.garbage // 2}"
        self.pulled[number] = wrong if self.corrupts else identity
        return Done(Step.PULL, self.pulled[number], self.offered[0])

    def _prepare(self, step: Step, number: int, content: Content) -> Event:
        if not self.disk:
            return Failed(step, outcome_of(Fault.DISK), Fault.DISK)
        if content.fails is step:
            return Failed(step, Outcome.CONTENT, "bad")
        if step is Step.VERIFY:
            self.verified.add(number)
            return Done(step, known=known(number))
        assert number in self.verified
        return Done(step)

    def _serve(self, step: Step, number: int, content: Content) -> Event:
        if self.server == "away":
            return Failed(step, outcome_of(Fault.UNREACHABLE), Fault.UNREACHABLE)
        if step is Step.WITHDRAW:
            assert number != self.active or self.loaded - {number}, "nothing would answer"
            if self.server == "hanging" and self.loading is not None:
                return Failed(step, outcome_of(Fault.HANGS), Fault.HANGS)
            self.loaded.discard(number)
            self.loading = None if self.loading == number else self.loading
            return Done(step)
        if step is Step.LOAD:
            assert self.loading is None, "two loads at once"
            assert number in self.verified
            if content.fails is step:
                return Failed(step, outcome_of(Fault.REFUSED), Fault.REFUSED)
            if self.server in {"slow", "hanging"}:
                self.loading = number
                return Failed(step, outcome_of(Fault.UNKNOWN), Fault.UNKNOWN)
            self.loaded.add(number)
            return Done(step)
        if self.server == "hanging":
            return Failed(step, outcome_of(Fault.UNKNOWN), Fault.UNKNOWN)
        if number not in self.loaded:
            return Failed(step, outcome_of(Fault.UNREACHABLE), Fault.UNREACHABLE)
        if content.fails is step:
            return Failed(step, outcome_of(Fault.PROBE), Fault.PROBE)
        if step is Step.ACTIVATE:
            self.active, self.loaded = number, {number}
        return Done(step)

    def restart(self) -> None:
        self.loaded, self.loading, self.active = set(), None, None
        self.server = "well"


BAD = st.sampled_from([None, None, None, Step.VERIFY, Step.INSPECT, Step.LOAD, Step.PROBE])


class Updates(RuleBasedStateMachine):
    """Any sequence of events, faults and crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.contents: dict[str, Content] = {}
        self.state = State()
        self.now = 0.0
        self.marks = 0
        self.how = RULES
        self.approved: set[int] = set()
        self.by_operator: set[str] = set()

    @initialize(approval=st.booleans(), keep=st.integers(0, 3))
    def begin(self, approval: bool, keep: int) -> None:
        self.how = dataclasses.replace(RULES, approval=approval, keep=keep)

    # the source

    @rule(fails=BAD)
    def publish(self, fails: Step | None) -> None:
        self.marks += 1
        content = Content(f"content {self.marks}", fails)
        self.contents[content.identity] = content
        self.world.offered = (mark(self.marks), content)

    @rule(back=st.integers(1, 3))
    def publish_something_older(self, back: int) -> None:
        if self.contents:
            self.marks += 1
            content = list(self.contents.values())[-back:][0]
            self.world.offered = (mark(self.marks), content)

    @rule()
    def take_back(self) -> None:
        self.world.offered = None

    # the monitor

    @rule()
    def look(self) -> None:
        waits = due(self.state, self.now, self.how).step in {Step.WAIT, Step.NOTHING}
        offered = self.world.offered
        if waits and offered and not offered[0].is_like(self.state.last_mark):
            self.send(Offered(offered[0]))

    @rule()
    def step(self) -> None:
        self.run_step()

    @rule(times=st.integers(2, 12))
    def steps(self, times: int) -> None:
        for _ in range(times):
            self.run_step()

    @rule(seconds=st.sampled_from([1.0, 10.0, 70.0, 2000.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def ask_as_a_routine(self) -> None:
        waits = due(self.state, self.now, self.how).step in {Step.WAIT, Step.NOTHING}
        if waits and self.world.server not in {"away", "hanging"}:
            self.send(Served(tuple(self.world.loaded)))

    @rule(in_a_step=st.booleans())
    def crash(self, in_a_step: bool) -> None:
        found = due(self.state, self.now, self.how)
        if in_a_step and found.step not in {Step.WAIT, Step.NOTHING}:
            self.perform(found.step, found.number)  # and nobody hears of it
        written = canonical.dumps(self.state.as_json())
        self.now = 0.0
        self.state = recover(State.from_json(canonical.loads(written)), Moment(self.now), self.how)

    # operators

    @rule(wish=st.sampled_from(Wish), back=st.none() | st.integers(0, 3))
    def ask_for(self, wish: Wish, back: int | None) -> None:
        number = None if back is None else self.state.highest - back
        busy, live = self.state.busy, self.state.live
        try:
            self.send(Request(wish, number))
        except UsageError:
            return
        if wish is Wish.APPROVE and busy and number in {None, busy.number}:
            self.approved.add(busy.number)
        if wish in {Wish.REFUSE, Wish.ROLLBACK}:
            self.by_operator |= {one.identity or "" for one in (busy, live) if one}
            if busy and busy.mark:
                self.by_operator.add(busy.mark.donefile)

    # faults

    @rule(up=st.booleans())
    def network(self, up: bool) -> None:
        self.world.network = up

    @rule(on=st.booleans())
    def corruption(self, on: bool) -> None:
        self.world.corrupts = on

    @rule(works=st.booleans())
    def disk(self, works: bool) -> None:
        self.world.disk = works

    @rule(state=st.sampled_from(["well", "away", "slow", "hanging"]))
    def server(self, state: str) -> None:
        if self.world.server != "hanging":
            self.world.server = state

    @rule()
    def server_ends_its_load(self) -> None:
        if self.world.loading is not None and self.world.server != "hanging":
            self.world.loaded.add(self.world.loading)
            self.world.loading = None

    @rule()
    def server_restarts(self) -> None:
        self.world.restart()

    # what must always hold

    @invariant()
    def the_live_one_was_verified(self) -> None:
        if self.state.live is not None:
            assert self.state.live.number in self.world.verified
        if self.world.active is not None:
            assert self.world.active in self.world.verified
            assert self.contents[self.world.pulled[self.world.active]].fails is None

    @invariant()
    def what_a_server_has_stays_on_the_disk(self) -> None:
        has = {*self.world.loaded, self.world.active, self.world.loading} - {None}
        assert has <= self.state.retained

    @invariant()
    def a_record_says_everything(self) -> None:
        record = self.state.as_json()
        assert State.from_json(record) == self.state

    def teardown(self) -> None:
        """When all faults end, the newest offered goes live, or what is live stays live."""
        self.world.network = self.world.disk = True
        self.world.corrupts = False
        if self.world.server == "hanging":
            self.world.restart()
        self.world.server = "well"
        self.server_ends_its_load()
        self.send(Request(Wish.RELEASE))
        for _ in range(200):
            self.look()
            self.ask_as_a_routine()
            found = due(self.state, self.now, self.how)
            if found.waiting is Waiting.APPROVAL:
                self.approved.add(found.number)
                self.send(Request(Wish.APPROVE, found.number))
            elif found.step is Step.WAIT:
                assert found.until is not None
                self.now = found.until
            elif not self.run_step() and self.settled():
                break
        else:
            raise AssertionError(f"it does not come to rest: {self.state}")
        self.check_rest()

    def settled(self) -> bool:
        offered = self.world.offered
        return offered is None or offered[0].is_like(self.state.last_mark)

    def check_rest(self) -> None:
        live = self.state.live
        assert self.world.active == (live.number if live else None)
        offered = self.world.offered
        if offered is None or offered[1].fails is not None:
            return
        if not {offered[1].identity, offered[0].donefile} & self.by_operator:
            assert live is not None
            assert live.identity == offered[1].identity

    def run_step(self) -> bool:
        found = due(self.state, self.now, self.how)
        if found.step in {Step.WAIT, Step.NOTHING}:
            return False
        self.send(self.perform(found.step, found.number))
        return True

    def perform(self, step: Step, number: int) -> Event:
        busy = self.state.busy
        assert busy is not None
        if step is Step.VERIFY:
            assert self.state.reason_against(busy.identity or "") is None
        if step in {Step.LOAD, Step.PROBE, Step.ACTIVATE} and busy.cause is Cause.SOURCE:
            assert busy.committed or not self.state.held
            assert busy.committed or not self.how.approval or number in self.approved
        return self.world.do(step, number, self.contents)

    def send(self, event: Event) -> None:
        self.state = advance(self.state, event, Moment(self.now, 0.25), self.how)


TestAnySequence = Updates.TestCase
TestAnySequence.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
