"""The whole simulated day through the shipped limits: mostly approved, the bad orders refused, and exact in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from broker.contract import Log
from operators.codec.codec import Codec
from operators.model.events import OrderIntent
from operators.model.risk.book import keep, memory_book
from operators.model.risk.decision import on_intent
from operators.model.risk.limits import Tables
from operators.model.risk.limits_files import parse_controls, parse_symbols
from operators.model.risk.limits_in_force import LimitsInForce
from operators.model.risk.state import AccountRisk
from services import simulated
from services.day import SYMBOLS_FILE, Day, intents
from services.engine import OrderEngine
from services.records import encode_rows
from services.sessions import opening_micros
from services.truth import Outputs, Truth
from services.truth_fees import FeeTable
from services.venue import Venue
from services.verdict import judge

Event = tuple[str, dict[str, Any]]
DAY = Day(orders=1_500, seed=11)


@pytest.fixture(scope="module")
def outcomes() -> list[dict[str, Any]]:
    """Decisions of the risk rules on the day, under the limits and symbols that ship with the product."""
    opens = opening_micros(DAY.date)
    limits = SYMBOLS_FILE.with_name("limits.yaml")
    controls = {c.key: c for c in parse_controls(limits.read_text(), occurred_at=opens, source="test")}
    symbols = {s.key: s for s in parse_symbols(SYMBOLS_FILE.read_text(), occurred_at=opens, source="test")}
    tables, limits = Tables(controls, symbols), LimitsInForce()
    accounts: dict[str, AccountRisk] = {}
    parts: dict[str, dict[str, bytes]] = {}
    decided = []
    for intent in intents(DAY):
        account = intent["accountId"]
        book = memory_book(accounts.get(account), parts.setdefault(account, {}))
        outcome = on_intent(book, msgspec.convert(intent, OrderIntent), tables, limits=limits)
        accounts[account] = book.account
        keep(parts[account], book.changes())
        decided.append(msgspec.to_builtins(outcome))
    return decided


def test_the_shipped_limits_refuse_the_bad_orders_for_each_of_their_faults(outcomes: list[dict[str, Any]]) -> None:
    refused = [outcome for outcome in outcomes if outcome["eventType"] == "RISK_REJECTED"]
    assert 0.005 * len(outcomes) < len(refused) < 0.05 * len(outcomes)
    assert len(Counter(breach["check"] for outcome in refused for breach in outcome["breaches"])) >= 4


def test_the_day_is_exact_from_decisions_to_enrichment(
    outcomes: list[dict[str, Any]],
    log: Log,
    codec: Codec,
    read_all: Callable[[str], list[dict[str, Any]]],
    order_status: Callable[[Iterable[Event]], list[Event]],
    fee_table: FeeTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(simulated, "IDLE_S", 0.0)
    transaction = log.transaction("risk", "risk")
    transaction.begin()
    keys = [outcome["key"].encode() for outcome in outcomes]
    transaction.send_batch("risk.outcome", keys, encode_rows(codec, "risk.outcome", outcomes))
    transaction.commit({})
    transaction.close()
    for service in (OrderEngine(log, codec, seed=DAY.seed), Venue(log, codec, seed=DAY.seed)):
        while service.step(0.0):
            pass
        service.close()
    statuses, executions = read_all("orders.status"), read_all("orders.executions")
    truth, outputs = Truth(fee_table), Outputs()
    truth.add_statuses(statuses)
    truth.add_executions(executions)
    sent = order_status(
        [*(("orders.executions", row) for row in executions), *(("orders.status", row) for row in statuses)]
    )
    outputs.add_statuses(row for topic, row in sent if topic == "orders.status")
    outputs.add_enriched(row for topic, row in sent if topic == "orders.enrichment")
    verdict = judge(truth.expected, outputs)
    assert verdict.exact, verdict.as_json()["differences"]
    assert verdict.counts["orders"] == DAY.orders + verdict.counts["children"]
    assert verdict.counts["parents"] > 0.02 * DAY.orders
    own = [order for order in truth.expected.orders.values() if not order.is_parent]
    codes = Counter(final.code for order in own for final in order.finals)
    assert set(codes) == {"FILLED", "CANCELED", "EXPIRED", "REJECTED"}


def test_every_shipped_symbol_is_traded() -> None:
    traded = {intent["symbol"] for intent in intents(DAY)}
    assert len(traded - {"ZZZZ"}) == len(DAY.instruments)
