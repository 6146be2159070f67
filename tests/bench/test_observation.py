"""Outputs are compared with what is due at every look, however many are waited for."""

from collections.abc import Sequence
from typing import Any

import pytest

from bench.observation import Outputs
from bench.peers.harness import cluster


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
