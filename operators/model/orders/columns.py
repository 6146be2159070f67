"""The columns of the order events as read from decoded batches, and what shows of orders by their numbers."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.model.arrays import (
    Array,
    Flags,
    Ints,
    RecordBatch,
    after_bar,
    byte_lengths,
    integers,
    none_valid,
    numbers_by_word,
    optional,
)
from operators.model.events import ExecType
from operators.model.orders.checks import TEXT_BYTES_MAX
from operators.model.orders.layout import GOOD_TILL_NUMBERS, NONE, SIDES, STATUSES, VOICE_NUMBERS, VOICES
from operators.model.orders.lifecycle import PENDING, consolidated_code, is_inactive
from operators.model.orders.schemas import MARKET_TYPE, TEXT
from operators.model.orders.state import name_id
from operators.model.orders.stored_executions import LIQUIDITIES
from operators.model.orders.table import OrderTable

_SIDE_NUMBERS: Final = {side.value: number for number, side in enumerate(SIDES)}
_STATUS_NUMBERS: Final = {status.value: number for number, status in enumerate(STATUSES)}
_LIQUIDITY_NUMBERS: Final = {flag: number for number, flag in enumerate(LIQUIDITIES)}

# What shows and whether the order is inactive, by the numbers of the engine's and the venues' voices. The fills matter
# in three ways only: there are none, some, or enough.
_FILLS: Final = ((0, 1), (1, 2), (1, 1))
_SHOWN: Final = np.array(
    [
        [
            [
                -1 if (code := consolidated_code(engine, venue, filled=filled, quantity=quantity)) is None
                else STATUSES.index(code)
                for venue in VOICES
            ]
            for engine in VOICES
        ]
        for filled, quantity in _FILLS
    ]
)  # fmt: skip
_INACTIVE: Final = np.array(
    [
        [[is_inactive(engine, venue, time) for venue in VOICES] for engine in VOICES]
        for time in (None, "GOOD_TILL_CANCEL")
    ]
)
IS_PENDING: Final = np.array([status in PENDING for status in STATUSES])
NEXT_DAY: Final = np.array([VOICE_NUMBERS[voice.next_day()] for voice in VOICES])
"""What a voice's number becomes on a new trading day."""


class MarketColumns(NamedTuple):
    """The market of each event, NONE where it is not known."""

    price: Ints
    volume: Ints
    turnover: Ints
    known: bool
    """Whether anything of it is known of any event."""

    @classmethod
    def read(cls, batch: RecordBatch) -> MarketColumns:
        """That of a batch of events."""
        column = optional(batch, "market", MARKET_TYPE)
        if none_valid(column):
            missing = np.full(batch.num_rows, NONE)
            return cls(missing, missing, missing, False)
        price, volume, turnover = (integers(pc.struct_field(column, n), NONE) for n in ("price", "volume", "turnover"))
        return cls(price, volume, turnover, True)

    def take(self, events: Ints) -> MarketColumns:
        """That of some of the events."""
        return MarketColumns(self.price[events], self.volume[events], self.turnover[events], self.known)


