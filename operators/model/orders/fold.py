"""The columnar path: a batch of statuses or executions folded into many orders at once.

What is *plain* is computed over whole arrays: statuses in sequence, fills that were not seen before and agree with what
the venue reports, of orders with nothing rare about them: one source of each kind, no splits, nothing that waits, no
children of their own. An order with any other event in the batch goes through the scalar rules of `orders` with all
its events of the batch, so order per key is kept and both ways always give the same. Repeated fills are so common that
they are sorted out beforehand.

Statuses and executions come on topics without mutual order; of what waits together, callers fold the statuses first.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from operators.model.arrays import Ints, RecordBatch
from operators.model.events import ExecutionReport, OrderStatusChanged
from operators.model.orders.columns import StatusColumns, order_ids
from operators.model.orders.fill_sums import add_up
from operators.model.orders.fills import Fills, repeated
from operators.model.orders.fold_by_rules import fold_by_rules
from operators.model.orders.fold_fills import fold_fills, note_repeats
from operators.model.orders.fold_statuses import Statuses, fold_plain_statuses, plain_statuses
from operators.model.orders.folded import Folded, nothing
from operators.model.orders.row_as_order import recall
from operators.model.orders.rules import on_execution, on_status
from operators.model.orders.state import Context
from operators.model.orders.table import OrderTable


def fold_statuses(table: OrderTable, batch: RecordBatch, rows: Ints, context: Context) -> Folded:
    """Folds a decoded batch of engine statuses; `rows` are the table's rows of their orders."""
    folded = nothing()
    if not batch.num_rows:
        return folded
    ids, ids_valid = order_ids(batch)
    events = StatusColumns.read(batch, ids_valid, table)
    every = Statuses.read(table, batch, ids, events, rows)
    plain = plain_statuses(every)
    if plain.all():
        fold_plain_statuses(table, folded, every, context)
        return folded
    positions = np.flatnonzero(plain)
    if len(positions):
        taken = pa.array(positions)
        of_plain = (batch.take(taken), ids.take(taken), events.take(positions), rows[positions])
        fold_plain_statuses(table, folded, Statuses.read(table, *of_plain), context)
    fold_by_rules(
        table,
        folded,
        batch,
        np.flatnonzero(~plain),
        rows,
        context,
        OrderStatusChanged,
        lambda order, event, _: on_status(order, event, context),
    )
    return folded


def fold_executions(table: OrderTable, batch: RecordBatch, rows: Ints, context: Context) -> Folded:
    """Folds a decoded batch of venue messages; `rows` are the table's rows of their orders."""
    folded = nothing()
    if not batch.num_rows:
        return folded
    every = Fills.read(table, batch, rows, context)
    valid = every.valid()
    by_rules = np.unique(rows[~valid])
    fills = every.where(~np.isin(rows, by_rules)) if len(by_rules) else every
    if len(fills.rows):
        fills = fills.with_entries()
        is_repeated, is_reused = repeated(table, fills)
        by_rules = np.union1d(by_rules, fills.rows[is_reused])
        fresh = (
            fills.where(~is_repeated & ~np.isin(fills.rows, by_rules)) if is_repeated.any() or len(by_rules) else fills
        )
        if len(fresh.rows):
            sums = add_up(table, fresh)
            by_rules = np.union1d(by_rules, fresh.rows[~sums.plain])
            fold_fills(table, folded, fresh.where(sums.plain), context, sums if sums.plain.all() else None)
        if is_repeated.any():
            note_repeats(table, folded, fills, np.flatnonzero(is_repeated & ~np.isin(fills.rows, by_rules)), context)
    if len(by_rules):
        fold_by_rules(
            table,
            folded,
            batch,
            np.flatnonzero(np.isin(rows, by_rules)),
            rows,
            context,
            ExecutionReport,
            lambda order, event, row: on_execution(order, event, context, recall(table, row)),
        )
    folded.beside = table.take_beside()
    return folded
