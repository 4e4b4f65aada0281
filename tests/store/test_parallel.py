"""Tasks in threads: what is collected, what ends everything."""

import threading
from collections.abc import Callable

import pytest

from hps.errors import FetchError, IntegrityError, StoreError
from hps.store import parallel
from hps.store.cancellation import Cancellation, Cancelled

Emit = Callable[[str], None]


def run(
    *tasks: Callable[[Emit], int],
    notify: Callable[[str], None] = lambda _: None,
    cancellation: Cancellation | None = None,
) -> tuple[dict[int, int], dict[int, Exception]]:
    results, failures = parallel.run(
        tasks, workers=2, notify=notify, cancellation=cancellation or Cancellation()
    )
    return results, dict(failures)


def failing(error: Exception) -> Callable[[Emit], int]:
    def task(emit: Emit) -> int:
        raise error

    return task


def test_results_and_failures_are_told_by_index() -> None:
    broken, wrong = FetchError("broken"), IntegrityError("wrong")
    assert run(lambda _: 7, failing(broken), lambda _: 9, failing(wrong)) == (
        {0: 7, 2: 9},
        {1: broken, 3: wrong},
    )
    assert run() == ({}, {})


def test_events_arrive_in_order_before_the_end() -> None:
    def task(emit: Emit) -> int:
        for each in "abc":
            emit(each)
        return 1

    heard: list[str] = []
    run(task, notify=heard.append)
    assert heard == ["a", "b", "c"]


@pytest.mark.parametrize("error", [StoreError("full"), RuntimeError("a bug"), KeyError("x")])
def test_what_is_not_about_fetching_cancels_the_rest(error: Exception) -> None:
    cancellation = Cancellation()
    ended = threading.Event()

    def waiting(emit: Emit) -> int:
        try:
            cancellation.sleep(60)
        except Cancelled:
            ended.set()
            raise
        return 0

    with pytest.raises(type(error)):
        run(waiting, failing(error), waiting, waiting, cancellation=cancellation)
    assert ended.is_set()
    with pytest.raises(Cancelled):
        cancellation.check()
