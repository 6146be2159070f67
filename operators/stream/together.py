"""All partitions of a lane, read so that they stay together in time.

Behind a backlog a client gives what it happened to fetch first: a megabyte of one partition, executions long before the
statuses they belong to, windows closed before half of their records. So records wait here by partition, and the
partition that is furthest behind goes first, by the time at which its records got into the log, as in Kafka Streams.
A partition that has been read to its end, or nearly, holds nobody up; one that ought to have more and gives nothing
does so for a while only. The time is the producers' unless a topic is set to the broker's (LogAppendTime).

What one lane does for its partitions, lanes do for each other (`agreement.py`): each tells its horizon, and none reads
further than the nearest.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Mapping
from typing import Final

from broker.contract import Reader, TopicPartition
from operators.stream.waiting import Partition, Run, Topic

TOGETHER_MS: Final = 20
"""A partition that is furthest behind is read until it is ahead of the next one by this much."""
AHEAD_MS: Final = 1_000
"""Partitions may be ahead by this much of one that is behind and gives nothing."""
PATIENCE_S: Final = 1.0
NEARLY: Final = 0.9
"""Close enough to the number of records that a read may give, for the time up to which it could."""
_NOTHING_NEEDED: Final = 2**63 - 1


class TogetherReader:
    """Reads what a lane reads, from one `Reader` per topic. Belongs to one thread."""

    def __init__(self, open_reader: Callable[[str], Reader], clock: Callable[[], float] = time.monotonic) -> None:
        """`open_reader` makes the reader of a topic."""
        self._open_reader, self._clock = open_reader, clock
        self._topics: dict[str, Topic] = {}

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """As of a `Reader`; readers of topics that are no longer assigned are closed."""
        by_topic: dict[str, dict[TopicPartition, int]] = {}
        for tp, offset in offsets.items():
            by_topic.setdefault(tp.topic, {})[tp] = offset
        for name in self._topics.keys() - by_topic.keys():
            self._topics.pop(name).reader.close()
        for name, assigned in by_topic.items():
            known = self._topics.get(name)
            reader = known.reader if known is not None else self._open_reader(name)
            reader.assign(assigned)
            self._topics[name] = Topic(reader, assigned, self._clock())

    def read(self, records_max: int, until_ms: float = math.inf) -> list[Run]:
        """Up to `records_max` records, in offset order within each partition; it does not wait for any.

        Those that got into the log after `until_ms` stay here.
        """
        runs, left, more = list[Run](), records_max, True
        for topic in self._topics.values():
            topic.asked = False
        while left and more:
            for topic in self._topics.values():
                topic.fill(records_max, self._clock())
            left, more = self._give(runs, left, until_ms)
        return runs

    def has_backlog(self, *, lacking: bool) -> bool:
        """Whether the last read has left records here; or, with `lacking`, has still to be brought some by a client."""
        now_s = self._clock()
        return any(topic.waiting for topic in self._topics.values()) or (
            lacking
            and any(
                self._is_waited_for(topic, partition, now_s)
                for topic in self._topics.values()
                for partition in topic.partitions.values()
            )
        )

    def horizon_ms(self, records_max: int) -> float:
        """Up to which time in the log the next read could give everything; infinite if that is all there is.

        Reads ahead for it as far as the clients have something.
        """
        now_s = self._clock()
        for topic in self._topics.values():
            topic.fill(records_max, now_s)
        until_ms, nearest = self._known_until_ms(now_s)
        while nearest is not None and self._count(until_ms) < records_max and nearest.fill_more(records_max, now_s):
            until_ms, nearest = self._known_until_ms(now_s)
        return min(until_ms, self._time_of(records_max))

    def _known_until_ms(self, now_s: float) -> tuple[float, Topic | None]:
        """Up to which time all is at hand, and the topic of the partition of which more is to come first after it."""
        until_ms, nearest = math.inf, None
        for topic in self._topics.values():
            for partition in topic.partitions.values():
                if not (topic.is_behind(partition) if partition.runs else self._is_waited_for(topic, partition, now_s)):
                    continue
                at_hand = partition.runs and topic.has_more
                # Times may go back within a partition. Below its own next record no lane could ever give anything.
                known_ms = max(partition.place_ms, partition.last_ms()) + (0 if at_hand else AHEAD_MS)
                if known_ms < until_ms:
                    until_ms, nearest = known_ms, topic
        return until_ms, nearest

    def _is_waited_for(self, topic: Topic, partition: Partition, now_s: float) -> bool:
        """Of a partition of which nothing waits, whether others must not get far ahead of it."""
        return now_s - partition.heard_at_s < PATIENCE_S and topic.is_behind(partition)

    def _time_of(self, number: int) -> float:
        """The time in the log up to which no more than so many records wait, or of the first one; infinite if all."""
        if self._count(math.inf) <= number:
            return math.inf
        waiting = [p for topic in self._topics.values() for p in topic.partitions.values() if p.runs]
        low, high = min(p.place_ms for p in waiting), max(p.last_ms() for p in waiting)
        while high - low > 1:
            middle = (low + high) // 2
            count = self._count(middle)
            if NEARLY * number <= count <= number:
                return middle
            low, high = (middle, high) if count < number else (low, middle)
        return low

    def _count(self, until_ms: float) -> int:
        """How many records wait that got into the log up to a time."""
        if until_ms == math.inf:
            return sum(topic.waiting for topic in self._topics.values())
        return sum(p.count(until_ms) for topic in self._topics.values() for p in topic.partitions.values() if p.runs)

    def _give(self, runs: list[Run], left: int, limit_ms: float) -> tuple[int, bool]:
        """Gives of what waits, the furthest behind first; how many more may be given, and whether clients have more."""
        now_s = self._clock()
        behind: list[tuple[int, int, Topic, Partition]] = []
        for topic in self._topics.values():
            for partition in topic.partitions.values():
                if partition.runs:
                    behind.append((partition.place_ms, len(behind), topic, partition))
                elif self._is_waited_for(topic, partition, now_s):
                    limit_ms = min(limit_ms, partition.place_ms + AHEAD_MS)
        heapq.heapify(behind)
        while behind and left and behind[0][0] <= limit_ms:
            _, number, topic, partition = behind[0]
            next_ms = min((entry[0] for entry in behind[1:3]), default=limit_ms)  # the next ones of a heap
            run = topic.take(partition, left, min(next_ms + TOGETHER_MS, limit_ms))
            runs.append(run)
            left -= len(run.records)
            if partition.runs:
                heapq.heapreplace(behind, (partition.place_ms, number, topic, partition))
                continue
            heapq.heappop(behind)
            partition.heard_at_s = now_s  # it is waited for from now on, however long its records have waited
            if topic.is_behind(partition):
                if topic.has_more:
                    return left, True
                limit_ms = min(limit_ms, partition.place_ms + AHEAD_MS)
        return left, False

    def at_end(self) -> bool:
        """Whether everything up to the committed ends known to the last `read` has been given."""
        return all(topic.reader.at_end() and not topic.waiting for topic in self._topics.values())

    def fetched(self) -> Mapping[TopicPartition, int]:
        """As of a `Reader`; a partition of which something waits here, or that was not asked for, needs nothing."""
        merged: dict[TopicPartition, int] = {}
        for topic in self._topics.values():
            merged.update(topic.reader.fetched())
            merged.update(dict.fromkeys(topic.needs_nothing(), _NOTHING_NEEDED))
        return merged

    def close(self) -> None:
        """Closes every reader."""
        for topic in self._topics.values():
            topic.reader.close()
