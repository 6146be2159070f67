"""Order entry, engine and venue on a real embedded log: every message once, whatever is restarted when."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from broker.contract import Log
from config.errors import FencedError
from operators.codec.codec import Codec
from services import simulated
from services.day import Day, events_of, intents
from services.engine import OrderEngine
from services.life import VENUES
from services.lives import life_of
from services.order_entry import OrderEntry
from services.sessions import day_end_micros
from services.simulated import SimulatedService
from services.venue import Venue

SEED = 5
ORDERS = 200
ReadAll = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "IDLE_S", 0.0)


def outcome(intent: dict[str, Any], *, approved: bool = True) -> dict[str, Any]:
    breach = {"check": "MAX_QUANTITY", "scope": "FIRM:*", "severity": "HARD"}
    return {
        "eventType": "RISK_APPROVED" if approved else "RISK_REJECTED",
        "version": 1,
        "occurredAt": intent["occurredAt"] + 50,
        "key": intent["key"],
        "intent": intent,
        "breaches": [] if approved else [breach],
        "limitsVersion": "1",
        "sequence": intent["sequence"],
        "source": "risk-check",
    }


@pytest.fixture
def decide(log: Log, codec: Codec) -> Callable[[list[dict[str, Any]]], None]:
    """Puts decisions on risk.outcome."""

    def send(outcomes: list[dict[str, Any]]) -> None:
        transaction = log.transaction("risk", "risk")
        transaction.begin()
        keys = [record["key"].encode() for record in outcomes]
        transaction.send_batch("risk.outcome", keys, codec.encode_records("risk.outcome", outcomes))
        transaction.commit({})
        transaction.close()

    return send


def finish(service: SimulatedService) -> None:
    """Steps until nothing is left to read or publish."""
    while service.step(0.0):
        pass
    assert service.pending == 0
    service.close()


def identities(records: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    return Counter((r["key"], r["sequence"], r["occurredAt"], r["venue"], r.get("execId")) for r in records)


def test_engine_and_venue_publish_what_the_day_says(log: Log, codec: Codec, decide: Any, read_all: ReadAll) -> None:
    decide([outcome(intent) for intent in intents(Day(ORDERS, SEED))])
    finish(OrderEngine(log, codec, seed=SEED))
    finish(Venue(log, codec, seed=SEED))
    events = list(events_of(Day(ORDERS, SEED)))
    for topic in ("orders.status", "orders.executions"):
        assert identities(read_all(topic)) == identities([record for of, record in events if of == topic])


def interrupted(make: Callable[[], SimulatedService], steps: int) -> Iterator[SimulatedService]:
    """Services that each do some steps and are left lying, as a killed process leaves them."""
    for _ in range(steps):
        service = make()
        service.step(0.0)
        yield service


@pytest.mark.parametrize("service", [OrderEngine, Venue])
def test_restarts_at_any_point_neither_lose_nor_repeat(
    service: type[OrderEngine] | type[Venue],
    log: Log,
    codec: Codec,
    decide: Any,
    read_all: ReadAll,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decide([outcome(intent) for intent in intents(Day(ORDERS, SEED))])
    monkeypatch.setattr(simulated, "READ_RECORDS", 40)
    monkeypatch.setattr(simulated, "PUBLISH_RECORDS", 30)
    for stopped in interrupted(lambda: service(log, codec, seed=SEED), 8):
        stopped.close()
    finish(service(log, codec, seed=SEED))
    topic = "orders.status" if service is OrderEngine else "orders.executions"
    expected = [record for of, record in events_of(Day(ORDERS, SEED)) if of == topic]
    assert identities(read_all(topic)) == identities(expected)


class StopAfter(threading.Event):
    """Is set once it was asked so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._left = times

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0


def test_a_service_runs_until_it_is_told_to_stop(log: Log, codec: Codec, decide: Any, read_all: ReadAll) -> None:
    decide([outcome(intent) for intent in intents(Day(20, SEED))])
    engine = OrderEngine(log, codec, seed=SEED)
    engine.run(StopAfter(5), timeout_s=0.0)
    assert len(read_all("orders.status")) == sum(topic == "orders.status" for topic, _ in events_of(Day(20, SEED)))


