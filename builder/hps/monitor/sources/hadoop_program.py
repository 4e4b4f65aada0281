"""Runs `hadoop fs`: argument lists without a shell or a secret, with deadlines, whole groups ended.

Secrets go into a configuration file of this user alone (`-conf`, a generic option of every Hadoop
client), which lies in a private folder for as long as a command runs.
"""

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hps.monitor.look import too_large
from hps.monitor.source import PIECE, SourceError, Trouble
from hps.monitor.sources import hadoop_output as output
from hps.store.cancellation import Cancellation

_OUTPUT = 16 << 20  # bytes of an answer other than a file
_ERRORS = 64 << 10  # bytes of the error output that are kept, its end
_TICK = 0.2  # seconds between two looks whether the operation was called off
_HELD = 1.0  # seconds after which a piece is handed on though it is not full
_GRACE = 5.0  # seconds to end by itself after its last byte


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended by itself."""

    code: int
    output: str
    errors: str


class FailedError(Exception):
    """A command that was streamed ended with an error."""

    def __init__(self, code: int, errors: str) -> None:
        super().__init__(code)
        self.code = code
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Program:
    """The hadoop program.

    Args:
        path: of it, or its name in PATH.
        idle: seconds without a byte after which it is ended; the start of its JVM counts.
        configuration: properties that it gets in a file.
    """

    path: str
    idle: float
    configuration: dict[str, str] = field(default_factory=dict, repr=False)

    def run(self, work: Cancellation, *words: str) -> Done:
        """Run `hadoop fs WORDS` to its end.

        Raises:
            SourceError: STALLED, UNUSABLE, or TOO_LARGE.
        """
        content = bytearray()
        try:
            with contextlib.closing(self.stream(work, *words)) as pieces:
                for piece in pieces:
                    content += piece
                    if len(content) > _OUTPUT:
                        raise too_large("entries", _OUTPUT, f"{_OUTPUT} bytes of them")
        except FailedError as failed:
            return Done(failed.code, _text(content), failed.errors)
        return Done(0, _text(content), "")

    def stream(self, work: Cancellation, *words: str) -> Generator[bytes, None, None]:
        """Run it, and hand on what it prints; left early, it is ended.

        Raises:
            FailedError: it ended with another code than 0.
            SourceError: STALLED, or UNUSABLE.
        """
        with self._configured() as options, self._started([*options, *words]) as process:
            reading = _Reading(process, self.idle, work)
            yield from reading.pieces()
            code = reading.code()
            if code != 0:
                raise FailedError(code, reading.errors())

    @contextlib.contextmanager
    def _configured(self) -> Iterator[list[str]]:
        if not self.configuration:
            yield []
            return
        folder = Path(tempfile.mkdtemp(prefix="hps-hadoop-"))  # 0700
        try:
            path = folder / "core-site.xml"
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(output.configuration(self.configuration))
            yield ["-conf", str(path)]
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _started(self, words: list[str]) -> "Iterator[subprocess.Popen[bytes]]":
        try:
            process = subprocess.Popen(
                [self.path, "fs", *words],
                # -ls prints times of the zone of its JVM.
                env=os.environ | {"TZ": "UTC", "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it has a NUL in its name"
            raise SourceError(
                Trouble.UNUSABLE,
                f"cannot start {self.path}: {why}",
                hint="correct `bin` of this source (--hadoop_bin)",
            ) from error
        try:
            yield process
        finally:
            _end(process)


class _Reading:
    """Both outputs of a process, read together so that neither fills up."""

    def __init__(self, process: "subprocess.Popen[bytes]", idle: float, work: Cancellation) -> None:
        self._process = process
        self._idle = idle
        self._work = work
        self._errors = bytearray()

    def pieces(self) -> Iterator[bytes]:
        """What comes, until both outputs end."""
        held, begun = bytearray(), time.monotonic()
        for piece in self._arrivals():
            if not held:
                begun = time.monotonic()
            held += piece
            if len(held) >= PIECE or (held and time.monotonic() - begun > _HELD):
                yield bytes(held[:PIECE])
                del held[:PIECE]
                begun = time.monotonic()
        if held:
            yield bytes(held)

    def errors(self) -> str:
        """The end of the error output."""
        return _text(self._errors)

    def code(self) -> int:
        """The exit code, which comes soon after the end of the outputs."""
        try:
            return self._process.wait(min(_GRACE, self._idle))
        except subprocess.TimeoutExpired:
            raise self._stalled() from None

    def _arrivals(self) -> Iterator[bytes]:
        """Bytes of the output; nothing (b"") when time has passed, or errors came."""
        with selectors.DefaultSelector() as selector:
            for pipe in (self._process.stdout, self._process.stderr):
                if pipe is not None:
                    selector.register(pipe, selectors.EVENT_READ)
            until = time.monotonic() + self._idle
            while selector.get_map():
                ready = selector.select(_TICK)
                self._work.check()
                if not ready and time.monotonic() > until:
                    raise self._stalled()
                for key, _ in ready:
                    until = time.monotonic() + self._idle
                    data = os.read(key.fd, PIECE)
                    if not data:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is self._process.stdout:
                        yield data
                    else:
                        self._errors += data
                        del self._errors[:-_ERRORS]
                if not ready:
                    yield b""

    def _stalled(self) -> SourceError:
        return SourceError(
            Trouble.STALLED,
            "the hadoop program says nothing",
            expected=f"a byte within {self._idle:g} s",
            hint="look whether the cluster can be reached from this host",
        )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the program with all that it started: it is a script that starts a JVM."""
    if process.returncode is None:  # else the number may be that of others by now
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _text(data: bytes | bytearray) -> str:
    return data.decode("utf-8", errors="replace")
