"""Runs Triton as a child: until it is asked to stop, ends by itself, or does not get ready in time.

One thread, one loop. The loop wakes up for a signal, for a line on the server's stderr, and for
its clock. The child leads a session of its own, so that killing its process group ends the server
and every Python process below it, and Ctrl-C on a terminal reaches the launcher alone. The kernel
kills the server when the launcher itself was killed.
"""

import contextlib
import ctypes
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType

STOPPED = 0
LOAD_TIMEOUT = 3
LOAD_FAILED = 4
SERVER_DIED = 5
KILLED = 128 + signal.SIGKILL

_TICK = 0.25  # seconds between two looks at the clock and the ready flag
_LOADED = re.compile(rb"successfully loaded '([^']+)'")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True)
class Plan:
    """What to run.

    Args:
        argv: the server and its arguments.
        environment: all that it sees.
        models: what it loads at its start.
        ready: says whether it answers; called until it does.
        load_timeout: seconds until it must be ready.
        grace: seconds between the wish to stop and the kill.
        keep: file descriptors that the server and its children inherit.
    """

    argv: "Sequence[str]"
    environment: "Mapping[str, str]"
    models: "Collection[str]"
    ready: "Callable[[], bool]"
    load_timeout: float
    grace: float
    keep: "Sequence[int]" = ()


def exit_code(*, ready: bool, stopping: bool, killed: bool) -> int:
    """What the launcher ends with, once the server has ended.

    A server that was asked to stop and ended by itself is a good end, whatever its own code:
    Triton 2.51 ends with 1 when a client has kept an idle connection open.
    """
    if killed:
        return KILLED if stopping else LOAD_TIMEOUT
    if stopping:
        return STOPPED
    return SERVER_DIED if ready else LOAD_FAILED


class Supervisor:
    """One run of one server; `run` returns the exit code."""

    def __init__(self, plan: Plan, say: "Callable[[str], None]") -> None:
        self._plan = plan
        self._say = say
        self._pending = set(plan.models)
        self._rest = b""
        self._ready = False
        self._stop_at: float | None = None
        self._signal: int | None = None  # has come; the server has not been told of it
        self._killed = False

    def run(self) -> int:
        """Start the server and stay until nothing of it is left.

        Raises:
            OSError: the server cannot be started.
        """
        # Non-blocking, as set_wakeup_fd asks for: a storm of signals must not block the handler.
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        old_wakeup = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        old = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        old[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _note)
        try:
            return self._run(wake_read)
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(old_wakeup)
            os.close(wake_read)
            os.close(wake_write)

    def _run(self, wake: int) -> int:
        started = time.monotonic()
        child = subprocess.Popen(
            self._plan.argv,
            env=dict(self._plan.environment),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=self._plan.keep,
            preexec_fn=die_with(os.getpid()),  # noqa: PLW1509 - one thread, so no lock is held
        )
        assert child.stderr is not None  # noqa: S101 - asked for three lines above
        log = child.stderr.fileno()
        os.set_blocking(log, False)
        with child.stderr, selectors.DefaultSelector() as selector:
            selector.register(wake, selectors.EVENT_READ)
            selector.register(log, selectors.EVENT_READ)
            while child.returncode is None:
                for key, _ in selector.select(_TICK):
                    if key.fd == wake:
                        _drain(wake)
                    elif not self._copy_log(log):
                        selector.unregister(log)
                self._decide(child, time.monotonic() - started)
                _reap(child)
            self._pass_on(child)
            self._end(child.returncode, log)
        return exit_code(ready=self._ready, stopping=self._stop_at is not None, killed=self._killed)

    def _on_signal(self, number: int, _frame: "FrameType | None") -> None:
        # The loop speaks of it: here it could interrupt a write to the same stream, and Python ends
        # a second write inside the first with a RuntimeError.
        if self._stop_at is None:
            self._stop_at = time.monotonic() + self._plan.grace
            self._signal = number

    def _pass_on(self, child: "subprocess.Popen[bytes]") -> None:
        if self._signal is not None:
            self._say(f"{signal.Signals(self._signal).name}: stopping the server")
            self._signal = None
            child.send_signal(signal.SIGTERM)  # nothing, when it has ended meanwhile

    def _decide(self, child: "subprocess.Popen[bytes]", age: float) -> None:
        self._pass_on(child)
        if self._stop_at is not None:
            # A hanging load of Triton 2.51 can outlive SIGTERM: then the grace runs out.
            if time.monotonic() >= self._stop_at and not self._killed:
                self._say(f"the server did not end within {self._plan.grace:g} s, killing it")
                self._kill(child)
        elif not self._ready:
            if self._plan.ready():
                self._ready = True
                self._say(f"ready after {age:.1f} s: {', '.join(self._plan.models) or 'no model'}")
            elif age >= self._plan.load_timeout and not self._killed:
                pending = ", ".join(sorted(self._pending)) or "none by name"
                self._say(
                    f"error: not ready after {self._plan.load_timeout:g} s; still loading: "
                    f"{pending}. The Python process of a model that ends before it connects "
                    "(os._exit or a crash at import) hangs Triton for ever; "
                    "a model that is only slow needs a larger --load-timeout."
                )
                self._kill(child)

    def _kill(self, child: "subprocess.Popen[bytes]") -> None:
        self._killed = True
        _kill_group(child)

    def _copy_log(self, log: int) -> bool:
        """Pass on what the server logged, and note which models it has loaded; False at its end."""
        try:
            data = os.read(log, 1 << 16)
        except BlockingIOError:
            return True
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-4096:]
        for line in lines:
            found = _LOADED.search(line)
            if found:
                self._pending.discard(found[1].decode("utf-8", errors="replace"))
        return bool(data)

    def _end(self, code: int, log: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(log, 1 << 16):
                sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()
        if self._stop_at is None and not self._killed:
            state = "while serving" if self._ready else "before it was ready"
            self._say(f"error: the server ended {state}, {_described(code)}")


def die_with(parent: int) -> "Callable[[], None]":
    """What a child runs before exec, so that it does not outlive a parent that was killed.

    SIGKILL, as a load that hangs can outlive SIGTERM. The setting is the child's alone (prctl(2),
    PR_SET_PDEATHSIG); Triton's Python processes watch their parent and end by themselves.

    Args:
        parent: the process whose main thread starts the child.
    """
    library = ctypes.CDLL(None)  # before the fork: a child should load nothing

    def ask() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # fails for unknown signals only
        if os.getppid() != parent:  # it died before the kernel was asked
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


def _note(_number: int, _frame: "FrameType | None") -> None:
    """SIGCHLD needs a handler of its own, or it would not wake up the loop."""


def _drain(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass


def _reap(child: "subprocess.Popen[bytes]") -> None:
    """Collect every child that has ended: as PID 1 of a container, orphans are ours too."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            return
        if ended.si_pid == child.pid:
            # Python processes outlive a server that crashed. The group is killed before its
            # leader is collected: until then nobody else can get its number.
            _kill_group(child)
        _, status = os.waitpid(ended.si_pid, 0)
        if ended.si_pid == child.pid:
            child.returncode = os.waitstatus_to_exitcode(status)


def _kill_group(child: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _described(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
