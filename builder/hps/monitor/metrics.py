"""What the monitor counts and how its models stand, for Prometheus.

The package prometheus-client writes the two formats (text 0.0.4 and OpenMetrics 1.0) and escapes
what has to be; here is what is counted. Labels have few values: models are those of the settings,
reasons are codes of this program, and whatever else comes is `other`. No label and no help text
holds what a source or a publisher says.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from hps.archive.refusal import Reason as ArchiveReason
from hps.errors import HpsError
from hps.model.refusal import Reason
from hps.monitor.events import Event, Failed, Offered
from hps.monitor.pulled import Cause as PullCause
from hps.monitor.server import Fault
from hps.monitor.sighting import News
from hps.monitor.source import Trouble
from hps.monitor.state import Cause, State
from hps.monitor.status import STATES, ModelStatus, MonitorStatus
from hps.monitor.transitions import Phase, Step
from hps.monitor.update import OPERATOR

OTHER = "other"
# Seconds. A swap takes milliseconds, a load of a large model minutes, a pull up to hours.
BUCKETS = (0.005, 0.05, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)
_STEPS = tuple(step for step in Step if step not in {Step.NOTHING, Step.WAIT})
_UNDONE = frozenset({Phase.ROLLED_BACK, Phase.QUARANTINED})

Labels = tuple[str, ...]


class Metrics:
    """Counts, by the threads of all models; safe for them.

    Args:
        models: the names of all models; others are not counted.
        snapshot: gives how they stand, when Prometheus asks.
    """

    def __init__(self, models: Iterable[str], snapshot: Callable[[], MonitorStatus]) -> None:
        self._models = frozenset(models)
        self._snapshot = snapshot
        self._lock = threading.Lock()
        self._counts: dict[str, dict[Labels, float]] = {
            name: dict.fromkeys(_first(self._models, labels), 0.0)
            for name, (_, labels) in _COUNTERS.items()
        }
        # A histogram for each model would be most of what Prometheus has to keep: 84 series each.
        self._times = {str(step): _Times() for step in _STEPS}
        self._reasons = _codes()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collector(self))

    def looked(self, model: str, news: News | Trouble) -> None:
        """A source was looked at; `news` says what came of it, or why nothing did."""
        failed = isinstance(news, Trouble)
        self._add("looks", (model, "failed" if failed else str(news)))
        if failed:
            self._add("failures", (model, "look", self._reason(str(news))))

    def pulled(self, model: str, size: int) -> None:
        """Bytes came over the network; may be told while a pull goes on."""
        self._add("pulled_bytes", (model,), size)

    def step(self, model: str, step: Step, taken: float) -> None:
        """A step was done or failed; `taken` in seconds."""
        times = self._times.get(str(step))
        if times is not None and model in self._models:
            with self._lock:
                times.add(taken)
        self._add("steps", (model, str(step)))
        self._add("step_seconds", (model, str(step)), max(0.0, taken))

    def told(self, model: str, before: State, event: Event, after: State) -> None:
        """The state machine went on (`update.advance`): count what that means."""
        if isinstance(event, Failed):
            self._add("failures", (model, str(event.step), self._reason(event.reason)))
            self._add("retries", (model,), int(_is_tried_again(event, after)))
        elif isinstance(event, Offered) and after.busy is not None and before.busy is None:
            self._add("updates", (model,))
        ended = after.ended
        if ended is None:
            return
        if ended.phase is Phase.LIVE:
            self._add("swaps", (model, str(ended.cause)))
        elif ended.phase is Phase.REFUSED:
            self._add("refusals", (model, self._reason(ended.reason)))
        elif ended.phase in _UNDONE:
            self._add("rollbacks", (model, self._reason(ended.reason)))

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All of it, and its media type, in the best format that `Accept` allows."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type

    def families(self) -> Iterator[Metric]:
        """All of it as prometheus-client wants it."""
        with self._lock:
            counts = {name: dict(values) for name, values in self._counts.items()}
            times = {step: one.cumulative() for step, one in self._times.items() if one.count}
        for name, (text, labels) in _COUNTERS.items():
            family = CounterMetricFamily(f"hps_monitor_{name}", text, labels=("model", *labels))
            for values, count in sorted(counts[name].items()):
                family.add_metric(values, count)
            yield family
        yield _durations(times)
        yield from _gauges(self._snapshot())

    def _add(self, name: str, labels: Labels, amount: float = 1) -> None:
        if labels[0] not in self._models or amount <= 0:
            return
        with self._lock:
            counts = self._counts[name]
            counts[labels] = counts.get(labels, 0) + amount

    def _reason(self, code: str | None) -> str:
        return code if code in self._reasons else OTHER


class _Collector(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics.families()


class _Times:
    """A histogram: how many durations fell into each bucket, and their sum."""

    def __init__(self) -> None:
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def add(self, taken: float) -> None:
        self._buckets[bisect_left(BUCKETS, taken)] += 1
        self._sum += max(0.0, taken)

    @property
    def count(self) -> int:
        return sum(self._buckets)

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        bounds = [*map(str, BUCKETS), "+Inf"]
        return list(zip(bounds, map(float, accumulate(self._buckets)), strict=True)), self._sum


# Name without `hps_monitor_` and `_total`: what it counts, and its labels behind `model`.
_COUNTERS: Mapping[str, tuple[str, Labels]] = {
    "looks": ("Looks at the source, by what came of them.", ("news",)),
    "updates": ("Updates that were begun because the source offered something.", ()),
    "pulled_bytes": ("Bytes that came from the source.", ()),
    "swaps": ("Generations that went live, by why.", ("cause",)),
    "refusals": ("Updates whose content was not let in, by reason.", ("reason",)),
    "rollbacks": ("Updates that were undone after a server had seen them, by reason.", ("reason",)),
    "failures": ("Looks and steps that failed, by reason.", ("step", "reason")),
    "steps": ("Steps of updates that were done, or failed.", ("step",)),
    "step_seconds": ("How long they took, in all.", ("step",)),
    "retries": ("Steps that failed and are tried again.", ()),
}
_ALL: Mapping[Labels, tuple[str, ...]] = {
    (): ("",),
    ("news",): (*map(str, News), "failed"),
    ("cause",): tuple(map(str, Cause)),
}


def _first(models: Iterable[str], labels: Labels) -> Iterator[Labels]:
    """The labels that are there from the start, so that the first event is seen as an increase."""
    for model in models:
        for value in _ALL.get(labels, ()):
            yield (model, value) if labels else (model,)


def _codes() -> frozenset[str]:
    enumerations = (Reason, ArchiveReason, Trouble, Fault, PullCause)
    codes = {str(one) for kind in enumerations for one in kind}
    return frozenset({*codes, OPERATOR, *_references(HpsError)})


def _references(kind: type[HpsError]) -> Iterator[str]:
    yield kind.reference
    for one in kind.__subclasses__():
        yield from _references(one)


def _is_tried_again(event: Failed, after: State) -> bool:
    busy = after.busy
    return busy is not None and busy.failures > 0 and busy.reason == event.reason


def _durations(
    times: Mapping[str, tuple[list[tuple[str, float]], float]],
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "hps_monitor_step_duration_seconds",
        "How long steps of updates of all models took, whether they failed or not.",
        labels=("step",),
    )
    for step, (buckets, total) in sorted(times.items()):
        family.add_metric((step,), buckets, total)
    return family


def _gauges(status: MonitorStatus) -> Iterator[Metric]:
    yield InfoMetricFamily("hps_monitor", "The monitor.", value={"version": status.version})
    started = GaugeMetricFamily(
        "hps_monitor_start_time_seconds", "When the monitor began, since the epoch."
    )
    started.add_metric((), status.started)
    yield started
    rows = [(model, dict(_values(model, status.now))) for model in status.models]
    for name, text in _GAUGES.items():
        family = GaugeMetricFamily(f"hps_monitor_{name}", text, labels=("model",))
        for model, values in rows:
            if name in values:
                family.add_metric((model.name,), values[name])
        yield family
    states = StateSetMetricFamily(
        "hps_monitor_state",
        "Where the update stands that is under way, or was the last.",
        labels=("model",),
    )
    for model, _ in rows:
        states.add_metric((model.name,), {state: state == model.state for state in STATES})
    yield states


_GAUGES: Mapping[str, str] = {
    "live_generation": "Number of the generation that answers requests.",
    "live_sequence": "Sequence number of its release.",
    "live_seconds": "Seconds since it went live.",
    "ready": "Whether the server says that it serves the live generation.",
    "held": "Whether an operator holds the live generation.",
    "awaiting_approval": "Whether a generation waits for a person.",
    "verified_age_seconds": "Seconds since a manifest was verified; grows while one is held back.",
    "stale": "Whether that is longer than max-age.",
    "look_age_seconds": "Seconds since the source was looked at.",
    "kept_generations": "Generations that can be rolled back to.",
}


def _values(model: ModelStatus, now: float) -> Iterator[tuple[str, float]]:
    live, looked, age = model.live, model.observed.looked, model.age(now)
    if live is not None:
        yield "live_generation", live.number
        if live.release is not None and live.release.sequence is not None:
            yield "live_sequence", live.release.sequence
        if live.since is not None:
            yield "live_seconds", max(0.0, now - live.since)
    if age is not None:
        yield "verified_age_seconds", age
    if looked is not None:
        yield "look_age_seconds", max(0.0, now - looked)
    yield "ready", model.ready
    yield "held", model.held
    yield "awaiting_approval", model.approval is not None
    yield "stale", model.is_stale(now)
    yield "kept_generations", len(model.kept)
