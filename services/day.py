"""Generates a believable trading day: order intents in time order, deterministic from (orders, seed).

Intensity over 9:30–16:00 New York is U-shaped, with bursts in the first minute and before the close. Most orders are
plain; some break a limit, name a symbol that does not exist, are priced absurdly or repeat a ClOrdID, so that the risk
check has something to reject. What becomes of an order is decided in `services.life`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml

import config
from operators.model.events import VERSION
from services.engine import planned_cancel_status, planned_statuses
from services.life import TICK_MICROS, VENUES, closing_micros, life_of, opening_micros
from services.venue import planned_cancel_reports, planned_reports

SYMBOLS_FILE = Path(config.__file__).parent / "symbols.yaml"
SHARE_OPENING_BURST = 0.08
SHARE_CLOSING_BURST = 0.10
SHARE_MARKET = 0.3
SHARE_BAD = 0.02
SIDES = ("BUY", "SELL", "SELL_SHORT")
SIDE_WEIGHTS = (0.5, 0.4, 0.1)

Event = tuple[str, dict[str, Any]]
"""A topic and a record for it."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """A symbol with its reference price in millionths."""

    symbol: str
    reference_price: int


def load_instruments(path: Path = SYMBOLS_FILE) -> tuple[Instrument, ...]:
    """The instruments of a symbols file, with the price each opens at."""
    rows = yaml.safe_load(path.read_text())
    return tuple(Instrument(row["symbol"], int(Decimal(str(row["reference"])) * 1_000_000)) for row in rows)


@dataclass(frozen=True, slots=True)
class Day:
    """What to generate. The same day always gives the same intents."""

    orders: int
    seed: int = 1
    date: date = date(2026, 6, 11)
    accounts: int = 200
    instruments: Sequence[Instrument] = field(default_factory=load_instruments)
    order_prefix: str = "ORD"


def intents(day: Day) -> Iterator[dict[str, Any]]:
    """OrderIntents of the day for topic orders.input, in the order of `occurredAt`."""
    cancels: list[tuple[int, int, dict[str, Any]]] = []
    last_client_order_ids: dict[str, str] = {}
    for number, at in enumerate(_times(day).tolist(), start=1):
        while cancels and cancels[0][0] <= at:
            yield heapq.heappop(cancels)[2]
        intent = _submission(day, number, at, last_client_order_ids)
        requested = life_of(intent, day.seed).cancel_requested
        if requested is not None:
            heapq.heappush(cancels, (at + requested, number, _cancel(intent, at + requested)))
        yield intent
    while cancels:
        yield heapq.heappop(cancels)[2]


def generate_events(orders: int, seed: int) -> Iterator[Event]:
    """A day's engine statuses and execution reports as they get onto their topics, as if risk approved every order.

    For tests of what lies behind the engine; holds the whole day in memory.
    """
    day = Day(orders, seed)
    submitted: dict[str, dict[str, Any]] = {}
    planned: list[tuple[int, int, str, dict[str, Any]]] = []

    def plan(topic: str, records: Sequence[tuple[int, dict[str, Any]]]) -> None:
        planned.extend((published, len(planned) + i, topic, record) for i, (published, record) in enumerate(records))

    for intent in intents(day):
        if intent["eventType"] == "ORDER_SUBMITTED":
            submitted[intent["orderId"]] = intent
            plan("orders.status", planned_statuses(intent, life_of(intent, seed)))
            plan("orders.executions", planned_reports(intent, life_of(intent, seed)))
        else:
            original = submitted[intent["orderId"]]
            plan("orders.status", planned_cancel_status(original, intent, life_of(original, seed)))
            plan("orders.executions", planned_cancel_reports(original, intent, life_of(original, seed)))
    planned.sort(key=lambda item: item[:2])
    for _, _, topic, record in planned:
        yield topic, record


def _times(day: Day) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Times of the submissions, sorted: a U over the session, and the two bursts."""
    rng = np.random.default_rng(day.seed)
    opens, closes = opening_micros(day.date), closing_micros(day.date)
    at_open, at_close = int(day.orders * SHARE_OPENING_BURST), int(day.orders * SHARE_CLOSING_BURST)
    rest = day.orders - at_open - at_close
    # A uniform draw u becomes a U shape by drawing half the orders towards either end.
    towards_end = rng.random(rest) ** 1.6 / 2
    within = np.where(rng.random(rest) < 0.55, towards_end, 1 - towards_end)
    span = closes - opens - 1_000_000
    times = np.concatenate(
        (
            opens + rng.exponential(15e6, at_open),
            closes - 1e6 - rng.exponential(90e6, at_close),
            opens + within * span,
        )
    )
    return np.sort(np.clip(times, opens, closes - 1_000_000).astype(np.int64))


