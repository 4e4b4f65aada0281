"""When to try again."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.store.retry import Deadlines, Pace, delay, is_retried, parse_retry_after

NOW = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_these_may_be_better_next_time(status: int) -> None:
    assert is_retried(status)


@pytest.mark.parametrize("status", [200, 206, 301, 400, 401, 403, 404, 410, 416, 418])
def test_these_stay_as_they_are(status: int) -> None:
    assert not is_retried(status)


@given(st.integers(1, 60))
def test_waits_grow_and_stay_below_the_bound(attempt: int) -> None:
    deadlines = Deadlines(first_delay=0.5, longest_delay=30)
    wait = delay(attempt, deadlines)
    assert min(0.25 * 2 ** (attempt - 1), 30) <= wait <= min(0.75 * 2 ** (attempt - 1), 30)


@pytest.mark.parametrize(("asked", "wait"), [(0.0, 0.0), (7.0, 7.0), (86400.0, 30.0), (-5.0, 0.0)])
def test_a_server_is_believed_up_to_the_bound(asked: float, wait: float) -> None:
    assert delay(1, Deadlines(longest_delay=30), asked) == wait


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (format_datetime(NOW + timedelta(minutes=1), usegmt=True), 60.0),
        (format_datetime(NOW - timedelta(minutes=1), usegmt=True), -60.0),
        (None, None),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("9" * 400, float("inf")),
    ],
)
def test_retry_after_is_read(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(st.text(max_size=40))
def test_any_retry_after_is_survived(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or seconds >= 0


def test_the_rate_counts_over_whole_windows() -> None:
    pace = Pace(Deadlines(minimum_rate=10, rate_window=60), 0.0)
    assert not pace.is_too_slow(1, 59.9)  # the window is not over
    assert not pace.is_too_slow(600, 60.1)  # enough
    assert not pace.is_too_slow(0, 120.0)
    assert pace.is_too_slow(599, 120.2)  # a new window, one byte short