def test_a_zombie_engine_fails_and_publishes_nothing(log: Log, codec: Codec, decide: Any, read_all: ReadAll) -> None:
    decide([outcome(intent) for intent in intents(Day(20, SEED))])
    zombie = OrderEngine(log, codec, seed=SEED)
    finish(OrderEngine(log, codec, seed=SEED))
    before = len(read_all("orders.status"))
    with pytest.raises(FencedError):
        zombie.step(0.0)
    zombie.close()
    assert len(read_all("orders.status")) == before


def test_an_order_that_risk_refuses_becomes_rejected_and_never_reaches_the_venue(
    log: Log, codec: Codec, decide: Any, read_all: ReadAll
) -> None:
    intent = next(intents(Day(1, SEED)))
    decide([outcome(intent, approved=False)])
    finish(OrderEngine(log, codec, seed=SEED))
    finish(Venue(log, codec, seed=SEED))
    (status,) = read_all("orders.status")
    assert (status["status"]["code"], status["status"]["reason"]) == ("REJECTED", "RISK MAX_QUANTITY")
    assert read_all("orders.executions") == []


def test_a_cancel_of_an_order_that_was_never_approved_is_ignored(
    log: Log, codec: Codec, decide: Any, read_all: ReadAll
) -> None:
    cancel = next(intent for intent in intents(Day(ORDERS, SEED)) if intent["eventType"] == "CANCEL_REQUESTED")
    decide([outcome(cancel)])
    finish(OrderEngine(log, codec, seed=SEED))
    assert read_all("orders.status") == []


