"""The sandbox that needs no daemon and no root: bubblewrap (bwrap(1), version 0.8 or newer)."""

import collections
import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from hps.derivation.emulation import emulated, find_emulator, foreign, with_formats
from hps.derivation.sandbox import Command
from hps.errors import SandboxError

_KEPT_OUTPUT = 1 << 16
_PRIVATE = frozenset({"dev", "in", "out", "proc", "run", "sys", "tmp"})  # never taken from the root


def find_bwrap() -> str:
    """The path of bwrap; raises SandboxError with the way to install it."""
    found = shutil.which("bwrap")
    if found is None:
        raise SandboxError(
            "bubblewrap is not installed, and code of packages runs in a sandbox only",
            expected="a program named bwrap in PATH",
            hint="apt-get install bubblewrap, or use --sandbox docker",
        )
    return found


def root_arguments(root: Path, mount_points: Sequence[str] = ()) -> list[str]:
    """Arguments of bwrap that show a root file system read-only, entry by entry.

    The root itself stays bwrap's empty tmpfs, so that mount points such as /in and /out need not
    exist in the root that is shown.

    Args:
        root: a folder of this machine.
        mount_points: absolute paths inside, where something will be mounted.
    """
    points = [point.strip("/") for point in mount_points]
    arguments: list[str] = []
    for entry in sorted(root.iterdir()):
        if entry.name not in _PRIVATE:
            arguments += _shown(root, entry.name, points)
    return arguments


def _shown(root: Path, path: str, mount_points: Sequence[str]) -> list[str]:
    """Arguments for one entry of a root.

    Nothing can be made in a folder that is shown read-only. One that lacks a mount point is made
    anew instead, with all that it holds shown by itself.
    """
    outside = root / path
    if outside.is_symlink():
        return ["--symlink", str(outside.readlink()), f"/{path}"]
    lacking = [
        point
        for point in mount_points
        if point.startswith(f"{path}/") and not (root / point).exists()
    ]
    if not lacking or not outside.is_dir():
        return ["--ro-bind", str(outside), f"/{path}"]
    arguments = ["--dir", f"/{path}"]
    for entry in sorted(outside.iterdir()):
        arguments += _shown(root, f"{path}/{entry.name}", lacking)
    return arguments


def arguments(command: Command, bwrap: str) -> list[str]:
    """The whole command line; the environment is passed by arguments, nothing is inherited."""
    line = [bwrap, "--unshare-all", "--die-with-parent", "--new-session"]
    line += ["--hostname", "sandbox", "--uid", "0", "--gid", "0", "--cap-drop", "ALL"]
    line += root_arguments(command.root)
    line += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"]  # noqa: S108 - inside the sandbox
    for inside, outside in sorted(command.inputs.items()):
        line += ["--ro-bind", str(outside), inside]
    line += ["--bind", str(command.output), "/out", "--chdir", "/tmp", "--clearenv"]  # noqa: S108 - inside the sandbox
    for name, value in sorted(command.environment.items()):
        line += ["--setenv", name, value]
    return [*line, "--", *command.argv]


class Bubblewrap:
    """Runs commands in new user, mount, process, network, IPC and UTS namespaces."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, command: Command) -> str:
        """See `hps.derivation.sandbox.Sandbox.run`."""
        line = arguments(emulated(command), find_bwrap())
        processor = foreign(command)
        if processor is not None:
            line = with_formats(line, processor, find_emulator(processor))
        with self._lock:
            if self._closed:
                raise SandboxError("the build was interrupted before this step began")
            process = subprocess.Popen(
                line,
                env={},  # bwrap's own can be read inside: /proc/1/environ, whatever --clearenv does
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running.add(process)
        try:
            return self._finish(process, command)
        finally:
            with self._lock:
                self._running.discard(process)

    def close(self) -> None:
        """Kill what still runs and refuse what would start; for interrupts."""
        with self._lock:
            self._closed = True
            for process in self._running:
                _kill(process)

    def _finish(self, process: "subprocess.Popen[bytes]", command: Command) -> str:
        if process.stdout is None:  # pragma: no cover - stdout=PIPE above
            raise AssertionError("no pipe")
        tail = _Tail(process.stdout)
        try:
            code = process.wait(timeout=command.timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.wait()
            raise SandboxError(
                f"{_name(command)} did not end within {command.timeout:g} s and was killed",
                details=_last_lines(tail.text()),
            ) from None
        output = tail.text()
        if code != 0:
            raise SandboxError(
                f"{_name(command)} failed in the sandbox",
                expected="exit code 0",
                got=_exit(code),
                details=_last_lines(output),
                hint=_hint(output),
            )
        return output


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill bwrap and all below it.

    Its first child is process 1 of a namespace, which takes all others with it. But that child
    asks to die with bwrap only after it has waited for it: when bwrap alone is killed while it
    starts, the child waits for ever.
    """
    process.send_signal(signal.SIGSTOP)  # it shall start nothing more
    for pid in list(_descendants(process.pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.kill()


def _descendants(pid: int) -> Iterator[int]:
    """The children of a process and theirs (proc_pid_task_tid_children(5))."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from _descendants(int(child))


class _Tail:
    """The last bytes of a pipe, read by a thread so that the writer never blocks."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._pieces: collections.deque[bytes] = collections.deque()
        self._size = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._pipe as pipe:
            while piece := os.read(pipe.fileno(), _KEPT_OUTPUT):
                self._pieces.append(piece)
                self._size += len(piece)
                while self._size - len(self._pieces[0]) > _KEPT_OUTPUT:
                    self._size -= len(self._pieces.popleft())

    def text(self) -> str:
        self._thread.join()
        return b"".join(self._pieces)[-_KEPT_OUTPUT:].decode(errors="replace")


def _name(command: Command) -> str:
    return Path(command.argv[0]).name


def _exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _last_lines(output: str) -> tuple[str, ...]:
    return tuple(output.rstrip().splitlines()[-20:])


def _hint(output: str) -> str | None:
    if "namespace" in output and ("permitted" in output or "denied" in output):
        return (
            "this machine forbids user namespaces: allow them "
            "(sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces, or an AppArmor "
            "profile for bwrap), or use --sandbox docker"
        )
    if "Exec format error" in output:
        return (
            "a program for another processor was started by one: that needs Linux 6.7, or "
            "qemu-user in this machine's /proc/sys/fs/binfmt_misc"
        )
    return None
