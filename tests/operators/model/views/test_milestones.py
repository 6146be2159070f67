from itertools import permutations
from typing import Any

import pytest

from operators.model.events import (
    ExecutionReport,
    MarketState,
    OrderEnriched,
    OrderStatusChanged,
    OrderSummary,
    StatusDetail,
)
from operators.model.views.milestones import Milestone, OrderEvent, Progress, advance

KEY = "ACC1|ORD1"


def status(
    code: str,
    *,
    consolidated: bool = False,
    at: int = 100,
    venue: str | None = None,
    leaves: int = 100,
    is_parent: bool | None = None,
    source: str = "engine",
    arrival_price: int | None = None,
) -> OrderEvent:
    return OrderStatusChanged(
        event_type="ORDER_STATUS_CONSOLIDATED" if consolidated else "ORDER_STATUS_CHANGED",
        occurred_at=at,
        key=KEY,
        sequence=1,
        source=source,
        order=OrderSummary(id="ORD1", symbol="MSFT", side="BUY", quantity=100, is_parent=is_parent),
        status=StatusDetail(code=code, reason="why", filled_quantity=0, leaves_quantity=leaves),
        venue=venue,
        arrival_price=arrival_price,
    )


def acknowledged(at: int = 150, market: int | None = None, time_in_force: str | None = None) -> OrderEvent:
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
        market=MarketState(price=market) if market else None,
        time_in_force=time_in_force,
        **fields,
    )


def traded(quantity: int, at: int = 200, **fields: Any) -> OrderEvent:
    values: dict[str, Any] = {"last_price": 7, "notional": 0} | fields
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
        **values,
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


def test_only_the_first_fill_has_a_latency_and_an_enrichment_that_takes_quantity_back_is_a_bust() -> None:
    found = milestones_of(status("NEW"), acknowledged(), traded(30), traded(-30, at=250), traded(10, at=260))
    assert [(one.kind, one.quantity, one.latency_micros) for one in found if one.quantity and one.price] == [
        ("TRADED", 30, 50),
        ("BUSTED", -30, None),
        ("TRADED", 10, None),
    ]


def test_a_bust_and_a_correction_change_the_notional_by_what_the_order_s_notional_changed() -> None:
    found = milestones_of(
        traded(30, notional=210),
        traded(20, notional=350),
        traded(-30, notional=140, exec_type="TRADE_CANCEL", exec_ref_id="E1"),
        traded(0, notional=160, exec_type="TRADE_CORRECT", exec_ref_id="E2", last_price=8),
        traded(-5, notional=120, exec_type="TRADE_CORRECT", exec_ref_id="E3", last_price=8),
    )
    assert [(one.kind, one.quantity, one.notional, one.exec_ref_id) for one in found] == [
        ("TRADED", 30, 210, None),
        ("TRADED", 20, 140, None),
        ("BUSTED", -30, -210, "E1"),
        ("CORRECTED", 0, 20, "E2"),
        ("CORRECTED", -5, -40, "E3"),
    ]


def test_a_split_is_no_trade_and_what_is_busted_after_it_takes_back_the_notional_it_had() -> None:
    found = milestones_of(
        traded(30, notional=210),
        traded(30, notional=210, exec_type="RESTATED", last_price=None, replaced_quantity=30),
        traded(-60, notional=0, exec_type="TRADE_CANCEL", exec_ref_id="E1", last_price=7),
    )
    assert [(one.kind, one.quantity, one.notional) for one in found] == [("TRADED", 30, 210), ("BUSTED", -60, -210)]


def test_what_an_order_cost_at_its_end_is_no_trade() -> None:
    assert kinds_of(traded(0, notional=0), traded(0, notional=0, last_price=None)) == []


def test_pending_statuses_are_told_with_their_answers_and_an_end_is_an_answer_of_its_own() -> None:
    codes = [
        "PENDING_NEW",
        "NEW",
        "PENDING_REPLACE",
        "PENDING_CANCEL",
        "PENDING_CANCEL",
        "NEW",
        "PENDING_CANCEL",
        "CANCELED",
    ]
    found = milestones_of(*(status(code, consolidated=True, venue="XNAS") for code in codes))
    assert [(one.kind, one.code) for one in found] == [
        ("PLACED", None),
        ("PENDING", "PENDING_NEW"),
        ("ANSWERED", "NEW"),
        ("PENDING", "PENDING_REPLACE"),
        ("PENDING", "PENDING_CANCEL"),
        ("ANSWERED", "NEW"),
        ("PENDING", "PENDING_CANCEL"),
        ("CANCELED", None),
    ]


@pytest.mark.parametrize(("leaves", "ended"), [(0, True), (70, False)])
def test_an_order_done_for_the_day_has_ended_only_if_nothing_is_open_any_more(leaves: int, ended: bool) -> None:
    codes = [("DONE_FOR_DAY", leaves), ("NEW", 70)]
    events = [status(code, consolidated=True, venue="XNAS", leaves=leaves) for code, leaves in codes]
    assert kinds_of(*events) == (["PLACED", "DONE", "REOPENED"] if ended else ["PLACED"])


@pytest.mark.parametrize("how", ["flag", "source"])
def test_an_order_that_is_worked_through_children_has_no_milestones_but_an_end(how: str) -> None:
    parent: dict[str, Any] = {"is_parent": True} if how == "flag" else {"source": "parent-aggregator"}
    events = [status("NEW", venue="XNAS", **parent), status("FILLED", consolidated=True, venue="XNAS", **parent)]
    assert kinds_of(*events) == []
    assert kinds_of(*events, traded(10)) == ["TRADED"], "a venue filled the parent itself"
    progress: Progress | None = None
    for event in events:
        progress, _ = advance(progress, event)
    assert progress is not None
    assert progress.ended == "FILLED"


def test_the_time_in_force_is_told_by_whoever_knows_it_first() -> None:
    found = milestones_of(status("NEW", venue="XNAS"), acknowledged(time_in_force="GOOD_TILL_CANCEL"))
    assert [(one.kind, one.time_in_force) for one in found] == [
        ("PLACED", None), ("ACKNOWLEDGED", "GOOD_TILL_CANCEL")
    ]  # fmt: skip


def test_a_fill_is_held_against_the_newest_market_price_known_else_the_arrival_price() -> None:
    arrived = status("NEW", venue="XNAS", arrival_price=5)
    assert milestones_of(arrived, traded(1))[-1].reference_price == 5
    new, old = acknowledged(at=150, market=9), acknowledged(at=140, market=8)
    assert milestones_of(arrived, new, old, traded(1))[-1].reference_price == 9


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
