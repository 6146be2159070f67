"""The verdict agrees with the domain rules whatever the interleaving, and sees every kind of error in the outputs."""

from __future__ import annotations

import copy
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from broker.contract import Log
from operators.codec.codec import Codec
from operators.model.events import ExecutionReport, OrderEnriched, OrderStatusChanged, account_of
from operators.model.positions.positions import Position, on_enriched, position_key
from operators.model.views.dashboard import Aggregate, add, dashboard_key
from operators.model.views.milestones import Progress, advance
from services.day import Day, events_of, generate_events
from services.truth import PARENT_SOURCE, Outputs, Truth
from services.truth_fees import FeeTable
from services.verdict import Verdict, judge, verify

Event = tuple[str, dict[str, Any]]
OrderStatus = Callable[[Iterable[Event]], list[Event]]


def judged(events: Iterable[Event], outputs: Iterable[Event], fees: FeeTable, **views: Any) -> Verdict:
    truth, seen = Truth(fees), Outputs()
    events, outputs = list(events), list(outputs)
    truth.add_statuses(record for topic, record in events if topic == "orders.status")
    truth.add_executions(record for topic, record in events if topic == "orders.executions")
    seen.add_statuses(record for topic, record in outputs if topic == "orders.status")
    seen.add_enriched(record for topic, record in outputs if topic == "orders.enrichment")
    return judge(truth.expected, seen, **views)


def interleaved(events: Iterable[Event], seed: int) -> list[Event]:
    """Another order that two topics may be read in: each topic keeps its own."""
    queues: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        queues[event[0]].append(event)
    shuffle = random.Random(seed)
    topics = [event[0] for queue in queues.values() for event in queue]
    shuffle.shuffle(topics)
    iterators = {topic: iter(queue) for topic, queue in queues.items()}
    return [next(iterators[topic]) for topic in topics]


@pytest.mark.parametrize("seed", range(5))
def test_a_correct_flow_is_exact_in_any_interleaving_of_its_inputs(
    seed: int, order_status: OrderStatus, fee_table: FeeTable
) -> None:
    events = interleaved(generate_events(400, seed), seed)
    verdict = judged(events, order_status(events), fee_table)
    assert verdict.exact, verdict.as_json()
    assert verdict.counts["orders"] == 400
    assert verdict.counts["duplicate_inputs"] > 0
    assert all(check.compared for check in verdict.checks if "parent" not in check.name), "plain orders have none"


FAMILIES = Day(orders=150, seed=2, share_worked=0.3)


@pytest.mark.parametrize("seed", range(3))
def test_parents_are_exact_in_any_interleaving(seed: int, order_status: OrderStatus, fee_table: FeeTable) -> None:
    events = interleaved(events_of(FAMILIES), seed)
    verdict = judged(events, order_status(events), fee_table, children=_families(events))
    assert verdict.exact, verdict.as_json()["differences"]
    compared = {check.name: check.compared for check in verdict.checks if "parent" in check.name}
    assert set(compared.values()) == {verdict.counts["parents"]} != {0}
    assert verdict.counts["children"] > verdict.counts["parents"]


def test_parents_of_which_the_engine_says_nothing_are_exact_too(order_status: OrderStatus, fee_table: FeeTable) -> None:
    events = [event for event in events_of(FAMILIES) if not event[1].get("order", {}).get("isParent")]
    verdict = judged(events, order_status(events), fee_table)
    assert verdict.exact, verdict.as_json()["differences"]
    (state,) = [check for check in verdict.checks if check.name == "parent's state"]
    assert state.compared > 30


def _families(events: Iterable[Event]) -> dict[str, set[str]]:
    families: dict[str, set[str]] = defaultdict(set)
    for topic, record in events:
        if topic == "orders.status" and record["order"]["parentId"]:
            families[f"{account_of(record['key'])}|{record['order']['parentId']}"].add(record["key"])
    return families


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("status", "code"), "SUSPENDED", "parent's state"),
        (("status", "leavesQuantity"), 7, "parent's state"),
        (("order", "quantity"), 1, "parent's state"),
        (("status", "filledQuantity"), 1, "parent's filledQuantity"),
        (("status", "avgPrice"), 1, "parent's avgPrice"),
    ],
)
def test_an_error_in_a_parent_is_seen(
    path: tuple[str, str], value: object, named: str, order_status: OrderStatus, fee_table: FeeTable
) -> None:
    events = list(events_of(FAMILIES))
    outputs = copy.deepcopy(order_status(events))
    last = next(r for t, r in reversed(outputs) if t == "orders.status" and r["source"] == PARENT_SOURCE)
    last[path[0]][path[1]] = value
    assert named in [check.name for check in judged(events, outputs, fee_table).checks if not check.holds]


def test_a_child_that_the_view_does_not_know_is_seen(order_status: OrderStatus, fee_table: FeeTable) -> None:
    events = list(events_of(FAMILIES))
    families = _families(events)
    next(iter(families.values())).pop()
    verdict = judged(events, order_status(events), fee_table, children=families)
    assert [check.name for check in verdict.checks if not check.holds] == ["children of a parent"]


