"""Partitions are read together in time: who is behind goes first, and nobody waits for good."""

from __future__ import annotations

import math
from typing import Any

import pytest
from fake_readers import At, FakeReader, Times
from hypothesis import given
from hypothesis import strategies as st

from broker.contract import TopicPartition
from operators.stream import waiting
from operators.stream.together import AHEAD_MS, PATIENCE_S, TOGETHER_MS, TogetherReader


class World:
    """Readers by topic, one reader over them, and a clock."""

    def __init__(self, **times: Times) -> None:
        self.now_s = 100.0
        self.readers = {topic: FakeReader(topic, of) for topic, of in times.items()}
        self.together = TogetherReader(self.readers.__getitem__, lambda: self.now_s)
        self.together.assign({TopicPartition(topic, part): 0 for topic, of in times.items() for part in range(len(of))})

    def read(self, records_max: int = 10**6) -> list[At]:
        runs = self.together.read(records_max)
        records: list[Any] = []
        for tp, found in runs:
            assert {(record.topic(), record.partition()) for record in found} == {tp}
            records += found
        return records


def test_a_backlog_is_read_in_the_order_of_time_whatever_the_client_fetches_first() -> None:
    """Four partitions of one topic and two of another, sparser one, one of which is sparser still."""
    dense, sparse, rare = list(range(0, 200_000, 10)), list(range(0, 200_000, 50)), list(range(0, 200_000, 400))
    world = World(executions=[dense] * 4, status=[sparse, rare])
    skew, reached = 0, dict.fromkeys(["executions0", "executions1", "executions2", "executions3", "status0"], 0)
    seen = 0
    while records := world.read(4_000):
        seen += len(records)
        for record in records:
            if (name := f"{record.of}{record.part}") in reached:
                reached[name] = record.at_ms
        skew = max(skew, max(reached.values()) - min(reached.values()))
    assert world.together.at_end()
    assert seen == 4 * len(dense) + len(sparse) + len(rare)
    assert skew <= TOGETHER_MS + 50, "as far as the next record of the sparser one"


def test_what_waits_is_bounded_and_in_time_even_where_one_partition_has_far_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that fetches partitions evenly, which have unlike amounts in the same time."""
    monkeypatch.setattr(waiting, "WAITING_MAX", 3_000)
    monkeypatch.setattr(waiting, "RELEASED_BELOW", 700)
    world = World(executions=[list(range(30_000)), list(range(0, 30_000, 2)), list(range(0, 30_000, 100)), []])
    reader = world.readers["executions"]
    seen, most, reached, held = 0, 0, 0, set[frozenset[TopicPartition]]()
    while not world.together.at_end():
        records = world.read(400)
        assert records, "nobody has to be waited for"
        assert min(record.at_ms for record in records) >= reached - 2 * TOGETHER_MS
        reached = max(record.at_ms for record in records)
        seen += len(records)
        most = max(most, sum(reader.given) - seen)
        held.add(frozenset(reader.held))
    assert seen == 30_000 + 15_000 + 300
    assert most <= 3_000 + 4 * 400, "and a read of each partition"
    assert frozenset() in held, "what was left alone is read again"
    assert len(held) > 1


def test_an_empty_partition_beside_a_backlog_neither_fills_the_memory_nor_has_others_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "WAITING_MAX", 3_000)
    world = World(executions=[list(range(20_000)), list(range(20_000)), []])
    reader, seen = world.readers["executions"], 0
    reader.fetch_records = 100
    while not world.together.at_end():
        records = world.read(400)
        seen += len(records)
        assert sum(reader.given) - seen <= 3 * 400
        assert not reader.held
        if seen > 8_000:
            reader.times = [*reader.times[:2], [20_001]]
    assert seen == 40_001


def test_what_waits_is_bounded_by_bytes_as_well_and_then_only_partitions_waited_for_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "WAITING_BYTES_MAX", 1_000_000)
    monkeypatch.setattr(waiting, "RELEASED_BELOW_BYTES", 250_000)
    world = World(executions=[list(range(3_000)), list(range(0, 3_000, 100))])
    reader, seen, held = world.readers["executions"], 0, 0
    reader.size_bytes, reader.fetch_records = 10_000, 500
    while not world.together.at_end():
        seen += len(world.read(20))
        assert (sum(reader.given) - seen) * 10_000 <= 1_000_000 + 4 * 20 * 10_000
        held += bool(reader.held)
    assert seen == 3_030
    assert held, "one has far more than the other"


def test_a_partition_that_lacks_something_shows_whatever_waits_of_others_and_one_left_alone_lacks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "WAITING_MAX", 50)
    world = World(executions=[[0, *range(5_000, 5_100)], [0, 10, 20]])
    reader = world.readers["executions"]
    reader.fetched_until = 1
    assert len(world.read(100)) == 2
    reader.times = [reader.times[0], [0, 10, 20]]
    reader.fetched_until = 101
    lacks = TopicPartition("executions", 1)
    reader.held_back.add(lacks)
    assert world.read(100) == []
    assert world.together.fetched()[lacks] == 1
    assert world.together.fetched()[TopicPartition("executions", 0)] > 10**9
    assert reader.held == {TopicPartition("executions", 0)}


def test_one_that_is_ahead_waits_for_one_that_has_more_to_come() -> None:
    world = World(status=[[0, 10, 20_000]], executions=[[0, 5, 19_000]])
    world.readers["status"].fetched_until = 2
    assert {(record.of, record.at_ms) for record in world.read()} == {
        ("status", 0), ("executions", 0), ("executions", 5), ("status", 10),
    }  # fmt: skip
    assert world.read() == [], "executions are ahead by more than the bound"
    assert world.together.fetched()[TopicPartition("executions", 0)] > 10**9, "what waits here lacks nothing"
    assert not world.together.at_end()
    world.readers["status"].fetched_until = 3
    assert [record.of for record in world.read()] == ["executions", "status"]
    assert world.together.at_end()


def test_one_that_is_written_to_all_the_time_holds_nobody_up_whatever_its_clock_says() -> None:
    """Its producer's clock is a minute slow, and its reader never sees the end."""
    world = World(status=[list(range(0, 50_000, 10))], executions=[[60_000, 60_010]])
    status, executions = world.readers["status"], world.readers["executions"]
    status.shows_no_end = True
    status.fetched_until = 4_950
    given = [(record.of, record.at_ms) for record in world.read()]
    assert given[-2:] == [("executions", 60_000), ("executions", 60_010)]
    status.fetched_until, executions.times = 4_960, [[60_000, 60_010, 60_020]]
    assert ("executions", 60_020) in [(record.of, record.at_ms) for record in world.read()]


