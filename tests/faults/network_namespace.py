"""Two network namespaces with a cable between them that can be cut (veth(4), namespaces(7)).

A namespace belongs to a thread here: what is called in a `Space`, and every thread and child that
is started there, sees the network of that namespace and nothing of the host's. Needs CAP_SYS_ADMIN
and CAP_NET_ADMIN, and ip(8).
"""

import concurrent.futures
import contextlib
import ctypes
import functools
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

_NEWNET = 0x40000000  # CLONE_NEWNET, <linux/sched.h>
_SECONDS = 20.0
# Of the block for benchmarks between networks (RFC 2544, appendix C.2.2); nobody else sees them.
_NEAR, _FAR = "198.18.0.1", "198.18.0.2"
_T = TypeVar("_T")


class Space:
    """A network namespace, and a thread inside of it that does what it is asked."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="namespace")
        self._thread.start()

    @property
    def thread(self) -> int:
        """Of the kernel's; names the namespace for ip(8)."""
        assert self._thread.native_id is not None
        return self._thread.native_id

    def call(self, action: Callable[[], _T]) -> _T:
        """Do something inside; raises what it raises."""
        done: concurrent.futures.Future[_T] = concurrent.futures.Future()

        def act() -> None:
            try:
                done.set_result(action())
            except BaseException as error:  # handed on to who asked
                done.set_exception(error)

        self._asked.put(act)
        return done.result(_SECONDS)

    def close(self) -> None:
        """End the thread; the namespace goes with the last thing in it."""
        self._asked.put(None)
        self._thread.join(_SECONDS)

    def _work(self) -> None:
        while (action := self._asked.get()) is not None:
            action()


@dataclass(frozen=True)
class Cable:
    """The two ends, and their addresses.

    Args:
        near: where the monitor is.
        far: where its sources are.
        address: of the far end.
    """

    near: Space
    far: Space
    address: str = _FAR

    def cut(self) -> None:
        """Take the link down: what is on its way is lost, and nothing new gets through."""
        self.near.call(functools.partial(_ip, "link", "set", "near", "down"))

    def mend(self) -> None:
        """Take it up again; the addresses are still there."""
        self.near.call(functools.partial(_ip, "link", "set", "near", "up"))


@contextlib.contextmanager
def cabled() -> Iterator[Cable | None]:
    """Two namespaces with a cable; None where the kernel refuses, or ip(8) is missing."""
    if shutil.which("ip") is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        near, far = Space(), Space()
        stack.callback(near.close)
        stack.callback(far.close)
        try:
            for space in (near, far):
                space.call(_unshare)
        except PermissionError:
            yield None
            return
        ends = "link add near type veth peer name far netns".split()
        near.call(functools.partial(_ip, *ends, str(far.thread)))
        for space, name, address in ((near, "near", _NEAR), (far, "far", _FAR)):
            space.call(functools.partial(_ip, "link", "set", "lo", "up"))
            space.call(functools.partial(_ip, "address", "add", f"{address}/30", "dev", name))
            space.call(functools.partial(_ip, "link", "set", name, "up"))
        yield Cable(near, far)


def _unshare() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stderr)
