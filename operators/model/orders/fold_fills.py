"""Plain fills folded over whole arrays into their orders, and executions that were seen before told of."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from operators.model.arrays import Array, Flags, Groups, Ints, optional
from operators.model.events import EventType, FeeKind, OrderAnomaly, Side
from operators.model.fees.columns import fee_lists
from operators.model.orders.columns import shown_codes
from operators.model.orders.family_columns import Standing, family_batch
from operators.model.orders.fill_sums import Sums, add_up
from operators.model.orders.fills import Fills
from operators.model.orders.folded import Folded, close, parent_ids
from operators.model.orders.layout import NONE, RECENT_MAX, SIDES, Column
from operators.model.orders.output_columns import (
    FillView,
    OrderView,
    consolidated_batch,
    day_column,
    enriched_batch,
    passed_on,
)
from operators.model.orders.state import AnomalyKind, Context
from operators.model.orders.stored_executions import split
from operators.model.orders.table import OrderTable

_BUY: Final = SIDES.index(Side.BUY)


def note_repeats(table: OrderTable, folded: Folded, fills: Fills, repeats: Ints, context: Context) -> None:
    """Tells of executions that were seen before; nothing else comes of them."""
    if not len(repeats):
        return
    columns = ("key", "venue", "tradeDate", "execId")
    batch, events = fills.batch.take(pa.array(repeats)), fills.events.take(repeats)
    correlation_ids = passed_on(batch, "correlationId").to_pylist()
    possible_resends = optional(batch, "possResend", pa.bool_()).to_pylist()
    rows = fills.rows[repeats]
    told = zip(*(batch.column(name).to_pylist() for name in columns), correlation_ids, rows.tolist(), strict=True)
    for i, (key, venue, trade_date, exec_id, correlation_id, row) in enumerate(told):
        table.numbers[row, Column.ANOMALIES] += 1
        resent = ", possible resend" if possible_resends[i] else ""
        anomaly = OrderAnomaly(
            event_type=EventType.ORDER_ANOMALY,
            occurred_at=int(events.occurred_at[i]),
            key=key,
            sequence=int(table.numbers[row, Column.ANOMALIES]),
            source=context.source,
            kind=AnomalyKind.DUPLICATE,
            detail=f"execution {venue} {trade_date} {exec_id}{resent}",
            symbol=table.symbols.values[events.symbol[i]],
            venue=venue,
            exec_id=exec_id,
            correlation_id=correlation_id,
        )
        folded.anomalies.append((int(events.position[i]), anomaly))
    folded.rows = np.union1d(folded.rows, rows)


def _keep_entries(table: OrderTable, fills: Fills, groups: Groups) -> None:
    """Adds executions to their rows."""
    rows, hashes, entries, kept = fills.rows, fills.hashes, fills.entries.tolist(), table.entries
    recent = table.numbers[groups.rows, Column.RECENT]
    total = recent + groups.sizes
    too_many = total > RECENT_MAX
    table.numbers[groups.rows, Column.RECENT] = np.where(too_many, recent, total)
    place = Column.FIRST_HASH + recent[groups.of] + groups.rank()
    if not too_many.any():
        table.numbers[rows, place] = hashes
        for row, entry in zip(rows.tolist(), entries, strict=True):
            kept[row] += entry
        return
    fits = np.flatnonzero(~too_many[groups.of])
    table.numbers[rows[fits], place[fits]] = hashes[fits]
    for row, i in zip(rows[fits].tolist(), fits.tolist(), strict=True):
        kept[row] += entries[i]
    for group in np.flatnonzero(too_many).tolist():
        row, start = int(groups.rows[group]), int(groups.starts[group])
        added = groups.order[start : start + int(groups.sizes[group])]
        table.set_entries(row, [*split(kept[row]), *(entries[i] for i in added.tolist())])


def fold_fills(table: OrderTable, folded: Folded, fills: Fills, context: Context, sums: Sums | None) -> None:
    """Fills that are all plain; `sums` if they are added up already."""
    if not len(fills.rows):
        return
    sums = sums or add_up(table, fills)
    groups = sums.groups
    _keep_entries(table, fills, groups)
    fees, parts, commission = _fees(fills, sums, sums.side[groups.of])
    total_fees = groups.running_sum(fees, sums.state[:, Column.TOTAL_FEES])
    after = _after(table, fills, sums, commission, total_fees)
    close(after, groups, fills.events.occurred_at, context)
    table.numbers[groups.rows] = after
    view = _order_view(table, fills, sums, after)
    fill = _fill_view(table, fills, sums, after, fee_lists(len(groups.of), parts), total_fees)
    no_reason = pa.nulls(len(groups.of), pa.string())
    folded.consolidated = consolidated_batch(view, no_reason, context)
    folded.enriched = enriched_batch(view, fill, context)
    folded.consolidated_from = folded.enriched_from = fills.events.position
    folded.rows = groups.rows
    if sums.state[:, Column.PARENT].any():
        _tell_parents(folded, fills, sums, view, no_reason)


def _after(table: OrderTable, fills: Fills, sums: Sums, commission: Ints, total_fees: Ints) -> Ints:
    """The rows after all their fills, but for what follows from the other columns."""
    events, groups, days, last = fills.events, sums.groups, sums.days, sums.groups.last
    after = table.numbers[groups.rows]
    after[:, Column.QUANTITY] = sums.quantity
    after[:, Column.SYMBOL] = sums.symbol
    after[:, Column.SIDE] = sums.side
    after[:, Column.VENUE] = sums.venue
    after[:, Column.LIMIT_PRICE] = sums.limit_price
    after[:, Column.TIME_IN_FORCE] = sums.time_in_force
    after[:, Column.ENGINE] = sums.engine[last]
    after[:, Column.AT_VENUE] = sums.at_venue[last]
    after[:, Column.TRADE_DATE] = events.trade_date[last]
    after[:, Column.DAY_FILLED] = days.filled[last]
    after[:, Column.DAY_NOTIONAL] = days.notional[last]
    after[:, Column.FILLED] = sums.filled[last]
    after[:, Column.NOTIONAL] = sums.notional[last]
    after[:, Column.COMMISSION] = commission[last]
    after[:, Column.TOTAL_FEES] = total_fees[last]
    after[:, Column.SEQUENCE] += groups.sizes
    after[:, Column.EXECUTION_SOURCE] = events.source[last]
    after[:, Column.EXECUTION_SEQUENCE] = events.sequence[last]
    after[:, Column.CUM_REPORTED] = events.cum_quantity[last]
    return after


def _order_view(table: OrderTable, fills: Fills, sums: Sums, after: Ints) -> OrderView:
    of, batch, days = sums.groups.of, fills.batch, sums.days
    quantity = sums.quantity[of]
    leaves = np.where(sums.ended, 0, np.maximum(quantity - sums.filled, 0))
    return OrderView(
        key=batch.column("key"),
        order_id=fills.ids,
        parent_id=parent_ids(table, sums.groups, sums.state),
        symbol=table.symbols.column(sums.symbol[of]),
        side=sums.side[of],
        venue=table.venues.column(sums.venue[of]),
        quantity=quantity,
        limit_price=sums.limit_price[of],
        time_in_force=table.times_in_force.column(sums.time_in_force[of]),
        code=shown_codes(sums.engine, sums.at_venue, sums.filled, quantity),
        filled=sums.filled,
        leaves=leaves,
        notional=sums.notional,
        day=day_column(fills.events.trade_date, quantity, days.earlier, days.filled, days.notional),
        arrival_price=after[:, Column.ARRIVAL_PRICE][of],
        decision_price=after[:, Column.DECISION_PRICE][of],
        sequence=sums.state[:, Column.SEQUENCE][of] + sums.groups.rank() + 1,
        occurred_at=fills.events.occurred_at,
        cl_ord_id=passed_on(batch, "clOrdId"),
        market=passed_on(batch, "market"),
        correlation_id=passed_on(batch, "correlationId"),
    )


def _fill_view(table: OrderTable, fills: Fills, sums: Sums, after: Ints, fees: Array, total_fees: Ints) -> FillView:
    of, batch, events = sums.groups.of, fills.batch, fills.events
    return FillView(
        exec_id=batch.column("execId"),
        quantity=events.quantity,
        price=events.price,
        venue=table.venues.column(np.where(events.venue == sums.venue[of], 0, events.venue)),
        liquidity=passed_on(batch, "liquidity"),
        trade_date=batch.column("tradeDate"),
        fees=fees,
        total_fees=total_fees,
        market=events.market,
        # An interval that spans nights has no VWAP.
        accepted_volume=np.where(sums.days.filled == NONE, after[:, Column.MARKET_VOLUME][of], NONE),
        accepted_turnover=after[:, Column.MARKET_TURNOVER][of],
        closed=sums.ended | (sums.filled >= sums.quantity[of]),
    )


def _tell_parents(folded: Folded, fills: Fills, sums: Sums, view: OrderView, reason: Array) -> None:
    """The shares of children, which a fill always changes."""
    state, groups = sums.state, sums.groups
    of_children = np.flatnonzero((state[:, Column.PARENT] != 0)[groups.of])
    terms = sums.time_in_force[groups.of], sums.quantity[groups.of]
    after = Standing(sums.engine, sums.at_venue, *terms, sums.filled, sums.notional)
    before = Standing(
        groups.previous(sums.engine, state[:, Column.ENGINE]),
        groups.previous(sums.at_venue, state[:, Column.AT_VENUE]),
        *terms,
        groups.previous(sums.filled, state[:, Column.FILLED]),
        groups.previous(sums.notional, state[:, Column.NOTIONAL]),
    )
    if len(of_children) < len(groups.of):
        view, before, after = view.take(of_children), before.take(of_children), after.take(of_children)
    is_new, no_reason = np.zeros(len(of_children), np.bool_), reason.slice(0, len(of_children))
    folded.family, told = family_batch(view, before, after, is_new, no_reason)
    folded.family_from = fills.events.position[of_children[told]]


def _fees(fills: Fills, sums: Sums, side: Ints) -> tuple[Ints, list[tuple[FeeKind, Ints, Flags | None]], Ints]:
    """The sum of the fees of each fill, its parts, and the commission of each order so far."""
    events, rates, groups = fills.events, fills.rates, sums.groups
    sells = side != _BUY
    before = sums.state[:, Column.COMMISSION]
    commission = before[groups.of]
    parts: list[tuple[FeeKind, Ints, Flags | None]] = []
    if rates.has.commission:
        commission = rates.commission(sums.filled, sums.notional)
        parts.append((FeeKind.COMMISSION, commission - groups.previous(commission, before), None))
    if rates.has.taf:
        parts.append((FeeKind.TAF, np.where(sells, rates.taf(events.quantity, events.price), 0), sells))
    if rates.has.sec:
        parts.append((FeeKind.SEC, np.where(sells, rates.sec(events.quantity * events.price), 0), sells))
    if rates.has.cat:
        parts.append((FeeKind.CAT, rates.cat(events.quantity), None))
    if rates.has.venue is not None:
        parts.append((FeeKind.VENUE, rates.venue(events.quantity, events.liquidity)[0], events.liquidity > 0))
    total = np.zeros(len(side), np.int64)
    for _, amounts, _ in parts:
        total += amounts
    return total, parts, commission
