"""Outputs are compared with what is due at every look, and a group is waited for as long as it moves."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from bench import observation
from bench.observation import Outputs, wait_until_committed
from bench.peers.harness import cluster
from broker.contract import TopicPartition


class Message:
    def error(self) -> None:
        return None

    def value(self) -> bytes:
        return b"output"


class Consumer:
    """Gives what it holds, as many at a time as it is asked for."""

    def __init__(self, count: int) -> None:
        self.left = count

    def consume(self, count: int, _timeout_s: float) -> list[Message]:
        given = min(count, self.left)
        self.left -= given
        return [Message()] * given

    def close(self) -> None:
        pass


class Process:
    def check(self) -> None:
        raise RuntimeError("the job has ended")


class Job:
    process = Process()


JOB: Any = Job()


VISIBLE = 2_001
"""Fewer than one look may bring."""


@pytest.fixture
def visible(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(cluster, "reader", lambda *_: Consumer(VISIBLE))
    return VISIBLE


def test_more_than_are_waited_for_are_no_duplicates_as_long_as_they_are_due(visible: int) -> None:
    with Outputs("nowhere", 1) as outputs:
        outputs.due = visible
        outputs.poll_until(visible - 1_000, JOB, timeout_s=60)
        assert outputs.count == visible
        outputs.finish()


def test_one_more_than_are_due_is_an_error_even_while_fewer_are_waited_for(visible: int) -> None:
    with Outputs("nowhere", 1) as outputs:
        outputs.due = visible - 1
        with pytest.raises(RuntimeError, match="2,001 outputs are visible where 2,000 are due: some are duplicates"):
            outputs.poll_until(1, JOB, timeout_s=60)


def test_fewer_than_are_due_in_the_end_is_an_error(visible: int) -> None:
    with Outputs("nowhere", 1) as outputs:
        outputs.due = visible + 1
        with pytest.raises(RuntimeError, match="2,001 outputs are visible where 2,002 are due: some are missing"):
            outputs.finish()


def test_a_job_that_has_ended_is_not_waited_for(visible: int) -> None:
    with Outputs("nowhere", 1) as outputs:
        outputs.due = visible + 1
        with pytest.raises(RuntimeError, match="the job has ended"):
            outputs.poll_until(outputs.due, JOB, timeout_s=60)


def test_every_output_is_shown_to_the_check(visible: int) -> None:
    seen: list[bytes] = []

    def check(values: Sequence[bytes]) -> None:
        seen.extend(values)

    with Outputs("nowhere", 1, check) as outputs:
        outputs.due = visible
        outputs.finish()
    assert seen == [b"output"] * visible


class Admin:
    """The ends of all partitions stand still; the group's position moves by a step at each look, up to `stop`."""

    def __init__(self, end: int, step: int, stop: int) -> None:
        self.end, self.step, self.stop, self.position = end, step, stop, 0

    def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.end)

    def committed(self, _group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        self.position = min(self.stop, self.position + self.step)
        return dict.fromkeys(partitions, self.position)

    def close(self) -> None:
        pass


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Callable[[Admin], Admin]:
    """Puts such an admin, and a clock that moves by ten seconds at each pause, where the wait finds them."""
    clock = SimpleNamespace(now=0.0)

    def pause(_seconds: float) -> None:
        clock.now += 10

    def given(admin: Admin) -> Admin:
        monkeypatch.setattr(observation, "KafkaLog", lambda _: SimpleNamespace(admin=lambda: admin))
        return admin

    monkeypatch.setattr(observation, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=pause))
    monkeypatch.setattr(cluster, "partitions_of", lambda *_: 2)
    return given


def test_a_group_that_moves_is_waited_for_however_long_it_takes(group: Callable[[Admin], Admin]) -> None:
    admin = group(Admin(end=1_000, step=1, stop=1_000))
    wait_until_committed("nowhere", "group", stalled_s=20)
    assert admin.position == 999  # the last offset is a marker's


def test_a_group_may_be_left_behind_by_as_much_as_is_said(group: Callable[[Admin], Admin]) -> None:
    admin = group(Admin(end=1_000, step=1, stop=1_000))
    wait_until_committed("nowhere", "group", behind_max=900)
    assert admin.position == 100


def test_a_group_that_stands_still_is_an_error_that_tells_how_far_behind_it_is(
    group: Callable[[Admin], Admin],
) -> None:
    group(Admin(end=1_000, step=1, stop=10))
    with pytest.raises(TimeoutError, match=r"committed nothing for 20 s; .* orders\.executions\[1\] 990"):
        wait_until_committed("nowhere", "group", stalled_s=20)
