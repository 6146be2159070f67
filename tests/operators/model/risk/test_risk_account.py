"""The checks of what the account has done, has open and holds; each with its scopes, hard and warn level."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from operators.model.events import Breach, RiskOutcome
from operators.model.risk.limits import AccountReference, Levels, RiskControl

DOLLAR = 1_000_000
SECOND = 1_000_000
DAY = 86_400 * SECOND

Desks = Callable[..., Any]
Checks = Callable[[RiskOutcome], list[str]]


def control(scope: str, **fields: Any) -> RiskControl:
    values = {"event_type": "RISK_CONTROL", "occurred_at": 0, "sequence": 1, "source": "test", "limits_version": "1"}
    return RiskControl(key=scope, **(values | fields))


def hold(desk: Any, quantity: int, side: str = "BUY", price: int = 400 * DOLLAR, order_id: str = "HELD") -> None:
    """Gives the account a position."""
    assert desk.ask(order_id, side=side, quantity=quantity).event_type == "RISK_APPROVED"
    desk.say("FILLED", order_id, filled=quantity, quantity=quantity, side=side, price=price)


def test_a_warn_level_approves_and_tells(new_desk: Desks, checks: Checks, warnings: Checks) -> None:
    desk = new_desk(firm={"warn": Levels(max_order_quantity=50, max_exposure=30_000 * DOLLAR, collar_bps=100)})
    outcome = desk.ask(limit_price=410 * DOLLAR)
    assert (checks(outcome), warnings(outcome)) == ([], ["MAX_ORDER_QUANTITY", "PRICE_COLLAR", "MAX_EXPOSURE"])
    assert outcome.breaches[0] == Breach(
        check="MAX_ORDER_QUANTITY", scope="FIRM", limit=50.0, attempted=100.0, severity="WARN"
    )
    assert desk.reserved == 41_000 * DOLLAR


def test_beyond_the_hard_level_only_the_hard_breach_is_told(new_desk: Desks, checks: Checks, warnings: Checks) -> None:
    outcome = new_desk(firm={"warn": Levels(max_order_quantity=50)}).ask(quantity=1010, limit_price=100 * DOLLAR)
    assert (checks(outcome), warnings(outcome)) == (["MAX_ORDER_QUANTITY"], [])


def test_the_collar_away_from_the_market_is_a_limit_of_its_own(new_desk: Desks, checks: Checks) -> None:
    desk = new_desk(firm={"collar_away_bps": 2000})
    assert checks(desk.ask("A", limit_price=320 * DOLLAR)) == []
    rejected = desk.ask("B", limit_price=319 * DOLLAR)
    assert rejected.breaches == [
        Breach(check="PRICE_COLLAR_AWAY", scope="FIRM", limit=320.0, current=400.0, attempted=319.0)
    ]
    assert checks(desk.ask("C", side="SELL", limit_price=481 * DOLLAR)) == ["PRICE_COLLAR_AWAY"]


def test_an_account_of_a_desk_has_the_limits_of_the_desk(new_desk: Desks, checks: Checks) -> None:
    desk = new_desk(control("DESK:D1", max_order_quantity=50))
    assert checks(desk.ask("A")) == []
    desk.accounts["ACC1"] = AccountReference(
        event_type="ACCOUNT_REFERENCE", occurred_at=0, key="ACC1", sequence=1, source="t", desk="D1"
    )
    assert [breach.scope for breach in desk.ask("B").breaches] == ["DESK:D1"]


def test_an_account_nobody_knows_is_rejected_where_that_is_required(new_desk: Desks) -> None:
    rejected = new_desk(firm={"required_checks": ["KNOWN_ACCOUNT"]}).ask()
    assert [(one.check, one.scope) for one in rejected.breaches] == [("LIMITS_MISSING", "FIRM/KNOWN_ACCOUNT")]


@pytest.mark.parametrize(
    ("scope", "other"),
    [
        ("SYMBOL:MSFT", {"symbol": "AAPL"}),
        ("SESSION:S1", {"session": "S2"}),
        ("ACCOUNT:ACC1/SYMBOL:MSFT", {"symbol": "AAPL"}),
    ],
)
def test_message_rates_are_counted_for_what_their_scope_says(
    new_desk: Desks, checks: Checks, scope: str, other: dict[str, Any]
) -> None:
    desk = new_desk(control(scope, max_messages=1, message_window_ms=1000))
    desk.symbols["AAPL"] = desk.symbols["MSFT"]
    assert checks(desk.ask("A", session="S1")) == []
    assert checks(desk.ask("B", session="S1", **other) if "symbol" in other else desk.ask("B", **other)) == []
    rejected = desk.ask("C", session="S1")
    assert [(one.check, one.scope, one.current) for one in rejected.breaches] == [("MESSAGE_RATE", scope, 1.0)]
    assert checks(desk.replace("A", session="S1", quantity=50)) == ["MESSAGE_RATE"]
    assert checks(desk.cancel("A", session="S1")) == []


def test_positions_are_limited_at_their_worst_on_either_side(new_desk: Desks, checks: Checks) -> None:
    desk = new_desk(firm={"max_long": 300, "max_short": 100})
    hold(desk, 100)
    assert checks(desk.ask("B")) == []
    rejected = desk.ask("C", quantity=110)
    assert rejected.breaches == [Breach(check="MAX_LONG", scope="FIRM", limit=300.0, current=200.0, attempted=310.0)]
    assert checks(desk.replace("B", quantity=200)) == []
    assert checks(desk.ask("D", quantity=10)) == ["MAX_LONG"]
    assert checks(desk.ask("E", side="SELL", quantity=200)) == []
    assert checks(desk.ask("F", side="SELL_SHORT", quantity=10)) == ["MAX_SHORT"]
    desk.say("CANCELED", "E", quantity=200, side="SELL")
    assert checks(desk.ask("G", side="SELL_SHORT", quantity=10)) == []


def test_position_limits_of_one_account_in_one_symbol(new_desk: Desks) -> None:
    desk = new_desk(control("ACCOUNT:ACC1/SYMBOL:MSFT", max_position=50), firm={"max_position": 500})
    assert [one.scope for one in desk.ask().breaches] == ["ACCOUNT:ACC1/SYMBOL:MSFT"]


def test_net_exposure_sets_off_long_and_short_and_gross_does_not(new_desk: Desks, checks: Checks) -> None:
    desk = new_desk(firm={"max_net_exposure": 50_000 * DOLLAR})
    desk.symbols["AAPL"] = desk.symbols["MSFT"]
    hold(desk, 100)
    rejected = desk.ask("B")
    assert rejected.breaches == [
        Breach(check="MAX_NET_LONG", scope="FIRM", limit=50_000.0, current=40_000.0, attempted=80_000.0)
    ]
    assert checks(desk.ask("C", side="SELL_SHORT", symbol="AAPL")) == []
    desk.say("FILLED", "C", filled=100, side="SELL_SHORT", symbol="AAPL")
    assert (desk.account.net_notional, desk.account.open_notional) == (0, 80_000 * DOLLAR)
    assert checks(desk.ask("D")) == []
    assert checks(desk.ask("E", symbol="AAPL", side="SELL_SHORT", quantity=130)) == ["MAX_NET_SHORT"]


def test_credit_is_what_buys_may_cost_beyond_what_sales_brought(new_desk: Desks, checks: Checks) -> None:
    desk = new_desk(firm={"max_credit": 60_000 * DOLLAR})
    hold(desk, 100)
    rejected = desk.ask("B")
    assert rejected.breaches == [
        Breach(check="MAX_CREDIT", scope="FIRM", limit=60_000.0, current=40_000.0, attempted=80_000.0)
    ]
    assert checks(desk.ask("S", side="SELL")) == []
    desk.say("FILLED", "S", filled=100, side="SELL", price=410 * DOLLAR)
    assert checks(desk.ask("C", quantity=150)) == []
    assert checks(desk.ask("D", quantity=10)) == ["MAX_CREDIT"]


def test_what_was_traded_and_is_open_counts_against_the_day_and_the_next_day_begins_anew(
    new_desk: Desks, checks: Checks
) -> None:
    desk = new_desk(firm={"max_daily_notional": 100_000 * DOLLAR, "reference_age_max_ms": 10**9})
    hold(desk, 100)
    hold(desk, 90, "SELL", order_id="SOLD")
    rejected = desk.ask("B", quantity=70)
    assert rejected.breaches == [
        Breach(check="MAX_DAILY_NOTIONAL", scope="FIRM", limit=100_000.0, current=76_000.0, attempted=104_000.0)
    ]
    assert checks(desk.ask("C", quantity=60)) == []
    assert checks(desk.ask("D", quantity=10)) == ["MAX_DAILY_NOTIONAL"]
    assert checks(desk.ask("E", quantity=70, occurred_at=DAY)) == []


def test_a_bust_gives_back_what_was_traded_today_and_one_of_yesterday_does_not(new_desk: Desks) -> None:
    desk = new_desk()
    hold(desk, 100)
    desk.say("PARTIALLY_FILLED", "HELD", filled=40)
    assert (desk.account.traded, desk.account.cash) == (16_000 * DOLLAR, -16_000 * DOLLAR)
    desk.ask("NEXT", occurred_at=DAY)
    desk.say("PARTIALLY_FILLED", "HELD", filled=10, at=1)
    assert (desk.account.traded, desk.account.cash) == (0, -4_000 * DOLLAR)


def test_a_correction_of_the_price_alone_moves_cost_and_cash(new_desk: Desks) -> None:
    desk = new_desk()
    hold(desk, 100)
    desk.say("FILLED", "HELD", filled=100, price=401 * DOLLAR)
    assert (desk.account.open_notional, desk.account.cash, desk.account.realised) == (
        40_100 * DOLLAR,
        -40_100 * DOLLAR,
        0,
    )
    hold(desk, 100, "SELL", order_id="SOLD", price=402 * DOLLAR)
    assert desk.account.realised == 100 * DOLLAR
    desk.say("FILLED", "HELD", filled=100, price=402 * DOLLAR)
    assert desk.account.realised == desk.account.cash == 0


def test_a_loss_of_the_day_stops_what_does_not_reduce(new_desk: Desks, checks: Checks, warnings: Checks) -> None:
    desk = new_desk(
        firm={"max_daily_loss": 1_000 * DOLLAR, "reference_age_max_ms": 10**9, "warn": Levels(max_daily_loss=0)}
    )
    hold(desk, 100)
    assert warnings(desk.ask("A", quantity=10)) == []
    desk.symbols["MSFT"] = msgspec.structs.replace(desk.symbols["MSFT"], reference_price=390 * DOLLAR)
    assert warnings(desk.ask("B", quantity=10)) == ["MAX_DAILY_LOSS"]
    desk.say("FILLED", "A", filled=10, quantity=10)
    rejected = desk.ask("C", quantity=10)
    assert rejected.breaches == [
        Breach(check="MAX_DAILY_LOSS", scope="FIRM", limit=1_000.0, current=1_100.0, attempted=1_100.0)
    ]
    assert checks(desk.ask("D", side="SELL")) == []
    assert checks(desk.ask("E", quantity=10, occurred_at=DAY)) == []


def test_working_orders_are_counted_for_the_account_and_the_symbol(new_desk: Desks, checks: Checks) -> None:
    desk = new_desk(control("SYMBOL:AAPL", max_working_orders=1), firm={"max_working_orders": 2})
    desk.symbols["AAPL"] = desk.symbols["MSFT"]
    assert checks(desk.ask("A", symbol="AAPL")) == []
    rejected = desk.ask("B", symbol="AAPL")
    assert [(one.check, one.scope, one.current) for one in rejected.breaches] == [
        ("MAX_WORKING_ORDERS", "SYMBOL:AAPL", 1.0)
    ]
    assert checks(desk.ask("C")) == []
    assert [one.scope for one in desk.ask("D").breaches] == ["FIRM"]
    assert checks(desk.replace("C", quantity=50)) == []
    desk.say("CANCELED", "C")
    assert checks(desk.ask("E")) == []


def test_the_ratio_of_orders_to_trades_is_looked_at_from_a_number_of_requests_on(
    new_desk: Desks, checks: Checks
) -> None:
    desk = new_desk(firm={"max_order_to_trade": 2, "order_to_trade_from": 3})
    assert [checks(desk.ask(f"O{n}", quantity=10)) for n in range(3)] == [[], [], []]
    rejected = desk.ask("X", quantity=10)
    assert rejected.breaches == [Breach(check="ORDER_TO_TRADE", scope="FIRM", limit=2.0, current=3.0, attempted=4.0)]
    desk.say("PARTIALLY_FILLED", "O0", filled=5, quantity=10)
    desk.say("PARTIALLY_FILLED", "O0", filled=6, quantity=10)
    desk.say("PARTIALLY_FILLED", "O0", filled=7, quantity=10)
    assert checks(desk.ask("Y", quantity=10)) == []


@pytest.mark.parametrize("scope", ["FIRM", "ACCOUNT:ACC1", "SYMBOL:MSFT", "ACCOUNT:ACC1/SYMBOL:MSFT"])
def test_more_executions_than_allowed_latch_the_scope_until_a_person_re_arms_it(
    new_desk: Desks, checks: Checks, scope: str
) -> None:
    throttle = {"max_executions": 2, "execution_window_ms": 1000}
    desk = new_desk(
        *(() if scope == "FIRM" else (control(scope, **throttle),)), firm=throttle if scope == "FIRM" else {}
    )
    desk.symbols["AAPL"] = desk.symbols["MSFT"]
    desk.ask("A")
    for number, at in enumerate((0, 100_000, 1_200_000, 1_300_000), 1):
        desk.say("PARTIALLY_FILLED", "A", filled=number * 10, at=at)
    assert checks(desk.ask("B", occurred_at=1_300_000)) == []
    desk.say("PARTIALLY_FILLED", "A", filled=50, at=1_400_000)
    for at in (1_400_000, 50_000_000):
        rejected = desk.ask("C", occurred_at=at)
        assert [(one.check, one.scope, one.limit) for one in rejected.breaches] == [("EXECUTION_THROTTLE", scope, 2.0)]
    assert checks(desk.cancel("A")) == []
    elsewhere = [] if "SYMBOL" in scope else ["EXECUTION_THROTTLE"]
    assert checks(desk.ask("D", symbol="AAPL", occurred_at=1_400_000)) == elsewhere
    desk.controls[scope] = msgspec.structs.replace(desk.controls[scope], rearmed_at=1_500_000)
    assert checks(desk.ask("E", occurred_at=1_600_000)) == []
    desk.say("PARTIALLY_FILLED", "A", filled=60, at=1_600_000)
    assert checks(desk.ask("F", occurred_at=1_600_000)) == []


def test_executions_warn_before_they_latch(new_desk: Desks, warnings: Checks) -> None:
    desk = new_desk(firm={"max_executions": 9, "execution_window_ms": 1000, "warn": Levels(max_executions=1)})
    desk.ask("A")
    desk.say("PARTIALLY_FILLED", "A", filled=10)
    assert warnings(desk.ask("B")) == []
    desk.say("PARTIALLY_FILLED", "A", filled=20)
    assert warnings(desk.ask("C")) == ["EXECUTION_THROTTLE"]


@pytest.mark.parametrize("scope", ["FIRM", "ACCOUNT:ACC1/SYMBOL:MSFT", "SESSION:S1"])
def test_every_scope_can_be_halted(new_desk: Desks, scope: str) -> None:
    desk = (
        new_desk(control(scope, trading_state="HALTED"))
        if scope != "FIRM"
        else new_desk(firm={"trading_state": "HALTED"})
    )
    assert [(one.check, one.scope) for one in desk.ask(session="S1").breaches] == [("TRADING_HALTED", scope)]
