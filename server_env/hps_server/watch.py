"""`python3 -m hps_server.watch`: sees that every model answers, and brings back those that do not.

The launcher starts it beside Triton once the server is ready. Each model has a thread that looks at
its processes and asks it by an inference. A model that is dead or hangs is unloaded, so that it is
not ready and requests are refused at once; what is left of its processes is killed; then it is
loaded again. A load that hangs can only be ended by ending the server: then this program ends with
`RESTART`, and the launcher starts the server anew.

An unload comes before the load although that is no way to renew a living model: this one is dead.
After it Triton loads files that have not changed too, so a repository may be read-only.
"""

import argparse
import contextlib
import http.client
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from hps_server.control import ControlError, load, unload
from hps_server.health import local
from hps_server.logs import FORMATS, Log
from hps_server.probe import Answer, Model, Probed, ask, describe, exchange
from hps_server.processes import kill, stubs

RESTART = 75  # EX_TEMPFAIL of sysexits(3): the server must be started anew
_INDEX = "/v2/repository/index"
_TICK = 1.0  # seconds between two looks at the processes
_QUICK = 5.0  # seconds for what Triton answers by itself
_UNLOAD = 30.0
_WORK = os.sysconf("SC_CLK_TCK") / 10  # clock ticks a second that count as work


@dataclass(frozen=True)
class Rules:
    """When a model counts as dead, and how often it is brought back.

    Args:
        interval: seconds between two probes of a healthy model.
        deadline: seconds that a probe may take.
        failures: so many in a row, and the model is dead.
        hang: seconds after which one that is busy, and answers nothing, counts as hanging.
        revivals: so many within `window` seconds; then it stays unloaded.
        window: in seconds.
        load_timeout: seconds for a load; after them the server must be started anew.
    """

    interval: float = 5.0
    deadline: float = 5.0
    failures: int = 3
    hang: float = 600.0
    revivals: int = 5
    window: float = 600.0
    load_timeout: float = 300.0


@dataclass(frozen=True)
class Look:
    """One look at a model.

    Args:
        at: seconds of a clock that never goes back.
        loaded: how many of its versions Triton has loaded.
        instances: how many processes each of them has.
        alive: how many processes there are.
        ticks: processor time that they have used, in clock ticks.
        probed: what it answered; None when it cannot be asked.
    """

    at: float
    loaded: int
    instances: int = 0
    alive: int = 0
    ticks: int = 0
    probed: "Probed | None" = None


@dataclass
class Memory:
    """What is remembered of a model from look to look; `judge` keeps it.

    Args:
        missing: looks in a row that missed a process.
        failed: probes in a row that failed, or were not answered by an idle process.
        silent_since: the first of the probes in a row that were not answered.
        last: the look before.
    """

    missing: int = 0
    failed: int = 0
    silent_since: "float | None" = None
    last: "Look | None" = None


def judge(memory: Memory, look: Look, rules: Rules) -> str:
    """Why a model must be brought back; empty when it need not be, or not yet.

    A long inference is no hang: who does not answer but works has until `rules.hang`. A tenth of
    one processor counts as work, which an idle process does not reach.
    """
    last, memory.last = memory.last, look
    if not look.loaded:
        memory.missing, memory.failed, memory.silent_since = 0, 0, None
        return ""
    # Twice, since between the two versions of a reload a process may be missing.
    memory.missing = memory.missing + 1 if look.alive < look.loaded * look.instances else 0
    if memory.missing > 1:
        return "its Python process has ended"
    if look.probed is not None:
        _note(memory, look, last, rules)
        if look.probed.busy_for >= rules.hang:
            return f"it hangs: one inference has been running for {look.probed.busy_for:.0f} s"
        silence = 0.0 if memory.silent_since is None else look.at - memory.silent_since
        if silence >= rules.hang:
            return f"it hangs: no answer for {silence:.0f} s"
        if memory.failed >= rules.failures:
            return f"it does not answer as it should: {look.probed.reason}"
    return ""


