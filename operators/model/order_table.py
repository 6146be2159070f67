"""Many orders as one table of integers: a row per order, the form in which state is folded, stored and restored.

A stored row is: the stored columns (64-bit each), the hashes of its recent executions, its symbol and venue, its rare
parts, its recent executions. What would let a row grow with the order's life leaves it in chunks of `RECENT_MAX`
executions, each stored once beside the row and read again only to confirm a suspected duplicate.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from itertools import repeat
from typing import Final, NamedTuple
from zlib import crc32

import msgspec
import numpy as np

from operators.model.arrays import Ints, Words
from operators.model.events import Liquidity, OrdStatus, Side
from operators.model.orders import FOREVER_MS, Execution, Identity, Order, Position

NONE: Final = -(2**63)
"""Stands for None in a column whose every other value may occur."""
RECENT_MAX: Final = 8
SIDES: Final = tuple(Side)
STATUSES: Final = tuple(OrdStatus)
LIQUIDITIES: Final[tuple[str | None, ...]] = (None, *Liquidity)


class Column(IntEnum):
    """Columns of the table. Those up to EXTRA_BYTES are stored, so their order is part of stored state."""

    EXPIRE_AT_MS = 0
    LAST_EVENT_AT = 1
    QUANTITY = 2
    FILLED = 3
    NOTIONAL = 4
    COMMISSION = 5
    TOTAL_FEES = 6
    SEQUENCE = 7
    ARRIVAL_PRICE = 8
    ENGINE_CODE = 9
    VENUE_CODE = 10
    SIDE = 11
    STATUS_SOURCE = 12
    STATUS_SEQUENCE = 13
    EXECUTION_SOURCE = 14
    EXECUTION_SEQUENCE = 15
    RECENT = 16
    CHUNKS = 17
    EXTRA_BYTES = 18
    FIRST_HASH = 19
    SYMBOL = FIRST_HASH + RECENT_MAX
    VENUE = SYMBOL + 1


STORED: Final = int(Column.FIRST_HASH)
HASHES: Final = slice(int(Column.FIRST_HASH), int(Column.SYMBOL))
_WIDTH: Final = int(Column.VENUE) + 1
_UNKNOWN: Final = np.zeros(_WIDTH, np.int64)
_UNKNOWN[[Column.LAST_EVENT_AT, Column.ARRIVAL_PRICE]] = NONE
_UNKNOWN[[Column.ENGINE_CODE, Column.VENUE_CODE, Column.SIDE, Column.EXECUTION_SEQUENCE]] = -1
_UNKNOWN[Column.EXPIRE_AT_MS] = FOREVER_MS

ENTRY_HEAD: Final = np.dtype(
    [("quantity", "<i8"), ("price", "<i8"), ("liquidity", "u1"), ("trade_date", "<i4"), ("venue", "u1"), ("id", "u1")]
)
"""What an execution's entry starts with; then come the venue and the execId, whose lengths are the last two fields."""
_HEAD: Final = struct.Struct("<qqBiBB")
HASH_FLAG: Final = 1 << 32
"""Set in every hash, so that 0 marks a free place."""
IDENTITY_AT: Final = 17
"""From here on two entries are equal if and only if they tell of the same execution."""


_SEVERAL: Final = -1
"""In place of a chunk's number: executions in several chunks have this hash."""


class Chunk(NamedTuple):
    """Executions that left a row: to be stored beside it, once, under the order's key and this number (from 0)."""

    key: bytes
    number: int
    value: bytes


LoadChunks = Callable[[bytes, Sequence[int]], Sequence[bytes]]
"""Reads chunks of an order by their numbers, those that were handed out but not yet stored included."""


class _Extra(msgspec.Struct, array_like=True, frozen=True, omit_defaults=True):
    """The parts of an order that few orders have."""

    parent_id: str | None = None
    other_statuses_seen: tuple[Position, ...] = ()
    other_executions_seen: tuple[Position, ...] = ()


_NO_EXTRA: Final = _Extra()
_extra_decoder: Final = msgspec.msgpack.Decoder(_Extra)
_text_decoder: Final = msgspec.msgpack.Decoder(tuple[str | None, str | None])


