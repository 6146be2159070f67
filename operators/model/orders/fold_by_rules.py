"""Events that whole arrays do not cover, taken through the scalar rules over the rows of the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from config.errors import InvalidRecordError
from operators.model.arrays import Ints, RecordBatch
from operators.model.events import ExecutionReport, OrderEnriched, OrderStatusChanged
from operators.model.orders.folded import Folded
from operators.model.orders.layout import RECENT_MAX
from operators.model.orders.parents import FamilyChange
from operators.model.orders.row_as_order import read_order, write_order
from operators.model.orders.schemas import CONSOLIDATED, ENRICHED, FAMILY
from operators.model.orders.state import FOREVER_MS, Context, Order, Step, expire_at_ms
from operators.model.orders.table import OrderTable

E = TypeVar("E", OrderStatusChanged, ExecutionReport)


def fold_by_rules(
    table: OrderTable,
    folded: Folded,
    batch: RecordBatch,
    positions: Ints,
    rows: Ints,
    context: Context,
    event_type: type[E],
    step: Callable[[Order | None, E, int], Step],
) -> None:
    """Takes events through the scalar rules, one by one, over their rows seen as objects."""
    orders: dict[int, Order | None] = {}
    changed: dict[int, Order] = {}
    consolidated: list[tuple[int, OrderStatusChanged]] = []
    enriched: list[tuple[int, OrderEnriched]] = []
    family: list[tuple[int, FamilyChange]] = []
    records = batch.take(pa.array(positions)).to_pylist()
    for position, row, record in zip(positions.tolist(), rows[positions].tolist(), records, strict=True):
        if row not in orders:
            orders[row] = read_order(table, row)
        try:
            done = step(orders[row], msgspec.convert(record, event_type), row)
        except InvalidRecordError as error:
            folded.rejected.append((position, error))
            continue
        folded.anomalies += [(position, anomaly) for anomaly in done.anomalies]
        for output in done.outputs:
            if isinstance(output, OrderEnriched):
                enriched.append((position, output))
            elif isinstance(output, FamilyChange):
                family.append((position, output))
            else:
                consolidated.append((position, output))
        if done.order is None or done.order is orders[row]:
            continue
        orders[row] = changed[row] = done.order
        if len(done.order.executions) > RECENT_MAX:
            write_order(table, row, done.order, FOREVER_MS)
            orders[row] = read_order(table, row)
    for row in changed:
        order = orders[row]
        assert order is not None
        write_order(table, row, order, expire_at_ms(order, context))
    folded.rows = np.concatenate([folded.rows, np.fromiter(changed, np.int64, len(changed))])
    folded.consolidated, folded.consolidated_from = _joined(
        folded.consolidated, folded.consolidated_from, consolidated, CONSOLIDATED
    )
    folded.enriched, folded.enriched_from = _joined(folded.enriched, folded.enriched_from, enriched, ENRICHED)
    if family:
        folded.family, folded.family_from = _in_order(*_joined(folded.family, folded.family_from, family, FAMILY))


def _joined(batch: RecordBatch, positions: Ints, added: list[tuple[int, Any]], schema: Any) -> tuple[RecordBatch, Ints]:
    """A batch with outputs of the scalar rules behind it."""
    if not added:
        return batch, positions
    records = [msgspec.to_builtins(output) for _, output in added]
    more = pa.RecordBatch.from_pylist(records, schema=schema)
    whole = pa.Table.from_batches([batch, more]).combine_chunks().to_batches()[0]
    return whole, np.concatenate([positions, np.array([position for position, _ in added], np.int64)])


def _in_order(batch: RecordBatch, positions: Ints) -> tuple[RecordBatch, Ints]:
    """By position: what children of one parent tell it comes as it happened."""
    order = np.argsort(positions, kind="stable")
    return batch.take(pa.array(order)), positions[order]
