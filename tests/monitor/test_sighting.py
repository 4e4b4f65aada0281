"""What is new: nothing is missed, nothing taken half-way, nothing deployed twice."""

import bisect
import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps import canonical
from hps.monitor.look import Look
from hps.monitor.sighting import Mark, News, Pace, Sighting, Watch, judge
from hps.monitor.source import Donefile, Found

PACE = Pace(settle=2.0, quiet=60.0, blind=300.0)
EPOCH = 1_800_000_000


def found(tokens: Mapping[str, str], path: str = "", **facts: Any) -> Found:
    return Found(path, 100, tokens, **facts)


def at(seconds: float, **facts: Any) -> Found:
    return found({"modified": str(EPOCH + seconds)}, **facts)


class Eye:
    """Looks one after another; what is to be pulled is pulled and dealt with."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.last: Mark | None = None
        self.now = 50.0
        self.today = float(EPOCH)

    def look(
        self, donefile: Found | None, *model: Found, content: bytes = b"", after: float = 0.0
    ) -> Sighting:
        self.now += after
        seen = None if donefile is None else Donefile(donefile, content)
        self.watch, sighting = judge(
            self.watch,
            self.last,
            Look(seen, model or (at(-1000),)),
            now=self.now,
            today=self.today,
            pace=PACE,
        )
        if sighting.to_be_pulled:
            self.last = sighting.mark
        return sighting

    def news(
        self, donefile: Found | None, *model: Found, content: bytes = b"", after: float = 0.0
    ) -> News:
        return self.look(donefile, *model, content=content, after=after).news


def test_no_donefile_offers_nothing() -> None:
    eye = Eye()
    assert eye.look(None) == Sighting(News.ABSENT, None)
    assert eye.last is None


def test_a_publish_is_seen_once() -> None:
    eye = Eye()
    assert eye.news(at(0), at(-10)) is News.NEW
    assert eye.last is not None
    assert eye.last.settled  # the donefile shows that the second of the model is over
    for _ in range(3):
        assert eye.news(at(0), at(-10), after=10) is News.SAME
    assert eye.news(at(20), at(12), after=10) is News.NEW


def test_an_older_donefile_put_back_is_a_publish() -> None:
    eye = Eye()
    assert eye.news(at(0), at(-10)) is News.NEW
    assert eye.news(at(-500), at(-510), after=10) is News.NEW


def test_a_donefile_that_says_something_else_is_a_publish() -> None:
    eye = Eye()
    assert eye.news(at(0), content=b"1") is News.NEW
    assert eye.news(at(0), content=b"2") is News.NEW


@pytest.mark.parametrize("token", ["etag", "weak-etag", "checksum", "digest", "id"])
def test_every_token_of_the_donefile_counts(token: str) -> None:
    eye = Eye()
    eye.last = Mark.of(Look(Donefile(found({token: "a"}), b""), (at(-1000),)), settled=True)
    assert eye.news(found({token: "b"})) is News.SETTLING
    assert eye.news(found({token: "b"}), after=10) is News.NEW
    assert eye.last.is_like(Mark.of(Look(Donefile(found({token: "b"}), b""), (at(-1000),))))


def test_a_second_that_is_not_over_is_waited_for() -> None:
    eye = Eye()
    first = eye.look(at(0), at(0))
    assert (first.news, first.again) == (News.SETTLING, 1.0)
    again = eye.look(at(0), at(0), after=1.0)
    assert again.news is News.NEW
    assert again.mark is not None
    assert again.mark.settled


def test_a_source_that_tells_its_time_is_not_waited_for() -> None:
    eye = Eye()
    assert eye.news(at(0, age=5.0), at(0, age=5.0)) is News.NEW
    assert eye.last is not None
    assert eye.last.settled
    eye = Eye()
    assert eye.news(at(0, age=0.0), at(0, age=0.0)) is News.SETTLING


def test_a_minute_that_is_not_over_is_pulled_now_and_once_more_when_it_is() -> None:
    """`hadoop fs -ls`: two publishes in one minute look the same (W9)."""
    eye = Eye()
    first = eye.look(at(0, resolution=60), at(0, resolution=60))
    assert first.news is News.NEW
    assert first.mark is not None
    assert not first.mark.settled
    waiting = eye.look(at(0, resolution=60), at(0, resolution=60), after=20)
    assert (waiting.news, waiting.again) == (News.SETTLING, 40.0)
    assert eye.news(at(0, resolution=60), at(0, resolution=60), after=40) is News.CHECK
    assert eye.last is not None
    assert eye.last.settled
    assert eye.news(at(0, resolution=60), at(0, resolution=60), after=40) is News.SAME


def test_a_new_process_waits_again_for_what_was_not_settled() -> None:
    eye = Eye()
    eye.news(at(0, resolution=60), at(0, resolution=60))
    assert eye.last is not None
    other = Eye()
    other.last = Mark.from_json(canonical.loads(canonical.dumps(eye.last.as_json())))
    assert other.news(at(0, resolution=60), at(0, resolution=60)) is News.SETTLING
    assert other.news(at(0, resolution=60), at(0, resolution=60), after=60) is News.CHECK


def test_content_identity_is_always_final() -> None:
    eye = Eye()
    model = found({"digest": "sha256:" + "0" * 64}, resolution=0)
    assert eye.news(model, model) is News.NEW
    assert eye.last is not None
    assert eye.last.settled


@pytest.mark.parametrize("hours", [-1000, -14, 0, 14, 1000])
def test_a_clock_that_is_wrong_changes_nothing(hours: int) -> None:
    """The same publish is judged alike whatever the source's clock says."""
    eye, skew = Eye(), hours * 3600
    assert eye.news(at(skew), at(skew)) is News.SETTLING
    assert eye.news(at(skew), at(skew), after=1.0) is News.NEW
    assert eye.last is not None
    assert eye.last.settled


