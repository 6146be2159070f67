"""What happens to a simulated order: acknowledgement, fills, their busts and corrections, and how it ends.

A life is a pure function of the order's intent and the seed: (order id, seed) decides all of it. Order entry, engine
and venue each compute it for themselves and agree without talking. Offsets are microseconds after the intent's
`occurredAt`; `published` offsets say when a message gets onto its topic, which may be long after the event, out of
order, or twice. An order that is good till canceled lives for two or three sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from typing import Any, Final, Literal, NamedTuple

from services.sessions import closing_micros, next_session, opening_micros, trade_date

Ending = Literal["FILLED", "CANCELED", "EXPIRED", "REJECTED"]

VENUES = ("XNAS", "XNYS", "ARCX", "BATS")
TICK_MICROS = 10_000
UNKNOWN_PRICE_MICROS = 100_000_000
"""What an order trades near that names no price at all."""
GOOD_TILL_CANCEL: Final = "GOOD_TILL_CANCEL"
FILLS_MAX = 6

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

MS: Final = 1_000
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND


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


class Night(NamedTuple):
    """Between two sessions: the venue says DONE_FOR_DAY, and in the morning that the order is there again."""

    done: int
    renewed: int


class Reduction(NamedTuple):
    """From `at` on the order is for `quantity` only."""

    at: int
    quantity: int
    reason: str


@dataclass(frozen=True, slots=True)
class Life:
    """The whole story of one order that passed the risk check."""

    acknowledged: int
    status_published: int
    status_resent: int | None
    fills: tuple[Fill, ...]
    ending: Ending
    ended: int
    cancel_requested: int | None = None
    """When the client asks to cancel. With ending FILLED the request comes too late and is rejected."""
    expired_after_bust: int | None = None
    """When an order that was FILLED, and open again after a bust, expires: at the close."""
    nights: tuple[Night, ...] = ()
    reductions: tuple[Reduction, ...] = ()
    interrupted: int | None = None
    """When something first happened to it that its intent does not foresee."""
    reason: str | None = None
    """Why it ended, where nobody asked for it."""
    silent: bool = False
    """The venue never says a word."""
    pending_shown: bool = False
    """The engine says PENDING_CANCEL when the client asks to cancel."""

    @property
    def filled(self) -> int:
        """What all fills add up to, before busts and corrections."""
        return sum(fill.quantity for fill in self.fills)

    def known(self, at: int) -> list[Fill]:
        """The fills that were published by then."""
        return [fill for fill in self.fills if fill.published <= at]


class _Session(NamedTuple):
    """A stretch of time in which an order can trade."""

    begins: int
    closes: int


def ordinary_life(intent: Mapping[str, Any], seed: int) -> Life:
    """The life of an order that is worked at the venues and to which nothing special happens."""
    random = Random(f"{seed}|{intent['orderId']}")
    acknowledged = random.randrange(MS // 2, 4 * MS)
    ending, patience = _ending(intent, random, acknowledged)
    if ending == "REJECTED":
        rejected = acknowledged + random.randrange(MS, 20 * MS)
        return Life(acknowledged, acknowledged, None, (), ending, rejected)
    sessions = _sessions(intent, random, acknowledged)
    closes = sessions[-1].closes
    patience = min(patience + (sessions[-1].begins if len(sessions) > 1 else 0), closes - SECOND // 2)
    fills = _fills(intent, random, ending, [*sessions[:-1], _Session(sessions[-1].begins, patience)])
    ended, cancel_requested = patience, None
    if ending == "CANCELED":
        cancel_requested, ended = patience, patience + random.randrange(MS, 10 * MS)
        fills = _delayed_last(fills, random, ended)
    elif ending == "EXPIRED":
        ended = closes
    else:
        ended = fills[-1].at
        if random.random() < SHARE_CANCEL_TOO_LATE:
            cancel_requested = ended + random.randrange(MS, 5 * MS)
    status_published = acknowledged
    if fills and random.random() < SHARE_LATE_ACKNOWLEDGEMENT:
        status_published = fills[0].published + random.randrange(MS, 50 * MS)
    resent = status_published + random.randrange(SECOND) if random.random() < SHARE_RESENT_STATUS else None
    over = max([ended, cancel_requested or 0, *(fill.resent or fill.published for fill in fills)])
    fills = tuple(_amended(fill, random, over) for fill in fills)
    nights = tuple(
        Night(before.closes + random.randrange(SECOND), after.begins - MINUTE) for before, after in pairwise(sessions)
    )
    life = Life(acknowledged, status_published, resent, fills, ending, ended, cancel_requested, nights=nights)
    if ending == "FILLED" and sum(fill.final_quantity for fill in fills) < intent["quantity"]:
        life = replace(life, expired_after_bust=max(closes, over + SECOND * (FILLS_MAX + 2)))
    return life


def closing_offset(intent: Mapping[str, Any]) -> int:
    """The close of the session in which the order was placed, and at least a second after it was."""
    at: int = intent["occurredAt"]
    return max(closing_micros(trade_date(at)) - at, SECOND)


def next_opening_offset(intent: Mapping[str, Any]) -> int:
    """9:30 of the session after the one in which the order was placed."""
    at: int = intent["occurredAt"]
    return opening_micros(next_session(trade_date(at))) - at


def _sessions(intent: Mapping[str, Any], random: Random, acknowledged: int) -> list[_Session]:
    """The sessions in which an order can trade: one, or two or three if it is good till canceled."""
    at: int = intent["occurredAt"]
    sessions = [_Session(acknowledged + 1, max(closing_offset(intent), acknowledged + SECOND))]
    if intent["timeInForce"] == GOOD_TILL_CANCEL:
        day = trade_date(at)
        for _ in range(random.randint(1, 2)):
            day = next_session(day)
            sessions.append(_Session(opening_micros(day) - at, closing_micros(day) - at))
    return sessions


def _ending(intent: Mapping[str, Any], random: Random, acknowledged: int) -> tuple[Ending, int]:
    """How the order ends, and the offset (of its last session, if it has several) before which its fills happen."""
    draw = random.random()
    if draw < SHARE_REJECTED:
        return "REJECTED", 0
    if intent["orderType"] == "MARKET":
        return "FILLED", acknowledged + random.randrange(10 * MS, 200 * MS)
    patience = acknowledged + 200 * MS + int(min(random.expovariate(1 / 20), 120) * SECOND)
    if draw < SHARE_REJECTED + SHARE_CANCELED:
        return "CANCELED", patience
    if draw < SHARE_REJECTED + SHARE_CANCELED + SHARE_EXPIRED:
        return "EXPIRED", patience
    return "FILLED", patience


def _fills(intent: Mapping[str, Any], random: Random, ending: Ending, sessions: list[_Session]) -> tuple[Fill, ...]:
    total = intent["quantity"]
    if ending != "FILLED":
        total = int(total * random.uniform(0.2, 0.9)) if random.random() < 0.6 else 0
    count = min(random.randint(1, FILLS_MAX), total)
    if not count:
        return ()
    cuts = [0, *sorted(random.sample(range(1, total), count - 1)), total]
    # The last fill falls into the last session, else an order would be over before its time.
    chosen = [random.choice(sessions) for _ in range(count - 1)] + [sessions[-1]]
    times = sorted(random.randrange(session.begins, session.closes) for session in chosen)
    home = VENUES.index(intent["venue"]) if intent["venue"] in VENUES else random.randrange(len(VENUES))
    fills = []
    for ordinal, at in enumerate(times):
        resent = at + random.randrange(MS, 2 * SECOND) if random.random() < SHARE_RESENT_FILL else None
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
    draw, at = random.random(), over + (fill.ordinal + 1) * SECOND
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
    published = canceled + random.randrange(50 * MS, 500 * MS)
    resent = None if last.resent is None else published + random.randrange(MS, SECOND)
    return (*fills[:-1], replace(last, published=published, resent=resent))
