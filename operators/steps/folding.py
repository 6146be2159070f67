"""A batch on its way through the fold: as a whole, and in halves down to the one event that does not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from operators.model.orders.folded import Folded
from operators.model.orders.state import Context
from operators.model.orders.table import OrderTable
from operators.steps.cached_orders import Values
from operators.stream.kernel import StreamBatch
from operators.stream.records import Columns, DeadLetter, Ints

Fold = Callable[[OrderTable, pa.RecordBatch, Ints, Context], Folded]


@dataclass(frozen=True, slots=True)
class Part:
    """Events of one role that are folded at once, and the table's rows of their orders."""

    fold: Fold
    columns: Columns
    rows: Ints

    def __len__(self) -> int:
        return len(self.rows)

    def between(self, start: int, end: int) -> Part:
        """Some of the events, in their order."""
        chosen = np.arange(start, end)
        return Part(self.fold, self.columns.take(chosen), self.rows[chosen])


def halves(parts: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """The first half of the events and the second: folding one after the other is folding the whole."""
    left = sum(map(len, parts)) // 2
    first: list[Part] = []
    second: list[Part] = []
    for part in parts:
        at = min(left, len(part))
        left -= at
        if at:
            first.append(part if at == len(part) else part.between(0, at))
        if at < len(part):
            second.append(part if at == 0 else part.between(at, len(part)))
    return first, second


@dataclass(slots=True)
class Made:
    """What folding came to: all of it fits, and nothing of it is kept yet."""

    streams: dict[str, list[StreamBatch]] = field(default_factory=dict)
    anomalies: dict[str, int] = field(default_factory=dict)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    new: list[Values] = field(default_factory=list)
    """For the stores and the changelog."""
