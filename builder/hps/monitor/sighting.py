"""Whether what a source shows is new: decided on everything that it tells. Pure.

Three things must not happen: a publish that is missed, a model that is taken half-way, and one
model that is deployed again and again. What changed is found by difference, never by "newer", so
that an older donefile put back is a publish like any other.

A place that counts in seconds or minutes shows two publishes within one of them under the same
tokens. So tokens count as final only when their second or minute was over before the pull began;
until then they are *unsettled* (Git calls an entry of its index with that fault "racily clean").
Durations are measured on one clock, the times of the source are compared with each other only:
how far its clock and ours are apart does not matter.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from hps.digest import Digest
from hps.monitor.look import Look
from hps.monitor.source import Found
from hps.oci.shape import fields, text

# Tokens that differ whenever the content does. An inode may stay, a weak ETag may, too.
_TELLING = frozenset({"digest", "checksum", "etag", "modified"})
# Tokens that say so wherever the question is asked.
_SAYING = frozenset({"digest", "checksum", "modified"})
_TODAY = 86_400.0  # seconds by which a time of the source may lie ahead of ours and be believed


class News(StrEnum):
    """What a look at a source comes to."""

    ABSENT = "absent"  # no donefile: nothing is offered
    SAME = "same"  # what was dealt with last
    NEW = "new"  # to be pulled
    CHECK = "check"  # tokens cannot tell: to be pulled, and compared by content
    SETTLING = "settling"  # one more publish could still hide: to be looked at again
    MOVING = "moving"  # the model changes under a donefile that does not: it is being published


@dataclass(frozen=True, slots=True)
class Mark:
    """By what one sighting is told from another; kept in the journal.

    Args:
        donefile: digest of its content and of what its tokens say about a publish.
        others: digest of tokens of the donefile that may change without one: behind some load
            balancers each server has ETags and inodes of its own.
        model: digest of the names, sizes and tokens of all files.
        settled: whether these tokens can never come to stand for other bytes than those that
            were read after this sighting.
    """

    donefile: str
    others: str
    model: str
    settled: bool

    @classmethod
    def of(cls, look: Look, *, settled: bool = False) -> Self:
        """The mark of what was seen."""
        model = _digest([_facts(one, one.tokens) for one in look.model])
        if look.donefile is None:
            return cls(_digest([]), _digest([]), model, settled)
        found = look.donefile.found
        saying = {key: found.tokens[key] for key in _SAYING & found.tokens.keys()}
        telling = saying or found.tokens
        content = Digest.of(look.donefile.content).hex
        return cls(
            _digest([content, _facts(found, telling)]),
            _digest(_facts(found, found.tokens)),
            model,
            settled,
        )

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read what `as_json` gave; raises ValueError."""
        found = fields(value, "mark", ("donefile", "others", "model", "settled"))
        if not isinstance(found["settled"], bool):
            raise ValueError("mark.settled is not a truth value")  # noqa: TRY004 - one kind
        return cls(
            text(found["donefile"], "mark.donefile"),
            text(found["others"], "mark.others"),
            text(found["model"], "mark.model"),
            found["settled"],
        )

    def as_json(self) -> dict[str, Any]:
        """For the journal."""
        return {
            "donefile": self.donefile,
            "others": self.others,
            "model": self.model,
            "settled": self.settled,
        }

    def is_like(self, other: "Mark | None") -> bool:
        """Whether both are of one publish, as far as can be seen; settled or not."""
        return other is not None and (self.donefile, self.model) == (other.donefile, other.model)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take to be believed; all times in seconds.

    Args:
        settle: rather than pull twice, wait up to so long for tokens to become final.
        quiet: for how long a model that changes under its old donefile must have been still.
        blind: between two pulls of a model whose changes the source does not tell for sure.
    """

    settle: float = 2.0
    quiet: float = 60.0
    blind: float = 300.0


@dataclass(frozen=True, slots=True)
class Watch:
    """What the next look is compared with; lives as long as the process.

    Args:
        seen: the last sighting.
        since: when it was first seen, on the clock of `judge`.
        reached: the latest time that the source has shown, by its own clock.
        pulled: when a pull was last called for.
    """

    seen: Mark | None = None
    since: float = 0.0
    reached: float = -math.inf
    pulled: float = -math.inf


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a look comes to.

    Args:
        news: what.
        mark: of what was seen; None when nothing is offered.
        again: seconds after which another look is called for; None: whenever it is due anyway.
    """

    news: News
    mark: Mark | None
    again: float | None = None

    @property
    def to_be_pulled(self) -> bool:
        """Whether the source offers something that has to be pulled to be known."""
        return self.news in {News.NEW, News.CHECK}


