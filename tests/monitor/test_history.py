"""The history of a model: rows of updates from records of a journal, old and new and strange."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps import canonical
from hps.monitor.events import Wish
from hps.monitor.history import Release, requests, seconds, updates
from hps.monitor.journal_record import Record
from hps.monitor.transitions import Outcome, Step
from tests.monitor.telling import STEPS, Telling, is_rfc3339


def shown(telling: Telling) -> list[tuple[int, str, str, bool]]:
    return [(one.number, one.cause, one.phase, one.over) for one in updates(telling.records)]


def test_an_update_that_went_live_is_one_row_with_its_release_and_times() -> None:
    (row,) = updates(Telling().live(1, sequence=12, version="2026.11").records)
    assert (row.number, row.cause, row.phase, row.over) == (1, "source", "live", True)
    assert row.release is not None
    assert (row.release.sequence, row.release.version) == (12, "2026.11")
    assert row.release.verified == "signature"
    assert is_rfc3339(row.began)
    assert is_rfc3339(row.ended)
    assert row.began < row.ended
    assert (row.reason, row.detail, row.failures) == ("", "", 0)


def test_the_newest_update_comes_first_and_no_more_than_asked_for() -> None:
    telling = Telling().live(1).live(2).offer(3).do(Step.PULL)
    assert shown(telling) == [
        (3, "source", "pulled", False),
        (2, "source", "live", True),
        (1, "source", "live", True),
    ]
    assert [one.number for one in updates(telling.records, 2)] == [3, 2]


def test_a_refusal_keeps_its_reason_and_counts_what_failed_before() -> None:
    telling = Telling().live(1).offer(2)
    telling.fail(Outcome.PASSING, "unreachable").fail(Outcome.PASSING, "stalled").do(Step.PULL)
    telling.fail(Outcome.CONTENT, "rollback", "release 1 is older")
    row = updates(telling.records)[0]
    assert (row.phase, row.over, row.reason, row.detail) == (
        "refused",
        True,
        "rollback",
        "release 1 is older",
    )
    assert row.failures == 3


def test_a_rollback_of_an_operator_is_a_row_of_its_own_and_says_who() -> None:
    telling = Telling().live(1).live(2).wish(Wish.ROLLBACK, 1, "ada")
    telling.do(Step.INSPECT, Step.LOAD, Step.PROBE, Step.ACTIVATE)
    assert shown(telling) == [
        (1, "operator", "live", True),
        (2, "source", "live", True),
        (1, "source", "live", True),
    ]
    assert updates(telling.records)[0].by == "ada"


def test_a_number_that_is_given_again_is_another_row() -> None:
    telling = Telling().live(1).offer(2).do(Step.PULL).offer(3)
    # The source has taken it back: the update is forgotten, and its number comes again.
    telling.fail(Outcome.CONTENT, "rollback")
    telling.offer(4).do(*STEPS)
    numbers = [number for number, *_ in shown(telling)]
    assert numbers[-1] == 1
    assert len(numbers) == len(updates(telling.records)) >= 3


def test_what_a_person_says_after_the_end_does_not_change_the_row() -> None:
    telling = Telling().live(1)
    before = updates(telling.records)
    telling.wish(Wish.HOLD)
    assert updates(telling.records) == before


def test_requests_that_the_journal_has_are_known_by_their_id() -> None:
    telling = Telling().live(1).wish(Wish.HOLD).wish(Wish.RELEASE)
    assert requests(telling.records) == {"request-8", "request-9"}


def test_entries_fit_into_a_journal() -> None:
    for record in Telling().live(1).live(2).wish(Wish.ROLLBACK).records:
        assert Record.from_line(record.as_line()[:-1]) == record
        assert canonical.loads(canonical.dumps(record.entry)) == record.entry


@pytest.mark.parametrize("entry", [{}, {"phase": "end"}, {"step": 7, "release": [], "by": {}}])
def test_entries_of_other_versions_are_shown_as_far_as_they_go(entry: dict[str, object]) -> None:
    (row,) = updates([Record(1, "2026-11-22T08:13:25.000Z", 1, 5, entry, None)])
    assert (row.number, row.over, row.failures) == (5, False, 0)


def test_control_characters_of_entries_are_left_out() -> None:
    entry = {"phase": "refused", "detail": "a\x1b[2Jb\nc\u202ed", "release": {"version": "\x07"}}
    (row,) = updates([Record(1, "2026-11-22T08:13:25.000Z", 1, 5, entry, None)])
    assert row.detail == "a[2Jbcd"
    assert row.release == Release()


@given(st.recursive(st.none() | st.text() | st.integers() | st.booleans(), st.lists))
def test_a_release_of_anything_is_a_release(value: object) -> None:
    assert isinstance(Release.from_json({"name": value, "sequence": value}), Release)
    assert Release.from_json(value) == Release()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2027-01-15T08:00:00.000Z", 1_800_000_000.0),
        ("2027-01-15T08:00:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times_of_records_are_read_or_are_none(text: str, value: float | None) -> None:
    assert seconds(text) == value
