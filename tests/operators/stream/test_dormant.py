"""A dormant kernel is not called before its first rows, and from the start if it has state."""

from __future__ import annotations

from typing import Any

import pytest

from operators.stream.dormant import DormantKernel
from operators.stream.kernel import StepOutcome


class Busy:
    """A kernel that counts its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def open(self, groups: Any) -> None:
        self.calls.append(f"open {list(groups)}")

    def epoch_began(self) -> None:
        self.calls.append("epoch")

    def process(self, inputs: Any, *, now_ms: int) -> StepOutcome:
        self.calls.append(f"process {sorted(inputs)} {now_ms}")
        return StepOutcome(records_in=1)

    def close(self, *, committed: bool) -> None:
        self.calls.append(f"close {committed}")


class Stores:
    """Stores whose key groups have reached a time, or none."""

    def __init__(self, times: dict[int, int]) -> None:
        self._times = times

    def stream_time_ms(self, group: int) -> int:
        return self._times.get(group, -1)


@pytest.mark.parametrize(
    ("times", "expected"),
    [({}, ["process ['a'] 2", "process [] 3"]), ({5: 0}, ["process [] 1", "process ['a'] 2", "process [] 3"])],
)
def test_it_sleeps_until_there_are_rows_or_state(times: dict[int, int], expected: list[str]) -> None:
    busy = Busy()
    kernel: Any = DormantKernel(busy, Stores(times))  # type: ignore[arg-type]
    kernel.open([4, 5])
    records = [kernel.process(given, now_ms=now).records_in for now, given in ((1, {}), (2, {"a": None}), (3, {}))]
    kernel.epoch_began()
    kernel.close(committed=True)
    assert busy.calls == ["open [4, 5]", *expected, "epoch", "close True"]
    assert sum(records) == len(expected)
