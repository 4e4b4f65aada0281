"""Metrics, read back by the parsers of Prometheus and of OpenMetrics."""

import threading
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain

from hps.monitor.events import Done, Event, Failed, Moment, Offered, Request, Rules, Wish
from hps.monitor.metrics import OTHER, Metrics
from hps.monitor.sighting import Mark, News
from hps.monitor.source import Trouble
from hps.monitor.state import State
from hps.monitor.transitions import Outcome, Step
from hps.monitor.update import advance
from tests.monitor import snapshots
from tests.monitor.snapshots import HOSTILE, host
from tests.monitor.telling import STEPS

NOW = 1_800_100_000.0
OPEN = "application/openmetrics-text; version=1.0.0"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def metrics(*names: str) -> Metrics:
    found = (snapshots.calm(), snapshots.refused(), snapshots.dead(), snapshots.empty())
    return Metrics(names or ("layout", "ocr"), lambda: host(*found, now=NOW))


def families(text: bytes, accept: str = "") -> list[Metric]:
    parse: Callable[[str], Iterable[Metric]] = open_metrics if accept else plain
    return list(parse(text.decode()))


def samples(found: Metrics, accept: str = "") -> Samples:
    text, _ = found.exposition(accept)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(text, accept)
        for sample in family.samples
    }


def value(found: Metrics, name: str, **labels: str) -> float | None:
    return samples(found).get((f"hps_monitor_{name}", tuple(sorted(labels.items()))))


