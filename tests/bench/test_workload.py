"""The workloads are the same on every machine, and say what a correct job makes of them."""

import hashlib
from dataclasses import fields

import numpy as np
import pytest

from bench.key_workload import QUANTITY, KeyWorkload
from bench.peers.harness import wire
from bench.peers.harness.workload import NEW, TRADE, Workload, expected, generate

# A change means that figures before and after are of different work: renew it knowingly, after an update of numpy.
GOLDEN = "8642e341"


def checksum(work: Workload) -> str:
    digest = hashlib.sha256()
    for part in (work.orders, work.fills, work.events):
        for column in fields(part):
            digest.update(np.ascontiguousarray(getattr(part, column.name)).astype(np.int64).tobytes())
    return digest.hexdigest()[:8]


def test_the_workload_of_a_seed_is_always_the_same() -> None:
    assert checksum(generate(1_000, 1)) == GOLDEN
    assert checksum(generate(1_000, 2)) != GOLDEN


def test_the_expected_fills_are_those_of_the_events_without_their_duplicates() -> None:
    work = generate(1_000, 1)
    events = work.events
    fresh = (events.kind == TRADE) & ~events.duplicate
    filled = np.zeros(1_000, dtype=np.int64)
    np.add.at(filled, events.order[fresh], work.fills.quantity[events.fill[fresh]])
    assert np.array_equal(filled, expected(work).filled)
    assert events.duplicate.any()


def test_an_encoded_status_decodes_to_its_order() -> None:
    work = generate(100, 1)
    statuses, executions = wire.encode(work, work.events)
    batch = wire.decode(statuses.values, "orders.status")
    assert wire.order_numbers(batch).tolist() == work.events.order[statuses.index].tolist()
    assert wire.ints(batch.column("occurredAt")).tolist() == work.events.occurred_at[statuses.index].tolist()
    assert len(statuses.values) + len(executions.values) == len(work.events)


def test_occurred_at_stands_where_the_encoder_says() -> None:
    work = generate(10, 1)
    for encoded in wire.encode(work, work.events):
        at, value = encoded.occurred_offset, encoded.values[0]
        assert value[at : at + 8] == wire.micros_bytes(int(work.events.occurred_at[encoded.index[0]]))


def test_each_new_key_gets_one_status_and_then_one_fill() -> None:
    work = KeyWorkload(30_000)
    first, second = work.grow(20_000), work.grow(10_000)
    assert first.numbers is not None
    assert second.numbers is not None
    assert [first.numbers[0], second.numbers[0], work.keys] == [0, 20_000, 30_000]
    for part in (first, second):
        seen: dict[int, list[int]] = {}
        for order, kind in zip(part.events.order.tolist(), part.events.kind.tolist(), strict=True):
            seen.setdefault(order, []).append(kind)
        assert set(map(tuple, seen.values())) == {(NEW, TRADE)}


def test_fills_of_a_key_count_up_whichever_way_it_is_touched() -> None:
    work = KeyWorkload(100)
    work.grow(100)
    newest = work.touch_newest(10, 10)
    anywhere = [work.touch_any(100), work.touch_any(100)]
    assert newest.numbers is not None
    assert sorted(newest.numbers.tolist()) == list(range(90, 100))
    assert newest.fills.ordinal.tolist() == [1] * 10
    for already, part in enumerate(anywhere):
        assert part.numbers is not None
        assert sorted(part.numbers.tolist()) == list(range(100))
        had = 1 + already + (part.numbers >= 90)
        assert part.fills.ordinal.tolist() == had.tolist()
        assert np.all(part.fills.cumulative < QUANTITY)


def test_event_time_never_goes_back() -> None:
    work = KeyWorkload(200)
    times = np.concatenate([w.events.occurred_at for w in (work.grow(100), work.touch_any(50), work.grow(100))])
    assert np.all(np.diff(times) > 0)


def test_a_key_is_touched_once_at_most_in_one_part() -> None:
    work = KeyWorkload(100)
    work.grow(100)
    with pytest.raises(ValueError, match="choose fewer"):
        work.touch_newest(11, 10)
