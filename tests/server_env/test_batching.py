"""Calls of one pipeline: one thread, joined when they may be, failing alone."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from hps_server.batching import PipelineCaller, PredictionError


class Pipeline:
    """Answers each input with its sum and what it was asked with; can be held up and told to fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, dict[str, Any]]] = []
        self.threads = {threading.current_thread()}
        self.held = threading.Event()
        self.held.set()

    def predict(self, data: Any, **parameters: Any) -> Iterator[Any]:
        self.threads.add(threading.current_thread())
        inputs = data if isinstance(data, list) else [data]
        self.calls.append((len(inputs), parameters))
        assert self.held.wait(20)
        for each in inputs:
            total = int(np.sum(each))
            if total < 0:
                raise ValueError("negative")
            yield {"error": "zero"} if total == 0 else {"sum": total, **parameters}


def image(value: int) -> Any:
    return np.full((1, 1), value)


def caller(batch: int = 8) -> PipelineCaller:
    return PipelineCaller(Pipeline, batch=batch)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what changes is another thread's
            await asyncio.sleep(0.001)


async def together(subject: PipelineCaller, *calls: Any) -> list[Any]:
    """Let one call hold the thread while the others arrive; their results, or errors."""
    subject.pipeline.held.clear()
    first = asyncio.ensure_future(subject.infer(image(1), first=True))
    await until(lambda: subject.pipeline.calls)
    others = [asyncio.ensure_future(call) for call in calls]
    await until(lambda: subject.waiting == len(others))
    subject.pipeline.held.set()
    await first
    return await asyncio.gather(*others, return_exceptions=True)


def test_what_waits_and_asks_for_the_same_is_one_call() -> None:
    subject = caller()
    results = asyncio.run(
        together(
            subject,
            subject.infer(image(2), top=1),
            subject.infer([image(3), image(4)], top=1),
            subject.infer(image(5), top=2),
            subject.infer(image(6), top=1),
        )
    )
    assert results == [
        [{"sum": 2, "top": 1}],
        [{"sum": 3, "top": 1}, {"sum": 4, "top": 1}],
        [{"sum": 5, "top": 2}],
        [{"sum": 6, "top": 1}],
    ]
    assert subject.pipeline.calls[1:] == [(4, {"top": 1}), (1, {"top": 2})]
    subject.close()


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), ("1", 1), (None, False)])
def test_equal_is_not_enough(one: object, other: object) -> None:
    subject = caller()
    asyncio.run(
        together(subject, subject.infer(image(2), top=one), subject.infer(image(3), top=other))
    )
    assert [count for count, _ in subject.pipeline.calls] == [1, 1, 1]
    subject.close()


@pytest.mark.parametrize(
    "parameters", [{"index": object()}, {"pair": (1, 2)}, {"by": {1: 0.5}}, {"each": [0.5]}]
)
def test_what_cannot_be_compared_stands_alone(parameters: "dict[str, Any]") -> None:
    subject = caller()
    calls = [subject.infer(image(2), **parameters), subject.infer(image(3), **parameters)]
    results = asyncio.run(together(subject, *calls))
    assert [result[0]["sum"] for result in results] == [2, 3]
    assert [count for count, _ in subject.pipeline.calls] == [1, 1, 1]
    subject.close()


def test_no_more_are_joined_than_the_operation_allows() -> None:
    subject = caller(batch=2)
    asyncio.run(together(subject, *[subject.infer(image(n)) for n in range(1, 6)]))
    assert [count for count, _ in subject.pipeline.calls] == [1, 2, 2, 1]
    subject.close()


def test_a_bad_one_fails_alone() -> None:
    subject = caller()
    calls = [subject.infer(image(value)) for value in (2, -1, 0, 3)]
    good, bad, wrong, last = asyncio.run(together(subject, *calls))
    assert (good, last) == ([{"sum": 2}], [{"sum": 3}])
    assert isinstance(bad, ValueError)
    assert isinstance(wrong, PredictionError)
    subject.close()