@pytest.mark.parametrize("today", [0.0, EPOCH - 1e7, EPOCH + 1e7])
def test_our_own_clock_may_be_wrong_and_be_set(today: float) -> None:
    eye = Eye()
    assert eye.news(at(0), at(-10)) is News.NEW
    eye.today = today
    assert eye.news(at(0), at(-10), after=10) is News.SAME
    assert eye.news(at(100), at(100), after=10) is News.SETTLING
    eye.today = float(EPOCH)
    assert eye.news(at(100), at(100), after=1) is News.NEW


def test_a_file_from_the_future_settles_nothing() -> None:
    eye = Eye()
    far = at(1e9)
    assert eye.news(at(0), far, at(0)) is News.SETTLING


def test_a_model_that_moves_under_its_old_donefile_is_being_published() -> None:
    """The documented producer removes and puts the model, then the donefile (W22)."""
    eye = Eye()
    assert eye.news(at(0), at(-10)) is News.NEW
    for second in range(5):
        moving = eye.look(at(0), at(100 + second), after=10)
        assert (moving.news, moving.again) == (News.MOVING, 60.0)
    assert eye.news(None, at(104), after=10) is News.ABSENT
    assert eye.news(at(120), at(104), after=10) is News.NEW


def test_a_model_without_a_new_donefile_is_taken_when_it_has_been_quiet() -> None:
    eye = Eye()
    assert eye.news(at(0), at(-10)) is News.NEW
    assert eye.news(at(0), at(100), after=10) is News.MOVING
    assert eye.news(at(0), at(100), after=59) is News.MOVING
    assert eye.news(at(0), at(100), after=1) is News.NEW
    assert eye.news(at(0), at(100), after=60) is News.SAME


def test_a_source_that_tells_nothing_is_pulled_at_a_slow_pace() -> None:
    """Not at every look (W10)."""
    eye, blank = Eye(), found({})
    assert eye.news(blank, blank) is News.SETTLING
    assert eye.news(blank, blank, after=1) is News.NEW
    seen = [eye.news(blank, blank, after=10) for _ in range(90)]
    assert set(seen) == {News.SAME, News.CHECK}
    assert seen.count(News.CHECK) == 3
    assert eye.news(blank, blank, content=b"new", after=10) is not News.SAME


