"""Runs Triton as a child: until it is asked to stop, ends by itself, or does not get ready in time.

Once Triton is ready its companions are started: small programs that serve or watch it. One that
ends is started again; when it ends with the code by which it asks for that, the server is ended
and the caller may start it anew. At the stop the companions end first, so that what they have
taken can still be answered.

One thread, one loop. The loop wakes up for a signal, for a line on the server's stderr, and for
its clock. The child leads a session of its own, so that killing its process group ends the server
and every Python process below it, and Ctrl-C on a terminal reaches the launcher alone. The kernel
kills the server when the launcher itself was killed.
"""

import contextlib
import ctypes
import math
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType

STOPPED = 0
LOAD_TIMEOUT = 3
LOAD_FAILED = 4
SERVER_DIED = 5
RESTART = 75  # EX_TEMPFAIL of sysexits(3)
KILLED = 128 + signal.SIGKILL
# Ends of a server by its own fault: Triton 2.51 sometimes aborts when one of its Python processes
# was killed. Not SIGKILL, by which people and the kernel (out of memory) say what they want.
CRASHES = frozenset(
    {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGTRAP}
)

_OVER = 2.0  # seconds that a server without models gets to end by itself
_LONGEST = 1 << 16  # bytes of one line of the log
_TICK = 0.25  # seconds between two looks at the clock and the ready flag
_LOADED = re.compile(rb"successfully loaded '([^']+)'")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True)
class Companion:
    """A program that runs beside a ready server.

    Args:
        name: of it, for the log.
        argv: the program and its arguments, given the process id of the server.
        restart: the exit code by which it asks for a new start of the server.
    """

    name: str
    argv: "Callable[[int], Sequence[str]]"
    restart: "int | None" = None


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
        companions: what runs beside it, once it is ready.
        over: says of a server that was told to stop, given its process id, that nothing is left
            in it that is worth waiting for.
        rewrite: changes each line of the server's log; None lets all bytes pass as they come.
    """

    argv: "Sequence[str]"
    environment: "Mapping[str, str]"
    models: "Collection[str]"
    ready: "Callable[[], bool]"
    load_timeout: float
    grace: float
    keep: "Sequence[int]" = ()
    companions: "Sequence[Companion]" = ()
    over: "Callable[[int], bool] | None" = None
    rewrite: "Callable[[bytes], bytes] | None" = None


def exit_code(*, ready: bool, stopping: bool, killed: bool, restart: bool = False) -> int:
    """What the launcher ends with, once the server has ended.

    A server that was asked to stop and ended by itself is a good end, whatever its own code:
    Triton 2.51 ends with 1 when a client has kept an idle connection open.
    """
    if restart and not stopping:
        return RESTART
    if killed:
        return KILLED if stopping else LOAD_TIMEOUT
    if stopping:
        return STOPPED
    return SERVER_DIED if ready else LOAD_FAILED


@contextlib.contextmanager
def held() -> "Iterator[None]":
    """Around several runs: a signal that comes between two of them stops the next one."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        while signal.sigtimedwait(SIGNALS, 0) is not None:
            pass  # it asked for the end, and this is the end
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


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
        self._restart = False
        self._told = False
        self._over_since = math.inf
        self._companions: list[_Companion] = []

    def run(self) -> int:
        """Start the server and stay until nothing of it is left.

        Raises:
            OSError: the server cannot be started.
        """
        # Non-blocking, as set_wakeup_fd asks for: a storm of signals must not block the handler.
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        old_wakeup = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        old = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        old[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _note)
        mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # see `held`
        try:
            return self._run(wake_read)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
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
            try:
                self._loop(child, selector, wake, started)
            finally:
                for companion in self._companions:
                    companion.kill()
            self._pass_on(child)
            self._end(child.returncode, log)
        return exit_code(
            ready=self._ready,
            stopping=self._stop_at is not None,
            killed=self._killed,
            restart=self._restart or (self._ready and -child.returncode in CRASHES),
        )

    def _loop(
        self,
        child: "subprocess.Popen[bytes]",
        selector: selectors.BaseSelector,
        wake: int,
        started: float,
    ) -> None:
        while child.returncode is None:
            for key, _ in selector.select(_TICK):
                if key.fd == wake:
                    _drain(wake)
                elif not self._copy_log(key.fd):
                    selector.unregister(key.fd)
            self._decide(child, time.monotonic() - started)
            self._tend(child)
            _reap(child, self._companions)

    def _on_signal(self, number: int, _frame: "FrameType | None") -> None:
        # The loop speaks of it: here it could interrupt a write to the same stream, and Python ends
        # a second write inside the first with a RuntimeError.
        if self._stop_at is None:
            self._stop_at = time.monotonic() + self._plan.grace
            self._signal = number

    def _pass_on(self, child: "subprocess.Popen[bytes]") -> None:
        if self._signal is None:
            return
        if not self._told:
            self._say(f"{signal.Signals(self._signal).name}: stopping the server")
            self._told = True
            for companion in self._companions:
                companion.terminate()
        # They end first: what they have taken goes through the server.
        if not any(companion.running for companion in self._companions):
            self._signal = None
            child.send_signal(signal.SIGTERM)  # nothing, when it has ended meanwhile

    def _decide(self, child: "subprocess.Popen[bytes]", age: float) -> None:
        self._pass_on(child)
        if self._stop_at is not None:
            # A hanging load of Triton 2.51 can outlive SIGTERM: then the grace runs out.
            if time.monotonic() >= self._stop_at and not self._killed:
                self._say(f"the server did not end within {self._plan.grace:g} s, killing it")
                self._kill(child)
            elif self._signal is None and self._over(child.pid):
                # A model whose process died makes Triton wait for it to the end of its timeout.
                _kill_group(child)
        elif not self._ready:
            if self._plan.ready():
                self._ready = True
                self._say(f"ready after {age:.1f} s: {', '.join(self._plan.models) or 'no model'}")
            elif age >= self._plan.load_timeout and not self._killed:
                pending = ", ".join(sorted(self._pending)) or "none, but one does not answer"
                self._say(
                    f"error: not ready after {self._plan.load_timeout:g} s; still loading: "
                    f"{pending}. The Python process of a model that ends before it connects "
                    "(os._exit or a crash at import) hangs Triton for ever; "
                    "a model that is only slow needs a larger --load-timeout."
                )
                self._kill(child)

    def _over(self, server: int) -> bool:
        """Whether for some seconds nothing of the server has been left but itself."""
        now = time.monotonic()
        if self._plan.over is None or not self._plan.over(server):
            self._over_since = math.inf
        else:
            self._over_since = min(self._over_since, now)
        return now - self._over_since >= _OVER

    def _tend(self, child: "subprocess.Popen[bytes]") -> None:
        """Start the companions of a ready server, and again those that have ended."""
        if not self._ready or self._stop_at is not None or self._killed:
            return
        if not self._companions:
            self._companions = [_Companion(each) for each in self._plan.companions]
        for companion in self._companions:
            code = companion.returncode
            if code is not None and code == companion.plan.restart:
                self._say(f"{companion.plan.name} asks for a new start of the server")
                self._restart = True
                self._kill(child)
                return
            if code is not None and companion.noticed is False:
                self._say(f"error: {companion.plan.name} ended, {_described(code)}; starts again")
                companion.noticed = True
            companion.start(child.pid, self._plan.environment)

    def _kill(self, child: "subprocess.Popen[bytes]") -> None:
        self._killed = True
        _kill_group(child)

    def _copy_log(self, log: int) -> bool:
        """Pass on what the server logged, and note which models it has loaded; False at its end."""
        try:
            data = os.read(log, 1 << 16)
        except BlockingIOError:
            return True
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-_LONGEST:]
        if self._plan.rewrite is not None:
            data = b"".join(map(self._plan.rewrite, filter(None, lines)))
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()
        for line in lines:
            found = _LOADED.search(line)
            if found:
                self._pending.discard(found[1].decode("utf-8", errors="replace"))
        return bool(data)

    def _end(self, code: int, log: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(log, 1 << 16):
                self._rest += data
                if self._plan.rewrite is None:
                    sys.stderr.buffer.write(data)
        if self._plan.rewrite is not None:
            rest = filter(None, self._rest.split(b"\n"))
            sys.stderr.buffer.write(b"".join(map(self._plan.rewrite, rest)))
        sys.stderr.buffer.flush()
        if self._stop_at is None and not self._killed:
            state = "while serving" if self._ready else "before it was ready"
            self._say(f"error: the server ended {state}, {_described(code)}")


class _Companion:
    """One companion: its process, and when it may be started again."""

    def __init__(self, plan: Companion) -> None:
        self.plan = plan
        self.noticed: bool | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0
        self._wait = 1.0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def returncode(self) -> "int | None":
        return None if self._process is None else self._process.returncode

    def start(self, server: int, environment: "Mapping[str, str]") -> None:
        """Start it, unless it runs or ended a moment ago; the moments get longer."""
        now = time.monotonic()
        if self.running or now < self._not_before:
            return
        self._process = subprocess.Popen(
            self.plan.argv(server),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with(os.getpid()),  # noqa: PLW1509 - one thread, so no lock is held
        )
        self.noticed = False
        self._not_before = now + self._wait
        self._wait = min(2 * self._wait, 60.0)

    def terminate(self) -> None:
        if self.running and self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now; it has been asked before, or its server is gone."""
        if self.running and self._process is not None:
            _kill_group(self._process)
            self._process.wait()

    def ended(self, pid: int, status: int) -> None:
        if self._process is not None and self._process.pid == pid:
            self._process.returncode = os.waitstatus_to_exitcode(status)


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


def _reap(child: "subprocess.Popen[bytes]", companions: "Sequence[_Companion]") -> None:
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
        for companion in companions:
            companion.ended(ended.si_pid, status)


def _kill_group(child: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _described(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
