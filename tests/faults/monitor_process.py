"""The whole monitor, killed at its effects: `python -m hps.monitor --once` with a real source.

`python -m tests.faults.monitor_process HOW NAME FOLDER URL SHARE SEED`: the scenario NAME below
FOLDER; what it publishes lies in FOLDER/published, which somebody serves at URL. A share of the
effects is taken, those that write the journal first. HOW is `kill`, or `starve`: the disk is full
from that effect on. Prints what was found as JSON; checks everything itself.
"""

import errno
import functools
import importlib
import json
import os
import random
import runpy
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hps.model.policy import Trust
from hps.monitor.journal import read
from hps.monitor.state import State
from hps.monitor.transitions import Phase
from hps.monitor.tree import remove_tree
from tests.faults.monitored import FolderShelf, Publisher, Tree, hashes_at, hashes_of
from tests.faults.tracer import Stop, trace
from tests.model.releases import KEY

_MODEL = "ocr.tar.gz"
_HEAVY = ("hps.cli.monitor", "hps.cli.monitor_verbs", "hps.monitor.many", "hps.config.load")
_SETTINGS = """\
[monitor]
state = "state"
listen = ""

[monitor.models.ocr]
keys = ["key.pub"]
interval = 0.05
caps = {{ spare = 0 }}
source = {{ type = "general", host = "{url}", path = "/", model = "{model}" }}
server = {server}
"""
_PADDLE = '{ type = "paddle-serving", folder = "served" }'
_EXEC = """{{ type = "exec", load = ["{script}", "load", "{place}", "{{folder}}", "{{number}}"],\
 activate = ["{script}", "activate", "{place}", "{{folder}}", "{{number}}"],\
 withdraw = ["{script}", "withdraw", "{place}", "{{folder}}", "{{number}}"] }}"""
# A model server whose "memory" is a folder; it will not have models with a file `unwanted`.
_SERVER = """#!/bin/sh
set -eu
cd "$2/served"
case "$1" in
load) [ -d "slot-$4" ] || { rm -rf new; cp -r "$3" new; chmod -R u+w new; mv new "slot-$4"; } ;;
activate) [ ! -e "slot-$4/unwanted" ] || { echo unwanted; exit 1; }
          ln -sfn "slot-$4" next; mv -T next ocr ;;
withdraw) rm -rf "slot-$4" ;;
esac
"""


@dataclass
class Laboratory:
    """A publisher, and a place for each monitor that is killed."""

    folder: Path
    url: str
    server: str = "paddle"
    publisher: Publisher = field(init=False)

    def __post_init__(self) -> None:
        issued = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
        shelf = FolderShelf(self.folder / "published")
        chance = random.Random(0)
        self.publisher = Publisher(shelf, _MODEL, Trust.SIGNATURE, chance, issued=issued)
        self.script = self.folder / "server"
        self.script.write_text(_SERVER)
        self.script.chmod(0o755)

    def furnish(self, place: Path) -> None:
        """Settings and key of a place that is new, or a copy of another one."""
        server = _PADDLE if self.server == "paddle" else _EXEC
        if self.server != "paddle":
            server = server.format(script=self.script, place=place)
        text = _SETTINGS.format(url=self.url, model=_MODEL, server=server)
        (place / "monitor.toml").write_text(text)
        (place / "key.pub").write_bytes(KEY.public.pem)
        (place / "served").mkdir(exist_ok=True)

    def put(self, tree: Tree) -> None:
        """Publish it; each publish has a second of its own, long over."""
        self.publisher.version += 1
        past = 1_700_000_000 + self.publisher.version
        self.publisher.shelf.put(_MODEL, self.publisher.archive(tree), past)
        self.publisher.shelf.put("donefile", f"{self.publisher.version}\n".encode(), past)

    def publish(self, version: int, *, unwanted: bool = False) -> None:
        """A release with this sequence number."""
        content: Tree = {"version": f"{version}\n".encode() * 9000, "conf/names": b"a\nb\n"}
        if unwanted:
            content = {**content, "unwanted": b""}
        tree = self.publisher.completed(content, version)
        self.publisher.published[hashes_of(tree)] = version
        self.put(tree)

    def live(self, place: Path) -> int | None:
        """Which release is live: whole and published, or none."""
        found = hashes_at(place / "served" / "ocr")
        return None if found is None else self.publisher.published[found]

    def check_generations(self, place: Path) -> None:
        """What has a number is whole."""
        for path in (place / "state" / "ocr" / "generations").glob("*"):
            found = hashes_at(path)
            assert found in self.publisher.published, path


