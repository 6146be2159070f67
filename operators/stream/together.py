"""One reader per topic, read so that the topics of a flow stay together in time.

Behind a backlog a single reader would be ahead on one topic by whatever its client happened to fetch first: executions
hours before the statuses they belong to, windows closed before half of their records. So the topic that is furthest
behind is read first, by the time at which its records got into the log, as Kafka Streams does with partitions. A topic
that has been read to its end holds nobody up; one that ought to have more and gives nothing does so for a while only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from broker.contract import Reader, Record, TopicPartition

CHUNK_RECORDS: Final = 1_000
"""So many records of one topic at most before it is asked again which one is behind."""
AHEAD_MS: Final = 1_000
"""A topic may be ahead of one that gives nothing by this much; records that come as they happen are never that far."""
PATIENCE_S: Final = 1.0
_NOTHING_NEEDED: Final = 2**63 - 1


@dataclass(slots=True)
class _Topic:
    reader: Reader
    partitions: Sequence[TopicPartition]
    reached_ms: int | None = None
    """When its last record got into the log; None before the first."""
    heard_at_s: float = 0.0
    held: bool = False
    """Whether the last read left it alone because it is ahead."""

    @property
    def place(self) -> float:
        """Where it is for comparison: before everything until it has given a record."""
        return -1.0 if self.reached_ms is None else float(self.reached_ms)


class TogetherReader:
    """A `Reader` over one reader per topic. Belongs to one thread."""

    def __init__(self, open_reader: Callable[[str], Reader], clock: Callable[[], float] = time.monotonic) -> None:
        """`open_reader` makes the reader of a topic."""
        self._open_reader, self._clock = open_reader, clock
        self._topics: dict[str, _Topic] = {}

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """As the contract says; readers of topics that are no longer assigned are closed."""
        by_topic: dict[str, dict[TopicPartition, int]] = {}
        for tp, offset in offsets.items():
            by_topic.setdefault(tp.topic, {})[tp] = offset
        for name in self._topics.keys() - by_topic.keys():
            self._topics.pop(name).reader.close()
        for name, assigned in by_topic.items():
            known = self._topics.get(name)
            reader = known.reader if known is not None else self._open_reader(name)
            reader.assign(assigned)
            self._topics[name] = _Topic(reader, list(assigned), heard_at_s=self._clock())

    def read(self, records_max: int, timeout_s: float) -> list[Record]:
        """As the contract says. With several topics it does not wait: that is for who calls again."""
        if len(self._topics) == 1:
            (topic,) = self._topics.values()
            return list(topic.reader.read(records_max, timeout_s))
        records: list[Record] = []
        waiting = sorted(self._topics.values(), key=_place)
        for topic in waiting:
            topic.held = False
        limit: float | None = None
        while waiting and len(records) < records_max:
            topic = waiting[0]
            if limit is not None and topic.place > limit:
                for ahead in waiting:
                    ahead.held = True
                break
            found = topic.reader.read(min(CHUNK_RECORDS, records_max - len(records)), 0.0)
            if found:
                records += found
                topic.reached_ms, topic.heard_at_s = found[-1].timestamp()[1], self._clock()
                waiting.sort(key=_place)
                continue
            waiting.pop(0)
            if not topic.reader.at_end() and self._clock() - topic.heard_at_s < PATIENCE_S:
                limit = topic.place + AHEAD_MS if limit is None else min(limit, topic.place + AHEAD_MS)
        return records

    def at_end(self) -> bool:
        """As the contract says."""
        return all(topic.reader.at_end() for topic in self._topics.values())

    def fetched(self) -> Mapping[TopicPartition, int]:
        """As the contract says; a topic that is held needs nothing from the log."""
        merged: dict[TopicPartition, int] = {}
        for topic in self._topics.values():
            merged.update(dict.fromkeys(topic.partitions, _NOTHING_NEEDED) if topic.held else topic.reader.fetched())
        return merged

    def close(self) -> None:
        """Closes every reader."""
        for topic in self._topics.values():
            topic.reader.close()


def _place(topic: _Topic) -> float:
    return topic.place