class StatusColumns(NamedTuple):
    """What the fold needs of engine statuses. Unknown words are -1, a missing price is NONE."""

    position: Ints
    occurred_at: Ints
    code: Ints
    quantity: Ints
    limit_price: Ints
    time_in_force: Ints
    side: Ints
    symbol: Ints
    venue: Ints
    arrival_price: Ints
    decision_price: Ints
    market: MarketColumns
    sequence: Ints
    source: Ints
    parent: Ints
    """The `name_id` of the parent's id, 0 where none is named."""
    is_parent: Flags
    readable: Flags

    @classmethod
    def read(cls, batch: RecordBatch, ids_valid: Flags, table: OrderTable) -> StatusColumns:
        """The columns of a decoded batch of OrderStatusChanged."""
        order = batch.column("order")
        symbol, side, parent, quantity = (order.field(name) for name in ("symbol", "side", "parentId", "quantity"))
        time_in_force, cl_ord_id = optional(order, "timeInForce", TEXT), optional(order, "clOrdId", TEXT)
        is_parent = optional(order, "isParent", pa.bool_())
        texts = batch.column("key"), symbol, batch.column("venue"), parent, time_in_force, cl_ord_id
        return cls(
            position=np.arange(batch.num_rows),
            occurred_at=integers(batch.column("occurredAt")),
            code=_numbers(batch.column("status").field("code"), _STATUS_NUMBERS),
            quantity=integers(quantity),
            limit_price=integers(optional(order, "limitPrice", pa.int64()), NONE),
            time_in_force=table.times_in_force.numbers(time_in_force),
            side=_numbers(side, _SIDE_NUMBERS),
            symbol=table.symbols.numbers(symbol),
            venue=table.venues.numbers(batch.column("venue")),
            arrival_price=_benchmarks(batch.column("arrivalPrice")),
            decision_price=_benchmarks(optional(batch, "decisionPrice", pa.int64())),
            market=MarketColumns.read(batch),
            sequence=integers(batch.column("sequence")),
            source=numbers_by_word(batch.column("source"), name_id, null=0),
            parent=numbers_by_word(parent, name_id, null=0),
            is_parent=_true(is_parent),
            readable=ids_valid & _short(*texts),
        )

    def take(self, events: Ints) -> StatusColumns:
        """Some of the events."""
        return StatusColumns._make(column.take(events) for column in self)


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
    market: MarketColumns
    sequence: Ints
    source: Ints
    readable: Flags

    @classmethod
    def read(cls, batch: RecordBatch, ids_valid: Flags, table: OrderTable) -> ExecutionColumns:
        """The columns of a decoded batch of ExecutionReport."""
        key, venue, symbol, exec_id = (batch.column(name) for name in ("key", "venue", "symbol", "execId"))
        names = "clOrdId", "origClOrdId", "execRefId", "session", "timeInForce"
        others = (optional(batch, name, TEXT) for name in names)
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
            market=MarketColumns.read(batch),
            sequence=integers(batch.column("sequence")),
            source=numbers_by_word(batch.column("source"), name_id, null=0),
            readable=ids_valid & _short(key, *others) & _given(symbol, venue, exec_id),
        )

    def take(self, events: Ints) -> ExecutionColumns:
        """Some of the events."""
        return ExecutionColumns._make(column.take(events) for column in self)


def shown_codes(engine: Ints, at_venue: Ints, filled: Ints, quantity: Ints) -> Ints:
    """`lifecycle.consolidated_code` over arrays: numbers of voices in, numbers of statuses out, -1 for none."""
    fills = np.where(filled > 0, np.where(filled >= quantity, 2, 1), 0)
    codes: Ints = _SHOWN[fills, engine, at_venue]
    return codes


def inactive(engine: Ints, at_venue: Ints, time_in_force: Ints) -> Flags:
    """`lifecycle.is_inactive` over arrays."""
    good_till = (time_in_force > 0) & (time_in_force <= GOOD_TILL_NUMBERS)
    result: Flags = _INACTIVE[good_till.astype(np.int64), engine, at_venue]
    return result


def open_quantities(engine: Ints, at_venue: Ints, time_in_force: Ints, filled: Ints, quantity: Ints) -> Ints:
    """LeavesQty(151)."""
    return np.where(inactive(engine, at_venue, time_in_force), 0, np.maximum(quantity - filled, 0))


def order_ids(batch: RecordBatch) -> tuple[Array, Flags]:
    """The order id in each key, and whether the key has both its parts."""
    return after_bar(batch.column("key"))


def _benchmarks(column: Array) -> Ints:
    """Prices; one that is not positive is no benchmark."""
    prices = integers(column, NONE)
    return np.where(prices > 0, prices, NONE)


def _numbers(column: Array, known: dict[str, int] | dict[str | None, int], *, null: int = -1) -> Ints:
    return numbers_by_word(column, lambda word: known.get(word, -1), null=null)


def _true(column: Array) -> Flags:
    if none_valid(column):
        return np.zeros(len(column), np.bool_)
    true: Flags = pc.fill_null(column, False).to_numpy(zero_copy_only=False)
    return true


def _given(*columns: Array) -> Flags:
    """Whether no text of an event is empty, and every one within bounds."""
    result = np.ones(len(columns[0]), np.bool_)
    for column in columns:
        lengths = byte_lengths(column)
        result &= (lengths > 0) & (lengths <= TEXT_BYTES_MAX)
    return result


def _short(*columns: Array) -> Flags:
    """Whether every text of an event is within bounds."""
    result = np.ones(len(columns[0]), np.bool_)
    for column in columns:
        if not none_valid(column):
            result &= byte_lengths(column) <= TEXT_BYTES_MAX
    return result
