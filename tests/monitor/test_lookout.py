"""When a source is looked at: evenly, spread by chance, and less often while it is away."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import pytest

from hps.monitor.backoff import Backoff
from hps.monitor.lookout import Lookout, Rhythm
from hps.monitor.sighting import News, Pace
from hps.monitor.source import Donefile, Found, Reading, SourceError, Trouble
from tests.monitor.test_pulse import Clock

RETRY = Backoff(first=1.0, most=300.0)


@dataclass
class Shown:
    """A source that shows what it is told to."""

    content: bytes | None = b"1"
    trouble: SourceError | None = None
    resolution: float = 0.0
    looked: int = field(default=0)

    @property
    def name(self) -> str:
        return "shown"

    def donefile(self) -> Donefile | None:
        self.looked += 1
        if self.trouble is not None:
            raise self.trouble
        return None if self.content is None else Donefile(self._found(), self.content)

    def model(self) -> tuple[Found, ...]:
        return (self._found(),)

    def read(self, found: Found, offset: int = 0) -> AbstractContextManager[Reading]:
        raise AssertionError(f"a look reads no file of a model: {found}, {offset}")

    def close(self) -> None:
        """Nothing is open."""

    def _found(self) -> Found:
        return Found("", 1, {"modified": "1700000000"}, self.resolution)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lookout(source: Shown, clock: Clock, **rhythm: float) -> Lookout:
    given = {"interval": 10.0, **rhythm}
    return Lookout(source, Rhythm(**given, pace=Pace(), retry=RETRY), clock)


def test_it_looks_at_once_and_then_at_every_interval(clock: Clock) -> None:
    found = lookout(Shown(), clock)
    due = [found.due]
    sighting = found.look(None)
    assert sighting.news is News.NEW
    for seconds in (0.0, 9.9, 0.1):
        clock.now += seconds
        due.append(found.due)
    assert due == [True, False, False, True]
    assert found.look(sighting.mark).news is News.SAME


def test_chance_spreads_the_looks_of_many_hosts(clock: Clock) -> None:
    nexts = set()
    for _ in range(50):
        found = lookout(Shown(), clock, jitter=0.5)
        found.look(None)
        nexts.add(found.next - clock.now)
    assert 5.0 <= min(nexts) < 9.0
    assert 11.0 < max(nexts) <= 15.0


def test_a_source_that_is_away_is_looked_at_less_often(clock: Clock) -> None:
    source = Shown(trouble=SourceError(Trouble.UNREACHABLE, "no route"))
    found = lookout(source, clock)
    waits = []
    for _ in range(12):
        with pytest.raises(SourceError):
            found.look(None)
        waits.append(found.next - clock.now)
        clock.now = found.next
    assert waits[0] == 10.0, "never sooner than the interval"
    assert 150.0 <= waits[-1] <= 300.0
    source.trouble = None
    found.look(None)
    assert found.next - clock.now == 10.0


def test_it_waits_as_long_as_the_source_asks_for(clock: Clock) -> None:
    found = lookout(Shown(trouble=SourceError(Trouble.SERVER, "busy", after=120.0)), clock)
    with pytest.raises(SourceError):
        found.look(None)
    assert found.next - clock.now == 120.0


def test_a_model_that_comes_after_its_donefile_is_not_a_source_that_is_away(clock: Clock) -> None:
    found = lookout(Shown(trouble=SourceError(Trouble.MISSING, "not there")), clock)
    for _ in range(5):
        with pytest.raises(SourceError):
            found.look(None)
        assert found.next - clock.now == 10.0


def test_it_is_settled_when_it_knows_what_there_is(clock: Clock) -> None:
    source = Shown(resolution=1.0)
    found = lookout(source, clock)
    assert not found.settled
    assert found.look(None).news is News.SETTLING
    assert (found.settled, found.next - clock.now) == (False, 1.0)
    clock.now += 1.0
    assert found.look(None).news is News.NEW
    assert found.settled
