"""Executions folded over whole arrays: which are fills that were not seen before, and what they add up to."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from operators.model.arrays import Array, Flags, Groups, Ints, integers, optional
from operators.model.events import EventType, FeeKind, OrderAnomaly, Side
from operators.model.fees.columns import fee_lists
from operators.model.orders.columns import inactive, open_quantities, shown_codes
from operators.model.orders.fills import Fills
from operators.model.orders.folded import Folded, close
from operators.model.orders.layout import NONE, RECENT_MAX, SIDES, Column
from operators.model.orders.output_columns import FillView, OrderView, consolidated_batch, enriched_batch, passed_on
from operators.model.orders.state import AnomalyKind, Context
from operators.model.orders.stored_executions import split
from operators.model.orders.table import OrderTable

_BUY: Final = SIDES.index(Side.BUY)
_FEES_MAX: Final = 2**61


class Sums(NamedTuple):
    """The orders after each of their fills (filled, notional), their fixed terms per group, and what is plain."""

    groups: Groups
    state: Ints
    quantity: Ints
    limit_price: Ints
    time_in_force: Ints
    trade_date: Ints
    symbol: Ints
    side: Ints
    venue: Ints
    filled: Ints
    notional: Ints
    plain: Flags


def add_up(table: OrderTable, fills: Fills) -> Sums:
    """Adds up fills that were not seen before."""
    events, groups = fills.events, Groups(fills.rows)
    state, of, first = table.numbers[groups.rows], groups.of, groups.first
    known = state[:, Column.LAST_EVENT_AT] != NONE
    quantity = np.where(known, state[:, Column.QUANTITY], events.order_quantity[first])
    limit_price, time_in_force = _terms(table, fills, groups, state, known)
    symbol = np.where(known, state[:, Column.SYMBOL], events.symbol[first])
    side = np.where(known, state[:, Column.SIDE], events.side[first])
    venue = np.where(state[:, Column.VENUE] == 0, events.venue[first], state[:, Column.VENUE])
    source = np.where(state[:, Column.EXECUTION_SOURCE] == 0, events.source[first], state[:, Column.EXECUTION_SOURCE])
    date = np.where(state[:, Column.TRADE_DATE] == NONE, events.trade_date[first], state[:, Column.TRADE_DATE])
    filled = groups.running_sum(events.quantity, state[:, Column.FILLED])
    notional = groups.running_sum(events.quantity * events.price, state[:, Column.NOTIONAL])
    ended = inactive(state[:, Column.ENGINE], state[:, Column.AT_VENUE], time_in_force)
    open_quantity = np.maximum(0, events.order_quantity - filled)
    nothing_open = (events.leaves_quantity == 0) & (ended[of] | (filled >= quantity[of]))
    filled_max, notional_max = fills.rates.maxima()
    plain_before = (
        (state[:, Column.NOTIONAL] <= notional_max)
        & (state[:, Column.FILLED] <= filled_max)
        & (np.abs(state[:, Column.TOTAL_FEES]) <= _FEES_MAX)
        & (state[:, Column.EXTRA_BYTES] == 0)
    )
    plain = (
        plain_before[of]
        & (filled <= np.minimum(quantity, filled_max)[of])
        & (notional <= notional_max)
        & (events.trade_date == date[of])
        & (events.source == source[of])
        & (events.sequence > groups.previous(events.sequence, state[:, Column.EXECUTION_SEQUENCE]))
        & (events.cum_quantity == filled)
        & (events.cum_quantity >= groups.previous(events.cum_quantity, state[:, Column.CUM_REPORTED]))
        & ((events.leaves_quantity == open_quantity) | nothing_open)
    )
    terms = quantity, limit_price, time_in_force, date
    return Sums(groups, state, *terms, symbol, side, venue, filled, notional, groups.all(plain)[of])


def _terms(table: OrderTable, fills: Fills, groups: Groups, state: Ints, known: Flags) -> tuple[Ints, Ints]:
    """Limit price and time in force of each order; of one not known yet those of its first message."""
    limit_price, time_in_force = state[:, Column.LIMIT_PRICE], state[:, Column.TIME_IN_FORCE]
    if known.all():
        return limit_price, time_in_force
    first = pa.array(groups.first)
    prices = integers(optional(fills.batch, "price", pa.int64()).take(first), NONE)
    times = table.times_in_force.numbers(optional(fills.batch, "timeInForce", pa.string()).take(first))
    return np.where(known, limit_price, prices), np.where(known, time_in_force, times)


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
    events, groups = fills.events, sums.groups
    _keep_entries(table, fills, groups)
    of, last, filled, notional = groups.of, groups.last, sums.filled, sums.notional
    side = sums.side[of]
    fees, parts, commission = _fees(fills, sums, side)
    total_fees = groups.running_sum(fees, sums.state[:, Column.TOTAL_FEES])
    after = table.numbers[groups.rows]
    after[:, Column.QUANTITY] = sums.quantity
    after[:, Column.SYMBOL] = sums.symbol
    after[:, Column.SIDE] = sums.side
    after[:, Column.VENUE] = sums.venue
    after[:, Column.LIMIT_PRICE] = sums.limit_price
    after[:, Column.TIME_IN_FORCE] = sums.time_in_force
    after[:, Column.TRADE_DATE] = sums.trade_date
    after[:, Column.FILLED] = filled[last]
    after[:, Column.NOTIONAL] = notional[last]
    after[:, Column.COMMISSION] = commission[last]
    after[:, Column.TOTAL_FEES] = total_fees[last]
    after[:, Column.SEQUENCE] += groups.sizes
    after[:, Column.EXECUTION_SOURCE] = events.source[last]
    after[:, Column.EXECUTION_SEQUENCE] = events.sequence[last]
    after[:, Column.CUM_REPORTED] = events.cum_quantity[last]
    close(after, groups, events.occurred_at, context)
    table.numbers[groups.rows] = after
    view = _order_view(table, fills, sums, after)
    fill = _fill_view(table, fills, sums, after, fee_lists(len(of), parts), total_fees)
    folded.consolidated = consolidated_batch(view, pa.nulls(len(of), pa.string()), context)
    folded.enriched = enriched_batch(view, fill, context)
    folded.consolidated_from = folded.enriched_from = events.position
    folded.rows = groups.rows


def _order_view(table: OrderTable, fills: Fills, sums: Sums, after: Ints) -> OrderView:
    of, batch = sums.groups.of, fills.batch
    engine, at_venue, time = after[:, Column.ENGINE][of], after[:, Column.AT_VENUE][of], sums.time_in_force[of]
    quantity = sums.quantity[of]
    return OrderView(
        key=batch.column("key"),
        order_id=fills.ids,
        symbol=table.symbols.column(sums.symbol[of]),
        side=sums.side[of],
        venue=table.venues.column(sums.venue[of]),
        quantity=quantity,
        limit_price=sums.limit_price[of],
        time_in_force=table.times_in_force.column(time),
        code=shown_codes(engine, at_venue, sums.filled, quantity),
        filled=sums.filled,
        leaves=open_quantities(engine, at_venue, time, sums.filled, quantity),
        notional=sums.notional,
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
    ended = inactive(after[:, Column.ENGINE], after[:, Column.AT_VENUE], sums.time_in_force)
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
        accepted_volume=after[:, Column.MARKET_VOLUME][of],
        accepted_turnover=after[:, Column.MARKET_TURNOVER][of],
        closed=ended[of] | (sums.filled >= sums.quantity[of]),
    )


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
