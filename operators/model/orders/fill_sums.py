"""What fills that were not seen before add up to, by order and trading day, and which of them are plain."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from operators.model.arrays import Flags, Groups, Ints, integers, optional
from operators.model.orders.columns import NEXT_DAY, ExecutionColumns, inactive
from operators.model.orders.fills import Fills
from operators.model.orders.layout import NO_NAME, NONE, Column
from operators.model.orders.table import OrderTable

_FEES_MAX: Final = 2**61


class Days(NamedTuple):
    """The trading day of orders after each of their fills, whose own trade date it is."""

    begun: Flags
    """Whether the order has begun another day since before the batch."""
    earlier: Ints
    """Filled on earlier days, 0 on the first."""
    filled: Ints
    """Filled on the day, NONE on the first."""
    notional: Ints


class Sums(NamedTuple):
    """The orders after each of their fills, their terms, which stay, by group, and which fills are plain."""

    groups: Groups
    state: Ints
    quantity: Ints
    limit_price: Ints
    time_in_force: Ints
    symbol: Ints
    side: Ints
    venue: Ints
    engine: Ints
    at_venue: Ints
    ended: Flags
    days: Days
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
    filled = groups.running_sum(events.quantity, state[:, Column.FILLED])
    notional = groups.running_sum(events.quantity * events.price, state[:, Column.NOTIONAL])
    date = np.where(state[:, Column.TRADE_DATE] == NONE, events.trade_date[first], state[:, Column.TRADE_DATE])
    days = _days(groups, events, state, date, filled, notional)
    engine, at_venue = state[:, Column.ENGINE][of], state[:, Column.AT_VENUE][of]
    if days.begun.any():
        engine = np.where(days.begun, NEXT_DAY[engine], engine)
        at_venue = np.where(days.begun, NEXT_DAY[at_venue], at_venue)
    ended = inactive(engine, at_venue, time_in_force[of])
    plain = _agree(events, groups, state, filled, ended | (filled >= quantity[of]))
    plain &= events.trade_date >= groups.previous(events.trade_date, date)
    filled_max, notional_max = fills.rates.maxima()
    plain &= (filled <= np.minimum(quantity, filled_max)[of]) & (notional <= notional_max)
    plain &= _plain_before(state, filled_max, notional_max)[of]
    terms = quantity, limit_price, time_in_force, symbol, side, venue
    return Sums(groups, state, *terms, engine, at_venue, ended, days, filled, notional, groups.all(plain)[of])


def _terms(table: OrderTable, fills: Fills, groups: Groups, state: Ints, known: Flags) -> tuple[Ints, Ints]:
    """Limit price and time in force of each order; of one not known yet those of its first message."""
    limit_price, time_in_force = state[:, Column.LIMIT_PRICE], state[:, Column.TIME_IN_FORCE]
    if known.all():
        return limit_price, time_in_force
    first = pa.array(groups.first)
    prices = integers(optional(fills.batch, "price", pa.int64()).take(first), NONE)
    times = table.times_in_force.numbers(optional(fills.batch, "timeInForce", pa.string()).take(first))
    return np.where(known, limit_price, prices), np.where(known, time_in_force, times)


def _days(groups: Groups, events: ExecutionColumns, state: Ints, date: Ints, filled: Ints, notional: Ints) -> Days:
    """The days of fills in order of their dates, from each order's `date` before them."""
    has_day = state[:, Column.DAY_FILLED] != NONE
    begun = events.trade_date != date[groups.of]
    if not has_day.any() and not begun.any():
        missing = np.full(len(filled), NONE)
        return Days(begun, np.zeros(len(filled), np.int64), missing, missing)
    begins = groups.latest(events.trade_date != groups.previous(events.trade_date, date))
    later = has_day[groups.of] | (begins >= 0)
    sums = []
    for total, by_fill, of_all, of_day in (
        (filled, events.quantity, Column.FILLED, Column.DAY_FILLED),
        (notional, events.quantity * events.price, Column.NOTIONAL, Column.DAY_NOTIONAL),
    ):
        before = np.where(has_day, state[:, of_all] - state[:, of_day], 0)
        sums.append(np.where(begins >= 0, total[begins] - by_fill[begins], before[groups.of]))
    earlier, earlier_notional = sums
    return Days(
        begun, earlier, np.where(later, filled - earlier, NONE), np.where(later, notional - earlier_notional, NONE)
    )


def _agree(events: ExecutionColumns, groups: Groups, state: Ints, filled: Ints, closed: Flags) -> Flags:
    """Which fills come in sequence from the source of before, and report what the fills add up to."""
    of, known = groups.of, state[:, Column.EXECUTION_SOURCE]
    source = np.where(known == 0, events.source[groups.first], known)
    open_quantity = np.maximum(0, events.order_quantity - filled)
    agree: Flags = (
        (events.source == source[of])
        & (events.sequence > groups.previous(events.sequence, state[:, Column.EXECUTION_SEQUENCE]))
        & (events.cum_quantity == filled)
        & (events.cum_quantity >= groups.previous(events.cum_quantity, state[:, Column.CUM_REPORTED]))
        & ((events.leaves_quantity == open_quantity) | ((events.leaves_quantity == 0) & closed))
    )
    return agree


def _plain_before(state: Ints, filled_max: int, notional_max: int) -> Flags:
    """Which orders have nothing rare about them, and room in 64 bits for more fees."""
    plain: Flags = (
        (state[:, Column.NOTIONAL] <= notional_max)
        & (state[:, Column.FILLED] <= filled_max)
        & (np.abs(state[:, Column.TOTAL_FEES]) <= _FEES_MAX)
        & (state[:, Column.EXTRA_BYTES] == 0)
        & (state[:, Column.PARENT] != NO_NAME)
    )
    return plain
