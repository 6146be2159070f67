"""Restricted list, look-alikes, resends, short sales and self-trade prevention."""

from collections.abc import Callable
from typing import Any

import pytest

from operators.model.events import Breach, RiskAction, RiskOutcome
from operators.model.risk.limits import Levels, Locate, Restriction, RiskControl

DOLLAR = 1_000_000
SECOND = 1_000_000
DAY = 86_400 * SECOND

Desks = Callable[..., Any]
Checks = Callable[[RiskOutcome], list[str]]


def control(scope: str, **fields: Any) -> RiskControl:
    values = {"event_type": "RISK_CONTROL", "occurred_at": 0, "sequence": 1, "source": "test", "limits_version": "1"}
    return RiskControl(key=scope, **(values | fields))


def locate(**fields: Any) -> Locate:
    values = {"event_type": "LOCATE", "occurred_at": 0, "key": "L1", "sequence": 1, "source": "t", "account_id": "ACC1"}
    return Locate(**(values | {"symbol": "MSFT", "quantity": 150} | fields))


@pytest.mark.parametrize(
    ("restriction", "side", "day", "restricted"),
    [
        ({}, "BUY", 5, True),
        ({}, "SELL_SHORT", 5, True),
        ({"side": "BUY"}, "BUY", 5, True),
        ({"side": "BUY"}, "SELL", 5, False),
        ({"side": "SELL"}, "SELL_SHORT", 5, True),
        ({"side": "wrong"}, "BUY", 5, True),
        ({"valid_from": 5, "valid_until": 6}, "BUY", 4, False),
        ({"valid_from": 5, "valid_until": 6}, "BUY", 5, True),
        ({"valid_from": 5, "valid_until": 6}, "BUY", 6, True),
        ({"valid_from": 5, "valid_until": 6}, "BUY", 7, False),
    ],
)
@pytest.mark.parametrize(
    "scope", ["SYMBOL:MSFT", "ACCOUNT:ACC1", "ACCOUNT:ACC1/SYMBOL:MSFT", "ACCOUNT:ACC2/SYMBOL:MSFT"]
)
def test_the_restricted_list_by_scope_side_and_day(
    new_desk: Desks, scope: str, restriction: dict[str, Any], side: str, day: int, restricted: bool
) -> None:
    listed = control(scope, restrictions=(Restriction(**restriction),))
    desk = new_desk(listed, firm={"reference_age_max_ms": 10**10})
    outcome = desk.ask(side=side, occurred_at=day * DAY)
    expected = [("RESTRICTED", scope)] if restricted and "ACC2" not in scope else []
    assert [(one.check, one.scope) for one in outcome.breaches] == expected


def test_an_order_like_one_that_was_just_approved_is_suspicious(
    new_desk: Desks, checks: Checks, warnings: Checks
) -> None:
    desk = new_desk(firm={"duplicate_window_ms": 500, "warn": Levels(duplicate_window_ms=1000)})
    assert checks(desk.ask("A", occurred_at=0)) == []
    rejected = desk.ask("B", occurred_at=499_000)
    assert rejected.breaches == [Breach(check="LOOK_ALIKE_ORDER", scope="FIRM", limit=500.0, attempted=499.0)]
    for other in (
        {"quantity": 110},
        {"side": "SELL"},
        {"limit_price": 401 * DOLLAR},
        {"order_type": "MARKET", "limit_price": None},
    ):
        assert checks(desk.ask(f"C{other}", occurred_at=499_000, **other)) == []
    assert warnings(desk.ask("D", occurred_at=600_000)) == ["LOOK_ALIKE_ORDER"]
    assert desk.ask("E", occurred_at=2_000_000).breaches == []


def test_a_resent_request_is_no_new_request_and_an_unknown_one_is(new_desk: Desks, checks: Checks) -> None:
    desk = new_desk(firm={"max_messages": 2})
    assert checks(desk.ask("A", cl_ord_id="C1", poss_resend=True)) == []
    before = desk.account
    for _ in range(5):
        assert checks(desk.ask("A", cl_ord_id="C1", poss_resend=True)) == ["POSSIBLE_RESEND"]
    assert desk.account == before
    assert checks(desk.ask("B", cl_ord_id="C2", quantity=10)) == []
    assert checks(desk.cancel("B", cl_ord_id="C1", poss_resend=True)) == []


@pytest.mark.parametrize(("severity", "rejects"), [("HARD", True), ("WARN", False)])
def test_a_sale_beyond_what_is_owned_and_not_for_sale_yet_must_be_marked_short(
    new_desk: Desks, severity: str, rejects: bool
) -> None:
    desk = new_desk(firm={"short_sale_marking": severity})
    desk.ask("OWN")
    desk.say("FILLED", "OWN", filled=100)
    assert desk.ask("A", side="SELL", quantity=60).breaches == []
    wrong = desk.ask("B", side="SELL", quantity=50)
    assert wrong.breaches == [
        Breach(check="SHORT_SALE_MARKING", scope="FIRM", limit=100.0, current=60.0, attempted=110.0, severity=severity)
    ]
    assert (wrong.event_type == "RISK_REJECTED") == rejects
    assert desk.ask("C", side="SELL_SHORT", quantity=50).breaches == []


