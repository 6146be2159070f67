"""The lane: what it emits, when it ticks, how it counts epochs, and when it ends."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta

import pytest

from broker.contract import TopicPartition
from config.errors import ReadStalledError
from operators.stream.lane import Lane, LaneOptions, LaneSource, LaneState
from operators.stream.records import RecordCopy
from operators.stream.stall import StallWatch
from operators.stream.waiting import Run

TICK_MS = 250
COLLECT_MS = 5
ZERO, ONE = TopicPartition("topic", 0), TopicPartition("topic", 1)


class FakeReader:
    """Gives the batches it was filled with, one a call."""

    def __init__(self) -> None:
        self.batches: deque[list[RecordCopy]] = deque()
        self.assigned: dict[TopicPartition, int] = {}
        self.passed: dict[TopicPartition, int] = {}
        self.reads = 0
        self.closed = False

    def assign(self, offsets: dict[TopicPartition, int]) -> None:
        self.assigned = dict(offsets)

    def read(self, records_max: int, until_ms: float) -> list[Run]:
        self.reads += 1
        batch = self.batches.popleft() if self.batches else []
        return [Run(TopicPartition(record.topic(), record.partition()), [record]) for record in batch]

    def at_end(self) -> bool:
        return False

    def fetched(self) -> dict[TopicPartition, int]:
        return self.passed

    def close(self) -> None:
        self.closed = True


def record(partition: int, offset: int) -> RecordCopy:
    return RecordCopy(("topic", partition, offset, b"k", b"v", None, (0, 0)))


class World:
    """A lane and everything around it."""

    def __init__(self, ends: dict[TopicPartition, int] | None = None) -> None:
        self.now_s = 1_000.0
        self.committed: dict[TopicPartition, int] = {}
        self.polls = 0
        self.reader, self.state = FakeReader(), LaneState()
        self.lane = Lane(
            self.reader,
            {"topic": ["one", "two"]},
            LaneOptions(10, COLLECT_MS, TICK_MS),
            self.state,
            cut={ZERO: 3, ONE: 0},
            ends=ends,
            before_read=self.poll,
            clock=lambda: self.now_s,
            watch=StallWatch(5.0, lambda: self.committed, lambda: self.now_s),
        )

    def poll(self) -> bool:
        self.polls += 1
        return False


def test_it_reads_from_the_cut_and_tells_how_far_it_is() -> None:
    world = World()
    assert (world.reader.assigned, world.state.ready) == ({ZERO: 3, ONE: 0}, True)
    world.reader.batches.append([record(0, 3), record(1, 0), record(0, 7)])
    [item] = world.lane.next_batch()
    assert (item.epoch, item.now_ms, item.progress) == (0, 1_000_000, {ZERO: 8, ONE: 1})
    assert [(r.source, r.partition, [x.offset() for x in r.records]) for r in item.reads] == [
        ("one", 0, [3, 7]), ("two", 0, [3, 7]), ("one", 1, [0]), ("two", 1, [0]),
    ]  # fmt: skip
    assert world.state.records == 3


def test_tables_are_looked_at_before_every_read() -> None:
    world = World()
    world.lane.next_batch()
    world.lane.next_batch()
    assert (world.polls, world.reader.reads) == (2, 2)


def test_epochs_are_counted_by_snapshots_whether_anything_was_emitted_or_not() -> None:
    world = World()
    for _ in range(3):
        world.lane.snapshot()
    world.reader.batches.append([record(0, 3)])
    assert world.lane.next_batch()[0].epoch == 3


def test_after_an_epoch_with_data_the_next_one_gets_a_tick_at_once_and_only_one() -> None:
    world = World()
    world.reader.batches.append([record(0, 3)])
    world.lane.next_batch()
    assert world.lane.next_batch() == []
    world.lane.snapshot()
    [tick] = world.lane.next_batch()
    assert (tick.epoch, tick.reads, tick.progress) == (1, [], {})
    assert world.lane.next_batch() == []
    world.lane.snapshot()
    assert world.lane.next_batch() == []


def test_an_idle_lane_ticks_at_its_interval() -> None:
    world = World()
    assert len(world.lane.next_batch()) == 1
    world.now_s += TICK_MS / 1e3 - 0.01
    assert world.lane.next_batch() == []
    world.now_s += 0.02
    assert len(world.lane.next_batch()) == 1


def test_until_end_it_ends_at_the_ends_and_not_before_its_last_data_was_flushed() -> None:
    world = World(ends={ZERO: 5, ONE: 0})
    world.now_s = 0.1
    world.reader.batches.append([record(0, 3)])
    assert len(world.lane.next_batch()) == 1
    assert world.lane.next_batch() == []
    world.reader.batches.append([record(0, 4)])
    assert len(world.lane.next_batch()) == 1
    world.lane.snapshot()
    assert len(world.lane.next_batch()) == 1
    with pytest.raises(StopIteration):
        world.lane.next_batch()
    assert world.state.ended


def test_it_does_not_end_before_time_was_told_to_what_its_last_data_made_due() -> None:
    world = World(ends={ZERO: 4, ONE: 0})
    world.now_s = 0.1
    world.reader.batches.append([record(0, 3)])
    assert len(world.lane.next_batch()) == 1
    assert world.lane.next_batch() == [], "the epoch of the data is still open"
    world.lane.snapshot()
    [tick] = world.lane.next_batch()
    assert (tick.epoch, tick.reads) == (1, [])
    with pytest.raises(StopIteration):
        world.lane.next_batch()


def test_told_to_stop_it_reads_no_more_and_ends() -> None:
    world = World()
    world.reader.batches.append([record(0, 3)])
    world.state.stopping = True
    with pytest.raises(StopIteration):
        world.lane.next_batch()
    assert (world.reader.reads, world.state.ended) == (0, True)


def test_a_partition_whose_records_do_not_come_stops_the_flow() -> None:
    world = World()
    world.committed = {ZERO: 3, ONE: 2}
    for _ in range(6):
        world.lane.next_batch()
        world.now_s += 1.0
    with pytest.raises(ReadStalledError, match=r"topic\[1\] is committed up to offset 2, .* no further than 0 for"):
        world.lane.next_batch()


def test_records_on_their_way_through_a_full_reader_stop_nothing() -> None:
    """While one partition fills every read, the records of another wait behind them."""
    world = World()
    world.committed = {ZERO: 1_000, ONE: 2}
    for start in range(3, 203, 10):
        world.reader.batches.append([record(0, start + i) for i in range(10)])
        world.lane.next_batch()
        world.now_s += 1.0


def test_the_position_behind_the_last_record_is_where_it_is() -> None:
    world = World()
    world.committed = {ZERO: 5, ONE: 0}
    world.reader.batches.append([record(0, 3), record(0, 4)])
    for _ in range(10):
        world.lane.next_batch()
        world.now_s += 1.0


def test_a_lane_that_got_all_it_asked_for_reads_on_at_once_and_collects_otherwise() -> None:
    world = World()
    world.reader.batches += [[record(0, 3 + i) for i in range(10)], [record(0, 13 + i) for i in range(9)]]
    world.lane.next_batch()
    awake_at, after = world.lane.next_awake(), datetime.now(UTC)
    assert awake_at is not None
    assert awake_at <= after
    world.lane.next_batch()
    awake_at = world.lane.next_awake()
    assert awake_at is not None
    assert awake_at >= after + timedelta(milliseconds=COLLECT_MS)


def test_closing_it_closes_the_reader() -> None:
    world = World()
    world.lane.close()
    assert world.reader.closed


def test_each_process_lists_its_own_lane_only() -> None:
    world = World()
    source = LaneSource(2, lambda: world.lane)
    assert source.list_parts() == ["lane-2"]
    assert source.build_part("lane", "lane-2", None) is world.lane
