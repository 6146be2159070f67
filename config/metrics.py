"""Every metric of the product in one immutable table, and the object that counts them in a registry.

Labels are bounded by configuration: flows, steps, topics, partitions, error classes. Never a key or an order id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

Family = Counter | Gauge | Histogram
_F = TypeVar("_F", Counter, Gauge, Histogram)

_SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


@dataclass(frozen=True, slots=True)
class Metric:
    """One declared metric. The name ends in its unit, a counter's in `_total` besides."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...]


SOURCE_RECORDS: Final = Metric(
    "orderflow_source_records_total", "counter", "Records read from the log.", ("flow", "topic")
)
STEP_RECORDS_IN: Final = Metric("orderflow_step_records_in_total", "counter", "Records a step took.", ("flow", "step"))
STEP_RECORDS_OUT: Final = Metric(
    "orderflow_step_records_out_total", "counter", "Records a step gave.", ("flow", "step", "stream")
)
LAG_RECORDS: Final = Metric(
    "orderflow_lag_records",
    "gauge",
    "Records between the group's committed offset and the committed end of the partition.",
    ("flow", "topic", "partition"),
)
LAG_SECONDS: Final = Metric(
    "orderflow_lag_seconds",
    "gauge",
    "Age of the oldest record of the partition that is not committed yet; 0 if there is none.",
    ("flow", "topic", "partition"),
)
EPOCHS: Final = Metric("orderflow_epochs_total", "counter", "Epochs committed, each one transaction.", ("flow",))
COMMIT_SECONDS: Final = Metric(
    "orderflow_commit_seconds", "histogram", "Duration of the commit of an epoch.", ("flow",)
)
EVENT_TO_COMMIT_SECONDS: Final = Metric(
    "orderflow_event_to_commit_seconds",
    "histogram",
    "From an input's append to the log to the commit of what follows from it.",
    ("flow",),
)
DEAD_LETTERS: Final = Metric(
    "orderflow_dead_letters_total",
    "counter",
    "Records that could not be processed, by class of error.",
    ("flow", "step", "reason"),
)
DUPLICATES: Final = Metric(
    "orderflow_duplicates_total", "counter", "Records whose sequence was seen before.", ("flow", "step")
)
GAPS: Final = Metric("orderflow_gaps_total", "counter", "Sequence numbers that were skipped.", ("flow", "step"))
ANOMALIES: Final = Metric(
    "orderflow_anomalies_total", "counter", "Events that contradict what is known, by kind.", ("flow", "step", "kind")
)
STATE_ROWS: Final = Metric(
    "orderflow_state_rows",
    "gauge",
    "Values in the local stores of this process, as of the last flush.",
    ("flow", "step"),
)
STATE_UNFLUSHED_ROWS: Final = Metric(
    "orderflow_state_unflushed_rows",
    "gauge",
    "Changed keys whose values wait in memory for the next flush, whether or not the local stores have older ones.",
    ("flow", "step"),
)
STATE_BYTES: Final = Metric("orderflow_state_bytes", "gauge", "Size of the local stores on disk.", ("flow", "step"))
RESTORE_RECORDS: Final = Metric(
    "orderflow_restore_records_total", "counter", "Changelog records applied to local stores.", ("flow", "step")
)
RESTORE_REMAINING_RECORDS: Final = Metric(
    "orderflow_restore_remaining_records", "gauge", "Changelog records still to be applied.", ("flow", "step")
)
READY: Final = Metric("orderflow_ready", "gauge", "1 if the process does its work, else 0.", ())

METRICS: Final = (
    SOURCE_RECORDS,
    STEP_RECORDS_IN,
    STEP_RECORDS_OUT,
    LAG_RECORDS,
    LAG_SECONDS,
    EPOCHS,
    COMMIT_SECONDS,
    EVENT_TO_COMMIT_SECONDS,
    DEAD_LETTERS,
    DUPLICATES,
    GAPS,
    ANOMALIES,
    STATE_ROWS,
    STATE_UNFLUSHED_ROWS,
    STATE_BYTES,
    RESTORE_RECORDS,
    RESTORE_REMAINING_RECORDS,
    READY,
)
"""All of them."""


class Metrics:
    """The declared metrics in one registry: `counter`, `gauge` and `histogram` give what a caller keeps and counts on.

    Looking a labelled metric up costs about a microsecond, so hot paths look up once and keep the result.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._families: dict[str, Family] = {metric.name: _family(metric, self.registry) for metric in METRICS}

    def counter(self, metric: Metric, **labels: str) -> Counter:
        """The counter of these labels; `inc(n)` counts."""
        return self._labelled(metric, Counter, labels)

    def gauge(self, metric: Metric, **labels: str) -> Gauge:
        """The gauge of these labels; `set(value)` states."""
        return self._labelled(metric, Gauge, labels)

    def histogram(self, metric: Metric, **labels: str) -> Histogram:
        """The histogram of these labels; `observe(seconds)` adds one value."""
        return self._labelled(metric, Histogram, labels)

    def _labelled(self, metric: Metric, kind: type[_F], labels: dict[str, str]) -> _F:
        family = self._families[metric.name]
        assert isinstance(family, kind), f"{metric.name} is a {metric.kind}"
        return family.labels(**labels) if metric.labels else family


def _family(metric: Metric, registry: CollectorRegistry) -> Family:
    if metric.kind == "counter":
        return Counter(metric.name, metric.help, metric.labels, registry=registry)
    if metric.kind == "gauge":
        return Gauge(metric.name, metric.help, metric.labels, registry=registry)
    return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=_SECONDS_BUCKETS)
