"""The watch over a reader: it fires for a partition that is lost, and for nothing that only looks like one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from broker.contract import TopicPartition, TopicSpec
from broker.embedded import EmbeddedLog
from config.errors import BrokerUnavailableError, ReadStalledError
from operators.stream.stall import LOOK_EVERY_S, STEP_S_MAX, CommittedEnds, StallWatch

STALL_S = 10.0
ZERO, ONE = TopicPartition("topic", 0), TopicPartition("topic", 1)


class World:
    """A watch, the ends it is told, where the reader is, and the time."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.ends = {ZERO: 5, ONE: 7}
        self.positions = {ZERO: 5, ONE: 7}
        self.fetched: dict[TopicPartition, int] = {}
        self.watch = StallWatch(STALL_S, lambda: self.ends, lambda: self.now_s)

    def look(self, *, for_s: float, every_s: float = 0.5) -> None:
        for _ in range(int(for_s / every_s)):
            self.now_s += every_s
            self.watch.look(self.positions, self.fetched)


@pytest.fixture
def world() -> World:
    return World()


def test_a_partition_that_has_more_and_gives_nothing_is_named_with_position_and_end(world: World) -> None:
    world.look(for_s=100.0)
    world.ends[ONE] = 9
    with pytest.raises(
        ReadStalledError, match=r"topic\[1\] is committed up to offset 9, .* no further than 7 for 10 s"
    ):
        world.look(for_s=STALL_S + 2)


def test_it_is_patient_for_the_time_it_was_given(world: World) -> None:
    world.ends[ONE] = 9
    world.look(for_s=STALL_S - 1)


def test_a_partition_at_its_end_may_be_silent_for_ever(world: World) -> None:
    world.look(for_s=100 * STALL_S)


def test_slow_progress_is_progress(world: World) -> None:
    world.ends[ONE] = 1_000
    for _ in range(20):
        world.look(for_s=STALL_S - 1)
        world.positions[ONE] += 1


def test_a_tail_of_markers_and_aborted_records_is_no_stall(world: World) -> None:
    """The committed end lies behind them; no record will ever move the position there, but the client passed them."""
    world.ends[ONE], world.fetched[ONE] = 500, 500
    world.look(for_s=10 * STALL_S)


def test_a_long_way_through_aborted_records_is_progress(world: World) -> None:
    world.ends[ONE] = 1_000_000
    for passed in range(100, 2_000, 100):
        world.fetched[ONE] = passed
        world.look(for_s=STALL_S - 1)


def test_a_lane_that_is_not_called_has_not_waited(world: World) -> None:
    """An epoch that takes minutes, a paused process: the reader was not asked, and may have been paused as well."""
    world.ends[ONE] = 9
    world.look(for_s=1.0)
    world.now_s += 50 * STALL_S
    world.look(for_s=STALL_S - 1.0 - STEP_S_MAX)
    with pytest.raises(ReadStalledError):
        world.look(for_s=STALL_S)


def test_while_the_log_does_not_answer_nothing_is_counted(world: World) -> None:
    world.ends[ONE] = 9
    world.look(for_s=STALL_S - 1)
    known, world.ends = world.ends, {}
    world.look(for_s=STALL_S)
    world.ends = known
    world.look(for_s=STALL_S - 1)


def test_looking_often_is_counted_as_the_time_it_is(world: World) -> None:
    world.ends[ONE] = 9
    world.look(for_s=STALL_S - 1, every_s=LOOK_EVERY_S / 50)
    with pytest.raises(ReadStalledError):
        world.look(for_s=2.0, every_s=LOOK_EVERY_S / 50)


@pytest.fixture
def log(tmp_path: Path) -> EmbeddedLog:
    log = EmbeddedLog(tmp_path / "log")
    with closing(log.admin()) as admin, closing(log.producer("p")) as producer:
        admin.create_topics([TopicSpec("topic", 2)])
        producer.send("topic", b"k", b"v", partition=1)
        producer.flush()
    return log


def until(holds: Callable[[], bool]) -> bool:
    pause = threading.Event()
    return any(holds() or pause.wait(0.01) for _ in range(3_000))


def test_the_ends_are_those_of_the_log(log: EmbeddedLog) -> None:
    with closing(CommittedEnds(log, [ZERO, ONE], stall_s=0.2)) as ends:
        assert until(lambda: ends() == {ZERO: 0, ONE: 1})


class Unreachable:
    """A log whose admin answers once and then no more."""

    def __init__(self) -> None:
        self.answers = [{ONE: 3}]
        self.asked = 0

    def admin(self) -> Unreachable:
        return self

    def ends(self, _: object) -> dict[TopicPartition, int]:
        self.asked += 1
        if not self.answers:
            raise BrokerUnavailableError("gone")
        return self.answers.pop()

    def close(self) -> None:
        pass


def test_ends_that_cannot_be_asked_for_are_not_known() -> None:
    log = Unreachable()
    with closing(CommittedEnds(log, [ONE], stall_s=0.2)) as ends:  # type: ignore[arg-type]  # as much as it asks of one
        assert until(lambda: log.asked > 1 and ends() == {})
