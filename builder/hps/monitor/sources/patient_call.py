"""Calls that nobody can end: run in a thread of their own, and left behind when they hang.

A call that hangs in somebody else's library keeps its thread; it ends with the process, and so
there may be a few of them and no more.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from hps.monitor.source import SourceError, Trouble
from hps.store.cancellation import Cancellation

CALL = "hps-source-call"  # the name of their threads
_MOST = 4  # calls of one place that hang

_Result = TypeVar("_Result")


class PatientCalls:
    """The calls of one source; used by one thread at a time.

    Args:
        name: of the source, for errors.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._left: list[threading.Thread] = []

    def run(self, call: Callable[[], _Result], seconds: float, work: Cancellation) -> _Result:
        """What a call gives, if it comes in time; what it raises is raised here.

        Args:
            call: run in another thread, perhaps for ever: what it gives too late is dropped.
            seconds: after which it is left behind.
            work: calls it off.

        Raises:
            SourceError: STALLED: it takes too long, or too many hang already.
            Cancelled: `work` was called off.
        """
        self._left = [thread for thread in self._left if thread.is_alive()]
        if len(self._left) >= _MOST:
            raise self._stalled(f"{_MOST} calls that hang")
        ours, theirs = socket.socketpair()
        outcome = _Outcome()
        thread = threading.Thread(target=_run, args=(call, outcome, theirs), name=CALL, daemon=True)
        with ours:
            thread.start()
            try:
                with work.watching(ours):
                    ours.settimeout(seconds)
                    done = ours.recv(1)
            except TimeoutError:
                done = b""
            if not done:
                self._left.append(thread)
                work.check()
                raise self._stalled(f"no answer within {seconds:g} s")
        thread.join()
        if outcome.error is not None:
            raise outcome.error
        return cast("_Result", outcome.result)

    def _stalled(self, got: str) -> SourceError:
        return SourceError(Trouble.STALLED, f"{self._name} does not answer", got=got)


class _Outcome:
    result: Any = None
    error: BaseException | None = None


def _run(call: Callable[[], Any], outcome: _Outcome, done: socket.socket) -> None:
    with done:
        try:
            outcome.result = call()
        except BaseException as error:  # noqa: BLE001 - raised where the result is waited for
            outcome.error = error
        with contextlib.suppress(OSError):  # nobody waits any more
            done.sendall(b"!")
