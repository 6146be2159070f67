"""What folding a batch comes to, and what every way of folding shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from config.errors import InvalidRecordError
from operators.model.arrays import Groups, Ints, RecordBatch
from operators.model.lifecycle import FINAL
from operators.model.order_columns import NO_CONSOLIDATED, NO_ENRICHED
from operators.model.order_table import STATUSES, Chunk, Column
from operators.model.orders import FOREVER_MS, Anomaly, Context

# Indexed by status number; the last place is for -1, no status.
IS_FINAL: Final = np.array([*(status in FINAL for status in STATUSES), False])


@dataclass(slots=True)
class Folded:
    """What a batch came to.

    `consolidated` and `enriched` hold outputs in the schemas of the contracts, in order per key; `…_from` is the
    position in the batch of the event behind each. `rejected` are events for the dead letters, `rows` the changed
    rows, and `chunks` what to store beside rows.
    """

    consolidated: RecordBatch
    consolidated_from: Ints
    enriched: RecordBatch
    enriched_from: Ints
    rows: Ints
    anomalies: list[tuple[int, Anomaly]] = field(default_factory=list)
    rejected: list[tuple[int, InvalidRecordError]] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)


def nothing() -> Folded:
    """The result of an empty batch, to be filled."""
    none = np.zeros(0, np.int64)
    return Folded(NO_CONSOLIDATED, none, NO_ENRICHED, none, none)


def close(after: Ints, groups: Groups, occurred_at: Ints, context: Context) -> None:
    """Brings the columns up to date that follow from the others."""
    after[:, Column.SEQUENCE] += groups.sizes
    after[:, Column.LAST_EVENT_AT] = np.maximum(after[:, Column.LAST_EVENT_AT], groups.largest(occurred_at))
    filled = after[:, Column.FILLED]
    ended = IS_FINAL[after[:, Column.ENGINE_CODE]] | IS_FINAL[after[:, Column.VENUE_CODE]]
    closed = ended | ((filled > 0) & (filled >= after[:, Column.QUANTITY]))
    expire_at = after[:, Column.LAST_EVENT_AT] // 1000 + context.retention_ms
    after[:, Column.EXPIRE_AT_MS] = np.where(closed, expire_at, FOREVER_MS)
