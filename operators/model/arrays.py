"""Whole-array tools of the columnar path: events grouped by row, words as numbers, and parts of strings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
Array: TypeAlias = Any
RecordBatch: TypeAlias = Any

_BAR: Final = ord("|")
_FEW: Final = 200


def are_few(values: Sequence[Any] | Array) -> bool:
    """Whether to walk over values costs less than calls that are made for many."""
    return len(values) <= _FEW


def places(flags: Flags) -> Ints:
    """Where it holds; `np.flatnonzero` without the steps that it takes for other shapes."""
    found: Ints = flags.nonzero()[0]
    return found


class Groups:
    """Events grouped by their row of a table. What is per event is in order of arrival, what is per group by row."""

    def __init__(self, rows: Ints) -> None:
        count = len(rows)
        self.order = np.argsort(rows, kind="stable")
        by_row = rows[self.order]
        is_first = np.ones(count, np.bool_)
        np.not_equal(by_row[1:], by_row[:-1], out=is_first[1:])
        self.starts = places(is_first)
        ends = np.empty_like(self.starts)
        ends[:-1], ends[-1:] = self.starts[1:], count
        self.sizes = ends - self.starts
        self.rows = by_row[self.starts]
        """The row of each group."""
        self.first = self.order[self.starts]
        """The first event of each group."""
        self.last = self.order[ends - 1]
        self._sorted_of = is_first.cumsum() - 1
        self.of = self._back(self._sorted_of)
        """The group of each event."""

    def rank(self) -> Ints:
        """How many events of the same row came before, per event."""
        return self._back(np.arange(len(self.order)) - self.starts[self._sorted_of])

    def running_sum(self, values: Ints, start: Ints) -> Ints:
        """Per event the sum up to and with it; `start` per group."""
        sums = values[self.order].cumsum()
        before = np.where(self.starts > 0, sums[self.starts - 1], 0)
        return self._back(sums + (start - before)[self._sorted_of])

    def previous(self, values: Ints, start: Ints) -> Ints:
        """Per event the value of the event before it; `start` per group for the first."""
        by_row, result = values[self.order], np.empty(len(values), np.int64)
        result[1:] = by_row[:-1]
        result[self.starts] = start
        return self._back(result)

    def latest(self, holds: Flags) -> Ints:
        """Per event the last one of its row, up to and with it, for which it holds; -1 where there is none."""
        if holds.all():
            return np.arange(len(holds))
        by_row = np.maximum.accumulate(np.where(holds[self.order], np.arange(len(holds)), -1))
        found = by_row >= self.starts[self._sorted_of]
        return self._back(np.where(found, self.order[by_row], -1))

    def running_count(self, holds: Flags) -> Ints:
        """Per event of how many of its row, up to and with it, it holds."""
        return (
            self.rank() + 1
            if holds.all()
            else self.running_sum(holds.astype(np.int64), np.zeros(len(self.rows), np.int64))
        )

    def total(self, holds: Flags) -> Ints:
        """Per group of how many of its events it holds."""
        return self.sizes if holds.all() else np.add.reduceat(holds[self.order].astype(np.int64), self.starts)

    def all(self, holds: Flags) -> Flags:
        """Per group whether it holds for each of its events."""
        return np.logical_and.reduceat(holds[self.order], self.starts)

    def largest(self, values: Ints) -> Ints:
        """Per group the largest value."""
        return np.maximum.reduceat(values[self.order], self.starts)

    def _back(self, by_row: Ints) -> Ints:
        result = np.empty(len(by_row), np.int64)
        result[self.order] = by_row
        return result


class Words:
    """Strings that repeat (symbols, venues) as small numbers. 0 is null. Numbers are good in this process only."""

    def __init__(self, known: Sequence[str] = ()) -> None:
        self.values: list[str | None] = [None, *known]
        self._numbers = {word: number for number, word in enumerate(self.values)}
        self._array = pa.array(self.values, pa.string())

    def number(self, word: str | None) -> int:
        """The number of a word, given at first sight."""
        number = self._numbers.get(word)
        if number is None:
            number = self._numbers[word] = len(self.values)
            self.values.append(word)
        return number

    def numbers(self, column: Array) -> Ints:
        """The numbers of a string column."""
        return numbers_by_word(column, self.number, null=0)

    def column(self, numbers: Ints) -> Array:
        """The string column of some numbers."""
        if are_few(numbers):
            values = self.values
            return pa.array([values[number] for number in numbers.tolist()], pa.string())
        if len(self._array) != len(self.values):
            self._array = pa.array(self.values, pa.string())
        return self._array.take(pa.array(numbers))


def numbers_by_word(column: Array, number: Callable[[str], int], *, null: int) -> Ints:
    """A number per value of a string column, asked for once per distinct word."""
    if are_few(column):
        words = column.to_pylist()
        by_word = {word: null if word is None else number(word) for word in dict.fromkeys(words)}
        return np.array([by_word[word] for word in words], np.int64)
    encoded = column.dictionary_encode()
    indices = encoded.indices
    by_index = np.array([*(number(word) for word in encoded.dictionary.to_pylist()), null], np.int64)
    if indices.null_count:
        indices = indices.fill_null(len(by_index) - 1)
    positions: NDArray[np.int32] = indices.to_numpy()
    return by_index[positions]


def integers(column: Array, null: int = 0) -> Ints:
    """An integer column as int64, with a value in place of null."""
    if column.null_count:
        if none_valid(column):
            return np.full(len(column), null, np.int64)
        column = column.fill_null(null)
    values: Ints = column.to_numpy().astype(np.int64, copy=False)
    return values


def byte_lengths(column: Array) -> Ints:
    """Length in UTF-8 of each string, 0 for null."""
    offsets = _offsets(column)
    lengths: Ints = (offsets[1:] - offsets[:-1]).astype(np.int64)
    return lengths


def after_bar(column: Array) -> tuple[Array, Flags]:
    """What follows the first bar of each string, and whether there is something on both sides of it."""
    count = len(column)
    if are_few(column):
        return _after_bar_of_few(column)
    offsets, data = _buffers(column)
    starts, ends = offsets[:-1].astype(np.int64), offsets[1:].astype(np.int64)
    bars = np.flatnonzero(data == _BAR)
    # The first bar at or after each start; beyond the end of the string there is none in it.
    found = np.searchsorted(bars, starts)
    first = np.append(bars, len(data))[found]
    valid = (first > starts) & (first + 1 < ends)
    keep_from = np.where(first < ends, first + 1, starts)
    lengths = ends - keep_from
    new_offsets = np.zeros(count + 1, np.int32)
    np.cumsum(lengths, out=new_offsets[1:])
    kept = data[np.repeat(keep_from - new_offsets[:-1], lengths) + np.arange(new_offsets[-1])]
    return pa.StringArray.from_buffers(count, pa.py_buffer(new_offsets), pa.py_buffer(kept)), valid


def texts_are(column: Array, texts: Sequence[bytes]) -> bool:
    """Whether a string column has just these texts in UTF-8; compares all of their bytes at once."""
    if column.null_count or len(column) != len(texts):
        return False
    offsets, data = _buffers(column)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    return bool((offsets[1:] - offsets[:-1] == lengths).all()) and data.tobytes() == b"".join(texts)


def all_are(column: Array, text: bytes) -> bool:
    """Whether every text of a string column is this one, in UTF-8."""
    if column.null_count:
        return False
    offsets, data = _buffers(column)
    return bool((offsets[1:] - offsets[:-1] == len(text)).all()) and data.tobytes() == text * len(column)


def among(values: Ints, others: Ints) -> Flags:
    """Which of some rows of a table are among others; a row is a small number."""
    marks = np.zeros(max(values.max(initial=0), others.max(initial=0)) + 1, np.bool_)
    marks[others] = True
    found: Flags = marks[values]
    return found


def _after_bar_of_few(column: Array) -> tuple[Array, Flags]:
    parts = [(text or "").partition("|") for text in column.to_pylist()]
    after = [after if bar else before for before, bar, after in parts]
    valid = np.array([bool(before and bar and after) for before, bar, after in parts], np.bool_)
    return pa.array(after, pa.string()), valid


def optional(columns: Array, name: str, kind: Array) -> Array:
    """A column of a batch, or a field of a column of structs; nulls where an older schema does not have it."""
    kinds = columns.schema if isinstance(columns, pa.RecordBatch) else columns.type
    if kinds.get_field_index(name) < 0:
        return pa.nulls(len(columns), kind)
    return columns.column(name) if isinstance(columns, pa.RecordBatch) else columns.field(name)


def none_valid(column: Array) -> bool:
    """Whether every value of a column is null."""
    return bool(column.null_count == len(column))


def strings(values: Sequence[str | None]) -> Array:
    """A string column."""
    return pa.array(values, pa.string())


def _buffers(column: Array) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Offsets and bytes of a string column; the offsets point into the bytes whatever slice the column is."""
    data, ends = column.buffers()[2], _offsets(column)
    whole = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return ends - ends[0], whole[ends[0] : ends[-1]]


def _offsets(column: Array) -> NDArray[np.int32]:
    """Where each string of a column begins, and the last one ends, among the bytes of its buffer."""
    at, count = column.offset, len(column)
    if not count:
        return np.zeros(1, np.int32)
    return np.frombuffer(column.buffers()[1], np.int32, at + count + 1)[at:]
