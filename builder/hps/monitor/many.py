"""All models of `[monitor]` in one process: a thread each, one page, one set of metrics."""

import contextlib
import ctypes
import functools
import os
import queue
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from hps import __version__
from hps.config import monitor as settings
from hps.errors import ConfigError
from hps.monitor.keeper import Keeper
from hps.monitor.logs import Log
from hps.monitor.metrics import Metrics
from hps.monitor.notify import Notifier, message
from hps.monitor.ownership import OwnershipError
from hps.monitor.pulse import Pulse
from hps.monitor.runner import Runner
from hps.monitor.status import MonitorStatus
from hps.monitor.steps import Steps
from hps.monitor.web import Views, served
from hps.monitor.wiring import Place, steps_of, terms_of

_DESCRIPTORS = 16  # that one model needs at most: journal, lock, connections, files
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SIGNALLED = 128  # exit code of a process that was told to end twice, with the signal's number
_TICK = 1.0
_M_MMAP_THRESHOLD, _LARGE_BUFFER = -3, 128 << 10  # mallopt(3); bytes
_GRACE = 10.0  # seconds for steps to end in order


class Host:
    """The models of one host, and the threads that look after them.

    Args:
        monitor: the settings.
        environment: where the variables are that settings name.
        base: where relative paths begin.

    Raises:
        ConfigError: settings cannot be followed, of any model; nothing was begun.
        DiskError: the folder of a model cannot be made.
    """

    def __init__(
        self, monitor: settings.Monitor, environment: Mapping[str, str], base: Path
    ) -> None:
        self.stop = threading.Event()
        self.pulse = Pulse()
        self.metrics = Metrics(monitor.models, self.status)
        self.runners: tuple[Runner, ...] = ()
        self._started = time.time()
        # What the main thread waits for: keepers that ended, and signals. A handler may put into
        # this queue while it is waited for, which it could not do to an Event.
        self._happened: queue.SimpleQueue[Keeper | signal.Signals] = queue.SimpleQueue()
        place = Place(base, base / monitor.state, environment)
        self._steps = self._all_steps(monitor, place)
        self.runners = tuple(
            Runner(
                name,
                place.folder(name),
                steps,
                terms_of(steps.settings),
                metrics=self.metrics,
                pulse=self.pulse,
                stop=self.stop,
            )
            for name, steps in self._steps.items()
        )

    def status(self) -> MonitorStatus:
        """How all models stand."""
        return MonitorStatus(
            socket.gethostname(),
            __version__,
            self._started,
            time.time(),
            tuple(sorted((one.status() for one in self.runners), key=lambda one: one.name)),
        )

    def run(self, notifier: Notifier, *, once: bool) -> int:
        """Look after all models until told to end, or once.

        A model that belongs to another monitor is waited for, as long as others are there.

        Returns:
            The exit code: of the first model that stands badly, in the order of the settings; 128
            and the number of a second signal.
        """
        keepers = [
            Keeper(one, self.pulse, self.stop, once=once, ended=self._happened.put)
            for one in self.runners
        ]
        for keeper in keepers:
            keeper.start()
        notifier.send(message(ready=True, status=f"{len(keepers)} models"))
        running = set(keepers)
        tick = min(_TICK, notifier.interval or _TICK)
        while running and self._next(running, tick) is None and not _are_anothers(keepers):
            if not self.pulse.late():
                notifier.send(message(alive=True))
        notifier.send(message(stopping=True))
        hurry = self._end(running)
        if hurry is not None:
            return _SIGNALLED + hurry
        return next((keeper.code for keeper in keepers if keeper.code), 0)

    def told(self, number: int, frame: FrameType | None = None) -> None:
        """Handle a signal: the first ends the monitor in order, the second at once."""
        del frame
        self._happened.put(signal.Signals(number))

    def _next(self, running: set[Keeper], seconds: float) -> signal.Signals | None:
        """Wait for what happens next; the signal, if it is one."""
        try:
            found = self._happened.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None
        if isinstance(found, Keeper):
            running.discard(found)
            return None
        Log().info("ending", f"told to end by {found.name}")
        return found

    def _end(self, running: set[Keeper]) -> signal.Signals | None:
        """End all loops; says by which signal it was cut short.

        A step that waits for a server is left: to the next start it is one that a crash cut off,
        and the server is asked what became of it.
        """
        self.stop.set()
        for steps in self._steps.values():
            steps.source.close()
        until = time.monotonic() + _GRACE
        hurry = None
        while running and hurry is None and (left := until - time.monotonic()) > 0:
            hurry = self._next(running, left)
        for keeper in running:
            Log(keeper.name).warning(
                "left", "a step goes on; the next start finds out how it ended"
            )
        return hurry

    def _all_steps(self, monitor: settings.Monitor, place: Place) -> Mapping[str, Steps]:
        """The hands of all models; or the faults of all."""
        found, faults = {}, []
        for name, model in monitor.models.items():
            counted = functools.partial(self.metrics.pulled, name)
            try:
                found[name] = steps_of(name, model, place, stop=self.stop, counted=counted)
            except ConfigError as error:
                faults.append(error)
        if len(faults) > 1:
            raise ConfigError(
                f"{len(faults)} models cannot be looked after as they are set up",
                details=tuple(one.message for one in faults),
            )
        if faults:
            raise faults[0]
        return found


def _are_anothers(keepers: Sequence[Keeper]) -> bool:
    """Whether all models belong to another monitor, so that this one is one too many."""
    return all(isinstance(one.fault, OwnershipError) for one in keepers)


def run(
    monitor: settings.Monitor,
    environment: Mapping[str, str],
    *,
    base: Path,
    once: bool = False,
) -> int:
    """Look after all models of a host until SIGTERM, SIGHUP or Ctrl-C; the exit code.

    Args:
        monitor: the settings.
        environment: where the variables are that settings name.
        base: where relative paths begin.
        once: end when each model was looked at and is dealt with.

    Raises:
        ConfigError, UsageError: the settings cannot be followed.
    """
    _raise_limit(len(monitor.models))
    _give_back_large_buffers()
    host = Host(monitor, environment, base)
    with _signals(host.told), contextlib.ExitStack() as stack:
        if monitor.listen:
            views = Views(host.status, host.pulse.standing, host.metrics.exposition)
            page = stack.enter_context(served(monitor.listen, views, hosts=monitor.hosts))
            Log().info("listening", f"status page at {page}")
        return host.run(Notifier.of(os.environ, os.getpid()), once=once)


@contextlib.contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _give_back_large_buffers() -> None:
    """Let glibc return them at once (mallopt(3)): hundreds of threads would keep some each.

    By itself it moves the threshold up with the first buffer that is freed, and serves those that
    follow from heaps that never shrink.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BUFFER)


def _raise_limit(models: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 256 + models * _DESCRIPTORS
    if soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
