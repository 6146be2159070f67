"""The flow risk_check end to end under FlowTester: decisions, exposure and changes of controls, through crashes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import pytest

import config
from config.settings import Settings
from flows.tester import FlowTester
from operators.model.events import (
    EventType,
    OrderIntent,
    OrderStatusChanged,
    OrderSummary,
    RiskOutcome,
    StatusDetail,
)
from operators.model.risk.book import keep, memory_book
from operators.model.risk.decision import on_intent
from operators.model.risk.exposure import on_status
from operators.model.risk.limits import (
    AccountReference,
    Levels,
    Locate,
    Restriction,
    RiskControl,
    SymbolReference,
    Tables,
)
from operators.model.risk.limits_files import parse_controls
from operators.model.risk.limits_in_force import LimitsInForce
from operators.model.risk.state import AccountRisk, OrderRisk

DOLLAR = 1_000_000
AT = 1_790_000_000_000_000
LIMITS = (Path(config.__file__).parent / "limits.yaml").read_text()


def firm(**fields: Any) -> RiskControl:
    [shipped] = parse_controls(LIMITS, occurred_at=AT, source="test")
    return msgspec.structs.replace(shipped, **fields)


def control(scope: str, **fields: Any) -> RiskControl:
    return RiskControl(
        event_type="RISK_CONTROL", occurred_at=AT, key=scope, sequence=1, source="test", limits_version="1", **fields
    )


MSFT = SymbolReference(
    event_type="SYMBOL_REFERENCE", occurred_at=AT, key="MSFT", sequence=1, source="test", tick=10_000, lot=1,
    reference_price=400 * DOLLAR,
)  # fmt: skip


def intent(number: int, order_id: str = "", account: str = "ACC1", **fields: Any) -> OrderIntent:
    order_id = order_id or f"ORD{number}"
    values: dict[str, Any] = {
        "event_type": EventType.ORDER_SUBMITTED, "occurred_at": AT + number * 200_000, "sequence": number,
        "source": "entry", "cl_ord_id": f"C{number}", "user_token": "U", "symbol": "MSFT", "side": "BUY",
        "quantity": 100, "order_type": "LIMIT", "limit_price": 400 * DOLLAR,
    }  # fmt: skip
    return OrderIntent(key=f"{account}|{order_id}", account_id=account, order_id=order_id, **(values | fields))


def status(code: str, sequence: int, order_id: str, filled: int = 0, account: str = "ACC1") -> OrderStatusChanged:
    done = code in ("FILLED", "CANCELED", "REJECTED")
    return OrderStatusChanged(
        event_type=EventType.ORDER_STATUS_CONSOLIDATED, occurred_at=AT + 50 + sequence, key=f"{account}|{order_id}",
        order=OrderSummary(id=order_id, symbol="MSFT", side="BUY", quantity=100, limit_price=400 * DOLLAR),
        status=StatusDetail(
            code=code, filled_quantity=filled, leaves_quantity=0 if done else 100 - filled, avg_price=400 * DOLLAR
        ),
        sequence=sequence, source="order-status", venue="XNAS",
    )  # fmt: skip


def accounts(flow: FlowTester) -> dict[str, AccountRisk]:
    return {
        key: msgspec.msgpack.decode(body, type=AccountRisk)
        for key, body in flow.store("risk").items()
        if "|" not in key
    }


def breaches(outcomes: list[RiskOutcome]) -> dict[str, list[str]]:
    return {outcome.intent.order_id: [breach.check for breach in outcome.breaches] for outcome in outcomes}


def test_without_limits_every_order_is_rejected_and_names_what_is_missing() -> None:
    with FlowTester("risk_check") as flow:
        flow.send("orders.input", intent(1))
        flow.run()
        [outcome] = flow.read("risk.outcome")
        assert outcome.event_type == EventType.RISK_REJECTED
        assert {breach.check for breach in outcome.breaches} == {"LIMITS_MISSING", "UNKNOWN_SYMBOL"}
        assert outcome.limits_version == "NONE"


def test_orders_reserve_fill_and_release_through_crashes_with_and_without_stores() -> None:
    with FlowTester("risk_check") as flow:
        flow.send("risk.controls", firm())
        flow.send("reference.symbols", MSFT)
        flow.send("orders.input", intent(1), intent(2))
        flow.run()
        assert accounts(flow)["ACC1"].reserved == 80_000 * DOLLAR
        flow.crash(lose_state=True)
        flow.send("orders.status", status("PARTIALLY_FILLED", 1, "ORD1", 40))
        flow.process_uncommitted()
        flow.crash()
        flow.run()
        flow.send("orders.status", status("PARTIALLY_FILLED", 1, "ORD1", 40), status("FILLED", 1, "ORD2", 100))
        flow.run()
        flow.crash(lose_state=True)
        flow.send("orders.input", intent(3, cl_ord_id="C1"))
        flow.run()
        account = accounts(flow)["ACC1"]
        assert (account.reserved, account.open_notional, account.working) == (24_000 * DOLLAR, 56_000 * DOLLAR, 1)
        assert breaches(flow.read("risk.outcome")) == {"ORD1": [], "ORD2": [], "ORD3": ["DUPLICATE_CL_ORD_ID"]}
        assert flow.dead_letters() == []


def test_an_id_too_long_for_the_store_is_a_dead_letter_and_the_flow_goes_on() -> None:
    with FlowTester("risk_check") as flow:
        flow.send("risk.controls", firm())
        flow.send("reference.symbols", MSFT)
        flow.send("orders.input", intent(1, "O" * 600), intent(2, session="S" * 600), intent(3))
        flow.send("orders.status", status("NEW", 1, "O" * 600))
        flow.run()
        assert breaches(flow.read("risk.outcome")) == {"ORD2": [], "ORD3": []}
        assert len(flow.dead_letters()) == 2


def test_controls_change_while_the_flow_runs_and_decisions_name_the_version_they_used() -> None:
    with FlowTester("risk_check") as flow:
        flow.send("risk.controls", firm())
        flow.send("reference.symbols", MSFT)
        flow.send("orders.input", intent(1))
        flow.run()
        flow.send("risk.controls", firm(trading_state="HALTED", limits_version="2#2"))
        flow.run()
        flow.send("orders.input", intent(2))
        flow.send("orders.input", intent(3, "ORD1", event_type=EventType.CANCEL_REQUESTED))
        flow.run()
        flow.crash(lose_state=True)
        flow.send("risk.controls", firm(limits_version="2#3"))
        flow.send("orders.input", intent(4))
        flow.run()
        outcomes = {outcome.intent.sequence: outcome for outcome in flow.read("risk.outcome")}
        assert [(n, outcomes[n].event_type, outcomes[n].limits_version) for n in sorted(outcomes)] == [
            (1, EventType.RISK_APPROVED, "FIRM@2"),
            (2, EventType.RISK_REJECTED, "FIRM@2#2"),
            (3, EventType.RISK_APPROVED, "FIRM@2#2"),
            (4, EventType.RISK_APPROVED, "FIRM@2#3"),
        ]
        assert [breach.check for breach in outcomes[2].breaches] == ["TRADING_HALTED"]


def test_all_that_operations_publish_reaches_the_decisions() -> None:
    """Nested fields, dates, accounts and locates go through the contracts and the broadcast tables."""
    with FlowTester("risk_check") as flow:
        today = AT // 86_400_000_000
        flow.send(
            "risk.controls",
            firm(warn=Levels(max_order_quantity=10), locate="HARD", self_trade="DECREMENT"),
            control("DESK:D1", max_order_quantity=50),
            control("SESSION:S1", trading_state="REDUCING"),
            control("SYMBOL:GOOG", restrictions=(Restriction(side="SELL", valid_from=today, valid_until=today),)),
        )
        flow.send("reference.symbols", MSFT, msgspec.structs.replace(MSFT, key="GOOG", easy_to_borrow=True))
        flow.send(
            "reference.accounts",
            AccountReference(
                event_type="ACCOUNT_REFERENCE", occurred_at=AT, key="ACC2", sequence=1, source="t", desk="D1"
            ),
        )
        located = Locate(
            event_type="LOCATE", occurred_at=AT, key="L1", sequence=1, source="t", account_id="ACC1", symbol="MSFT",
            quantity=60, valid_from=today, valid_until=today,
        )  # fmt: skip
        flow.send("reference.locates", located)
        flow.send(
            "orders.input",
            intent(1, "DESK", account="ACC2"),
            intent(2, "SESSION", session="S1"),
            intent(3, "RESTRICTED", symbol="GOOG", side="SELL_SHORT"),
            intent(4, "SHORT", side="SELL_SHORT", quantity=60, locate_id="L1", limit_price=401 * DOLLAR),
            intent(5, "EXHAUSTED", side="SELL_SHORT", quantity=10, locate_id="L1", limit_price=402 * DOLLAR),
            intent(6, "MEETS", limit_price=401 * DOLLAR),
            intent(7, "SHORT", cl_ord_id="C4", side="SELL_SHORT", poss_resend=True),
        )
        flow.run()
        outcomes = flow.read("risk.outcome")
        found = {(o.intent.order_id, o.sequence): [(b.check, b.severity) for b in o.breaches] for o in outcomes}
        warned = ("MAX_ORDER_QUANTITY", "WARN")
        assert found == {
            ("DESK", 1): [("MAX_ORDER_QUANTITY", "HARD")],
            ("SESSION", 1): [warned, ("TRADING_REDUCING", "HARD")],
            ("RESTRICTED", 1): [warned, ("RESTRICTED", "HARD")],
            ("SHORT", 1): [warned],
            ("EXHAUSTED", 1): [("LOCATE_EXHAUSTED", "HARD")],
            ("MEETS", 1): [warned, ("SELF_TRADE", "WARN")],
            ("SHORT", 2): [("POSSIBLE_RESEND", "HARD")],
        }
        [meets] = [outcome for outcome in outcomes if outcome.intent.order_id == "MEETS"]
        assert meets.approved_quantity == 40
        assert [(a.action, a.key, a.quantity) for a in meets.actions] == [("CANCEL", "ACC1|SHORT", 60)]
        assert flow.dead_letters() == []


@pytest.mark.parametrize("cache_rows", [1, 10_000])
def test_a_history_through_the_flow_with_kills_ends_as_in_the_pure_rules(cache_rows: int) -> None:
    controls = firm(max_executions=7, execution_window_ms=60_000, self_trade="WARN")
    events: list[Any] = []
    for number in range(1, 61):
        account = f"ACC{number % 3}"
        side = "SELL" if number % 4 == 0 else "BUY"
        events.append(intent(number, account=account, side=side, quantity=100))
        if number > 5:
            code = ("PARTIALLY_FILLED", "FILLED", "CANCELED")[number % 3]
            other = number - 4
            filled = {"PARTIALLY_FILLED": 40, "FILLED": 100, "CANCELED": 0}[code]
            events.append(status(code, 1, f"ORD{other}", filled, f"ACC{other % 3}"))
    expected, outcomes = pure(events, Tables({"FIRM": controls}, {"MSFT": MSFT}))
    with FlowTester("risk_check", settings=with_cache(Settings(), cache_rows)) as flow:
        flow.send("risk.controls", controls)
        flow.send("reference.symbols", MSFT)
        for number, event in enumerate(events):
            flow.send("orders.input" if isinstance(event, OrderIntent) else "orders.status", event)
            if number % 7 == 3:
                flow.process_uncommitted()
                flow.crash(lose_state=number % 2 == 0)
            flow.run()
        assert flow.store("risk") == expected
        found = {(o.key, o.sequence): o for o in flow.read("risk.outcome")}
        assert found == {(o.key, o.sequence): o for o in outcomes}
        assert {o.event_type for o in outcomes} == {EventType.RISK_APPROVED, EventType.RISK_REJECTED}


def with_cache(settings: Settings, rows: int) -> Settings:
    return dataclasses.replace(settings, state=dataclasses.replace(settings.state, cache_rows=rows))


def pure(events: list[Any], tables: Tables) -> tuple[dict[str, bytes], list[RiskOutcome]]:
    """What the rules alone make of a history: the state and its parts under their keys, and the outcomes."""
    state: dict[str, AccountRisk] = {}
    parts: dict[str, dict[str, bytes]] = {}
    outcomes = []
    limits = LimitsInForce()
    for event in events:
        account = event.key.partition("|")[0]
        book = memory_book(state.get(account), parts.setdefault(account, {}))
        if isinstance(event, OrderIntent):
            outcomes.append(on_intent(book, event, tables, limits=limits))
        else:
            on_status(book, event, tables, limits=limits)
        state[account] = book.account
        keep(parts[account], book.changes())
    stored = {account: msgspec.msgpack.encode(risk) for account, risk in state.items()}
    stored |= {account + suffix: part for account, of in parts.items() for suffix, part in of.items()}
    return stored, outcomes


def test_what_an_event_writes_does_not_grow_with_the_orders_that_are_open() -> None:
    def written(orders: int) -> int:
        """Bytes in the changelog of the last status, with so many orders open in other symbols."""
        with FlowTester("risk_check") as flow:
            flow.send("risk.controls", firm(max_exposure=10**18, max_net_exposure=10**18, max_credit=10**18,
                                            max_daily_notional=10**18))  # fmt: skip
            names = [f"S{number % 50}" for number in range(orders)]
            flow.send("reference.symbols", MSFT, *(msgspec.structs.replace(MSFT, key=name) for name in set(names)))
            flow.send("orders.input", intent(1))
            flow.send("orders.input", *(intent(n + 2, symbol=name) for n, name in enumerate(names)))
            flow.run()
            before = flow.changelog("risk")
            flow.send("orders.status", status("PARTIALLY_FILLED", 1, "ORD1", 40))
            flow.run()
            after = flow.changelog("risk")
            changed = [key for key, value in after.items() if before.get(key) != value and b"|" in key]
            assert sorted(changed) == [b"ACC1|order|ORD1", b"ACC1|symbol|MSFT", b"ACC1|times|executions"]
            order = msgspec.msgpack.decode(after[b"ACC1|order|ORD1"][16:], type=OrderRisk)
            assert order.filled == 40
            return sum(len(after[key]) for key in changed) + len(after[b"ACC1"])

    assert written(500) - written(5) < 32  # sums have more digits
