"""How models stand: states, what is ready, what a person should look at, and in what words."""

import json

import pytest

from hps.archive.refusal import Reason as ArchiveReason
from hps.model.refusal import Reason
from hps.monitor.events import Rules, Wish
from hps.monitor.history import Past
from hps.monitor.pulled import Cause as PullCause
from hps.monitor.server import Fault
from hps.monitor.sighting import News
from hps.monitor.source import Trouble
from hps.monitor.status import STATES, ModelStatus, commands
from hps.monitor.transitions import Outcome, Phase, Step
from hps.monitor.words import Mood, advice, headline, lasted, named, news, outcome, reason
from tests.monitor import snapshots
from tests.monitor.snapshots import host, model
from tests.monitor.telling import STEPS, Telling, is_rfc3339

LATER = 1_800_100_000.0


def words(found: ModelStatus, now: float = LATER) -> tuple[Mood, str]:
    found_headline = headline(found, now)
    return found_headline.mood, found_headline.words


def test_every_step_of_an_update_is_a_state() -> None:
    telling = Telling().offer(1)
    states = [model(telling).state]
    for step in (Step.PULL, Step.VERIFY, Step.STAGE, Step.INSPECT, Step.LOAD, Step.PROBE):
        states.append(model(telling.do(step)).state)
    states.append(model(telling.do(Step.ACTIVATE)).state)
    assert states == "detected pulled verified staged staged loaded probed live".split()
    assert set(states) <= set(STATES)


@pytest.mark.parametrize(
    ("found", "state", "expected"),
    [
        (snapshots.calm(), "live", (Mood.GOOD, "Live")),
        (snapshots.refused(), "refused", (Mood.LOOK, "Update refused")),
        (snapshots.awaiting(), "awaiting-approval", (Mood.LOOK, "Waits for approval")),
        (snapshots.dead(), "live", (Mood.BAD, "Not served")),
        (snapshots.empty(), "empty", (Mood.BAD, "Nothing is live")),
    ],
    ids=["calm", "refused", "awaiting", "dead", "empty"],
)
def test_what_matters_most_is_said_first(
    found: ModelStatus, state: str, expected: tuple[Mood, str]
) -> None:
    assert found.state == state
    assert words(found) == expected
    assert found.needs_attention(LATER) == (expected[0] is not Mood.GOOD)


def test_a_held_model_is_held_and_says_how_it_is_released() -> None:
    found = model(Telling().live(1).wish(Wish.HOLD))
    assert (found.state, words(found)) == ("held", (Mood.BUSY, "Held"))
    assert not found.needs_attention(LATER)
    assert list(commands(found).values()) == ["release ocr"]


def test_what_waits_for_approval_can_be_approved_by_its_number_only() -> None:
    found = snapshots.awaiting()
    assert found.approval == 2
    assert sorted(commands(found).values()) == [
        "approve table --number 2",
        "refuse table --number 2",
    ]


def test_what_a_person_refused_needs_no_other_person() -> None:
    telling = Telling(Rules(approval=True)).offer(1)
    telling.wish(Wish.APPROVE).do(*STEPS)
    telling.offer(2).do(Step.PULL, Step.VERIFY, Step.STAGE, Step.INSPECT).wish(Wish.REFUSE, 2)
    found = model(telling)
    assert (found.state, found.history[0].reason) == ("refused", "operator")
    assert words(found) == (Mood.GOOD, "Live")
    assert not found.needs_attention(LATER)


def test_an_update_that_is_tried_again_is_to_be_looked_at() -> None:
    telling = Telling().live(1).offer(2).fail(Outcome.PASSING, "unreachable", "no route to host")
    found = model(telling)
    assert found.pending is not None
    assert found.pending.until is not None
    assert words(found) == (Mood.LOOK, "Update is tried again")
    assert words(model(Telling().live(1).offer(2))) == (Mood.BUSY, "Updating")


