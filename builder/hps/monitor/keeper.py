"""Keeps one model looked after: what ends its loop is told, and it begins again from its journal.

A fault of one model (its disk, its journal, a bug) must not end the others, nor stay unseen, nor
last longer than its cause.
"""

import random
import threading
import time
from collections.abc import Callable

from hps.errors import HpsError
from hps.monitor.backoff import Backoff
from hps.monitor.logs import Log
from hps.monitor.ownership import OwnershipError, OwnershipLostError
from hps.monitor.pulse import Pulse
from hps.monitor.runner import Runner

_LONG = 600.0  # seconds after which a run that ends is the first one to end again
_BUG = 1  # exit code
_STANDBY = 10.0  # seconds between two looks whether another monitor still has the model
_BETWEEN = 60.0  # seconds on top of a wait, in which the next run begins


class Keeper(threading.Thread):
    """The thread of one model.

    It is a daemon: a load that hangs in a server shall not keep the process (`many.Host.run`).

    Args:
        runner: of the model.
        pulse: of all models.
        stop: set when the monitor is to end.
        once: look once; a fault ends it then.
        ended: called with this thread when it ends.
        waits: between two runs.

    Attributes:
        fault: what ended the last run; None while one goes on, or where it ended in order.
    """

    def __init__(
        self,
        runner: Runner,
        pulse: Pulse,
        stop: threading.Event,
        *,
        once: bool = False,
        ended: Callable[["Keeper"], object] = lambda _: None,
        waits: Backoff | None = None,
    ) -> None:
        super().__init__(name=runner.name, daemon=True)
        self.runner = runner
        self.fault: Exception | None = None
        self._pulse, self._told, self._once, self._ended = pulse, stop, once, ended
        self._waits = waits or Backoff()
        self._log = Log(runner.name)

    def run(self) -> None:
        """See threading.Thread."""
        try:
            self._keep()
        finally:
            self._ended(self)

    def _keep(self) -> None:
        falls = 0
        while True:
            began = time.monotonic()
            self.fault = None
            try:
                self.runner.run(once=self._once)
            except Exception as error:  # noqa: BLE001 - a bug in one model must not end the others
                self.fault = error
            if self.fault is None:
                return
            falls = 1 if time.monotonic() - began > _LONG else falls + 1
            wait = self._waits.delay(falls, random.random())  # noqa: S311 - spreads retries
            if isinstance(self.fault, OwnershipError):
                wait = min(wait, _STANDBY)
            self._tell(self.fault, again=falls > 1)
            self._show(self.fault, wait)
            if self._once or self._told.wait(wait):
                return

    @property
    def code(self) -> int:
        """The exit code of what ended it; 0 when it was in order, or of its one look."""
        if self.fault is not None:
            return getattr(self.fault, "exit_code", _BUG)
        return self.runner.code if self._once else 0

    def _tell(self, error: Exception, *, again: bool) -> None:
        reason = getattr(error, "reference", "fault")
        if isinstance(error, OwnershipError) and again:
            self._log.debug("waiting", error.message, reason=reason)
        elif isinstance(error, HpsError):
            self._log.error("ended", str(error), reason=reason)
        else:
            self._log.fault("ended", f"a fault in hps: {error!r}", error)

    def _show(self, error: Exception, wait: float) -> None:
        self.runner.fell(error)
        if isinstance(error, OwnershipError) and not isinstance(error, OwnershipLostError):
            # A second monitor that waits for the first one to end stands still by right.
            self._pulse.beat(self.name, wait + _BETWEEN)
        else:
            self._pulse.fail(self.name)