def _lost(outputs: list[Event]) -> None:
    del outputs[len(outputs) // 2]


def _sent_twice(outputs: list[Event]) -> None:
    outputs.append(outputs[len(outputs) // 2])


def _disordered(outputs: list[Event]) -> None:
    key = next(record["key"] for topic, record in outputs if record["sequence"] == 3)
    places = [
        place for place, (topic, record) in enumerate(outputs) if topic == "orders.status" and record["key"] == key
    ]
    outputs[places[0]], outputs[places[1]] = outputs[places[1]], outputs[places[0]]


def _last(outputs: list[Event], topic: str) -> dict[str, Any]:
    return next(record for of, record in reversed(outputs) if of == topic)


def _wrong_fee(outputs: list[Event]) -> None:
    _last(outputs, "orders.enrichment")["totalFees"] += 1


def _wrong_fee_increment(outputs: list[Event]) -> None:
    _last(outputs, "orders.enrichment")["fees"][0]["amount"] += 1


def _wrong_code(outputs: list[Event]) -> None:
    _last(outputs, "orders.status")["status"]["code"] = "SUSPENDED"


def _wrong_price(outputs: list[Event]) -> None:
    _last(outputs, "orders.status")["status"]["avgPrice"] = 1


def _of_nobody(outputs: list[Event]) -> None:
    stray = copy.deepcopy(_last(outputs, "orders.enrichment"))
    outputs.append(("orders.enrichment", {**stray, "key": "ACC00001|NOBODY"}))


@pytest.mark.parametrize(
    "error",
    [_lost, _sent_twice, _disordered, _wrong_fee, _wrong_fee_increment, _wrong_code, _wrong_price, _of_nobody],
)
def test_an_error_in_the_outputs_is_seen_and_named(
    error: Callable[[list[Event]], None], order_status: OrderStatus, fee_table: FeeTable
) -> None:
    events = list(generate_events(100, seed=1))
    outputs = copy.deepcopy(order_status(events))
    error(outputs)
    verdict = judged(events, outputs, fee_table)
    assert not verdict.exact
    assert verdict.as_json()["differences"]


def test_no_outputs_at_all_is_not_exact(fee_table: FeeTable) -> None:
    assert not judged(generate_events(10, seed=1), [], fee_table).exact


def no_chunks(suffix: str) -> None:
    """Beside positions of so few fills lies nothing."""


def test_the_product_s_views_are_exact_and_an_error_in_one_is_seen(
    order_status: OrderStatus, fee_table: FeeTable
) -> None:
    events = list(generate_events(300, seed=1))
    outputs = order_status(events)
    positions: dict[str, Position | None] = {}
    windows: dict[str, Aggregate] = {}
    progress: dict[str, Progress] = {}
    for topic, record in [*events, *outputs]:
        event = msgspec.convert(record, _types(topic))
        if isinstance(event, OrderEnriched):
            key = position_key(account_of(event.key), event.symbol)
            positions[key] = on_enriched(positions.get(key), event, no_chunks).position
        progress[event.key], milestones = advance(progress.get(event.key), event)
        for milestone in milestones:
            windows[dashboard_key(milestone)] = add(windows.get(dashboard_key(milestone)), milestone)
    views = {"positions": msgspec.to_builtins(positions), "dashboard": msgspec.to_builtins(windows)}
    verdict = judged(events, outputs, fee_table, **views)
    assert verdict.exact, verdict.as_json()["differences"]
    next(iter(views["positions"].values()))["realised"] += 1
    row = next(iter(views["dashboard"].values()))
    row["reopened"] += 1
    verdict = judged(events, outputs, fee_table, **views)
    assert [check.name for check in verdict.checks if not check.holds] == ["position cash", "dashboard open"]
    row["canceled"] += 1
    verdict = judged(events, outputs, fee_table, **views)
    assert [check.name for check in verdict.checks if not check.holds] == ["position cash", "dashboard canceled"]


def _types(topic: str) -> type[OrderStatusChanged] | type[ExecutionReport] | type[OrderEnriched]:
    if topic == "orders.status":
        return OrderStatusChanged
    return ExecutionReport if topic == "orders.executions" else OrderEnriched


def test_an_execution_on_a_date_without_fee_table_is_refused_not_free(
    order_status: OrderStatus, fee_table: FeeTable
) -> None:
    events = list(generate_events(20, seed=1))
    old = [(t, {**r, "tradeDate": 10_000} if t == "orders.executions" else r) for t, r in events]
    statuses = [event for event in events if event[0] == "orders.status"]
    verdict = judged(old, order_status(statuses), fee_table)
    assert verdict.counts["refused_inputs"] == sum(
        r["execType"] == "TRADE" for t, r in events if t == "orders.executions"
    )


def test_the_verdict_reads_inputs_and_outputs_from_the_log(
    log: Log, codec: Codec, order_status: OrderStatus, fee_table: FeeTable
) -> None:
    events = list(generate_events(100, seed=1))
    transaction = log.transaction("test", "test")
    transaction.begin()
    for topic, record in [*events, *order_status(events)]:
        transaction.send(topic, record["key"].encode(), codec.encode_records(topic, [record])[0])
    transaction.send("orders.status", b"poison", b"\x00\x00")
    transaction.commit({})
    transaction.close()
    verdict = verify(log, codec, fee_table)
    assert verdict.exact, verdict.as_json()
    assert verdict.counts["fills"] > 100


def test_golden_fees_of_known_trades(fee_table: FeeTable) -> None:
    day = 20_570  # 2026-04-27
    assert fee_table.commission(day, 1_000, 250_000_000) == 2_500_000
    assert fee_table.commission(day, 100, 2_500_000_000) == 1_000_000
    assert fee_table.commission(day, 1_000, 25_000_000_000) == 5_000_000
    sec_taf_cat = 515_000 + 19_500 + 300
    assert fee_table.of_trade(day, "XNAS", "SELL", None, 100, 250_000_000) == sec_taf_cat
    assert fee_table.of_trade(day, "XNAS", "BUY", None, 100, 250_000_000) == 300