def test_nothing_is_published_before_its_time_on_a_given_clock(
    log: Log, codec: Codec, decide: Any, read_all: ReadAll
) -> None:
    decide([outcome(intent) for intent in intents(Day(ORDERS, SEED))])
    times = sorted(record["occurredAt"] for topic, record in events_of(Day(ORDERS, SEED)) if topic == "orders.status")
    noon = times[len(times) // 2]
    engine = OrderEngine(log, codec, seed=SEED, now_micros=lambda: noon)
    while engine.step(0.0):
        pass
    engine.close()
    published = read_all("orders.status")
    assert published
    assert max(status["occurredAt"] for status in published) <= noon


def test_a_record_that_cannot_be_decoded_does_not_stop_the_engine(
    log: Log, codec: Codec, decide: Any, read_all: ReadAll
) -> None:
    producer = log.producer("poison")
    producer.send("risk.outcome", b"key", b"\x00poison")
    producer.flush()
    producer.close()
    decide([outcome(next(intents(Day(1, SEED))))])
    engine = OrderEngine(log, codec, seed=SEED)
    finish(engine)
    assert engine.undecodable == 1
    assert read_all("orders.status")


def test_order_entry_goes_on_where_it_stopped(
    log: Log, codec: Codec, read_all: ReadAll, said: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.order_entry.BATCH_RECORDS", 70)
    day = Day(ORDERS, SEED)
    first = OrderEntry(log, codec, intents(day))
    assert first.step(0.0) == 70
    first.close()
    second = OrderEntry(log, codec, intents(day))
    assert second.sent == 70
    second.run(threading.Event())
    assert second.finished
    sent = read_all("orders.input")
    assert by_identity(said(sent)) == by_identity(said(list(intents(day))))


def by_identity(sent: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(sent, key=lambda intent: (intent["key"], intent["sequence"]))


def test_order_entry_keeps_the_order_of_time_within_each_order(log: Log, codec: Codec, read_all: ReadAll) -> None:
    OrderEntry(log, codec, intents(Day(ORDERS, SEED))).run(threading.Event())
    by_key: dict[str, list[int]] = {}
    for intent in read_all("orders.input"):
        by_key.setdefault(intent["key"], []).append(intent["sequence"])
    assert all(before < after for numbers in by_key.values() for before, after in pairwise(numbers))


def test_order_entry_with_a_rate_does_not_send_the_whole_day_at_once(log: Log, codec: Codec) -> None:
    entry = OrderEntry(log, codec, intents(Day(ORDERS, SEED)), rate_per_s=0.001)
    assert entry.step(0.0) == 0
    assert not entry.finished
    entry.close()


def resting(seed: int = SEED) -> tuple[dict[str, Any], Any]:
    """A plain order that is still open a second after it was placed, and that nobody cancels, busts or corrects."""
    for intent in intents(Day(ORDERS, seed)):
        if intent["eventType"] == "ORDER_SUBMITTED" and intent["venue"] in VENUES:
            life = life_of(intent, seed)
            amended = any(fill.amendment for fill in life.fills)
            if life.ended > 2_000_000 and life.ending == "FILLED" and life.cancel_requested is None and not amended:
                return intent, life
    raise AssertionError("no such order in the day")


def acting(intent: dict[str, Any], at: int, action: str, quantity: int) -> dict[str, Any]:
    """The approval of another order of the account, which asks for something to be done to the order."""
    other = {**intent, "key": f"{intent['accountId']}|OTHER", "orderId": "OTHER", "clOrdId": "COTHER"}
    asked = {"action": action, "key": intent["key"], "quantity": quantity, "reason": "SELF_TRADE"}
    return {**outcome(other, approved=False), "occurredAt": intent["occurredAt"] + at, "actions": [asked]}


def run_both(log: Log, codec: Codec) -> None:
    finish(OrderEngine(log, codec, seed=SEED))
    finish(Venue(log, codec, seed=SEED))


def of(records: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    return sorted((r for r in records if r["key"] == key), key=lambda r: r["sequence"])


def test_the_approved_quantity_is_worked(log: Log, codec: Codec, decide: Any, read_all: ReadAll) -> None:
    intent, _ = resting()
    decide([{**outcome(intent), "approvedQuantity": intent["quantity"] - 30}])
    run_both(log, codec)
    statuses, reports = of(read_all("orders.status"), intent["key"]), read_all("orders.executions")
    assert {status["order"]["quantity"] for status in statuses} == {intent["quantity"] - 30}
    trades = {r["sequence"]: r["lastQuantity"] for r in reports if r["execType"] == "TRADE"}
    assert sum(trades.values()) == intent["quantity"] - 30


@pytest.mark.parametrize("order_first", [True, False])
def test_risk_s_cancel_of_a_resting_order_is_carried_out(
    order_first: bool, log: Log, codec: Codec, decide: Any, read_all: ReadAll
) -> None:
    """Also where the decision that asks for it is read first, from another partition."""
    intent, _ = resting()
    decisions = [outcome(intent), acting(intent, 1_000_000, "CANCEL", intent["quantity"])]
    decide(decisions if order_first else decisions[::-1])
    run_both(log, codec)
    last = of(read_all("orders.status"), intent["key"])[-1]
    assert (last["status"]["code"], last["status"]["leavesQuantity"]) == ("CANCELED", 0)
    assert last["status"]["reason"] == "SELF_TRADE COTHER"
    reports = read_all("orders.executions")
    (canceled,) = [report for report in reports if report["execType"] == "CANCELED"]
    trades = {r["execId"] + r["venue"]: r for r in reports if r["execType"] == "TRADE"}
    assert all(trade["occurredAt"] <= canceled["occurredAt"] for trade in trades.values())
    assert canceled["cumQuantity"] == sum(trade["lastQuantity"] for trade in trades.values()) < intent["quantity"]


def test_risk_s_reduction_leaves_the_rest_to_be_filled(log: Log, codec: Codec, decide: Any, read_all: ReadAll) -> None:
    intent, _ = resting()
    decide([outcome(intent), acting(intent, 1_000, "REDUCE", 40)])
    run_both(log, codec)
    statuses, reports = of(read_all("orders.status"), intent["key"]), read_all("orders.executions")
    assert [s["order"]["quantity"] for s in statuses if s["sequence"] == 2] == [intent["quantity"] - 40]
    restated = [report for report in reports if report["execType"] == "RESTATED"]
    assert [(r["orderQuantity"], r["restatementReason"]) for r in restated] == [
        (intent["quantity"] - 40, "PARTIAL_DECLINE")
    ]
    trades = {r["sequence"]: r["lastQuantity"] for r in reports if r["execType"] == "TRADE"}
    assert sum(trades.values()) == intent["quantity"] - 40


def test_an_action_neither_repeats_nor_loses_what_is_published(
    log: Log, codec: Codec, decide: Any, read_all: ReadAll
) -> None:
    """The order's life is on the topic already up to the action when that is read; restarts in between."""
    intent, life = resting()
    half = life.fills[0].at + 1
    decide([outcome(intent)])
    clock = intent["occurredAt"] + half
    for service in (OrderEngine, Venue):
        first = service(log, codec, seed=SEED, now_micros=lambda: clock)
        while first.step(0.0):
            pass
        first.close()
    decide([acting(intent, half, "CANCEL", intent["quantity"])])
    run_both(log, codec)
    run_both(log, codec)
    reports = of(read_all("orders.executions"), intent["key"])
    trades = [r for r in reports if r["execType"] == "TRADE"]
    assert {trade["execId"] for trade in trades} == {trades[0]["execId"]}
    assert [r["execType"] for r in reports].count("CANCELED") == 1
    assert [s["status"]["code"] for s in of(read_all("orders.status"), intent["key"])][-1] == "CANCELED"


def requested(intent: dict[str, Any], at: int, kind: str = "CANCEL_REQUESTED") -> dict[str, Any]:
    told = {"eventType": kind, "occurredAt": intent["occurredAt"] + at, "clOrdId": "CX", "sequence": 2}
    return {**intent, **told, "origClOrdId": intent["clOrdId"]}


def test_a_cancel_that_no_life_foresees_is_carried_out_or_rejected(
    log: Log, codec: Codec, decide: Any, read_all: ReadAll
) -> None:
    intent, life = resting()
    decide([outcome(intent), outcome(requested(intent, 1_000)), outcome(requested(intent, life.ended + 5))])
    run_both(log, codec)
    assert [s["status"]["code"] for s in of(read_all("orders.status"), intent["key"])] == ["NEW", "CANCELED"]
    kinds = [report["execType"] for report in of(read_all("orders.executions"), intent["key"])]
    assert kinds == ["NEW", "CANCELED", "CANCEL_REJECTED"]


def test_a_replace_is_rejected_and_leaves_the_order_as_it_is(
    log: Log, codec: Codec, decide: Any, read_all: ReadAll
) -> None:
    intent, _ = resting()
    decide([outcome(intent), outcome(requested(intent, 1_000_000, "REPLACE_REQUESTED"))])
    run_both(log, codec)
    reports = of(read_all("orders.executions"), intent["key"])
    (reject,) = [report for report in reports if report["eventType"] == "CANCEL_REJECTED"]
    assert reject["clOrdId"] == "CX"
    trades = {r["sequence"]: r["lastQuantity"] for r in reports if r["execType"] == "TRADE"}
    assert sum(trades.values()) == intent["quantity"]


@pytest.mark.parametrize("check", ["DUPLICATE_ORDER", "POSSIBLE_RESEND"])
def test_a_repeated_order_is_rejected_under_a_key_of_its_own(
    check: str, log: Log, codec: Codec, decide: Any, read_all: ReadAll
) -> None:
    intent, _ = resting()
    again = {**outcome(intent, approved=False), "sequence": 2}
    again["breaches"] = [{"check": check, "scope": "ACCOUNT:A", "severity": "HARD"}]
    decide([outcome(intent), again])
    run_both(log, codec)
    by_key = {status["key"]: status["status"]["code"] for status in read_all("orders.status")}
    assert by_key == {intent["key"]: "NEW", f"{intent['key']}#2": "REJECTED"}
    trades = {r["sequence"]: r["lastQuantity"] for r in read_all("orders.executions") if r["execType"] == "TRADE"}
    assert sum(trades.values()) == intent["quantity"]


def test_who_is_replaced_is_told_by_whom_and_what_to_do(log: Log, codec: Codec, decide: Any) -> None:
    decide([outcome(intent) for intent in intents(Day(20, SEED))])
    old = OrderEngine(log, codec, seed=SEED, prefix="desk-")
    finish(OrderEngine(log, codec, seed=SEED, prefix="desk-"))
    with pytest.raises(FencedError, match=r"order-engine was replaced .*'desk-order-engine'.*application\.prefix"):
        old.step(0.0)
    old.close()


def test_nothing_beyond_the_horizon_is_sent_or_published(log: Log, codec: Codec, decide: Any) -> None:
    day = Day(ORDERS, SEED)
    evening = day_end_micros(next(intents(day))["occurredAt"])
    entry = OrderEntry(log, codec, intents(day))
    entry.horizon = evening
    while entry.step(0.0):
        pass
    assert not entry.finished
    assert entry.next_at > evening
    decide([outcome(intent) for intent in intents(day)])
    venue = Venue(log, codec, seed=SEED)
    venue.horizon = evening
    while venue.step(0.0):
        pass
    assert venue.next_at > evening
    for each in (entry, venue):
        each.horizon = evening + 7 * 86_400_000_000
        while each.step(0.0):
            pass
        each.close()
    assert entry.finished
    assert not venue.pending