def _note(memory: Memory, look: Look, last: "Look | None", rules: Rules) -> None:
    answer = look.probed.answer if look.probed else Answer.ALIVE
    if answer is Answer.SILENT:
        # The time of the look is that of its end, when the probe has been waiting already.
        if memory.silent_since is None:
            memory.silent_since = look.at - rules.deadline
        elapsed = look.at - last.at if last is not None else 0.0
        works = last is not None and look.ticks - last.ticks > _WORK * elapsed
        memory.failed += 0 if works else 1
    elif answer is Answer.FAILED:
        memory.failed += 1
    else:
        memory.failed, memory.silent_since = 0, None


def backoff(revivals: "Sequence[float]", now: float, rules: Rules) -> "float | None":
    """How many seconds to wait before the next load; None when there were too many already."""
    recent = [at for at in revivals if now - at < rules.window]
    if len(recent) >= rules.revivals:
        return None
    return 0.0 if not recent else float(min(2 ** len(recent), 60))


@dataclass
class State:
    """What is known of a model, for the readiness of the REST facade: `as_json` of all of them."""

    ready: bool = True
    reason: str = ""


class Watch:
    """All models of one running server.

    Args:
        server: its process.
        where: the address and port of its HTTP.
        grpc: its port for gRPC; None when it takes no loads (model control mode `none`).
        rules: when to act.
        log: where every step is told.
    """

    def __init__(
        self, server: int, where: "tuple[str, int]", grpc: "int | None", rules: Rules, log: Log
    ) -> None:
        self._server = server
        self._where = where
        self._grpc = grpc
        self._rules = rules
        self._log = log
        self._states: dict[str, State] = {}
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self.ended = threading.Event()
        self.code = 0

    def run(self, state_file: "Path | None") -> int:
        """Watch until `ended` is set; returns the exit code."""
        while not self.ended.is_set():
            for name in self._known():
                if name not in self._threads:
                    thread = threading.Thread(target=self._follow, args=(name,), daemon=True)
                    self._threads[name] = thread
                    thread.start()
            if state_file is not None:
                self._write(state_file)
            self.ended.wait(_TICK)
        return self.code

    def _follow(self, name: str) -> None:
        memory, revivals, next_probe = Memory(), list[float](), 0.0
        while not self.ended.is_set():
            due = time.monotonic() >= next_probe or bool(memory.failed)
            try:
                reason = self._see(name, memory, probe=due)
                if reason:
                    self._revive(name, reason, revivals)
                    memory = Memory()
            except (OSError, ValueError, http.client.HTTPException) as error:
                # The server is being stopped, or the launcher is about to find it dead.
                self._log.say("warning", f"cannot be watched: {error}", model=name)
            if due:
                next_probe = time.monotonic() + self._rules.interval
            self.ended.wait(_TICK)

    def _see(self, name: str, memory: Memory, *, probe: bool) -> str:
        """Look at a model once, remember its state; why it must be brought back, if it must."""
        loaded = self._index().get(name, 0)
        model = describe(*self._where, name, timeout=_QUICK) if loaded else Model(name)
        if model.engine and not self._ready(model.engine):
            # It is as good as its engine, which has a thread of its own.
            self._set(name, ready=False, reason=f"its engine {model.engine} is not ready")
            memory.failed = memory.missing = 0
            return ""
        processes = [stub for stub in stubs(self._server) if stub.model == name]
        whole = len(processes) >= loaded * model.instances
        asked = loaded and whole and model.operation and (probe or memory.missing)
        probed = ask(*self._where, model, timeout=self._rules.deadline) if asked else None
        look = Look(
            at=time.monotonic(),
            loaded=loaded,
            instances=model.instances,
            alive=len(processes),
            ticks=sum(stub.ticks for stub in processes),
            probed=probed,
        )
        reason = judge(memory, look, self._rules)
        if not loaded:
            self._set(name, ready=False, reason="it is not loaded", keep=True)
        elif memory.missing:
            self._set(name, ready=False, reason="its Python process has ended")
        elif memory.failed and probed is not None:
            self._set(name, ready=False, reason=probed.reason)
        elif probed is not None or not model.operation:
            self._set(name, ready=True)
        return reason

    def _revive(self, name: str, reason: str, revivals: "list[float]") -> None:
        """Unload a model that is dead, and load it anew."""
        self._log.say("error", f"the model is dead: {reason}", model=name)
        self._set(name, ready=False, reason=reason)
        if self._grpc is None:
            self._restart("models cannot be loaded one by one in this model control mode", name)
            return
        address = self._where[0]
        try:
            unload(address, self._grpc, name, timeout=_UNLOAD)
            killed = kill(self._server, name)
            self._log.say("info", f"unloaded; processes killed: {killed or 'none'}", model=name)
            wait = backoff(revivals, time.monotonic(), self._rules)
            if wait is None:
                tried = f"{self._rules.revivals} times within {self._rules.window:g} s"
                self._log.say("error", f"given up: brought back {tried}", model=name)
                self._set(name, ready=False, reason=f"given up: {reason}")
                return
            self.ended.wait(wait)
            started = time.monotonic()
            revivals.append(started)
            self._log.say("info", "loading", model=name)
            load(address, self._grpc, name, timeout=self._rules.load_timeout)
        except ControlError as error:
            self._restart(str(error), name)
            return
        self._tell_outcome(name, time.monotonic() - started, revivals)

    def _tell_outcome(self, name: str, took: float, revivals: "list[float]") -> None:
        if self._index().get(name, 0):
            self._log.say("info", f"loaded again after {took:.1f} s", model=name)
            return
        self._log.say("error", "the load failed; Triton's log holds the reason", model=name)
        self._revive(name, "its load failed", revivals)

    def _restart(self, reason: str, model: str) -> None:
        self._log.say("error", f"the server must be started anew: {reason}", model=model)
        self.code = RESTART
        self.ended.set()

    def _known(self) -> "list[str]":
        """Models that are loaded, or were: what was loaded by hand later is watched too."""
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            return [name for name, loaded in self._index().items() if loaded]
        return []

    def _index(self) -> "dict[str, int]":
        """How many versions of each model are loaded."""
        status, body = exchange(*self._where, "POST", _INDEX, timeout=_QUICK)
        rows = json.loads(body) if status == http.client.OK else []
        counts: dict[str, int] = {}
        for row in rows:
            name = str(row.get("name"))
            counts[name] = counts.get(name, 0) + (row.get("state") == "READY")
        return counts

    def _ready(self, name: str) -> bool:
        with self._lock:
            return self._states.get(name, State()).ready

    def _set(self, name: str, *, ready: bool, reason: str = "", keep: bool = False) -> None:
        with self._lock:
            before = self._states.get(name)
            if keep and before is not None and not before.ready:
                return
            self._states[name] = State(ready, reason)
        if before is not None and before.ready != ready:
            line = "ready again" if ready else f"not ready: {reason}"
            self._log.say("info" if ready else "warning", line, model=name)

    def _write(self, path: Path) -> None:
        with self._lock:
            models = {name: asdict(state) for name, state in sorted(self._states.items())}
        temporary = path.with_name(path.name + ".new")
        temporary.write_text(json.dumps({"at": time.monotonic(), "models": models}))
        temporary.replace(path)


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m hps_server.watch", description=__doc__)
    add = parser.add_argument
    add("--server", type=int, required=True, metavar="PID")
    add("--address", default="127.0.0.1")
    add("--http-port", type=int, required=True)
    add("--grpc-port", type=int, help="where loads are sent; without it none are")
    add("--state", type=Path, metavar="FILE", help="where the models' states are written")
    add("--log-format", choices=FORMATS, default=FORMATS[0])
    for each in fields(Rules):
        kind = int if each.type in (int, "int") else float
        add(f"--{each.name.replace('_', '-')}", type=kind, default=each.default)
    options = parser.parse_args(arguments)
    watch = Watch(
        options.server,
        (local(options.address), options.http_port),
        options.grpc_port,
        Rules(**{each.name: getattr(options, each.name) for each in fields(Rules)}),
        Log(options.log_format, "hps-watch"),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: watch.ended.set())
    return watch.run(options.state)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # a thread may be in the middle of a load, which nobody waits for any more
