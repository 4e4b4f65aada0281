"""Runs the calls of one pipeline, one at a time, and joins those that wait and may go together.

Paddle's predictors belong to the thread that made them, so every call goes through one thread. A
call that finds the thread free starts at once; what arrives meanwhile waits, and when the thread
comes back it takes the oldest call and all others that ask for the same with other inputs. So
batches form under load and nobody waits for a batch to fill.
"""

import contextlib
import functools
import gc
import json
import threading
import time
from asyncio import wrap_future
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

_SCALARS = (str, int, float, bool, type(None))


class PredictionError(Exception):
    """The pipeline gave an error in the place of a result."""


@dataclass
class _Job:
    run: "Callable[[], Any]"
    future: "Future[Any]" = field(default_factory=Future)
    inputs: "Sequence[Any]" = ()
    key: "str | None" = None  # equal keys may be joined; None stands alone


class PipelineCaller:
    """Stands where PaddleX's serving apps expect the wrapper of their pipeline.

    They use `pipeline`, `infer` and `call` of it.

    Args:
        create: makes the pipeline; called in the thread that will use it.
        batch: most requests that are joined into one call of the pipeline.
    """

    def __init__(self, create: "Callable[[], Any]", *, batch: int = 1) -> None:
        self._batch = batch
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._busy_since: float | None = None
        self._pipeline: Any = None
        self.pipeline: Any = None
        self._thread = threading.Thread(target=self._work, name="pipeline", daemon=True)
        self._thread.start()
        try:
            self._submit(_Job(lambda: self._create(create))).result()
        except BaseException:
            self.close()
            raise

    @property
    def waiting(self) -> int:
        """How many calls have not begun."""
        return len(self._jobs)

    @property
    def busy_for(self) -> float:
        """For how many seconds the present call has been running; 0 when there is none."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    async def infer(self, data: Any, /, *_: Any, **parameters: Any) -> "list[Any]":
        """The pipeline's results for one input, or for a list of inputs (pages).

        A call that is cancelled before it begins never begins.

        Raises:
            PredictionError: the pipeline gave an error in the place of a result.
            Exception: whatever the pipeline raises.
        """
        inputs = data if isinstance(data, list) else [data]
        job = _Job(
            run=lambda: self._predict(data, parameters),
            inputs=inputs,
            key=_key(inputs, parameters),
        )
        return _checked(await wrap_future(self._submit(job)))

    async def call(self, function: "Callable[..., Any]", /, *args: Any, **kwargs: Any) -> Any:
        """Run anything else that needs the pipeline's predictors."""
        return await wrap_future(self._submit(_Job(lambda: function(*args, **kwargs))))

    def close(self, timeout: "float | None" = None) -> None:
        """End the thread after the present call; what waits is cancelled.

        The pipeline is let go of in its own thread, as Paddle's predictors may crash elsewhere.
        """
        with self._changed:
            self._closed = True
            for job in self._jobs:
                job.future.cancel()
            self._jobs.clear()
            self._changed.notify()
        self._thread.join(timeout)

    def _create(self, create: "Callable[[], Any]") -> None:
        self._pipeline = create()
        self.pipeline = _Eager(self._pipeline)

    def _submit(self, job: _Job) -> "Future[Any]":
        with self._changed:
            if self._closed:
                raise RuntimeError("the pipeline is closed")
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    def _work(self) -> None:
        while jobs := self._next():
            self._busy_since = time.monotonic()
            try:
                self._run(jobs)
            finally:
                self._busy_since = None
                jobs.clear()  # or the last call would keep what it holds until the next
        self._pipeline = None
        self.pipeline = None
        gc.unfreeze()  # some of the pipeline may have been put aside with the imports
        gc.collect()

    def _next(self) -> "list[_Job]":
        """The oldest job that is still wanted, and what may be joined to it; empty at the end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if self._closed:
                    return []
                first = self._jobs.popleft()
                if first.future.set_running_or_notify_cancel():
                    return [first, *self._joinable(first)]

    def _joinable(self, first: _Job) -> "list[_Job]":
        if first.key is None:
            return []
        joined: list[_Job] = []
        rest: deque[_Job] = deque()
        while self._jobs:
            job = self._jobs.popleft()
            if len(joined) + 1 >= self._batch or job.key != first.key:
                rest.append(job)
            elif job.future.set_running_or_notify_cancel():
                joined.append(job)
        self._jobs = rest
        return joined

    def _run(self, jobs: "list[_Job]") -> None:
        if len(jobs) > 1 and self._run_joined(jobs):
            return
        for job in jobs:
            try:
                result = job.run()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
                job.future.set_exception(_passable(error))
            else:
                job.future.set_result(result)

    def _run_joined(self, jobs: "list[_Job]") -> bool:
        """Whether one call has answered all; if not, each is asked alone, so one fails alone."""
        inputs = [each for job in jobs for each in job.inputs]
        parameters = json.loads(jobs[0].key or "{}")
        with contextlib.suppress(Exception):
            results = self._predict(inputs, parameters)
            if len(results) == len(inputs):
                _hand_out(jobs, results)
                return True
        return False

    def _predict(self, data: Any, parameters: "Mapping[str, Any]") -> "list[Any]":
        with contextlib.closing(self._pipeline.predict(data, **parameters)) as results:
            return list(results)


def _passable(error: BaseException) -> Exception:
    """What asyncio can hand on: it refuses StopIteration and ends its loop at a SystemExit."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(repr(error))


class _Eager:
    """The pipeline as the apps see it: its methods give lists where they would give generators.

    An app takes a generator from the pipeline's thread and draws from it on the event loop, where
    it holds up every other request and predictors do not belong.
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._pipeline, name)
        if not callable(found):
            return found

        @functools.wraps(found)
        def eager(*args: Any, **kwargs: Any) -> Any:
            given = found(*args, **kwargs)
            return list(given) if isinstance(given, Generator) else given

        return eager


def _hand_out(jobs: "list[_Job]", results: "list[Any]") -> None:
    position = 0
    for job in jobs:
        end = position + len(job.inputs)
        job.future.set_result(results[position:end])
        position = end


def _checked(results: "list[Any]") -> "list[Any]":
    """PaddleX's streaming pipelines report a failure as a result of one key, `error`."""
    for result in results:
        if isinstance(result, dict) and result.keys() == {"error"}:
            raise PredictionError(str(result["error"]))
    return results


def _key(inputs: "list[Any]", parameters: "Mapping[str, Any]") -> "str | None":
    """Equal for calls that differ in nothing but their inputs.

    JSON text and not `==`, for which True equals 1. The kind of the inputs counts, as a pipeline
    reads a list by the kind of its first element. Lists and mappings stand alone: PaddleX 3.7
    applies thresholds by class to the rows of a batch.
    """
    kinds = {type(each).__qualname__ for each in inputs}
    if len(kinds) != 1 or not kinds <= {"ndarray"}:
        return None
    if not all(isinstance(value, _SCALARS) for value in parameters.values()):
        return None
    return json.dumps(parameters, sort_keys=True)
