"""Looking at the source of one model: when, and whether what it shows is new."""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hps.monitor.backoff import Backoff
from hps.monitor.look import Look
from hps.monitor.sighting import Mark, News, Pace, Sighting, Watch, judge
from hps.monitor.source import Source, SourceError, Trouble


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often a source is looked at; all times in seconds.

    Args:
        interval: between two looks.
        jitter: the part of it that chance may add or take away, so that hosts do not look at once.
        pace: how long things take to be believed.
        retry: waits after looks that failed, where they are longer than the interval.
    """

    interval: float
    jitter: float = 0.0
    pace: Pace = field(default_factory=Pace)
    retry: Backoff = field(default_factory=Backoff)


class Lookout:
    """Looks at one source; lives as long as one run of a model's loop.

    Args:
        source: of the model.
        rhythm: how often.
        clock: seconds that never go back.
    """

    def __init__(
        self, source: Source, rhythm: Rhythm, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source, self._rhythm, self._clock = source, rhythm, clock
        self._watch = Watch()
        self._failed = 0
        self.next = 0.0  # when the next look is due, on the clock
        self.settled = False  # the last look failed, or told for sure what there is

    @property
    def due(self) -> bool:
        """Whether the next look is due."""
        return self._clock() >= self.next

    def look(self, last: Mark | None) -> Sighting:
        """Look, and say what comes of it; the next look is due later.

        Args:
            last: the mark of what is being dealt with, or was dealt with last.

        Raises:
            SourceError: nothing could be seen.
        """
        try:
            donefile = self._source.donefile()
            model = () if donefile is None else self._source.model()
        except SourceError as error:
            self._postpone(error)
            raise
        now = self._clock()
        self._watch, sighting = judge(
            self._watch,
            last,
            Look(donefile, model),
            now=now,
            today=time.time(),
            pace=self._rhythm.pace,
        )
        self._failed = 0
        self.settled = sighting.news is not News.SETTLING
        # `again` can be a minute away, and the donefile come in between.
        self.next = now + min(sighting.again or math.inf, self._interval())
        return sighting

    def _postpone(self, error: SourceError) -> None:
        self._failed += 1
        self.settled = True
        wait = self._interval()
        if error.trouble is not Trouble.MISSING:  # then the model comes a moment after its donefile
            draw = random.random()  # noqa: S311 - spreads looks, guards nothing
            wait = max(wait, self._rhythm.retry.delay(self._failed, draw, after=error.after))
        self.next = self._clock() + wait

    def _interval(self) -> float:
        chance = random.uniform(-1, 1)  # noqa: S311 - spreads looks, guards nothing
        return self._rhythm.interval * (1 + self._rhythm.jitter * chance)