def judge(
    watch: Watch, last: Mark | None, look: Look, *, now: float, today: float, pace: Pace
) -> tuple[Watch, Sighting]:
    """Decide what a look comes to.

    Args:
        watch: from the call before, a fresh one at first.
        last: the mark of what is being dealt with, or was dealt with last.
        look: what was seen.
        now: seconds on a clock that nobody sets (monotonic).
        today: seconds since the epoch by our own clock, to tell a time that a source shows from
            nonsense.
        pace: how long things take to be believed.
    """
    if look.donefile is None:
        return replace(watch, seen=None), Sighting(News.ABSENT, None)
    mark = Mark.of(look)
    if not mark.is_like(watch.seen):
        watch = replace(watch, since=now)
    watch = replace(watch, seen=mark, reached=_reached(watch.reached, look, today))
    wait = _unsettled_for(look, watch, now)
    sighting = _compare(
        replace(mark, settled=wait == 0), last, watch, look, wait=wait, now=now, pace=pace
    )
    if sighting.to_be_pulled:
        watch = replace(watch, pulled=now)
    return watch, sighting


def _compare(
    mark: Mark, last: Mark | None, watch: Watch, look: Look, *, wait: float, now: float, pace: Pace
) -> Sighting:
    if last is None or mark.donefile != last.donefile:
        if 0 < wait <= pace.settle:
            return Sighting(News.SETTLING, mark, wait)
        return Sighting(News.NEW, mark)
    if mark.model != last.model:
        still = max(wait, watch.since + pace.quiet - now)
        return Sighting(News.MOVING, mark, still) if still > 0 else Sighting(News.NEW, mark)
    if not _tells(look) or (last.settled and mark.others != last.others):
        blind = now - watch.pulled < pace.blind
        return Sighting(News.SAME if blind else News.CHECK, mark)
    if last.settled:
        return Sighting(News.SAME, mark)
    return Sighting(News.SETTLING, mark, wait) if wait > 0 else Sighting(News.CHECK, mark)


def _tells(look: Look) -> bool:
    """Whether a publish always shows: in the tokens of the model, or in those of the donefile."""
    donefile = look.donefile
    return all(map(_telling, look.model)) or (donefile is not None and _telling(donefile.found))


def _telling(found: Found) -> bool:
    return found.resolution == 0 or bool(found.tokens.keys() & _TELLING)


def _unsettled_for(look: Look, watch: Watch, now: float) -> float:
    """Seconds until a later publish cannot have the same tokens any more; 0 when it is so now."""
    deciding: Iterable[Found] = look.model
    donefile = look.donefile
    if donefile is not None and not all(map(_telling, look.model)):
        deciding = (donefile.found,)
    return max((_racy_for(found, watch, now) for found in deciding), default=0.0)


def _racy_for(found: Found, watch: Watch, now: float) -> float:
    if found.resolution == 0 or "digest" in found.tokens:
        return 0.0
    modified = _modified(found)
    if modified is not None:
        age = watch.reached - modified if found.age is None else found.age
        if age >= found.resolution:
            return 0.0
    # What was there when it was first seen had been written before, so its second is over a
    # second later, whatever the source's clock says.
    return max(0.0, watch.since + found.resolution - now)


def _reached(before: float, look: Look, today: float) -> float:
    """The latest time that the source has shown: "modified", and its clock where it has one."""
    files = list(look.model)
    if look.donefile is not None:
        files.append(look.donefile.found)
    times = [
        modified + max(found.age or 0.0, 0.0)
        for found in files
        if (modified := _modified(found)) is not None
    ]
    # A file that its publisher dated into the future says nothing about the source's clock.
    return max([before, *(time for time in times if time <= today + _TODAY)])


def _modified(found: Found) -> float | None:
    try:
        value = float(found.tokens.get("modified", "nan"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _facts(found: Found, tokens: Mapping[str, str]) -> list[object]:
    return [found.path, found.size, sorted(tokens.items())]


def _digest(facts: list[Any]) -> str:
    # ASCII: names from outside may hold what UTF-8 has no bytes for.
    return str(Digest.of(json.dumps(facts, ensure_ascii=True).encode()))
