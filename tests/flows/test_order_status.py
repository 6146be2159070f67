"""The flow order_status end to end under FlowTester."""

from __future__ import annotations

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
