"""Readers that give what a test has put into them, as the client of a log would."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from broker.contract import TopicPartition

Times = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class At:
    """A record of which only topic, place and time matter."""

    of: str
    part: int
    number: int
    at_ms: int
    size_bytes: int = 100

    def value(self) -> bytes:
        return bytes(self.size_bytes)

    def topic(self) -> str:
        return self.of

    def partition(self) -> int:
        return self.part

    def offset(self) -> int:
        return self.number

    def timestamp(self) -> tuple[int, int]:
        return 1, self.at_ms


@dataclass
class FakeReader:
    """Gives what it has, as a client does: much of one partition, then much of the next.

    `fetched_until` is how much of each partition the client has so far.
    """

    topic: str
    times: Times
    fetch_records: int = 6_000
    fetched_until: int = 10**9
    size_bytes: int = 100
    given: list[int] = field(default_factory=list)
    assigned: Mapping[TopicPartition, int] = field(default_factory=dict)
    closed: bool = False
    shows_no_end: bool = False
    """As of partitions that are written to all the time: whatever is asked for, there is something new behind it."""
    held: set[TopicPartition] = field(default_factory=set)
    held_back: set[TopicPartition] = field(default_factory=set)
    """Partitions that the client has lost: it gives nothing of them."""
    turn: int = 0
    of_turn: int = 0

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.assigned = offsets
        self.given = [offsets.get(TopicPartition(self.topic, number), 0) for number in range(len(self.times))]

    def read(self, records_max: int, timeout_s: float) -> list[Any]:
        found: list[At] = []
        for _ in range(2 * len(self.times)):
            part = self.turn % len(self.times)
            if TopicPartition(self.topic, part) in self.held | self.held_back:
                self.turn, self.of_turn = self.turn + 1, 0
                continue
            start = self.given[part]
            most = min(records_max - len(found), self.fetch_records - self.of_turn)
            until = max(start, min(start + most, self.fetched_until, len(self.times[part])))
            found += [
                At(self.topic, part, number, self.times[part][number], self.size_bytes)
                for number in range(start, until)
            ]
            self.given[part] = until
            self.of_turn += until - start
            if len(found) == records_max:
                break
            self.turn, self.of_turn = self.turn + 1, 0
        return found

    def ended(self) -> AbstractSet[TopicPartition]:
        if self.shows_no_end:
            return set()
        return {
            TopicPartition(self.topic, part) for part, times in enumerate(self.times) if self.given[part] >= len(times)
        }

    def near_end(self, partition: TopicPartition, offset: int) -> bool:
        return len(self.times[partition.partition]) - offset <= (100 if self.shows_no_end else 0)

    def at_end(self) -> bool:
        return len(self.ended()) == len(self.times)

    def hold(self, partitions: Iterable[TopicPartition]) -> None:
        self.held = set(partitions)

    def fetched(self) -> Mapping[TopicPartition, int]:
        return {tp: self.given[tp.partition] for tp in self.assigned}

    def close(self) -> None:
        self.closed = True
