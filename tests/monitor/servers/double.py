"""A model server in this process: what it holds, what it answers, and how it fails when told to.

It passes the contract of real ones (test_double.py), so that tests of what stands before a server
need none.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from hps.monitor.server import Fault, Generation, Probe, ServerError
from tests.monitor.servers.contract import contents

Files = dict[str, bytes]


@dataclass
class World:
    """What there is outside of the monitor: one server, which outlives every adapter.

    Args:
        loaded: the files of each generation that it holds.
        active: the one that answers.
        fails: raised by a verb, once for each time that it stands here.
        waits: verbs that do not come to an end before `go`, or never.
        reached: set when a verb waits.
        go: lets it go on.
        calls: the verbs, in order.
        probes: what `probe` was given.
    """

    loaded: dict[int, Files] = field(default_factory=dict)
    active: int | None = None
    fails: dict[str, list[Exception]] = field(default_factory=dict)
    waits: set[str] = field(default_factory=set)
    reached: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    calls: list[tuple[str, int]] = field(default_factory=list)
    probes: list[Probe | None] = field(default_factory=list)

    def begun(self, verb: str, number: int) -> None:
        """A verb begins: it is noted, waits, or fails."""
        self.calls.append((verb, number))
        if verb in self.waits:
            self.reached.set()
            assert self.go.wait(60)
        if self.fails.get(verb):
            raise self.fails[verb].pop(0)

    def answer(self) -> Files | None:
        """What a client gets."""
        return None if self.active is None else self.loaded.get(self.active)


class DoubleServer:
    """The port over a World, as each process of a monitor makes its own."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def name(self) -> str:
        return "double"

    def inspect(self, generation: Generation) -> None:
        self._world.begun("inspect", generation.number)
        if not contents(generation.folder):
            raise ServerError(Fault.UNFIT, f"generation {generation.number} holds no file")

    def load(self, generation: Generation) -> None:
        self._world.begun("load", generation.number)
        self._world.loaded[generation.number] = contents(generation.folder)

    def probe(self, generation: Generation, probe: Probe | None) -> None:
        self._world.begun("probe", generation.number)
        self._world.probes.append(probe)
        self._check(generation.number)

    def activate(self, generation: Generation, old: Generation | None) -> None:
        self._world.begun("activate", generation.number)
        self._check(generation.number)
        del old
        self._world.active = generation.number
        for number in [one for one in self._world.loaded if one != generation.number]:
            del self._world.loaded[number]

    def withdraw(self, generation: Generation) -> None:
        self._world.begun("withdraw", generation.number)
        self._world.loaded.pop(generation.number, None)
        if self._world.active == generation.number:
            self._world.active = None

    def live(self) -> Sequence[int]:
        self._world.begun("live", 0)
        return sorted(self._world.loaded)

    def _check(self, number: int) -> None:
        if number not in self._world.loaded:
            raise ServerError(Fault.NOT_READY, f"generation {number} is not loaded")


class DoubleHost:
    """`contract.Host` over a World."""

    beside = True

    def __init__(self, made: "dict[int, Generation]") -> None:
        self.world = World()
        self._made = made

    def server(self) -> DoubleServer:
        return DoubleServer(self.world)

    def answering(self) -> int | None:
        answer = self.world.answer()
        return None if answer is None else int(answer["weights"])

    def generation(self, number: int) -> Generation:
        return self._made[number]

    def start_anew(self) -> None:
        """A server that loads, when it starts, what was loaded before."""
