"""Decisions of pre-trade risk: the checks of the order itself, of the account, and the numbering of outcomes."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from config.errors import InvalidRecordError
from operators.model.events import Breach, RiskOutcome
from operators.model.risk.limits import RiskControl
from operators.model.risk.state import IDS_PER_BUCKET

DOLLAR = 1_000_000
SECOND = 1_000_000

Checks = Callable[[RiskOutcome], list[str]]


def control(scope: str = "FIRM", **fields: Any) -> RiskControl:
    values = {"event_type": "RISK_CONTROL", "occurred_at": 0, "sequence": 1, "source": "test", "limits_version": "1"}
    return RiskControl(key=scope, **(values | fields))


def test_a_plain_order_is_approved_with_its_intent_and_the_version_of_the_limits(new_desk: Callable[..., Any]) -> None:
    outcome = new_desk().ask()
    assert (outcome.event_type, outcome.sequence, outcome.limits_version) == ("RISK_APPROVED", 1, "FIRM@1")
    assert (outcome.intent.order_id, outcome.key, outcome.occurred_at) == ("ORD1", "ACC1|ORD1", 1)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"symbol": "NONE"}, "UNKNOWN_SYMBOL"),
        ({"side": "HOLD"}, "INVALID_SIDE"),
        ({"order_type": "PEGGED"}, "INVALID_ORDER_TYPE"),
        ({"quantity": 0}, "INVALID_QUANTITY"),
        ({"quantity": -10}, "INVALID_QUANTITY"),
        ({"quantity": 105}, "LOT_SIZE"),
        ({"limit_price": None}, "INVALID_PRICE"),
        ({"limit_price": 0}, "INVALID_PRICE"),
        ({"order_type": "STOP", "stop_price": None}, "INVALID_PRICE"),
        ({"limit_price": 400 * DOLLAR + 1}, "TICK_SIZE"),
        ({"quantity": 1010, "limit_price": 10_000, "side": "BUY"}, "MAX_ORDER_QUANTITY"),
        ({"quantity": 510}, "MAX_ORDER_NOTIONAL"),
        ({"quantity": 510, "order_type": "MARKET", "limit_price": None}, "MAX_ORDER_NOTIONAL"),
        ({"limit_price": 440_010_000}, "PRICE_COLLAR"),
        ({"limit_price": 359_990_000, "side": "SELL"}, "PRICE_COLLAR"),
        ({"occurred_at": 61 * SECOND}, "REFERENCE_STALE"),
        (
            {"order_type": "STOP_LIMIT", "stop_price": 300 * DOLLAR, "limit_price": 331 * DOLLAR},
            "PRICE_COLLAR",
        ),
    ],
    ids=str,
)
def test_each_check_rejects_what_it_is_for(
    new_desk: Callable[..., Any], checks: Checks, fields: dict[str, Any], expected: str
) -> None:
    assert checks(new_desk().ask(**fields)) == [expected]


def test_a_stop_that_the_market_has_passed_is_valued_at_the_market(new_desk: Callable[..., Any]) -> None:
    """It trades at once, at 400 and not at 1."""
    desk = new_desk(firm={"max_order_notional": 39_999 * DOLLAR})
    outcome = desk.ask(order_type="STOP", limit_price=None, stop_price=1 * DOLLAR)
    assert [(breach.check, breach.attempted) for breach in outcome.breaches] == [("MAX_ORDER_NOTIONAL", 40_000.0)]
    desk.firm(max_order_notional=40_000 * DOLLAR)
    assert desk.ask(order_type="STOP", limit_price=None, stop_price=1 * DOLLAR).event_type == "RISK_APPROVED"
    assert desk.reserved == 40_000 * DOLLAR


@pytest.mark.parametrize(
    ("symbol", "at", "expected"),
    [({"reference_price": None}, 1, "REFERENCE_MISSING"), ({}, 61 * SECOND, "REFERENCE_STALE")],
)
def test_a_stop_without_a_limit_needs_a_fresh_reference(
    new_desk: Callable[..., Any], checks: Checks, symbol: dict[str, Any], at: int, expected: str
) -> None:
    desk = new_desk(**symbol)
    stop = {"order_type": "STOP", "limit_price": None, "stop_price": 390 * DOLLAR}
    assert checks(desk.ask(occurred_at=at, **stop)) == [expected]


@pytest.mark.parametrize(
    "fields",
    [
        {"limit_price": 440 * DOLLAR},
        {"limit_price": 360 * DOLLAR, "side": "SELL"},
        {"limit_price": 10_000},
        {"quantity": 500},
        {"occurred_at": 60 * SECOND},
        {"order_type": "MARKET", "limit_price": None},
        {"order_type": "STOP", "limit_price": None, "stop_price": 700 * DOLLAR},
        {"side": "SELL_SHORT_EXEMPT"},
    ],
    ids=str,
)
def test_what_is_just_within_the_limits_passes(
    new_desk: Callable[..., Any], checks: Checks, fields: dict[str, Any]
) -> None:
    assert checks(new_desk().ask(**fields)) == []


def test_every_breach_is_reported_with_limit_current_and_attempted(new_desk: Callable[..., Any]) -> None:
    outcome = new_desk().ask(quantity=1005, limit_price=500 * DOLLAR)
    assert outcome.breaches == [
        Breach(check="LOT_SIZE", scope="SYMBOL:MSFT", limit=10.0, attempted=1005.0),
        Breach(check="MAX_ORDER_QUANTITY", scope="FIRM", limit=1000.0, attempted=1005.0),
        Breach(check="MAX_ORDER_NOTIONAL", scope="FIRM", limit=200_000.0, attempted=502_500.0),
        Breach(check="PRICE_COLLAR", scope="FIRM", limit=440.0, current=400.0, attempted=500.0),
    ]
    assert {breach.severity for breach in outcome.breaches} == {"HARD"}


def test_a_missing_reference_fails_closed_for_limit_and_market_orders(
    new_desk: Callable[..., Any], checks: Checks
) -> None:
    desk = new_desk(reference_price=None)
    assert checks(desk.ask()) == ["REFERENCE_MISSING"]
    assert checks(desk.ask(order_type="MARKET", limit_price=None)) == ["REFERENCE_MISSING"]


@pytest.mark.parametrize("fields", [{"tick": 0}, {"lot": 0}])
def test_a_broken_reference_record_fails_closed(
    new_desk: Callable[..., Any], checks: Checks, fields: dict[str, int]
) -> None:
    assert checks(new_desk(**fields).ask()) in (["TICK_SIZE"], ["LOT_SIZE"])


def test_missing_limits_fail_closed_and_are_named(new_desk: Callable[..., Any], checks: Checks) -> None:
    desk = new_desk()
    desk.controls = {}
    outcome = desk.ask()
    assert set(checks(outcome)) == {"LIMITS_MISSING"}
    assert len(outcome.breaches) == 6
    assert outcome.limits_version == "NONE"
    only_one = new_desk(firm={"max_exposure": None}).ask()
    assert [(one.check, one.scope) for one in only_one.breaches] == [("LIMITS_MISSING", "FIRM/MAX_EXPOSURE")]


@pytest.mark.parametrize("scope", ["FIRM", "ACCOUNT:ACC1", "SYMBOL:MSFT"])
def test_a_halted_scope_rejects_new_and_replace_and_lets_cancels_pass(
    new_desk: Callable[..., Any], checks: Checks, scope: str
) -> None:
    desk = new_desk()
    desk.ask()
    known = desk.controls.get(scope, control(scope))
    desk.controls[scope] = msgspec.structs.replace(known, trading_state="HALTED")
    outcome = desk.ask("ORD2")
    assert [(one.check, one.scope) for one in outcome.breaches] == [("TRADING_HALTED", scope)]
    assert checks(desk.replace(quantity=50)) == ["TRADING_HALTED"]
    assert checks(desk.cancel()) == []


def test_reducing_lets_only_pass_what_cannot_exceed_the_position(new_desk: Callable[..., Any], checks: Checks) -> None:
    desk = new_desk()
    desk.ask()
    desk.say("FILLED", filled=100)
    desk.firm(trading_state="REDUCING")
    assert checks(desk.ask("ORD2")) == ["TRADING_REDUCING"]
    assert checks(desk.ask("ORD3", side="SELL", quantity=110)) == ["TRADING_REDUCING"]
    assert checks(desk.ask("ORD4", side="SELL", quantity=60)) == []
    assert checks(desk.ask("ORD5", side="SELL", quantity=50)) == ["TRADING_REDUCING"]
    assert checks(desk.ask("ORD6", side="SELL", quantity=40)) == []
    assert checks(desk.replace("ORD4", side="SELL", quantity=70)) == ["TRADING_REDUCING"]


def test_a_cl_ord_id_is_used_once_per_account_also_by_a_request_that_was_rejected_or_a_cancel(
    new_desk: Callable[..., Any], checks: Checks
) -> None:
    desk = new_desk()
    desk.ask(cl_ord_id="A")
    assert checks(desk.ask("ORD2", cl_ord_id="A")) == ["DUPLICATE_CL_ORD_ID"]
    desk.cancel(cl_ord_id="B")
    assert checks(desk.ask("ORD3", cl_ord_id="B")) == ["DUPLICATE_CL_ORD_ID"]
    desk.ask("ORD4", cl_ord_id="D", quantity=0)
    assert checks(desk.ask("ORD5", cl_ord_id="D")) == ["DUPLICATE_CL_ORD_ID"]


def test_the_memory_of_cl_ord_ids_is_bounded_by_number(new_desk: Callable[..., Any], checks: Checks) -> None:
    desk = new_desk()
    for number in range(2 * 64 * IDS_PER_BUCKET):
        desk.cancel("X", cl_ord_id=f"N{number}")
    last = 2 * 64 * IDS_PER_BUCKET - 1
    assert checks(desk.ask("ORD1", cl_ord_id=f"N{last}")) == ["DUPLICATE_CL_ORD_ID"]
    assert checks(desk.ask("ORD2", cl_ord_id="N0")) == []
    sizes = [len(part) for name, part in desk.parts.items() if name.startswith("|ids|")]
    assert len(sizes) == 64
    assert max(sizes) <= 8 * IDS_PER_BUCKET + 8


def test_an_approved_order_id_is_not_taken_again_and_a_rejected_one_may_be(
    new_desk: Callable[..., Any], checks: Checks
) -> None:
    desk = new_desk()
    desk.ask(quantity=0)
    assert checks(desk.ask()) == []
    assert checks(desk.ask()) == ["DUPLICATE_ORDER"]
    assert desk.reserved == 100 * 400 * DOLLAR


def test_message_rate_rolls_over_event_time_and_exempts_cancels(new_desk: Callable[..., Any], checks: Checks) -> None:
    desk = new_desk(firm={"max_messages": 2, "message_window_ms": 1000})
    assert checks(desk.ask("A", occurred_at=0)) == []
    assert checks(desk.ask("B", occurred_at=900_000)) == []
    rejected = desk.ask("C", occurred_at=999_999)
    assert rejected.breaches == [Breach(check="MESSAGE_RATE", scope="FIRM", limit=2.0, current=2.0, attempted=3.0)]
    assert checks(desk.cancel("B", occurred_at=999_999)) == []
    assert checks(desk.ask("D", occurred_at=1_000_000)) == []
    assert checks(desk.ask("E", occurred_at=1_000_001)) == ["MESSAGE_RATE"]


def test_the_strictest_of_several_rates_holds_whatever_their_windows(
    new_desk: Callable[..., Any], checks: Checks
) -> None:
    desk = new_desk(
        control("ACCOUNT:ACC1", max_messages=1, message_window_ms=100),
        firm={"max_messages": 3, "message_window_ms": 10_000},
    )
    assert checks(desk.ask("A", occurred_at=0)) == []
    assert [one.scope for one in desk.ask("B", occurred_at=50_000).breaches] == ["ACCOUNT:ACC1"]
    assert checks(desk.ask("C", occurred_at=200_000)) == []
    assert checks(desk.ask("D", occurred_at=400_000)) == []
    assert [one.scope for one in desk.ask("E", occurred_at=600_000).breaches] == ["FIRM"]


def test_exposure_counts_open_orders_and_positions_and_lets_pass_what_lowers_it(
    new_desk: Callable[..., Any], checks: Checks
) -> None:
    desk = new_desk(firm={"max_exposure": 100_000 * DOLLAR})
    assert checks(desk.ask("A")) == []
    assert checks(desk.ask("B")) == []
    rejected = desk.ask("C")
    assert rejected.breaches == [
        Breach(check="MAX_EXPOSURE", scope="FIRM", limit=100_000.0, current=80_000.0, attempted=120_000.0)
    ]
    desk.say("FILLED", "A", filled=100)
    assert checks(desk.ask("D")) == ["MAX_EXPOSURE"]
    assert checks(desk.ask("E", side="SELL")) == []
    desk.say("CANCELED", "B")
    desk.say("FILLED", "E", filled=100, side="SELL")
    assert (desk.reserved, desk.account.open_notional) == (0, 0)
    assert checks(desk.ask("F")) == []


def test_a_rejected_request_reserves_nothing(new_desk: Callable[..., Any]) -> None:
    desk = new_desk()
    desk.ask(quantity=1010)
    assert desk.reserved == 0


def test_outcomes_of_an_order_are_numbered_without_gaps_whatever_was_decided(new_desk: Callable[..., Any]) -> None:
    desk = new_desk()
    outcomes = [desk.ask(), desk.replace(quantity=200), desk.replace(quantity=10**6), desk.cancel()]
    desk.say("CANCELED")
    outcomes.append(desk.cancel())
    assert [outcome.sequence for outcome in outcomes] == [1, 2, 3, 4, 5]
    assert desk.ask("ORD2").sequence == 1


def test_a_replace_needs_an_open_order_of_the_same_symbol_and_side(
    new_desk: Callable[..., Any], checks: Checks
) -> None:
    desk = new_desk()
    assert checks(desk.replace()) == ["UNKNOWN_ORDER"]
    desk.ask()
    assert checks(desk.replace(side="SELL")) == ["CHANGED_TERMS"]
    desk.say("FILLED", filled=100)
    assert checks(desk.replace(quantity=200)) == ["UNKNOWN_ORDER"]


def test_what_was_read_is_not_changed(new_desk: Callable[..., Any]) -> None:
    desk = new_desk(firm={"duplicate_window_ms": 1000, "max_executions": 5, "execution_window_ms": 1000})
    desk.ask()
    account, parts = desk.account, dict(desk.parts)
    before = msgspec.msgpack.encode(account)
    desk.ask("ORD2")
    desk.say("PARTIALLY_FILLED", filled=10)
    assert msgspec.msgpack.encode(account) == before
    assert set(parts) < set(desk.parts)


@pytest.mark.parametrize(
    "fields", [{"event_type": "ORDER_STATUS_CHANGED"}, {"key": "ACC2|ORD1"}, {"account_id": "A|B"}, {"order_id": ""}]
)
def test_what_cannot_be_decided_at_all_is_a_bad_record(new_desk: Callable[..., Any], fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRecordError):
        new_desk().ask(**fields)


def test_a_replace_counts_its_increase_alone_against_the_exposure(new_desk: Callable[..., Any], checks: Checks) -> None:
    desk = new_desk(firm={"max_exposure": 100_000 * DOLLAR})
    desk.ask()
    assert checks(desk.replace(quantity=200)) == []
    assert desk.reserved == 80_000 * DOLLAR
    rejected = desk.replace(quantity=300)
    assert [(one.check, one.current, one.attempted) for one in rejected.breaches] == [
        ("MAX_EXPOSURE", 80_000.0, 120_000.0)
    ]


def test_a_replace_while_reducing_does_not_count_the_order_twice(new_desk: Callable[..., Any], checks: Checks) -> None:
    desk = new_desk()
    desk.ask()
    desk.say("FILLED", filled=100)
    desk.ask("ORD2", side="SELL", quantity=60)
    desk.firm(trading_state="REDUCING")
    assert checks(desk.replace("ORD2", side="SELL", quantity=100)) == []
    assert checks(desk.replace("ORD2", side="SELL", quantity=110)) == ["TRADING_REDUCING"]
