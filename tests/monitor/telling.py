"""A journal as a runner writes it, in memory: the real state machine, and an entry for each event."""

import re

from hps.model.policy import Known
from hps.monitor.events import Done, Event, Failed, Moment, Offered, Request, Rules, Wish
from hps.monitor.history import Happened, Release, entry_of
from hps.monitor.journal_record import Record, timestamp
from hps.monitor.sighting import Mark
from hps.monitor.state import State
from hps.monitor.transitions import Outcome, Step
from hps.monitor.update import advance, due

BEGIN = 1_800_000_000.0  # 2027-01-15T08:00:00Z
STEPS = (Step.PULL, Step.VERIFY, Step.STAGE, Step.INSPECT, Step.LOAD, Step.PROBE, Step.ACTIVATE)


class Telling:
    """Updates of a model, and what a journal says of them; every event takes a second."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.state = State()
        self.records: list[Record] = []
        self.now = BEGIN
        self.releases: dict[int, Release] = {}

    def send(self, event: Event, *, by: str = "", request: str = "") -> "Telling":
        self.now += 1
        before = self.state
        self.state = advance(before, event, Moment(self.now), self.rules)
        about = self.state.busy or before.busy
        number = 0 if about is None else about.number
        verified = isinstance(event, Done) and event.step is Step.VERIFY
        entry = entry_of(
            _kind(event),
            self.state,
            release=self.releases.get(number) if verified else None,
            by=by,
            request=request,
        )
        self.records.append(
            Record(
                len(self.records) + 1, timestamp(self.now), 1, number, entry, self.state.as_json()
            )
        )
        return self

    def offer(self, number: int) -> "Telling":
        return self.send(Offered(Mark(f"donefile {number}", "", f"model {number}", settled=True)))

    def do(self, *steps: Step) -> "Telling":
        for step in steps:
            self.now += 400  # whatever it waited for is over
            number = due(self.state, self.now, self.rules).number
            known = Known(number) if step is Step.VERIFY else None
            self.send(Done(step, f"sha256:{number:064x}", known=known))
        return self

    def fail(self, outcome: Outcome, reason: str, detail: str = "") -> "Telling":
        assert self.state.busy is not None
        return self.send(Failed(self.state.busy.step, outcome, reason, detail))

    def wish(self, wish: Wish, number: int | None = None, by: str = "ada") -> "Telling":
        return self.send(Request(wish, number, by), by=by, request=f"request-{len(self.records)}")

    def live(self, number: int, *, sequence: int | None = None, version: str = "") -> "Telling":
        sequence = number if sequence is None else sequence
        self.releases[number] = Release(
            "ocr", "stable", sequence, version, f"sha256:{number:064x}", "signature"
        )
        return self.offer(number).do(*STEPS)


def _kind(event: Event) -> Happened:
    kinds: dict[type, Happened] = {
        Offered: Happened.OFFERED,
        Done: Happened.STEP,
        Failed: Happened.FAILED,
        Request: Happened.OPERATOR,
    }
    return kinds.get(type(event), Happened.SERVED)


def is_rfc3339(text: str) -> bool:
    """With seconds, milliseconds and a zone."""
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text))
