"""Topics are read together in time: who is behind goes first, and nobody waits for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.contract import TopicPartition
from operators.stream.together import AHEAD_MS, CHUNK_RECORDS, PATIENCE_S, TogetherReader


@dataclass(frozen=True)
class At:
    """A record of which only topic, place and time matter."""

    of: str
    number: int
    at_ms: int

    def topic(self) -> str:
        return self.of

    def offset(self) -> int:
        return self.number

    def timestamp(self) -> tuple[int, int]:
        return 1, self.at_ms


@dataclass
class FakeReader:
    """Gives what it has; `fetched_until` is how much of it the client has so far."""

    topic: str
    times: Sequence[int]
    fetched_until: int = 10**9
    given: int = 0
    assigned: Mapping[TopicPartition, int] = field(default_factory=dict)
    closed: bool = False

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.assigned, self.given = offsets, min(offsets.values())

    def read(self, records_max: int, timeout_s: float) -> list[Any]:
        until = min(self.given + records_max, self.fetched_until, len(self.times))
        found = [At(self.topic, number, self.times[number]) for number in range(self.given, until)]
        self.given = max(self.given, until)
        return found

    def at_end(self) -> bool:
        return self.given >= len(self.times)

    def fetched(self) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(self.assigned, self.given)

    def close(self) -> None:
        self.closed = True


class World:
    """Readers by topic, one reader over them, and a clock."""

    def __init__(self, **times: Sequence[int]) -> None:
        self.now_s = 100.0
        self.readers = {topic: FakeReader(topic, of) for topic, of in times.items()}
        self.together = TogetherReader(self.readers.__getitem__, lambda: self.now_s)
        self.together.assign({TopicPartition(topic, 0): 0 for topic in times})

    def read(self, records_max: int = 10**6) -> list[At]:
        return self.together.read(records_max, 0.0)  # type: ignore[return-value] # made by the fakes


def test_a_backlog_is_read_in_the_order_of_time_up_to_a_chunk() -> None:
    times = list(range(0, 100_000, 10))
    world = World(status=times[::5], executions=times)
    skew, reached = 0, {"status": 0, "executions": 0}
    while records := world.read(4_000):
        for record in records:
            reached[record.of] = record.at_ms
        skew = max(skew, abs(reached["status"] - reached["executions"]))
    assert world.together.at_end()
    assert skew <= CHUNK_RECORDS * 50, "a chunk of the sparser topic"


def test_a_topic_that_is_ahead_waits_for_one_that_has_more_to_come() -> None:
    world = World(status=[0, 10, 20_000], executions=[0, 5, 19_000])
    world.readers["status"].fetched_until = 2
    assert [(record.of, record.at_ms) for record in world.read()] == [
        ("status", 0), ("status", 10), ("executions", 0), ("executions", 5), ("executions", 19_000),
    ]  # fmt: skip
    world = World(status=[0, 10, 20_000], executions=[15_000, 19_000])
    world.readers["status"].fetched_until = 2
    world.read()
    world.readers["executions"].times = [15_000, 19_000, 19_500]
    assert world.read() == [], "executions are ahead by more than the bound"
    assert world.together.fetched()[TopicPartition("executions", 0)] > 10**9, "a topic that is held lacks nothing"
    world.readers["status"].fetched_until = 3
    assert [record.of for record in world.read()] == ["status", "executions"]


def test_nobody_waits_longer_than_a_while() -> None:
    world = World(status=[0, 20_000], executions=[15_000, 19_000])
    world.readers["status"].fetched_until = 1
    world.read()
    world.readers["executions"].times = [15_000, 19_000, 19_500]
    assert world.read() == []
    world.now_s += PATIENCE_S + 0.1
    assert [record.at_ms for record in world.read()] == [19_500]


def test_a_topic_at_its_end_holds_nobody_up() -> None:
    world = World(status=[0], executions=[AHEAD_MS * 100, AHEAD_MS * 200])
    assert len(world.read()) == 3
    assert world.together.at_end()


def test_a_new_assignment_closes_readers_that_it_does_not_need() -> None:
    world = World(status=[0], executions=[0])
    world.together.assign({TopicPartition("status", 0): 0})
    assert world.readers["executions"].closed
    assert [record.of for record in world.read()] == ["status"]
    world.together.close()
    assert world.readers["status"].closed


@given(
    times=st.lists(st.lists(st.integers(0, 10_000), max_size=30).map(sorted), min_size=1, max_size=4),
    records_max=st.integers(1, 20),
)
def test_every_record_comes_once_in_the_order_of_its_topic(times: list[list[int]], records_max: int) -> None:
    world = World(**{f"t{number}": of for number, of in enumerate(times)})
    seen: dict[str, list[int]] = {}
    while records := world.read(records_max):
        assert len(records) <= records_max
        for record in records:
            seen.setdefault(record.of, []).append(record.number)
    assert seen == {f"t{number}": list(range(len(of))) for number, of in enumerate(times) if of}


def test_without_partitions_there_is_nothing_to_read() -> None:
    together = TogetherReader(lambda topic: pytest.fail(topic))
    together.assign({})
    assert together.read(10, 0.0) == []
    assert together.at_end()
