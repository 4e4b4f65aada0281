"""Updates of a model, on a real disk, that the fault tests kill and starve.

`python -m tests.faults.update_process crash NAME FOLDER` prints the names of the folders below
FOLDER in which the action NAME was killed, once at each of its effects; `starve` lets the disk be
full from each of them on, and `watch` prints the effects.

The source and the server are as simple as can be: a list of contents, and a file that says what
is loaded and what answers. The journal, the generations, the lock and the machine are the real
ones.
"""

import errno
import functools
import itertools
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hps.errors import HpsError
from hps.monitor.events import Done, Event, Failed, Moment, Offered, Rules, Served
from hps.monitor.generations import Generations
from hps.monitor.journal import RECORDS, Journal, highest_fence, repair
from hps.monitor.ownership import owned
from hps.monitor.sighting import Mark
from hps.monitor.state import State
from hps.monitor.transitions import Outcome, Step, outcome_of_error
from hps.monitor.update import advance, due, recover
from tests.faults.tracer import Stop, trace, walk

RULES = Rules(keep=1)
FILES = ("config.pbtxt", "1/model.py", "1/weights")


class Server:
    """What a model server would remember while the monitor is killed."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def facts(self) -> dict[str, Any]:
        """`loaded`: numbers; `active`: a number."""
        if not self._file.exists():
            return {"loaded": [], "active": None}
        found: dict[str, Any] = json.loads(self._file.read_text())
        return found

    def change(self, loaded: list[int], active: int | None) -> None:
        """In one step, as another process would."""
        self._file.with_suffix(".new").write_text(json.dumps({"loaded": loaded, "active": active}))
        self._file.with_suffix(".new").replace(self._file)


class Host:
    """One model on one host, below a folder."""

    def __init__(self, place: Path) -> None:
        self.folder = place / ".hps" / "ocr"
        self.server = Server(place.with_suffix(".server"))
        self.generations = Generations(self.folder)

    def update(self, version: int) -> int:
        """Own the model, carry on with what was begun, and end with `version` live.

        Returns:
            An exit code: 0, or 8 where a step failed again and again.

        Raises:
            HpsError: the journal or the lock cannot be written.
        """
        fence = highest_fence(self.folder / "journal")
        with (
            owned(self.folder / "lock", now=1.0, at_least=fence) as ownership,
            Journal(self.folder / "journal", keep=2) as journal,
        ):
            return self._run(journal, ownership.fence, version)

    def _run(self, journal: Journal, fence: int, version: int) -> int:
        state = State()
        if journal.last is not None:
            state = recover(State.from_json(journal.last.state), Moment(0.0), RULES)
        self.generations.keep_only(state.retained)
        self.generations.clean([state.staging])
        mark = Mark(f"donefile {version}", "others", f"model {version}", settled=True)
        if not mark.is_like(state.last_mark):
            state = advance(state, Offered(mark), Moment(0.0), RULES)
        now, failures = 0.0, 0
        while state.busy is not None and failures < 3:
            number = state.busy.number
            entry = {"phase": str(state.busy.phase)}
            journal.append(entry, state.as_json(), update=number, time=now, fence=fence)
            found = due(state, now, RULES)
            if found.step is Step.WAIT:
                now = found.until or now
                continue
            event = self._attempt(found.step, number, version)
            failures += isinstance(event, Failed)
            state = advance(state, event, Moment(now), RULES)
        journal.append({"phase": "end"}, state.as_json(), update=0, time=now, fence=fence)
        self.generations.keep_only(state.retained)
        self.generations.clean([])
        return 0 if state.busy is None else 8

    def _attempt(self, step: Step, number: int, version: int) -> Event:
        try:
            return self._do(step, number, version)
        except HpsError as error:
            outcome, reason = outcome_of_error(error)
            return Failed(step, outcome, reason)
        except OSError as error:
            return Failed(step, Outcome.PASSING, str(error.errno))

    def _do(self, step: Step, number: int, version: int) -> Event:
        tree = self.generations.staging(number) / "model" if step in _STAGING else Path()
        loaded, active = self.server.facts["loaded"], self.server.facts["active"]
        if step is Step.PULL:
            for name in FILES:
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                (tree / name).write_bytes(content(version, name))
            return Done(step, f"content {version}")
        if step is Step.VERIFY:
            assert_whole(tree)
        elif step is Step.STAGE:
            self.generations.publish(number, tree)
            self.generations.discard(number)
        elif step is Step.INSPECT:
            assert_whole(self.generations.path(number))
        elif step is Step.LOAD:
            assert_whole(self.generations.path(number))
            self.server.change(sorted({*loaded, number}), active)
        elif step is Step.ASK:
            return Served(loaded)
        elif step is Step.ACTIVATE:
            assert number in loaded
            self.server.change([number], number)
            self.generations.point(number)
        elif step is Step.WITHDRAW:
            self.server.change(sorted({*loaded} - {number}), active)
        return Done(step)


_STAGING = frozenset({Step.PULL, Step.VERIFY, Step.STAGE})


def content(version: int, name: str) -> bytes:
    """What a file of a version holds."""
    return f"{name} of {version}\n".encode() * 50


def assert_whole(tree: Path) -> int:
    """Which version a tree is; every file of it, and no other."""
    version = int((tree / FILES[0]).read_text().split()[2])
    found = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    assert found == set(FILES), found
    for name in FILES:
        assert (tree / name).read_bytes() == content(version, name), name
    return version


def make_old(place: Path) -> None:
    """Versions 1 and 2 went live, one after the other."""
    for version in (1, 2):
        assert Host(place).update(version) == 0


def damage(place: Path) -> None:
    """A journal with a damaged middle."""
    make_old(place)
    path = Host(place).folder / "journal" / RECORDS
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b"phase", b"phasE")
    path.write_bytes(b"".join(lines))


def compact(place: Path) -> int:
    """Only that."""
    with Journal(Host(place).folder / "journal", keep=1) as journal:
        journal.compact()
    return 0


def mend(place: Path) -> int:
    """Only that."""
    repair(Host(place).folder / "journal")
    return 0


# name: (what is there before, what is done)
ACTIONS: dict[str, tuple[Callable[[Path], None], Callable[[Path], int]]] = {
    "first": (lambda _: None, lambda place: Host(place).update(1)),
    "update": (make_old, lambda place: Host(place).update(3)),
    "compact": (make_old, compact),
    "repair": (damage, mend),
}


def crash(folder: Path, name: str) -> list[str]:
    """Kill an action at each effect, and in the middle of each write."""
    prepare, action = ACTIONS[name]
    copy = _prepared(folder, prepare)
    return walk(folder, copy, lambda place: _coded(action, place))


def starve(folder: Path, name: str) -> list[str]:
    """Let the disk be full from each effect on."""
    prepare, action = ACTIONS[name]
    copy = _prepared(folder, prepare)
    places: list[str] = []
    for number in itertools.count(1):
        place = folder / f"full-{number}"
        place.mkdir()
        copy(place)
        ended = trace(
            functools.partial(_coded, action, place), place, stop=Stop(number, error=errno.ENOSPC)
        )
        if len(ended.effects) < number:
            return places
        assert ended.code in {0, 8}, ended
        places.append(place.name)
    raise AssertionError("unreachable")


def watch(folder: Path, name: str) -> list[str]:
    """The effects of an action that nobody stops, with paths below its folder."""
    prepare, action = ACTIONS[name]
    place = folder / "place"
    place.mkdir()
    _prepared(folder, prepare)(place)
    ended = trace(functools.partial(_coded, action, place), place)
    assert ended.code == 0, ended
    top = f"{place}/.hps/ocr"
    return [each.replace(f"{top}/", "/").replace(top, "/") for each in ended.effects]


def _coded(action: Callable[[Path], int], place: Path) -> int:
    try:
        return action(place)
    except HpsError as error:
        return error.exit_code


def _prepared(folder: Path, prepare: Callable[[Path], None]) -> Callable[[Path], None]:
    """Make what is there before once, and copy it each time."""
    model = folder / "before"
    model.mkdir()
    prepare(model)

    def copy(place: Path) -> None:
        shutil.copytree(model, place, symlinks=True, dirs_exist_ok=True)
        server = model.with_suffix(".server")
        if server.exists():
            shutil.copy(server, place.with_suffix(".server"))

    return copy


if __name__ == "__main__":
    how, what, where = sys.argv[1:4]
    print(json.dumps({"crash": crash, "starve": starve, "watch": watch}[how](Path(where), what)))
