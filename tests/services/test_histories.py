"""Histories have everything that can happen to an order, are told the same each time, and end without doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import pytest

from operators.model.events import ExecType
from services.histories import histories
from services.truth import Outputs, Truth
from services.truth_fees import FeeTable
from services.verdict import judge

Event = tuple[str, dict[str, Any]]


def test_the_same_seed_tells_the_same_and_another_one_something_else() -> None:
    assert list(histories(50, 1)) == list(histories(50, 1))
    assert list(histories(50, 1)) != list(histories(50, 2))


def test_everything_that_venues_and_engine_say_occurs() -> None:
    events = list(histories(1_500, 1))
    kinds = Counter(record["execType"] for topic, record in events if topic == "orders.executions")
    rare = {"PENDING_NEW", "CALCULATED", "TRIGGERED", "TRADE_IN_CLEARING_HOLD", "TRADE_RELEASED_TO_CLEARING"}
    assert set(kinds) == {kind.value for kind in ExecType} - rare - {"REJECTED", "ORDER_STATUS"}
    assert any(record["order"]["isParent"] for topic, record in events if topic == "orders.status")
    assert any(record["order"]["parentId"] for topic, record in events if topic == "orders.status")
    trades = {
        (record["key"], record["venue"], record["execId"], record["lastQuantity"], record["cumQuantity"])
        for topic, record in events
        if topic == "orders.executions" and record["execType"] == "TRADE"
    }
    assert max(Counter(trade[:3] for trade in trades).values()) > 1, "an id is used again"


def test_statuses_are_numbered_without_gaps_and_every_end_is_certain(fee_table: FeeTable) -> None:
    truth = Truth(fee_table)
    events = list(histories(500, 3))
    truth.add_statuses(record for topic, record in events if topic == "orders.status")
    truth.add_executions(record for topic, record in events if topic == "orders.executions")
    assert all(len(order.finals) == 1 for order in truth.expected.orders.values())
    numbers: dict[str, list[int]] = {}
    for topic, record in events:
        if topic == "orders.status" and record["sequence"] not in numbers.setdefault(record["key"], []):
            numbers[record["key"]].append(record["sequence"])
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())


@pytest.mark.parametrize("seed", range(4))
def test_the_domain_rules_are_exact_however_the_topics_interleave(
    seed: int, order_status: Callable[[Iterable[Event]], list[Event]], fee_table: FeeTable
) -> None:
    events, random = list(histories(300, seed)), Random(seed)
    queues = {name: [e for e in events if e[0] == name] for name in ("orders.status", "orders.executions")}
    mixed: list[Event] = []
    while any(queues.values()):
        name = random.choice([name for name, queue in queues.items() if queue])
        count = random.randrange(1, 200)
        mixed += queues[name][:count]
        del queues[name][:count]
    truth, outputs = Truth(fee_table), Outputs()
    truth.add_statuses(record for topic, record in mixed if topic == "orders.status")
    truth.add_executions(record for topic, record in mixed if topic == "orders.executions")
    sent = order_status(mixed)
    outputs.add_statuses(record for topic, record in sent if topic == "orders.status")
    outputs.add_enriched(record for topic, record in sent if topic == "orders.enrichment")
    verdict = judge(truth.expected, outputs)
    assert verdict.exact, verdict.as_json()["differences"]
    assert verdict.counts["fills"] > 300
