"""Runs an action in a child that is killed before its n-th effect on the disk, for each n."""

import os
import sys
from collections.abc import Callable, Iterator

# Audit events of CPython that stand before a change, or an opening that may be one.
_EFFECTS = frozenset(
    "os.rename os.link os.mkdir os.remove os.rmdir os.chmod os.utime os.symlink os.truncate ctypes.dlsym".split()
)
_KILLED = 77
_FAILED = 78


def killed_at_every_effect(action: Callable[[], object]) -> Iterator[int]:
    """Yield after each child that was killed; ends when a child comes to its end."""
    for effect in range(1, 1000):
        child = os.fork()
        if child == 0:
            _run(action, effect)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, _KILLED), f"the child failed: {code}"
        if code == 0:
            return
        yield effect
    raise AssertionError("it never came to its end")


def _run(action: Callable[[], object], effect: int) -> None:
    seen = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        if event in _EFFECTS or writes:
            seen += 1
            if seen == effect:
                os._exit(_KILLED)

    sys.addaudithook(count)
    try:
        action()
    except BaseException as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(_FAILED)
    os._exit(0)
