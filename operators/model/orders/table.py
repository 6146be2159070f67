"""Many orders as one table of integers: a row per order, the form in which state is folded, stored and restored.

A stored row is: the stored columns (64-bit each, small ones packed into one), the hashes of its recent executions, its
benchmarks where it has some, its symbol, venue and time in force, its rare parts, its recent executions. What would let
a row grow with the order's life leaves it in chunks of `RECENT_MAX` executions, each stored once beside the row and
read again only to confirm a suspected duplicate, or for a bust or correction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Final, NamedTuple

import msgspec
import numpy as np

from operators.model.arrays import Ints, Words
from operators.model.events import Side
from operators.model.fees.costs import Market
from operators.model.orders.executions import Recall
from operators.model.orders.layout import (
    BENCHMARK_BYTES,
    BENCHMARKS,
    HASHES,
    NONE,
    RECENT_MAX,
    SIDES,
    STORED,
    UNKNOWN,
    VOICE_NUMBERS,
    VOICES,
    WIDTH,
    Column,
    Extra,
    pack,
    unknown,
    unpack,
)
from operators.model.orders.lifecycle import GOOD_TILL
from operators.model.orders.state import Order, Position, VenuePosition
from operators.model.orders.stored_executions import (
    entry_of,
    execution_of,
    hash_identity,
    hash_of,
    identity_bytes,
    identity_of,
    split,
)

_SEVERAL: Final = -1
"""In place of a chunk's number: executions in several chunks have this hash."""


class Chunk(NamedTuple):
    """Executions that left a row: to be stored beside it, once, under the order's key and this number (from 0)."""

    key: bytes
    number: int
    value: bytes


LoadChunks = Callable[[bytes, Sequence[int]], Sequence[bytes]]
"""Reads chunks of an order by their numbers, those that were handed out but not yet stored included."""


_NO_EXTRA: Final = Extra()
_extra_decoder: Final = msgspec.msgpack.Decoder(Extra)
_text_decoder: Final = msgspec.msgpack.Decoder(tuple[str | None, str | None, str | None])