class Story:
    """A state machine whose every step is counted."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.metrics, self.state, self.now = metrics(), State(), 0.0
        self.rules = rules or Rules()

    def send(self, event: Event) -> "Story":
        self.now += 400
        after = advance(self.state, event, Moment(self.now), self.rules)
        self.metrics.told("ocr", self.state, event, after)
        self.state = after
        return self

    def offer(self, number: int) -> "Story":
        return self.send(Offered(Mark(str(number), "", str(number), settled=True)))

    def do(self, *steps: Step) -> "Story":
        for step in steps:
            busy = self.state.busy
            self.send(Done(step, f"content {busy.number if busy else 0}"))
        return self

    def fail(self, outcome: Outcome, reason: str) -> "Story":
        assert self.state.busy is not None
        return self.send(Failed(self.state.busy.step, outcome, reason))

    def count(self, name: str, **labels: str) -> float | None:
        return value(self.metrics, f"{name}_total", model="ocr", **labels)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [("", "text/plain; version=0.0.4"), (OPEN, OPEN)],
    ids=["text", "openmetrics"],
)
def test_both_formats_are_read_by_their_parsers(accept: str, expected: str) -> None:
    found = metrics()
    found.step("ocr", Step.LOAD, 1.5)
    text, media_type = found.exposition(accept)
    assert media_type.startswith(expected)
    names = {family.name for family in families(text, accept)}
    assert {"hps_monitor_ready", "hps_monitor_state", "hps_monitor_step_duration_seconds"} <= names
    assert all(family.documentation for family in families(text, accept))
    assert "_created" not in text.decode()


def test_how_models_stand_is_told_by_numbers() -> None:
    found = metrics()
    assert value(found, "live_generation", model="layout") == 2
    assert value(found, "live_sequence", model="layout") == 12
    assert value(found, "ready", model="layout") == 1
    assert value(found, "ready", model="formula") == 0
    assert value(found, "live_generation", model="seal") is None
    age = value(found, "verified_age_seconds", model="layout")
    live = value(found, "live_seconds", model="layout")
    assert age is not None
    assert live is not None
    assert age > 3600
    assert 0 < live < 100_000
    assert value(found, "verified_age_seconds", model="seal") is None


def test_a_model_is_in_one_state() -> None:
    found = samples(metrics())
    states = {
        dict(labels)["hps_monitor_state"]: count
        for (name, labels), count in found.items()
        if name == "hps_monitor_state" and dict(labels)["model"] == "ocr"
    }
    assert sum(states.values()) == 1
    assert states["refused"] == 1


def test_swaps_are_counted_from_zero_by_their_cause() -> None:
    story = Story()
    assert story.count("swaps", cause="source") == 0
    story.offer(1).do(*STEPS).offer(2).do(*STEPS)
    assert story.count("swaps", cause="source") == 2
    assert story.count("updates") == 2
    story.send(Request(Wish.ROLLBACK, 1)).do(Step.INSPECT, Step.LOAD, Step.PROBE, Step.ACTIVATE)
    assert story.count("swaps", cause="operator") == 1
    assert story.count("swaps", cause="source") == 2


def test_refusals_are_counted_once_each_by_reason() -> None:
    story = Story().offer(1).do(*STEPS).offer(2).do(Step.PULL).fail(Outcome.CONTENT, "rollback")
    assert story.count("refusals", reason="rollback") == 1
    story.send(Request(Wish.HOLD)).send(Request(Wish.RELEASE))
    assert story.count("refusals", reason="rollback") == 1
    assert story.count("rollbacks", reason="rollback") is None


def test_what_a_server_saw_and_was_undone_is_a_rollback() -> None:
    story = Story().offer(1).do(*STEPS).offer(2).do(*STEPS[:5])
    story.fail(Outcome.CONTENT, "probe-failed").do(Step.WITHDRAW)
    assert story.count("rollbacks", reason="probe-failed") == 1
    assert story.count("refusals", reason="probe-failed") is None


def test_what_is_tried_again_is_a_failure_and_a_retry() -> None:
    story = Story().offer(1).fail(Outcome.PASSING, "unreachable")
    story.fail(Outcome.PASSING, "unreachable").fail(Outcome.GONE, "missing")
    assert story.count("failures", step="pull", reason="unreachable") == 2
    assert story.count("failures", step="pull", reason="missing") == 1
    assert story.count("retries") == 2


def test_looks_are_counted_by_what_came_of_them() -> None:
    found = metrics()
    found.looked("ocr", News.SAME)
    found.looked("ocr", News.NEW)
    found.looked("ocr", Trouble.STALLED)
    assert value(found, "looks_total", model="ocr", news="same") == 1
    assert value(found, "looks_total", model="ocr", news="failed") == 1
    assert value(found, "looks_total", model="layout", news="new") == 0
    assert value(found, "failures_total", model="ocr", step="look", reason="stalled") == 1


def test_bytes_and_times_add_up() -> None:
    found = metrics()
    found.pulled("ocr", 10)
    found.pulled("ocr", 1 << 40)
    assert value(found, "pulled_bytes_total", model="ocr") == (1 << 40) + 10
    for taken in (0.004, 0.005, 1.0, 4000.0):
        found.step("ocr", Step.PULL, taken)
    found.step("layout", Step.PULL, 2.0)
    found.step("stranger", Step.PULL, 2.0)
    labels = {"model": "ocr", "step": "pull"}
    assert value(found, "steps_total", **labels) == 4
    assert value(found, "step_seconds_total", **labels) == pytest.approx(4001.009)
    name = "step_duration_seconds"
    assert value(found, f"{name}_count", step="pull") == 5
    assert value(found, f"{name}_sum", step="pull") == pytest.approx(4003.009)
    assert value(found, f"{name}_bucket", step="pull", le="0.005") == 2
    assert value(found, f"{name}_bucket", step="pull", le="1.0") == 3
    assert value(found, f"{name}_bucket", step="pull", le="+Inf") == 5
    assert value(found, f"{name}_count", step="load") is None


def test_a_model_has_few_series() -> None:
    few, more = metrics("layout"), metrics("layout", "ocr")
    for found in (few, more):
        for model in ("layout", "ocr"):
            for step in STEPS:
                found.step(model, step, 1.0)
    assert len(samples(more)) - len(samples(few)) < 40


def test_labels_do_not_grow_with_what_comes_from_outside() -> None:
    story = Story().offer(1)
    before = len(samples(story.metrics))
    for number in range(100):
        story.fail(Outcome.PASSING, f"{HOSTILE} {number}")
        story.metrics.looked(f"stranger {number}", News.NEW)
        story.metrics.step(f"stranger {number}", Step.PULL, 1.0)
        story.metrics.pulled(f"stranger {number}", 1)
    assert story.count("failures", step="pull", reason=OTHER) == 100
    assert len(samples(story.metrics)) == before + 1


def test_nothing_that_a_publisher_says_is_in_the_metrics() -> None:
    model = snapshots.hostile()
    found = Metrics([model.name], lambda: host(model, now=NOW))
    text = found.exposition("")[0].decode()
    # The name of the model is ours; what it is called by others is not there.
    assert "models.example.org" not in text
    assert samples(found)[("hps_monitor_ready", (("model", HOSTILE),))] == 1


@settings(max_examples=50, deadline=None)
@given(st.text() | st.sampled_from([OPEN, "*/*", f"{OPEN}; escaping=zzz;;q=x, text/plain"]))
def test_any_field_accept_is_answered(accept: str) -> None:
    found = Metrics([], lambda: host(now=NOW))
    assert found.exposition(accept)[0]


def test_threads_lose_no_count() -> None:
    found = metrics()

    def many() -> None:
        for _ in range(1000):
            found.looked("ocr", News.SAME)
            found.step("ocr", Step.PULL, 0.1)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(found, "looks_total", model="ocr", news="same") == 4000
    assert value(found, "step_duration_seconds_count", step="pull") == 4000