class OrderTable:
    """A bounded cache of orders; who owns it says which rows come and go. One thread at a time."""

    def __init__(self, load_chunks: LoadChunks, capacity: int = 1024) -> None:
        self._load_chunks = load_chunks
        self.index: dict[bytes, int] = {}
        self.keys: list[bytes] = []
        self.numbers = _unknown(capacity)
        self.last_used = np.zeros(capacity, np.int64)
        self.entries: list[bytes] = []
        """Per row its recent executions, one entry after the other."""
        self.symbols = Words()
        self.venues = Words()
        self._free: list[int] = []
        self._extras: dict[int, _Extra] = {}
        self._texts: dict[tuple[int, int], bytes] = {}
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
                self.numbers = np.concatenate([self.numbers, _unknown(len(self.numbers))])
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
        self.numbers[gone] = _UNKNOWN
        self.last_used[gone] = 0

    def put(self, row: int, stored: bytes) -> None:
        """Fills a row from what `serialise` gave."""
        self.put_many([row], [stored])

    def put_many(self, rows: Sequence[int], stored: Sequence[bytes]) -> None:
        """Fills rows from what `serialise` gave."""
        width = 8 * (STORED + RECENT_MAX)
        joined = b"".join([value[:width].ljust(width, b"\0") for value in stored])
        loaded = np.frombuffer(joined, np.int64).reshape(len(rows), STORED + RECENT_MAX)
        recent, extra_bytes = loaded[:, Column.RECENT], loaded[:, Column.EXTRA_BYTES]
        places = np.zeros((len(rows), 2), np.int64)
        for i, (row, value) in enumerate(zip(rows, stored, strict=True)):
            at = 8 * (STORED + int(recent[i]))
            after_text = at + 2 + int.from_bytes(value[at : at + 2], "little")
            symbol, venue = _text_decoder.decode(value[at + 2 : after_text])
            places[i] = self.symbols.number(symbol), self.venues.number(venue)
            entries_at = after_text + int(extra_bytes[i])
            if entries_at > after_text:
                self._extras[row] = _extra_decoder.decode(value[after_text:entries_at])
            self.entries[row] = value[entries_at:]
        # Bytes after the hashes were read as hashes too.
        hashes = np.where(np.arange(RECENT_MAX) < recent[:, None], loaded[:, STORED:], 0)
        self.numbers[rows] = np.concatenate([loaded[:, :STORED], hashes, places], axis=1)

    def serialise(self, rows: Ints) -> list[bytes]:
        """The rows as bytes; the first eight are the little-endian EXPIRE_AT_MS."""
        numbers = self.numbers[rows]
        stored, width = numbers.tobytes(), 8 * _WIDTH
        ends = 8 * (STORED + numbers[:, Column.RECENT]) + np.arange(len(rows)) * width
        texts, entries, extra = self._texts, self.entries, numbers[:, Column.EXTRA_BYTES].any()
        places = zip(numbers[:, Column.SYMBOL].tolist(), numbers[:, Column.VENUE].tolist(), strict=True)
        columns = zip(range(0, len(stored), width), ends.tolist(), places, rows.tolist(), strict=True)
        if extra:
            return [
                stored[start:end] + (texts.get(place) or self._text(place)) + self._extra(row) + entries[row]
                for start, end, place, row in columns
            ]
        return [
            stored[start:end] + (texts.get(place) or self._text(place)) + entries[row]
            for start, end, place, row in columns
        ]

    def _text(self, place: tuple[int, int]) -> bytes:
        symbol, venue = place
        encoded = msgspec.msgpack.encode((self.symbols.values[symbol], self.venues.values[venue]))
        text = self._texts[place] = len(encoded).to_bytes(2, "little") + encoded
        return text

    def _extra(self, row: int) -> bytes:
        extra = self._extras.get(row)
        return msgspec.msgpack.encode(extra) if extra is not None else b""

    def parent(self, row: int) -> str | None:
        """The parent of a row's order."""
        return self._extras.get(row, _NO_EXTRA).parent_id

    def set_parent(self, row: int, parent_id: str) -> None:
        """Notes the parent of a row's order."""
        self._set_extra(row, msgspec.structs.replace(self._extras.get(row, _NO_EXTRA), parent_id=parent_id))

    def _set_extra(self, row: int, extra: _Extra) -> None:
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
        return Order(
            key=self.keys[row].decode(),
            symbol=self.symbols.values[n[Column.SYMBOL]] or "",
            side=SIDES[n[Column.SIDE]],
            quantity=n[Column.QUANTITY],
            venue=self.venues.values[n[Column.VENUE]],
            parent_id=extra.parent_id,
            arrival_price=None if n[Column.ARRIVAL_PRICE] == NONE else n[Column.ARRIVAL_PRICE],
            engine_code=_status(n[Column.ENGINE_CODE]),
            venue_code=_status(n[Column.VENUE_CODE]),
            filled=n[Column.FILLED],
            notional=n[Column.NOTIONAL],
            commission=n[Column.COMMISSION],
            total_fees=n[Column.TOTAL_FEES],
            sequence=n[Column.SEQUENCE],
            last_event_at=n[Column.LAST_EVENT_AT],
            statuses_seen=_position(n[Column.STATUS_SOURCE], n[Column.STATUS_SEQUENCE]),
            executions_seen=_position(n[Column.EXECUTION_SOURCE], n[Column.EXECUTION_SEQUENCE]),
            other_statuses_seen=extra.other_statuses_seen,
            other_executions_seen=extra.other_executions_seen,
            executions=tuple(execution_of(entry) for entry in split(self.entries[row])),
        )

    def store(self, row: int, order: Order, expire_at_ms: int) -> None:
        """Writes an order that was seen as an object back into its row."""
        n = self.numbers[row]
        statuses, executions = order.statuses_seen or (0, 0), order.executions_seen or (0, -1)
        n[: Column.RECENT] = (
            expire_at_ms,
            order.last_event_at,
            order.quantity,
            order.filled,
            order.notional,
            order.commission,
            order.total_fees,
            order.sequence,
            NONE if order.arrival_price is None else order.arrival_price,
            -1 if order.engine_code is None else STATUSES.index(order.engine_code),
            -1 if order.venue_code is None else STATUSES.index(order.venue_code),
            SIDES.index(Side(order.side)),
            *statuses,
            *executions,
        )
        n[Column.SYMBOL], n[Column.VENUE] = self.symbols.number(order.symbol), self.venues.number(order.venue)
        self._set_extra(row, _Extra(order.parent_id, order.other_statuses_seen, order.other_executions_seen))
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

    def counted(self, row: int, identity: bytes) -> bool:
        """Whether an execution was counted before, by the identity part of its entry."""
        return any(entry[IDENTITY_AT:] == identity for entry in split(self.entries[row])) or self._left(row, identity)

    def recall(self, row: int) -> Callable[[Identity], bool]:
        """Answers for the executions that left the row."""
        return lambda identity: self._left(row, identity_bytes(identity))

    def _left(self, row: int, identity: bytes) -> bool:
        if not self.numbers[row, Column.CHUNKS]:
            return False
        number = self.moved(row).get(hash_identity(identity))
        if number is None:
            return False
        numbers = range(int(self.numbers[row, Column.CHUNKS])) if number == _SEVERAL else (number,)
        return any(
            entry[IDENTITY_AT:] == identity for n in numbers for entry in split(self._chunk(row, n)[8 * RECENT_MAX :])
        )

    def _chunk(self, row: int, number: int) -> bytes:
        return self._cut.get((row, number)) or self._load_chunks(self.keys[row], [number])[0]


