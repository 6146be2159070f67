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
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from broker.contract import Reader, Record, TopicPartition

TOGETHER_MS: Final = 20
"""A partition that is furthest behind is read until it is ahead of the next one by this much."""
AHEAD_MS: Final = 1_000
"""Partitions may be ahead by this much of one that is behind and gives nothing."""
PATIENCE_S: Final = 1.0
WAITING_MAX: Final = 100_000
"""Records of one topic that wait, about: from then on only partitions are read of which nothing waits."""
WAITING_BYTES_MAX: Final = 64 << 20
"""The same bound in bytes of their values, as far as some of each run tell: a topic may take records of a megabyte."""
RELEASED_BELOW: Final = WAITING_MAX // 4
"""With fewer waiting all are read again. Far fewer: a client may fetch anew what it had of those it left alone."""
RELEASED_BELOW_BYTES: Final = WAITING_BYTES_MAX // 4
SAMPLED: Final = 8
"""Of so many records of a run the bytes are counted, about."""
NEARLY: Final = 0.9
"""Close enough to the number of records that a read may give, for the time up to which it could."""
_NOTHING_NEEDED: Final = 2**63 - 1
_BEFORE_EVERYTHING: Final = -(2**62)


class Run(NamedTuple):
    """Records of one partition, in order."""

    tp: TopicPartition
    records: list[Record]


class _Partition:
    """What was read of a partition and waits for its turn."""

    __slots__ = ("heard_at_s", "next_offset", "place_ms", "record_bytes", "runs", "start", "tp")

    def __init__(self, tp: TopicPartition, offset: int, now_s: float) -> None:
        self.tp = tp
        self.next_offset = offset
        """Behind the last record that was read."""
        self.runs: deque[list[Record]] = deque()
        self.record_bytes: deque[int] = deque()
        """Of a record of each run, about."""
        self.start = 0
        """Where in the first run what waits begins."""
        self.place_ms = _BEFORE_EVERYTHING
        """When the next record got into the log, or the last one that was given if none waits."""
        self.heard_at_s = now_s

    def add(self, records: list[Record], now_s: float) -> None:
        if not self.runs:
            self.place_ms = _logged_at_ms(records[0])
        self.runs.append(records)
        self.record_bytes.append(_record_bytes(records))
        self.next_offset = records[-1].offset() + 1
        self.heard_at_s = now_s

    def last_ms(self) -> int:
        """When the last of what waits got into the log, or the last one that was given."""
        return _logged_at_ms(self.runs[-1][-1]) if self.runs else self.place_ms

    def count(self, until_ms: float) -> int:
        """How many of what waits got into the log up to a time."""
        found, start = 0, self.start
        for run in self.runs:
            whole = _logged_at_ms(run[-1]) <= until_ms
            found += (len(run) if whole else bisect_right(run, until_ms, start, key=_logged_at_ms)) - start
            if not whole:
                break
            start = 0
        return found

    def take(self, records_max: int, until_ms: float) -> Run:
        """What waits up to a time, one record at least; times that go back come with what is before them."""
        first, start = self.runs[0], self.start
        stop = min(start + records_max, len(first))
        if _logged_at_ms(first[stop - 1]) > until_ms:
            stop = bisect_right(first, until_ms, start + 1, stop, key=_logged_at_ms)
        if stop < len(first):
            self.start = stop
            self.place_ms = _logged_at_ms(first[stop])
            return Run(self.tp, first[start:stop])
        self.runs.popleft()
        self.record_bytes.popleft()
        self.start = 0
        self.place_ms = _logged_at_ms(self.runs[0][0] if self.runs else first[-1])
        return Run(self.tp, first[start:] if start else first)


