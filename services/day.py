"""Generates a believable trading day: order intents in time order, deterministic from (orders, seed).

Intensity over 9:30–16:00 New York is U-shaped, with bursts in the first minute and before the close. Most orders are
plain; some are worked by an algorithm through child orders, some are good till canceled and live on for a day or two;
some break a limit, name a symbol that does not exist, are priced absurdly or repeat a ClOrdID, so that the risk check
has something to reject. What becomes of an order is decided in `services.lives`.
"""

from __future__ import annotations

import heapq
import itertools
import math
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
from services.incidents import accounts, disturbed, incident_places, owner_of
from services.life import GOOD_TILL_CANCEL, TICK_MICROS, VENUES
from services.lives import life_of
from services.sessions import closing_micros, opening_micros
from services.venue import planned_cancel_reports, planned_reports
from services.worked import DESTINATION, children_of, is_parent

SYMBOLS_FILE = Path(config.__file__).parent / "symbols.yaml"
SHARE_OPENING_BURST = 0.08
SHARE_CLOSING_BURST = 0.10
SHARE_MARKET = 0.3
SHARE_BAD = 0.02
SHARE_WORKED = 0.03
SHARE_GOOD_TILL_CANCEL = 0.03
WORKED_QUANTITIES = (2_000, 3_000, 5_000, 8_000)
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
    """What to generate. The same day always gives the same intents.

    `orders` are those that clients place; children of worked ones and the few of `incidents` come on top.
    """

    orders: int
    seed: int = 1
    date: date = date(2026, 6, 11)
    accounts: int = 200
    instruments: Sequence[Instrument] = field(default_factory=load_instruments)
    order_prefix: str = "ORD"
    share_worked: float = SHARE_WORKED
    share_good_till_cancel: float = SHARE_GOOD_TILL_CANCEL
    incidents: bool = False
    """Whether things happen that surveillance must tell, see `services.incidents`."""

    @property
    def owners(self) -> dict[str, str]:
        """The owner of every account; of ten owners of clients one has two accounts."""
        clients = range(1, self.accounts + 1)
        owners = {f"ACC{number:05d}": f"OWN{number - (number % 11 == 0):05d}" for number in clients}
        incidents = accounts(self.orders) if self.incidents else []
        return owners | {account: owner_of(account) for account in incidents}


def intents(day: Day) -> Iterator[dict[str, Any]]:
    """OrderIntents of the day for topic orders.input, in the order of `occurredAt`."""
    later: list[tuple[int, int, dict[str, Any]]] = []
    ties = itertools.count()
    last_client_order_ids: dict[str, str] = {}
    incidents = _incidents(day)

    def follow(intent: dict[str, Any]) -> None:
        """What the client will do about an order: cancel it, or work it through children."""
        requested = life_of(intent, day.seed).cancel_requested
        if requested is not None:
            at = intent["occurredAt"] + requested
            heapq.heappush(later, (at, next(ties), _cancel(intent, at)))
        if is_parent(intent):
            for child in children_of(intent, day.seed):
                heapq.heappush(later, (child["occurredAt"], next(ties), child))

    def until(at: float) -> Iterator[dict[str, Any]]:
        while later and later[0][0] <= at:
            intent = heapq.heappop(later)[2]
            if intent["eventType"] == "ORDER_SUBMITTED":
                follow(intent)
            yield intent

    for number, at in enumerate(_times(day).tolist(), start=1):
        yield from until(at)
        for account in incidents.get(number, ()):
            intent = _incident(day, number, at, account)
            follow(intent)
            yield intent
        intent = _submission(day, number, at, last_client_order_ids)
        follow(intent)
        yield intent
    yield from until(math.inf)


def generate_events(orders: int, seed: int) -> Iterator[Event]:
    """Engine statuses and execution reports of so many plain orders of one session; see `events_of`."""
    return events_of(Day(orders, seed, share_worked=0.0, share_good_till_cancel=0.0))


def events_of(day: Day) -> Iterator[Event]:
    """A day's engine statuses and execution reports as they get onto their topics, as if risk approved every order.

    For tests of what lies behind the engine; holds the whole day in memory.
    """
    submitted: dict[str, dict[str, Any]] = {}
    planned: list[tuple[int, int, str, dict[str, Any]]] = []

    def plan(topic: str, records: Sequence[tuple[int, dict[str, Any]]]) -> None:
        planned.extend((published, len(planned) + i, topic, record) for i, (published, record) in enumerate(records))

    for intent in intents(day):
        if intent["eventType"] == "ORDER_SUBMITTED":
            submitted[intent["orderId"]] = intent
            plan("orders.status", planned_statuses(intent, life_of(intent, day.seed)))
            plan("orders.executions", planned_reports(intent, life_of(intent, day.seed)))
        else:
            original = submitted[intent["orderId"]]
            plan("orders.status", planned_cancel_status(original, intent, life_of(original, day.seed)))
            plan("orders.executions", planned_cancel_reports(original, intent, life_of(original, day.seed)))
    planned.sort(key=lambda item: item[:2])
    for _, _, topic, record in planned:
        yield topic, record


def _incidents(day: Day) -> dict[int, list[str]]:
    """Accounts of incidents by the number of the order at whose time they happen."""
    found: dict[int, list[str]] = {}
    for account, number in incident_places(day.orders) if day.incidents else ():
        found.setdefault(number, []).append(account)
    return found


def _incident(day: Day, number: int, at: int, account: str) -> dict[str, Any]:
    """An order of an incident: the plain terms of the numbered order, in the incident's account."""
    order_id = f"INC{account[3:]}"
    named = {"accountId": account, "orderId": order_id, "key": f"{account}|{order_id}", "clOrdId": f"C{order_id}"}
    plain = _terms(day, number, at, Random(f"{day.seed}|{day.order_prefix}|{number}"))
    return disturbed({**plain, **named, "correlationId": f"{day.seed}-{order_id}"})


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
    intent = _terms(day, number, at, random)
    account = intent["accountId"]
    kind = random.random()
    if kind < day.share_worked:
        intent |= {"venue": DESTINATION, "quantity": random.choice(WORKED_QUANTITIES)}
    elif kind < day.share_worked + day.share_good_till_cancel and intent["orderType"] == "LIMIT":
        intent["timeInForce"] = GOOD_TILL_CANCEL
    elif random.random() < SHARE_BAD:
        _spoil(intent, random, last_client_order_ids.get(account))
    last_client_order_ids[account] = str(intent["clOrdId"])
    return intent


def _terms(day: Day, number: int, at: int, random: Random) -> dict[str, Any]:
    account = f"ACC{random.randrange(day.accounts) + 1:05d}"
    # Squaring makes the first symbols the liquid ones.
    instrument = day.instruments[int(random.random() ** 2 * len(day.instruments))]
    side = random.choices(SIDES, SIDE_WEIGHTS)[0]
    drift = random.gauss(0, 0.004)
    ticks = max(round(instrument.reference_price * (1 + drift) / TICK_MICROS), 1)
    market = random.random() < SHARE_MARKET
    offset = random.randint(0, 15) if side == "BUY" else -random.randint(0, 15)
    order_id = f"{day.order_prefix}{number:08d}"
    return {
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
