"""The flow order_status end to end under FlowTester."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from config.settings import Settings
from flows.tester import FlowTester
from operators.model.events import EventType, ExecutionReport, OrderStatusChanged, OrderSummary, StatusDetail

KEY = "ACC1|ORD1"
AT = 1_790_000_000_000_000
TRADE_DATE = 20_700


def status(code: str, sequence: int, *, quantity: int = 100) -> OrderStatusChanged:
    return OrderStatusChanged(
        event_type=EventType.ORDER_STATUS_CHANGED, occurred_at=AT + sequence, key=KEY,
        order=OrderSummary(id="ORD1", symbol="MSFT", side="BUY", quantity=quantity),
        status=StatusDetail(code=code, filled_quantity=0), sequence=sequence, source="engine", venue="XNAS",
        arrival_price=10_000_000,
    )  # fmt: skip


def fill(exec_id: str, quantity: int, price: int, sequence: int, cumulative: int) -> ExecutionReport:
    return ExecutionReport(
        event_type=EventType.EXECUTION_REPORTED, occurred_at=AT + 10 + sequence, key=KEY, venue="XNAS",
        trade_date=TRADE_DATE, exec_id=exec_id, exec_type="TRADE", ord_status="NEW", symbol="MSFT", side="BUY",
        order_quantity=100, last_quantity=quantity, last_price=price, liquidity="ADDED", cum_quantity=cumulative,
        leaves_quantity=100 - cumulative, sequence=sequence, source="gateway",
    )  # fmt: skip


def test_an_order_filled_in_two_parts_ends_filled_at_the_average_price() -> None:
    with FlowTester("order_status") as flow:
        flow.send("orders.status", status("NEW", 1))
        flow.send("orders.executions", fill("E1", 40, 10_000_000, 1, 40), fill("E2", 60, 11_000_000, 2, 100))
        flow.run()
        events = [e for e in flow.read("orders.status") if e.event_type == EventType.ORDER_STATUS_CONSOLIDATED]
        assert [(e.sequence, e.status.code, e.status.filled_quantity) for e in events] == [
            (1, "NEW", 0),
            (2, "PARTIALLY_FILLED", 40),
            (3, "FILLED", 100),
        ]
        assert events[-1].status.avg_price == 10_600_000
        assert [e.filled_quantity for e in flow.read("orders.enrichment")] == [40, 100]


def test_a_status_that_is_refused_alone_says_what_is_wrong_with_it() -> None:
    with FlowTester("order_status") as flow:
        flow.send("orders.status", status("NEW", 1, quantity=-5))
        flow.run()
        [letter] = flow.dead_letters()
        assert letter.headers["__streams.errors.exception"] == "InvalidRecordError"
        assert "-5" in letter.headers["__streams.errors.message"]


def test_state_survives_crashes_at_any_epoch_with_and_without_stores() -> None:
    with FlowTester("order_status") as flow:
        flow.send("orders.status", status("NEW", 1))
        flow.run()
        flow.crash(lose_state=True)
        flow.send("orders.executions", fill("E1", 40, 10_000_000, 1, 40))
        flow.process_uncommitted()
        flow.crash()
        flow.run()
        flow.crash()
        flow.send("orders.executions", fill("E1", 40, 10_000_000, 1, 40), fill("E2", 60, 11_000_000, 2, 100))
        flow.run()
        events = [e for e in flow.read("orders.status") if e.event_type == EventType.ORDER_STATUS_CONSOLIDATED]
        assert [e.sequence for e in events] == [1, 2, 3]
        assert events[-1].status.code == "FILLED"


def test_an_order_with_more_fills_than_a_row_holds_still_knows_every_one_after_a_crash() -> None:
    with FlowTester("order_status") as flow:
        flow.send("orders.status", status("NEW", 1))
        fills = [fill(f"E{n}", 2, 10_000_000, n, 2 * n) for n in range(1, 31)]
        flow.send("orders.executions", *fills)
        flow.run()
        flow.crash(lose_state=True)
        flow.send("orders.executions", *fills)
        flow.run()
        assert [e.filled_quantity for e in flow.read("orders.enrichment")] == [2 * n for n in range(1, 31)]
        assert flow.dead_letters() == []


def test_a_bust_refunds_after_a_crash_that_lost_every_store() -> None:
    with FlowTester("order_status") as flow:
        flow.send("orders.status", status("NEW", 1))
        fills = [fill(f"E{n}", 2, 10_000_000, n, 2 * n) for n in range(1, 31)]
        flow.send("orders.executions", *fills)
        flow.run()
        flow.crash(lose_state=True)
        bust = msgspec.structs.replace(
            fill("B1", 2, 10_000_000, 31, 58), exec_type="TRADE_CANCEL", exec_ref_id="E3", leaves_quantity=42
        )
        flow.send("orders.executions", bust, msgspec.structs.replace(bust, sequence=32))
        flow.process_uncommitted()
        flow.crash()
        flow.run()
        last = flow.read("orders.enrichment")[-1]
        assert (last.filled_quantity, last.last_quantity, last.exec_type) == (58, -2, "TRADE_CANCEL")
        assert (last.exec_ref_id, last.replaced_quantity, last.replaced_price) == ("E3", 2, 10_000_000)
        assert [(a.kind, a.exec_id, a.sequence) for a in flow.read("orders.anomalies")] == [("DUPLICATE", "B1", 1)]
        assert flow.dead_letters() == []


def test_anomalies_are_events_with_a_sequence_of_their_own_through_crashes() -> None:
    with FlowTester("order_status") as flow:
        flow.send("orders.status", status("NEW", 2), status("NEW", 1))
        flow.run()
        flow.crash(lose_state=True)
        once = fill("E1", 40, 10_000_000, 1, 40)
        flow.send("orders.executions", once, once, msgspec.structs.replace(once, last_quantity=50, sequence=2))
        flow.run()
        anomalies = flow.read("orders.anomalies")
        assert [(a.sequence, a.kind) for a in anomalies] == [
            (1, "GAP"), (2, "DUPLICATE"), (3, "DUPLICATE"), (4, "EXEC_ID_REUSED"), (5, "CUM_MISMATCH"),
        ]  # fmt: skip
        assert {(a.event_type, a.key, a.source, a.symbol) for a in anomalies} == {
            ("ORDER_ANOMALY", KEY, "status-aggregator", "MSFT")
        }


def test_a_status_that_shows_nothing_new_raises_no_event() -> None:
    with FlowTester("order_status") as flow:
        flow.send("orders.status", status("NEW", 1), status("NEW", 2))
        flow.run()
        flow.send("orders.executions", fill("E1", 40, 10_000_000, 1, 40))
        flow.send("orders.status", status("PARTIALLY_FILLED", 3))
        flow.run()
        events = [e for e in flow.read("orders.status") if e.event_type == EventType.ORDER_STATUS_CONSOLIDATED]
        assert [(e.sequence, e.status.code) for e in events] == [(1, "NEW"), (2, "PARTIALLY_FILLED")]


def child(order_id: str, quantity: int, **changes: Any) -> OrderStatusChanged:
    event = status("NEW", 1, quantity=quantity)
    order = msgspec.structs.replace(event.order, id=order_id, parent_id="P1")
    return msgspec.structs.replace(event, key=f"ACC1|{order_id}", order=order, **changes)


def test_a_parent_is_rolled_up_from_children_on_other_partitions_through_crashes() -> None:
    with FlowTester("order_status") as flow:
        parent = status("NEW", 1, quantity=300)
        parent_terms = msgspec.structs.replace(parent.order, id="P1", is_parent=True)
        flow.send("orders.status", msgspec.structs.replace(parent, key="ACC1|P1", order=parent_terms))
        flow.run()
        flow.send("orders.status", *(child(f"C{n}", 100) for n in range(3)))
        flow.run()
        flow.crash(lose_state=True)
        flow.send("orders.executions", *(
            msgspec.structs.replace(fill(f"E{n}", 100, 10_000_000 + n, 1, 100), key=f"ACC1|C{n}") for n in range(2)
        ))  # fmt: skip
        flow.process_uncommitted()
        flow.crash()
        flow.run()
        rejected = child("C2", 100, sequence=2, status=StatusDetail(code="REJECTED", filled_quantity=0))
        flow.send("orders.status", rejected)
        flow.run()
        events = [e for e in flow.read("orders.status") if e.source == "parent-aggregator"]
        assert [(e.sequence, e.key, e.status.code, e.status.filled_quantity) for e in events] == [
            (1, "ACC1|P1", "NEW", 0), (2, "ACC1|P1", "PARTIALLY_FILLED", 100), (3, "ACC1|P1", "PARTIALLY_FILLED", 200),
        ]  # fmt: skip
        assert (events[-1].status.leaves_quantity, events[-1].status.avg_price) == (100, 10_000_000)
        assert not [e for e in flow.read("orders.status") if e.key == "ACC1|P1" and e.source == "status-aggregator"]
        assert {e.key for e in flow.read("orders.enrichment")} == {"ACC1|C0", "ACC1|C1"}
        assert flow.dead_letters() == []


def child_fill(number: int, day: int) -> ExecutionReport:
    report = fill(f"E{number}", 1, 10_000_000, number, number)
    return msgspec.structs.replace(
        report, key="ACC1|C1", trade_date=TRADE_DATE + day, order_quantity=10_000, leaves_quantity=10_000 - number,
        time_in_force="GOOD_TILL_CANCEL",
    )  # fmt: skip


def test_a_child_of_several_days_with_hundreds_of_fills_is_whole_through_eviction_and_crashes() -> None:
    """Every fill of it is known though its row leaves the cache between calls, and stores are lost."""
    settings = Settings()
    settings = replace(settings, state=replace(settings.state, cache_rows=1))
    fills = [child_fill(number, day=number // 300) for number in range(1, 701)]
    with FlowTester("order_status", settings=settings) as flow:
        flow.send("orders.status", child("C1", 10_000))
        for start in range(0, 700, 100):
            flow.send("orders.executions", *fills[start : start + 100])
            flow.process_uncommitted()
            flow.crash()
            flow.run()
            flow.send("orders.status", status("NEW", 1 + start))  # its row takes the place of the child's
            flow.run()
            flow.crash(lose_state=start % 200 == 0)
        flow.send("orders.executions", *fills[::50])
        flow.run()
        events = flow.read("orders.status")
        child_events = [e for e in events if e.key == "ACC1|C1" and e.source == "status-aggregator"]
        assert [e.status.filled_quantity for e in child_events] == list(range(701))
        assert {e.order.parent_id for e in child_events} == {"P1"}
        days = [e.status.day and (e.status.day.trade_date, e.status.day.filled_quantity) for e in child_events]
        assert days[:300] == [None] * 300
        assert days[300:] == [(TRADE_DATE + n // 300, n % 300 + 1) for n in range(300, 701)]
        assert [e.kind for e in flow.read("orders.anomalies") if e.key == "ACC1|C1"] == ["DUPLICATE"] * 14
        parent = [e for e in events if e.source == "parent-aggregator"]
        assert (len(parent), parent[-1].status.filled_quantity, parent[-1].status.leaves_quantity) == (701, 700, 9_300)


def test_all_that_lies_beside_an_order_is_forgotten_with_it() -> None:
    later = msgspec.structs.replace(child("C2", 100), occurred_at=AT + 8 * 86_400_000_000)
    with FlowTester("order_status", partitions=1) as flow:
        flow.send("orders.executions", *(child_fill(number, day=0) for number in range(1, 601)))
        flow.run()
        beside = [key for key in flow.changelog("join") if key.startswith(b"ACC1|C1\0")]
        assert {key[8:13] for key in beside} == {b"chunk", b"index"}
        flow.send("orders.status", child("C1", 10_000, status=StatusDetail(code="CANCELED", filled_quantity=600)))
        flow.run()
        flow.crash()  # what is due is looked for in the stores, which a start brings up to the log
        flow.advance_wall_clock(8 * 86_400)
        flow.send("orders.status", later)
        flow.run()
        assert [key for key in flow.changelog("join") if key.startswith(b"ACC1")] == [b"ACC1|C2"]
