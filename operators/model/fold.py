"""The columnar path: a batch of statuses or executions folded into many orders at once.

What is *plain* is computed over whole arrays: statuses in sequence, fills that were not seen before and agree with what
the venue reports. An order with any other event in the batch goes through the scalar rules of `orders` with all its
events of the batch, so order per key is kept and both ways always give the same. Repeated fills are so common that they
are sorted out beforehand.

Statuses and executions come on topics without mutual order; of what waits together, callers fold the statuses first.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from operators.model.arrays import Array, Flags, Groups, Ints, RecordBatch
from operators.model.events import ExecutionReport, OrderStatusChanged
from operators.model.fold_by_rules import fold_by_rules
from operators.model.fold_fills import Fills, add_up, fold_fills, note_repeats, repeated
from operators.model.folded import Folded, close, nothing
from operators.model.lifecycle import TRANSITIONS
from operators.model.order_columns import (
    OrderView,
    StatusColumns,
    consolidated_batch,
    consolidated_codes,
    order_ids,
    parents,
)
from operators.model.order_table import NONE, STATUSES, Column, OrderTable
from operators.model.orders import Context, on_execution, on_status

# Indexed by status number; the last row is for -1, no status.
_LEGAL: Final = np.array([[after in TRANSITIONS[before] for after in STATUSES] for before in (*STATUSES, None)])


def fold_statuses(table: OrderTable, batch: RecordBatch, rows: Ints, context: Context) -> Folded:
    """Folds a decoded batch of engine statuses; `rows` are the table's rows of their orders."""
    folded = nothing()
    if not batch.num_rows:
        return folded
    ids, ids_valid = order_ids(batch)
    events = StatusColumns.read(batch, ids_valid, table)
    plain = _plain_statuses(table, batch, events, rows)
    if plain.all():
        _fold_statuses(table, folded, batch, ids, events, rows, context)
        return folded
    positions = np.flatnonzero(plain)
    if len(positions):
        taken = pa.array(positions)
        of_plain = (batch.take(taken), ids.take(taken), events.take(positions), rows[positions])
        _fold_statuses(table, folded, *of_plain, context)
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
        is_repeated = repeated(table, fills)
        fresh = fills.where(~is_repeated)
        if len(fresh.rows):
            sums = add_up(table, fresh)
            by_rules = np.union1d(by_rules, fresh.rows[~sums.plain])
            fold_fills(table, folded, fresh.where(sums.plain), context, sums if sums.plain.all() else None)
        if is_repeated.any():
            note_repeats(folded, fills, np.flatnonzero(is_repeated & ~np.isin(fills.rows, by_rules)))
    if len(by_rules):
        fold_by_rules(
            table,
            folded,
            batch,
            np.flatnonzero(np.isin(rows, by_rules)),
            rows,
            context,
            ExecutionReport,
            lambda order, event, row: on_execution(order, event, context, table.recall(row)),
        )
    folded.chunks = table.take_chunks()
    return folded


def _plain_statuses(table: OrderTable, batch: RecordBatch, events: StatusColumns, rows: Ints) -> Flags:
    """Which events belong to orders whose events are all plain."""
    groups = Groups(rows)
    state, of, first = table.numbers[groups.rows], groups.of, groups.first
    known = state[:, Column.LAST_EVENT_AT] != NONE
    source = np.where(state[:, Column.STATUS_SOURCE] == 0, events.source[first], state[:, Column.STATUS_SOURCE])
    symbol = np.where(known, state[:, Column.SYMBOL], events.symbol[first])
    side = np.where(known, state[:, Column.SIDE], events.side[first])
    venue = np.where(state[:, Column.VENUE] == 0, events.venue[first], state[:, Column.VENUE])
    has_arrival = (state[:, Column.ARRIVAL_PRICE] != NONE) | (events.arrival_price[first] != NONE)
    code_before = groups.previous(events.code, state[:, Column.ENGINE_CODE])
    sequence_before = groups.previous(events.sequence, state[:, Column.STATUS_SEQUENCE])
    plain = (
        events.readable
        & (events.occurred_at >= 0)
        & (events.code >= 0)
        & _LEGAL[code_before, events.code]
        & (events.sequence == sequence_before + 1)
        & (events.source == source[of])
        & (events.quantity >= 0)
        & (events.side >= 0)
        & (events.side == side[of])
        & (events.symbol == symbol[of])
        & ((events.venue == 0) | (events.venue == venue[of]))
        & ((events.arrival_price == NONE) | has_arrival[of])
    )
    if events.has_parent.any():
        plain &= _parents_stay(table, batch, rows, known[of])
    return groups.all(plain)[of]


def _parents_stay(table: OrderTable, batch: RecordBatch, rows: Ints, known: Flags) -> Flags:
    """Whether each event names the parent that its order has, or comes first and is the only one to name it."""
    result = np.ones(len(rows), np.bool_)
    named: dict[int, str | None] = {}
    parent_ids = batch.column("order").field("parentId").to_pylist()
    for i, row in enumerate(rows.tolist()):
        if row not in named:
            named[row] = table.parent(row) if known[i] else parent_ids[i]
        result[i] = parent_ids[i] is None or parent_ids[i] == named[row]
    return result


def _fold_statuses(
    table: OrderTable,
    folded: Folded,
    batch: RecordBatch,
    ids: Array,
    events: StatusColumns,
    rows: Ints,
    context: Context,
) -> None:
    """Statuses that are all plain."""
    groups = Groups(rows)
    state, of, last = table.numbers[groups.rows], groups.of, groups.last
    venue, arrival = state[:, Column.VENUE], state[:, Column.ARRIVAL_PRICE]
    after = state.copy()
    after[:, Column.QUANTITY] = events.quantity[last]
    after[:, Column.ENGINE_CODE] = events.code[last]
    after[:, Column.SIDE] = events.side[last]
    after[:, Column.SYMBOL] = events.symbol[last]
    after[:, Column.VENUE] = np.where(venue == 0, events.venue[groups.first], venue)
    after[:, Column.ARRIVAL_PRICE] = np.where(arrival == NONE, events.arrival_price[groups.first], arrival)
    after[:, Column.STATUS_SOURCE] = events.source[last]
    after[:, Column.STATUS_SEQUENCE] = events.sequence[last]
    close(after, groups, events.occurred_at, context)
    table.numbers[groups.rows] = after
    has_parents = bool(events.has_parent.any())
    if has_parents:
        for row, parent_id in zip(rows.tolist(), batch.column("order").field("parentId").to_pylist(), strict=True):
            if parent_id is not None:
                table.set_parent(row, parent_id)
    filled = state[:, Column.FILLED][of]
    order = batch.column("order")
    view = OrderView(
        key=batch.column("key"),
        order_id=ids,
        parent_id=parents(table, rows, any_known=has_parents or bool(after[:, Column.EXTRA_BYTES].any())),
        symbol=order.field("symbol"),
        side=events.side,
        venue=table.venues.column(after[:, Column.VENUE][of]),
        quantity=events.quantity,
        code=consolidated_codes(events.code, state[:, Column.VENUE_CODE][of], filled, events.quantity),
        filled=filled,
        notional=state[:, Column.NOTIONAL][of],
        arrival_price=after[:, Column.ARRIVAL_PRICE][of],
        sequence=state[:, Column.SEQUENCE][of] + groups.rank() + 1,
        occurred_at=events.occurred_at,
    )
    folded.consolidated = consolidated_batch(view, batch.column("status").field("reason"), context)
    folded.consolidated_from = events.position
    folded.rows = groups.rows
