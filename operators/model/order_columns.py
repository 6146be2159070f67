"""The columns of the order events: as read from decoded batches, and as built for the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from operators.model.arrays import (
    Array,
    Flags,
    Ints,
    RecordBatch,
    after_bar,
    byte_lengths,
    integers,
    numbers_by_word,
    strings,
)
from operators.model.events import VERSION, EventType, ExecType
from operators.model.lifecycle import FILLED_PRECEDENCE, INACTIVE, PARTIALLY_FILLED_PRECEDENCE, REPORTED_PRECEDENCE
from operators.model.order_table import LIQUIDITIES, NONE, SIDES, STATUSES, OrderTable
from operators.model.orders import TEXT_BYTES_MAX, Context, source_id

_SIDE_NUMBERS: Final = {side.value: number for number, side in enumerate(SIDES)}
_STATUS_NUMBERS: Final = {status.value: number for number, status in enumerate(STATUSES)}
_LIQUIDITY_NUMBERS: Final = {flag: number for number, flag in enumerate(LIQUIDITIES)}
_SIDE_NAMES: Final = pa.array([side.value for side in SIDES], pa.string())
_STATUS_NAMES: Final = pa.array([status.value for status in STATUSES], pa.string())
_FILLED: Final = _STATUS_NUMBERS["FILLED"]
_PARTIALLY_FILLED: Final = _STATUS_NUMBERS["PARTIALLY_FILLED"]
# Indexed by status number; the last place is for -1, no status.
_PRECEDENCE: Final = np.array([*(REPORTED_PRECEDENCE[status] for status in STATUSES), 0])
_INACTIVE: Final = np.array([*(status in INACTIVE for status in STATUSES), False])

_TEXT: Final = pa.string()
_DAY_TYPE: Final = pa.struct(
    [
        pa.field("tradeDate", pa.int32(), nullable=False),
        pa.field("orderQuantity", pa.int64(), nullable=False),
        pa.field("filledQuantity", pa.int64(), nullable=False),
        pa.field("avgPrice", pa.int64()),
    ]
)
_MARKET_TYPE: Final = pa.struct([("price", pa.int64()), ("volume", pa.int64()), ("turnover", pa.int64())])
_SHORTFALL_TYPE: Final = pa.struct(
    [
        pa.field("decisionPrice", pa.int64(), nullable=False),
        pa.field("delay", pa.int64(), nullable=False),
        pa.field("execution", pa.int64(), nullable=False),
        pa.field("opportunity", pa.int64()),
        pa.field("fees", pa.int64(), nullable=False),
        pa.field("total", pa.int64(), nullable=False),
    ]
)
_STATUS_TYPE: Final = pa.struct(
    [
        pa.field("code", _TEXT, nullable=False),
        pa.field("reason", _TEXT),
        pa.field("filledQuantity", pa.int64(), nullable=False),
        pa.field("leavesQuantity", pa.int64()),
        pa.field("avgPrice", pa.int64()),
        pa.field("day", _DAY_TYPE),
    ]
)
_ORDER_TYPE: Final = pa.struct(
    [
        pa.field("id", _TEXT, nullable=False),
        pa.field("parentId", _TEXT),
        pa.field("symbol", _TEXT, nullable=False),
        pa.field("side", _TEXT, nullable=False),
        pa.field("quantity", pa.int64(), nullable=False),
        pa.field("clOrdId", _TEXT),
        pa.field("limitPrice", pa.int64()),
        pa.field("timeInForce", _TEXT),
        pa.field("isParent", pa.bool_()),
    ]
)
CONSOLIDATED: Final = pa.schema(
    [
        pa.field("eventType", _TEXT, nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("occurredAt", pa.int64(), nullable=False),
        pa.field("key", _TEXT, nullable=False),
        pa.field("order", _ORDER_TYPE, nullable=False),
        pa.field("status", _STATUS_TYPE, nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("source", _TEXT, nullable=False),
        pa.field("venue", _TEXT),
        pa.field("arrivalPrice", pa.int64()),
        pa.field("decisionPrice", pa.int64()),
        pa.field("market", _MARKET_TYPE),
        pa.field("correlationId", _TEXT),
    ]
)
"""OrderStatusChanged as columns."""
ENRICHED: Final = pa.schema(
    [
        pa.field("eventType", _TEXT, nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("occurredAt", pa.int64(), nullable=False),
        pa.field("key", _TEXT, nullable=False),
        pa.field("symbol", _TEXT, nullable=False),
        pa.field("venue", _TEXT),
        pa.field("side", _TEXT, nullable=False),
        pa.field("filledQuantity", pa.int64(), nullable=False),
        pa.field("avgPrice", pa.int64()),
        pa.field("notional", pa.int64(), nullable=False),
        pa.field("slippageBps", pa.float64()),
        pa.field("fees", pa.list_(pa.struct([("kind", _TEXT), ("amount", pa.int64())])), nullable=False),
        pa.field("totalFees", pa.int64(), nullable=False),
        pa.field("lastExecId", _TEXT),
        pa.field("lastQuantity", pa.int64(), nullable=False),
        pa.field("lastPrice", pa.int64()),
        pa.field("lastVenue", _TEXT),
        pa.field("liquidity", _TEXT),
        pa.field("tradeDate", pa.int32()),
        pa.field("execType", _TEXT),
        pa.field("execRefId", _TEXT),
        pa.field("replacedQuantity", pa.int64(), nullable=False),
        pa.field("replacedPrice", pa.int64()),
        pa.field("intervalVwap", pa.int64()),
        pa.field("vwapSlippageBps", pa.float64()),
        pa.field("shortfall", _SHORTFALL_TYPE),
        pa.field("correlationId", _TEXT),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("source", _TEXT, nullable=False),
    ]
)
"""OrderEnriched as columns."""
NO_CONSOLIDATED: Final[RecordBatch] = pa.RecordBatch.from_arrays(
    [pa.nulls(0, f.type) for f in CONSOLIDATED], schema=CONSOLIDATED
)
NO_ENRICHED: Final[RecordBatch] = pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in ENRICHED], schema=ENRICHED)


class StatusColumns(NamedTuple):
    """What the fold needs of engine statuses. Unknown words are -1, a missing arrival price is NONE."""

    position: Ints
    occurred_at: Ints
    code: Ints
    quantity: Ints
    side: Ints
    symbol: Ints
    venue: Ints
    arrival_price: Ints
    sequence: Ints
    source: Ints
    has_parent: Flags
    readable: Flags

    @classmethod
    def read(cls, batch: RecordBatch, ids_valid: Flags, table: OrderTable) -> StatusColumns:
        """The columns of a decoded batch of OrderStatusChanged."""
        order = batch.column("order")
        symbol, side, parent, quantity = (order.field(name) for name in ("symbol", "side", "parentId", "quantity"))
        arrival = integers(batch.column("arrivalPrice"), NONE)
        return cls(
            position=np.arange(batch.num_rows),
            occurred_at=integers(batch.column("occurredAt")),
            code=_numbers(batch.column("status").field("code"), _STATUS_NUMBERS),
            quantity=integers(quantity),
            side=_numbers(side, _SIDE_NUMBERS),
            symbol=table.symbols.numbers(symbol),
            venue=table.venues.numbers(batch.column("venue")),
            arrival_price=np.where(arrival > 0, arrival, NONE),
            sequence=integers(batch.column("sequence")),
            source=numbers_by_word(batch.column("source"), source_id, null=0),
            has_parent=_valid(parent),
            readable=ids_valid & _short(batch.column("key"), symbol, batch.column("venue"), parent),
        )

    def take(self, events: Ints) -> StatusColumns:
        """Some of the events."""
        return StatusColumns._make(column[events] for column in self)


class ExecutionColumns(NamedTuple):
    """What the fold needs of executions. Unknown words are -1, a missing price is 0."""

    position: Ints
    occurred_at: Ints
    is_trade: Flags
    venue: Ints
    trade_date: Ints
    symbol: Ints
    side: Ints
    order_quantity: Ints
    quantity: Ints
    price: Ints
    liquidity: Ints
    cum_quantity: Ints
    leaves_quantity: Ints
    sequence: Ints
    source: Ints
    readable: Flags

    @classmethod
    def read(cls, batch: RecordBatch, ids_valid: Flags, table: OrderTable) -> ExecutionColumns:
        """The columns of a decoded batch of ExecutionReport."""
        key, venue, symbol, exec_id = (batch.column(name) for name in ("key", "venue", "symbol", "execId"))
        return cls(
            position=np.arange(batch.num_rows),
            occurred_at=integers(batch.column("occurredAt")),
            is_trade=_numbers(batch.column("execType"), {ExecType.TRADE.value: 0}) == 0,
            venue=table.venues.numbers(venue),
            trade_date=integers(batch.column("tradeDate")),
            symbol=table.symbols.numbers(symbol),
            side=_numbers(batch.column("side"), _SIDE_NUMBERS),
            order_quantity=integers(batch.column("orderQuantity")),
            quantity=integers(batch.column("lastQuantity")),
            price=integers(batch.column("lastPrice")),
            liquidity=_numbers(batch.column("liquidity"), _LIQUIDITY_NUMBERS, null=0),
            cum_quantity=integers(batch.column("cumQuantity")),
            leaves_quantity=integers(batch.column("leavesQuantity")),
            sequence=integers(batch.column("sequence")),
            source=numbers_by_word(batch.column("source"), source_id, null=0),
            readable=ids_valid & _short(key, symbol, venue, exec_id),
        )

    def take(self, events: Ints) -> ExecutionColumns:
        """Some of the events."""
        return ExecutionColumns._make(column[events] for column in self)


def consolidated_codes(engine: Ints, venue: Ints, filled: Ints, quantity: Ints) -> Ints:
    """`lifecycle.consolidated_code` over arrays of status numbers."""
    whole = filled >= quantity
    code = np.where(whole, _FILLED, _PARTIALLY_FILLED)
    rank = np.where(filled > 0, np.where(whole, FILLED_PRECEDENCE, PARTIALLY_FILLED_PRECEDENCE), 0)
    for reported in (engine, venue):
        wins = _PRECEDENCE[reported] > rank
        code, rank = np.where(wins, reported, code), np.where(wins, _PRECEDENCE[reported], rank)
    return code


class OrderView(NamedTuple):
    """The order after each event."""

    key: Array
    order_id: Array
    parent_id: Array
    symbol: Array
    side: Ints
    venue: Array
    quantity: Ints
    code: Ints
    filled: Ints
    notional: Ints
    arrival_price: Ints
    sequence: Ints
    occurred_at: Ints


def consolidated_batch(view: OrderView, reason: Array, context: Context) -> RecordBatch:
    """One consolidated status per event."""
    count, filled = len(view.code), view.filled
    leaves = np.where(_INACTIVE[view.code], 0, np.maximum(view.quantity - filled, 0))
    average = view.notional // np.maximum(filled, 1)
    order = pa.StructArray.from_arrays(
        [
            view.order_id,
            view.parent_id,
            view.symbol,
            _SIDE_NAMES.take(pa.array(view.side)),
            pa.array(view.quantity),
            pa.nulls(count, _TEXT),
            pa.nulls(count, pa.int64()),
            pa.nulls(count, _TEXT),
            pa.nulls(count, pa.bool_()),
        ],
        fields=list(_ORDER_TYPE),
    )
    status = pa.StructArray.from_arrays(
        [
            _STATUS_NAMES.take(pa.array(view.code)),
            reason,
            pa.array(filled),
            pa.array(leaves),
            pa.array(average, mask=filled <= 0),
            pa.nulls(count, _DAY_TYPE),
        ],
        fields=list(_STATUS_TYPE),
    )
    columns = [
        *_repeated(EventType.ORDER_STATUS_CONSOLIDATED, count),
        pa.array(view.occurred_at),
        view.key,
        order,
        status,
        pa.array(view.sequence),
        pa.repeat(pa.scalar(context.source, _TEXT), count),
        view.venue,
        pa.array(view.arrival_price, mask=view.arrival_price == NONE),
        pa.nulls(count, pa.int64()),
        pa.nulls(count, _MARKET_TYPE),
        pa.nulls(count, _TEXT),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=CONSOLIDATED)


class FillView(NamedTuple):
    """What each fill adds to the order after it."""

    exec_id: Array
    quantity: Ints
    price: Ints
    fees: Array
    total_fees: Ints


def enriched_batch(view: OrderView, fill: FillView, context: Context) -> RecordBatch:
    """One enrichment per fill."""
    count = len(view.code)
    average = view.notional // view.filled
    columns = [
        *_repeated(EventType.ORDER_ENRICHED, count),
        pa.array(view.occurred_at),
        view.key,
        view.symbol,
        view.venue,
        _SIDE_NAMES.take(pa.array(view.side)),
        pa.array(view.filled),
        pa.array(average),
        pa.array(view.notional),
        _slippage(average, view.arrival_price, view.side),
        fill.fees,
        pa.array(fill.total_fees),
        fill.exec_id,
        pa.array(fill.quantity),
        pa.array(fill.price),
        *(pa.nulls(count, ENRICHED.field(name).type) for name in ("lastVenue", "liquidity", "tradeDate", "execType")),
        pa.nulls(count, _TEXT),
        pa.array(np.zeros(count, np.int64)),
        pa.nulls(count, pa.int64()),
        *(pa.nulls(count, ENRICHED.field(name).type) for name in ("intervalVwap", "vwapSlippageBps", "shortfall")),
        pa.nulls(count, _TEXT),
        pa.array(view.sequence),
        pa.repeat(pa.scalar(context.enrichment_source, _TEXT), count),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=ENRICHED)


def parents(table: OrderTable, rows: Ints, *, any_known: bool) -> Array:
    """The parent of each row's order."""
    if not any_known:
        return pa.nulls(len(rows), _TEXT)
    return strings([table.parent(row) for row in rows.tolist()])


