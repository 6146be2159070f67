from itertools import permutations
from typing import Any

import pytest

from operators.model.events import ExecutionReport, OrderEnriched, OrderStatusChanged, OrderSummary, StatusDetail
from operators.model.milestones import Milestone, OrderEvent, Progress, advance

KEY = "ACC1|ORD1"


def status(code: str, *, consolidated: bool = False, at: int = 100, venue: str | None = None) -> OrderEvent:
    return OrderStatusChanged(
        event_type="ORDER_STATUS_CONSOLIDATED" if consolidated else "ORDER_STATUS_CHANGED",
        occurred_at=at,
        key=KEY,
        sequence=1,
        source="engine",
        order=OrderSummary(id="ORD1", symbol="MSFT", side="BUY", quantity=100),
        status=StatusDetail(code=code, reason="why", filled_quantity=0, leaves_quantity=100),
        venue=venue,
    )


def acknowledged(at: int = 150) -> OrderEvent:
    fields: dict[str, Any] = {"cum_quantity": 0, "leaves_quantity": 100, "order_quantity": 100}
    return ExecutionReport(
        event_type="EXECUTION_REPORTED",
        occurred_at=at,
        key=KEY,
        sequence=1,
        source="gateway",
        venue="XNAS",
        trade_date=20000,
        exec_id="E1",
        exec_type="NEW",
        ord_status="NEW",
        symbol="MSFT",
        side="BUY",
        **fields,
    )


def traded(quantity: int, at: int = 200) -> OrderEvent:
    return OrderEnriched(
        event_type="ORDER_ENRICHED",
        occurred_at=at,
        key=KEY,
        sequence=2,
        source="aggregator",
        symbol="MSFT",
        venue="XNAS",
        side="BUY",
        filled_quantity=30,
        last_quantity=quantity,
        last_price=7,
    )


def milestones_of(*events: OrderEvent) -> list[Milestone]:
    progress: Progress | None = None
    found = []
    for event in events:
        progress, milestones = advance(progress, event)
        found += milestones
    return found


def kinds_of(*events: OrderEvent) -> list[str]:
    return [str(one.kind) for one in milestones_of(*events)]


def test_a_plain_order_is_placed_acknowledged_traded_and_filled() -> None:
    found = milestones_of(status("PENDING_NEW"), acknowledged(), traded(100), status("FILLED", consolidated=True))
    assert [one.kind for one in found] == ["PLACED", "ACKNOWLEDGED", "TRADED", "FILLED"]
    placed, acknowledgement, trade, _ = found
    assert (placed.quantity, placed.symbol, placed.venue) == (100, "MSFT", "XNAS")
    assert (acknowledgement.latency_micros, acknowledgement.occurred_at) == (50, 150)
    assert (trade.quantity, trade.price, trade.latency_micros) == (100, 7, 50)


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_milestones_do_not_depend_on_the_order_in_which_topics_arrive(order: tuple[int, ...]) -> None:
    events = [status("PENDING_NEW"), acknowledged(), traded(100), status("CANCELED", consolidated=True, at=300)]
    found = milestones_of(*(events[index] for index in order))
    once = {one.kind: one for one in found}
    assert len(once) == len(found)
    expected = {"PLACED", "ACKNOWLEDGED", "TRADED", "CANCELED"}
    assert set(once) == expected
    assert once["PLACED"].quantity == 100


def test_only_the_first_fill_has_a_latency_and_a_bust_is_a_negative_trade() -> None:
    found = milestones_of(status("NEW"), acknowledged(), traded(30), traded(-30, at=250), traded(10, at=260))
    assert [(one.quantity, one.latency_micros) for one in found if one.kind == "TRADED"] == [
        (30, 50),
        (-30, None),
        (10, None),
    ]


@pytest.mark.parametrize("code", ["FILLED", "CANCELED", "REJECTED", "EXPIRED"])
def test_an_end_counts_once_however_often_it_is_said(code: str) -> None:
    ends = [status(code, venue="XNAS"), status(code, consolidated=True), status(code), status(code, consolidated=True)]
    assert kinds_of(*ends) == ["PLACED", code]


@pytest.mark.parametrize("behind", range(4))
def test_consolidated_statuses_that_follow_behind_those_of_the_engine_end_the_order_once(behind: int) -> None:
    codes = ["NEW", "PARTIALLY_FILLED", "CANCELED"]
    engine = [status(code, at=100 + at, venue="XNAS") for at, code in enumerate(codes)]
    join = [status(code, consolidated=True, at=100 + at, venue="XNAS") for at, code in enumerate(codes)]
    events = [*engine[:behind]]
    for at, one in enumerate(join):
        events += [one, *engine[behind + at : behind + at + 1]]
    assert kinds_of(*events) == ["PLACED", "CANCELED"]


def test_an_engine_that_lags_behind_the_consolidated_status_changes_nothing() -> None:
    events = [status("CANCELED", consolidated=True, venue="XNAS"), status("PENDING_CANCEL"), status("NEW")]
    assert kinds_of(*events) == ["PLACED", "CANCELED"]


def test_a_late_fill_that_completes_a_canceled_order_ends_it_anew() -> None:
    events = [status("CANCELED", consolidated=True, venue="XNAS"), status("FILLED", consolidated=True)]
    assert kinds_of(*events) == ["PLACED", "CANCELED", "REOPENED", "FILLED"]


def test_a_filled_order_that_is_replaced_up_is_open_again() -> None:
    codes = ["FILLED", "PARTIALLY_FILLED", "FILLED"]
    events = [status(code, consolidated=True, venue="XNAS") for code in codes]
    assert kinds_of(*events) == ["PLACED", "FILLED", "REOPENED", "FILLED"]


def test_an_order_that_never_reached_a_venue_is_placed_when_it_ends() -> None:
    found = milestones_of(status("PENDING_NEW"), status("REJECTED", consolidated=True))
    assert [(one.kind, one.venue, one.reason) for one in found] == [("PLACED", None, None), ("REJECTED", None, "why")]
