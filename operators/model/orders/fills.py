"""Executions of a batch as fills: which whole arrays can work with, and which were seen before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.model.arrays import Array, Flags, Ints, RecordBatch, byte_lengths, none_valid, places
from operators.model.fees.columns import FillRates
from operators.model.orders.checks import trade_dates_fit
from operators.model.orders.columns import ExecutionColumns, order_ids
from operators.model.orders.layout import HASHES, Column
from operators.model.orders.state import Context
from operators.model.orders.stored_executions import CONTENT_END, ENTRY_HEAD, HASH_FLAG, IDENTITY_AT
from operators.model.orders.table import OrderTable

_PRODUCT_MAX: Final = 2.0**62
_NOTHING: Final = pa.scalar(b"", pa.binary())


@dataclass(frozen=True, slots=True)
class Fills:
    """Executions of a batch, or some of them."""

    batch: RecordBatch
    ids: Array
    events: ExecutionColumns
    rows: Ints
    rates: FillRates
    entries: Array = None
    """As stored, see `stored_executions.entry_of`; None until asked for."""
    hashes: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    @staticmethod
    def read(table: OrderTable, batch: RecordBatch, rows: Ints, context: Context) -> Fills:
        """All events of a decoded batch."""
        ids, ids_valid = order_ids(batch)
        events = ExecutionColumns.read(batch, ids_valid, table)
        rates = FillRates.read(context.fees, events.trade_date, events.venue, table.venues.values)
        return Fills(batch.select(_kept(batch)), ids, events, rows, rates)

    def where(self, chosen: Flags) -> Fills:
        """Some of the events."""
        if chosen.all():
            return self
        at = places(chosen)
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
            & trade_dates_fit(events.trade_date, events.occurred_at)
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
        texts = [self.batch.column("venue"), self.batch.column("execId")]
        heads = np.zeros(count, ENTRY_HEAD)
        heads["quantity"], heads["price"], heads["cum_quantity"] = events.quantity, events.price, events.cum_quantity
        heads["liquidity"], heads["trade_date"] = events.liquidity, events.trade_date
        heads["venue"], heads["id"] = byte_lengths(texts[0]), byte_lengths(texts[1])
        if "session" in self.batch.schema.names:
            texts.insert(1, self.batch.column("session").fill_null(""))
            heads["session"] = byte_lengths(texts[1])
        offsets = np.arange(0, (count + 1) * ENTRY_HEAD.itemsize, ENTRY_HEAD.itemsize, dtype=np.int32)
        head = pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(heads)])
        joined = pc.binary_join_element_wise(head, *(text.view(pa.binary()) for text in texts), _NOTHING)
        entries = joined.to_numpy(zero_copy_only=False)
        hashes = np.fromiter((crc32(entry[IDENTITY_AT:]) for entry in entries.tolist()), np.int64, count)
        return Fills(self.batch, self.ids, self.events, self.rows, self.rates, entries, hashes | HASH_FLAG)


def _kept(batch: RecordBatch) -> list[str]:
    """What is needed of a batch later on; every `where` copies it, so columns of nothing but null are left behind."""
    rare = ("session", "price", "timeInForce", "liquidity", "clOrdId", "possResend", "market", "correlationId")
    names = frozenset(batch.schema.names)
    there = (name for name in rare if name in names and not none_valid(batch.column(name)))
    return ["key", "venue", "tradeDate", "execId", *there]


def repeated(table: OrderTable, fills: Fills) -> tuple[Flags, Flags]:
    """Which executions are told again, counted before or earlier in the batch, and which have the id of another one.

    Hashes only raise the suspicion.
    """
    rows, entries, hashes = fills.rows, fills.entries, fills.hashes
    suspected = (table.numbers[rows, HASHES] == hashes[:, None]).any(axis=1)
    of_old: dict[int, list[int]] = {}
    for i in places(table.numbers[rows, Column.CHUNKS] != 0).tolist():
        of_old.setdefault(int(rows[i]), []).append(i)
    for row, of_row in of_old.items():
        suspected[of_row] |= table.old(row).suspected(hashes[of_row].tolist())
    repeated, reused = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.bool_)
    for i in places(suspected).tolist():
        same = [entry[:CONTENT_END] for entry in table.named(int(rows[i]), entries[i][IDENTITY_AT:])]
        repeated[i] = entries[i][:CONTENT_END] in same
        reused[i] = bool(same) and not repeated[i]
    pairs = rows << 32 | hashes & 0xFFFFFFFF
    by_pair = np.sort(pairs)
    twice = by_pair[1:][by_pair[1:] == by_pair[:-1]]
    if len(twice):
        seen: dict[tuple[int, bytes], bytes] = {}
        for i in np.flatnonzero(np.isin(pairs, twice) & ~repeated).tolist():
            content = entries[i][:CONTENT_END]
            first = seen.setdefault((int(rows[i]), entries[i][IDENTITY_AT:]), content)
            if first is not content:
                repeated[i], reused[i] = first == content, first != content
    return repeated, reused