def order_ids(batch: RecordBatch) -> tuple[Array, Flags]:
    """The order id in each key, and whether the key has both its parts."""
    return after_bar(batch.column("key"))


def _slippage(average: Ints, arrival_price: Ints, side: Ints) -> Array:
    known = arrival_price != NONE
    arrival = np.where(known, arrival_price, 1).astype(np.float64)
    cost = (average - np.where(known, arrival_price, 0)).astype(np.float64) / arrival * 1e4
    signed: NDArray[np.float64] = np.where(side == _SIDE_NUMBERS["BUY"], cost, -cost) + 0.0
    return pa.array(signed, mask=~known)


def _repeated(event_type: str, count: int) -> Sequence[Array]:
    return pa.repeat(pa.scalar(event_type, _TEXT), count), pa.repeat(pa.scalar(VERSION, pa.int32()), count)


def _numbers(column: Array, known: dict[str, int] | dict[str | None, int], *, null: int = -1) -> Ints:
    return numbers_by_word(column, lambda word: known.get(word, -1), null=null)


def _valid(column: Array) -> Flags:
    if not column.null_count:
        return np.ones(len(column), np.bool_)
    if column.null_count == len(column):
        return np.zeros(len(column), np.bool_)
    valid: Flags = pc.is_valid(column).to_numpy(zero_copy_only=False)
    return valid


def _short(*columns: Array) -> Flags:
    """Whether every text of an event is within bounds."""
    result = np.ones(len(columns[0]), np.bool_)
    for column in columns:
        result &= byte_lengths(column) <= TEXT_BYTES_MAX
    return result
