"""What was read of the partitions of a lane and waits for its turn, by topic; how much of it there may be."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from broker.contract import Reader, Record, TopicPartition

WAITING_MAX: Final = 100_000
"""Records of one topic that wait, about: from then on only partitions are read of which nothing waits."""
WAITING_BYTES_MAX: Final = 64 << 20
"""The same bound in bytes of their values, as far as some of each run tell: a topic may take records of a megabyte."""
RELEASED_BELOW: Final = WAITING_MAX // 4
"""With fewer waiting all are read again. Far fewer: a client may fetch anew what it had of those it left alone."""
RELEASED_BELOW_BYTES: Final = WAITING_BYTES_MAX // 4
SAMPLED: Final = 8
"""Of so many records of a run the bytes are counted, about."""
_BEFORE_EVERYTHING: Final = -(2**62)


class Run(NamedTuple):
    """Records of one partition, in order."""

    tp: TopicPartition
    records: list[Record]


class Partition:
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


class Topic:
    """A topic's reader and what it gave, by partition."""

    def __init__(self, reader: Reader, offsets: Mapping[TopicPartition, int], now_s: float) -> None:
        self.reader = reader
        self.partitions = {tp.partition: Partition(tp, offset, now_s) for tp, offset in offsets.items()}
        self.waiting = self.waiting_bytes = 0
        self.asked = False
        """Whether the last read asked the client for anything."""
        self.has_more = False
        """Whether the client has more at hand: it gave all that it was asked for, or leaves something alone."""
        self._held: frozenset[TopicPartition] = frozenset()
        """Those that the reader leaves alone, because too many records wait and these are not the ones waited for."""

    def is_behind(self, partition: Partition) -> bool:
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

    def take(self, partition: Partition, records_max: int, until_ms: float) -> Run:
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


def _record_bytes(records: Sequence[Record]) -> int:
    """Bytes of a value, on average over a few of them."""
    some = records[:: max(1, len(records) // SAMPLED)]
    return sum(len(record.value() or b"") for record in some) // len(some)


def _logged_at_ms(record: Record) -> int:
    return record.timestamp()[1]
