"""A flow that gets no further is told of, and given up at some point; one that gets further, or has nothing, is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from config.errors import BrokenWorldError
from services.patience import LOOK_EVERY_S, Patience


class Progress:
    """A group whose progress the test sets."""

    def __init__(self) -> None:
        self.at, self.end = 0, 0

    def committed(self, group: str, topics: Sequence[str]) -> int:
        assert (group, topics) == ("prefix-risk_check", ["orders.input"])
        return self.at

    def lag(self, group: str, topics: Sequence[str]) -> int:
        return self.end - self.at

    def has_caught_up(self, group: str, topics: Sequence[str]) -> bool:
        return self.at == self.end


class Waiting:
    """Patience on a clock of the test's own."""

    def __init__(self) -> None:
        self.progress, self.told, self.now = Progress(), [], 0.0
        self.patience = Patience(
            self.progress,  # type: ignore[arg-type]  # as much of it as is asked
            {"risk_check": ("prefix-risk_check", ["orders.input"])},
            give_up_s=3 * LOOK_EVERY_S,
            tell=self.told.append,
            clock=lambda: self.now,
        )

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += LOOK_EVERY_S
            self.patience.look()


def test_a_flow_that_stands_still_is_told_of_and_then_given_up() -> None:
    waiting = Waiting()
    waiting.progress.end = 61
    waiting.look(3)
    assert len(waiting.told) == 2
    assert "risk_check has got no further for 5 s and is 61 records behind on orders.input" in waiting.told[0]
    with pytest.raises(BrokenWorldError, match="given up: risk_check has got no further for 15 s"):
        waiting.look()


def test_a_flow_that_gets_further_however_slowly_is_waited_for() -> None:
    waiting = Waiting()
    waiting.progress.end = 1_000
    for _ in range(20):
        waiting.progress.at += 1
        waiting.look()
    assert waiting.told == []


def test_a_flow_without_work_may_stand_still_and_its_patience_begins_with_the_work() -> None:
    waiting = Waiting()
    waiting.look(20)
    assert waiting.told == []
    waiting.progress.end = 1
    waiting.look()
    assert len(waiting.told) == 1


def test_it_looks_only_every_few_seconds() -> None:
    waiting = Waiting()
    waiting.progress.end = 1
    for _ in range(10):
        waiting.now += LOOK_EVERY_S / 100
        waiting.patience.look()
    assert waiting.told == []
