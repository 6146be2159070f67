"""Exchanges: every row goes to the owner of its key group, and the parts of a whole epoch are taken in one go."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.stream.agreement import Agreement
from operators.stream.exchange import AgreementSink, Exchange, everyone, owned, split_by_owner
from operators.stream.records import Columns, Origin, Part, RecordCopy


def columns(groups: list[int]) -> Columns:
    keys = [b"%d" % number for number in range(len(groups))]
    records = [RecordCopy(("topic", 0, number, key, None, None, (0, 0))) for number, key in enumerate(keys)]
    batch = pa.RecordBatch.from_pydict({"number": pa.array(range(len(keys)), pa.int64())})
    times = np.zeros(len(keys), np.int64)
    return Columns("topic", batch, keys, keys, np.array(groups, np.int64), times, Origin(records))


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 4))
def test_splitting_keeps_every_row_once_and_in_order_and_brings_it_to_the_owner(
    groups: list[int], processes: int
) -> None:
    pieces = split_by_owner(columns(groups), processes)
    assert sorted(row for _, piece in pieces for row in piece.batch.column("number").to_pylist()) == list(
        range(len(groups))
    )
    for owner, piece in pieces:
        rows = piece.batch.column("number").to_pylist()
        assert rows == sorted(rows)
        assert [groups[row] for row in rows] == piece.groups.tolist()
        assert set(piece.groups.tolist()) <= set(owned(owner, processes, 10))
        assert [record.offset() for record in piece.origin.records] == rows


def part(sender: int, epoch: int, lanes: int) -> Part:
    return Part(sender, epoch, 0, {}, lanes)


def test_parts_that_need_nobody_pass_at_once() -> None:
    exchange, parts = Exchange(Agreement(0, 2)), [part(1, 0, 0), part(0, 0, 0)]
    assert exchange.complete(1, parts, feeders=[0]) == parts


@pytest.mark.parametrize(("feeders", "needed"), [([0], 2), ([1], 3), ([0, 1], 5)])
def test_a_whole_epoch_needs_the_lanes_that_go_on_and_every_process_of_a_later_segment(
    feeders: list[int], needed: int
) -> None:
    exchange = Exchange(Agreement(0, 3))
    parts = [part(sender, 7, 2) for sender in reversed(range(needed))]
    for each in parts[:-1]:
        assert exchange.complete(2, [each], feeders=feeders) == []
    assert exchange.complete(2, parts[-1:], feeders=feeders) == parts[::-1]
    exchange.epoch_began(8)


def test_segments_and_epochs_wait_for_themselves() -> None:
    exchange = Exchange(Agreement(0, 2))
    assert exchange.complete(1, [part(0, 1, 2), part(0, 2, 2)], feeders=[0]) == []
    assert exchange.complete(2, [part(1, 1, 2)], feeders=[1]) == []
    assert [each.epoch for each in exchange.complete(1, [part(1, 1, 2)], feeders=[0])] == [1, 1]


def test_every_process_has_a_part_where_it_is_told_things() -> None:
    sinks = [AgreementSink(Agreement(index, 12)) for index in range(12)]
    parts = sorted(name for sink in sinks for name in sink.list_parts())
    for index, (sink, key) in enumerate(zip(sinks, everyone(12), strict=True)):
        assert [parts[sink.part_fn(key)]] == sinks[index].list_parts()