def _submission(day: Day, number: int, at: int, last_client_order_ids: dict[str, str]) -> dict[str, Any]:
    random = Random(f"{day.seed}|{day.order_prefix}|{number}")
    account = f"ACC{random.randrange(day.accounts) + 1:05d}"
    # Squaring makes the first symbols the liquid ones.
    instrument = day.instruments[int(random.random() ** 2 * len(day.instruments))]
    side = random.choices(SIDES, SIDE_WEIGHTS)[0]
    drift = random.gauss(0, 0.004)
    ticks = max(round(instrument.reference_price * (1 + drift) / TICK_MICROS), 1)
    market = random.random() < SHARE_MARKET
    offset = random.randint(0, 15) if side == "BUY" else -random.randint(0, 15)
    order_id = f"{day.order_prefix}{number:08d}"
    intent = {
        "eventType": "ORDER_SUBMITTED",
        "version": VERSION,
        "occurredAt": at,
        "key": f"{account}|{order_id}",
        "accountId": account,
        "orderId": order_id,
        "parentId": None,
        "clOrdId": f"C{order_id}",
        "origClOrdId": None,
        "userToken": f"USR{random.randrange(10_000):04d}",
        "symbol": instrument.symbol,
        "side": side,
        "quantity": random.choice((100, 100, 200, 300, 500, 1_000)) + random.choice((0, 0, 0, random.randrange(100))),
        "orderType": "MARKET" if market else "LIMIT",
        "limitPrice": None if market else max(ticks + offset, 1) * TICK_MICROS,
        "stopPrice": None,
        "timeInForce": "DAY",
        "venue": random.choice(VENUES),
        "locateId": f"LOC{number}" if side == "SELL_SHORT" else None,
        "arrivalPrice": ticks * TICK_MICROS,
        "session": f"CLIENT-{random.randrange(8)}",
        "correlationId": f"{day.seed}-{order_id}",
        "sequence": 1,
        "source": "order-entry-1",
    }
    if random.random() < SHARE_BAD:
        _spoil(intent, random, last_client_order_ids.get(account))
    last_client_order_ids[account] = str(intent["clOrdId"])
    return intent


def _spoil(intent: dict[str, Any], random: Random, used_client_order_id: str | None) -> None:
    """Makes an intent that the risk check must reject."""
    fault = random.randrange(4)
    if fault == 0:
        intent["quantity"] = 5_000_000
    elif fault == 1:
        intent["symbol"] = "ZZZZ"
    elif fault == 2 and intent["limitPrice"] is not None:
        intent["limitPrice"] = intent["limitPrice"] * 3 if intent["side"] == "BUY" else intent["limitPrice"] // 3
    elif used_client_order_id is not None:
        intent["clOrdId"] = used_client_order_id


def _cancel(intent: dict[str, Any], at: int) -> dict[str, Any]:
    return {
        **intent,
        "eventType": "CANCEL_REQUESTED",
        "occurredAt": at,
        "clOrdId": f"{intent['clOrdId']}X",
        "origClOrdId": intent["clOrdId"],
        "sequence": 2,
    }
