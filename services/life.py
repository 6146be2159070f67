"""What happens to a simulated order: acknowledgement, fills, their busts and corrections, and how it ends.

A life is a pure function of the order's intent and the seed: (order id, seed) decides all of it. Order entry, engine
and venue each compute it for themselves and agree without talking. Offsets are microseconds after the intent's
`occurredAt`; `published` offsets say when a message gets onto its topic, which may be long after the event, out of
order, or twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, Literal
from zoneinfo import ZoneInfo

Ending = Literal["FILLED", "CANCELED", "EXPIRED", "REJECTED"]

VENUES = ("XNAS", "XNYS", "ARCX", "BATS")
TICK_MICROS = 10_000
UNKNOWN_PRICE_MICROS = 100_000_000
"""What an order trades near that names no price at all."""
FILLS_MAX = 6
OPEN_MINUTES, CLOSE_MINUTES = 9 * 60 + 30, 16 * 60

SHARE_REJECTED = 0.01
SHARE_CANCELED = 0.15
SHARE_EXPIRED = 0.05
SHARE_CANCEL_TOO_LATE = 0.03
SHARE_LATE_FILL = 0.25
SHARE_LATE_ACKNOWLEDGEMENT = 0.03
SHARE_RESENT_FILL = 0.02
SHARE_RESENT_STATUS = 0.01
SHARE_BUSTED = 0.01
SHARE_CORRECTED = 0.01

_MS = 1_000
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Amendment:
    """What a venue did to a trade later on: took it back, or corrected its quantity and price."""

    kind: Literal["TRADE_CANCEL", "TRADE_CORRECT"]
    quantity: int
    price: int
    at: int


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of an order; price in millionths."""

    ordinal: int
    venue: str
    quantity: int
    price: int
    at: int
    published: int
    resent: int | None
    liquidity: str
    amendment: Amendment | None = None

    @property
    def final_quantity(self) -> int:
        """What stands of it in the end."""
        if self.amendment is None:
            return self.quantity
        return self.amendment.quantity if self.amendment.kind == "TRADE_CORRECT" else 0


@dataclass(frozen=True, slots=True)
class Life:
    """The whole story of one order that passed the risk check."""

    acknowledged: int
    status_published: int
    status_resent: int | None
    fills: tuple[Fill, ...]
    ending: Ending
    ended: int
    cancel_requested: int | None
    """When the client asks to cancel. With ending FILLED the request comes too late and is rejected."""
    expired_after_bust: int | None = None
    """When an order that was FILLED, and open again after a bust, expires: at the close."""


