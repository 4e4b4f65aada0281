"""Stops a process at the Nth effect that it has on the files below folders, whatever its code.

ptrace(2) with a seccomp(2) filter, so that only calls that can change files stop; the whole tree
of processes and threads counts as one. Linux on x86-64.
"""

import ctypes
import errno
import functools
import itertools
import os
import platform
import shutil
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.restype = ctypes.c_long
_LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_LIBC.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]

# <sys/ptrace.h>
_TRACEME, _CONT, _GETREGS, _SETREGS, _SYSCALL, _SETOPTIONS = 0, 7, 12, 13, 24, 0x4200
_OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000  # good, forks, exec, seccomp, EXITKILL
_EVENT_SECCOMP = 7
_WALL = 0x40000000
# <asm/user.h>: where user_regs_struct has what a call is given, and what it gives back
_ARGUMENTS = (14, 13, 12, 7, 9, 8)  # rdi rsi rdx r10 r8 r9
_NUMBER, _RESULT = 15, 10  # orig_rax, rax
_AT_FDCWD = 0xFFFFFF9C
_CREATING = os.O_CREAT | os.O_TRUNC | os.O_TMPFILE & ~os.O_DIRECTORY

Files = tuple[tuple[int | None, int | None], ...]  # of each: argument of the folder, of the path
_OF_DESCRIPTOR: Files = ((0, None),)
_OF_PATH: Files = ((None, 0),)
_AT: Files = ((0, 1),)


@dataclass(frozen=True)
class Call:
    """A system call that can change files (<asm/unistd_64.h>)."""

    number: int
    files: Files
    flags: int | None = None  # argument with open(2) flags: only with O_CREAT or O_TRUNC
    room: bool = True  # whether it needs room on a disk


CALLS = {
    "write": Call(1, _OF_DESCRIPTOR),
    "pwrite64": Call(18, _OF_DESCRIPTOR),
    "writev": Call(20, _OF_DESCRIPTOR),
    "sendfile": Call(40, _OF_DESCRIPTOR),
    "copy_file_range": Call(326, ((2, None),)),
    "ftruncate": Call(77, _OF_DESCRIPTOR),
    "fallocate": Call(285, _OF_DESCRIPTOR),
    "fsync": Call(74, _OF_DESCRIPTOR),
    "fdatasync": Call(75, _OF_DESCRIPTOR),
    "syncfs": Call(306, _OF_DESCRIPTOR),
    "fchmod": Call(91, _OF_DESCRIPTOR, room=False),
    "open": Call(2, _OF_PATH, flags=1),
    "openat": Call(257, _AT, flags=2),
    "rename": Call(82, ((None, 0), (None, 1))),
    "renameat": Call(264, ((0, 1), (2, 3))),
    "renameat2": Call(316, ((0, 1), (2, 3))),
    "link": Call(86, ((None, 0), (None, 1))),
    "linkat": Call(265, ((0, 1), (2, 3))),
    "symlink": Call(88, ((None, 1),)),
    "symlinkat": Call(266, ((1, 2),)),
    "mkdir": Call(83, _OF_PATH),
    "mkdirat": Call(258, _AT),
    "unlink": Call(87, _OF_PATH, room=False),
    "unlinkat": Call(263, _AT, room=False),
    "rmdir": Call(84, _OF_PATH, room=False),
    "chmod": Call(90, _OF_PATH, room=False),
    "fchmodat": Call(268, _AT, room=False),
    "utimensat": Call(280, _AT, room=False),
}
_NAMES = {call.number: name for name, call in CALLS.items()}


@dataclass(frozen=True)
class Stop:
    """What happens at effect number `at`, counted from 1.

    Args:
        at: which one.
        error: the call fails with this errno instead of doing anything; ENOSPC from then on for
            all calls that need room. Without it the processes are killed before the call.
        torn: kill after half of the bytes of a write instead.
    """

    at: int
    error: int = 0
    torn: bool = False


