"""What folding a batch comes to, and what every way of folding shares."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from config.errors import InvalidRecordError
from operators.model.arrays import Array, Groups, Ints, RecordBatch
from operators.model.events import OrderAnomaly
from operators.model.orders.columns import inactive
from operators.model.orders.layout import Column
from operators.model.orders.old_executions import Beside
from operators.model.orders.schemas import NO_CONSOLIDATED, NO_ENRICHED, NO_FAMILY, TEXT
from operators.model.orders.state import FOREVER_MS, Context
from operators.model.orders.table import OrderTable


@dataclass(slots=True)
class Folded:
    """What a batch came to.

    `consolidated` and `enriched` hold outputs in the schemas of the contracts, `family` what parents are told, all in
    order per key; `…_from` is the position in the batch of the event behind each. `anomalies` have that position beside
    them. `rejected` are events for the dead letters, `rows` the changed rows, and `beside` what to store beside rows.
    """

    consolidated: RecordBatch
    consolidated_from: Ints
    enriched: RecordBatch
    enriched_from: Ints
    family: RecordBatch
    family_from: Ints
    rows: Ints
    anomalies: list[tuple[int, OrderAnomaly]] = field(default_factory=list)
    rejected: list[tuple[int, InvalidRecordError]] = field(default_factory=list)
    beside: list[Beside] = field(default_factory=list)


def nothing() -> Folded:
    """The result of an empty batch, to be filled."""
    none = np.zeros(0, np.int64)
    return Folded(NO_CONSOLIDATED, none, NO_ENRICHED, none, NO_FAMILY, none, none)


def close(after: Ints, groups: Groups, occurred_at: Ints, context: Context) -> None:
    """Brings the columns up to date that follow from the others."""
    after[:, Column.LAST_EVENT_AT] = np.maximum(after[:, Column.LAST_EVENT_AT], groups.largest(occurred_at))
    filled = after[:, Column.FILLED]
    ended = inactive(after[:, Column.ENGINE], after[:, Column.AT_VENUE], after[:, Column.TIME_IN_FORCE])
    closed = ended | ((filled > 0) & (filled >= after[:, Column.QUANTITY]))
    expire_at = after[:, Column.LAST_EVENT_AT] // 1000 + context.retention_ms
    after[:, Column.EXPIRE_AT_MS] = np.where(closed, expire_at, FOREVER_MS)


def parent_ids(table: OrderTable, groups: Groups, rows: Ints) -> Array:
    """The parent of each event's order as a string column; `rows` are the groups' rows as numbers."""
    if not rows[:, Column.PARENT].any():
        return pa.nulls(len(groups.of), TEXT)
    return table.parents(groups.rows).take(pa.array(groups.of))