def monitor(place: Path, *words: str) -> int:
    """`python -m hps.monitor` in this process, which is a child of its own."""
    os.chdir(place)
    log = os.open(place / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    sys.argv = ["hps.monitor", *words, "--config", "monitor.toml"]
    try:
        runpy.run_module("hps.monitor", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def run(place: Path, *words: str) -> int:
    """The same in a child, which nobody stops; its exit code."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = monitor(place, *words)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@dataclass(frozen=True)
class Scenario:
    """What is killed.

    Args:
        prepare: what was there before; may run monitors.
        allowed: what may be live at any moment.
        expected: what is live in the end.
        phase: how the update ended.
        server: `paddle` or `exec`.
    """

    prepare: Callable[[Laboratory, Path], None]
    allowed: tuple[int | None, ...]
    expected: int
    phase: Phase
    server: str = "paddle"


def _nothing(lab: Laboratory, place: Path) -> None:
    del place
    lab.publish(1)


def _second(lab: Laboratory, place: Path) -> None:
    lab.publish(1)
    assert run(place, "--once") == 0
    lab.publish(2)


def _older(lab: Laboratory, place: Path) -> None:
    lab.publish(2)
    assert run(place, "--once") == 0
    lab.publish(1)


def _asked(lab: Laboratory, place: Path) -> None:
    _second(lab, place)
    assert run(place, "--once") == 0
    words = ("rollback", "ocr", "--reason", "wrong dates", "--wait", "0")
    code = run(place, *words)
    assert list((place / "state" / "ocr" / "requests").glob("*.json")), code


def _unwanted(lab: Laboratory, place: Path) -> None:
    lab.publish(1)
    assert run(place, "--once") == 0
    lab.publish(2, unwanted=True)


SCENARIOS = {
    "first": Scenario(_nothing, (None, 1), 1, Phase.LIVE),
    "second": Scenario(_second, (1, 2), 2, Phase.LIVE),
    "refused": Scenario(_older, (2,), 2, Phase.REFUSED),
    "rollback": Scenario(_asked, (2, 1), 1, Phase.LIVE),
    "exec": Scenario(_second, (1, 2), 2, Phase.LIVE, "exec"),
    "withdrawn": Scenario(_unwanted, (1,), 1, Phase.ROLLED_BACK, "exec"),
}


class Killer:
    """One scenario, again and again."""

    def __init__(self, lab: Laboratory, scenario: Scenario) -> None:
        self.lab, self.scenario = lab, scenario
        self.before = lab.folder / "before"
        self.before.mkdir()
        lab.furnish(self.before)
        scenario.prepare(lab, self.before)
        self.phases: Counter[str] = Counter()

    def place(self, name: str) -> Path:
        """A copy of what was there before."""
        place = self.lab.folder / name
        shutil.copytree(self.before, place, symlinks=True)
        self.lab.furnish(place)
        return place

    def effects(self) -> list[str]:
        """All of them, when nobody stops it."""
        place = self.place("watched")
        ended = trace(functools.partial(monitor, place, "--once"), *_traced(place))
        self.check_end(place, ended.code)
        return list(ended.effects)

    def kill(self, at: int, *, torn: bool) -> bool:
        """Kill it at an effect, look, and let another one carry on; whether it was killed."""
        place = self.place(f"at-{at}{'-torn' if torn else ''}")
        action = functools.partial(monitor, place, "--once")
        ended = trace(action, *_traced(place), stop=Stop(at, torn=torn))
        if ended.killed:
            self.check_moment(place)
            self.phases[_phase(place)] += 1
            code = run(place, "--once")
            self.check_end(place, code)
        else:
            self.check_end(place, ended.code)
        remove_tree(place)
        return ended.killed

    def starve(self, at: int) -> bool:
        """Let the disk be full from an effect on; then there is room, for another process."""
        place = self.place(f"full-{at}")
        action = functools.partial(monitor, place, "--once")
        ended = trace(action, *_traced(place), stop=Stop(at, error=errno.ENOSPC))
        where = f"{place}\n{(place / 'log').read_text()}"
        assert ended.code in {0, 4, 5, 8}, f"exit code {ended.code}: {where}"
        self.check_moment(place)
        self.phases[_phase(place)] += 1
        self.check_end(place, run(place, "--once"))
        remove_tree(place)
        return len(ended.effects) >= at

    def check_moment(self, place: Path) -> None:
        """At any moment: whole, verified, and nothing that was not to be live."""
        assert self.lab.live(place) in self.scenario.allowed, place
        self.lab.check_generations(place)

    def check_end(self, place: Path, code: int) -> None:
        """In the end: what had to become of it, and nothing left over."""
        where = f"{place}\n{(place / 'log').read_text()}"
        assert code in {0, 5, 8}, f"exit code {code}: {where}"
        assert self.lab.live(place) == self.scenario.expected, where
        self.lab.check_generations(place)
        state = State.from_json(read(place / "state" / "ocr" / "journal")[-1].state)
        assert state.update is not None, where
        assert state.update.over, where
        assert state.update.phase is self.scenario.phase, where
        assert state.live is not None, where
        link = (place / "state" / "ocr" / "live").readlink()
        assert link.name == str(state.live.number), where
        retained = {str(number) for number in state.retained}
        generations = {path.name for path in (place / "state" / "ocr" / "generations").iterdir()}
        assert generations >= retained, where
        for name in ("requests", "removed"):
            left = list((place / "state" / "ocr" / name).glob("*"))
            assert not left, (left, where)
        if self.scenario.server == "exec":
            slots = {path.name for path in (place / "served").glob("slot-*")}
            lost = {"slot-2"} if self.scenario.phase is Phase.ROLLED_BACK else set()
            assert not slots & lost, where


def _traced(place: Path) -> tuple[Path, Path]:
    return place / "state", place / "served"


def _phase(place: Path) -> str:
    records = read(place / "state" / "ocr" / "journal")
    if not records:
        return "no record"
    update = State.from_json(records[-1].state).update
    return "nothing begun" if update is None else f"{update.phase}, {update.step}"


def chosen(effects: list[str], share: float, seed: str) -> list[tuple[int, bool]]:
    """At which effects to kill; each write also in its middle. The journal's come first."""
    every = [(number, False) for number in range(1, len(effects) + 1)]
    every += [
        (number, True)
        for number, effect in enumerate(effects, start=1)
        if effect.startswith("write ")
    ]
    if share >= 1:
        return sorted(every)
    journal = [one for one in every if effects[one[0] - 1].endswith("records.jsonl")]
    random_ = random.Random(seed)
    count = max(4, round(len(every) * share))
    return sorted(
        {*random_.sample(journal, count // 2), *random_.sample(every, count - count // 2)}
    )


def main(how: str, name: str, *where: str) -> None:
    folder, url, share, seed = where
    for module in _HEAVY:  # once here rather than in each child
        importlib.import_module(module)
    scenario = SCENARIOS[name]
    killer = Killer(Laboratory(Path(folder), url, scenario.server), scenario)
    effects = killer.effects()
    tried = chosen(effects, float(share), f"{how} {name} {seed}")
    if how == "kill":
        met = sum([killer.kill(at, torn=torn) for at, torn in tried])
    else:
        met = sum([killer.starve(at) for at, torn in tried if not torn])
    found = {"effects": len(effects), "tried": len(tried), "met": met}
    print(json.dumps({**found, "phases": dict(killer.phases)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
