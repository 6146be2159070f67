"""Many orders as one table of integers: a row per order, the form in which state is folded, stored and restored.

A stored row is: the stored columns (64-bit each, small ones packed into one), the hashes of its recent executions, its
benchmarks and its day's sums where it has some, its symbol, venue and time in force, its parent where it has one, its
rare parts, its recent executions. What would let a row grow with the order's life leaves it in chunks of `RECENT_MAX`
executions, each stored once beside the row and read again only to confirm a suspected duplicate, or for a bust or
correction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import repeat
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.model.arrays import Array, Ints, Words, are_few, strings
from operators.model.orders.layout import (
    BENCHMARK_BYTES,
    BENCHMARKS,
    DAY,
    DAY_BYTES,
    HASHES,
    RECENT_MAX,
    STORED,
    UNKNOWN,
    WIDTH,
    Column,
    Extra,
    pack,
    unknown,
    unpack,
)
from operators.model.orders.lifecycle import GOOD_TILL
from operators.model.orders.old_executions import Beside, OldExecutions
from operators.model.orders.state import name_id
from operators.model.orders.stored_executions import hash_of, identity_of, split

BinaryArray: TypeAlias = Any
"""A `pyarrow.BinaryArray`."""
LoadBeside = Callable[[bytes, Sequence[bytes]], Sequence[bytes]]
"""Reads what was stored beside an order's row, by the order's key and the names, as of the last `take_beside`."""

_WORDS: Final = (Column.SYMBOL, Column.VENUE, Column.TIME_IN_FORCE)
_NOTHING_BETWEEN: Final = pa.scalar(b"", pa.binary())
_NO_EXTRA: Final = Extra()
_extra_decoder: Final = msgspec.msgpack.Decoder(Extra)
_text_decoder: Final = msgspec.msgpack.Decoder(tuple[str | None, str | None, str | None])


class OrderTable:
    """A bounded cache of orders; who owns it says which rows come and go. One thread at a time."""

    def __init__(self, load_beside: LoadBeside, capacity: int = 1024) -> None:
        self._load_beside = load_beside
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
        self._parents: dict[int, str] = {}
        self._extras: dict[int, Extra] = {}
        self._texts: dict[tuple[int, int, int], bytes] = {}
        self._old: dict[int, OldExecutions] = {}
        self._grown: set[int] = set()

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
            self._parents.pop(row, None)
            self._extras.pop(row, None)
            self._old.pop(row, None)
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
        has = zip(*(part.tolist() for part in unpack(numbers)), strict=True)
        recent, extra_bytes = numbers[:, Column.RECENT], numbers[:, Column.EXTRA_BYTES].tolist()
        # Bytes after the hashes were read as hashes too.
        numbers[:, HASHES] = np.where(np.arange(RECENT_MAX) < recent[:, None], loaded[:, STORED:], 0)
        texts = []
        for i, (row, value, count, (benchmarks, day, parent)) in enumerate(
            zip(rows, stored, recent.tolist(), has, strict=True)
        ):
            at = 8 * (STORED + count)
            if benchmarks:
                numbers[i, BENCHMARKS] = np.frombuffer(value, np.int64, BENCHMARK_BYTES // 8, at)
                at += BENCHMARK_BYTES
            if day:
                numbers[i, DAY] = np.frombuffer(value, np.int64, DAY_BYTES // 8, at)
                at += DAY_BYTES
            after_text = at + 2 + int.from_bytes(value[at : at + 2], "little")
            texts.append(value[at + 2 : after_text])
            if parent:
                at, after_text = after_text + 1, after_text + 1 + value[after_text]
                self._parents[row] = value[at:after_text].decode()
                numbers[i, Column.PARENT] = name_id(self._parents[row])
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

    def serialise(self, rows: Ints, head: Ints) -> BinaryArray:
        """The rows as bytes, each behind the 64-bit words that `head` has for it.

        The first eight bytes of a row itself are the little-endian EXPIRE_AT_MS.
        """
        numbers = self.numbers[rows]
        parts = pack(numbers)
        fits = np.ones((len(rows), head.shape[1] + WIDTH), np.bool_)
        stored = fits[:, head.shape[1] :]
        stored[:, STORED:] = False
        stored[:, HASHES] = np.arange(RECENT_MAX) < numbers[:, Column.RECENT, None]
        stored[:, BENCHMARKS] = parts.benchmarks[:, None]
        stored[:, DAY] = parts.day[:, None]
        words = np.concatenate([head, numbers], axis=1)[fits]
        columns = [_binary(words, 8 * fits.sum(axis=1)), self._texts_of(numbers)]
        if parts.parent.any() or numbers[:, Column.EXTRA_BYTES].any():
            columns.append(pa.array([self._rare(row) for row in rows.tolist()], pa.binary()))
        columns.append(pa.array([self.entries[row] for row in rows.tolist()], pa.binary()))
        return pc.binary_join_element_wise(*columns, _NOTHING_BETWEEN)

    def _texts_of(self, numbers: Ints) -> BinaryArray:
        """Symbol, venue and time in force of each row, behind their length."""
        if are_few(numbers):
            places = zip(*(numbers[:, column].tolist() for column in _WORDS), strict=True)
            return pa.array([self._text(place) for place in places], pa.binary())
        symbol, venue, time_in_force = (numbers[:, column] for column in _WORDS)
        venues, times = len(self.venues.values), len(self.times_in_force.values)
        distinct, of = np.unique((symbol * venues + venue) * times + time_in_force, return_inverse=True)
        texts = [self._text((at // times // venues, at // times % venues, at % times)) for at in distinct.tolist()]
        return pa.array(texts, pa.binary()).take(pa.array(of))

    def _text(self, place: tuple[int, int, int]) -> bytes:
        text = self._texts.get(place)
        if text is None:
            symbol, venue, time_in_force = place
            words = self.symbols.values[symbol], self.venues.values[venue], self.times_in_force.values[time_in_force]
            encoded = msgspec.msgpack.encode(words)
            text = self._texts[place] = len(encoded).to_bytes(2, "little") + encoded
        return text

    def _rare(self, row: int) -> bytes:
        """The parent, behind its length, and the rare parts."""
        parent, extra = self._parents.get(row), self._extras.get(row)
        named = b"" if parent is None else _behind_its_length(parent.encode())
        return named if extra is None else named + msgspec.msgpack.encode(extra)

    def parent(self, row: int) -> str | None:
        """The id of a row's parent."""
        return self._parents.get(row)

    def parents(self, rows: Ints) -> Array:
        """The id of each row's parent, as a string column."""
        return strings([self._parents.get(row) for row in rows.tolist()])

    def set_parent(self, row: int, parent_id: str | None) -> None:
        """Sets the id of a row's parent."""
        if parent_id is None:
            self._parents.pop(row, None)
            self.numbers[row, Column.PARENT] = 0
        else:
            self._parents[row] = parent_id
            self.numbers[row, Column.PARENT] = name_id(parent_id)

    def rare_parts(self, row: int) -> Extra:
        """A row's rare parts."""
        return self._extras.get(row, _NO_EXTRA)

    def set_rare_parts(self, row: int, extra: Extra) -> None:
        """Sets a row's rare parts."""
        if extra == _NO_EXTRA:
            self._extras.pop(row, None)
            self.numbers[row, Column.EXTRA_BYTES] = 0
        else:
            self._extras[row] = extra
            self.numbers[row, Column.EXTRA_BYTES] = len(msgspec.msgpack.encode(extra))

    def set_entries(self, row: int, entries: list[bytes]) -> None:
        """Sets a row's executions, oldest first; when there are too many for the row, the oldest leave in chunks."""
        n = self.numbers[row]
        full = max(0, len(entries) - 1) // RECENT_MAX * RECENT_MAX
        if full:
            old = self.old(row)
            for start in range(0, full, RECENT_MAX):
                old.add(entries[start : start + RECENT_MAX])
            n[Column.CHUNKS] += full // RECENT_MAX
            self._grown.add(row)
            entries = entries[full:]
        n[Column.RECENT] = len(entries)
        n[HASHES] = [hash_of(entry) for entry in entries] + [0] * (RECENT_MAX - len(entries))
        self.entries[row] = b"".join(entries)

    def take_beside(self) -> list[Beside]:
        """What is to be stored beside rows since the last call: the caller stores it."""
        written = [
            Beside(self.keys[row], name, value) for row in self._grown for name, value in self._old[row].take().items()
        ]
        self._grown.clear()
        return written

    def old(self, row: int) -> OldExecutions:
        """The executions that left a row."""
        old = self._old.get(row)
        if old is None:
            load = partial(self._load_beside, self.keys[row])
            old = self._old[row] = OldExecutions(int(self.numbers[row, Column.CHUNKS]), load)
        return old

    def named(self, row: int, identity: bytes) -> list[bytes]:
        """The entries of an order's executions of an identity, by the identity part of their entries."""
        recent = [entry for entry in split(self.entries[row]) if identity_of(entry) == identity]
        return self.old(row).named(identity) + recent if self.numbers[row, Column.CHUNKS] else recent


def chunk_count(stored: bytes) -> int:
    """How many chunks lie beside a stored row."""
    return int.from_bytes(stored[8 * Column.CHUNKS : 8 * Column.CHUNKS + 8], "little")


def _behind_its_length(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def _binary(words: Ints, lengths: Ints) -> BinaryArray:
    """Words one after the other as byte strings of the given lengths."""
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.Array.from_buffers(pa.binary(), len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(words)])