def test_what_is_later_than_it_may_be_stays_and_is_a_backlog() -> None:
    world = World(status=[[0, 10, 20]], executions=[[5, 15, 25]])
    runs = world.together.read(100, 15)
    assert sorted(record.offset() for _, found in runs for record in found) == [0, 0, 1, 1]
    assert world.together.has_backlog(lacking=False)
    assert [record.at_ms for record in world.read()] == [20, 25]
    assert not world.together.has_backlog(lacking=True)


def test_the_horizon_is_that_of_a_full_read_or_of_what_is_known() -> None:
    world = World(status=[list(range(0, 1_000, 10))], executions=[list(range(0, 1_000, 20))])
    until_ms = world.together.horizon_ms(60)
    assert 0.9 * 60 <= sum(len(found) for _, found in world.together.read(10**6, until_ms)) <= 60
    assert world.together.horizon_ms(10**6) == math.inf, "this is all that there is"
    world = World(status=[[0, 10, 5_000]], executions=[list(range(0, 5_000, 10))])
    world.readers["status"].fetched_until = 2
    assert world.together.horizon_ms(10**6) == 10 + AHEAD_MS
    assert world.together.has_backlog(lacking=False)


def test_nobody_waits_longer_than_a_while() -> None:
    world = World(status=[[0, 20_000]], executions=[[15_000, 19_000]])
    world.readers["status"].fetched_until = 1
    assert [record.at_ms for record in world.read()] == [0]
    assert world.read() == []
    world.now_s += PATIENCE_S + 0.1
    assert [record.at_ms for record in world.read()] == [15_000, 19_000]


def test_a_partition_is_waited_for_from_its_last_record_given_on() -> None:
    world = World(status=[[0, 10, 20_000]], executions=[[5, 15, 20_000]])
    world.readers["status"].fetched_until = 2
    assert [record.at_ms for record in world.read(1)] == [0]
    world.now_s += 10 * PATIENCE_S  # a batch may take this long, while records wait here
    assert {record.at_ms for record in world.read(3)} == {5, 10, 15}
    assert world.read() == [], "the client has had no time yet to fetch more of the status"
    world.now_s += PATIENCE_S + 0.1
    assert [record.at_ms for record in world.read()] == [20_000]


def test_nothing_is_given_before_every_partition_was_heard_of() -> None:
    world = World(status=[[0], [5]], executions=[[3]])
    world.readers["status"].fetched_until = 0
    assert world.read() == []
    world.readers["status"].fetched_until = 1
    assert [record.at_ms for record in world.read()] == [0, 3, 5]


def test_a_partition_at_its_end_holds_nobody_up() -> None:
    world = World(status=[[0], []], executions=[[AHEAD_MS * 100, AHEAD_MS * 200]])
    assert len(world.read()) == 3
    assert world.together.at_end()


def test_a_new_assignment_closes_readers_that_it_does_not_need() -> None:
    world = World(status=[[0]], executions=[[0]])
    world.together.assign({TopicPartition("status", 0): 0})
    assert world.readers["executions"].closed
    assert [record.of for record in world.read()] == ["status"]
    world.together.close()
    assert world.readers["status"].closed


@given(
    topics=st.lists(
        st.lists(st.lists(st.integers(0, 10_000), max_size=30), min_size=1, max_size=3), min_size=1, max_size=3
    ),
    records_max=st.integers(1, 20),
    fetch_records=st.integers(1, 20),
)
def test_every_record_comes_once_in_the_order_of_its_partition(
    topics: list[list[list[int]]], records_max: int, fetch_records: int
) -> None:
    world = World(**{f"t{number}": of for number, of in enumerate(topics)})
    for reader in world.readers.values():
        reader.fetch_records = fetch_records
    seen: dict[tuple[str, int], list[int]] = {}
    while records := world.read(records_max):
        assert len(records) <= records_max
        for record in records:
            seen.setdefault((record.of, record.part), []).append(record.number)
    assert world.together.at_end()
    assert seen == {
        (f"t{number}", part): list(range(len(times)))
        for number, of in enumerate(topics)
        for part, times in enumerate(of)
        if times
    }


def test_without_partitions_there_is_nothing_to_read() -> None:
    together = TogetherReader(lambda topic: pytest.fail(topic))
    together.assign({})
    assert together.read(10) == []
    assert together.at_end()