def test_a_short_sale_needs_a_locate_for_its_account_and_symbol_on_the_day(new_desk: Desks, checks: Checks) -> None:
    desk = new_desk(firm={"locate": "HARD"})
    assert checks(desk.ask("A", side="SELL_SHORT")) == ["LOCATE_MISSING"]
    assert checks(desk.ask("B", side="SELL_SHORT_EXEMPT", locate_id="L1")) == ["LOCATE_UNKNOWN"]
    for wrong in ({"account_id": "ACC2"}, {"symbol": "AAPL"}):
        desk.locates["L1"] = locate(**wrong)
        assert checks(desk.ask(f"C{wrong}", side="SELL_SHORT", locate_id="L1")) == ["LOCATE_UNKNOWN"]
    desk.locates["L1"] = locate(valid_from=1)
    assert checks(desk.ask("D", side="SELL_SHORT", locate_id="L1")) == ["LOCATE_EXPIRED"]
    desk.locates["L1"] = locate(valid_until=0)
    assert checks(desk.ask("E", side="SELL_SHORT", locate_id="L1")) == []
    assert checks(desk.ask("F", side="SELL", quantity=10)) == []


def test_an_easy_borrow_needs_no_locate(new_desk: Desks, checks: Checks) -> None:
    desk = new_desk(firm={"locate": "HARD"}, easy_to_borrow=True)
    assert checks(desk.ask("A", side="SELL_SHORT")) == []


def test_locates_are_used_up_by_what_is_open_or_executed_and_come_back_when_canceled(
    new_desk: Desks, checks: Checks
) -> None:
    desk = new_desk(firm={"locate": "HARD"})
    desk.locates["L1"] = locate()
    short = {"side": "SELL_SHORT", "locate_id": "L1"}
    assert checks(desk.ask("A", **short)) == []
    rejected = desk.ask("B", **short)
    assert rejected.breaches == [
        Breach(check="LOCATE_EXHAUSTED", scope="FIRM", limit=150.0, current=100.0, attempted=200.0)
    ]
    assert checks(desk.replace("A", **short, quantity=160)) == ["LOCATE_EXHAUSTED"]
    assert checks(desk.replace("A", side="SELL_SHORT", quantity=150)) == []
    assert checks(desk.replace("A", side="SELL_SHORT", locate_id="L2", quantity=100)) == ["CHANGED_TERMS"]
    desk.say("PARTIALLY_FILLED", "A", filled=40, quantity=150, side="SELL_SHORT")
    assert desk.book.located("L1") == 150
    desk.say("CANCELED", "A", filled=40, quantity=150, side="SELL_SHORT")
    assert desk.book.located("L1") == 40
    desk.say("CANCELED", "A", filled=0, quantity=150, side="SELL_SHORT")
    assert desk.book.located("L1") == 0
    assert "|locate|L1" not in desk.parts


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"limit_price": 400 * DOLLAR}, []),
        ({"limit_price": 399 * DOLLAR}, [("SHORT_SALE_PRICE", 399.0, 399.0)]),
        ({"order_type": "MARKET", "limit_price": None}, [("SHORT_SALE_PRICE", 399.0, None)]),
        ({"limit_price": 399 * DOLLAR, "side": "SELL_SHORT_EXEMPT"}, []),
        ({"limit_price": 399 * DOLLAR, "side": "SELL"}, []),
        ({"limit_price": 399 * DOLLAR, "occurred_at": 10 * SECOND}, []),
    ],
)
def test_while_the_circuit_breaker_is_on_short_sales_must_be_above_the_bid(
    new_desk: Desks, fields: dict[str, Any], expected: list[Any]
) -> None:
    desk = new_desk(bid_price=399 * DOLLAR, short_restricted_until=10 * SECOND)
    outcome = desk.ask(**({"side": "SELL_SHORT"} | fields))
    assert [(one.check, one.limit, one.attempted) for one in outcome.breaches] == expected


@pytest.mark.parametrize("bid", [{}, {"bid_price": 399 * DOLLAR, "bid_at": -61 * SECOND}], ids=["none", "old"])
def test_without_a_fresh_bid_a_restricted_short_sale_fails_closed(
    new_desk: Desks, checks: Checks, bid: dict[str, int]
) -> None:
    desk = new_desk(short_restricted_until=10 * SECOND, **bid)
    assert checks(desk.ask(side="SELL_SHORT")) == ["SHORT_SALE_PRICE"]


