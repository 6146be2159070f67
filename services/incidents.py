"""What surveillance is there for: a few orders to which happens what should not, in accounts of their own.

| accounts | what happens | alert |
|---|---|---|
| ACC91… | two accounts of one owner buy and sell the same at one price | WASH_TRADE |
| ACC92… | no venue ever answers; the engine gives up the next morning | UNACKNOWLEDGED, STUCK_OPEN |
| ACC93… | a day order whose end nobody tells before the next morning | STUCK_OPEN |
| ACC94… | a cancel that waits for its answer over night | STUCK_PENDING |
| ACC95… | an order that rests over night is filled far from its price of the day before | FILL_OUTSIDE_COLLAR |

Between what happens and what is expected of it lies a night, so that no reading order of topics hides it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from services.life import GOOD_TILL_CANCEL, MINUTE, MS, SECOND, TICK_MICROS, VENUES, Fill, Life, next_opening_offset

WASHED, UNANSWERED, FORGOTTEN, SLOW_CANCEL, GAPPED = PREFIXES = ("ACC91", "ACC92", "ACC93", "ACC94", "ACC95")
ORDERS_PER_INCIDENT: Final = 5_000
"""One incident of each kind, and one more for so many orders of the day."""
GAP: Final = 0.08
"""How far from the price of the day before."""
_ACKNOWLEDGED: Final = 2 * MS
_CANCEL_AFTER: Final = 10 * MINUTE


def accounts(orders: int) -> list[str]:
    """The accounts of a day's incidents."""
    return [f"{prefix}{number:03d}" for prefix in PREFIXES for number in range(_numbers(prefix, orders))]


def owner_of(account: str) -> str:
    """Who owns the account; a pair of washed ones belongs together."""
    number = int(account[5:])
    return f"OWN{account[3:5]}{number // 2 if account.startswith(WASHED) else number:03d}"


def is_incident(intent: Mapping[str, Any]) -> bool:
    """Whether something is to happen to the order."""
    return str(intent["accountId"]).startswith(PREFIXES)


def disturbed(intent: Mapping[str, Any]) -> dict[str, Any]:
    """An ordinary intent, turned into one of its account's incident."""
    account = intent["accountId"]
    resting = account.startswith((SLOW_CANCEL, GAPPED))
    washed = account.startswith(WASHED)
    side = ("BUY", "SELL")[int(account[5:]) % 2] if washed else "BUY"
    return {
        **intent,
        "side": side,
        "locateId": None,
        "orderType": "LIMIT",
        # A gap up fills a sale at a better price; so nobody's limit is broken.
        **({"side": "SELL"} if account.startswith(GAPPED) else {}),
        "limitPrice": intent["arrivalPrice"],
        "timeInForce": GOOD_TILL_CANCEL if resting else "DAY",
        "quantity": 200,
        "venue": intent["venue"] if intent["venue"] in VENUES else VENUES[0],
    }


def incident_life(intent: Mapping[str, Any]) -> Life:
    """The life of an order of an incident's account."""
    account, morning = str(intent["accountId"]), next_opening_offset(intent)
    if account.startswith(WASHED):
        return _life(fills=(_fill(intent, 0, SECOND, intent["limitPrice"]),), ending="FILLED", ended=SECOND)
    if account.startswith(UNANSWERED):
        return _life(ending="CANCELED", ended=morning - 30 * MINUTE, reason="NOT_ACKNOWLEDGED", silent=True)
    if account.startswith(FORGOTTEN):
        return _life(ending="EXPIRED", ended=morning - 20 * MINUTE)
    if account.startswith(SLOW_CANCEL):
        return _life(ending="CANCELED", ended=morning, cancel_requested=_CANCEL_AFTER, pending_shown=True)
    price = round(intent["arrivalPrice"] * (1 + GAP) / TICK_MICROS) * TICK_MICROS
    return _life(fills=(_fill(intent, 0, morning + SECOND, price),), ending="FILLED", ended=morning + SECOND)


def _life(**more: Any) -> Life:
    return Life(_ACKNOWLEDGED, _ACKNOWLEDGED, None, **{"fills": (), **more})


def _fill(intent: Mapping[str, Any], ordinal: int, at: int, price: int) -> Fill:
    return Fill(ordinal, intent["venue"], intent["quantity"], price, at, at, None, "ADDED")


def _numbers(prefix: str, orders: int) -> int:
    count = 1 + orders // ORDERS_PER_INCIDENT
    return 2 * count if prefix == WASHED else count


def incident_places(orders: int) -> Iterator[tuple[str, int]]:
    """Every account of an incident, with the number of the order whose time and terms it takes over."""
    for account in accounts(orders):
        pair = int(account[5:]) // 2 if account.startswith(WASHED) else int(account[5:])
        yield account, 1 + (pair * ORDERS_PER_INCIDENT + 7 * PREFIXES.index(account[:5]) + orders // 3) % max(orders, 1)
