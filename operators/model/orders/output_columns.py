"""Consolidated statuses and enrichment of many orders, built as columns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from operators.model.arrays import Array, Flags, Ints, RecordBatch, Words, optional
from operators.model.events import VERSION, EventType
from operators.model.fees.costs import implementation_shortfalls, interval_vwaps, side_signs, slippages_bps
from operators.model.orders.columns import MarketColumns
from operators.model.orders.layout import NONE, SIDES, STATUSES
from operators.model.orders.schemas import (
    CONSOLIDATED,
    DAY_TYPE,
    ENRICHED,
    MARKET_TYPE,
    ORDER_TYPE,
    SHORTFALL_TYPE,
    STATUS_TYPE,
    TEXT,
)
from operators.model.orders.state import Context

_SIDE_NAMES: Final = Words([side.value for side in SIDES])
_ORDER_FIELDS: Final = list(ORDER_TYPE)
_STATUS_FIELDS: Final = list(STATUS_TYPE)
_DAY_FIELDS: Final = list(DAY_TYPE)
_VERSION: Final = pa.scalar(VERSION, pa.int32())
_STATUS_NAMES: Final = Words([status.value for status in STATUSES])


class OrderView(NamedTuple):
    """The order after each event, and what is passed on from the event."""

    key: Array
    order_id: Array
    parent_id: Array
    symbol: Array
    side: Ints
    venue: Array
    quantity: Ints
    limit_price: Ints
    time_in_force: Array
    code: Ints
    filled: Ints
    leaves: Ints
    notional: Ints
    day: Array
    arrival_price: Ints
    decision_price: Ints
    sequence: Ints
    occurred_at: Ints
    cl_ord_id: Array
    market: Array
    correlation_id: Array

    def take(self, events: Ints) -> OrderView:
        """Some of the events."""
        places = pa.array(events)
        return OrderView._make(c.take(events if isinstance(c, np.ndarray) else places) for c in self)


def consolidated_batch(view: OrderView, reason: Array, context: Context) -> RecordBatch:
    """One consolidated status per event, of orders that are no parents."""
    count, filled = len(view.code), view.filled
    average = view.notional // np.maximum(filled, 1)
    order = pa.StructArray.from_arrays(
        [
            view.order_id,
            view.parent_id,
            view.symbol,
            side_names(view.side),
            pa.array(view.quantity),
            view.cl_ord_id,
            _nullable(view.limit_price),
            view.time_in_force,
            pa.nulls(count, pa.bool_()),
        ],
        fields=_ORDER_FIELDS,
    )
    status = pa.StructArray.from_arrays(
        [
            _STATUS_NAMES.column(view.code + 1),
            reason,
            pa.array(filled),
            pa.array(view.leaves),
            pa.array(average, mask=filled <= 0),
            view.day,
        ],
        fields=_STATUS_FIELDS,
    )
    columns = [
        *_repeated(EventType.ORDER_STATUS_CONSOLIDATED, count),
        pa.array(view.occurred_at),
        view.key,
        order,
        status,
        pa.array(view.sequence),
        _text(context.source, count),
        view.venue,
        _nullable(view.arrival_price),
        _nullable(view.decision_price),
        view.market,
        view.correlation_id,
    ]
    return pa.RecordBatch.from_arrays(columns, schema=CONSOLIDATED)


def day_column(trade_date: Ints, quantity: Ints, earlier: Ints, filled: Ints, notional: Ints) -> Array:
    """The quantities of the day, from what was filled on it (NONE on an order's first) and before it (`earlier`)."""
    first_day = filled == NONE
    if first_day.all():
        return pa.nulls(len(filled), DAY_TYPE)
    columns = [
        pa.array(trade_date.astype(np.int32)),
        pa.array(np.maximum(quantity - earlier, 0)),
        pa.array(filled),
        pa.array(notional // np.maximum(filled, 1), mask=filled <= 0),
    ]
    return pa.StructArray.from_arrays(columns, fields=_DAY_FIELDS, mask=pa.array(first_day))


class FillView(NamedTuple):
    """What each fill adds to the order after it."""

    exec_id: Array
    quantity: Ints
    price: Ints
    venue: Array
    """Null where it is the order's."""
    liquidity: Array
    trade_date: Array
    fees: Array
    total_fees: Ints
    market: MarketColumns
    accepted_volume: Ints
    accepted_turnover: Ints
    closed: Flags


def enriched_batch(view: OrderView, fill: FillView, context: Context) -> RecordBatch:
    """One enrichment per fill."""
    count, signs = len(view.code), side_signs(view.side)
    average = view.notional // view.filled
    slippages, known = slippages_bps(signs, average, view.arrival_price)
    columns = [
        *_repeated(EventType.ORDER_ENRICHED, count),
        pa.array(view.occurred_at),
        view.key,
        view.symbol,
        view.venue,
        side_names(view.side),
        pa.array(view.filled),
        pa.array(average),
        pa.array(view.notional),
        pa.array(slippages, mask=~known),
        fill.fees,
        pa.array(fill.total_fees),
        fill.exec_id,
        pa.array(fill.quantity),
        pa.array(fill.price),
        fill.venue,
        fill.liquidity,
        fill.trade_date,
        pa.nulls(count, TEXT),
        pa.nulls(count, TEXT),
        pa.array(np.zeros(count, np.int64)),
        pa.nulls(count, pa.int64()),
        *_against_the_market(fill, signs, average),
        _shortfall(view, fill, signs),
        view.correlation_id,
        pa.array(view.sequence),
        _text(context.enrichment_source, count),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=ENRICHED)


def _against_the_market(fill: FillView, signs: Ints, average: Ints) -> tuple[Array, Array]:
    """The interval VWAP and the slippage against it."""
    if not fill.market.known:
        return pa.nulls(len(signs), pa.int64()), pa.nulls(len(signs), pa.float64())
    market = fill.market
    vwap = interval_vwaps(fill.accepted_volume, fill.accepted_turnover, market.volume, market.turnover)
    slippages, known = slippages_bps(signs, average, vwap)
    return _nullable(vwap), pa.array(slippages, mask=~known)


def _shortfall(view: OrderView, fill: FillView, signs: Ints) -> Array:
    if (view.decision_price == NONE).all():
        return pa.nulls(len(signs), SHORTFALL_TYPE)
    return implementation_shortfalls(
        signs,
        quantity=view.quantity,
        filled=view.filled,
        notional=view.notional,
        decision_price=view.decision_price,
        arrival_price=view.arrival_price,
        fees=fill.total_fees,
        ended=fill.closed,
        end_price=fill.market.price,
    ).column(list(SHORTFALL_TYPE))


def side_names(sides: Ints) -> Array:
    """The names of sides by their numbers."""
    return _SIDE_NAMES.column(sides + 1)  # 0 is null


def passed_on(batch: RecordBatch, name: str) -> Array:
    """A text or the market that outputs take from the event behind them."""
    return optional(batch, name, MARKET_TYPE if name == "market" else TEXT)


def cl_ord_ids(batch: RecordBatch) -> Array:
    """The ClOrdIDs of a batch of statuses."""
    return optional(batch.column("order"), "clOrdId", TEXT)


def _nullable(values: Ints) -> Array:
    missing = values == NONE
    return pa.nulls(len(values), pa.int64()) if missing.all() else pa.array(values, mask=missing)


def _repeated(event_type: str, count: int) -> Sequence[Array]:
    return _text(event_type, count), pa.repeat(_VERSION, count)


def _text(text: str, count: int) -> Array:
    return pa.repeat(_scalar(text), count)


@cache
def _scalar(text: str) -> Any:
    """Of the few texts that are the same in all outputs."""
    return pa.scalar(text, TEXT)
