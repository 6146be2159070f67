"""The pace: when a waiting worker sleeps, for how long, and which of its keys does it."""

from __future__ import annotations

import pytest

from operators.stream.pace import LOOK_EVERY_S, SLEEP_S_MAX, SLEEP_S_MIN, STEP_S_MAX, Pace, Rest, rest_keys

STEP_S = STEP_S_MAX / 10


class World:
    """A pace with a clock that moves when it sleeps."""

    def __init__(self) -> None:
        self.now_s, self.worked_s = 100.0, 10.0
        self.slept: list[float] = []
        self.pace = Pace(lambda: self.now_s, lambda: self.worked_s, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def steps(self, count: int) -> list[float]:
        """So many steps of a worker, which rests in each; what it slept."""
        before = len(self.slept)
        for _ in range(count):
            self.now_s += STEP_S
            self.worked_s += STEP_S
            self.pace.rest()
        return self.slept[before:]


@pytest.fixture
def world() -> World:
    return World()


def test_a_worker_whose_lane_does_not_wait_does_not_sleep(world: World) -> None:
    assert world.steps(5) == []
    world.pace.lane_waits(world.now_s)
    world.pace.lane_was_called()
    assert world.steps(5) == []


def test_a_worker_whose_lane_would_be_called_later_does_not_sleep(world: World) -> None:
    world.pace.lane_waits(world.now_s + 1.0)
    assert world.steps(5) == []
    assert world.pace.rests_in_s() == pytest.approx(1.0 - 5 * STEP_S)


def test_sleeps_get_longer_with_the_wait_up_to_a_longest_one(world: World) -> None:
    world.pace.lane_waits(world.now_s)
    world.steps(1)
    slept = world.steps(500)
    assert len(slept) == 500
    assert slept == sorted(slept)
    assert (slept[0], slept[-1]) == (SLEEP_S_MIN, SLEEP_S_MAX)


def test_a_step_that_did_some_work_is_no_part_of_the_wait(world: World) -> None:
    world.pace.lane_waits(world.now_s)
    assert len(world.steps(500)) == 499
    world.now_s += 2 * STEP_S_MAX
    assert world.steps(1) == [SLEEP_S_MAX], "another process may have had the processor"
    world.worked_s += 2 * STEP_S_MAX
    assert world.steps(2) == [SLEEP_S_MIN]


def test_a_wait_is_looked_for_now_and_then_and_rested_in_at_once(world: World) -> None:
    assert world.pace.rests_in_s() == LOOK_EVERY_S
    world.pace.lane_waits(world.now_s)
    assert world.pace.rests_in_s() == 0.0


def test_within_a_wait_it_is_always_time_to_rest_again(world: World) -> None:
    rest = Rest(world.pace, reached=str)
    later = rest.notify_at()
    world.pace.lane_waits(world.now_s)
    assert rest.on_notify() == ([], Rest.RETAIN)
    due = rest.notify_at()
    assert due is not None
    assert later is not None
    assert due < later


def test_one_key_of_a_process_rests_and_the_others_are_let_go_of(world: World) -> None:
    reached: list[str] = []
    first, second = (Rest(world.pace, reached.append) for _ in range(2))
    assert first.on_batch(["one"]) == ([], Rest.RETAIN)
    assert second.on_batch(["two"]) == ([], Rest.DISCARD)
    assert reached == ["one", "two"]


def test_there_are_many_keys_for_a_hash_to_spread() -> None:
    assert len({key for key, value in rest_keys() if key == value}) > 1_000
