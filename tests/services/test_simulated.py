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
from services.order_entry import OrderEntry
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
