"""The table of transitions: complete, closed, and the same in docs/reference/model-update.md."""

import os
from pathlib import Path

import pytest

from hps.archive.refusal import ArchiveError
from hps.archive.refusal import Reason as ArchiveReason
from hps.errors import HpsError, IntegrityError, NotFoundError, StoreError
from hps.model.refusal import Reason
from hps.monitor.backoff import Backoff
from hps.monitor.disk import DiskError
from hps.monitor.pulled import Cause, PullError
from hps.monitor.server import Fault, ServerError
from hps.monitor.source import SourceError, Trouble
from hps.monitor.transitions import (
    ENDS,
    RECOVERY,
    TABLE,
    Outcome,
    Phase,
    Place,
    Step,
    outcome_of,
    outcome_of_error,
)
from hps.monitor.tree import StrangeFileError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "model-update.md"
BEGIN, END = "<!-- transitions -->\n", "<!-- end -->\n"


def written(place: Place | None) -> str:
    if place is None:
        return "forgotten"
    return f"{place[0]}, {place[1]}" if place[1] is not Step.NOTHING else f"**{place[0]}**"


def table() -> str:
    lines = ["| state | to be done | outcome | leads to |\n", "|---|---|---|---|\n"]
    for place, row in TABLE.items():
        for outcome, target in row.items():
            lines.append(f"| {place[0]} | {place[1]} | {outcome} | {written(target)} |\n")
        lines.append(f"| {place[0]} | {place[1]} | restart | {written(RECOVERY[place])} |\n")
    return "".join(lines)


def test_the_page_shows_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    shown, _, after = rest.partition(END)
    if os.environ.get("HPS_WRITE_DOCS"):
        PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")
        return
    assert shown == f"\n{table()}\n", "run HPS_WRITE_DOCS=1 pytest tests/monitor"


@pytest.mark.parametrize("phase", Phase)
def test_the_page_explains_every_state(phase: Phase) -> None:
    assert f"| `{phase}` | " in PAGE.read_text(encoding="utf-8")


def test_every_place_that_is_led_to_leads_on_or_is_an_end() -> None:
    for row in TABLE.values():
        for target in row.values():
            assert target is None or target in TABLE or target in ENDS
    assert set(RECOVERY) == {*TABLE, *ENDS}
    for target in RECOVERY.values():
        assert target is None or target in TABLE or target in ENDS


def test_every_place_is_reached_and_can_end() -> None:
    reached = {(Phase.DETECTED, Step.PULL), (Phase.STAGED, Step.INSPECT)}
    ending: set[Place] = set(ENDS)
    for _ in TABLE:
        reached |= {to for place in reached & TABLE.keys() for to in TABLE[place].values() if to}
        ending |= {place for place, row in TABLE.items() if ending & {*row.values()}}
    assert reached == {*TABLE, *ENDS}
    assert ending == {*TABLE, *ENDS}


def test_live_is_reached_in_one_way_only() -> None:
    ways = [
        (place, outcome)
        for place, row in TABLE.items()
        for outcome, target in row.items()
        if target == (Phase.LIVE, Step.NOTHING)
    ]
    assert ways == [((Phase.PROBED, Step.ACTIVATE), Outcome.DONE)]


def test_nothing_gives_way_while_a_server_may_have_it() -> None:
    """Something newer only takes the place of what no server holds."""
    for place, row in TABLE.items():
        if Outcome.NEWER in row:
            assert place[1] in {Step.PULL, Step.VERIFY, Step.STAGE, Step.INSPECT, Step.LOAD}


def test_every_step_can_fail_in_passing() -> None:
    for place, row in TABLE.items():
        assert Outcome.PASSING in row, place


def test_every_reason_code_has_an_outcome() -> None:
    kinds: list[Trouble | Fault | Reason] = [*Trouble, *Fault, *Reason]
    for reason in kinds:
        assert outcome_of(reason) in Outcome


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (SourceError(Trouble.STALLED, "x"), Outcome.PASSING, "stalled"),
        (PullError(Cause.UNSTEADY, "x"), Outcome.PASSING, "unsteady"),
        (SourceError(Trouble.CHANGED, "x"), Outcome.GONE, "changed"),
        (SourceError(Trouble.TOO_LARGE, "x"), Outcome.BROKEN, "too-large"),
        (ServerError(Fault.UNKNOWN, "x"), Outcome.UNKNOWN, "load-unknown"),
        (ServerError(Fault.HANGS, "x"), Outcome.HANGS, "load-hangs"),
        (ServerError(Fault.PROBE, "x"), Outcome.CONTENT, "probe-failed"),
        (ArchiveError(ArchiveReason.TRUNCATED, "x"), Outcome.BROKEN, "truncated"),
        (IntegrityError("x"), Outcome.BROKEN, "integrity"),
        (StrangeFileError("x"), Outcome.BROKEN, "strange-file"),
        (DiskError("x"), Outcome.PASSING, "disk-unusable"),
        (StoreError("x"), Outcome.PASSING, "store-unusable"),
        (NotFoundError("x"), Outcome.PASSING, "artifact-not-found"),
        (HpsError("x"), Outcome.PASSING, "hps-error"),
    ],
)
def test_errors_are_taken_for_what_they_are(error: HpsError, outcome: Outcome, reason: str) -> None:
    assert outcome_of_error(error) == (outcome, reason)


def test_signed_content_is_final_and_everything_else_may_have_been_broken_on_the_way() -> None:
    assert outcome_of(Reason.ROLLBACK) is Outcome.CONTENT
    assert outcome_of(Reason.UNTRUSTED_KEY) is Outcome.BROKEN
    assert outcome_of(Reason.DIGEST_MISMATCH) is Outcome.BROKEN
    assert outcome_of(Reason.NOT_YET_VALID) is Outcome.PASSING
    assert outcome_of(Reason.EXPIRED) is Outcome.BROKEN  # says a clock that may be wrong


def test_waits_double_up_to_a_bound_and_are_shortened_by_chance() -> None:
    backoff = Backoff(1.0, 300.0, 0.5)
    assert [backoff.delay(n, 0.0) for n in (0, 1, 2, 3, 9, 10, 10_000)] == [
        *(1.0, 1.0, 2.0, 4.0, 256.0),
        *(300.0, 300.0),
    ]
    assert backoff.delay(3, 0.5) == 3.0
    assert backoff.delay(3, 0.999) > 2.0
    assert backoff.delay(1, 0.0, after=20.0) == 20.0
    assert backoff.delay(1, 0.0, after=1e12) == 300.0
    assert backoff.delay(1, 0.0, after=-5.0) == 1.0
