"""The generated day is deterministic, in order of time, and has what a day has."""

from __future__ import annotations

from collections import Counter
from datetime import date
from itertools import pairwise, tee
from pathlib import Path

from services.day import Day, generate_events, intents, load_instruments
from services.lives import life_of
from services.sessions import closing_micros, opening_micros
from services.worked import is_parent

DAY = Day(orders=2_000, seed=7, date=date(2026, 3, 2))


def test_the_same_day_gives_the_same_intents_and_another_seed_others() -> None:
    assert list(intents(DAY)) == list(intents(DAY))
    assert list(intents(DAY)) != list(intents(Day(orders=2_000, seed=8, date=DAY.date)))


def test_intents_come_in_the_order_of_time_within_the_session() -> None:
    times = [intent["occurredAt"] for intent in intents(DAY)]
    assert all(before <= after for before, after in pairwise(times))
    assert opening_micros(DAY.date) <= times[0]
    resting = {i["orderId"] for i in intents(DAY) if i["timeInForce"] == "GOOD_TILL_CANCEL"}
    of_the_day = [i["occurredAt"] for i in intents(DAY) if i["orderId"] not in resting]
    assert max(of_the_day) <= closing_micros(DAY.date) < times[-1], "only what rests over night is canceled later"


def test_opening_and_close_are_busier_than_noon() -> None:
    opens = opening_micros(DAY.date)
    half_hours = Counter((intent["occurredAt"] - opens) // 1_800_000_000 for intent in intents(DAY))
    assert half_hours[0] > 3 * half_hours[6]
    assert half_hours[12] > 3 * half_hours[6]


def test_every_order_is_submitted_once_before_its_cancel() -> None:
    submitted: set[str] = set()
    for intent in intents(DAY):
        if intent["eventType"] == "ORDER_SUBMITTED":
            assert intent["orderId"] not in submitted
            submitted.add(intent["orderId"])
        else:
            assert intent["eventType"] == "CANCEL_REQUESTED"
            assert intent["orderId"] in submitted
            assert intent["sequence"] == 2
    assert len([order_id for order_id in submitted if "-" not in order_id]) == DAY.orders


def test_some_orders_break_each_rule_that_risk_checks() -> None:
    submitted = [intent for intent in intents(DAY) if intent["eventType"] == "ORDER_SUBMITTED"]
    assert any(intent["quantity"] > 1_000_000 for intent in submitted)
    assert any(intent["symbol"] == "ZZZZ" for intent in submitted)
    client_order_ids = Counter((intent["accountId"], intent["clOrdId"]) for intent in submitted)
    assert any(count > 1 for count in client_order_ids.values())
    limits = [(i["limitPrice"], i["arrivalPrice"]) for i in submitted if i["limitPrice"] is not None]
    assert any(not 0.5 < limit / arrival < 2 for limit, arrival in limits)


def test_fills_add_up_and_keep_to_the_limit() -> None:
    for intent in intents(DAY):
        if intent["eventType"] != "ORDER_SUBMITTED" or is_parent(intent):
            continue
        life = life_of(intent, DAY.seed)
        filled = sum(fill.quantity for fill in life.fills)
        assert (filled == intent["quantity"]) == (life.ending == "FILLED")
        assert len(life.fills) <= 6
        assert all(fill.quantity > 0 for fill in life.fills)
        if intent["limitPrice"] is not None and intent["side"] == "BUY":
            assert all(fill.price <= intent["limitPrice"] for fill in life.fills)


def test_events_have_duplicates_late_fills_and_fills_before_the_first_status() -> None:
    events = list(generate_events(2_000, seed=7))
    trades = Counter(
        (r["key"], r["venue"], r["execId"]) for topic, r in events if topic == "orders.executions" and r["lastQuantity"]
    )
    assert any(count > 1 for count in trades.values())
    statuses = Counter((r["key"], r["sequence"]) for topic, r in events if topic == "orders.status")
    assert any(count > 1 for count in statuses.values())
    seen: set[str] = set()
    canceled: set[str] = set()
    before_new = after_cancel = 0
    for topic, record in events:
        if topic == "orders.status":
            seen.add(record["key"])
            canceled |= {record["key"]} if record["status"]["code"] == "CANCELED" else set()
        elif record["execType"] == "TRADE":
            before_new += record["key"] not in seen
            after_cancel += record["key"] in canceled
    assert before_new
    assert after_cancel


def test_execution_ids_repeat_across_venues_of_an_order() -> None:
    venues: dict[tuple[str, str], set[str]] = {}
    for topic, record in generate_events(200, seed=1):
        if topic == "orders.executions" and record["execType"] == "TRADE":
            venues.setdefault((record["key"], record["execId"]), set()).add(record["venue"])
    assert max(map(len, venues.values())) == 2


def test_statuses_of_an_order_are_numbered_without_gaps() -> None:
    numbers: dict[str, set[int]] = {}
    for topic, record in generate_events(500, seed=3):
        if topic == "orders.status":
            numbers.setdefault(record["key"], set()).add(record["sequence"])
    assert all(found == set(range(1, len(found) + 1)) for found in numbers.values())


def test_intents_are_generated_as_they_are_asked_for() -> None:
    first, second = tee(intents(DAY))
    assert next(first) == next(second)


def test_instruments_can_come_from_a_symbols_file(tmp_path: Path) -> None:
    file = tmp_path / "symbols.yaml"
    file.write_text("- {symbol: ABC, tick: 0.01, lot: 1, reference: 12.50}\n")
    day = Day(orders=50, instruments=load_instruments(file))
    assert {intent["symbol"] for intent in intents(day)} <= {"ABC", "ZZZZ"}
    assert all(11_000_000 < intent["arrivalPrice"] < 14_000_000 for intent in intents(day))
