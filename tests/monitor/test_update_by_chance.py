"""The update as a state machine, by chance: what always holds, whatever happens."""

import dataclasses
from dataclasses import dataclass, field

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
from hps.monitor.events import (
    Done,
    Event,
    Failed,
    Moment,
    Offered,
    Request,
    Served,
    Waiting,
    Wish,
)
from hps.monitor.server import Fault
from hps.monitor.sighting import Mark
from hps.monitor.source import Trouble
from hps.monitor.state import Cause, State
from hps.monitor.transitions import Outcome, Step, outcome_of
from hps.monitor.update import advance, due, recover
from tests.monitor.test_update import RULES, known, mark


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
