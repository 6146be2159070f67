"""The orders that the join has at hand: rows of a table, a bounded cache over the stores of its key groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from broker.byte_columns import BytesColumn, as_list, lengths
from config.errors import RecordTooLargeError, StoreError
from operators.model.arrays import places
from operators.model.orders.layout import Column
from operators.model.orders.old_executions import Beside, names_beside
from operators.model.orders.table import OrderTable, chunk_count
from operators.state.groups import GroupStores
from operators.state.store import HEADER_BYTES, KEY_BYTES_MAX, NEVER, header
from operators.stream.records import Columns, Ints

EXPIRE_LIMIT: Final = 2_000
"""Closed orders forgotten at most per key group and call: forgetting must not hold up what is new."""
EVICT_SHARE: Final = 8
_BESIDE: Final = b"\x00"
_NEVER: Final = int.from_bytes(NEVER.to_bytes(8, "big"), "little", signed=True)
"""As the big-endian word that a stored value opens with."""


@dataclass(frozen=True, slots=True)
class Values:
    """New values of one key group, by their keys; None forgets a key."""

    group: int
    keys: Sequence[bytes]
    values: BytesColumn


class CachedOrders:
    """The table, and the way of its rows from the stores and back.

    Changed rows are made ready (`changed`) and then either put to the stores (`put`) or taken back, by reading them
    anew. So between two calls the stores have everything, and any row may leave the table.
    """

    def __init__(self, step_id: str, stores: GroupStores, *, rows_max: int, record_bytes_max: int) -> None:
        self._step_id, self._stores = step_id, stores
        self._rows_max, self._record_bytes_max = rows_max, record_bytes_max
        self.table = OrderTable(self._load_beside)
        self._groups = np.zeros(1024, np.int64)
        self._new_beside: dict[bytes, bytes] = {}
        """What is to be stored beside rows and is not yet put to the stores."""
        self._calls = 0

    def call_began(self) -> None:
        """Rows used from now on are newer than those used before."""
        self._calls += 1

    def rows(self, columns: Columns) -> Ints:
        """The table's row of each record's key; rows that are not in memory are read, those that are nowhere made."""
        table, keys = self.table, columns.keys
        rows = table.find(keys)
        missing = places(rows < 0)
        if len(missing):
            self._load(missing.tolist(), columns)
            rows[missing] = table.find([keys[i] for i in missing.tolist()])
        table.last_used[rows] = self._calls
        return rows

    def _load(self, missing: Sequence[int], columns: Columns) -> None:
        wanted: dict[int, dict[bytes, None]] = {}
        for i, group in zip(missing, columns.groups[np.array(missing)].tolist(), strict=True):
            wanted.setdefault(group, {})[columns.keys[i]] = None
        for group, keys in wanted.items():
            self._read(group, list(keys))

    def _read(self, group: int, keys: Sequence[bytes]) -> None:
        """Makes rows for keys that have none, filled from the stores where these have them."""
        found = self._stores.get_many(group, keys)
        rows = np.array([self.table.add(key) for key in keys], np.int64)
        self._grow(int(rows.max()))
        self._groups[rows] = group
        if found:
            known = [(row, found[key]) for row, key in zip(rows.tolist(), keys, strict=True) if key in found]
            try:
                self.table.put_many([row for row, _ in known], [value[HEADER_BYTES:] for _, value in known])
            except Exception as error:  # whatever another layout makes of the bytes; no event is to blame for it
                raise self._unreadable(group, error) from error

    def _unreadable(self, group: int, error: Exception) -> StoreError:
        return StoreError(
            f"step {self._step_id}: stored orders of key group {group} cannot be read: {error}. Another version wrote "
            f"them: go back to it, or delete the step's stores and topic {self._stores.changelog}, as the lines "
            "'State:' in CHANGELOG.md tell, and read the inputs anew"
        )

    def _grow(self, row: int) -> None:
        if row >= len(self._groups):
            self._groups = np.concatenate([self._groups, np.zeros(max(len(self._groups), row), np.int64)])

    def _load_beside(self, key: bytes, names: Sequence[bytes]) -> list[bytes]:
        keys, new = [key + _BESIDE + name for name in names], self._new_beside
        try:
            group = int(self._groups[self.table.index[key]])
            found = self._stores.get_many(group, [beside for beside in keys if beside not in new])
        except Exception as error:  # within the fold, where only an event would be blamed for it
            raise StoreError(f"step {self._step_id}: what lies beside {key!r} cannot be read: {error}") from error
        return [(new.get(beside) or found[beside])[HEADER_BYTES:] for beside in keys]

    def beside(self, told: Sequence[Beside]) -> list[Values]:
        """What is to lie beside rows, as it is stored; it can be read back at once. Raises as `changed` does."""
        ready: dict[int, tuple[list[bytes], list[bytes]]] = {}
        for beside in told:
            key, value = beside.key + _BESIDE + beside.name, header() + beside.value
            self._check_size(len(key) + len(value))
            self._new_beside[key] = value
            keys, values = ready.setdefault(int(self._groups[self.table.index[beside.key]]), ([], []))
            keys.append(key)
            values.append(value)
        return [Values(group, keys, values) for group, (keys, values) in ready.items()]

    def changed(self, rows: Ints) -> list[Values]:
        """Changed rows as they are stored; `RecordTooLargeError` if one is larger than the changelog takes."""
        if not len(rows):
            return []
        table = self.table
        groups = self._groups[rows]
        order = np.argsort(groups, kind="stable")
        rows, groups = rows[order], groups[order]
        keys = [table.keys[row] for row in rows.tolist()]
        due = table.numbers[rows, Column.EXPIRE_AT_MS]
        stored = table.serialise(rows, np.stack([due.byteswap(), np.full_like(due, _NEVER)], axis=1))
        sizes = lengths(stored)
        if sizes.max() + KEY_BYTES_MAX > self._record_bytes_max:
            for key, size in zip(keys, sizes.tolist(), strict=True):
                self._check_size(len(key) + size)
        starts = [0, *(places(groups[1:] != groups[:-1]) + 1).tolist()]
        return [
            Values(int(groups[start]), keys[start:end], stored.slice(start, end - start))
            for start, end in zip(starts, [*starts[1:], len(rows)], strict=True)
        ]

    def _check_size(self, size_bytes: int) -> None:
        most = self._record_bytes_max
        if size_bytes > most:
            raise RecordTooLargeError(topic=self._stores.changelog, index=0, size_bytes=size_bytes, size_bytes_max=most)

    def put(self, new: Sequence[Values]) -> None:
        """Puts to the stores what was made ready."""
        self._new_beside.clear()
        for values in new:
            self._stores.put_many(values.group, values.keys, as_list(values.values))

    def take_back(self, rows: Ints) -> None:
        """Makes rows what they were before they were changed; each order keeps its row."""
        self._new_beside.clear()
        self.table.take_beside()
        for row in rows.tolist():
            group, key = int(self._groups[row]), self.table.keys[row]
            self.table.drop([row])
            self._read(group, [key])
            self.table.last_used[row] = self._calls

    def expire(self) -> Iterator[Values]:
        """Forgets closed orders whose time has come: the row, what lies beside it, and their places in the table."""
        for group in self._stores.open_groups:
            until_ms = self._stores.stream_time_ms(group)
            due = [key for _, key in self._stores.due(group, until_ms, EXPIRE_LIMIT)]
            if not due:
                continue
            gone: list[bytes] = []
            for key, value in self._stores.get_many(group, due).items():
                # Later events may have put it off since the index was written.
                if int.from_bytes(value[:8], "big") <= until_ms:
                    gone.append(key)
                    gone += [key + _BESIDE + name for name in names_beside(chunk_count(value[HEADER_BYTES:]))]
            self.table.drop([self.table.index[key] for key in gone if key in self.table.index])
            forgotten = Values(group, gone, [None] * len(gone))
            self.put([forgotten])
            yield forgotten

    def evict(self) -> None:
        """Lets the rows longest unused leave the table when it is over its bound; the stores have them."""
        table = self.table
        over = len(table) - self._rows_max
        if over <= 0:
            return
        used = np.fromiter(table.index.values(), np.int64, len(table))
        count = min(len(used), over + self._rows_max // EVICT_SHARE)
        oldest = used[np.argpartition(table.last_used[used], count - 1)[:count]]
        table.drop(oldest[table.last_used[oldest] < self._calls].tolist())