class _Topic:
    """A topic's reader and what it gave, by partition."""

    def __init__(self, reader: Reader, offsets: Mapping[TopicPartition, int], now_s: float) -> None:
        self.reader = reader
        self.partitions = {tp.partition: _Partition(tp, offset, now_s) for tp, offset in offsets.items()}
        self.waiting = self.waiting_bytes = 0
        self.asked = False
        """Whether the last read asked the client for anything."""
        self.has_more = False
        """Whether the client has more at hand: it gave all that it was asked for, or leaves something alone."""
        self._held: frozenset[TopicPartition] = frozenset()
        """Those that the reader leaves alone, because too many records wait and these are not the ones waited for."""

    def is_behind(self, partition: _Partition) -> bool:
        """Whether more than a little of it is still to come, as far as is known."""
        return not self.reader.near_end(partition.tp, partition.next_offset)

    def fill(self, records_max: int, now_s: float) -> None:
        """Reads until something waits of every partition that has more to give, as far as the client has it.

        One that is near its end has nothing that anybody waits for: for it alone no more than a read's worth waits.
        """
        if self._held and self.waiting < RELEASED_BELOW and self.waiting_bytes < RELEASED_BELOW_BYTES:
            self._hold(frozenset())
        while not self._held and not self.is_filled() and (self.waiting < records_max or self._behind()):
            if all(p.runs for p in self.partitions.values()) or not self._read(records_max, now_s):
                return
        if self._held or self.is_filled():
            self._fill_those_behind(records_max, now_s)

    def is_filled(self) -> bool:
        """Whether as much waits as may."""
        return self.waiting >= WAITING_MAX or self.waiting_bytes >= WAITING_BYTES_MAX

    def take(self, partition: _Partition, records_max: int, until_ms: float) -> Run:
        """As of the partition."""
        record_bytes, run = partition.record_bytes[0], partition.take(records_max, until_ms)
        self.waiting -= len(run.records)
        self.waiting_bytes -= len(run.records) * record_bytes
        return run

    def needs_nothing(self) -> frozenset[TopicPartition]:
        """Partitions of which something waits, or that were not asked for."""
        return self._held | {p.tp for p in self.partitions.values() if p.runs or not self.asked}

    def _behind(self) -> frozenset[TopicPartition]:
        """Partitions of which nothing waits and more than a little is still to come."""
        return frozenset(p.tp for p in self.partitions.values() if not p.runs and self.is_behind(p))

    def fill_more(self, records_max: int, now_s: float) -> bool:
        """Reads more of all partitions, if the client has more at hand and not too much waits; whether it did."""
        if not self.has_more or self._held or self.is_filled():
            return False
        self._read(records_max, now_s)
        return True

    def _fill_those_behind(self, records_max: int, now_s: float) -> None:
        """The same, but reads only partitions of which nothing waits."""
        every = frozenset(partition.tp for partition in self.partitions.values())
        while behind := self._behind():
            self._hold(every - behind)
            if not self._read(records_max, now_s):
                return

    def _hold(self, partitions: frozenset[TopicPartition]) -> None:
        if partitions != self._held:
            self.reader.hold(partitions)
            self._held = partitions

    def _read(self, records_max: int, now_s: float) -> bool:
        found, self.asked = self.reader.read(records_max, 0.0), True
        self._add(found, now_s)
        full = len(found) == records_max
        self.has_more = full or bool(self._held)
        return full

    def _add(self, records: Sequence[Record], now_s: float) -> None:
        """Records come in runs of one partition, and most of the time goes into finding where each belongs."""
        runs: dict[int, list[Record]] = {}
        last, run = -1, list[Record]()
        for record in records:
            number = record.partition()
            if number != last:
                run = runs.setdefault(number, [])
                last = number
            run.append(record)
        for number, run in runs.items():
            self.partitions[number].add(run, now_s)
            self.waiting_bytes += len(run) * self.partitions[number].record_bytes[-1]
        self.waiting += len(records)


class TogetherReader:
    """Reads what a lane reads, from one `Reader` per topic. Belongs to one thread."""

    def __init__(self, open_reader: Callable[[str], Reader], clock: Callable[[], float] = time.monotonic) -> None:
        """`open_reader` makes the reader of a topic."""
        self._open_reader, self._clock = open_reader, clock
        self._topics: dict[str, _Topic] = {}

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
            self._topics[name] = _Topic(reader, assigned, self._clock())

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

    def _known_until_ms(self, now_s: float) -> tuple[float, _Topic | None]:
        """Up to which time all is at hand, and the topic of the partition of which more is to come first after it."""
        until_ms, nearest = math.inf, None
        for topic in self._topics.values():
            for partition in topic.partitions.values():
                if not (topic.is_behind(partition) if partition.runs else self._is_waited_for(topic, partition, now_s)):
                    continue
                at_hand = partition.runs and topic.has_more
                known_ms = partition.last_ms() + (0 if at_hand else AHEAD_MS)
                if known_ms < until_ms:
                    until_ms, nearest = known_ms, topic
        return until_ms, nearest

    def _is_waited_for(self, topic: _Topic, partition: _Partition, now_s: float) -> bool:
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
        behind: list[tuple[int, int, _Topic, _Partition]] = []
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


def _record_bytes(records: Sequence[Record]) -> int:
    """Bytes of a value, on average over a few of them."""
    some = records[:: max(1, len(records) // SAMPLED)]
    return sum(len(record.value() or b"") for record in some) // len(some)


def _logged_at_ms(record: Record) -> int:
    return record.timestamp()[1]
