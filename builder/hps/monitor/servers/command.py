"""Any other model server, by commands of its operator: argv lists, no shell, an end to each.

Exit code 0: done; 75 (EX_TEMPFAIL of sysexits.h): not now, try again; anything else: refused.
A command may be run again for a generation for which it ran before, after a crash: it must then
find out that it has nothing to do.
"""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from hps.config import monitor
from hps.monitor.disk import explained
from hps.monitor.server import Fault, Generation, Probe, ServerError
from hps.monitor.servers.placing import disk_faults
from hps.store.filesystem import sync_folder
from hps.store.foreign_text import printable

_KEPT = 64 << 10  # bytes of output
_SHOWN = 2000  # characters of it in an error
_GRACE = 5.0  # seconds between SIGTERM and SIGKILL
_PIECE = 1 << 16
_PIECES = 16
_NOT_NOW = 75  # EX_TEMPFAIL
# What programs need to find themselves and to speak; nothing that could hold a secret.
_FIELD = re.compile(r"\{(folder|number|model)\}")
_PASSED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Args:
        code: its exit code, negative for a signal; None: it was still running at its deadline.
        output: the last 64 KiB of what it wrote, both streams.
    """

    code: int | None
    output: bytes


class CommandServer:
    """A model server behind commands.

    Args:
        settings: `[monitor.models.NAME.server]`.
        model: its name.
        notes: a folder of this model, where it is noted which generation is live.
    """

    def __init__(self, settings: monitor.ExecServer, model: str, notes: Path) -> None:
        self._settings = settings
        self._model = model
        self._note = notes / "exec-live"

    @property
    def name(self) -> str:
        """The server for people, logs and metrics."""
        return f"exec {self._settings.activate[0]}"

    def inspect(self, generation: Generation) -> None:
        """Refuse an empty generation; what else would not do, only the commands know."""
        with disk_faults(), explained("read", generation.folder):
            if not any(generation.folder.iterdir()):
                raise ServerError(Fault.UNFIT, f"generation {generation.number} holds no file")

    def load(self, generation: Generation) -> None:
        """Run `load`, if there is one."""
        if self._settings.load is not None:
            self._run("load", self._settings.load, generation)

    def probe(self, generation: Generation, probe: Probe | None) -> None:
        """Nothing: `load` says by its exit code whether the generation will do."""

    def activate(self, generation: Generation, old: Generation | None) -> None:
        """Run `activate`, and note that it is done."""
        del old
        self._run("activate", self._settings.activate, generation)
        self._write(generation.number)

    def withdraw(self, generation: Generation) -> None:
        """Run `withdraw`, if there is one."""
        if self._settings.withdraw is not None:
            self._run("withdraw", self._settings.withdraw, generation)
        if self.live() == [generation.number]:
            self._write(None)

    def live(self) -> Sequence[int]:
        """The generation of the last `activate` that ended well: the server cannot be asked."""
        with disk_faults(), explained("read", self._note):
            try:
                text = self._note.read_text(encoding="ascii", errors="replace").strip()
            except FileNotFoundError:
                return []
        return [int(text)] if text.isascii() and text.isdecimal() else []

    def _run(self, step: str, argv: Sequence[str], generation: Generation) -> None:
        values = {
            "folder": str(generation.folder.absolute()),
            "number": str(generation.number),
            "model": self._model,
        }
        command = [filled(word, values) for word in argv]
        try:
            ended = run(command, environment(os.environ, values), self._settings.deadline)
        except OSError as error:
            raise ServerError(
                Fault.UNREACHABLE,
                f"{step} cannot be run: {command[0]}: {error.strerror}",
                hint="is the program there, and may the user of the monitor run it?",
            ) from error
        if ended.code != 0:
            raise _failure(step, command, ended, self._settings.deadline)

    def _write(self, number: int | None) -> None:
        new = self._note.with_suffix(".new")
        with disk_faults(), explained("write", self._note):
            new.parent.mkdir(parents=True, exist_ok=True)
            with new.open("w", encoding="ascii") as file:
                file.write("" if number is None else f"{number}\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._note)
            sync_folder(self._note.parent)


def filled(word: str, values: Mapping[str, str]) -> str:
    """A word of a command with {folder}, {number} and {model} filled in; other braces stay."""
    return _FIELD.sub(lambda match: values[match[1]], word)


def environment(given: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """What a command gets to see of the monitor's environment."""
    passed = {
        name: value for name, value in given.items() if name in _PASSED or name.startswith("LC_")
    }
    return passed | {f"HPS_{name.upper()}": value for name, value in values.items()}


def run(command: Sequence[str], environment: Mapping[str, str], deadline: float) -> Ended:
    """Run a command in a process group of its own; at its deadline the whole group ends.

    What it leaves running when it ends by itself is left alone; its output is read no further.

    Raises:
        OSError: it cannot be started.
    """
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        output = bytearray()
        try:
            in_time = _follow(process, output, deadline)
        except BaseException:
            _end(process, output)
            raise
        if not in_time:
            _end(process, output)
            return Ended(None, bytes(output))
        return Ended(process.wait(), bytes(output))


def _follow(process: "subprocess.Popen[bytes]", output: bytearray, deadline: float) -> bool:
    """Read until the process ends; False: the deadline came first."""
    until = time.monotonic() + deadline
    pipe = cast("IO[bytes]", process.stdout)
    os.set_blocking(pipe.fileno(), False)
    ended = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(ended, selectors.EVENT_READ)
            selector.register(pipe, selectors.EVENT_READ)
            while (left := until - time.monotonic()) > 0:
                ready = {key.fd for key, _ in selector.select(left)}
                if pipe.fileno() in ready and not _read(pipe, output):
                    selector.unregister(pipe)
                if ended in ready:
                    # As much as a pipe can hold; what the process left running may write for ever.
                    any(not _read(pipe, output) for _ in range(_PIECES))
                    return True
    finally:
        os.close(ended)
    return False


def _read(pipe: IO[bytes], output: bytearray) -> bool:
    """Take what is there; False: nothing now, or nothing ever."""
    try:
        piece = os.read(pipe.fileno(), _PIECE)
    except BlockingIOError:
        return False
    output += piece
    del output[:-_KEPT]
    return bool(piece)


def _end(process: "subprocess.Popen[bytes]", output: bytearray) -> None:
    """End the group: its members had their time."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    _follow(process, output, _GRACE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _failure(step: str, command: Sequence[str], ended: Ended, deadline: float) -> ServerError:
    text = " / ".join(ended.output.decode("utf-8", errors="replace").splitlines()[-20:])
    said = printable(text[-_SHOWN:], _SHOWN)
    what = f"{step}: {command[0]}"
    if ended.code is None:
        return ServerError(
            Fault.UNKNOWN,
            f"{what} was still running after {deadline:g} s, and was ended",
            got=said or None,
            hint="make `deadline` longer if it needs more time",
        )
    if ended.code < 0:
        ending = signal.Signals(-ended.code).name if -ended.code in {*signal.Signals} else "?"
        return ServerError(Fault.UNKNOWN, f"{what} was ended by {ending}", got=said or None)
    if ended.code == _NOT_NOW:
        return ServerError(
            Fault.UNREACHABLE, f"{what} says that it cannot be done now", got=said or None
        )
    return ServerError(
        Fault.REFUSED, f"{what} ended with exit code {ended.code}", got=said or "no output"
    )
