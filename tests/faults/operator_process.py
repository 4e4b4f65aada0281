"""Requests of operators on a real disk, that the fault tests kill and starve.

`python -m tests.faults.operator_process NAME FOLDER` prints the names of the folders below FOLDER
in which the action NAME was stopped, once at each of its effects.
"""

import errno
import functools
import itertools
import json
import sys
from pathlib import Path

from hps.monitor.disk import DiskError
from hps.monitor.events import Wish
from hps.monitor.operator import Answer, Desk
from tests.faults.tracer import Stop, trace, walk

NOW = 1_800_000_000.0


def prepare(place: Path) -> None:
    """A monitor has been there, and one request waits."""
    Desk(place).open(NOW)
    ask(place)


def ask(place: Path) -> int:
    """One request, or the exit code of the disk."""
    try:
        Desk(place).ask(Wish.ROLLBACK, 7, by="ada", why="", now=NOW)
    except DiskError as error:
        return error.exit_code
    return 0


def answer(place: Path) -> int:
    """Take up all requests."""
    try:
        for asked in Desk(place).pending():
            Desk(place).answer(asked, Answer(done=True, text="done"))
    except DiskError as error:
        return error.exit_code
    return 0


ACTIONS = {"ask": ask, "answer": answer}


def starve(folder: Path, name: str) -> list[str]:
    """Let the disk be full from each effect on."""
    places: list[str] = []
    for number in itertools.count(1):
        place = folder / f"full-{number}"
        prepare(place)
        stop = Stop(number, error=errno.ENOSPC)
        ended = trace(functools.partial(ACTIONS[name], place), place, stop=stop)
        assert ended.code in {0, 8}, ended
        if len(ended.effects) < number:
            return places
        places.append(place.name)
    raise AssertionError("unreachable")


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2])
    print(json.dumps([*walk(where, prepare, ACTIONS[what]), *starve(where, what)]))