def resting(new_desk: Desks, mode: str) -> Any:
    """A desk with resting sales of 60 at 400 and 60 at 401, and others that a buy at 401 cannot meet."""
    desk = new_desk(firm={"self_trade": mode})
    for order_id, fields in {
        "FAR": {"side": "SELL", "limit_price": 402 * DOLLAR},
        "SECOND": {"side": "SELL", "limit_price": 401 * DOLLAR},
        "FIRST": {"side": "SELL", "limit_price": 400 * DOLLAR},
        "OWN": {"side": "BUY", "limit_price": 399 * DOLLAR},
        "STOP": {"side": "SELL", "order_type": "STOP", "limit_price": None, "stop_price": 390 * DOLLAR},
    }.items():
        assert desk.ask(order_id, quantity=60, **fields).event_type == "RISK_APPROVED"
    return desk


def actions(*given: tuple[str, str, int]) -> list[RiskAction]:
    return [RiskAction(action=a, key=f"ACC1|{order}", quantity=q, reason="SELF_TRADE") for a, order, q in given]


BOTH = (("CANCEL", "FIRST", 60), ("CANCEL", "SECOND", 60))


@pytest.mark.parametrize(
    ("mode", "quantity", "approved", "severity", "does"),
    [
        ("CANCEL_NEWEST", 100, None, "HARD", ()),
        ("wrong", 100, None, "HARD", ()),
        ("CANCEL_OLDEST", 100, 100, "WARN", BOTH),
        ("CANCEL_BOTH", 100, None, "HARD", BOTH),
        ("DECREMENT", 100, None, "HARD", (("CANCEL", "FIRST", 60), ("REDUCE", "SECOND", 40))),
        ("DECREMENT", 40, None, "HARD", (("REDUCE", "FIRST", 40),)),
        ("DECREMENT", 150, 30, "WARN", BOTH),
        ("WARN", 100, 100, "WARN", ()),
    ],
)
def test_an_order_that_would_meet_its_own_account(
    new_desk: Desks, mode: str, quantity: int, approved: int | None, severity: str, does: tuple[Any, ...]
) -> None:
    desk = resting(new_desk, mode)
    before = desk.reserved
    outcome = desk.ask("NEW", quantity=quantity, limit_price=401 * DOLLAR)
    assert outcome.breaches == [
        Breach(check="SELF_TRADE", scope="FIRM", limit=400.0, attempted=401.0, severity=severity)
    ]
    assert outcome.actions == actions(*does)
    assert outcome.event_type == ("RISK_REJECTED" if approved is None else "RISK_APPROVED")
    assert outcome.approved_quantity == (approved if approved not in (None, quantity) else None)
    assert desk.reserved - before == (approved or 0) * 401 * DOLLAR


def test_a_market_order_meets_all_and_one_that_reaches_none_meets_none(new_desk: Desks) -> None:
    desk = resting(new_desk, "CANCEL_OLDEST")
    outcome = desk.ask("M", order_type="MARKET", limit_price=None)
    assert [one.key for one in outcome.actions] == ["ACC1|FIRST", "ACC1|SECOND", "ACC1|FAR"]
    assert desk.ask("L", limit_price=399_990_000).breaches == []
    sale = desk.ask("S", side="SELL", limit_price=399 * DOLLAR)
    assert [one.key for one in sale.actions] == ["ACC1|L", "ACC1|OWN"]


def test_a_rejected_order_asks_for_no_actions_and_gone_orders_are_not_met(new_desk: Desks, checks: Checks) -> None:
    desk = resting(new_desk, "CANCEL_OLDEST")
    rejected = desk.ask("NEW", quantity=105, limit_price=400 * DOLLAR)
    assert ([one.check for one in rejected.breaches], rejected.actions) == (["LOT_SIZE", "SELF_TRADE"], [])
    desk.say("CANCELED", "FIRST", quantity=60, side="SELL")
    assert desk.ask("NEXT", limit_price=400 * DOLLAR).breaches == []


def test_a_replace_can_meet_a_resting_order_too_and_the_parent_of_children_rests_nowhere(
    new_desk: Desks, checks: Checks
) -> None:
    desk = resting(new_desk, "CANCEL_NEWEST")
    assert checks(desk.replace("OWN", quantity=60, limit_price=400 * DOLLAR)) == ["SELF_TRADE"]
    desk.ask("CHILD", side="SELL", parent_id="FIRST", quantity=60, limit_price=410 * DOLLAR)
    assert checks(desk.replace("OWN", quantity=60, limit_price=400 * DOLLAR)) == []


def test_a_child_differs_from_its_parent_in_neither_symbol_nor_side(new_desk: Desks, checks: Checks) -> None:
    desk = new_desk()
    desk.ask("P")
    assert checks(desk.ask("C", parent_id="P", side="SELL")) == ["PARENT_TERMS"]