@pytest.mark.parametrize("tokens", [{"weak-etag": "a"}, {"id": "7"}, {}])
def test_tokens_that_can_stay_are_not_relied_upon(tokens: Mapping[str, str]) -> None:
    eye, blank = Eye(), found(tokens)
    eye.news(blank, blank)
    assert eye.news(blank, blank, after=1) is News.NEW
    assert eye.news(blank, blank, after=300) is News.CHECK


def test_a_donefile_that_tells_is_enough() -> None:
    eye = Eye()
    eye.news(at(0), found({}))
    assert eye.news(at(0), found({}), after=1) is News.NEW
    assert eye.news(at(0), found({}), after=10_000) is News.SAME
    eye.news(at(9), found({}), after=10)
    assert eye.news(at(9), found({}), after=1) is News.NEW


@pytest.mark.parametrize("token", ["etag", "weak-etag", "id"])
def test_servers_behind_one_name_that_disagree_are_pulled_from_at_a_slow_pace(token: str) -> None:
    """Each of them has ETags and inodes of its own; the donefile is the same."""
    eye = Eye()

    def donefile(server: int, second: int) -> Found:
        return found({"modified": str(EPOCH + second), token: str(server)})

    assert eye.news(donefile(1, 0)) is News.NEW
    seen = [eye.news(donefile(look % 2, 0), after=10) for look in range(90)]
    assert set(seen) == {News.SAME, News.CHECK}
    assert seen.count(News.CHECK) <= 3
    assert eye.news(donefile(1, 30), after=10) is News.NEW


@pytest.mark.parametrize("nonsense", ["", "nan", "inf", "-inf", "1e999", "yesterday", "٣"])
def test_a_time_that_is_none_is_no_time(nonsense: str) -> None:
    eye, odd = Eye(), found({"modified": nonsense})
    assert eye.news(odd, odd) is News.SETTLING
    assert eye.news(odd, odd, after=1) is News.NEW


def test_names_that_are_no_text_have_a_mark() -> None:
    one = Mark.of(Look(Donefile(at(0), b"\xff"), (found({}, path="\udcff"),)))
    other = Mark.of(Look(Donefile(at(0), b"\xff"), (found({}, path="\udcfe"),)))
    assert not one.is_like(other)
    assert one == Mark.from_json(canonical.loads(canonical.dumps(one.as_json())))


@pytest.mark.parametrize(
    "record",
    [
        *(None, [], {}, {"donefile": "a"}),
        {"donefile": "a", "others": "b", "model": "c", "settled": 1},
        {"donefile": "a", "others": "b", "model": 3, "settled": True},
    ],
)
def test_a_mark_that_is_none_is_refused(record: object) -> None:
    with pytest.raises(ValueError):
        Mark.from_json(record)


# A source on a disk that counts in whole seconds, with a clock of its own.


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.floats(0.01, 10.0), min_size=1, max_size=5),
    skew=st.floats(-1e5, 1e5),
    interval=st.sampled_from([0.5, 1.0, 7.0]),
    resolution=st.sampled_from([1.0, 60.0]),
)
def test_the_last_publish_is_always_pulled(
    gaps: list[float], skew: float, interval: float, resolution: float
) -> None:
    """Whatever the clocks, and however many publishes share a second, their size and content."""
    eye, now, pulled = Eye(), 0.0, 0
    publishes = [0.0, *itertools.accumulate(gaps)]
    while now < publishes[-1] + 150:
        now += interval
        version = bisect.bisect_right(publishes, now) - 1
        shown = (EPOCH + skew + publishes[version]) // resolution * resolution
        file = Found("", 100, {"modified": str(shown)}, resolution)
        if eye.look(file, file, after=interval).to_be_pulled:
            pulled = version
    assert pulled == len(gaps)
    assert eye.last is not None
    assert eye.last.settled
