from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import InvalidRecordError
from operators.model.events import ExecutionReport, OrderEnriched, OrderStatusChanged, OrderSummary, StatusDetail
from operators.model.views.milestones import OrderEvent
from operators.model.views.timeline import CHUNK_ENTRIES, Timeline, all_entries, append, chunk_suffix, forget

KEY = "ACC1|ORD1"


def status(code: str, sequence: int = 1, *, consolidated: bool = False, at: int = 100, key: str = KEY) -> OrderEvent:
    return OrderStatusChanged(
        event_type="ORDER_STATUS_CONSOLIDATED" if consolidated else "ORDER_STATUS_CHANGED",
        occurred_at=at,
        key=key,
        sequence=sequence,
        source="engine",
        order=OrderSummary(id="ORD1", symbol="MSFT", side="BUY", quantity=100),
        status=StatusDetail(code=code, reason="why", filled_quantity=30, leaves_quantity=70, avg_price=5),
    )


def report(exec_type: str = "TRADE", *, sequence: int = 1, at: int = 200) -> OrderEvent:
    fields: dict[str, Any] = {"last_quantity": 30, "last_price": 5, "cum_quantity": 30, "leaves_quantity": 70}
    return ExecutionReport(
        event_type="EXECUTION_REPORTED",
        occurred_at=at,
        key=KEY,
        sequence=sequence,
        source="gateway",
        venue="XNAS",
        trade_date=20000,
        exec_id="E1",
        exec_type=exec_type,
        ord_status="PARTIALLY_FILLED",
        symbol="MSFT",
        side="BUY",
        order_quantity=100,
        **fields,
    )


def enrichment() -> OrderEvent:
    return OrderEnriched(
        event_type="ORDER_ENRICHED",
        occurred_at=200,
        key=KEY,
        sequence=2,
        source="aggregator",
        symbol="MSFT",
        side="BUY",
        filled_quantity=30,
        avg_price=5,
        total_fees=3,
        last_quantity=30,
        last_price=5,
    )


def timeline_of(events: list[OrderEvent]) -> tuple[Timeline, dict[str, bytes]]:
    timeline, stored = None, {}
    for event in events:
        result = append(timeline, event)
        assert not result.writes.keys() & stored.keys(), "a chunk is written once"
        timeline = result.state
        stored |= result.writes
    assert timeline is not None
    return timeline, stored


def chunks_of(timeline: Timeline, stored: dict[str, bytes]) -> list[bytes]:
    return [stored[chunk_suffix(number)] for number in range(timeline.chunks)]


@given(st.integers(1, 5 * CHUNK_ENTRIES))
def test_every_event_is_found_again_in_order_of_arrival(count: int) -> None:
    timeline, stored = timeline_of([status("NEW", number) for number in range(count)])
    entries = list(all_entries(timeline, chunks_of(timeline, stored)))
    assert [entry.sequence for entry in entries] == list(range(count))
    assert [entry.index for entry in entries] == list(range(count))
    assert timeline.count == count


def test_the_state_of_a_long_life_is_no_larger_than_that_of_a_short_one() -> None:
    long, stored = timeline_of([report(sequence=number) for number in range(10_000)])
    short, _ = timeline_of([report(sequence=number) for number in range(CHUNK_ENTRIES - 1)])
    assert len(msgspec.msgpack.encode(long)) <= len(msgspec.msgpack.encode(short)) + 100
    assert len(stored) == 10_000 // CHUNK_ENTRIES


def test_forgetting_deletes_every_chunk() -> None:
    timeline, stored = timeline_of([status("NEW", number) for number in range(3 * CHUNK_ENTRIES + 1)])
    assert forget(timeline) == dict.fromkeys(stored)


def test_chunks_sort_in_the_order_they_were_written() -> None:
    suffixes = [chunk_suffix(number) for number in (0, 1, 9, 10, 99, 100_000)]
    assert suffixes == sorted(suffixes)


def test_each_origin_says_what_it_knows() -> None:
    timeline, _ = timeline_of([status("NEW"), status("NEW", consolidated=True), report(), enrichment()])
    engine, consolidated, venue, enriched = timeline.entries
    assert (engine.origin, engine.kind, engine.text, engine.leaves) == ("ENGINE", "NEW", "why", 70)
    assert consolidated.origin == "CONSOLIDATED"
    assert (venue.origin, venue.kind, venue.code, venue.exec_id) == ("VENUE", "TRADE", "PARTIALLY_FILLED", "E1")
    assert (venue.last_quantity, venue.last_price, venue.venue) == (30, 5, "XNAS")
    assert (enriched.origin, enriched.filled, enriched.average_price, enriched.fees) == ("ENRICHMENT", 30, 5, 3)


def test_an_ended_order_is_closed_from_the_last_event_on_it_and_a_reopened_one_is_not() -> None:
    open_order, _ = timeline_of([status("NEW")])
    assert open_order.closed_at is None
    late_fill, _ = timeline_of([status("CANCELED", consolidated=True, at=300), report(at=400)])
    assert late_fill.closed_at == 400
    events = [status("FILLED", consolidated=True, at=300), status("PARTIALLY_FILLED", 2, consolidated=True, at=350)]
    reopened, _ = timeline_of(events)
    assert reopened.closed_at is None


def test_a_timeline_survives_msgpack() -> None:
    timeline, _ = timeline_of([status("NEW"), report(), enrichment()])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(timeline), type=Timeline) == timeline


def test_milestones_come_with_the_events_that_bring_them() -> None:
    first = append(None, status("NEW"))
    assert first.milestones == []
    assert [one.kind for one in append(first.state, report("NEW")).milestones] == ["PLACED", "ACKNOWLEDGED"]


def test_a_key_that_could_be_a_chunk_of_another_order_is_refused() -> None:
    with pytest.raises(InvalidRecordError):
        append(None, status("NEW", key=KEY + chunk_suffix(0)))
