"""Halves of a batch: together they are the batch, in its order, and each is smaller."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from operators.model.orders.fold import fold_executions, fold_statuses
from operators.steps.folding import Part, halves
from operators.stream.records import Columns, Origin, RecordCopy


def part(start: int, count: int, fold: Any) -> Part:
    numbers = np.arange(start, start + count)
    keys = [b"%d" % number for number in numbers]
    records = [RecordCopy(("t", 0, int(number), b"", b"", None, (0, 0))) for number in numbers]
    batch = pa.RecordBatch.from_arrays([pa.array(numbers)], names=["number"])
    return Part(fold, Columns("t", batch, keys, keys, numbers, numbers, Origin(records)), numbers)


def events(parts: list[Part]) -> list[tuple[Any, ...]]:
    found = []
    for one in parts:
        columns = one.columns
        offsets = [record.offset() for record in columns.origin.records]
        assert len(one) == len(columns) > 0
        values = (one.rows.tolist(), columns.batch.column(0).to_pylist(), columns.keys, offsets)
        found += [(one.fold, *row) for row in zip(*values, strict=True)]
    return found


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_halves_are_the_whole_in_order_and_differ_by_one_at_most(sizes: list[int]) -> None:
    parts, start = [], 0
    for turn, size in enumerate(sizes):
        parts.append(part(start, size, (fold_statuses, fold_executions)[turn % 2]))
        start += size
    first, second = halves(parts)
    assert events(first) + events(second) == events(parts)
    assert len(events(second)) - len(events(first)) in (0, 1)