def chunk_count(stored: bytes) -> int:
    """How many chunks lie beside a stored row."""
    return int.from_bytes(stored[8 * Column.CHUNKS : 8 * Column.CHUNKS + 8], "little")


def entry_of(execution: Execution) -> bytes:
    """An execution as stored."""
    venue, exec_id = execution.venue.encode(), execution.exec_id.encode()
    liquidity = LIQUIDITIES.index(execution.liquidity)
    sizes = (len(venue), len(exec_id))
    head = _HEAD.pack(execution.quantity, execution.price, liquidity, execution.trade_date, *sizes)
    return head + venue + exec_id


def execution_of(entry: bytes) -> Execution:
    """A stored execution."""
    quantity, price, liquidity, trade_date, venue_bytes, _ = _HEAD.unpack_from(entry)
    exec_id_at = _HEAD.size + venue_bytes
    venue, exec_id = entry[_HEAD.size : exec_id_at].decode(), entry[exec_id_at:].decode()
    return Execution(venue, trade_date, exec_id, quantity, price, LIQUIDITIES[liquidity])


def identity_bytes(identity: Identity) -> bytes:
    """The identity part of an entry."""
    return entry_of(Execution(*identity, quantity=0, price=0, liquidity=None))[IDENTITY_AT:]


def hash_of(entry: bytes) -> int:
    """A number that differs for most executions and is equal for equal ones."""
    return hash_identity(entry[IDENTITY_AT:])


def hash_identity(identity: bytes) -> int:
    """The hash of the identity part of an entry."""
    return crc32(identity) | HASH_FLAG


def split(entries: bytes) -> Iterator[bytes]:
    """The single entries."""
    at, size = 0, _HEAD.size
    while at < len(entries):
        end = at + size + entries[at + size - 2] + entries[at + size - 1]
        yield entries[at:end]
        at = end


def _unknown(count: int) -> Ints:
    rows = np.empty((count, _WIDTH), np.int64)
    rows[:] = _UNKNOWN
    return rows


def _note(moved: dict[int, int], hashes: Iterable[int], number: int) -> None:
    for value in hashes:
        moved[value] = number if moved.get(value, number) == number else _SEVERAL


def _status(number: int) -> OrdStatus | None:
    return STATUSES[number] if number >= 0 else None


def _position(source: int, sequence: int) -> Position | None:
    return Position(source, sequence) if source else None
