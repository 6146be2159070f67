"""Executions folded over whole arrays: which are fills that were not seen before, and what they add up to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.model.arrays import Array, Flags, Groups, Ints, RecordBatch, byte_lengths
from operators.model.events import FeeKind, Side
from operators.model.fee_columns import FillRates, fee_lists
from operators.model.folded import IS_FINAL, Folded, close
from operators.model.order_columns import (
    ExecutionColumns,
    FillView,
    OrderView,
    consolidated_batch,
    consolidated_codes,
    enriched_batch,
    order_ids,
    parents,
)
from operators.model.order_table import (
    ENTRY_HEAD,
    HASH_FLAG,
    HASHES,
    IDENTITY_AT,
    NONE,
    RECENT_MAX,
    SIDES,
    Column,
    OrderTable,
    split,
)
from operators.model.orders import Anomaly, AnomalyKind, Context

_BUY: Final = SIDES.index(Side.BUY)
_PRODUCT_MAX: Final = 2.0**62
_FEES_MAX: Final = 2**61


@dataclass(frozen=True, slots=True)
class Fills:
    """Executions of a batch, or some of them."""

    batch: RecordBatch
    ids: Array
    events: ExecutionColumns
    rows: Ints
    rates: FillRates
    entries: Array = None
    """As stored, see `order_table.entry_of`; None until asked for."""
    hashes: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    @staticmethod
    def read(table: OrderTable, batch: RecordBatch, rows: Ints, context: Context) -> Fills:
        """All events of a decoded batch."""
        ids, ids_valid = order_ids(batch)
        events = ExecutionColumns.read(batch, ids_valid, table)
        rates = FillRates.read(context.fees, events.trade_date, events.venue, table.venues.values)
        kept = batch.select(["key", "venue", "tradeDate", "execId"])  # copied with every `where`
        return Fills(kept, ids, events, rows, rates)

    def where(self, chosen: Flags) -> Fills:
        """Some of the events."""
        if chosen.all():
            return self
        at = np.flatnonzero(chosen)
        taken = pa.array(at)
        columns = (
            self.batch.take(taken),
            self.ids.take(taken),
            self.events.take(at),
            self.rows[at],
            self.rates.take(at),
        )
        return Fills(*columns) if self.entries is None else Fills(*columns, self.entries[at], self.hashes[at])

    def valid(self) -> Flags:
        """Fills that whole arrays can work with, whatever the state of their orders."""
        events = self.events
        value = events.quantity.astype(np.float64) * events.price.astype(np.float64)
        return (
            events.is_trade
            & events.readable
            & (events.occurred_at >= 0)
            & (events.side >= 0)
            & (events.order_quantity >= 0)
            & (events.sequence >= 0)
            & (events.liquidity >= 0)
            & (events.quantity > 0)
            & (events.price > 0)
            & (value < _PRODUCT_MAX / len(self.rows))
            & self.rates.covered
            & self.rates.venue(events.quantity, np.maximum(events.liquidity, 0))[1]
        )

    def with_entries(self) -> Fills:
        """The same with entries and hashes. The fills must be valid, or their parts do not fit an entry."""
        events, count = self.events, len(self.rows)
        venue, exec_id = self.batch.column("venue"), self.batch.column("execId")
        heads = np.empty(count, ENTRY_HEAD)
        heads["quantity"], heads["price"] = events.quantity, events.price
        heads["liquidity"], heads["trade_date"] = events.liquidity, events.trade_date
        heads["venue"], heads["id"] = byte_lengths(venue), byte_lengths(exec_id)
        offsets = np.arange(0, (count + 1) * ENTRY_HEAD.itemsize, ENTRY_HEAD.itemsize, dtype=np.int32)
        head = pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(heads)])
        joined = pc.binary_join_element_wise(head, venue.cast(pa.binary()), exec_id.cast(pa.binary()), b"")
        entries = joined.to_numpy(zero_copy_only=False)
        hashes = np.fromiter((crc32(entry[IDENTITY_AT:]) for entry in entries.tolist()), np.int64, count)
        return replace(self, entries=entries, hashes=hashes | HASH_FLAG)


def repeated(table: OrderTable, fills: Fills) -> Flags:
    """Which executions were counted before, or come before in the batch. Hashes only raise the suspicion."""
    rows, entries, hashes = fills.rows, fills.entries, fills.hashes
    suspected = (table.numbers[rows, HASHES] == hashes[:, None]).any(axis=1)
    for i in np.flatnonzero(table.numbers[rows, Column.CHUNKS]).tolist():
        suspected[i] |= int(hashes[i]) in table.moved(int(rows[i]))
    repeated = np.zeros(len(rows), np.bool_)
    for i in np.flatnonzero(suspected).tolist():
        repeated[i] = table.counted(int(rows[i]), entries[i][IDENTITY_AT:])
    pairs = rows << 32 | hashes & 0xFFFFFFFF
    by_pair = np.sort(pairs)
    twice = by_pair[1:][by_pair[1:] == by_pair[:-1]]
    if len(twice):
        seen: set[tuple[int, bytes]] = set()
        for i in np.flatnonzero(np.isin(pairs, twice) & ~repeated).tolist():
            identity = int(rows[i]), entries[i][IDENTITY_AT:]
            repeated[i] = identity in seen
            seen.add(identity)
    return repeated


class Sums(NamedTuple):
    """The orders after each of their fills (filled, notional), their fixed terms per group, and what is plain."""

    groups: Groups
    state: Ints
    quantity: Ints
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
    symbol = np.where(known, state[:, Column.SYMBOL], events.symbol[first])
    side = np.where(known, state[:, Column.SIDE], events.side[first])
    venue = np.where(state[:, Column.VENUE] == 0, events.venue[first], state[:, Column.VENUE])
    source = np.where(state[:, Column.EXECUTION_SOURCE] == 0, events.source[first], state[:, Column.EXECUTION_SOURCE])
    filled = groups.running_sum(events.quantity, state[:, Column.FILLED])
    notional = groups.running_sum(events.quantity * events.price, state[:, Column.NOTIONAL])
    ended = IS_FINAL[state[:, Column.ENGINE_CODE]] | IS_FINAL[state[:, Column.VENUE_CODE]]
    open_quantity = np.maximum(0, events.order_quantity - filled)
    nothing_open = (events.leaves_quantity == 0) & (ended[of] | (filled >= quantity[of]))
    filled_max, notional_max = fills.rates.maxima()
    safe = (
        (state[:, Column.NOTIONAL] <= notional_max)
        & (state[:, Column.FILLED] <= filled_max)
        & (np.abs(state[:, Column.TOTAL_FEES]) <= _FEES_MAX)
    )
    plain = (
        safe[of]
        & (filled <= np.minimum(quantity, filled_max)[of])
        & (notional <= notional_max)
        & (events.source == source[of])
        & (events.sequence > groups.previous(events.sequence, state[:, Column.EXECUTION_SEQUENCE]))
        & (events.cum_quantity == filled)
        & ((events.leaves_quantity == open_quantity) | nothing_open)
    )
    return Sums(groups, state, quantity, symbol, side, venue, filled, notional, groups.all(plain)[of])


def note_repeats(folded: Folded, fills: Fills, repeats: Ints) -> None:
    """Counts executions that were seen before."""
    if not len(repeats):
        return
    batch = fills.batch.take(pa.array(repeats))
    identities = zip(*(batch.column(name).to_pylist() for name in ("venue", "tradeDate", "execId")), strict=True)
    for position, identity in zip(fills.events.position[repeats].tolist(), identities, strict=True):
        folded.anomalies.append((position, Anomaly(AnomalyKind.DUPLICATE, "execution {} {} {}".format(*identity))))


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
    after[:, Column.FILLED] = filled[last]
    after[:, Column.NOTIONAL] = notional[last]
    after[:, Column.COMMISSION] = commission[last]
    after[:, Column.TOTAL_FEES] = total_fees[last]
    after[:, Column.EXECUTION_SOURCE] = events.source[last]
    after[:, Column.EXECUTION_SEQUENCE] = events.sequence[last]
    close(after, groups, events.occurred_at, context)
    table.numbers[groups.rows] = after
    engine, venue_code = after[:, Column.ENGINE_CODE][of], after[:, Column.VENUE_CODE][of]
    quantity, batch = sums.quantity[of], fills.batch
    view = OrderView(
        key=batch.column("key"),
        order_id=fills.ids,
        parent_id=parents(table, fills.rows, any_known=bool(after[:, Column.EXTRA_BYTES].any())),
        symbol=table.symbols.column(sums.symbol[of]),
        side=side,
        venue=table.venues.column(sums.venue[of]),
        quantity=quantity,
        code=consolidated_codes(engine, venue_code, filled, quantity),
        filled=filled,
        notional=notional,
        arrival_price=after[:, Column.ARRIVAL_PRICE][of],
        sequence=sums.state[:, Column.SEQUENCE][of] + groups.rank() + 1,
        occurred_at=events.occurred_at,
    )
    fill = FillView(batch.column("execId"), events.quantity, events.price, fee_lists(len(of), parts), total_fees)
    folded.consolidated = consolidated_batch(view, pa.nulls(len(of), pa.string()), context)
    folded.enriched = enriched_batch(view, fill, context)
    folded.consolidated_from = folded.enriched_from = events.position
    folded.rows = groups.rows


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
