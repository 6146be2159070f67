"""The columnar path: a batch of statuses or executions folded into many orders at once.

What is *plain* is computed over whole arrays: statuses in sequence, fills that were not seen before and agree with what
the venue reports. An order with any other event in the batch goes through the scalar rules of `orders` with all its
events of the batch, so order per key is kept and both ways always give the same. Repeated fills are so common that they
are sorted out beforehand.

Statuses and executions come on topics without mutual order; of what waits together, callers fold the statuses first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, TypeVar
from zlib import crc32

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.errors import InvalidRecordError
from operators.model.arrays import Array, Flags, Groups, Ints, RecordBatch, byte_lengths
from operators.model.events import ExecutionReport, FeeKind, OrderEnriched, OrderStatusChanged, Side
from operators.model.fee_columns import FillRates, fee_lists
from operators.model.lifecycle import FINAL, TRANSITIONS
from operators.model.order_columns import (
    CONSOLIDATED,
    ENRICHED,
    NO_CONSOLIDATED,
    NO_ENRICHED,
    ExecutionColumns,
    FillView,
    OrderView,
    StatusColumns,
    consolidated_batch,
    consolidated_codes,
    enriched_batch,
    order_ids,
    parents,
)
from operators.model.order_table import (
    ENTRY_HEAD,
    HASHES,
    IDENTITY_AT,
    NONE,
    RECENT_MAX,
    SIDES,
    STATUSES,
    Chunk,
    Column,
    OrderTable,
    split,
)
from operators.model.orders import (
    FOREVER_MS,
    Anomaly,
    AnomalyKind,
    Context,
    Order,
    Step,
    expire_at_ms,
    on_execution,
    on_status,
)

E = TypeVar("E", OrderStatusChanged, ExecutionReport)

_BUY: Final = SIDES.index(Side.BUY)
_PRODUCT_MAX: Final = 2.0**62
_FEES_MAX: Final = 2**61
# Both indexed by status number; the last place is for -1, no status.
_LEGAL: Final = np.array([[after in TRANSITIONS[before] for after in STATUSES] for before in (*STATUSES, None)])
_FINAL: Final = np.array([*(status in FINAL for status in STATUSES), False])


@dataclass(slots=True)
class Folded:
    """What a batch came to.

    `consolidated` and `enriched` hold outputs in the schemas of the contracts, in order per key; `…_from` is the
    position in the batch of the event behind each. `rejected` are events for the dead letters, `rows` the changed
    rows, and `chunks` what to store beside rows.
    """

    consolidated: RecordBatch
    consolidated_from: Ints
    enriched: RecordBatch
    enriched_from: Ints
    rows: Ints
    anomalies: list[tuple[int, Anomaly]] = field(default_factory=list)
    rejected: list[tuple[int, InvalidRecordError]] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)


def fold_statuses(table: OrderTable, batch: RecordBatch, rows: Ints, context: Context) -> Folded:
    """Folds a decoded batch of engine statuses; `rows` are the table's rows of their orders."""
    folded = _nothing()
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
    _by_rules(
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
    folded = _nothing()
    if not batch.num_rows:
        return folded
    every = _Fills.read(table, batch, rows, context)
    valid = every.valid()
    by_rules = np.unique(rows[~valid])
    fills = every.where(~np.isin(rows, by_rules)) if len(by_rules) else every
    if len(fills.rows):
        fills = fills.with_entries()
        repeated = _repeated(table, fills)
        fresh = fills.where(~repeated)
        if len(fresh.rows):
            sums = _sums(table, fresh)
            by_rules = np.union1d(by_rules, fresh.rows[~sums.plain])
            _fold_fills(table, folded, fresh.where(sums.plain), context, sums if sums.plain.all() else None)
        if repeated.any():
            _note_repeats(folded, fills, np.flatnonzero(repeated & ~np.isin(fills.rows, by_rules)))
    if len(by_rules):
        _by_rules(
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
    named: dict[int, str] = {}
    parent_ids = batch.column("order").field("parentId").to_pylist()
    for i, row in enumerate(rows.tolist()):
        if row not in named:
            named[row] = (table.parent(row) if known[i] else parent_ids[i]) or ""
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
    _close(after, groups, events.occurred_at, context)
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


def _close(after: Ints, groups: Groups, occurred_at: Ints, context: Context) -> None:
    """Brings the columns up to date that follow from the others."""
    after[:, Column.SEQUENCE] += groups.sizes
    after[:, Column.LAST_EVENT_AT] = np.maximum(after[:, Column.LAST_EVENT_AT], groups.largest(occurred_at))
    filled = after[:, Column.FILLED]
    ended = _FINAL[after[:, Column.ENGINE_CODE]] | _FINAL[after[:, Column.VENUE_CODE]]
    closed = ended | ((filled > 0) & (filled >= after[:, Column.QUANTITY]))
    expire_at = after[:, Column.LAST_EVENT_AT] // 1000 + context.retention_ms
    after[:, Column.EXPIRE_AT_MS] = np.where(closed, expire_at, FOREVER_MS)


@dataclass(frozen=True, slots=True)
class _Fills:
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
    def read(table: OrderTable, batch: RecordBatch, rows: Ints, context: Context) -> _Fills:
        ids, ids_valid = order_ids(batch)
        events = ExecutionColumns.read(batch, ids_valid, table)
        rates = FillRates(context.fees, events.trade_date, events.venue, table.venues.values)
        return _Fills(batch, ids, events, rows, rates)

    def where(self, chosen: Flags) -> _Fills:
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
        return _Fills(*columns) if self.entries is None else _Fills(*columns, self.entries[at], self.hashes[at])

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

    def with_entries(self) -> _Fills:
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
        return replace(self, entries=entries, hashes=hashes | 1 << 32)


def _repeated(table: OrderTable, fills: _Fills) -> Flags:
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


class _Sums(NamedTuple):
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


def _sums(table: OrderTable, fills: _Fills) -> _Sums:
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
    ended = _FINAL[state[:, Column.ENGINE_CODE]] | _FINAL[state[:, Column.VENUE_CODE]]
    open_quantity = np.maximum(0, events.order_quantity - filled)
    nothing_open = (events.leaves_quantity == 0) & (ended[of] | (filled >= quantity[of]))
    units_max = fills.rates.units_max()
    safe = (
        (state[:, Column.NOTIONAL] <= units_max)
        & (state[:, Column.FILLED] <= units_max)
        & (np.abs(state[:, Column.TOTAL_FEES]) <= _FEES_MAX)
    )
    plain = (
        safe[of]
        & (filled <= np.minimum(quantity, units_max)[of])
        & (notional <= units_max)
        & (events.source == source[of])
        & (events.sequence > groups.previous(events.sequence, state[:, Column.EXECUTION_SEQUENCE]))
        & (events.cum_quantity == filled)
        & ((events.leaves_quantity == open_quantity) | nothing_open)
    )
    return _Sums(groups, state, quantity, symbol, side, venue, filled, notional, groups.all(plain)[of])


def _note_repeats(folded: Folded, fills: _Fills, repeats: Ints) -> None:
    if not len(repeats):
        return
    batch = fills.batch.select(["venue", "tradeDate", "execId"]).take(pa.array(repeats))
    identities = zip(*(column.to_pylist() for column in batch.columns), strict=True)
    for position, identity in zip(fills.events.position[repeats].tolist(), identities, strict=True):
        folded.anomalies.append((position, Anomaly(AnomalyKind.DUPLICATE, "execution {} {} {}".format(*identity))))


def _keep_entries(table: OrderTable, fills: _Fills, groups: Groups) -> None:
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


def _fold_fills(table: OrderTable, folded: Folded, fills: _Fills, context: Context, sums: _Sums | None) -> None:
    """Fills that are all plain; `sums` if they are added up already."""
    if not len(fills.rows):
        return
    sums = sums or _sums(table, fills)
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
    _close(after, groups, events.occurred_at, context)
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


def _fees(fills: _Fills, sums: _Sums, side: Ints) -> tuple[Ints, list[tuple[FeeKind, Ints, Flags | None]], Ints]:
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


def _by_rules(
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
    records = batch.take(pa.array(positions)).to_pylist()
    for position, row, record in zip(positions.tolist(), rows[positions].tolist(), records, strict=True):
        if row not in orders:
            orders[row] = table.order(row)
        try:
            done = step(orders[row], msgspec.convert(record, event_type), row)
        except InvalidRecordError as error:
            folded.rejected.append((position, error))
            continue
        folded.anomalies += [(position, anomaly) for anomaly in done.anomalies]
        for output in done.outputs:
            if isinstance(output, OrderEnriched):
                enriched.append((position, output))
            else:
                consolidated.append((position, output))
        if done.order is None or done.order is orders[row]:
            continue
        orders[row] = changed[row] = done.order
        if len(done.order.executions) > RECENT_MAX:
            table.store(row, done.order, FOREVER_MS)
            orders[row] = table.order(row)
    for row in changed:
        order = orders[row]
        assert order is not None
        table.store(row, order, expire_at_ms(order, context))
    folded.rows = np.concatenate([folded.rows, np.fromiter(changed, np.int64, len(changed))])
    folded.consolidated, folded.consolidated_from = _joined(
        folded.consolidated, folded.consolidated_from, consolidated, CONSOLIDATED
    )
    folded.enriched, folded.enriched_from = _joined(folded.enriched, folded.enriched_from, enriched, ENRICHED)


def _joined(batch: RecordBatch, positions: Ints, added: list[tuple[int, Any]], schema: Any) -> tuple[RecordBatch, Ints]:
    """A batch with outputs of the scalar rules behind it."""
    if not added:
        return batch, positions
    records = [msgspec.to_builtins(output) for _, output in added]
    more = pa.RecordBatch.from_pylist(records, schema=schema)
    whole = pa.Table.from_batches([batch, more]).combine_chunks().to_batches()[0]
    return whole, np.concatenate([positions, np.array([position for position, _ in added], np.int64)])


def _nothing() -> Folded:
    none = np.zeros(0, np.int64)
    return Folded(NO_CONSOLIDATED, none, NO_ENRICHED, none, none)
