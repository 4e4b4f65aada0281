"""Run tasks in a few threads; what they have to say is said in the caller's thread.

The threads are daemons: a server that keeps one of them in a connection attempt must not keep
the process from ending after Ctrl-C.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from hps.errors import FetchError, HpsError, IntegrityError
from hps.store.cancellation import Cancellation

T = TypeVar("T")
E = TypeVar("E")

_GRACE = 2.0  # seconds for threads to clean up after a cancellation


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[T]):
    index: int
    value: T | None = None
    error: BaseException | None = None


def run(
    tasks: Sequence[Callable[[Callable[[E], None]], T]],
    *,
    workers: int,
    notify: Callable[[E], None],
    cancellation: Cancellation,
) -> tuple[dict[int, T], dict[int, HpsError]]:
    """Run every task and give results and failures by index.

    A failure of fetching does not stop the others, so that all can be reported together. Anything
    else (a full disk, Ctrl-C, an error of `notify`) cancels the rest and is raised.

    Args:
        tasks: called with a function that passes an event on to `notify`.
        workers: threads at most.
        notify: called in this thread only.
        cancellation: what the tasks watch.
    """
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(tasks)):
        todo.put(index)
    messages: queue.SimpleQueue[E | _Outcome[T]] = queue.SimpleQueue()

    def work() -> None:
        while True:
            try:
                index = todo.get_nowait()
            except queue.Empty:
                return
            try:
                messages.put(_Outcome(index, value=tasks[index](messages.put)))
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                messages.put(_Outcome(index, error=error))

    threads = [
        threading.Thread(target=work, daemon=True, name=f"hps-fetch-{number}")
        for number in range(min(workers, len(tasks)))
    ]
    for thread in threads:
        thread.start()
    try:
        return _collect(messages, len(tasks), notify)
    except BaseException:
        while not todo.empty():
            todo.get()
        cancellation.cancel()
        raise
    finally:
        deadline = time.monotonic() + _GRACE
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _collect(
    messages: "queue.SimpleQueue[E | _Outcome[T]]", count: int, notify: Callable[[E], None]
) -> tuple[dict[int, T], dict[int, HpsError]]:
    results: dict[int, T] = {}
    failures: dict[int, HpsError] = {}
    while len(results) + len(failures) < count:
        message = messages.get()
        if not isinstance(message, _Outcome):
            notify(message)
        elif isinstance(message.error, FetchError | IntegrityError):
            failures[message.index] = message.error
        elif message.error is not None:
            raise message.error
        else:
            results[message.index] = message.value  # type: ignore[assignment] # set when no error
    return results, failures