@dataclass(frozen=True)
class Ended:
    """What became of a traced action.

    Args:
        effects: as `rename /a /b`, in order; the last may not have happened.
        code: its exit code; negative: a signal.
    """

    effects: tuple[str, ...]
    code: int

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


def can_trace() -> bool:
    return sys.platform == "linux" and platform.machine() == "x86_64"


def trace(action: Callable[[], int | None], *folders: Path, stop: Stop | None = None) -> Ended:
    """Run an action in a forked child, under watch. The caller has no other children."""
    child = os.fork()
    if child == 0:
        _be_traced(action)
    _, status = os.waitpid(child, 0)
    assert os.WIFSTOPPED(status), status
    _ptrace(_SETOPTIONS, child, _OPTIONS)
    _ptrace(_CONT, child, 0)
    return _Watch(child, folders, stop).run()


def walk(
    folder: Path, prepare: Callable[[Path], object], action: Callable[[Path], int | None]
) -> list[str]:
    """Kill an action at each of its effects, also in the middle of each write.

    Returns:
        The names of the folders below `folder` in which it was killed, one for each time.
    """
    places: list[str] = []
    for number in itertools.count(1):
        for torn in (False, True):
            place = folder / f"{number}{'-torn' if torn else ''}"
            place.mkdir()
            prepare(place)
            ended = trace(functools.partial(action, place), place, stop=Stop(number, torn=torn))
            if not ended.killed:
                assert ended.code == 0, ended
                shutil.rmtree(place)
                return places
            places.append(place.name)
            if not ended.effects[-1].startswith("write "):
                break
    raise AssertionError("unreachable")


