"""A kernel that costs nothing until there is something for it: a step that many deployments have no use for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from operators.state.groups import GroupStores
from operators.stream.kernel import Kernel, StepOutcome
from operators.stream.records import Columns


class DormantKernel:
    """Passes everything on to a kernel from its first rows on, and from the start if it has state.

    Every call of a kernel looks for what time has made due in all of its key groups; without any state, nothing is.
    """

    def __init__(self, kernel: Kernel, stores: GroupStores) -> None:
        self._kernel, self._stores = kernel, stores
        self._in_use = False

    def open(self, groups: Sequence[int]) -> None:
        self._kernel.open(groups)
        self._in_use |= any(self._stores.stream_time_ms(group) >= 0 for group in groups)

    def epoch_began(self) -> None:
        self._kernel.epoch_began()

    def process(self, inputs: Mapping[str, Columns], *, now_ms: int) -> StepOutcome:
        self._in_use |= bool(inputs)
        return self._kernel.process(inputs, now_ms=now_ms) if self._in_use else StepOutcome()

    def close(self, *, committed: bool) -> None:
        self._kernel.close(committed=committed)
