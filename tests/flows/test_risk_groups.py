"""Pre-trade risk across accounts under FlowTester: self-trades in STP groups, totals of messages, crashes."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

import config
from flows.tester import FlowTester
from operators.model.events import (
    EventType,
    OrderIntent,
    OrderStatusChanged,
    OrderSummary,
    RiskOutcome,
    StatusDetail,
)
from operators.model.risk.limits import AccountReference, RiskControl, SymbolReference
from operators.model.risk.limits_files import parse_controls
from operators.model.risk.state import AccountRisk

DOLLAR = 1_000_000
AT = 1_790_000_000_000_000
LIMITS = (Path(config.__file__).parent / "limits.yaml").read_text()
APPROVED, REJECTED = EventType.RISK_APPROVED, EventType.RISK_REJECTED


def firm(**fields: Any) -> RiskControl:
    [shipped] = parse_controls(LIMITS, occurred_at=AT, source="test")
    return msgspec.structs.replace(shipped, **({"duplicate_window_ms": None} | fields))


def total(scope: str, messages: int) -> RiskControl:
    return RiskControl(
        event_type="RISK_CONTROL", occurred_at=AT, key=scope, sequence=1, source="test", limits_version="1",
        max_total_messages=messages, total_message_window_ms=60_000,
    )  # fmt: skip


def symbol(name: str) -> SymbolReference:
    return SymbolReference(
        event_type="SYMBOL_REFERENCE", occurred_at=AT, key=name, sequence=1, source="test", tick=10_000, lot=1,
        reference_price=100 * DOLLAR,
    )  # fmt: skip


def account(name: str, group: str | None) -> AccountReference:
    return AccountReference(
        event_type="ACCOUNT_REFERENCE", occurred_at=AT, key=name, sequence=1, source="test", stp_group=group
    )


def intent(number: int, key: str, side: str, price: int, quantity: int = 100, **fields: Any) -> OrderIntent:
    account_id, _, order_id = key.partition("|")
    values: dict[str, Any] = {
        "event_type": EventType.ORDER_SUBMITTED, "occurred_at": AT + number * 1_000, "sequence": number,
        "source": "entry", "cl_ord_id": f"C{number}", "user_token": "U", "symbol": "MSFT", "order_type": "LIMIT",
    }  # fmt: skip
    return OrderIntent(
        key=key, account_id=account_id, order_id=order_id, side=side, quantity=quantity, limit_price=price * DOLLAR,
        **(values | fields),
    )  # fmt: skip


def status(code: str, sequence: int, of: OrderIntent) -> OrderStatusChanged:
    return OrderStatusChanged(
        event_type=EventType.ORDER_STATUS_CONSOLIDATED, occurred_at=of.occurred_at + sequence, key=of.key,
        order=OrderSummary(
            id=of.order_id, symbol=of.symbol, side=of.side, quantity=of.quantity, limit_price=of.limit_price
        ),
        status=StatusDetail(code=code, filled_quantity=0, leaves_quantity=of.quantity if code == "NEW" else 0),
        sequence=sequence, source="order-status", venue="XNAS",
    )  # fmt: skip


def publish(flow: FlowTester, *controls: RiskControl) -> None:
    flow.send("risk.controls", *controls)
    flow.send("reference.symbols", symbol("MSFT"), symbol("GOOG"))
    flow.send("reference.accounts", account("A", "G"), account("B", "G"), account("C", None), account("D", "H"))


def decided(flow: FlowTester) -> dict[str, tuple[str, list[str]]]:
    """By order and number of the decision: what it is, and every breached check."""
    return {
        f"{each.key}#{each.sequence}": (each.event_type, [breach.check for breach in each.breaches])
        for each in flow.read("risk.outcome")
    }


@pytest.mark.parametrize("lose_state", [False, True])
def test_orders_of_a_group_are_held_against_each_other_through_crashes(lose_state: bool) -> None:
    with FlowTester("risk_check") as flow:
        publish(flow, firm(self_trade="CANCEL_NEWEST", max_order_quantity=500))
        first = intent(1, "A|1", "SELL", 100)
        flow.send("orders.input", first)
        flow.run()
        flow.crash(lose_state=lose_state)
        flow.send("orders.input", intent(2, "B|1", "BUY", 100, quantity=600), intent(3, "D|1", "BUY", 100))
        flow.send("orders.input", intent(4, "C|1", "BUY", 100), intent(5, "B|2", "BUY", 99))
        flow.process_uncommitted()
        flow.crash(lose_state=lose_state)
        flow.run()
        assert decided(flow) == {
            "A|1#1": (APPROVED, []),
            "B|1#1": (REJECTED, ["MAX_ORDER_QUANTITY", "SELF_TRADE"]),
            "D|1#1": (APPROVED, []),
            "C|1#1": (APPROVED, []),
            "B|2#1": (APPROVED, []),
        }
        flow.send("orders.status", status("NEW", 1, first), status("CANCELED", 2, first))
        flow.run()
        flow.crash(lose_state=lose_state)
        flow.send("orders.input", intent(6, "B|3", "BUY", 100))
        flow.run()
        assert decided(flow) == {"B|3#1": (APPROVED, [])}
        assert flow.dead_letters() == []


def test_actions_reach_the_outcome_and_orders_that_ended_leave_no_state() -> None:
    with FlowTester("risk_check") as flow:
        publish(flow, firm(self_trade="DECREMENT"))
        resting, meeting = intent(1, "A|1", "SELL", 100, 30), intent(2, "B|1", "BUY", 101)
        flow.send("orders.input", resting, meeting)
        flow.run()
        outcome = next(each for each in flow.read("risk.outcome") if each.key == "B|1")
        assert (outcome.event_type, outcome.approved_quantity) == (APPROVED, 70)
        assert [(each.action, each.key, each.quantity) for each in outcome.actions] == [("CANCEL", "A|1", 30)]
        assert flow.store("self_trade") != {}
        flow.send("orders.status", status("CANCELED", 1, resting), status("CANCELED", 1, meeting))
        flow.run()
        assert flow.store("self_trade") == {}
        assert [key for key in flow.changelog("self_trade") if b"MSFT" in key] == []


def test_what_an_account_rejects_is_released_and_reserves_nothing() -> None:
    with FlowTester("risk_check") as flow:
        publish(flow, firm(self_trade="CANCEL_NEWEST", max_order_quantity=500))
        flow.send("orders.input", intent(1, "A|1", "SELL", 100, 600))
        flow.process_uncommitted()
        flow.crash()
        flow.step()
        assert len(flow.read("risk.releases")) == 1
        flow.crash(lose_state=True)
        flow.run()
        flow.send("orders.input", intent(2, "B|1", "BUY", 100))
        flow.run()
        assert decided(flow) == {"A|1#1": (REJECTED, ["MAX_ORDER_QUANTITY"]), "B|1#1": (APPROVED, [])}
        reserved = {
            name: msgspec.msgpack.decode(body, type=AccountRisk).reserved
            for name, body in flow.store("risk").items()
            if "|" not in name
        }
        assert reserved == {"A": 0, "B": 10_000 * DOLLAR}


def test_a_self_trade_prevented_in_one_account_as_well_as_in_the_group_is_reported_once() -> None:
    with FlowTester("risk_check") as flow:
        publish(flow, firm(self_trade="WARN"))
        flow.send("orders.input", intent(1, "A|1", "SELL", 100))
        flow.run()
        flow.send("orders.input", intent(2, "A|2", "BUY", 100))
        flow.run()
        assert decided(flow)["A|2#1"] == (APPROVED, ["SELF_TRADE"])


def test_a_session_has_one_total_for_all_accounts_and_the_other_breaches_stand_beside_it() -> None:
    with FlowTester("risk_check") as flow:
        publish(flow, firm(self_trade="WARN", max_order_quantity=500), total("SESSION:S1", 2), total("SYMBOL:GOOG", 1))
        by = {"session": "S1"}
        flow.send("orders.input", intent(1, "A|1", "SELL", 100, **by), intent(2, "C|1", "BUY", 100, **by))
        flow.run()
        flow.crash(lose_state=True)
        flow.send("orders.input", intent(3, "B|1", "BUY", 100, 600, **by), intent(4, "B|2", "BUY", 99, session="S2"))
        flow.run()
        flow.send("orders.input", intent(5, "C|1", "BUY", 100, event_type=EventType.CANCEL_REQUESTED, **by))
        flow.send("orders.input", intent(6, "C|2", "BUY", 100, symbol="GOOG"))
        flow.run()
        flow.send("orders.input", intent(7, "D|2", "BUY", 100, symbol="GOOG"))
        flow.run()
        assert decided(flow) == {
            "A|1#1": (APPROVED, []),
            "C|1#1": (APPROVED, []),
            "B|1#1": (REJECTED, ["MAX_ORDER_QUANTITY", "TOTAL_MESSAGE_RATE", "SELF_TRADE"]),
            "B|2#1": (APPROVED, []),
            "C|1#2": (APPROVED, []),
            "C|2#1": (APPROVED, []),
            "D|2#1": (REJECTED, ["TOTAL_MESSAGE_RATE"]),
        }
        assert {each.key for each in flow.read("risk.releases")} == {"B|1", "D|2"}


def test_accounts_without_a_group_leave_no_trace_in_the_steps_that_see_others() -> None:
    with FlowTester("risk_check") as flow:
        publish(flow, firm(self_trade="CANCEL_NEWEST"))
        first = intent(1, "C|1", "SELL", 100)
        flow.send("orders.input", first, intent(2, "C|2", "BUY", 90))
        flow.run()
        flow.send("orders.status", status("NEW", 1, first))
        flow.run()
        assert [each for each, _ in decided(flow).values()] == [APPROVED, APPROVED]
        assert flow.changelog("self_trade") == flow.changelog("totals") == {}


def history(count: int) -> list[tuple[str, Any]]:
    """New orders, replaces, cancels and statuses of four accounts, some of them over limits."""
    chance = random.Random(7)
    events: list[tuple[str, Any]] = []
    orders: list[OrderIntent] = []
    sequences: dict[str, int] = defaultdict(int)
    for number in range(1, count + 1):
        kind = chance.choice(["new", "new", "replace", "cancel", "status"])
        price, quantity = chance.randint(98, 102), chance.choice([100, 100, 100, 600])
        session = chance.choice(["S1", "S2"])
        if kind == "new" or not orders:
            key, side = f"{chance.choice('ABCD')}|{number}", chance.choice(["BUY", "SELL"])
            orders.append(intent(number, key, side, price, quantity, session=session))
            events.append(("orders.input", orders[-1]))
            continue
        of = chance.choice(orders)
        if kind == "status":
            sequences[of.key] += 1
            events.append(("orders.status", status(chance.choice(["NEW", "CANCELED"]), sequences[of.key], of)))
            continue
        event_type = EventType.REPLACE_REQUESTED if kind == "replace" else EventType.CANCEL_REQUESTED
        fields = {"event_type": event_type, "session": session}
        events.append(("orders.input", intent(number, of.key, of.side, price, quantity, **fields)))
    return events


def outcome_by_request(flow: FlowTester) -> dict[str, RiskOutcome]:
    """Outcomes by ClOrdID; each request has one, and those of an order are numbered in the order of its requests."""
    found: dict[str, RiskOutcome] = {}
    last: dict[str, tuple[int, int]] = {}
    for outcome in flow.read("risk.outcome"):
        assert outcome.intent.cl_ord_id not in found
        found[outcome.intent.cl_ord_id] = outcome
        number, sequence = last.get(outcome.key, (0, 0))
        assert (outcome.intent.sequence > number, outcome.sequence) == (True, sequence + 1)
        last[outcome.key] = outcome.intent.sequence, outcome.sequence
    return found


@pytest.mark.parametrize("mode", ["CANCEL_NEWEST", "DECREMENT"])
def test_a_history_with_kills_ends_as_the_same_without_and_decides_every_request_once(mode: str) -> None:
    events = history(120)
    ends = []
    for kills in (False, True):
        with FlowTester("risk_check") as flow:
            publish(flow, firm(self_trade=mode, max_order_quantity=500), total("SESSION:S1", 30))
            for number, (topic, event) in enumerate(events):
                flow.send(topic, event)
                if kills and number % 5 == 3:
                    flow.process_uncommitted()
                    flow.crash(lose_state=number % 2 == 0)
                flow.run()
            stores = [flow.store(step) for step in ("self_trade", "totals", "risk")]
            ends.append((outcome_by_request(flow), stores, flow.dead_letters()))
    assert ends[0] == ends[1]
    outcomes, stores, letters = ends[0]
    assert letters == []
    assert all(stores), "every step has something to keep"
    assert set(outcomes) == {event.cl_ord_id for topic, event in events if topic == "orders.input"}
    told = {breach.check for outcome in outcomes.values() for breach in outcome.breaches}
    assert told >= {"SELF_TRADE", "TOTAL_MESSAGE_RATE", "MAX_ORDER_QUANTITY", "UNKNOWN_ORDER"}


def test_a_backlog_read_at_once_keeps_the_order_of_every_order() -> None:
    events = history(300)
    with FlowTester("risk_check") as flow:
        publish(flow, firm(self_trade="CANCEL_NEWEST", max_order_quantity=500), total("SESSION:S1", 200))
        for topic, event in events:
            flow.send(topic, event)
        flow.run()
        assert set(outcome_by_request(flow)) == {event.cl_ord_id for topic, event in events if topic == "orders.input"}
        assert flow.dead_letters() == []