def _be_traced(action: Callable[[], int | None]) -> None:
    code = 70
    try:
        _ptrace(_TRACEME, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        _install_filter()
        code = action() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class _Watch:
    def __init__(self, child: int, folders: Sequence[Path], stop: Stop | None) -> None:
        self._child = child
        self._folders = [os.path.realpath(folder) for folder in folders]
        self._stop = stop
        self._known = {child}
        self._effects: list[str] = []
        self._failing: dict[int, int] = {}  # process in a call that is to fail: errno
        self._code = 0
        self._killed = False

    def run(self) -> Ended:
        while True:
            try:
                pid, status = os.waitpid(-1, _WALL)
            except ChildProcessError:
                return Ended(tuple(self._effects), self._code)
            if os.WIFSTOPPED(status):
                self._stopped(pid, os.WSTOPSIG(status), status >> 16)
            elif pid == self._child:
                self._code = os.waitstatus_to_exitcode(status)

    def _stopped(self, pid: int, number: int, event: int) -> None:
        if self._killed:
            os.kill(pid, signal.SIGKILL)
            return
        go_on, deliver = _CONT, 0
        if event == _EVENT_SECCOMP:
            go_on = self._call(pid)
        elif number == signal.SIGTRAP | 0x80:
            self._after_call(pid)
        elif event == 0 and (number != signal.SIGSTOP or pid in self._known):
            deliver = number
        self._known.add(pid)
        if not self._killed:
            _ptrace(go_on, pid, deliver)

    def _call(self, pid: int) -> int:
        """A call that is about to happen; returns how the process goes on."""
        registers = _registers(pid)
        name = _NAMES[registers[_NUMBER]]
        paths = [self._path(pid, registers, *file) for file in CALLS[name].files]
        if not any(self._is_below(path) for path in paths):
            return _CONT
        self._effects.append(" ".join([name, *paths]))
        stop, at = self._stop, len(self._effects)
        if stop is None or at < stop.at:
            return _CONT
        if stop.error:
            sticky = stop.error == errno.ENOSPC
            if (at == stop.at or sticky) and (CALLS[name].room or not sticky):
                self._failing[pid] = stop.error
                registers[_NUMBER] = (1 << 64) - 1  # no call
                _set_registers(pid, registers)
                return _SYSCALL
        elif at == stop.at and stop.torn and name == "write":
            registers[_ARGUMENTS[2]] //= 2
            _set_registers(pid, registers)
            return _SYSCALL
        else:
            self._kill()
        return _CONT

    def _after_call(self, pid: int) -> None:
        if pid not in self._failing:
            self._kill()
            return
        registers = _registers(pid)
        registers[_RESULT] = (1 << 64) - self._failing.pop(pid)
        _set_registers(pid, registers)

    def _kill(self) -> None:
        self._killed = True
        for pid in self._known:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it has ended before

    def _is_below(self, path: str) -> bool:
        return any(path == top or path.startswith(f"{top}/") for top in self._folders)

    def _path(self, pid: int, registers: list[int], folder: int | None, name: int | None) -> str:
        text = b"" if name is None else _string(pid, registers[_ARGUMENTS[name]])
        if text.startswith(b"/"):
            return os.path.normpath(os.fsdecode(text))
        place = "cwd"
        if folder is not None and registers[_ARGUMENTS[folder]] & 0xFFFFFFFF != _AT_FDCWD:
            place = f"fd/{registers[_ARGUMENTS[folder]] & 0xFFFFFFFF}"
        try:
            base = Path(f"/proc/{pid}/{place}").readlink()
        except OSError:
            return ""  # a bad descriptor: the call will fail
        return os.path.normpath(base / os.fsdecode(text))


def _ptrace(request: int, pid: int, data: int) -> None:
    if _LIBC.ptrace(request, pid, None, data) == -1:
        code = ctypes.get_errno()
        if code != errno.ESRCH:  # killed meanwhile by another of its threads
            raise OSError(code, f"ptrace {request}: {os.strerror(code)}")


def _registers(pid: int) -> list[int]:
    buffer = ctypes.create_string_buffer(27 * 8)
    _ptrace(_GETREGS, pid, ctypes.addressof(buffer))
    return list(struct.unpack("27Q", buffer.raw))


def _set_registers(pid: int, registers: list[int]) -> None:
    buffer = ctypes.create_string_buffer(struct.pack("27Q", *registers), 27 * 8)
    _ptrace(_SETREGS, pid, ctypes.addressof(buffer))


def _string(pid: int, address: int) -> bytes:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        try:
            found = os.pread(memory.fileno(), 4096, address)
        except OSError:  # it may end with its page
            found = os.pread(memory.fileno(), 4096 - address % 4096, address)
    return found.partition(b"\0")[0]


@functools.cache
def _filter() -> bytes:
    """Classic BPF over struct seccomp_data: stop at `CALLS`, let the rest go."""
    load, equal, set_, answer = 0x20, 0x15, 0x45, 0x06
    stop, allow = 0x7FF00000, 0x7FFF0000
    code = [(load, 0, 0, 4), (equal, 1, 0, 0xC000003E), (answer, 0, 0, allow), (load, 0, 0, 0)]
    for call in CALLS.values():
        if call.flags is None:
            code += [(equal, 0, 1, call.number), (answer, 0, 0, stop)]
        else:
            look = [(load, 0, 0, 16 + 8 * call.flags), (set_, 0, 1, _CREATING)]
            code += [(equal, 0, 4, call.number), *look, (answer, 0, 0, stop), (answer, 0, 0, allow)]
    return b"".join(struct.pack("HBBI", *line) for line in [*code, (answer, 0, 0, allow)])


def _install_filter() -> None:
    code = ctypes.create_string_buffer(_filter(), len(_filter()))
    program = struct.pack("HxxxxxxQ", len(_filter()) // 8, ctypes.addressof(code))
    held = ctypes.create_string_buffer(program, len(program))
    assert _LIBC.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert _LIBC.prctl(22, 2, ctypes.addressof(held), 0, 0) == 0, ctypes.get_errno()  # SECCOMP