def life_of(intent: Mapping[str, Any], seed: int) -> Life:
    """The life of a submitted order; `intent` is an OrderIntent of type ORDER_SUBMITTED."""
    random = Random(f"{seed}|{intent['orderId']}")
    acknowledged = random.randrange(_MS // 2, 4 * _MS)
    ending, patience = _ending(intent, random, acknowledged)
    if ending == "REJECTED":
        rejected = acknowledged + random.randrange(_MS, 20 * _MS)
        return Life(acknowledged, acknowledged, None, (), ending, rejected, None)
    closes = max(_closing_micros(intent["occurredAt"]) - intent["occurredAt"], acknowledged + _SECOND)
    patience = min(patience, closes - _SECOND // 2)
    fills = _fills(intent, random, ending, acknowledged, patience)
    ended, cancel_requested = patience, None
    if ending == "CANCELED":
        cancel_requested, ended = patience, patience + random.randrange(_MS, 10 * _MS)
        fills = _delayed_last(fills, random, ended)
    elif ending == "EXPIRED":
        ended = closes
    else:
        ended = fills[-1].at
        if random.random() < SHARE_CANCEL_TOO_LATE:
            cancel_requested = ended + random.randrange(_MS, 5 * _MS)
    status_published = acknowledged
    if fills and random.random() < SHARE_LATE_ACKNOWLEDGEMENT:
        status_published = fills[0].published + random.randrange(_MS, 50 * _MS)
    resent = status_published + random.randrange(_SECOND) if random.random() < SHARE_RESENT_STATUS else None
    over = max([ended, cancel_requested or 0, *(fill.resent or fill.published for fill in fills)])
    fills = tuple(_amended(fill, random, over) for fill in fills)
    expired = None
    if ending == "FILLED" and sum(fill.final_quantity for fill in fills) < intent["quantity"]:
        expired = max(closes, over + _SECOND * (FILLS_MAX + 2))
    return Life(acknowledged, status_published, resent, fills, ending, ended, cancel_requested, expired)


def closing_micros(day: date) -> int:
    """16:00 in New York on the day, in microseconds UTC."""
    return _minute_of_day(day, CLOSE_MINUTES)


def opening_micros(day: date) -> int:
    """9:30 in New York on the day, in microseconds UTC."""
    return _minute_of_day(day, OPEN_MINUTES)


def _minute_of_day(day: date, minutes: int) -> int:
    local = datetime(day.year, day.month, day.day, minutes // 60, minutes % 60, tzinfo=ZoneInfo("America/New_York"))
    return (local - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def trade_date_days(occurred_at: int) -> int:
    """The UTC date of an event in days since 1970; American sessions lie within one UTC day."""
    return occurred_at // (86_400 * _SECOND)


def _closing_micros(occurred_at: int) -> int:
    return closing_micros(date(1970, 1, 1) + timedelta(days=trade_date_days(occurred_at)))


def _ending(intent: Mapping[str, Any], random: Random, acknowledged: int) -> tuple[Ending, int]:
    """How the order ends, and the offset before which its fills happen."""
    draw = random.random()
    if draw < SHARE_REJECTED:
        return "REJECTED", 0
    if intent["orderType"] == "MARKET":
        return "FILLED", acknowledged + random.randrange(10 * _MS, 200 * _MS)
    patience = acknowledged + 200 * _MS + int(min(random.expovariate(1 / 20), 120) * _SECOND)
    if draw < SHARE_REJECTED + SHARE_CANCELED:
        return "CANCELED", patience
    if draw < SHARE_REJECTED + SHARE_CANCELED + SHARE_EXPIRED:
        return "EXPIRED", patience
    return "FILLED", patience


def _fills(
    intent: Mapping[str, Any], random: Random, ending: Ending, acknowledged: int, patience: int
) -> tuple[Fill, ...]:
    total = intent["quantity"]
    if ending != "FILLED":
        total = int(total * random.uniform(0.2, 0.9)) if random.random() < 0.6 else 0
    count = min(random.randint(1, FILLS_MAX), total)
    if not count:
        return ()
    cuts = [0, *sorted(random.sample(range(1, total), count - 1)), total]
    times = sorted(random.randrange(acknowledged + 1, patience) for _ in range(count))
    home = VENUES.index(intent["venue"]) if intent["venue"] in VENUES else random.randrange(len(VENUES))
    fills = []
    for ordinal, at in enumerate(times):
        resent = at + random.randrange(_MS, 2 * _SECOND) if random.random() < SHARE_RESENT_FILL else None
        liquidity = "REMOVED" if intent["orderType"] == "MARKET" else random.choice(("ADDED", "ADDED", "REMOVED"))
        # Neighbouring fills go to different venues that number their executions alike.
        venue = VENUES[(home + ordinal) % len(VENUES)]
        quantity = cuts[ordinal + 1] - cuts[ordinal]
        fills.append(Fill(ordinal, venue, quantity, _price(intent, random), at, at, resent, liquidity))
    return tuple(fills)


def _price(intent: Mapping[str, Any], random: Random) -> int:
    """Near the arrival price, never worse than the limit, on the tick."""
    limit = intent["limitPrice"]
    arrival: int = intent["arrivalPrice"] or limit or UNKNOWN_PRICE_MICROS
    price = arrival + random.randint(-10, 10) * TICK_MICROS
    if limit is not None:
        price = min(price, limit) if intent["side"] == "BUY" else max(price, limit)
    return max(price, TICK_MICROS)


def _amended(fill: Fill, random: Random, over: int) -> Fill:
    """The fill with what its venue may do to it, which comes when everything else about the order is over."""
    draw, at = random.random(), over + (fill.ordinal + 1) * _SECOND
    if draw < SHARE_BUSTED:
        return replace(fill, amendment=Amendment("TRADE_CANCEL", fill.quantity, fill.price, at))
    if draw < SHARE_BUSTED + SHARE_CORRECTED:
        quantity = max(1, fill.quantity - random.randrange(3) * 10)
        return replace(fill, amendment=Amendment("TRADE_CORRECT", quantity, fill.price + TICK_MICROS, at))
    return fill


def _delayed_last(fills: tuple[Fill, ...], random: Random, canceled: int) -> tuple[Fill, ...]:
    """Lets the report of the last fill sometimes arrive after the cancel."""
    if not fills or random.random() >= SHARE_LATE_FILL:
        return fills
    last = fills[-1]
    published = canceled + random.randrange(50 * _MS, 500 * _MS)
    resent = None if last.resent is None else published + random.randrange(_MS, _SECOND)
    return (*fills[:-1], replace(last, published=published, resent=resent))