class OrderTable:
    """A bounded cache of orders; who owns it says which rows come and go. One thread at a time."""

    def __init__(self, load_chunks: LoadChunks, capacity: int = 1024) -> None:
        self._load_chunks = load_chunks
        self.index: dict[bytes, int] = {}
        self.keys: list[bytes] = []
        self.numbers = unknown(capacity)
        self.last_used = np.zeros(capacity, np.int64)
        self.entries: list[bytes] = []
        """Per row its recent executions, one entry after the other."""
        self.symbols = Words()
        self.venues = Words()
        self.times_in_force = Words(sorted(GOOD_TILL))
        self._free: list[int] = []
        self._extras: dict[int, Extra] = {}
        self._texts: dict[tuple[int, int, int], bytes] = {}
        self._moved: dict[int, dict[int, int]] = {}
        self._cut: dict[tuple[int, int], bytes] = {}

    def __len__(self) -> int:
        return len(self.index)

    def find(self, keys: Sequence[bytes]) -> Ints:
        """The row of each key, -1 where there is none."""
        return np.fromiter(map(self.index.get, keys, repeat(-1)), np.int64, len(keys))

    def add(self, key: bytes) -> int:
        """The row of a key, a new one of an unknown order if it has none."""
        row = self.index.get(key)
        if row is not None:
            return row
        if self._free:
            row = self._free.pop()
            self.keys[row] = key
        else:
            row = len(self.keys)
            self.keys.append(key)
            self.entries.append(b"")
            if row >= len(self.numbers):
                self.numbers = np.concatenate([self.numbers, unknown(len(self.numbers))])
                self.last_used = np.concatenate([self.last_used, np.zeros_like(self.last_used)])
        self.index[key] = row
        return row

    def drop(self, rows: Iterable[int]) -> None:
        """Forgets rows, which may then be given to other keys."""
        gone = list(rows)
        for row in gone:
            del self.index[self.keys[row]]
            self.keys[row] = b""
            self.entries[row] = b""
            self._extras.pop(row, None)
            self._moved.pop(row, None)
        self._free += gone
        self.numbers[gone] = UNKNOWN
        self.last_used[gone] = 0

    def put(self, row: int, stored: bytes) -> None:
        """Fills a row from what `serialise` gave."""
        self.put_many([row], [stored])

    def put_many(self, rows: Sequence[int], stored: Sequence[bytes]) -> None:
        """Fills rows from what `serialise` gave."""
        width = 8 * (STORED + RECENT_MAX)
        joined = b"".join([value[:width].ljust(width, b"\0") for value in stored])
        loaded = np.frombuffer(joined, np.int64).reshape(len(rows), STORED + RECENT_MAX)
        numbers = unknown(len(rows))
        numbers[:, :STORED] = loaded[:, :STORED]
        has_benchmarks = unpack(numbers).tolist()
        recent, extra_bytes = numbers[:, Column.RECENT], numbers[:, Column.EXTRA_BYTES].tolist()
        # Bytes after the hashes were read as hashes too.
        numbers[:, HASHES] = np.where(np.arange(RECENT_MAX) < recent[:, None], loaded[:, STORED:], 0)
        texts = []
        for i, (row, value, count) in enumerate(zip(rows, stored, recent.tolist(), strict=True)):
            at = 8 * (STORED + count)
            if has_benchmarks[i]:
                numbers[i, BENCHMARKS] = np.frombuffer(value, np.int64, 3, at)
                at += BENCHMARK_BYTES
            after_text = at + 2 + int.from_bytes(value[at : at + 2], "little")
            texts.append(value[at + 2 : after_text])
            entries_at = after_text + extra_bytes[i]
            if entries_at > after_text:
                self._extras[row] = _extra_decoder.decode(value[after_text:entries_at])
            self.entries[row] = value[entries_at:]
        places = {text: self._places(text) for text in set(texts)}
        numbers[:, Column.SYMBOL : Column.TIME_IN_FORCE + 1] = [places[text] for text in texts]
        self.numbers[rows] = numbers

    def _places(self, text: bytes) -> tuple[int, int, int]:
        symbol, venue, time_in_force = _text_decoder.decode(text)
        return self.symbols.number(symbol), self.venues.number(venue), self.times_in_force.number(time_in_force)

    def serialise(self, rows: Ints) -> list[bytes]:
        """The rows as bytes; the first eight are the little-endian EXPIRE_AT_MS."""
        numbers = self.numbers[rows]
        has_benchmarks = pack(numbers)
        stored, width = numbers.tobytes(), 8 * WIDTH
        ends = 8 * (STORED + numbers[:, Column.RECENT]) + np.arange(len(rows)) * width
        texts, entries = self._texts, self.entries
        words = (Column.SYMBOL, Column.VENUE, Column.TIME_IN_FORCE)
        places = zip(*(numbers[:, column].tolist() for column in words), strict=True)
        columns = zip(range(0, len(stored), width), ends.tolist(), places, rows.tolist(), strict=True)
        if numbers[:, Column.EXTRA_BYTES].any() or has_benchmarks.any():
            benchmarks = [numbers[i, BENCHMARKS].tobytes() if has else b"" for i, has in enumerate(has_benchmarks)]
            return [
                stored[start:end] + more + (texts.get(place) or self._text(place)) + self._extra(row) + entries[row]
                for (start, end, place, row), more in zip(columns, benchmarks, strict=True)
            ]
        return [
            stored[start:end] + (texts.get(place) or self._text(place)) + entries[row]
            for start, end, place, row in columns
        ]

    def _text(self, place: tuple[int, int, int]) -> bytes:
        symbol, venue, time_in_force = place
        words = self.symbols.values[symbol], self.venues.values[venue], self.times_in_force.values[time_in_force]
        encoded = msgspec.msgpack.encode(words)
        text = self._texts[place] = len(encoded).to_bytes(2, "little") + encoded
        return text

    def _extra(self, row: int) -> bytes:
        extra = self._extras.get(row)
        return msgspec.msgpack.encode(extra) if extra is not None else b""

    def _set_extra(self, row: int, extra: Extra) -> None:
        if extra == _NO_EXTRA:
            self._extras.pop(row, None)
            self.numbers[row, Column.EXTRA_BYTES] = 0
        else:
            self._extras[row] = extra
            self.numbers[row, Column.EXTRA_BYTES] = len(msgspec.msgpack.encode(extra))

    def order(self, row: int) -> Order | None:
        """The row as an object, with its recent executions; None for an order not yet known."""
        n = self.numbers[row].tolist()
        if n[Column.LAST_EVENT_AT] == NONE:
            return None
        extra = self._extras.get(row, _NO_EXTRA)
        volume, turnover = n[Column.MARKET_VOLUME], n[Column.MARKET_TURNOVER]
        statuses, executions = n[Column.STATUS_SOURCE], n[Column.EXECUTION_SOURCE]
        return Order(
            key=self.keys[row].decode(),
            symbol=self.symbols.values[n[Column.SYMBOL]] or "",
            side=SIDES[n[Column.SIDE]],
            quantity=n[Column.QUANTITY],
            limit_price=_optional(n[Column.LIMIT_PRICE]),
            time_in_force=self.times_in_force.values[n[Column.TIME_IN_FORCE]],
            venue=self.venues.values[n[Column.VENUE]],
            parent_id=extra.parent_id,
            is_parent=extra.is_parent,
            arrival_price=_optional(n[Column.ARRIVAL_PRICE]),
            decision_price=_optional(n[Column.DECISION_PRICE]),
            accepted_at=None if volume == NONE else Market(volume, turnover),
            engine=VOICES[n[Column.ENGINE]],
            at_venue=VOICES[n[Column.AT_VENUE]],
            filled=n[Column.FILLED],
            notional=n[Column.NOTIONAL],
            commission=n[Column.COMMISSION],
            total_fees=n[Column.TOTAL_FEES],
            trade_date=_optional(n[Column.TRADE_DATE]),
            day=extra.day,
            sequence=n[Column.SEQUENCE],
            anomalies=n[Column.ANOMALIES],
            last_event_at=n[Column.LAST_EVENT_AT],
            statuses_seen=Position(statuses, n[Column.STATUS_SEQUENCE]) if statuses else None,
            executions_seen=VenuePosition(executions, n[Column.EXECUTION_SEQUENCE], n[Column.CUM_REPORTED])
            if executions
            else None,
            other_statuses_seen=extra.other_statuses_seen,
            other_executions_seen=extra.other_executions_seen,
            superseded=extra.superseded,
            waiting=extra.waiting,
            splits=extra.splits,
            end_price=extra.end_price,
            replaced_at_venue=extra.replaced_at_venue,
            executions=tuple(execution_of(entry) for entry in split(self.entries[row])),
        )

    def store(self, row: int, order: Order, expire_at_ms: int) -> None:
        """Writes an order that was seen as an object back into its row."""
        n = self.numbers[row]
        n[: Column.CHUNKS] = (
            expire_at_ms,
            order.last_event_at,
            order.quantity,
            order.filled,
            order.notional,
            order.commission,
            order.total_fees,
            order.sequence,
            _number(order.arrival_price),
            _number(order.limit_price),
            *(order.statuses_seen or (0, 0)),
            *(order.executions_seen or (0, -1, 0)),
            order.anomalies,
        )
        n[Column.ENGINE :] = (
            VOICE_NUMBERS[order.engine],
            VOICE_NUMBERS[order.at_venue],
            SIDES.index(Side(order.side)),
            n[Column.RECENT],
            _number(order.trade_date),
            self.symbols.number(order.symbol),
            self.venues.number(order.venue),
            self.times_in_force.number(order.time_in_force),
            _number(order.decision_price),
            *(order.accepted_at or (NONE, NONE)),
        )
        self._set_extra(row, Extra.of(order))
        self.set_entries(row, [entry_of(execution) for execution in order.executions])

    def set_entries(self, row: int, entries: list[bytes]) -> None:
        """Sets a row's executions, oldest first; when there are too many for the row, the oldest leave in chunks."""
        n = self.numbers[row]
        full = max(0, len(entries) - 1) // RECENT_MAX * RECENT_MAX
        for start in range(0, full, RECENT_MAX):
            leaving, number = entries[start : start + RECENT_MAX], int(n[Column.CHUNKS])
            hashes = [hash_of(entry) for entry in leaving]
            _note(self.moved(row), hashes, number)
            self._cut[row, number] = np.array(hashes, np.int64).tobytes() + b"".join(leaving)
            n[Column.CHUNKS] = number + 1
        entries = entries[full:]
        n[Column.RECENT] = len(entries)
        n[HASHES] = [hash_of(entry) for entry in entries] + [0] * (RECENT_MAX - len(entries))
        self.entries[row] = b"".join(entries)

    def take_chunks(self) -> list[Chunk]:
        """The chunks that left rows since the last call: the caller stores them."""
        chunks = [Chunk(self.keys[row], number, value) for (row, number), value in self._cut.items()]
        self._cut.clear()
        return chunks

    def moved(self, row: int) -> dict[int, int]:
        """The hashes of the executions that left the row, each with the number of its chunk."""
        moved = self._moved.get(row)
        if moved is None:
            numbers = range(int(self.numbers[row, Column.CHUNKS]))
            chunks = self._load_chunks(self.keys[row], numbers) if numbers else ()
            moved = self._moved[row] = {}
            for number, chunk in zip(numbers, chunks, strict=True):
                _note(moved, np.frombuffer(chunk, np.int64, RECENT_MAX).tolist(), number)
        return moved

    def named(self, row: int, identity: bytes) -> list[bytes]:
        """The entries of an order's executions of an identity, by the identity part of their entries."""
        recent = [entry for entry in split(self.entries[row]) if identity_of(entry) == identity]
        return self._left(row, identity) + recent

    def recall(self, row: int) -> Recall:
        """Answers for the executions that left the row."""
        return Recall(
            lambda identity: [execution_of(entry) for entry in self._left(row, identity_bytes(identity))],
            lambda: [execution_of(entry) for entry in self._all_left(row)],
        )

    def _left(self, row: int, identity: bytes) -> list[bytes]:
        if not self.numbers[row, Column.CHUNKS]:
            return []
        number = self.moved(row).get(hash_identity(identity))
        if number is None:
            return []
        numbers = range(int(self.numbers[row, Column.CHUNKS])) if number == _SEVERAL else (number,)
        return [entry for entry in self._in_chunks(row, numbers) if identity_of(entry) == identity]

    def _all_left(self, row: int) -> list[bytes]:
        return self._in_chunks(row, range(int(self.numbers[row, Column.CHUNKS])))

    def _in_chunks(self, row: int, numbers: Sequence[int]) -> list[bytes]:
        """The entries of some chunks, those that were cut but not yet stored included."""
        stored = [number for number in numbers if (row, number) not in self._cut]
        loaded = dict(zip(stored, self._load_chunks(self.keys[row], stored), strict=True)) if stored else {}
        chunks = (self._cut.get((row, number)) or loaded[number] for number in numbers)
        return [entry for chunk in chunks for entry in split(chunk[8 * RECENT_MAX :])]


def chunk_count(stored: bytes) -> int:
    """How many chunks lie beside a stored row."""
    return int.from_bytes(stored[8 * Column.CHUNKS : 8 * Column.CHUNKS + 8], "little")


def _note(moved: dict[int, int], hashes: Iterable[int], number: int) -> None:
    for value in hashes:
        moved[value] = number if moved.get(value, number) == number else _SEVERAL


def _optional(number: int) -> int | None:
    return None if number == NONE else number


def _number(value: int | None) -> int:
    return NONE if value is None else value
