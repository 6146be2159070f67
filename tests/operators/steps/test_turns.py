"""Statuses and executions of an order take turns by their times, and each keeps the order of its topic."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.steps.turns import EXECUTION, STATUS, TURNS_MAX, turns

EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(-(10**6), 10**6) | st.just(2**62)), max_size=30)


def of(events: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    rows, times = zip(*events, strict=True) if events else ((), ())
    return np.array(rows, np.int64), np.array(times, np.int64)


def test_a_cancel_waits_for_the_fills_before_it() -> None:
    status, execution = turns(*of([(7, 1), (7, 50), (8, 60)]), *of([(7, 10), (7, 20), (9, 5)]))
    assert status.tolist() == [0, 2, 0]
    assert execution.tolist() == [1, 1, 1]


def test_at_the_same_time_a_status_comes_first() -> None:
    status, execution = turns(*of([(1, 10)]), *of([(1, 10)]))
    assert (status.tolist(), execution.tolist()) == ([0], [1])


def test_fills_before_the_first_status_come_first() -> None:
    status, execution = turns(*of([(1, 10)]), *of([(1, 5), (1, 20)]))
    assert (status.tolist(), execution.tolist()) == ([2], [1, 3])


@given(statuses=EVENTS, executions=EVENTS)
def test_turns_keep_each_topic_in_order_and_follow_time_between_them(
    statuses: list[tuple[int, int]], executions: list[tuple[int, int]]
) -> None:
    of_status, of_execution = turns(*of(statuses), *of(executions))
    assert all(turn % 2 == STATUS for turn in of_status.tolist())
    assert all(turn % 2 == EXECUTION for turn in of_execution.tolist())
    for row in range(4):
        said = [
            (turn, time) for (of_row, time), turn in zip(statuses, of_status.tolist(), strict=True) if of_row == row
        ]
        done = [(t, time) for (of_row, time), t in zip(executions, of_execution.tolist(), strict=True) if of_row == row]
        assert [turn for turn, _ in said] == sorted(turn for turn, _ in said)
        assert [turn for turn, _ in done] == sorted(turn for turn, _ in done)
        highest = [time for _, time in said]
        for i in range(1, len(highest)):
            highest[i] = max(highest[i], highest[i - 1])
        reached = [time for _, time in done]
        for i in range(1, len(reached)):
            reached[i] = max(reached[i], reached[i - 1])
        for (turn, _), time in zip(said, highest, strict=True):
            for (other, _), at in zip(done, reached, strict=True):
                if max(turn, other) < TURNS_MAX and max(time, at) < 2**40 - 10**7:
                    assert (turn < other) == (time <= at)