def test_metadata_that_was_not_verified_for_too_long_is_stale() -> None:
    telling = Telling().live(1)
    fresh = model(telling, max_age=7200.0)
    assert not fresh.is_stale(telling.now)
    assert fresh.is_stale(telling.now + 7200)
    assert words(fresh, telling.now + 7200) == (Mood.LOOK, "Nothing new for too long")
    assert model(telling, max_age=7200.0, verified=None).is_stale(telling.now)
    assert not model(telling, verified=None).is_stale(telling.now)


def test_a_clock_that_was_set_back_makes_no_negative_age() -> None:
    assert snapshots.calm().age(0.0) == 0.0


def test_since_when_a_generation_is_live_comes_from_the_last_time_that_it_went_live() -> None:
    telling = Telling().live(1).live(2)
    first = model(telling).live
    telling.wish(Wish.ROLLBACK, 1).do(Step.INSPECT, Step.LOAD, Step.PROBE, Step.ACTIVATE)
    found = model(telling).live
    assert first is not None
    assert found is not None
    assert (first.number, found.number) == (2, 1)
    assert found.since == telling.now
    assert found.release is not None
    assert found.release.sequence == 1  # told when it was verified, long before


def test_a_journal_that_has_forgotten_still_says_what_is_live() -> None:
    telling = Telling().live(1)
    telling.records.clear()
    live = model(telling).live
    assert live is not None
    assert (live.number, live.since, live.release) == (1, None, None)


def test_ready_are_models_whose_server_says_that_it_serves_them() -> None:
    status = host(snapshots.calm(), snapshots.dead(), snapshots.empty(), now=LATER)
    assert status.unready == ("formula", "seal")
    assert not status.as_json()["ready"]
    assert host(snapshots.calm(), now=LATER).as_json()["ready"]
    assert model(Telling().live(1), serving=None).ready is False


def test_the_document_is_json_with_whole_times() -> None:
    models = [snapshots.calm(), snapshots.refused(), snapshots.awaiting(), snapshots.dead()]
    document = json.loads(json.dumps(host(*models, now=LATER).as_json(), allow_nan=False))
    assert [one["name"] for one in document["models"]] == ["layout", "ocr", "table", "formula"]
    assert is_rfc3339(document["now"])
    layout, ocr, table, formula = document["models"]
    assert layout["live"]["release"]["sequence"] == 12
    assert is_rfc3339(layout["live"]["since"])
    assert ocr["history"][0]["reason"] == "rollback"
    assert table["pending"]["waiting"] == "awaiting-approval"
    assert formula["error"]["reason"] == "unreachable"


def test_every_reason_has_words_and_unknown_ones_stand_for_themselves() -> None:
    for kind in (Reason, Trouble, Fault, PullCause, ArchiveReason):
        for code in kind:
            assert reason(str(code)) != str(code), code
            assert advice(str(code)) or code == PullCause.STOPPED, code
    assert reason("something-new") == "something-new"
    assert advice("something-new") == ""
    assert all(news(str(one)) != str(one) for one in News)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-5, "0 s"), (4.9, "4 s"), (99, "99 s"), (100, "1 min"), (7200, "2 h"), (432_000, "5 days")],
)
def test_time_spans_are_short(seconds: float, expected: str) -> None:
    assert lasted(seconds) == expected


def test_ends_of_updates_have_words() -> None:
    def row(phase: str, cause: str = "source", by: str = "", over: bool = True) -> str:
        return outcome(Past(1, cause, phase, over, "", "", by=by))

    assert row("live") == "went live"
    assert row("live", "operator", "ada") == "rolled back to by ada"
    assert row("live", "revival") == "loaded again"
    assert row("refused") == "refused"
    assert row("rolled-back") == "undone"
    assert row("staged", over=False) == "ready to be loaded"
    assert row("something-new", over=False) == "under way: something-new"
    assert "under way" not in "".join(
        row(str(phase), over=False) for phase in Phase if phase != "live"
    )
    assert row("of another version") == "of another version"


def test_a_model_without_a_release_is_named_as_such() -> None:
    assert named(None) == "without a release number"


def test_approval_is_asked_for_only_where_the_rules_say_so() -> None:
    assert model(Telling(Rules()).live(1)).approval is None