def test_results_that_do_not_match_the_inputs_are_asked_for_again() -> None:
    class Losing(Pipeline):
        def predict(self, data: Any, **parameters: Any) -> Iterator[Any]:
            results = super().predict(data, **parameters)
            if isinstance(data, list):
                next(results)
            yield from results

    subject = PipelineCaller(Losing, batch=8)
    results = asyncio.run(together(subject, subject.infer(image(2)), subject.infer(image(3))))
    assert results == [[{"sum": 2}], [{"sum": 3}]]
    subject.close()


def test_what_is_cancelled_while_waiting_never_begins() -> None:
    subject = caller(batch=1)
    subject.pipeline.held.clear()

    async def scenario() -> None:
        first = asyncio.ensure_future(subject.infer(image(1)))
        await until(lambda: subject.pipeline.calls)
        unwanted = asyncio.ensure_future(subject.infer(image(2)))
        wanted = asyncio.ensure_future(subject.infer(image(3)))
        await until(lambda: subject.waiting == 2)
        unwanted.cancel()
        await asyncio.wait({unwanted})
        await asyncio.sleep(0)  # asyncio tells the other future in its next round
        subject.pipeline.held.set()
        assert await first == [{"sum": 1}]
        assert await wanted == [{"sum": 3}]

    asyncio.run(scenario())
    assert len(subject.pipeline.calls) == 2
    subject.close()


def test_everything_runs_in_one_thread() -> None:
    subject = caller()

    async def run() -> None:
        await subject.infer(image(1))
        here = await subject.call(threading.current_thread)
        assert subject.pipeline.threads == {here}

    asyncio.run(run())
    subject.close()


@pytest.mark.parametrize("error", [StopIteration("end"), KeyError("key"), SystemExit(1)])
def test_any_exception_reaches_who_asked(error: BaseException) -> None:
    def fail() -> None:
        raise error

    async def run() -> None:
        with pytest.raises((RuntimeError, KeyError)):
            await asyncio.wait_for(subject.call(fail), 10)
        assert await subject.infer(image(1)) == [{"sum": 1}]

    subject = caller()
    asyncio.run(run())
    subject.close()


def test_generators_are_drawn_from_where_the_pipeline_is_called() -> None:
    async def run() -> None:
        results = await subject.call(subject.pipeline.predict, [image(1), image(2)])
        assert results == [{"sum": 1}, {"sum": 2}]
        here = await subject.call(threading.current_thread)
        assert subject.pipeline.threads == {here}

    subject = caller()
    asyncio.run(run())
    subject.close()


def test_a_pipeline_that_cannot_be_made_leaves_no_thread() -> None:
    before = threading.active_count()

    def fail() -> None:
        raise OSError("no weights")

    with pytest.raises(OSError, match="no weights"):
        PipelineCaller(fail)
    assert threading.active_count() == before


def test_closing_cancels_what_waits() -> None:
    async def run() -> None:
        subject.pipeline.held.clear()
        first = asyncio.ensure_future(subject.infer(image(1)))
        await until(lambda: subject.pipeline.calls)
        waiting = asyncio.ensure_future(subject.infer(image(2)))
        await until(lambda: subject.waiting)
        closing = asyncio.get_running_loop().run_in_executor(None, subject.close)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        subject.pipeline.held.set()
        assert await first == [{"sum": 1}]
        await closing
        with pytest.raises(RuntimeError, match="closed"):
            await subject.infer(image(3))

    subject = caller()
    asyncio.run(run())


def test_how_long_the_present_call_has_run() -> None:
    async def run() -> None:
        subject.pipeline.held.clear()
        first = asyncio.ensure_future(subject.infer(image(1)))
        await until(lambda: subject.busy_for)
        subject.pipeline.held.set()
        await first
        await until(lambda: not subject.busy_for)

    subject = caller()
    asyncio.run(asyncio.wait_for(run(), 20))
    subject.close()
