"""What happens in a running pipeline, in numbers: counts from the topics, latencies from the flows' metrics."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from broker.contract import Log, TopicPartition
from config.metrics import EVENT_TO_COMMIT_SECONDS
from operators.codec.codec import Codec
from services.closing import Closing

COUNTED_TOPICS: Final = (
    "orders.input", "risk.outcome", "orders.status", "orders.executions", "orders.enrichment", "orders.anomalies",
    "orders.alerts",
)  # fmt: skip
_COUNTED_BY: Final = {"risk.outcome": "eventType", "orders.status": "eventType", "orders.alerts": "state"}
_READ_RECORDS: Final = 20_000
_SCRAPE_TIMEOUT_S: Final = 1.0


class TopicCounts(Closing):
    """Counts the committed records of the event topics, some by event type, alerts by state, from the beginnings on.

    Belongs to one thread; a context manager.
    """

    def __init__(self, log: Log, codec: Codec, client_id: str, *, dead_letter_topic: str) -> None:
        self.records: Counter[str] = Counter()
        self.event_types: Counter[str] = Counter()
        self._codec = codec
        topics = (*COUNTED_TOPICS, dead_letter_topic)
        admin = log.admin()
        try:
            partition_counts = admin.topics()
            partitions = [TopicPartition(topic, n) for topic in topics for n in range(partition_counts[topic])]
            beginnings = admin.beginnings(partitions)
        finally:
            admin.close()
        self._reader = log.reader(client_id)
        self._reader.assign(beginnings)

    def read(self, *, timeout_s: float = 0.0) -> bool:
        """Counts a batch of what is new; False if there was nothing."""
        by_topic: dict[str, list[bytes | None]] = {}
        for record in self._reader.read(_READ_RECORDS, timeout_s):
            by_topic.setdefault(record.topic(), []).append(record.value())
        for topic, values in by_topic.items():
            self.records[topic] += len(values)
            if topic in _COUNTED_BY:
                column = self._codec.decode(topic, values).batch.column(_COUNTED_BY[topic])
                self.event_types.update({kind["values"]: kind["counts"] for kind in column.value_counts().to_pylist()})
        return bool(by_topic)

    def read_all(self) -> None:
        """Counts everything up to the committed ends of now."""
        while self.read(timeout_s=0.2) or not self._reader.at_end():
            pass

    def close(self) -> None:
        """Lets go of the log."""
        self._reader.close()


class Latency:
    """From the append of an input to the commit of what follows from it, by the histogram of a flow's metrics endpoint.

    Survives restarts of the flow, whose histogram then starts anew: what was last seen of the old one is kept.
    """

    def __init__(self, url: str) -> None:
        self._url = f"{url}/metrics"
        self._earlier: Counter[float] = Counter()
        self._present: Counter[float] = Counter()

    def scrape(self) -> None:
        """Takes in the endpoint's numbers; nothing if it does not answer now."""
        try:
            with urllib.request.urlopen(self._url, timeout=_SCRAPE_TIMEOUT_S) as response:  # noqa: S310 -- our own address
                text = response.read().decode()
        except (urllib.error.URLError, OSError):
            return
        self.take(_buckets(text))

    def take(self, buckets: Mapping[float, int]) -> None:
        """Takes in cumulative counts by upper bound in seconds."""
        if sum(buckets.values()) < sum(self._present.values()):
            self._earlier.update(self._present)
        self._present = Counter(buckets)

    def quantile_ms(self, part: float) -> float | None:
        """The latency that `part` (0 to 1) of the inputs do not exceed, interpolated within its bucket.

        None without inputs; the largest finite bound for what lies above it.
        """
        # Not the sum of the two Counters, which would leave out the bounds below which there is nothing.
        cumulative = {bound: count + self._earlier[bound] for bound, count in self._present.items()}
        bounds = sorted(cumulative)
        total = cumulative[bounds[-1]] if bounds else 0
        if not total:
            return None
        below_bound, below_count = 0.0, 0
        for bound in bounds:
            if cumulative[bound] >= part * total:
                if bound == float("inf"):
                    break
                within = (part * total - below_count) / max(cumulative[bound] - below_count, 1)
                return round((below_bound + within * (bound - below_bound)) * 1e3, 1)
            below_bound, below_count = bound, cumulative[bound]
        return round(below_bound * 1e3, 1)

    def as_json(self) -> dict[str, float | None]:
        """The percentiles of the closing summary, in milliseconds."""
        return {name: self.quantile_ms(part) for name, part in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}


def _buckets(text: str) -> dict[float, int]:
    families: Iterable[object] = text_string_to_metric_families(text)
    return {
        float(sample.labels["le"]): int(sample.value)
        for family in families
        for sample in family.samples  # type: ignore[attr-defined]  # the parser has no types
        if sample.name == f"{EVENT_TO_COMMIT_SECONDS.name}_bucket"
    }
