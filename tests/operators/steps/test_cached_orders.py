"""Stored orders that another version wrote stop the flow and say what to do; no event is blamed for them."""

from __future__ import annotations

import msgspec
import pytest

from config.errors import StoreError
from flows.tester import FlowTester
from operators.model.events import OrderStatusChanged, OrderSummary, StatusDetail
from operators.model.orders import layout

NEW = OrderStatusChanged(
    event_type="ORDER_STATUS_CHANGED", occurred_at=1_790_000_000_000_000, key="ACC1|ORD1", sequence=1, source="engine",
    order=OrderSummary(id="ORD1", symbol="MSFT", side="BUY", quantity=100),
    status=StatusDetail(code="NEW", filled_quantity=0), venue="XNAS",
)  # fmt: skip


@pytest.mark.parametrize("lost", [False, True], ids=["store", "changelog"])
def test_a_row_of_another_layout_stops_the_flow_loudly(monkeypatch: pytest.MonkeyPatch, lost: bool) -> None:
    with FlowTester("order_status") as flow:
        flow.send("orders.status", NEW)
        with monkeypatch.context() as older:
            older.setattr(layout, "LAYOUT", 0)
            flow.run()
        flow.crash(lose_state=lost)
        flow.send("orders.status", msgspec.structs.replace(NEW, sequence=2))
        with pytest.raises(
            StoreError, match=r"step join: .* layout 0, .* layout 1\. .*order_status-join-changelog, as the"
        ):
            flow.run()
        assert flow.dead_letters() == []
        flow.crash()
